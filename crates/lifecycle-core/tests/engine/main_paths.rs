//! The main paths, each as one story.

use crate::support::{Run, State, ms, no_restarts, registration};
use lifecycle_core::engine::OrchestratorState;
use lifecycle_core::{Backoff, Criticality, Retry};

#[test]
fn a_chain_starts_upwards_and_stops_downwards() {
    let mut run = Run::of(&[("db", &[]), ("cache", &[]), ("api", &["db", "cache"])]);
    assert_eq!(run.start(), "start db, start cache");
    assert_eq!(run.ok("start cache"), "");
    assert_eq!(run.state("api"), State::Waiting);
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(run.ok("start api"), "started");
    assert!(run.engine.is_ready());
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop cache, stop db");
    assert_eq!(run.ok("stop db"), "dispose db");
    assert_eq!(run.ok("stop cache"), "dispose cache, stopped");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    assert_eq!(run.report().stopped, 3);
    assert_eq!(
        run.history("api"),
        "waiting starting running stopping stopped"
    );
    assert_eq!(run.start(), "start db, start cache");
}

#[test]
fn a_start_waiting_for_its_retry_is_dropped_when_stop_is_requested() {
    let retry = Retry::attempts(3).with_backoff(Backoff::Fixed(ms(100)));
    let mut run = Run::with(vec![registration("db").start_retry(retry)], no_restarts());
    assert_eq!(run.start(), "start db");
    assert_eq!(run.fails("start db"), "");
    assert_eq!(run.state("db"), State::BackingOff);
    assert_eq!(run.stop(), "dispose db, start failed, stopped");
    assert_eq!(run.state("db"), State::Stopped);
}

#[test]
fn an_essential_failure_rolls_back_what_has_started() {
    let mut run = Run::of(&[("db", &[]), ("slow", &[]), ("api", &["db"])]);
    run.start();
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(
        run.fails("start api"),
        "cancel start slow, dispose api, stop db"
    );
    assert_eq!(run.fails("start slow"), "dispose slow");
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
    assert_eq!(run.state("api"), State::Faulted);
    assert_eq!(run.state("slow"), State::Stopped);
    let error = run.started.clone().expect("answered").expect_err("failed");
    assert_eq!(error.to_string(), "\"api\" failed to start: no luck");
}

#[test]
fn a_failed_stop_is_kept_and_a_further_stop_retries_exactly_that() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    run.ok("start api");
    run.stop();
    assert_eq!(run.fails("stop api"), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stop failed");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
    assert_eq!(run.start(), "start failed");
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stopped");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn a_hung_stop_is_aborted_at_the_deadline_and_the_rest_goes_down() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    run.ok("start api");
    assert_eq!(run.stop_within(1_000), "stop api");
    // Both declare the same, so the first one's share is half of the time.
    assert_eq!(run.pass(500), "abort stop api");
    assert_eq!(run.vanishes("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stop failed");
    assert!(run.report().troubles[0].order_violated);
}

#[test]
fn a_blocked_start_is_abandoned_and_never_started_again() {
    let api = registration("api").criticality(Criticality::Degradable);
    let mut run = Run::with(vec![api], no_restarts());
    run.start();
    assert_eq!(run.pass(30_000), "cancel start api");
    assert_eq!(run.pass(500), "abort start api");
    assert_eq!(run.pass(500), "abandon api, dispose api, started");
    assert_eq!(run.state("api"), State::Faulted);
}

#[test]
fn nothing_starts_and_stops_at_once() {
    let mut run = Run::of(&[]);
    assert_eq!(run.start(), "started");
    assert_eq!(run.stop(), "stopped");
}

#[test]
fn tasks_that_outlive_stop_are_joined_under_its_limit_and_then_aborted() {
    let mut run = Run::of(&[("api", &[])]);
    run.lingers("api");
    run.start();
    run.ok("start api");
    run.stop();
    assert_eq!(run.ok("stop api"), "close api");
    assert!(run.is_closing("api"));
    assert_eq!(run.pass(10_000), "abort tasks of api");
    assert_eq!(run.scope_ends("api"), "dispose api, stop failed");
    assert!(!run.is_closing("api"));
}
