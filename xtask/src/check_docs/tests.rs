//! Each test breaks one rule in an otherwise legal tree that exists in memory alone.

use super::rule::Rule;
use super::*;

/// A tree with all pages, every row open, one decision and one proved statement.
struct Fixture {
    files: Vec<(String, String)>,
}

const STOP: &str = "crates/core/tests/stop.rs";
const STOP_TEST: &str = "#[test]\nfn contract_34_nothing_is_called() {}\n";

impl Fixture {
    fn legal() -> Self {
        let row_34 = format!("`{STOP}`: `contract_34_nothing_is_called` | ");
        let mut fixture = Self { files: Vec::new() };
        fixture.write("README.md", "See [parity](docs/parity.md#rows).\n");
        fixture.write("docs/museum.md", &page(38, 0, &[]));
        fixture.write("docs/parity.md", &page(78, 28, &[("34", &row_34)]));
        fixture.write(
            "docs/requirements.md",
            &format!("| Line | Tests | Open |\n|---|---|---|\n| stop | {row_34}|\n"),
        );
        fixture.write("docs/adr/0001-one.md", "# 0001: One\n");
        fixture.write(STOP, STOP_TEST);
        fixture
    }

    fn write(&mut self, path: &str, content: &str) {
        self.files.retain(|(it, _)| it != path);
        self.files.push((path.to_owned(), content.to_owned()));
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::default();
        for (path, content) in &self.files {
            tree.add(path.clone(), content.clone());
        }
        tree
    }

    /// Asserts that `rule`, and no other, is broken at exactly these places.
    #[track_caller]
    fn breaks(&self, rule: Rule, places: &[&str]) {
        let report = check(&self.tree());
        let found: Vec<_> = report
            .violations
            .iter()
            .map(|it| (it.rule(), it.place()))
            .collect();
        let expected: Vec<_> = places.iter().map(|it| (rule, (*it).to_owned())).collect();
        assert_eq!(found, expected);
    }
}

/// A page with these many rows. All are open but those whose two last cells are given.
fn page(numbered: u32, beyond: u32, given: &[(&str, &str)]) -> String {
    let plain = (1..=numbered).map(|it| it.to_string());
    let labels = plain.chain((1..=beyond).map(|it| format!("B{it}")));
    let row = |label: String| {
        let cells = given.iter().find(|(it, _)| *it == label);
        let cells = cells.map_or(" | later ", |(_, cells)| cells);
        format!("| {label} | text | {cells}|\n")
    };
    let rows: String = labels.map(row).collect();
    format!("# Rows\n\n| # | Statement | Tests | Open |\n|---|---|---|---|\n{rows}")
}

#[test]
fn this_tree_keeps_every_rule() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let report = Tree::read(&root).map(|it| check(&it));
    let violations = report.expect("a tree that can be read").violations;
    let printed: String = violations.iter().map(Violation::to_string).collect();
    assert!(violations.is_empty(), "{printed}");
}

#[test]
fn a_legal_tree_breaks_no_rule() {
    let report = check(&Fixture::legal().tree());
    assert_eq!(report.violations, []);
    let tallies: Vec<_> = report
        .tallies
        .iter()
        .map(|(path, tally)| format!("{path}: {tally}"))
        .collect();
    assert_eq!(
        tallies,
        [
            "docs/museum.md: 0 rows proved, 0 in part, 38 open",
            "docs/parity.md: 1 rows proved, 0 in part, 105 open",
            "docs/requirements.md: 1 rows proved, 0 in part, 0 open",
            "docs/security.md: 0 rows proved, 0 in part, 0 open",
        ]
    );
}

#[test]
fn a_test_that_its_page_does_not_list_is_reported() {
    let mut fixture = Fixture::legal();
    fixture.write("crates/core/src/a.rs", "#[test]\nfn museum_01_a() {}\n");
    fixture.breaks(
        Rule::TestUnlisted,
        &["crates/core/src/a.rs:2: `museum_01_a`, row 1 of docs/museum.md"],
    );
}

