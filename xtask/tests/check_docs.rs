//! `check-docs` as a process: what it prints, what it writes and how it exits.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A checkout with one decision that has the wrong number.
fn checkout(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let write = |path: &str, content: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a new folder");
        fs::write(path, content).expect("a new file");
    };
    let rows = |series: &str, last: u32| -> String {
        (1..=last)
            .map(|it| format!("| {series}{it} | | later |\n"))
            .collect()
    };
    let head = "| # | Tests | Open |\n|---|---|---|\n";
    write("docs/museum.md", &format!("{head}{}", rows("", 38)));
    write(
        "docs/parity.md",
        &format!("{head}{}{}", rows("", 78), rows("B", 28)),
    );
    write("docs/requirements.md", "");
    write("docs/adr/0002-two.md", "");
    write(
        "crates/a/src/lib.rs",
        "#[test]\nfn museum_07_all_waiters_go_on() {}\n",
    );
    root
}

fn check_docs(root: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("check-docs")
        .args(options)
        .arg("--root")
        .arg(root)
        .output()
        .expect("xtask runs")
}

const GAP: &str = "\
error[adr-numbering]: before it, 0001 is missing
  where:  docs/adr/0002-two.md:1
  rule:   decisions are numbered from 0001 without a gap, one file each
  remedy: take the next free number, or add the decision that is missing
";

#[test]
fn all_violations_are_printed_at_once_with_place_and_remedy() {
    let output = check_docs(&checkout("check-docs"), &[]);
    let expected = format!(
        "\
error[test-unlisted]: `museum_07_all_waiters_go_on`, row 7 of docs/museum.md
  where:  crates/a/src/lib.rs:2
  rule:   a test that is named for a row is listed in it
  remedy: run `cargo xtask check-docs --write`, and correct the row's Open column

{GAP}
docs/museum.md: 0 rows proved, 0 in part, 38 open
docs/parity.md: 0 rows proved, 0 in part, 106 open
docs/requirements.md: 0 rows proved, 0 in part, 0 open
docs/security.md: 0 rows proved, 0 in part, 0 open
check-docs: 2 violations; checked documents: 4, links: 0, paths: 0, commands of cargo: 0, tests that own a row: 1
"
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn writing_puts_the_names_into_the_tables_and_mends_nothing_else() {
    let root = checkout("check-docs-write");
    let output = check_docs(&root, &["--write"]);
    let page = fs::read_to_string(root.join("docs/museum.md")).expect("the page");
    let row = "| 7 | `crates/a/src/lib.rs`: `museum_07_all_waiters_go_on` | later |";
    assert!(page.lines().any(|it| it == row), "{page}");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.starts_with(GAP), "{stdout}");
    assert!(stdout.contains("1 violation;"), "{stdout}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_checkout_that_cannot_be_read_is_an_error_and_not_a_violation() {
    let output = check_docs(Path::new("no-such-checkout"), &[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: cannot list"), "{stderr}");
    assert_eq!(output.status.code(), Some(2));
}
