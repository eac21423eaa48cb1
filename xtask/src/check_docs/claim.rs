//! [`Claim`]: a test whose name says that it proves a row.

use crate::check_docs::label::Label;
use crate::check_docs::rule::{Rule, Violation};
use crate::check_docs::tree::{Text, Tree};

/// One such function.
#[derive(Debug)]
pub(crate) struct Claim {
    /// `museum` or `contract`.
    pub(crate) prefix: &'static str,
    pub(crate) labels: Vec<Label>,
    pub(crate) name: String,
    pub(crate) path: String,
    pub(crate) line: usize,
    runs: bool,
}

const PREFIXES: [&str; 2] = ["museum", "contract"];

/// Every claim in the sources and tests, by path and line.
pub(crate) fn all_in(tree: &Tree) -> Vec<Claim> {
    let tested = |it: &&Text| {
        let folders = ["/src/", "/tests/"];
        folders.iter().any(|folder| it.path.contains(folder))
    };
    tree.sources
        .iter()
        .filter(tested)
        .flat_map(all_of)
        .collect()
}

/// Whether a file has a function of this name.
pub(crate) fn has_function(text: &Text, name: &str) -> bool {
    text.content.lines().any(|it| function_in(it) == Some(name))
}

fn all_of(text: &Text) -> Vec<Claim> {
    let lines: Vec<_> = text.content.lines().collect();
    let claim = |(at, line): (usize, &&str)| {
        let name = function_in(line)?;
        let prefix = PREFIXES
            .into_iter()
            .find(|it| rest_of(name, it).is_some())?;
        Some(Claim {
            prefix,
            labels: Label::all_of_test(rest_of(name, prefix)?),
            name: name.to_owned(),
            path: text.path.clone(),
            line: at + 1,
            runs: is_run(&lines[..at]),
        })
    };
    lines.iter().enumerate().filter_map(claim).collect()
}

fn rest_of<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    name.strip_prefix(prefix)?.strip_prefix('_')
}

/// The name of the function that a line declares.
fn function_in(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let (before, rest) = line.split_once("fn ")?;
    let declares = before
        .split_whitespace()
        .all(|it| it.starts_with("pub") || matches!(it, "async" | "const" | "in" | "unsafe"));
    let end = rest.find(|it: char| !it.is_alphanumeric() && it != '_')?;
    (declares && end > 0).then(|| &rest[..end])
}

/// Whether the attributes at the end of `above` make a test of what follows, and do not skip it.
fn is_run(above: &[&str]) -> bool {
    let ends_an_item = |it: &str| it.is_empty() || it.ends_with(['{', '}', ';']);
    let attributes: Vec<_> = above
        .iter()
        .rev()
        .map(|it| it.trim())
        .take_while(|it| !ends_an_item(it))
        .filter(|it| it.starts_with("#["))
        .collect();
    let is_test = attributes.iter().any(|it| it.contains("test"));
    is_test && !attributes.iter().any(|it| it.starts_with("#[ignore"))
}

impl Claim {
    /// What is wrong with the test itself, whatever the pages say.
    pub(crate) fn violation(&self) -> Option<Violation> {
        let rule = if self.labels.is_empty() {
            Rule::TestRowUnknown
        } else if !self.runs {
            Rule::TestNotRun
        } else {
            return None;
        };
        Some(Violation::new(
            rule,
            &self.path,
            self.line,
            format!("`{}`", self.name),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, expected: &[(&str, bool)]) {
        let text = Text {
            path: "crates/a/src/lib.rs".to_owned(),
            content: source.to_owned(),
        };
        let claims = all_of(&text);
        let found: Vec<_> = claims
            .iter()
            .map(|it| (it.name.as_str(), it.runs))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_test_is_found_however_it_is_declared() {
        check("#[test]\nfn museum_01_a() {", &[("museum_01_a", true)]);
        check(
            "    #[tokio::test(\n        start_paused = true,\n    )]\n    /// Why.\n    pub(crate) async fn contract_b02_a() {",
            &[("contract_b02_a", true)],
        );
        check(
            "proptest! {\n    #[test]\n    fn contract_13_a(graph in graphs()) {",
            &[("contract_13_a", true)],
        );
    }

    #[test]
    fn a_helper_and_a_skipped_test_do_not_run() {
        check("fn contract_01_a() {", &[("contract_01_a", false)]);
        check(
            "#[test]\n#[ignore = \"slow\"]\nfn contract_01_a() {",
            &[("contract_01_a", false)],
        );
        check(
            "#[test]\nfn other() {}\nfn contract_01_a() {",
            &[("contract_01_a", false)],
        );
    }

    #[test]
    fn a_mention_is_no_test() {
        check("// fn museum_01_a() {", &[]);
        check("let text = \"fn museum_01_a() {\";", &[]);
        check("museum_01_a();", &[]);
        check("fn museums_are_nice() {", &[]);
    }
}
