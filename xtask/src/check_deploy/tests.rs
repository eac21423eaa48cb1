//! The kit as it is breaks no rule, and each rule is broken by a change that it is there for.

use std::path::Path;

use super::rule::Rule;
use super::source_names::SourceNames;
use super::{File, Host, Kit};

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The rules that are broken once `change` has been made to the kit.
#[track_caller]
fn broken_by(change: impl FnOnce(&mut Kit)) -> Vec<Rule> {
    let mut kit = Kit::read(root()).expect("the kit");
    change(&mut kit);
    let names = SourceNames::read(root()).expect("the sources");
    let violations = kit.violations(&names).expect("files of their kind");
    let mut rules: Vec<_> = violations.iter().map(|it| it.rule).collect();
    rules.dedup();
    rules
}

#[track_caller]
fn replace(file: &mut File, from: &str, to: &str) {
    assert!(
        file.content.contains(from),
        "{from:?} is not in {}",
        file.path
    );
    file.content = file.content.replacen(from, to, 1);
}

fn dispatcher(kit: &mut Kit) -> &mut Host {
    kit.hosts.last_mut().expect("a host")
}

#[test]
fn the_kit_breaks_no_rule() {
    assert_eq!(broken_by(|_| {}), []);
}

#[test]
fn an_alert_on_a_metric_that_no_host_has_is_found() {
    let rules = broken_by(|it| replace(&mut it.rules, "lifecycle_ready ==", "lifecycle_redy =="));
    assert_eq!(rules, [Rule::MetricUnknown]);
}

#[test]
fn a_panel_on_a_metric_that_no_host_has_is_found() {
    let change = |it: &mut Kit| replace(&mut it.dashboard, "sum(lifecycle_ready{", "sum(ready{");
    assert_eq!(broken_by(change), [Rule::MetricUnknown]);
}

#[test]
fn an_alert_on_a_value_that_no_label_has_is_found() {
    let rules = broken_by(|it| replace(&mut it.rules, "state=\"faulted\"", "state=\"falted\""));
    assert_eq!(rules, [Rule::LabelUnknown]);
}

#[test]
fn an_alert_without_a_test_of_both_outcomes_is_found() {
    let shown = "alertname=\"LifecycleEventLag\", alertstate=\"firing\"}\n        eval_time: 30s";
    let rules = broken_by(|it| replace(&mut it.rule_tests, shown, "alertname=\"Other\"}"));
    assert_eq!(rules, [Rule::AlertUntested]);
}

#[test]
fn an_alert_that_does_not_say_how_grave_it_is_is_found() {
    let rules =
        broken_by(|it| replace(&mut it.rules, "labels: {severity: critical}", "labels: {}"));
    assert_eq!(rules, [Rule::AlertUnexplained]);
}

#[test]
fn a_unit_that_kills_at_another_time_than_the_host_is_told_is_found() {
    let change = |it: &mut Kit| replace(&mut dispatcher(it).unit, "StopSec=60", "StopSec=30");
    assert_eq!(broken_by(change), [Rule::StopUnknown]);
}

#[test]
fn a_unit_that_starts_a_host_again_and_again_with_a_broken_configuration_is_found() {
    let change = |it: &mut Kit| replace(&mut dispatcher(it).unit, "Status=64 78", "Status=64");
    assert_eq!(broken_by(change), [Rule::UnitSetting]);
}

#[test]
fn a_pod_that_is_killed_at_another_time_than_the_host_is_told_is_found() {
    let period = "GracePeriodSeconds: 60";
    let change = |it: &mut Kit| {
        replace(
            &mut dispatcher(it).manifests,
            period,
            "GracePeriodSeconds: 30",
        );
    };
    assert_eq!(broken_by(change), [Rule::StopUnknown]);
}

#[test]
fn a_pod_that_may_write_to_its_file_system_is_found() {
    let change = |it: &mut Kit| {
        let manifests = &mut dispatcher(it).manifests;
        replace(
            manifests,
            "readOnlyRootFilesystem: true",
            "readOnlyRootFilesystem: false",
        );
    };
    assert_eq!(broken_by(change), [Rule::PodSetting]);
}

#[test]
fn probes_of_another_port_than_that_of_the_diagnostics_are_found() {
    let change = |it: &mut Kit| {
        replace(
            &mut dispatcher(it).configuration,
            "0.0.0.0:9182",
            "0.0.0.0:9999",
        );
    };
    assert_eq!(broken_by(change), [Rule::ProbeMisses]);
}

#[test]
fn a_node_that_drains_before_its_probe_has_failed_is_found() {
    let change = |it: &mut Kit| {
        replace(
            &mut dispatcher(it).configuration,
            "settle = \"10s\"",
            "settle = \"5s\"",
        );
    };
    assert_eq!(broken_by(change), [Rule::SettleTooShort]);
}

#[test]
fn a_pod_that_gives_a_start_less_time_than_the_unit_is_found() {
    let change = |it: &mut Kit| {
        replace(
            &mut dispatcher(it).manifests,
            "failureThreshold: 90",
            "failureThreshold: 9",
        );
    };
    assert_eq!(broken_by(change), [Rule::StartTooShort]);
}