#[test]
fn a_test_of_two_rows_must_be_in_both() {
    let mut fixture = Fixture::legal();
    fixture.write(
        "crates/core/src/a.rs",
        "#[test]\nfn contract_21_and_b05_a() {}\n",
    );
    fixture.breaks(
        Rule::TestUnlisted,
        &[
            "crates/core/src/a.rs:2: `contract_21_and_b05_a`, row 21 of docs/parity.md",
            "crates/core/src/a.rs:2: `contract_21_and_b05_a`, row B5 of docs/parity.md",
        ],
    );
}

#[test]
fn a_test_of_a_row_that_does_not_exist_is_reported() {
    let mut fixture = Fixture::legal();
    fixture.write(
        "crates/core/src/a.rs",
        "#[test]\nfn museum_39_a() {}\n#[test]\nfn contract_of_nothing() {}\n",
    );
    fixture.breaks(
        Rule::TestRowUnknown,
        &[
            "crates/core/src/a.rs:2: `museum_39_a`, row 39 of docs/museum.md",
            "crates/core/src/a.rs:4: `contract_of_nothing`",
        ],
    );
}

#[test]
fn a_test_that_never_runs_is_reported() {
    let mut fixture = Fixture::legal();
    fixture.write(STOP, "fn contract_34_nothing_is_called() {}\n");
    fixture.breaks(
        Rule::TestNotRun,
        &["crates/core/tests/stop.rs:1: `contract_34_nothing_is_called`"],
    );
}

#[test]
fn a_test_that_has_gone_is_reported_wherever_it_is_named() {
    let mut fixture = Fixture::legal();
    fixture.write(STOP, "");
    fixture.breaks(
        Rule::TestMissing,
        &[
            "docs/parity.md:38: `contract_34_nothing_is_called` in crates/core/tests/stop.rs",
            "docs/requirements.md:3: `contract_34_nothing_is_called` in crates/core/tests/stop.rs",
        ],
    );
}

#[test]
fn a_test_without_its_file_is_reported() {
    let mut fixture = Fixture::legal();
    fixture.write("docs/museum.md", &page(38, 0, &[("2", "`museum_02_a` | ")]));
    fixture.breaks(
        Rule::TestMissing,
        &["docs/museum.md:6: `museum_02_a` in no file"],
    );
}

#[test]
fn a_test_in_what_is_no_source_is_reported() {
    let mut fixture = Fixture::legal();
    let cells = "`docs/museum.md`: `museum_02_a` | ";
    fixture.write("docs/museum.md", &page(38, 0, &[("2", cells)]));
    fixture.breaks(
        Rule::TestMissing,
        &["docs/museum.md:6: `museum_02_a` in docs/museum.md"],
    );
}

#[test]
fn a_test_in_the_row_of_another_is_reported() {
    let mut fixture = Fixture::legal();
    let cells = format!("`{STOP}`: `contract_34_nothing_is_called` | ");
    fixture.write(
        "docs/parity.md",
        &page(78, 28, &[("34", &cells), ("35", &cells)]),
    );
    fixture.breaks(
        Rule::TestMisplaced,
        &["docs/parity.md:39: `contract_34_nothing_is_called` in crates/core/tests/stop.rs"],
    );
}

#[test]
fn a_row_without_a_test_and_without_a_word_is_reported() {
    let mut fixture = Fixture::legal();
    fixture.write("docs/museum.md", &page(38, 0, &[("2", " | ")]));
    let requirements = "| Line | Tests | Open |\n|---|---|---|\n| stop | | |\n";
    fixture.write("docs/requirements.md", requirements);
    fixture.breaks(
        Rule::RowUnproved,
        &[
            "docs/museum.md:6: row 2",
            "docs/requirements.md:3: this row",
        ],
    );
}

#[test]
fn missing_and_repeated_rows_are_reported() {
    let mut fixture = Fixture::legal();
    let page = page(38, 0, &[]).replace("| 7 |", "| 6 |");
    fixture.write("docs/museum.md", &page);
    fixture.breaks(
        Rule::RowNumbering,
        &[
            "docs/museum.md:1: missing: 7",
            "docs/museum.md:11: row 6 is there twice or has no place here",
        ],
    );
}

