//! `sbom.cdx.json`: what the programs are made of, as CycloneDX 1.5 has it.
//!
//! Ours, and not a tool's: it is one document for the three programs that were built together, resolved as
//! they were, with the standard library that no manifest names. There is no serial number and no time in it,
//! which the specification leaves to us: the same sources give the same document.

use serde_json::{Map, Value, json};

use crate::dist::parts::{Origin, Package, Parts, Usage};
use crate::dist::standard::StandardLibrary;

/// The document for `name`, which stands for the programs together.
pub(crate) fn document(name: &str, parts: &Parts, standard: &StandardLibrary) -> Value {
    let root = format!("{name}@{}", parts.version);
    let mut components: Vec<_> = parts
        .packages
        .iter()
        .map(|(reference, it)| component(reference, it, parts.programs.contains(reference)))
        .collect();
    components.push(standard_library(standard));
    let mut dependencies = vec![json!({ "ref": root, "dependsOn": parts.programs })];
    dependencies.extend(parts.packages.iter().map(|(reference, it)| {
        let mut needs: Vec<_> = it.needs.iter().cloned().collect();
        if parts.programs.contains(reference) {
            needs.push(standard_reference(standard));
        }
        json!({ "ref": reference, "dependsOn": needs })
    }));
    dependencies.push(json!({ "ref": standard_reference(standard) }));
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "tools": {
                "components": [{ "type": "application", "name": "cargo xtask dist", "version": parts.version }],
            },
            "component": {
                "type": "application",
                "bom-ref": root,
                "name": name,
                "version": parts.version,
                "licenses": [{ "expression": "MIT OR Apache-2.0" }],
            },
        },
        "components": components,
        "dependencies": dependencies,
    })
}

fn component(reference: &str, package: &Package, is_program: bool) -> Value {
    let mut fields = Map::new();
    let kind = if is_program { "application" } else { "library" };
    fields.insert("type".to_owned(), kind.into());
    fields.insert("bom-ref".to_owned(), reference.into());
    fields.insert("name".to_owned(), package.name.as_str().into());
    fields.insert("version".to_owned(), package.version.as_str().into());
    fields.insert("scope".to_owned(), scope(package.usage).into());
    if let Some(checksum) = &package.checksum {
        let hash = json!([{ "alg": "SHA-256", "content": checksum }]);
        fields.insert("hashes".to_owned(), hash);
    }
    if let Some(licence) = &package.licence {
        let licences = json!([{ "expression": licence }]);
        fields.insert("licenses".to_owned(), licences);
    }
    if package.origin == Origin::Registry {
        fields.insert("purl".to_owned(), reference.into());
    }
    if let Some(repository) = &package.repository {
        let references = json!([{ "type": "vcs", "url": repository }]);
        fields.insert("externalReferences".to_owned(), references);
    }
    if !package.features.is_empty() {
        let features: Vec<_> = package.features.iter().map(String::as_str).collect();
        let properties = json!([{ "name": "cargo:features", "value": features.join(",") }]);
        fields.insert("properties".to_owned(), properties);
    }
    Value::Object(fields)
}

/// `excluded` is what the programs do not have at run time.
fn scope(usage: Usage) -> &'static str {
    match usage {
        Usage::Linked => "required",
        Usage::Build => "excluded",
    }
}

fn standard_reference(standard: &StandardLibrary) -> String {
    format!("std@{}", standard.version)
}

