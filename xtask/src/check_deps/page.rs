//! docs/architecture.md and docs/dependencies.md against the layer table, the manifests and the sources.

use std::collections::BTreeSet;
use std::fs;

use crate::check_deps::layers::{CORE_CRATES, External, Layer, Row, TABLE};
use crate::process::root;

fn text_of(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn page() -> String {
    text_of("docs/architecture.md")
}

/// What stands between backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// What the line of a crate begins with in the picture.
const fn label(layer: Layer) -> &'static str {
    match layer {
        Layer::Core => "L0",
        Layer::Runtime | Layer::TestKit => "L1",
        Layer::Adapters => "L2",
        Layer::Parts => "L3",
        Layer::Binaries => "L4",
        Layer::Outside => "outside",
    }
}

#[test]
fn contract_b28_the_layers_of_the_architecture_page_are_those_that_are_checked() {
    let page = page();
    let picture = page.split("```").nth(1).expect("it begins with a picture");
    let mut drawn = BTreeSet::new();
    for line in picture.lines() {
        let mut words = line.split([' ', ',']).filter(|it| !it.is_empty());
        let Some(begin) = words.next() else { continue };
        let crates = words.filter_map(|word| TABLE.iter().find(|it| it.name == word));
        drawn.extend(crates.map(|it| (begin.to_owned(), it.name)));
    }
    let checked = TABLE.iter().map(|it| (label(it.layer).to_owned(), it.name));
    assert_eq!(drawn, checked.collect());
}

/// The paragraphs of the section on the crates, each with the crate that it is about.
fn paragraphs(page: &str) -> Vec<(&str, String)> {
    let (_, section) = page.split_once("\n## The crates\n").expect("it is there");
    let (section, _) = section.split_once("\n## ").expect("it ends");
    let mut paragraphs: Vec<(&str, String)> = Vec::new();
    for paragraph in section.split("\n\n") {
        let begin = paragraph.trim_start().strip_prefix("**");
        match (
            begin.and_then(|it| it.split_once("**")),
            paragraphs.last_mut(),
        ) {
            (Some((name, text)), _) => paragraphs.push((name, text.to_owned())),
            (None, Some((_, text))) => text.push_str(paragraph),
            (None, None) => {}
        }
    }
    paragraphs
}

fn external(row: &Row) -> &'static [&'static str] {
    match row.external {
        External::Only(listed) => listed,
        External::Any => &[],
    }
}

#[test]
fn contract_b28_the_architecture_page_has_every_crate_and_says_of_none_that_it_takes_what_it_may_not()
 {
    let page = page();
    let paragraphs = paragraphs(&page);
    // It says of itself that it is none.
    let told = paragraphs.iter().filter(|(name, _)| *name != "deploy");
    let told: BTreeSet<_> = told.map(|(name, _)| *name).collect();
    assert_eq!(told, TABLE.iter().map(|it| it.name).collect());
    let known: BTreeSet<_> = TABLE.iter().flat_map(external).collect();
    for row in TABLE
        .iter()
        .filter(|it| matches!(it.external, External::Only(_)))
    {
        let (_, text) = paragraphs
            .iter()
            .find(|(name, _)| *name == row.name)
            .expect("as above");
        let named = code(text).filter(|it| known.contains(it));
        let stale: Vec<_> = named.filter(|it| !external(row).contains(it)).collect();
        assert!(stale.is_empty(), "{} takes none of {stale:?}", row.name);
    }
    assert!(page.contains("`lifecycle-core` at sixteen crates") && CORE_CRATES == 16);
}

#[test]
fn contract_b28_every_external_crate_has_a_line_in_the_list_of_dependencies_and_no_other_has_one() {
    let list = text_of("docs/dependencies.md");
    let (crates, _) = list.split_once("\n## Programs\n").expect("they come last");
    let rows = crates.lines().filter(|it| it.starts_with("| `"));
    // What stands in brackets is a feature.
    let names = rows.filter_map(|it| it.split(['|', '(']).nth(1));
    let listed: BTreeSet<_> = names.flat_map(code).collect();
    let manifest: toml::Table = text_of("Cargo.toml").parse().expect("a manifest");
    let declared = manifest["workspace"]["dependencies"].as_table();
    let declared = declared.expect("a table").iter();
    let declared = declared.filter(|(_, it)| it.get("path").is_none());
    let declared = declared.map(|(name, _)| name.as_str());
    // The workspace of the fuzz targets has one of its own.
    assert_eq!(listed, declared.chain(["libfuzzer-sys"]).collect());
}

#[test]
fn contract_b28_every_place_to_look_first_is_there() {
    let page = page();
    let (_, table) = page
        .split_once("| question | file |\n|---|---|\n")
        .expect("a table");
    let mut places = 0;
    for row in table.lines().take_while(|it| it.starts_with('|')) {
        let answer = row.split('|').nth(2).expect("two cells");
        let mut files = Vec::new();
        for named in code(answer) {
            match named.strip_suffix(".rs") {
                Some(_) => files.push(text_of(&place(named))),
                // A function of one of the files before it.
                None => {
                    let begin = format!("fn {named}");
                    let found = files.iter().any(|it: &String| it.contains(&begin));
                    assert!(found, "no function {named}: {row}");
                }
            }
            places += 1;
        }
        assert!(!files.is_empty(), "no file: {row}");
    }
    assert!(places > 30, "{places}");
}

/// The path from the root: the engine's files are named without their crate.
fn place(file: &str) -> String {
    match file.strip_prefix("engine/") {
        Some(rest) => format!("crates/lifecycle-core/src/engine/{rest}"),
        None => format!("crates/{file}"),
    }
}
