//! Rules about everything that lifecycle-core builds.
//!
//! Plain reachability would say too much here: it also follows features that nothing turns on. So
//! the tree is what a build of the crate alone with all its features would compile.

use anyhow::Result;
use guppy::graph::cargo::{CargoOptions, CargoSet};
use guppy::graph::feature::StandardFeatures;
use guppy::graph::{DependencyDirection, PackageGraph};

use crate::check_deps::layers::{CORE, CORE_CRATES, CORE_TOKIO_FEATURES};
use crate::check_deps::rule::{Rule, Violation};

/// What lifecycle-core builds, on any platform; without its tests.
#[derive(Debug)]
pub(crate) struct CoreTree {
    crates: Vec<String>,
    tokio_features: Vec<String>,
}

impl CoreTree {
    /// Resolves the tree; `None` when the workspace has no such crate.
    pub(crate) fn of(graph: &PackageGraph) -> Result<Option<Self>> {
        let Ok(core) = graph.workspace().member_by_name(CORE) else {
            return Ok(None);
        };
        let features = core.to_feature_set(StandardFeatures::All);
        let built = features.into_cargo_set(&CargoOptions::new())?;
        Ok(Some(Self {
            crates: crates(&built),
            tokio_features: tokio_features(&built),
        }))
    }

    pub(crate) fn crate_count(&self) -> usize {
        self.crates.len()
    }

    pub(crate) fn violations(&self) -> Vec<Violation> {
        [self.too_many_crates(), self.too_much_tokio()]
            .into_iter()
            .flatten()
            .collect()
    }

    fn too_many_crates(&self) -> Option<Violation> {
        let count = self.crate_count();
        let place = format!("{count} crates: {}", self.crates.join(", "));
        (count > CORE_CRATES).then(|| violation(Rule::CoreCrateCount, place))
    }

    fn too_much_tokio(&self) -> Option<Violation> {
        let mut extra = self.tokio_features.clone();
        extra.retain(|it| !CORE_TOKIO_FEATURES.contains(&it.as_str()));
        let place = format!("tokio is built with {}", extra.join(", "));
        (!extra.is_empty()).then(|| violation(Rule::CoreTokioFeatures, place))
    }
}

fn violation(rule: Rule, place: String) -> Violation {
    Violation {
        package: CORE.to_owned(),
        rule,
        place,
    }
}

fn crates(built: &CargoSet<'_>) -> Vec<String> {
    let sets = built
        .all_features()
        .map(|(_, features)| features.to_package_set());
    let [target, host] = sets;
    let all = target.union(&host);
    let mut names: Vec<_> = all
        .packages(DependencyDirection::Forward)
        .map(|it| it.name().to_owned())
        .collect();
    names.sort_unstable();
    names
}

fn tokio_features(built: &CargoSet<'_>) -> Vec<String> {
    let sides = built.all_features();
    let lists = sides
        .iter()
        .flat_map(|(_, features)| features.packages_with_features(DependencyDirection::Forward));
    let mut names: Vec<_> = lists
        .filter(|it| it.package().name() == "tokio")
        .flat_map(|it| it.named_features().map(str::to_owned).collect::<Vec<_>>())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}
