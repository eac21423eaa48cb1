//! [`Workspace`]: the names that a command of cargo may have, from manifests and files.

use toml::{Table, Value};

use crate::check_docs::tree::Tree;

/// The profiles that cargo has by itself.
const PROFILES: [&str; 4] = ["bench", "dev", "release", "test"];

/// The packages of a tree, and its profiles.
pub(crate) struct Workspace<'a> {
    tree: &'a Tree,
    packages: Vec<Package>,
    profiles: Vec<String>,
}

struct Package {
    name: String,
    folder: String,
    manifest: Table,
}

impl<'a> Workspace<'a> {
    pub(crate) fn of(tree: &'a Tree) -> Self {
        let (mut packages, mut profiles) = (Vec::new(), Vec::new());
        for text in &tree.manifests {
            // One that cannot be read stops cargo before anybody comes here.
            let manifest: Table = text.content.parse().unwrap_or_default();
            let of_root = manifest.get("profile").and_then(Value::as_table);
            profiles.extend(of_root.into_iter().flat_map(|it| it.keys().cloned()));
            let package = manifest.get("package").and_then(|it| it.get("name"));
            if let Some(name) = package.and_then(Value::as_str) {
                packages.push(Package {
                    name: name.to_owned(),
                    folder: text.path.trim_end_matches("/Cargo.toml").to_owned(),
                    manifest,
                });
            }
        }
        Self {
            tree,
            packages,
            profiles,
        }
    }

    pub(crate) fn has_package(&self, name: &str) -> bool {
        self.packages.iter().any(|it| it.name == name)
    }

    pub(crate) fn has_profile(&self, name: &str) -> bool {
        PROFILES.contains(&name) || self.profiles.iter().any(|it| it == name)
    }

    /// Whether one of `packages`, or of all when none is named, has a program, example, test or bench of this name.
    pub(crate) fn has_target(&self, kind: &str, packages: &[String], name: &str) -> bool {
        self.among(packages).any(|package| {
            let Package { folder, .. } = package;
            if kind == "program" {
                let is_main =
                    package.name == name && self.tree.has(&format!("{folder}/src/main.rs"));
                return is_main || package.names("bin").any(|it| it == name);
            }
            let of_kind = match kind {
                "bench" => "benches".to_owned(),
                _ => format!("{kind}s"),
            };
            let files = [format!("{name}.rs"), format!("{name}/main.rs")];
            files
                .iter()
                .any(|it| self.tree.has(&format!("{folder}/{of_kind}/{it}")))
        })
    }

    /// Whether there is such a feature, which is written as `PACKAGE/FEATURE` or of one of these packages.
    pub(crate) fn has_feature(&self, packages: &[String], feature: &str) -> bool {
        let (of, feature) = match feature.split_once('/') {
            Some((package, feature)) => (vec![package.to_owned()], feature),
            None => (packages.to_vec(), feature),
        };
        self.among(&of).any(|it| {
            let features = it.manifest.get("features").and_then(Value::as_table);
            features.is_some_and(|it| it.contains_key(feature))
        })
    }

    /// Whether one of these packages has a test, or a module of tests, whose name has `filter` in it; `NAME` is any.
    pub(crate) fn has_test(&self, packages: &[String], filter: &str) -> bool {
        let is_any = filter.bytes().all(|it| it.is_ascii_uppercase());
        is_any
            || self.among(packages).any(|package| {
                let below = format!("{}/", package.folder);
                let mut sources = self.tree.sources.iter();
                sources.any(|it| it.path.starts_with(&below) && names_a_test(it, filter))
            })
    }

    fn among<'b>(&'b self, packages: &'b [String]) -> impl Iterator<Item = &'b Package> {
        let is_meant = |it: &&Package| packages.is_empty() || packages.contains(&it.name);
        self.packages.iter().filter(is_meant)
    }
}

impl Package {
    /// The names of the targets that the manifest lists.
    fn names(&self, kind: &str) -> impl Iterator<Item = &str> {
        let listed = self.manifest.get(kind).and_then(Value::as_array);
        let listed = listed.into_iter().flatten();
        listed.filter_map(|it| it.get("name").and_then(Value::as_str))
    }
}

fn names_a_test(source: &crate::check_docs::tree::Text, filter: &str) -> bool {
    let module = source.path.rsplit('/').next().unwrap_or_default();
    let functions = source.content.lines().filter_map(|line| {
        let rest = line.trim_start().strip_prefix("fn ")?;
        rest.split(['(', '<']).next()
    });
    let mut names = functions.chain(module.strip_suffix(".rs"));
    names.any(|it| it.contains(filter))
}
