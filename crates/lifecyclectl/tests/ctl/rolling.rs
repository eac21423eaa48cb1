//! `rolling-restart`.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{env, fs};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::fleet::{Fleet, Member};
use crate::kit::{Run, command};
use crate::page::compare;

/// What a process that was restarted looks like from outside: it is there again, and takes work.
const RESTART: &str = concat!(
    "'",
    env!("CARGO_BIN_EXE_lifecyclectl"),
    "' --endpoint {endpoint} resume"
);

/// Runs a rolling restart with these words, and with a command when one is given.
fn rolling(words: &str, restart: Option<&str>) -> Run {
    let mut command = command();
    command
        .arg("rolling-restart")
        .args(words.split_whitespace());
    if let Some(restart) = restart {
        command.args(["--restart-command", restart]);
    }
    command.output().unwrap().into()
}

fn state_in(folder: &TempDir) -> PathBuf {
    folder.path().join("state.json")
}

#[test]
fn a_plan_is_printed_and_a_dry_run_touches_nothing() {
    let fleet = Fleet::of(2);
    fleet.members[1].state().broken = Some("db:faulted");
    let words = "--restart-command 'systemctl restart shop@{host}' --max-error-rate 1% --settle 4s --pause 6s";
    let names = fleet.names();
    let run = rolling(
        &format!("{names} --dry-run --max-error-rate 1% --settle 4s --pause 6s"),
        Some("systemctl restart shop@{host}"),
    );
    let run = run.ended(0);
    let line = format!("rolling-restart a b {words} --dry-run");
    compare("rolling-dry-run", &line, &run, &renamed(&fleet));
    assert!(fleet.log().is_empty());
}

fn renamed(fleet: &Fleet) -> Vec<(String, &'static str)> {
    let names = ["http://a:9180", "http://b:9180", "http://c:9180"];
    let urls = fleet.members.iter().map(|it| it.server.url());
    urls.zip(names).collect()
}

#[test]
fn hosts_are_restarted_one_after_another_by_a_command() {
    let fleet = Fleet::of(3);
    let run = rolling(&fleet.names(), Some(RESTART)).ended(0);
    let expected = ["cordon", "drain", "resume"];
    let expected = (0..3).flat_map(|host| expected.map(|it| format!("{host} {it}")));
    assert_eq!(fleet.log(), expected.collect::<Vec<_>>());
    assert_eq!(fleet.most_away(), 1);
    assert!(
        run.stdout.ends_with("3 hosts restarted\n"),
        "{}",
        run.stdout
    );
    // What the command prints does not mix with what the program says.
    assert!(run.stderr.contains("resume succeeded"), "{}", run.stderr);
    let drain = fleet.members[0].server.requests();
    let drain = drain
        .iter()
        .find(|it| it.line.ends_with("/drain"))
        .unwrap()
        .json();
    let asked = serde_json::json!({ "reason": "rolling restart", "deadlineMs": 300_000 });
    assert_eq!(drain, asked);
}

#[test]
fn without_a_command_the_drain_participants_restart_in_place_and_the_node_is_resumed() {
    let fleet = Fleet::of(2);
    let run = rolling(&fleet.names(), None).ended(0);
    let expected = [
        "cordon",
        "drain",
        "restart http-inbound",
        "restart grpc-inbound",
        "resume",
    ];
    let expected = (0..2).flat_map(|host| expected.map(|it| format!("{host} {it}")));
    assert_eq!(fleet.log(), expected.collect::<Vec<_>>());
    compare("rolling", "rolling-restart a b", &run, &renamed(&fleet));
}

#[test]
fn a_cordoned_host_is_served_for_as_long_as_it_settles_before_it_is_drained() {
    let fleet = Fleet::of(2);
    let words = format!("{} --settle 300ms", fleet.names());
    let begin = Instant::now();
    rolling(&words, Some(RESTART)).ended(0);
    assert!(begin.elapsed() >= Duration::from_millis(600));
    let expected = ["cordon", "drain", "resume"];
    let expected = (0..2).flat_map(|host| expected.map(|it| format!("{host} {it}")));
    assert_eq!(fleet.log(), expected.collect::<Vec<_>>());
}

#[test]
fn as_many_hosts_at_once_as_the_budget_allows() {
    let fleet = Fleet::of(5);
    let words = format!("{} --max-unavailable 2", fleet.names());
    rolling(&words, None).ended(0);
    assert_eq!(fleet.most_away(), 2);
    let resumed = fleet.log().into_iter().filter(|it| it.ends_with("resume"));
    assert_eq!(resumed.count(), 5);
}

