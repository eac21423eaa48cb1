//! Rules about edges of the resolved graph: layers, and what comes from outside.
//!
//! The graph has every declared edge: normal, build and dev, optional ones (all features are on),
//! those of other targets, and renamed ones under their real name.

use std::collections::{HashSet, VecDeque};
use std::slice;

use guppy::graph::{DependencyReq, PackageGraph, PackageLink, PackageMetadata};
use guppy::platform::PlatformStatus;
use guppy::{DependencyKind, PackageId};

use crate::check_deps::layers::{self, CORE, External, Layer, Row, Use};
use crate::check_deps::rule::{Rule, Violation};

/// All violations of the layering.
///
/// A path is checked only up to the first layered crate on it. That is enough: where each such
/// piece goes strictly down, so does the whole path, and where one does not, that piece is reported.
pub(crate) fn layer_violations(graph: &PackageGraph) -> Vec<Violation> {
    graph
        .workspace()
        .iter()
        .flat_map(member_violations)
        .collect()
}

fn member_violations(member: PackageMetadata<'_>) -> Vec<Violation> {
    let Some(row) = layers::row(member.name()) else {
        return vec![unlisted(member)];
    };
    let direct = member.direct_links().map(|it| vec![it]);
    direct
        .chain(paths_through_others(member))
        .filter_map(|path| path_violation(row, &path))
        .collect()
}

fn unlisted(member: PackageMetadata<'_>) -> Violation {
    Violation {
        package: member.name().to_owned(),
        rule: Rule::LayerUnlisted,
        place: relative_manifest(member),
    }
}

fn path_violation(from: &Row, path: &[PackageLink<'_>]) -> Option<Violation> {
    let (first, last) = (path.first()?, path.last()?);
    let to = member_row(last.to())?;
    let usage = if first.dev_only() { Use::Dev } else { Use::Any };
    let broken = layers::broken_by(from, to, usage)?;
    let about_layers = matches!(broken, Rule::LayerUpward | Rule::LayerSideways);
    let rule = if path.len() > 1 && about_layers {
        Rule::LayerTransitive
    } else {
        broken
    };
    Some(Violation {
        package: from.name.to_owned(),
        rule,
        place: describe_path(path),
    })
}

/// The shortest path from `member` to each layered crate that is reached through packages without
/// a layer: strangers, members without a row, and crates outside the layers.
fn paths_through_others(member: PackageMetadata<'_>) -> Vec<Vec<PackageLink<'_>>> {
    let mut seen = HashSet::from([member.id()]);
    let mut found = Vec::new();
    // Paths that are not for tests alone come first, since they are the graver ones.
    for for_tests in [false, true] {
        let starts = member
            .direct_links()
            .filter(|it| it.dev_only() == for_tests);
        let queue = starts
            .filter(|it| is_passage(it.to()))
            .map(|it| vec![it])
            .collect();
        follow(queue, &mut seen, &mut found);
    }
    found
}

fn follow<'g>(
    mut queue: VecDeque<Vec<PackageLink<'g>>>,
    seen: &mut HashSet<&'g PackageId>,
    found: &mut Vec<Vec<PackageLink<'g>>>,
) {
    while let Some(path) = queue.pop_front() {
        for link in onward(&path) {
            if !seen.insert(link.to().id()) {
                continue;
            }
            let longer = [path.as_slice(), &[link]].concat();
            if is_passage(link.to()) {
                queue.push_back(longer);
            } else {
                found.push(longer);
            }
        }
    }
}

/// The links on from the end of a path. Only the first link of a path may be for tests: nobody
/// builds the tests of a dependency.
fn onward<'g>(path: &[PackageLink<'g>]) -> impl Iterator<Item = PackageLink<'g>> + use<'g> {
    let end = path.last().map(PackageLink::to);
    end.into_iter()
        .flat_map(|it| it.direct_links())
        .filter(|it| !it.dev_only())
}

fn is_passage(package: PackageMetadata<'_>) -> bool {
    member_row(package).is_none_or(|it| it.layer == Layer::Outside)
}

fn member_row(package: PackageMetadata<'_>) -> Option<&'static Row> {
    package
        .in_workspace()
        .then(|| layers::row(package.name()))
        .flatten()
}

/// Dependencies on packages outside the workspace that the table does not list.
pub(crate) fn external_violations(graph: &PackageGraph) -> Vec<Violation> {
    let links = graph.workspace().iter().flat_map(|it| it.direct_links());
    links.filter_map(|it| external_violation(&it)).collect()
}

fn external_violation(link: &PackageLink<'_>) -> Option<Violation> {
    let row = member_row(link.from())?;
    let External::Only(allowed) = row.external else {
        return None;
    };
    let stranger = link.to();
    let fine = stranger.in_workspace() || link.dev_only() || allowed.contains(&stranger.name());
    if fine {
        return None;
    }
    let rule = if row.name == CORE {
        Rule::CoreDependency
    } else {
        Rule::ExternalUnlisted
    };
    Some(Violation {
        package: row.name.to_owned(),
        rule,
        place: describe_path(slice::from_ref(link)),
    })
}

/// `mesh -> glue [dev] -> dispatcher [normal, optional] in crates/mesh/Cargo.toml`
fn describe_path(path: &[PackageLink<'_>]) -> String {
    let Some(first) = path.first() else {
        return String::new();
    };
    let hops: String = path.iter().map(describe_hop).collect();
    format!(
        "{}{hops} in {}",
        first.from().name(),
        relative_manifest(first.from())
    )
}

fn describe_hop(link: &PackageLink<'_>) -> String {
    let kinds: Vec<_> = DependencyKind::VALUES
        .iter()
        .filter_map(|it| describe_kind(link, *it))
        .collect();
    let renamed = link.dep_name() != link.to().name();
    let alias = if renamed {
        format!(", renamed `{}`", link.dep_name())
    } else {
        String::new()
    };
    format!(" -> {} [{}{alias}]", link.to().name(), kinds.join("; "))
}

fn describe_kind(link: &PackageLink<'_>, kind: DependencyKind) -> Option<String> {
    let req = link.req_for_kind(kind);
    if !req.is_present() {
        return None;
    }
    let name = match kind {
        DependencyKind::Normal => "normal",
        DependencyKind::Build => "build",
        DependencyKind::Development => "dev",
    };
    Some(format!("{name}{}", describe_conditions(&req)))
}

fn describe_conditions(req: &DependencyReq<'_>) -> String {
    let (required, optional) = (
        req.status().required_status(),
        req.status().optional_status(),
    );
    let option = if required.is_never() {
        ", optional"
    } else {
        ""
    };
    format!(
        "{option}{}{}",
        describe_targets(required),
        describe_targets(optional)
    )
}

fn describe_targets(status: PlatformStatus<'_>) -> String {
    let PlatformStatus::PlatformDependent { eval } = status else {
        return String::new();
    };
    eval.target_specs()
        .iter()
        .map(|it| format!(", for {it}"))
        .collect()
}

/// The manifest's path from the root of the workspace.
fn relative_manifest(package: PackageMetadata<'_>) -> String {
    let path = package.manifest_path();
    path.strip_prefix(package.graph().workspace().root())
        .unwrap_or(path)
        .to_string()
}
