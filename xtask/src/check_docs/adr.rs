//! The numbers of the decisions: from 0001 on, none left out and none twice.

use crate::check_docs::rule::{Rule, Violation};
use crate::check_docs::tree::Tree;

const FOLDER: &str = "docs/adr";

pub(crate) fn violations(tree: &Tree) -> Vec<Violation> {
    let mut expected = 1;
    let mut found = Vec::new();
    let mut report = |name: &str, what: String| {
        let path = format!("{FOLDER}/{name}");
        found.push(Violation::new(Rule::AdrNumbering, &path, 1, what));
    };
    // In the order of their names, which is that of their numbers.
    for name in tree.names_in(FOLDER) {
        let Some(number) = number_of(name) else {
            report(name, "the name is not NNNN-title.md".to_owned());
            continue;
        };
        if number < expected {
            report(name, format!("{number:04} is there twice"));
            continue;
        }
        for missing in expected..number {
            report(name, format!("before it, {missing:04} is missing"));
        }
        expected = number + 1;
    }
    found
}

fn number_of(name: &str) -> Option<u32> {
    let (number, title) = name.strip_suffix(".md")?.split_once('-')?;
    let four_digits = number.len() == 4 && number.bytes().all(|it| it.is_ascii_digit());
    let is_named = four_digits && !title.is_empty();
    is_named.then(|| number.parse().ok())?
}
