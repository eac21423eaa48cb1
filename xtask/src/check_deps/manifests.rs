//! The rule about manifests: each dependency is inherited from the root.
//!
//! Cargo resolves inheritance before it prints metadata, so the manifests themselves are read.

use anyhow::{Context as _, Result};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One dependency that is declared in place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Declared {
    pub(crate) dependency: String,
    pub(crate) line: usize,
}

const SECTIONS: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// The dependencies of a member that do not say `workspace = true`.
///
/// # Errors
///
/// When `text` is not TOML.
pub(crate) fn declared_in_place(text: &str) -> Result<Vec<Declared>> {
    let manifest = DeTable::parse(text).context("not a manifest")?;
    let entries = tables(manifest.get_ref())
        .flat_map(sections)
        .flat_map(|it| it.iter());
    let own = entries.filter(|(_, value)| !is_inherited(value.get_ref()));
    Ok(own
        .map(|(name, _)| Declared {
            dependency: name.get_ref().to_string(),
            line: line_of(text, name),
        })
        .collect())
}

/// The tables that may hold dependency sections: the manifest itself and each of its targets.
fn tables<'a, 'i>(manifest: &'a DeTable<'i>) -> impl Iterator<Item = &'a DeTable<'i>> {
    let targets = manifest
        .get("target")
        .and_then(|it| it.get_ref().as_table());
    let per_target = targets.into_iter().flat_map(DeTable::values);
    std::iter::once(manifest).chain(per_target.filter_map(|it| it.get_ref().as_table()))
}

fn sections<'a, 'i>(table: &'a DeTable<'i>) -> impl Iterator<Item = &'a DeTable<'i>> {
    SECTIONS
        .iter()
        .filter_map(|it| table.get(*it)?.get_ref().as_table())
}

fn is_inherited(dependency: &DeValue<'_>) -> bool {
    let marker = dependency
        .get("workspace")
        .and_then(|it| it.get_ref().as_bool());
    marker == Some(true)
}

fn line_of<T>(text: &str, place: &Spanned<T>) -> usize {
    1 + text[..place.span().start].matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(manifest: &str, expected: &[(&str, usize)]) {
        let found = declared_in_place(manifest).expect("valid manifest");
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.dependency.as_str(), it.line))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_way_to_inherit_is_accepted() {
        check(
            "[dependencies]\na.workspace = true\nb = { workspace = true, features = [] }\n\
             [dev-dependencies.c]\nworkspace = true\n",
            &[],
        );
    }

    #[test]
    fn every_section_is_read() {
        check(
            "[dependencies]\na = '1'\n[dev-dependencies]\nb = { path = '../b' }\n\
             [build-dependencies]\nc = { version = '1', workspace = false }\n\
             [target.'cfg(unix)'.dependencies]\nd = '1'\n",
            &[("a", 2), ("b", 4), ("c", 6), ("d", 8)],
        );
    }
}
