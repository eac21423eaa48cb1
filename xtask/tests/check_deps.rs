//! `check-deps` as a process: what it prints and how it exits.

use std::path::Path;
use std::process::{Command, Output};

fn check_deps(fixture: &str) -> Output {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(fixture)
        .join("Cargo.toml");
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("check-deps")
        .arg("--manifest-path")
        .arg(manifest)
        .output()
        .expect("xtask runs")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_violation_names_rule_crate_edge_and_remedy_and_fails() {
    let output = check_deps("layer-sideways");
    let expected = "\
error[layer-sideways]: mesh
  where:  mesh -> diagnostics [normal] in crates/mesh/Cargo.toml
  rule:   crates of one layer do not know each other
  remedy: move what both need to a lower layer, or join the two in a host

check-deps: 1 violation; checked crates: 2, edges: 1, files: 2, crates that lifecycle-core builds: 0
";
    assert_eq!(stdout(&output), expected);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_clean_workspace_says_what_was_checked() {
    let output = check_deps("legal");
    assert!(stdout(&output).starts_with("check-deps: no violation; checked crates: 8, edges: 18"));
    assert!(output.status.success());
}

#[test]
fn a_workspace_that_cannot_be_read_is_an_error_and_not_a_violation() {
    let output = check_deps("no-such-fixture");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.starts_with("error: cannot resolve"), "{stderr}");
    assert_eq!(output.status.code(), Some(2));
}
