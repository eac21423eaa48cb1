//! [`Parts`]: the packages that the programs are made of, as cargo would build them here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use guppy::MetadataCommand;
use guppy::graph::cargo::{CargoOptions, CargoSet};
use guppy::graph::feature::{FeatureSet, StandardFeatures, named_feature_filter};
use guppy::graph::{DependencyDirection, PackageGraph, PackageMetadata};
use guppy::platform::PlatformSpec;

use crate::dist::lock::Lock;

/// All packages that a build of the programs needs, by reference.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    /// Of the programs, which share one.
    pub(crate) version: String,
    pub(crate) programs: Vec<String>,
    pub(crate) packages: BTreeMap<String, Package>,
}

/// One package.
#[derive(Clone, Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    /// An SPDX expression, if its manifest has one.
    pub(crate) licence: Option<String>,
    /// Where its manifest says that its licence is, from its folder.
    pub(crate) licence_file: Option<PathBuf>,
    pub(crate) repository: Option<String>,
    pub(crate) origin: Origin,
    pub(crate) usage: Usage,
    /// Where its sources are.
    pub(crate) folder: PathBuf,
    /// Of its archive, in SHA-256.
    pub(crate) checksum: Option<String>,
    pub(crate) features: BTreeSet<String>,
    /// References of what it depends on.
    pub(crate) needs: BTreeSet<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Workspace,
    Registry,
    Elsewhere,
}

/// What the programs have of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// Its code is in them.
    Linked,
    /// Only the build ran it: build scripts, procedural macros, and what those use.
    Build,
}

impl Parts {
    /// Resolves what cargo builds of `programs` on this platform, with default features and those of
    /// `features` that they have, and without tests.
    pub(crate) fn resolve(root: &Path, programs: &[&str], features: &[&str]) -> Result<Self> {
        let lock = Lock::read(root)?;
        let graph = MetadataCommand::new()
            .manifest_path(root.join("Cargo.toml"))
            .other_options(["--locked"])
            .env("RUSTUP_AUTO_INSTALL", "0")
            .build_graph()
            .with_context(|| format!("cannot resolve {}", root.display()))?;
        let built = built(&graph, programs, features)?;
        let mut parts = Self {
            version: version(&graph, programs)?,
            ..Self::default()
        };
        // Linked ones last: a package that is both is in the programs.
        parts.take(built.host_features(), Usage::Build, &lock);
        parts.take(built.target_features(), Usage::Linked, &lock);
        parts.join(&built);
        parts.programs = parts.references_of(programs);
        Ok(parts)
    }

    pub(crate) fn linked(&self) -> impl Iterator<Item = (&String, &Package)> {
        let all = self.packages.iter();
        all.filter(|(_, it)| it.usage == Usage::Linked)
    }

    fn take(&mut self, features: &FeatureSet<'_>, usage: Usage, lock: &Lock) {
        for list in features.packages_with_features(DependencyDirection::Forward) {
            let found = list.package();
            let mut package = Package::of(found, usage, lock);
            package.features = list.named_features().map(str::to_owned).collect();
            self.packages.insert(reference(found), package);
        }
    }

    fn join(&mut self, built: &CargoSet<'_>) {
        let links = built
            .target_links()
            .chain(built.host_links())
            .chain(built.proc_macro_links())
            .chain(built.build_dep_links());
        for link in links {
            if let Some(package) = self.packages.get_mut(&reference(&link.from())) {
                package.needs.insert(reference(&link.to()));
            }
        }
    }

    fn references_of(&self, names: &[&str]) -> Vec<String> {
        let ours =
            |it: &Package| it.origin == Origin::Workspace && names.contains(&it.name.as_str());
        let found = self.packages.iter().filter(|(_, it)| ours(it));
        found.map(|(reference, _)| reference.clone()).collect()
    }
}

fn built<'g>(
    graph: &'g PackageGraph,
    programs: &[&str],
    features: &[&str],
) -> Result<CargoSet<'g>> {
    let platform = PlatformSpec::build_target().context("this platform is unknown")?;
    let mut options = CargoOptions::new();
    options.set_platform(platform);
    let packages = graph.resolve_workspace_names(programs)?;
    let chosen = named_feature_filter(StandardFeatures::Default, features.iter().copied());
    let features = packages.to_feature_set(chosen);
    Ok(features.into_cargo_set(&options)?)
}

fn version(graph: &PackageGraph, programs: &[&str]) -> Result<String> {
    let first = programs.first().context("there is no program")?;
    let package = graph.workspace().member_by_name(first)?;
    Ok(package.version().to_string())
}

/// The package URL where there is one, which is unique; else a name that is unique in a workspace.
fn reference(package: &PackageMetadata<'_>) -> String {
    let (name, version) = (package.name(), package.version());
    match origin(package) {
        Origin::Registry => format!("pkg:cargo/{name}@{version}"),
        Origin::Workspace | Origin::Elsewhere => format!("{name}@{version}"),
    }
}

fn origin(package: &PackageMetadata<'_>) -> Origin {
    if package.in_workspace() {
        return Origin::Workspace;
    }
    if package.source().is_crates_io() {
        Origin::Registry
    } else {
        Origin::Elsewhere
    }
}

impl Package {
    fn of(package: &PackageMetadata<'_>, usage: Usage, lock: &Lock) -> Self {
        let version = package.version().to_string();
        let manifest = package.manifest_path();
        Self {
            name: package.name().to_owned(),
            licence: package.license().map(expression),
            licence_file: package.license_file().map(PathBuf::from),
            repository: package.repository().map(str::to_owned),
            origin: origin(package),
            usage,
            folder: manifest.parent().unwrap_or(manifest).into(),
            checksum: lock.checksum(package.name(), &version).map(str::to_owned),
            features: BTreeSet::new(),
            needs: BTreeSet::new(),
            version,
        }
    }

    /// Whether we did not write it.
    pub(crate) fn is_third_party(&self) -> bool {
        self.origin != Origin::Workspace
    }
}

/// What was written before there were expressions: `MIT/Apache-2.0` gives the choice.
fn expression(licence: &str) -> String {
    licence
        .split('/')
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" OR ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> Parts {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/legal");
        Parts::resolve(&root, &["control-plane-host"], &["etcd"]).expect("a graph")
    }

    #[test]
    fn what_the_program_links_is_listed_without_what_its_tests_use() {
        let parts = fixture();
        let names: Vec<_> = parts.linked().map(|(_, it)| it.name.as_str()).collect();
        let expected = [
            "control-plane-host",
            "lifecycle-core",
            "lifecycle-runtime",
            "mesh",
            "serde",
            "thiserror",
            "tokio-util",
            "tokio",
        ];
        assert_eq!(names, expected);
    }

    #[test]
    fn a_package_says_which_features_it_is_built_with_and_what_it_needs() {
        let parts = fixture();
        let core = &parts.packages["lifecycle-core@0.0.0"];
        assert!(core.features.contains("serde"), "{core:?}");
        assert!(core.needs.contains("serde@0.0.0"), "{core:?}");
        assert!(!core.is_third_party());
        assert!(parts.packages["serde@0.0.0"].is_third_party());
        assert_eq!(parts.programs, ["control-plane-host@0.0.0"]);
    }

    #[test]
    fn a_slash_between_licences_is_a_choice() {
        assert_eq!(expression("MIT/Apache-2.0"), "MIT OR Apache-2.0");
        assert_eq!(expression("MIT OR Apache-2.0"), "MIT OR Apache-2.0");
    }
}