#[test]
fn a_link_that_leads_nowhere_is_reported() {
    let mut fixture = Fixture::legal();
    fixture.write(
        "docs/adr/0001-one.md",
        "[a](../museum.md) [b](0002-two.md)\n```\n[c](d.md)\n```\n[e](../parity.md#nowhere)\n",
    );
    fixture.breaks(
        Rule::LinkBroken,
        &[
            "docs/adr/0001-one.md:1: `0002-two.md`",
            "docs/adr/0001-one.md:5: `../parity.md#nowhere`",
        ],
    );
}

#[test]
fn a_command_that_neither_cargo_nor_xtask_takes_is_reported() {
    let mut fixture = Fixture::legal();
    fixture.write("crates/a/Cargo.toml", "[package]\nname = 'a'\n");
    fixture.write(
        "docs/adr/0001-one.md",
        "`cargo xtask ci` `cargo xtask cii`\n```sh\ncargo test -p a\ncargo test -p b   # why\n```\n",
    );
    fixture.breaks(
        Rule::CommandUnknown,
        &[
            "docs/adr/0001-one.md:1: `cargo xtask cii`: error: unrecognized subcommand 'cii'",
            "docs/adr/0001-one.md:4: `cargo test -p b   # why`: there is no package `b`",
        ],
    );
}

#[test]
fn a_path_that_does_not_exist_is_reported() {
    let mut fixture = Fixture::legal();
    fixture.write(
        "README.md",
        "`crates/core/tests/stop.rs:2`, `docs/adr/NNNN-*.md`\n`xtask/src/gone.rs`\n",
    );
    fixture.breaks(Rule::PathMissing, &["README.md:2: `xtask/src/gone.rs`"]);
}

#[test]
fn gaps_and_repetitions_of_decisions_are_reported() {
    let mut fixture = Fixture::legal();
    for name in ["0001-uno", "0003-three", "index"] {
        fixture.write(&format!("docs/adr/{name}.md"), "");
    }
    fixture.breaks(
        Rule::AdrNumbering,
        &[
            "docs/adr/0001-uno.md:1: 0001 is there twice",
            "docs/adr/0003-three.md:1: before it, 0002 is missing",
            "docs/adr/index.md:1: the name is not NNNN-title.md",
        ],
    );
}

#[test]
fn what_was_open_for_want_of_a_test_is_closed_by_one() {
    let mut fixture = Fixture::legal();
    fixture.write(
        "docs/museum.md",
        &page(
            38,
            0,
            &[("1", " | a test of its own "), ("2", " | a test ")],
        ),
    );
    fixture.write("crates/core/src/a.rs", "#[test]\nfn museum_01_a() {}\n");
    let tree = fixture.tree();
    let page = tree.document("docs/museum.md").expect("a page");
    let filled = ledger::filled_in(page, &claim::all_in(&tree));
    let rows: Vec<_> = filled.lines().skip(4).take(2).collect();
    assert_eq!(
        rows,
        [
            "| 1 | text | `crates/core/src/a.rs`: `museum_01_a` |  |",
            "| 2 | text |  | a test |",
        ]
    );
}

#[test]
fn the_tables_are_filled_in_and_their_prose_is_kept() {
    let mut fixture = Fixture::legal();
    fixture.write(
        "crates/core/src/a.rs",
        "#[test]\nfn contract_34_and_b02_a() {}\n",
    );
    let tree = fixture.tree();
    let page = tree.document("docs/parity.md").expect("a page");
    let filled = ledger::filled_in(page, &claim::all_in(&tree));
    let row = |label: &str| filled.lines().find(|it| it.starts_with(label));
    assert_eq!(
        row("| 34 |"),
        Some(
            "| 34 | text | `crates/core/tests/stop.rs`: `contract_34_nothing_is_called`<br>\
             `crates/core/src/a.rs`: `contract_34_and_b02_a` |  |"
        )
    );
    assert_eq!(
        row("| B2 |"),
        Some("| B2 | text | `crates/core/src/a.rs`: `contract_34_and_b02_a` | later |")
    );
    fixture.write("docs/parity.md", &filled);
    assert_eq!(check(&fixture.tree()).violations, []);
}