#[test]
fn a_host_that_is_away_already_counts_against_the_budget_and_is_restarted_first() {
    let fleet = Fleet::of(3);
    fleet.members[2].state().broken = Some("db:faulted");
    rolling(&fleet.names(), None).ended(0);
    let first = fleet.log().into_iter().next().unwrap();
    assert_eq!(first, "2 cordon");
}

#[test]
fn the_first_regression_stops_the_run_and_the_state_says_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let fleet = Fleet::of(3);
    fleet.members[1].state().broken_by_restart = Some("db:faulted");
    let words = format!(
        "{} --ready-timeout 200ms --state {}",
        fleet.names(),
        state.display()
    );
    let run = rolling(&words, None);
    let what = format!(
        "stopped at {}: not ready after 200 ms: db:faulted",
        fleet.members[1].server.url()
    );
    let run = run.failed(1, &what);
    assert!(run.stderr.contains("--resume --state"), "{}", run.stderr);
    assert!(
        !fleet.log().iter().any(|it| it.starts_with('2')),
        "{:?}",
        fleet.log()
    );
    assert_eq!(phases(&state), ["done", "restarted", "pending"]);

    // Nothing has changed: it stops there again, and touches nobody else.
    let resume = format!("--resume --state {}", state.display());
    rolling(&resume, None).failed(1, "not ready after 200 ms");
    let before = fleet.log().len();

    let member = &fleet.members[1];
    member.state().broken = None;
    member.state().broken_by_restart = None;
    rolling(&resume, None).ended(0);
    let rest = fleet.log().split_off(before);
    assert!(rest.iter().all(|it| it.starts_with('2')), "{rest:?}");
    assert_eq!(rest.len(), 5);
    assert!(!state.exists());
}

