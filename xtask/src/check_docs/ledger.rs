//! [`Ledger`]: a page with a table that lists what must be proved, and by which tests it is.

use std::collections::BTreeSet;
use std::fmt;

use crate::check_docs::claim::{self, Claim};
use crate::check_docs::label::Label;
use crate::check_docs::links;
use crate::check_docs::markdown::{TableRow, code_spans, table_rows};
use crate::check_docs::rule::{Rule, Violation};
use crate::check_docs::tree::{Text, Tree};

/// One such page, and the rows that it must have.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) path: &'static str,
    /// What the names of its tests begin with; without one, its tests have names of all kinds and
    /// its rows no numbers.
    prefix: Option<&'static str>,
    numbered: u32,
    beyond: u32,
}

pub(crate) const LEDGERS: &[Ledger] = &[
    Ledger {
        path: "docs/museum.md",
        prefix: Some("museum"),
        numbered: 38,
        beyond: 0,
    },
    Ledger {
        path: "docs/parity.md",
        prefix: Some("contract"),
        numbered: 78,
        beyond: 28,
    },
    Ledger {
        path: "docs/requirements.md",
        prefix: None,
        numbered: 0,
        beyond: 0,
    },
    Ledger {
        path: "docs/security.md",
        prefix: None,
        numbered: 0,
        beyond: 0,
    },
];

/// The columns that are read. What is written under `OPEN` is still to be done.
const TESTS: &str = "Tests";
const OPEN: &str = "Open";

/// What begins there when all is built and only the test is missing.
const A_TEST: &str = "a test";

/// A row of a ledger.
struct Entry<'a> {
    line: usize,
    label: Option<Label>,
    tests: Vec<Named<'a>>,
    is_open: bool,
}

/// A test that a row names, with the file that was named before it.
struct Named<'a> {
    path: &'a str,
    name: &'a str,
}

/// How many rows of a page are proved.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    closed: usize,
    partly: usize,
    open: usize,
}

impl Ledger {
    /// What is wrong with the page, and how far it has come.
    pub(crate) fn check(&self, tree: &Tree, claims: &[Claim]) -> (Vec<Violation>, Tally) {
        let empty = Text {
            path: self.path.to_owned(),
            content: String::new(),
        };
        let page = tree.document(self.path).unwrap_or(&empty);
        let entries = entries_of(page);
        let mut found: Vec<_> = entries
            .iter()
            .flat_map(|it| self.named_violations(tree, claims, it))
            .collect();
        found.extend(self.numbering_violations(&entries));
        let unproved = entries
            .iter()
            .filter(|it| it.tests.is_empty() && !it.is_open);
        found.extend(unproved.map(|it| {
            let row = it
                .label
                .map_or("this row".to_owned(), |it| format!("row {it}"));
            self.violation(Rule::RowUnproved, it.line, row)
        }));
        let claims = claims.iter().filter(|it| self.prefix == Some(it.prefix));
        found.extend(claims.flat_map(|it| self.claim_violations(&entries, it)));
        (found, Tally::of(&entries))
    }

    fn violation(&self, rule: Rule, line: usize, what: String) -> Violation {
        Violation::new(rule, self.path, line, what)
    }

    /// Numbers that are missing, there twice, or too many.
    fn numbering_violations(&self, entries: &[Entry<'_>]) -> Vec<Violation> {
        let series = [(false, self.numbered), (true, self.beyond)];
        let mut missing: BTreeSet<_> = series
            .into_iter()
            .flat_map(|(beyond, last)| (1..=last).map(move |number| Label { beyond, number }))
            .collect();
        let mut found = Vec::new();
        for entry in entries {
            if let Some(label) = entry.label
                && !missing.remove(&label)
            {
                let what = format!("row {label} is there twice or has no place here");
                found.push(self.violation(Rule::RowNumbering, entry.line, what));
            }
        }
        if !missing.is_empty() {
            let labels: Vec<_> = missing.iter().map(Label::to_string).collect();
            let what = format!("missing: {}", labels.join(", "));
            found.push(self.violation(Rule::RowNumbering, 1, what));
        }
        found
    }

    /// Names in a row that no test answers to, or one of another row.
    fn named_violations(&self, tree: &Tree, claims: &[Claim], entry: &Entry<'_>) -> Vec<Violation> {
        let broken = |named: &Named<'_>| {
            let what = format!("`{}` in {}", named.name, named.path);
            let Some(source) = tree.source(named.path) else {
                // A path that leads nowhere is reported as such.
                let told = links::is_repository_path(named.path) && !tree.has(named.path);
                return (!told).then(|| self.violation(Rule::TestMissing, entry.line, what));
            };
            if !claim::has_function(source, named.name) {
                return Some(self.violation(Rule::TestMissing, entry.line, what));
            }
            let label = entry.label.filter(|_| self.prefix.is_some())?;
            let owned = claims
                .iter()
                .any(|it| it.is(named) && it.labels.contains(&label));
            (!owned).then(|| self.violation(Rule::TestMisplaced, entry.line, what))
        };
        entry.tests.iter().filter_map(broken).collect()
    }

