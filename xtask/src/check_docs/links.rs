//! Links and paths in the documents: each leads somewhere.

use crate::check_docs::markdown::{code_spans, fragments, lines, without_code};
use crate::check_docs::rule::{Rule, Violation};
use crate::check_docs::tree::{Text, Tree};

/// What was found, and in how much.
#[derive(Debug, Default)]
pub(crate) struct Links {
    pub(crate) violations: Vec<Violation>,
    pub(crate) links: usize,
    pub(crate) paths: usize,
}

/// Follows every relative link, and every path in code that begins at the root.
pub(crate) fn check(tree: &Tree) -> Links {
    let mut found = Links::default();
    for page in &tree.documents {
        for (line, text) in lines(&page.content) {
            for target in targets_in(&without_code(text)) {
                found.links += 1;
                if !leads_somewhere(tree, page, &target) {
                    let what = format!("`{target}`");
                    found.report(Rule::LinkBroken, page, line, what);
                }
            }
            for path in code_spans(text).filter(|it| is_repository_path(it)) {
                found.paths += 1;
                if !tree.has(without_place(path)) {
                    found.report(Rule::PathMissing, page, line, format!("`{path}`"));
                }
            }
        }
    }
    found
}

impl Links {
    fn report(&mut self, rule: Rule, page: &Text, line: usize, what: String) {
        self.violations
            .push(Violation::new(rule, &page.path, line, what));
    }
}

/// Whether a piece of code is a path from the root, and not a pattern or a command.
pub(crate) fn is_repository_path(code: &str) -> bool {
    let rooted = ["crates/", "docs/", "xtask/"]
        .iter()
        .any(|it| code.starts_with(it));
    rooted && !code.contains(|it: char| it.is_whitespace() || "*<>{}$…".contains(it))
}

/// A path without a line number and without the slash of a folder.
fn without_place(path: &str) -> &str {
    let path = match path.rsplit_once(':') {
        Some((path, line)) if line.bytes().all(|it| it.is_ascii_digit()) => path,
        _ => path,
    };
    path.trim_end_matches('/')
}

/// The relative targets of `[text](target)` and `[name]: target`.
fn targets_in(line: &str) -> Vec<String> {
    let inline = line
        .split("](")
        .skip(1)
        .filter_map(|it| it.split(')').next());
    let defined = line
        .strip_prefix('[')
        .and_then(|it| it.split_once("]: "))
        .map(|(_, target)| target);
    let target = |it: &str| it.split_whitespace().next().unwrap_or_default().to_owned();
    let is_relative = |it: &String| !it.contains("://") && !it.starts_with("mailto:");
    inline
        .chain(defined)
        .map(target)
        .filter(is_relative)
        .collect()
}

fn leads_somewhere(tree: &Tree, page: &Text, target: &str) -> bool {
    let (path, fragment) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolved(&page.path, path) else {
        return false;
    };
    if !tree.has(&path) {
        return false;
    }
    match tree.document(&path) {
        Some(other) if !fragment.is_empty() => fragments(&other.content).any(|it| it == fragment),
        _ => true,
    }
}

/// The path from the root that `target` means on the page `from`; none outside the root.
fn resolved(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<_> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_targets_are_taken_and_others_left() {
        let line = "[a](b.md) [c](https://d.e) [f](../g#h \"title\")";
        assert_eq!(targets_in(line), ["b.md", "../g#h"]);
        assert_eq!(targets_in("[a]: b.md"), ["b.md"]);
        assert!(targets_in("- [x] done").is_empty());
    }

    #[test]
    fn a_target_is_resolved_from_its_page() {
        let on_page = |target| resolved("docs/adr/0001-a.md", target);
        assert_eq!(on_page("../b.md").as_deref(), Some("docs/b.md"));
        assert_eq!(on_page("./").as_deref(), Some("docs/adr"));
        assert_eq!(on_page("").as_deref(), Some("docs/adr/0001-a.md"));
        assert_eq!(on_page("../../../b.md"), None);
    }

    #[test]
    fn a_path_is_told_from_a_pattern() {
        assert!(is_repository_path("crates/mesh/src/lib.rs:12"));
        assert_eq!(
            without_place("crates/mesh/src/lib.rs:12"),
            "crates/mesh/src/lib.rs"
        );
        assert!(!is_repository_path("crates/*/tests"));
        assert!(!is_repository_path("src/lib.rs"));
    }
}