fn phases(state: &PathBuf) -> Vec<String> {
    let state: Value = serde_json::from_str(&fs::read_to_string(state).unwrap()).unwrap();
    let hosts = state["hosts"].as_array().unwrap();
    hosts
        .iter()
        .map(|it| it["phase"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_run_that_is_written_down_is_not_begun_anew_by_mistake_and_keeps_its_options() {
    let folder = tempfile::tempdir().unwrap();
    let state = state_in(&folder);
    let fleet = Fleet::of(2);
    let words = format!("{} --state {}", fleet.names(), state.display());
    rolling(&words, Some("false {host}")).failed(1, "false failed: exit status: 1");
    assert_eq!(phases(&state), ["drained", "pending"]);
    assert!(
        !fs::read_to_string(&state)
            .unwrap()
            .to_lowercase()
            .contains("token")
    );
    rolling(&words, Some(RESTART)).failed(64, "has a run that is not over");
    let resume = format!("--resume --state {}", state.display());
    rolling(&resume, Some(RESTART)).failed(64, "cannot be used with");
    rolling(&resume, None).failed(1, "false failed");
    let text = fs::read_to_string(&state).unwrap();
    fs::write(&state, text.replace("false {host}", RESTART)).unwrap();
    rolling(&resume, None).ended(0);
    // What was done before is not done again.
    let expected = [
        "0 cordon", "0 drain", "0 resume", "1 cordon", "1 drain", "1 resume",
    ];
    assert_eq!(fleet.log(), expected);
}

#[test]
fn a_drain_that_does_not_end_stops_the_run() {
    let fleet = Fleet::of(2);
    fleet.members[0].state().stuck = true;
    // Its ten seconds of grace are what this test waits for at most: it is interrupted before.
    let mut command = command();
    command
        .arg("rolling-restart")
        .args(fleet.names().split(' '));
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    fleet.members[0].server.wait_for("GET /control/upgrade", 5);
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let run = Run::from(child.wait_with_output().unwrap());
    run.failed(130, "interrupted: the hosts stay as they are");
    assert_eq!(fleet.log(), ["0 cordon", "0 drain"]);
}

#[test]
fn a_host_that_others_have_taken_away_uses_up_the_budget() {
    let fleet = Fleet::of(3);
    fleet.members[1].state().broken = Some("node:cordoned");
    fleet.members[2].state().broken = Some("db:faulted");
    let run = rolling(&fleet.names(), None);
    run.failed(1, "as many hosts are unready as --max-unavailable allows");
    assert!(fleet.log().is_empty());
}

#[test]
fn a_host_that_cannot_be_restarted_as_asked_stops_the_run_before_it_begins() {
    let fleet = Fleet::of(2);
    fleet.members[1].state().without_participants = true;
    rolling(&fleet.names(), None)
        .failed(1, "no drain participants that could be restarted in place");
    assert!(fleet.log().is_empty());
    let words = format!("{} 127.0.0.1:1", fleet.members[0].name());
    rolling(&words, Some("true")).failed(
        1,
        "http://127.0.0.1:1: http://127.0.0.1:1 cannot be reached",
    );
    assert!(fleet.log().is_empty());
}

#[test]
fn too_many_errors_on_the_hosts_that_remain_stop_the_run() {
    let fleet = Fleet::of(3);
    fleet.members[1].state().traffic = (60, 0);
    fleet.members[2].state().traffic = (35, 5);
    let words = format!("{} --max-error-rate 4%", fleet.names());
    let run = rolling(&words, None).failed(1, "5 of 100 calls failed (5%), and 4% is allowed");
    assert!(run.stderr.contains("1 of 3 done"), "{}", run.stderr);
    assert!(!fleet.log().iter().any(|it| it.starts_with('1')));
    // The host that is restarted is not asked.
    let own = fleet.members[0].server.lines();
    assert!(!own.contains(&"GET /metrics".to_owned()));
    let words = format!("{} --max-error-rate 5%", fleet.names());
    let run = rolling(&words, None);
    assert!(
        run.stdout.contains("5 of 100 calls failed (5%)"),
        "{}",
        run.stdout
    );
}

#[test]
fn errors_may_be_counted_elsewhere_by_another_metric() {
    let fleet = Fleet::of(1);
    let counter: &Member = &Fleet::of(1).members.pop().unwrap();
    counter.state().traffic = (0, 3);
    let elsewhere = format!(
        "--max-error-rate 0 --error-rate-url {}/metrics",
        counter.server.url()
    );
    let words = format!("{} {elsewhere}", fleet.names());
    rolling(&words, None).failed(1, "3 of 3 calls failed (100%)");
    let good = format!("{words} --error-rate-good code=INTERNAL");
    rolling(&good, None).ended(0);
    let other = format!("{words} --error-rate-metric calls_total");
    let run = rolling(&other, None).ended(0);
    assert!(
        run.stdout.contains("no calls were counted meanwhile"),
        "{}",
        run.stdout
    );
}

#[test]
fn a_gate_that_would_read_nothing_is_refused() {
    let fleet = Fleet::of(1);
    let words = format!("{} --max-error-rate 1%", fleet.names());
    rolling(&words, None).failed(64, "no host remains whose calls could be counted");
    assert!(fleet.log().is_empty());
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_asked() {
    let fleet = Fleet::of(1);
    let name = fleet.names();
    rolling(&format!("{name} {name}"), None).failed(64, "is named twice");
    rolling(&name, Some("restart {hsot}")).failed(64, "{hsot} is nothing that can be filled in");
    rolling("--resume --state /nowhere/state", None).failed(64, "/nowhere/state");
    let words = format!("{name} --force-after 1m --drain-deadline 30s");
    rolling(&words, None).failed(64, "--force-after is not less than --drain-deadline");
    assert!(fleet.members[0].server.lines().is_empty());
}

#[test]
fn a_command_that_does_not_end_is_killed_and_stops_the_run() {
    let fleet = Fleet::of(1);
    let words = format!("{} --restart-timeout 200ms", fleet.names());
    rolling(&words, Some("sleep 60")).failed(1, "sleep did not end within 200 ms and was killed");
}

#[test]
fn a_host_that_comes_up_and_goes_down_again_is_a_regression() {
    let fleet = Fleet::of(2);
    let member = &fleet.members[0];
    let mut looks = 0;
    // Ready for the budget, ready after the restart, and not after the pause.
    member.server.on("GET /readyz", move |_| {
        looks += 1;
        match looks {
            1 | 2 => crate::server::Reply::ok(&serde_json::json!({ "issues": [] })),
            _ => crate::server::Reply::json(503, &serde_json::json!({ "issues": ["db:faulted"] })),
        }
    });
    let words = format!("{} --pause 50ms", fleet.names());
    rolling(&words, None).failed(1, "did not stay ready: db:faulted");
    assert!(!fleet.log().iter().any(|it| it.starts_with('1')));
}

#[test]
fn as_json_the_state_is_the_answer_and_the_rest_is_beside_it() {
    let fleet = Fleet::of(2);
    let words = format!("{} -o json", fleet.names());
    let run = rolling(&words, None).ended(0);
    let document: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(document["hosts"][1]["phase"], "done");
    assert!(run.stderr.contains("2 hosts restarted"), "{}", run.stderr);
}
