//! Each fixture under `xtask/fixtures` breaks one rule; `legal` breaks none.
//!
//! They resolve offline and locked: strangers are faked by folders, and nothing is written. To see
//! what one prints: `cargo xtask check-deps --manifest-path xtask/fixtures/<name>/Cargo.toml`.

use super::*;
use crate::check_deps::layers::Use;

const RUNTIME: &str = "in crates/lifecycle-runtime/Cargo.toml";
const CORE: &str = "in crates/lifecycle-core/Cargo.toml";

fn report_of(fixture: &str) -> Report {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(fixture);
    Workspace::load(&root.join("Cargo.toml"), &["--offline"])
        .and_then(|it| it.check())
        .expect("a fixture that resolves")
}

/// Asserts that `fixture` breaks `rule`, and no other, at exactly these places.
#[track_caller]
fn check(fixture: &str, rule: Rule, places: &[&str]) {
    let report = report_of(fixture);
    let found: Vec<_> = report
        .violations
        .iter()
        .map(|it| (it.rule, it.place.as_str()))
        .collect();
    let expected: Vec<_> = places.iter().map(|it| (rule, *it)).collect();
    assert_eq!(found, expected);
}

#[test]
fn contract_b20_this_workspace_keeps_every_rule() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let report = Workspace::load(&manifest, &[]).and_then(|it| it.check());
    let violations = report.expect("a workspace that resolves").violations;
    let printed: String = violations.iter().map(Violation::to_string).collect();
    assert!(violations.is_empty(), "{printed}");
}

/// Its runtime turns on a feature of tokio that must not count for the core.
#[test]
fn a_legal_workspace_breaks_no_rule() {
    let report = report_of("legal");
    assert_eq!(report.violations, []);
    assert_eq!(
        (report.members, report.edges, report.core_crates),
        (8, 18, 5)
    );
}

#[test]
fn a_member_without_a_row_is_reported() {
    check(
        "layer-unlisted",
        Rule::LayerUnlisted,
        &["crates/stowaway/Cargo.toml"],
    );
}

#[test]
fn an_upward_edge_is_reported() {
    let place = format!("lifecycle-runtime -> diagnostics [normal] {RUNTIME}");
    check("layer-upward", Rule::LayerUpward, &[&place]);
}

#[test]
fn an_upward_build_dependency_is_reported() {
    let place = format!("lifecycle-core -> diagnostics [build] {CORE}");
    check("layer-upward-build", Rule::LayerUpward, &[&place]);
}

#[test]
fn an_upward_dev_dependency_is_reported() {
    let place = format!("lifecycle-core -> lifecycle-testkit [dev] {CORE}");
    check("layer-upward-dev", Rule::LayerUpward, &[&place]);
}

#[test]
fn an_upward_edge_behind_a_feature_is_reported() {
    let place = format!("lifecycle-core -> diagnostics [normal, optional] {CORE}");
    check("layer-upward-optional", Rule::LayerUpward, &[&place]);
}

#[test]
fn an_upward_edge_under_another_name_is_reported() {
    let place = format!("lifecycle-runtime -> diagnostics [normal, renamed `friend`] {RUNTIME}");
    check("layer-upward-renamed", Rule::LayerUpward, &[&place]);
}

#[test]
fn an_upward_edge_of_another_target_is_reported() {
    let place = format!("lifecycle-runtime -> diagnostics [normal, for windows] {RUNTIME}");
    check("layer-upward-target", Rule::LayerUpward, &[&place]);
}

#[test]
fn an_edge_out_of_the_layers_is_reported() {
    let place = "mesh -> bench [normal] in crates/mesh/Cargo.toml";
    check("layer-upward-outside", Rule::LayerUpward, &[place]);
}

#[test]
fn an_edge_within_a_layer_is_reported() {
    let place = "mesh -> diagnostics [normal] in crates/mesh/Cargo.toml";
    check("layer-sideways", Rule::LayerSideways, &[place]);
}