fn standard_library(standard: &StandardLibrary) -> Value {
    json!({
        "type": "library",
        "bom-ref": standard_reference(standard),
        "name": "std",
        "version": standard.version,
        "scope": "required",
        "licenses": [{ "expression": StandardLibrary::LICENCE }],
        "externalReferences": [{ "type": "vcs", "url": StandardLibrary::REPOSITORY }],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn of_this_project() -> Value {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let parts =
            Parts::resolve(&root, &crate::dist::PROGRAMS, &crate::dist::FEATURES).expect("a graph");
        let standard = StandardLibrary::in_use().expect("a toolchain");
        document("lifecycle", &parts, &standard)
    }

    fn list<'v>(document: &'v Value, pointer: &str) -> &'v Vec<Value> {
        let found = document.pointer(pointer).and_then(Value::as_array);
        found.unwrap_or_else(|| panic!("no list at {pointer}"))
    }

    fn text<'v>(value: &'v Value, key: &str) -> &'v str {
        value[key]
            .as_str()
            .unwrap_or_else(|| panic!("no {key} in {value}"))
    }

    /// What the JSON schema of CycloneDX 1.5 requires of a document, and of the parts that we write.
    #[test]
    fn the_document_has_every_field_that_the_specification_requires() {
        let document = of_this_project();
        assert_eq!(document["bomFormat"], "CycloneDX");
        assert_eq!(document["specVersion"], "1.5");
        assert!(document["version"].as_u64().is_some_and(|it| it >= 1));
        let described = &document["metadata"]["component"];
        for component in list(&document, "/components").iter().chain([described]) {
            let kind = text(component, "type");
            assert!(matches!(kind, "application" | "library"), "{component}");
            assert!(!text(component, "name").is_empty(), "{component}");
            assert!(!text(component, "version").is_empty(), "{component}");
        }
        for component in list(&document, "/components") {
            let scope = text(component, "scope");
            assert!(matches!(scope, "required" | "excluded"), "{component}");
            // An expression stands alone in its list.
            let licences = list(component, "/licenses");
            assert_eq!(licences.len(), 1, "{component}");
            assert!(
                !text(&licences[0], "expression").contains('/'),
                "{component}"
            );
            for hash in component["hashes"].as_array().into_iter().flatten() {
                let content = text(hash, "content");
                assert_eq!(text(hash, "alg"), "SHA-256");
                assert!(content.len() == 64 && content.bytes().all(|it| it.is_ascii_hexdigit()));
            }
            let references = component["externalReferences"].as_array();
            for reference in references.into_iter().flatten() {
                assert_eq!(text(reference, "type"), "vcs");
                assert!(
                    text(reference, "url").starts_with("https://"),
                    "{reference}"
                );
            }
        }
    }

    #[test]
    fn every_reference_is_unique_and_every_dependency_leads_to_one() {
        let document = of_this_project();
        let components = list(&document, "/components").iter();
        let described = [&document["metadata"]["component"]];
        let references: Vec<_> = components
            .chain(described)
            .map(|it| text(it, "bom-ref"))
            .collect();
        let unique: BTreeSet<_> = references.iter().copied().collect();
        assert_eq!(unique.len(), references.len());
        let dependencies = list(&document, "/dependencies");
        let described: BTreeSet<_> = dependencies.iter().map(|it| text(it, "ref")).collect();
        assert_eq!(described, unique);
        for needed in dependencies
            .iter()
            .flat_map(|it| it["dependsOn"].as_array().into_iter().flatten())
        {
            assert!(
                unique.contains(needed.as_str().unwrap_or_default()),
                "{needed}"
            );
        }
    }

    #[test]
    fn no_package_of_tests_is_in_it_and_what_only_builds_is_marked() {
        let document = of_this_project();
        let scope_of = |name: &str| {
            let found = list(&document, "/components").iter();
            found
                .filter(|it| it["name"] == name)
                .map(|it| text(it, "scope"))
                .collect::<Vec<_>>()
        };
        assert_eq!(scope_of("tokio"), ["required"]);
        assert_eq!(scope_of("serde_derive"), ["excluded"]);
        assert_eq!(scope_of("std"), ["required"]);
        for test_only in [
            "proptest",
            "rcgen",
            "stateright",
            "lifecycle-testkit",
            "xtask",
        ] {
            assert!(scope_of(test_only).is_empty(), "{test_only}");
        }
        // Cargo.lock has it, and nothing that is shipped does.
        assert!(scope_of("ring").is_empty());
    }

    #[test]
    fn the_same_sources_give_the_same_document() {
        assert_eq!(of_this_project().to_string(), of_this_project().to_string());
    }
}