    /// Rows that do not name a test of theirs.
    fn claim_violations(&self, entries: &[Entry<'_>], claim: &Claim) -> Vec<Violation> {
        let told = |label: &Label| {
            let rows = entries.iter().filter(|it| it.label == Some(*label));
            let lists: Vec<_> = rows
                .map(|row| row.tests.iter().any(|it| claim.is(it)))
                .collect();
            if lists.contains(&true) {
                return None;
            }
            let rule = if lists.is_empty() {
                Rule::TestRowUnknown
            } else {
                Rule::TestUnlisted
            };
            let what = format!("`{}`, row {label} of {}", claim.name, self.path);
            Some(Violation::new(rule, &claim.path, claim.line, what))
        };
        claim.labels.iter().filter_map(told).collect()
    }
}

impl Claim {
    fn is(&self, named: &Named<'_>) -> bool {
        self.path == named.path && self.name == named.name
    }
}

fn entries_of(page: &Text) -> Vec<Entry<'_>> {
    let rows = table_rows(&page.content);
    rows.iter().filter_map(entry_of).collect()
}

/// A row of a table without a column of tests is none of ours.
fn entry_of<'a>(row: &TableRow<'a>) -> Option<Entry<'a>> {
    Some(Entry {
        line: row.line,
        label: row.cells.first().and_then(|it| Label::parse(it)),
        tests: named_in(row.cell(TESTS)?),
        is_open: row.cell(OPEN).is_some_and(|it| !it.is_empty()),
    })
}

/// Reads `` `file`: `test`, `test`; `file`: `test` ``.
fn named_in(cell: &str) -> Vec<Named<'_>> {
    let mut path = "no file";
    let mut found = Vec::new();
    for span in code_spans(cell) {
        if span.contains('/') {
            path = span;
        } else {
            found.push(Named { path, name: span });
        }
    }
    found
}

/// The page with the tests of each numbered row in their column. Where [`A_TEST`] was missing and
/// has come, nothing is open any more; what else is open is for a person to judge.
pub(crate) fn filled_in(page: &Text, claims: &[Claim]) -> String {
    let prefix = LEDGERS
        .iter()
        .find(|it| it.path == page.path)
        .and_then(|it| it.prefix);
    let mut lines: Vec<_> = page.content.lines().map(str::to_owned).collect();
    for mut row in table_rows(&page.content) {
        let label = row.cells.first().and_then(|it| Label::parse(it));
        let cell = row.column(TESTS).filter(|it| *it < row.cells.len());
        let wants_a_test = |it: &usize| row.cells.get(*it).is_some_and(|it| it.starts_with(A_TEST));
        let open = row.column(OPEN).filter(wants_a_test);
        if let (Some(prefix), Some(label), Some(cell)) = (prefix, label, cell) {
            let of_row = |it: &&Claim| it.prefix == prefix && it.labels.contains(&label);
            let tests = rendered(claims.iter().filter(of_row));
            row.cells[cell] = &tests;
            if let Some(open) = open.filter(|_| !tests.is_empty()) {
                row.cells[open] = "";
            }
            lines[row.line - 1] = format!("| {} |", row.cells.join(" | "));
        }
    }
    lines.push(String::new());
    lines.join("\n")
}

/// Claims come by path, so those of one file are next to each other.
fn rendered<'a>(claims: impl Iterator<Item = &'a Claim>) -> String {
    let mut cell = String::new();
    let mut path = "";
    for claim in claims {
        if claim.path == path {
            cell += ", ";
        } else {
            let division = if path.is_empty() { "" } else { "<br>" };
            path = &claim.path;
            cell += &format!("{division}`{path}`: ");
        }
        cell += &format!("`{}`", claim.name);
    }
    cell
}

impl Tally {
    fn of(entries: &[Entry<'_>]) -> Self {
        let mut tally = Self::default();
        for entry in entries {
            match (entry.tests.is_empty(), entry.is_open) {
                (false, false) => tally.closed += 1,
                (false, true) => tally.partly += 1,
                (true, _) => tally.open += 1,
            }
        }
        tally
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            closed,
            partly,
            open,
        } = self;
        write!(f, "{closed} rows proved, {partly} in part, {open} open")
    }
}