/// They have the layer between the runtime and the parts: who shows and who finds may both serve by them.
#[test]
fn parts_may_use_the_adapters_and_these_no_part() {
    let adapters = layers::row("lifecycle-adapters").expect("a row");
    for name in ["diagnostics", "mesh"] {
        let part = layers::row(name).expect("a row");
        let (down, up) = (
            layers::broken_by(part, adapters, Use::Any),
            layers::broken_by(adapters, part, Use::Any),
        );
        assert_eq!((down, up), (None, Some(Rule::LayerUpward)), "{name}");
    }
}

#[test]
fn an_edge_between_binaries_is_reported() {
    let place = "control-plane-host -> dispatcher [dev] in crates/control-plane-host/Cargo.toml";
    check("layer-sideways-binaries", Rule::LayerSideways, &[place]);
}

#[test]
fn a_detour_through_strangers_is_reported_with_its_path() {
    let path = "lifecycle-runtime -> glue [dev] -> paste [normal] -> mesh [normal, optional]";
    let place = format!("{path} {RUNTIME}");
    check("layer-transitive", Rule::LayerTransitive, &[&place]);
}

#[test]
fn the_test_kit_outside_tests_is_reported() {
    let place = "mesh -> lifecycle-testkit [normal] in crates/mesh/Cargo.toml";
    check("dev-only", Rule::DevOnly, &[place]);
}

#[test]
fn the_test_kit_by_a_detour_is_reported_with_its_path() {
    let path = "control-plane-host -> tracing [normal] -> lifecycle-testkit [normal]";
    let place = format!("{path} in crates/control-plane-host/Cargo.toml");
    check("dev-only-transitive", Rule::DevOnly, &[&place]);
}

#[test]
fn a_use_of_xtask_is_reported() {
    let place = "bench -> xtask [build] in crates/bench/Cargo.toml";
    check("xtask-used", Rule::XtaskUsed, &[place]);
}

#[test]
fn a_fourth_dependency_of_the_core_is_reported() {
    let place = format!("lifecycle-core -> petgraph [normal, optional] {CORE}");
    check("core-dependency", Rule::CoreDependency, &[&place]);
}

#[test]
fn a_seventeenth_crate_below_the_core_is_reported() {
    let parts: String = (1..=15).map(|it| format!("part-{it:02}, ")).collect();
    let place = format!("17 crates: lifecycle-core, {parts}tokio-util");
    check("core-crate-count", Rule::CoreCrateCount, &[&place]);
}

#[test]
fn a_tokio_runtime_below_the_core_is_reported() {
    check(
        "core-tokio-features",
        Rule::CoreTokioFeatures,
        &["tokio is built with rt"],
    );
}

#[test]
fn an_unlisted_stranger_is_reported() {
    let place = "mesh -> reqwest [normal, optional, for unix] in crates/mesh/Cargo.toml";
    check("external-unlisted", Rule::ExternalUnlisted, &[place]);
}

#[test]
fn a_dependency_that_is_not_inherited_is_reported_with_its_line() {
    let places = [
        "crates/mesh/Cargo.toml:7: `lifecycle-core`",
        "crates/mesh/Cargo.toml:10: `lifecycle-testkit`",
    ];
    check("workspace-inherited", Rule::WorkspaceInherited, &places);
}

#[test]
fn sequencing_in_the_code_of_who_leaves_it_to_others_is_reported_with_its_line() {
    let places = [
        "crates/dispatcher/src/lib.rs:6: `join-set`",
        "crates/dispatcher/src/lib.rs:7: `tokio::spawn`",
        "crates/dispatcher/src/lib.rs:8: `lifecycle::start`",
    ];
    check("sequencing", Rule::Sequencing, &places);
}

#[test]
fn a_forbidden_word_is_reported_with_its_line() {
    let places = [
        "crates/lifecycle-adapters/src/lib.rs:1: `dispatcher`",
        "crates/lifecycle-core/README.md:2: `control-plane`",
        "crates/lifecycle-core/src/lib.rs:3: `dispatcher`",
        "crates/lifecycle-core/src/lib.rs:4: `grpc`",
        "crates/lifecycle-runtime/Cargo.toml:6: `axum`",
        "crates/lifecycle-runtime/tests/rules.rs:1: `http`",
    ];
    check("forbidden-word", Rule::ForbiddenWord, &places);
}
