//! Small sizes of what `cargo xtask hyperscale` does: thousands of components in one host, with faults, and a witness inside.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::Process;

/// For what was left behind, and the report.
const BEYOND: Duration = Duration::from_secs(10);

/// What the host reports after SIGTERM, when its scene is over; every promise was kept, and it has ended in time.
#[track_caller]
fn tortured(arguments: &[&str]) -> Value {
    let mut host = Process::tortured(arguments);
    host.address("over");
    let asked = Instant::now();
    host.terminate();
    let code = host.exit();
    let took = asked.elapsed();
    let report: Value = serde_json::from_str(&host.last_line()).expect("a report is JSON");
    assert_eq!(report["violations"], Value::Array(Vec::new()));
    assert_eq!(code, Some(0));
    let deadline = report["stop"]["deadline"].as_u64().expect("a deadline");
    let most = Duration::from_millis(deadline) + BEYOND;
    assert!(took < most, "it took {took:?} to end; {most:?} are enough");
    report
}

#[track_caller]
fn count(report: &Value, path: &str) -> u64 {
    let found = report.pointer(path).and_then(Value::as_u64);
    found.unwrap_or_else(|| panic!("no {path} in {report}"))
}

#[test]
fn components_that_fail_at_random_take_down_only_whom_their_edges_name_and_keep_their_budgets() {
    let storm = ["storm", "--components", "2000", "--faults", "stormy"];
    let report = tortured(&[&storm[..], &["--seconds", "3"]].concat());
    assert!(count(&report, "/faults/lost") > 0, "{report}");
    assert!(count(&report, "/faults/taken_down") > 0, "{report}");
    assert!(count(&report, "/faults/failed_attempts") > 100, "{report}");
    assert_eq!(count(&report, "/events/missed"), 0);
}

#[test]
fn thousands_that_flap_are_restarted_as_often_as_their_budgets_allow_and_no_more() {
    let storm = ["storm", "--components", "2000", "--faults", "flapping"];
    let report = tortured(&[&storm[..], &["--shape", "flat", "--seconds", "8"]].concat());
    let budget = count(&report, "/faults/budget");
    assert_eq!(count(&report, "/faults/most_restarts"), budget);
    assert!(count(&report, "/faults/given_up") > 500, "{report}");
}

#[test]
fn thousands_of_components_of_which_some_never_stop_do_not_keep_a_host_beyond_its_deadline() {
    let shape = ["--shape", "layers", "--faults", "hanging"];
    let size = ["storm", "--components", "2000", "--seconds", "1"];
    let report = tortured(&[&size[..], &shape].concat());
    assert_eq!(count(&report, "/start/most_running"), 2_001);
    // Some twenty stops hang, and some hang again when they are tried again.
    assert!(count(&report, "/faults/aborted") > 0, "{report}");
    assert_eq!(count(&report, "/stop/left"), 0);
}

#[test]
fn an_outage_of_what_thousands_depend_on_starts_each_of_them_once_when_it_is_over() {
    let outage = [
        "outage",
        "--dependents",
        "2000",
        "--outages",
        "2",
        "--seconds",
        "1",
    ];
    let report = tortured(&outage);
    assert_eq!(count(&report, "/measured/starts_of_the_others"), 2 * 1_000);
    // Who does not say what it depends on finds out by itself, and tries again as its policy says.
    let report = tortured(&[&outage[..], &["--edges", "undeclared"]].concat());
    assert!(count(&report, "/measured/starts_of_the_others") > 2 * 2_000);
}

#[test]
fn dozens_of_members_scopes_and_exporters_live_in_one_host() {
    let report = tortured(&[
        "mesh",
        "--members",
        "16",
        "--scopes",
        "16",
        "--exporters",
        "16",
    ]);
    assert_eq!(count(&report, "/components"), 49);
    assert_eq!(count(&report, "/measured/restarted_at_once"), 18);
}
