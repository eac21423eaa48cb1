//! Rules 11 to 20: what a stop comes to, who joins it, what force changes, and how its time is shared out.

use std::sync::Arc;

use crate::support::{Run, State, fresh, ms, no_restarts, registration};
use lifecycle_core::engine::{
    AttemptKey, Call, EventKind, Input, Limit, OrchestratorState, Reason, RequestId, StopMode,
    StopOutcome, StopReport,
};
use lifecycle_core::{
    Backoff, Criticality, Dependency, Failure, FailureKind, Nanos, Registration, Retry, Time,
};

fn degradable(name: &str) -> Registration {
    registration(name).criticality(Criticality::Degradable)
}

/// A registration whose stop and dispose take so many milliseconds at most.
fn timed(name: &str, stop: u64, dispose: u64) -> Registration {
    registration(name)
        .stop_retry(Retry::none().with_attempt_timeout(ms(stop)))
        .dispose_timeout(ms(dispose))
}

fn run_of(registrations: Vec<Registration>) -> Run {
    Run::with(registrations, no_restarts())
}

fn chain() -> Run {
    let mut run = Run::of(&[("db", &[]), ("cache", &["db"]), ("api", &["cache"])]);
    run.up();
    run
}

fn pair() -> Run {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.up();
    run
}

/// What was not clean, as `api failed, db order violated`.
fn troubles(report: &StopReport) -> String {
    let words = report.troubles.iter().map(|it| {
        let violated = if it.order_violated {
            " order violated"
        } else {
            ""
        };
        format!("{} {}{violated}", it.component, it.outcome.as_str())
    });
    words.collect::<Vec<_>>().join(", ")
}

fn incomplete(report: &StopReport) -> Vec<&str> {
    report.incomplete.iter().map(|it| it.as_str()).collect()
}

#[test]
fn rule_11_a_stop_has_one_absolute_deadline_45_s_from_the_request_by_default() {
    let mut run = chain();
    run.pass(7_000);
    run.stop();
    let deadline = Time::ZERO + ms(52_000);
    assert_eq!(run.engine.snapshot(run.now).stop_deadline, Some(deadline));
    run.pass(3_000);
    run.ok("stop api");
    assert_eq!(run.engine.snapshot(run.now).stop_deadline, Some(deadline));
}

#[test]
fn rule_11_stop_now_goes_the_same_way_without_settle_and_drain() {
    let mut run = pair();
    assert_eq!(run.stop_by(StopMode::Now, None), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_12_a_stop_during_a_start_cancels_what_is_in_flight_and_begins_nothing() {
    let mut run = Run::of(&[("a", &[]), ("b", &[]), ("later", &["a", "b"])]);
    run.start();
    run.ok("start a");
    // Nothing that depends on a is up or in flight, so it does not wait for b.
    assert_eq!(run.stop(), "cancel start b, stop a");
    assert_eq!(run.ok("stop a"), "dispose a");
    assert_eq!(run.fails("start b"), "dispose b, start failed, stopped");
    assert_eq!(run.history("later"), "waiting stopped");
}

#[test]
fn rule_12_a_component_stops_without_waiting_for_what_does_not_depend_on_it() {
    let mut run = Run::of(&[("x", &[]), ("y", &[]), ("on-x", &["x"]), ("on-y", &["y"])]);
    run.up();
    assert_eq!(run.stop(), "stop on-y, stop on-x");
    assert_eq!(run.ok("stop on-x"), "dispose on-x, stop x");
    assert_eq!(run.ok("stop x"), "dispose x");
}

#[test]
fn rule_12_a_stop_before_a_start_latches_nothing() {
    let mut run = Run::of(&[("db", &[])]);
    assert_eq!(run.stop(), "stopped");
    assert_eq!(run.orchestrator(), OrchestratorState::Created);
    assert_eq!(run.force(), "stopped");
    assert_eq!(run.start(), "start db");
    assert_eq!(run.ok("start db"), "started");
}

#[test]
fn rule_12_a_stop_of_a_stopped_orchestrator_calls_nothing_and_succeeds() {
    let mut run = pair();
    run.stop();
    run.ok("stop api");
    run.ok("stop db");
    let events = run.events.len();
    assert_eq!(run.stop(), "stopped");
    assert_eq!(run.report().stopped, 0);
    assert_eq!(run.events.len(), events);
}

#[test]
fn rule_12_a_late_ok_of_a_start_that_a_stop_cancelled_is_stopped_and_disposed() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    assert_eq!(run.stop(), "cancel start api");
    assert_eq!(run.ok("start api"), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, start failed, stopped");
    assert_eq!(run.report().stopped, 2);
}

#[test]
fn rule_13_a_report_is_clean_when_every_stop_returned_ok() {
    let mut run = chain();
    run.stop();
    run.ok("stop api");
    run.ok("stop cache");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
    let report = Arc::new(run.report().clone());
    assert_eq!((report.stopped, report.troubles.len()), (3, 0));
    assert!(report.into_result().is_ok());
}

#[test]
fn rule_13_a_failed_stop_keeps_the_value_and_leaves_the_orchestrator_stopping() {
    let mut run = chain();
    run.stop();
    run.ok("stop api");
    assert_eq!(
        run.fails("stop cache"),
        "stop db",
        "no dispose of the cache"
    );
    run.ok("stop db");
    assert_eq!(run.state("cache"), State::Faulted);
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
    assert_eq!(troubles(run.report()), "cache failed");
    assert_eq!(incomplete(run.report()), ["cache"]);
    assert_eq!(
        Arc::new(run.report().clone())
            .into_result()
            .expect_err("unclean")
            .to_string(),
        "stop: \"cache\" failed: no luck"
    );
}

#[test]
fn rule_13_the_tasks_of_a_failed_stop_are_joined_before_its_dependencies_stop() {
    let mut run = pair();
    run.lingers("api");
    run.stop();
    assert_eq!(run.fails("stop api"), "close api");
    assert_eq!(run.scope_ends("api"), "stop db");
}

#[test]
fn rule_13_a_further_stop_retries_exactly_what_failed() {
    let mut run = chain();
    run.stop();
    run.fails("stop api");
    run.ok("stop cache");
    run.fails("stop db");
    assert_eq!(incomplete(run.report()), ["db", "api"]);
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.fails("stop db"), "stop failed");
    assert_eq!(run.stop(), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    assert_eq!(run.start(), "start db");
}

#[test]
fn rule_13_a_further_stop_has_its_own_attempts_and_its_own_time() {
    let retry = Retry::attempts(2).with_backoff(Backoff::Fixed(ms(10)));
    let mut run = run_of(vec![registration("db").stop_retry(retry)]);
    run.up();
    run.stop();
    run.fails("stop db");
    assert_eq!(run.pass(10), "stop db");
    assert_eq!(run.fails("stop db"), "stop failed");
    run.pass(60_000);
    assert_eq!(run.stop(), "stop db");
    assert_eq!(run.time_of("stop db"), ms(10_000));
    run.fails("stop db");
    assert_eq!(run.pass(10), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_13_force_over_a_failed_stop_asks_once_more_and_disposes() {
    let mut run = pair();
    run.stop();
    run.fails("stop api");
    run.ok("stop db");
    assert_eq!(run.force(), "stop api, cancel stop api");
    assert_eq!(run.fails("stop api"), "dispose api, stop failed");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    assert!(run.report().incomplete.is_empty());
    assert_eq!(run.start(), "start db");
}

#[test]
fn rule_13_force_during_the_stop_disposes_what_has_failed_in_it() {
    let mut run = pair();
    run.stop();
    assert_eq!(run.fails("stop api"), "stop db");
    assert_eq!(run.force(), "dispose api, cancel stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stop failed, stop failed");
    assert_eq!(troubles(run.report()), "api failed");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn rule_13_a_rollback_that_failed_is_treated_like_a_failed_stop() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    run.fails("start api");
    assert_eq!(run.fails("stop db"), "start failed");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
    assert_eq!(run.start(), "start failed");
    assert_eq!(run.stop(), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
    assert_eq!(run.start(), "start db");
}

#[test]
fn rule_13_an_aborted_stop_is_final_and_disposed() {
    let mut run = run_of(vec![timed("db", 100, 100)]);
    run.up();
    run.stop();
    assert_eq!(run.pass(100), "abort stop db");
    assert_eq!(run.vanishes("stop db"), "dispose db, stop failed");
    assert_eq!(troubles(run.report()), "db aborted");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn rule_13_a_stop_that_returns_ok_while_it_is_aborted_has_stopped() {
    let mut run = run_of(vec![timed("db", 100, 100)]);
    run.up();
    run.stop();
    run.pass(100);
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_13_an_abandoned_stop_is_final_disposed_and_never_started_again() {
    let mut run = run_of(vec![timed("db", 100, 100)]);
    run.up();
    run.stop();
    run.pass(100);
    assert_eq!(run.pass(500), "abandon db, dispose db, stop failed");
    assert_eq!(troubles(run.report()), "db abandoned");
    assert_eq!(run.start(), "start failed");
}

#[test]
fn rule_13_a_component_lost_earlier_is_no_stop_error() {
    let mut run = run_of(vec![degradable("db"), registration("api")]);
    run.up();
    run.task_ends("db", Err(Arc::new(Failure::panic("overflow"))));
    run.stop();
    run.ok("stop api");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
    assert!(run.report().is_clean());
}

#[test]
fn rule_13_a_dispose_that_fails_is_told_and_makes_no_stop_unclean() {
    let mut run = Run::of(&[("db", &[])]);
    run.disposes_slowly("db");
    run.up();
    run.stop();
    run.ok("stop db");
    assert_eq!(run.fails("dispose db"), "stopped");
    let trouble = &run.report().troubles[0];
    assert!(!trouble.is_error());
    assert_eq!(trouble.to_string(), "\"db\" stopped (dispose: no luck)");
}

#[test]
fn rule_13_the_failing_stop_of_a_late_ok_is_in_the_report() {
    let mut run = Run::of(&[("db", &[])]);
    run.start();
    run.stop();
    run.ok("start db");
    let stuck = Failure::error("connections are stuck");
    run.fails_with("stop db", stuck);
    assert_eq!(
        run.report().troubles[0].to_string(),
        "\"db\" failed: connections are stuck"
    );
}

#[test]
fn rule_13_an_aborted_start_says_by_which_limit_and_not_what_an_earlier_run_said() {
    let mut run = run_of(vec![degradable("db")]);
    run.start();
    run.fails("start db");
    run.stop();
    run.start();
    run.stop();
    run.pass(500);
    run.vanishes("start db");
    assert_eq!(
        run.report().troubles[0].to_string(),
        "\"db\" aborted: start was still at work at its limit: abort grace (start given up after 500 ms)"
    );
}

#[test]
fn rule_13_tasks_that_outlive_the_deadline_are_told_with_their_limit() {
    let mut run = Run::of(&[("db", &[])]);
    run.up();
    run.lingers("db");
    run.stop_within(100);
    run.ok("stop db");
    assert_eq!(run.pass(100), "abort tasks of db");
    assert_eq!(run.scope_ends("db"), "dispose db, stop failed");
    assert_eq!(
        run.report().troubles[0].to_string(),
        "\"db\" aborted: a task that outlived stop was still at work at its limit: share of the shutdown time (its tasks given up after 100 ms)"
    );
}

#[test]
fn rule_13_tasks_of_a_cancelled_start_are_told_when_they_outlive_the_deadline() {
    let mut run = Run::of(&[("db", &[])]);
    run.lingers("db");
    run.start();
    run.stop_within(100);
    run.fails("start db");
    assert_eq!(run.pass(100), "abort tasks of db");
    run.pass(20);
    assert_eq!(
        run.report().troubles[0].to_string(),
        "\"db\" abandoned: a task that outlived start was still at work at its limit: share of the shutdown time (its tasks given up after 100 ms)"
    );
}

#[test]
fn rule_13_what_blocks_a_thread_at_the_very_end_says_so() {
    let mut run = Run::of(&[("db", &[])]);
    run.up();
    run.lingers("db");
    run.stop_within(100);
    run.pass(100);
    // Stop returns while it is aborted; then there is no time left for what it spawned.
    assert_eq!(run.ok("stop db"), "close db, abort tasks of db");
    run.pass(20);
    assert_eq!(
        run.report().troubles[0].to_string(),
        "\"db\" abandoned: stop was still at work at its limit: share of the shutdown time (stop given up after 100 ms)"
    );
}

#[test]
fn rule_14_everything_that_started_is_asked_to_stop_whatever_the_others_do() {
    let mut run = chain();
    run.stop();
    assert_eq!(run.fails("stop api"), "stop cache");
    run.pass(10_000);
    assert_eq!(
        run.vanishes("stop cache"),
        "dispose cache, stop db",
        "the stop of the cache was aborted"
    );
    run.ok("stop db");
    assert_eq!(
        troubles(run.report()),
        "db stopped order violated, cache aborted, api failed"
    );
}

#[test]
fn rule_14_a_component_whose_turn_comes_after_the_deadline_is_closed_unasked() {
    let mut run = run_of(named(50, |index| {
        index.checked_sub(1).into_iter().collect()
    }));
    run.up();
    run.stop_within(100);
    // Each share is 5 ms, so twenty are asked; the bound wins over the call.
    while let Some(call) = run.open("stop").first().cloned() {
        run.pass(5);
        run.vanishes(&call);
    }
    let outcomes = |wanted| {
        let troubles = run.report().troubles.iter();
        troubles.filter(|it| it.outcome == wanted).count()
    };
    assert_eq!(outcomes(StopOutcome::Aborted), 20);
    assert_eq!(outcomes(StopOutcome::NotAsked), 30);
    assert_eq!(
        run.report().troubles[0].to_string(),
        "\"c000\" not-asked: the shutdown was still at work at its limit: shutdown deadline"
    );
}

#[test]
fn rule_14_what_is_aborted_at_the_very_deadline_may_still_vanish() {
    let mut run = Run::of(&[("db", &[])]);
    run.up();
    run.stop_within(1_000);
    assert_eq!(run.pass(1_000), "abort stop db");
    assert_eq!(run.vanishes("stop db"), "dispose db, stop failed");
    assert_eq!(troubles(run.report()), "db aborted");
    // One that is aborted just before the deadline has no less time for it.
    let mut run = run_of(vec![timed("db", 999, 1)]);
    run.up();
    run.stop_within(1_000);
    assert_eq!(run.pass(1_006), "abort stop db");
    assert_eq!(run.vanishes("stop db"), "dispose db, stop failed");
}

#[test]
fn rule_15_an_unconfirmed_dependent_does_not_keep_its_dependencies_up() {
    let mut run = pair();
    run.stop();
    run.pass(10_000);
    assert_eq!(run.vanishes("stop api"), "dispose api, stop db");
    run.ok("stop db");
    assert_eq!(
        troubles(run.report()),
        "db stopped order violated, api aborted"
    );
    assert!(!run.report().is_clean());
}

#[test]
fn rule_15_a_failed_dependent_is_confirmed_and_violates_no_order() {
    let mut run = pair();
    run.stop();
    run.fails("stop api");
    run.ok("stop db");
    assert_eq!(troubles(run.report()), "api failed");
}

fn holding() -> Run {
    let api = timed("api", 100, 100).dependencies([Dependency::hard("db").held()]);
    let mut run = run_of(vec![registration("db"), api]);
    run.up();
    run.stop();
    run.pass(100);
    run
}

#[test]
fn rule_15_an_edge_that_holds_keeps_its_dependency_up_and_unasked() {
    let mut run = holding();
    assert_eq!(run.vanishes("stop api"), "dispose api, stop failed");
    assert_eq!(troubles(run.report()), "db held, api aborted");
    assert_eq!(incomplete(run.report()), ["db"]);
    assert_eq!(run.state("db"), State::Running);
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
}

#[test]
fn rule_15_an_edge_that_holds_lets_go_when_the_dependent_is_confirmed() {
    let mut run = holding();
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_15_what_was_held_for_a_blocked_dependent_stays_held_until_it_is_forced() {
    let mut run = holding();
    assert_eq!(run.pass(500), "abandon api, dispose api, stop failed");
    assert_eq!(run.stop(), "stop failed");
    assert_eq!(troubles(run.report()), "db held");
    assert_eq!(run.force(), "stop db, cancel stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn rule_16_concurrent_stops_share_one_operation_and_its_result() {
    let mut run = pair();
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.stop(), "");
    assert_eq!(run.stop_by(StopMode::Now, None), "");
    run.ok("stop api");
    assert_eq!(run.ok("stop db"), "dispose db, stopped, stopped, stopped");
    assert!(run.stopped.windows(2).all(|it| Arc::ptr_eq(&it[0], &it[1])));
}

#[test]
fn rule_16_of_several_deadlines_the_earliest_wins() {
    let mut run = pair();
    run.stop_within(8_000);
    run.stop_within(2_000);
    run.stop_within(30_000);
    run.stop();
    let deadline = run.now + ms(2_000);
    assert_eq!(run.engine.snapshot(run.now).stop_deadline, Some(deadline));
    // The share of the call under way is that of the new deadline.
    assert_eq!(run.pass(999), "");
    assert_eq!(run.pass(1), "abort stop api");
}

#[test]
fn rule_16_a_stop_joins_a_rollback() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    run.fails("start api");
    assert_eq!(run.stop(), "");
    assert_eq!(run.ok("stop db"), "dispose db, start failed, stopped");
    assert_eq!(run.report().reason, Reason::Rollback);
}

#[test]
fn rule_16_force_means_one_second_from_now() {
    let mut run = pair();
    run.stop();
    run.pass(3_000);
    assert_eq!(run.force(), "cancel stop api");
    let deadline = run.now + ms(1_000);
    assert_eq!(run.engine.snapshot(run.now).stop_deadline, Some(deadline));
    assert_eq!(run.pass(499), "");
    assert_eq!(run.pass(1), "abort stop api");
    assert_eq!(
        run.vanishes("stop api"),
        "dispose api, stop db, cancel stop db"
    );
    assert_eq!(run.ok("stop db"), "dispose db, stop failed, stop failed");
    assert!(run.report().forced);
}

#[test]
fn rule_16_force_never_makes_a_deadline_later() {
    let mut run = pair();
    run.stop_within(300);
    run.force();
    let deadline = run.now + ms(300);
    assert_eq!(run.engine.snapshot(run.now).stop_deadline, Some(deadline));
}

#[test]
fn rule_16_force_during_a_rollback_shortens_it() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    run.fails("start api");
    assert_eq!(run.force(), "cancel stop db");
    assert_eq!(run.pass(1_000), "abort stop db");
    assert_eq!(
        run.vanishes("stop db"),
        "dispose db, start failed, stop failed"
    );
}

#[test]
fn rule_16_force_during_a_start_cancels_it_and_keeps_the_order() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    assert_eq!(run.force(), "cancel start api");
    assert_eq!(
        run.fails("start api"),
        "dispose api, stop db, cancel stop db"
    );
    assert_eq!(run.ok("stop db"), "dispose db, start failed, stopped");
}

#[test]
fn rule_16_force_of_a_running_orchestrator_asks_everything_in_order() {
    let mut run = chain();
    assert_eq!(run.force(), "stop api, cancel stop api");
    run.ok("stop api");
    run.ok("stop cache");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
    assert!(run.report().is_clean());
}

#[test]
fn rule_16_force_during_a_repeated_stop_closes_what_is_kept_in_its_turn() {
    let mut run = pair();
    run.stop();
    run.fails("stop api");
    run.fails("stop db");
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.force(), "cancel stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db, cancel stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped, stopped");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn rule_16_force_does_not_wait_for_a_dispose_that_hangs() {
    let mut run = pair();
    run.disposes_slowly("api");
    run.stop();
    assert_eq!(run.ok("stop api"), "dispose api");
    assert_eq!(run.force(), "");
    // Half of its second each, by weight of dispose (5 s) and of what is below (15 s): a quarter.
    assert_eq!(run.pass(249), "");
    assert_eq!(run.pass(1), "abort dispose api");
    assert_eq!(run.vanishes("dispose api"), "stop db, cancel stop db");
}

#[test]
fn rule_16_force_does_not_wait_for_tasks_that_hang() {
    let mut run = pair();
    run.lingers("api");
    run.stop();
    assert_eq!(run.ok("stop api"), "close api");
    assert_eq!(run.force(), "");
    assert_eq!(run.pass(500), "abort tasks of api");
    assert_eq!(
        run.scope_ends("api"),
        "dispose api, stop db, cancel stop db"
    );
}

#[test]
fn rule_17_nothing_of_a_component_is_closed_before_its_stop_has_returned() {
    let mut run = pair();
    run.lingers("api");
    run.lingers("db");
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "close api");
    assert_eq!(run.scope_ends("api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "close db");
}

#[test]
fn rule_17_leftover_tasks_are_joined_under_the_deadline_of_the_stop_call() {
    let mut run = run_of(vec![timed("db", 100, 100)]);
    run.lingers("db");
    run.up();
    run.stop();
    run.pass(60);
    assert_eq!(run.ok("stop db"), "close db");
    assert_eq!(run.pass(39), "");
    assert_eq!(run.pass(1), "abort tasks of db");
    assert_eq!(run.scope_ends("db"), "dispose db, stop failed");
    assert_eq!(
        run.report().troubles[0].to_string(),
        "\"db\" aborted: a task that outlived stop was still at work at its limit: attempt timeout (its tasks given up after 100 ms)"
    );
}

#[test]
fn rule_17_only_force_cancels_the_token_of_a_stop() {
    let mut run = run_of(vec![
        timed("db", 100, 100),
        timed("api", 100, 100).depends_on(["db"]),
    ]);
    run.up();
    run.stop();
    run.pass(100);
    run.vanishes("stop api");
    run.pass(100);
    run.vanishes("stop db");
    let cancelled = run
        .events
        .iter()
        .any(|it| matches!(it.kind, EventKind::Cancelled { .. }));
    assert!(!cancelled, "timeouts abort a stop and never cancel it");
    let mut run = pair();
    run.stop();
    assert_eq!(run.force(), "cancel stop api");
    assert_eq!(run.force(), "", "once");
}

#[test]
fn rule_17_force_cancels_the_stop_of_a_late_ok_too() {
    let mut run = Run::of(&[("db", &[])]);
    run.start();
    run.stop();
    run.ok("start db");
    assert_eq!(run.force(), "cancel stop db");
    let mut run = Run::of(&[("db", &[])]);
    run.start();
    run.force();
    assert_eq!(run.ok("start db"), "stop db, cancel stop db");
}

#[test]
fn rule_18_a_share_is_the_time_left_by_the_weight_of_a_component_and_its_tail() {
    // Weights: stop and dispose together; 150 against 450 below it.
    let mut run = run_of(vec![
        timed("db", 200, 100),
        timed("cache", 100, 50).depends_on(["db"]),
        timed("api", 100, 50).depends_on(["cache"]),
    ]);
    run.up();
    run.stop_within(400);
    assert_eq!(run.time_of("stop api"), ms(100));
    run.ok("stop api");
    // A third of what is left: 150 against 300.
    assert_eq!(
        run.time_of("stop cache"),
        ms(100),
        "its own timeout is shorter"
    );
    run.pass(50);
    run.ok("stop cache");
    assert_eq!(
        run.time_of("stop db"),
        ms(200),
        "its own timeout is shorter"
    );
}

#[test]
fn rule_18_unspent_time_is_handed_on() {
    let mut run = pair();
    run.stop_within(1_000);
    assert_eq!(run.time_of("stop api"), ms(500));
    run.pass(100);
    run.ok("stop api");
    assert_eq!(run.time_of("stop db"), ms(900));
}

#[test]
fn rule_18_a_share_is_taken_at_the_begin_of_a_call_and_by_the_longest_path_below() {
    let mut run = run_of(vec![
        timed("long", 600, 100),
        timed("short", 50, 50),
        timed("api", 200, 100).depends_on(["long", "short"]),
    ]);
    run.up();
    // 300 of 1 000.
    run.stop_within(500);
    assert_eq!(run.time_of("stop api"), ms(150));
}

#[test]
fn rule_18_a_slow_component_cannot_eat_the_time_of_an_independent_one() {
    let mut run = Run::of(&[("db", &[]), ("slow", &[]), ("api", &["db"])]);
    run.up();
    run.stop_within(1_000);
    run.ok("stop api");
    assert_eq!(run.time_of("stop slow"), ms(1_000));
    assert_eq!(run.time_of("stop db"), ms(1_000));
}

#[test]
fn rule_18_a_share_is_5_ms_at_least() {
    let names: Vec<String> = (0..50).map(|it| format!("c{it:02}")).collect();
    let links = names.iter().enumerate().map(|(index, name)| {
        let below = index.checked_sub(1).map(|it| names[it].clone());
        registration(name).depends_on(below)
    });
    let mut run = run_of(links.collect());
    run.up();
    run.stop_within(100);
    assert_eq!(run.time_of("stop c49"), ms(5));
    assert_eq!(run.pass(5), "abort stop c49");
}

#[track_caller]
fn fails_by(db: Registration, within: u64, expected: &str) {
    let mut run = run_of(vec![timed("base", 10, 10), db.depends_on(["base"])]);
    run.up();
    run.stop_within(within);
    while !run.open("stop").contains(&"stop base".to_owned()) && run.stopped.is_empty() {
        run.pass(1);
        if run
            .events
            .iter()
            .any(|it| matches!(it.kind, EventKind::Aborted { .. }))
            && run.key("stop db").is_some()
        {
            run.vanishes("stop db");
        }
    }
    run.pass(1_000);
    let report = run.report();
    let trouble = report
        .troubles
        .iter()
        .find(|it| it.component.as_str() == "db");
    let told = trouble.expect("it failed").to_string();
    assert!(told.starts_with(expected), "{told}");
    assert!(told.contains("(awaited by: base)"), "{told}");
}

#[test]
fn rule_18_a_failure_names_the_limit_that_ran_out() {
    fails_by(
        timed("db", 100, 10),
        5_000,
        "\"db\" aborted: stop was still at work at its limit: attempt timeout",
    );
    let retry = Retry::attempts(2)
        .with_attempt_timeout(ms(300))
        .with_total(ms(200));
    fails_by(
        registration("db").stop_retry(Retry {
            total: retry.total,
            attempt_timeout: None,
            ..retry
        }),
        5_000,
        "\"db\" aborted: stop was still at work at its limit: phase total",
    );
    fails_by(
        timed("db", 10_000, 10),
        1_000,
        "\"db\" aborted: stop was still at work at its limit: share of the shutdown time",
    );
}

#[test]
fn rule_18_a_start_failure_names_its_limit() {
    let retry = Retry::attempts(9)
        .with_attempt_timeout(ms(100))
        .with_total(ms(250));
    let db = registration("db").start_retry(retry).abort_grace(ms(1));
    let mut run = run_of(vec![db]);
    run.start();
    for _ in 0..3 {
        run.pass(100);
        if !run.open("start").is_empty() {
            run.fails("start db");
        }
    }
    let limits: Vec<Option<Limit>> = run
        .events
        .iter()
        .filter_map(|it| match it.kind {
            EventKind::Cancelled { limit, .. } => Some(limit),
            _ => None,
        })
        .collect();
    assert_eq!(
        limits,
        [
            Some(Limit::AttemptTimeout),
            Some(Limit::AttemptTimeout),
            Some(Limit::PhaseTotal)
        ]
    );
    let error = run.started.clone().expect("answered").expect_err("failed");
    assert_eq!(
        error.to_string(),
        "\"db\" failed to start: start was still at work at its limit: phase total"
    );
}

#[test]
fn rule_18_a_back_off_of_a_start_that_cannot_fit_fails_now() {
    let retry = Retry::attempts(9)
        .with_backoff(Backoff::Fixed(ms(100)))
        .with_attempt_timeout(ms(100))
        .with_total(ms(150));
    let mut run = run_of(vec![registration("db").start_retry(retry)]);
    run.start();
    run.fails("start db");
    run.pass(100);
    assert_eq!(run.fails("start db"), "dispose db, start failed");
}

#[test]
fn rule_18_a_back_off_of_a_stop_that_cannot_fit_fails_now() {
    let retry = Retry::attempts(9).with_backoff(Backoff::Fixed(ms(400)));
    let mut run = run_of(vec![registration("db").stop_retry(retry)]);
    run.up();
    run.stop_within(1_000);
    assert_eq!(run.fails("stop db"), "");
    assert_eq!(run.pass(400), "stop db");
    assert_eq!(run.fails("stop db"), "");
    assert_eq!(run.pass(400), "stop db");
    assert_eq!(run.fails("stop db"), "stop failed", "1.2 s are too late");
}

#[test]
fn rule_18_the_stop_of_a_late_ok_has_a_share_like_any_other() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    run.stop_within(1_000);
    assert_eq!(run.ok("start api"), "stop api");
    assert_eq!(run.time_of("stop api"), ms(500));
    assert_eq!(run.pass(500), "abort stop api");
    assert_eq!(run.vanishes("stop api"), "dispose api, stop db");
}

#[test]
fn rule_18_what_was_being_cleaned_up_when_the_stop_came_is_limited_by_it_too() {
    let mut run = run_of(vec![
        registration("db"),
        degradable("api").depends_on(["db"]),
    ]);
    run.disposes_slowly("api");
    run.start();
    run.ok("start db");
    run.fails("start api");
    assert_eq!(run.stop_within(1_000), "");
    assert_eq!(run.pass(250), "abort dispose api");
    assert_eq!(
        run.vanishes("dispose api"),
        "start failed, stop db".replace("start failed, ", "")
    );
}

#[test]
fn rule_19_a_disposed_component_can_be_started_again_and_is_disposed_again() {
    let mut run = run_of(vec![registration("db"), fresh("job")]);
    for generation in 1..=3 {
        run.up();
        assert_eq!(run.stop(), "stop job, stop db");
        assert_eq!(run.ok("stop job"), "dispose job");
        assert_eq!(run.ok("stop db"), "dispose db, stopped");
        let disposed = run.events.iter().filter(
            |it| matches!(it.kind, EventKind::Disposed { key, .. } if key.generation == generation),
        );
        assert_eq!(disposed.count(), 2);
    }
}

#[test]
fn rule_19_a_failed_stop_defers_its_dispose_until_it_is_down() {
    let mut run = Run::of(&[("db", &[])]);
    run.up();
    run.stop();
    assert_eq!(run.fails("stop db"), "stop failed");
    run.stop();
    assert_eq!(run.fails("stop db"), "stop failed");
    run.stop();
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_20_only_the_token_of_the_present_start_cancels_it() {
    let mut run = Run::of(&[("db", &[])]);
    run.start();
    let stranger = RequestId(999);
    assert_eq!(run.input(Input::StartCancelled { request: stranger }), "");
    assert_eq!(run.state("db"), State::Starting);
    assert_eq!(run.cancel_start(), "cancel start db");
    assert_eq!(run.fails("start db"), "dispose db, start failed");
    let error = run
        .started
        .clone()
        .expect("answered")
        .expect_err("cancelled");
    assert_eq!(error.to_string(), "the start was cancelled");
}

#[test]
fn rule_20_the_token_of_a_start_that_has_settled_changes_nothing() {
    let mut run = pair();
    assert_eq!(run.cancel_start(), "");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
}

#[test]
fn rule_20_a_cancelled_start_goes_down_on_a_budget_of_its_own_and_can_start_again() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    run.cancel_start();
    run.fails("start api");
    assert_eq!(run.time_of("stop db"), Nanos::from_secs(10));
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    run.up();
}

#[test]
fn rule_20_answers_for_components_out_of_their_time_change_nothing() {
    let mut run = Run::of(&[("db", &[])]);
    let key = AttemptKey {
        component: run.id("db"),
        generation: 0,
        attempt: 0,
    };
    let failure = || Err(Arc::new(Failure::new(FailureKind::Lost, "gone")));
    for call in [Call::Start, Call::Stop, Call::Dispose] {
        assert_eq!(run.answer(call, key, Ok(())), "");
        assert_eq!(run.answer(call, key, failure()), "");
    }
    assert_eq!(run.input(Input::ScopeClosed { key }), "");
    assert_eq!(
        run.input(Input::TaskEnded {
            key,
            outcome: failure()
        }),
        ""
    );
    assert_eq!(run.events.len(), 0);
    assert_eq!(run.start(), "start db");
}

/// Stops a started graph within `within` while nothing ever answers; the time until the response.
#[track_caller]
fn hangs_down(registrations: Vec<Registration>, within: u64) -> Nanos {
    let mut run = run_of(registrations);
    let names: Vec<String> = run.order().split(' ').map(str::to_owned).collect();
    run.up();
    for name in &names {
        run.lingers(name);
        run.disposes_slowly(name);
    }
    let began = run.now;
    run.stop_within(within);
    while run.stopped.is_empty() {
        let due = run.engine.poll_timeout().expect("something is armed");
        run.pass((due - run.now).as_millis().max(1));
        assert!(run.now - began <= ms(within + 100), "it goes on for ever");
    }
    let report = run.report();
    assert_eq!(report.troubles.len(), names.len());
    assert!(
        report
            .troubles
            .iter()
            .all(|it| it.outcome == StopOutcome::Abandoned)
    );
    run.now - began
}

fn named(count: usize, below: impl Fn(usize) -> Vec<usize>) -> Vec<Registration> {
    let name = |index| format!("c{index:03}");
    (0..count)
        .map(|index| registration(&name(index)).depends_on(below(index).into_iter().map(name)))
        .collect()
}

#[test]
fn rule_18_a_stop_is_bounded_when_nothing_in_a_chain_answers() {
    for within in [0, 3, 100, 1_000, 60_000] {
        let chain = named(40, |index| index.checked_sub(1).into_iter().collect());
        assert!(hangs_down(chain, within) <= ms(within + 20), "{within}");
    }
}

#[test]
fn rule_18_a_stop_is_bounded_when_nothing_in_a_flat_graph_answers() {
    for within in [0, 3, 100, 1_000] {
        let flat = named(40, |_| Vec::new());
        assert!(hangs_down(flat, within) <= ms(within + 20), "{within}");
    }
}

#[test]
fn rule_18_a_stop_is_bounded_when_nothing_in_a_tree_answers() {
    for within in [0, 3, 100, 1_000] {
        let tree = named(63, |index| {
            index.checked_sub(1).map(|it| it / 2).into_iter().collect()
        });
        assert!(hangs_down(tree, within) <= ms(within + 20), "{within}");
    }
}

#[test]
fn rule_18_a_stop_is_bounded_when_a_whole_start_hangs() {
    let mut run = run_of(named(20, |index| {
        (index >= 10).then(|| index - 10).into_iter().collect()
    }));
    run.start();
    for index in 0..10 {
        run.ok(&format!("start c{index:03}"));
    }
    for index in 0..20 {
        run.lingers(&format!("c{index:03}"));
        run.disposes_slowly(&format!("c{index:03}"));
    }
    run.stop_within(200);
    run.pass(220);
    assert_eq!(run.stopped.len(), 1);
    assert!(run.started.as_ref().is_some_and(Result::is_err));
}

#[test]
fn rule_18_a_deadline_that_has_passed_asks_nobody_and_still_disposes() {
    let mut run = pair();
    run.pass(1_000);
    let past = Time::ZERO + ms(10);
    assert_eq!(
        run.stop_by(StopMode::Graceful, Some(past)),
        "dispose api, dispose db, stop failed"
    );
    assert_eq!(troubles(run.report()), "db not-asked, api not-asked");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn rule_18_a_stop_without_a_timeout_of_its_own_leaves_time_for_what_is_above_it() {
    let endless = Retry {
        attempt_timeout: Some(lifecycle_core::Timeout::Never),
        ..Retry::none()
    };
    let mut run = run_of(vec![
        registration("db").stop_retry(endless),
        registration("api").depends_on(["db"]),
    ]);
    run.up();
    run.stop();
    assert!(run.time_of("stop api") > ms(5_000));
}

#[test]
fn rule_15_what_was_held_for_an_aborted_dependent_stays_held_until_it_is_forced() {
    let mut run = holding();
    run.vanishes("stop api");
    assert_eq!(run.stop(), "stop failed");
    assert_eq!(run.force(), "stop db, cancel stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_14_after_a_deadline_that_is_past_already_what_is_aborted_has_its_time_to_vanish() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.lingers("db");
    run.lingers("api");
    run.up();
    run.pass(1_000);
    let past = run.now.since(Time::ZERO + ms(100));
    assert_eq!(
        run.stop_by(StopMode::Graceful, Some(Time::new(past))),
        "close api, abort tasks of api"
    );
    assert_eq!(run.oversleep(0), "");
    assert_eq!(
        run.scope_ends("api"),
        "dispose api, close db, abort tasks of db"
    );
    assert_eq!(run.scope_ends("db"), "dispose db, stop failed");
    assert!(run.start().starts_with("start db"));
}

#[test]
fn rule_07_a_clock_that_comes_late_abandons_nothing_that_vanishes_when_aborted() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.up();
    run.stop_within(100);
    assert_eq!(run.oversleep(5_000), "abort stop api");
    assert_eq!(
        run.vanishes("stop api"),
        "dispose api, dispose db, stop failed"
    );
    let outcomes: Vec<StopOutcome> = run.report().troubles.iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [StopOutcome::NotAsked, StopOutcome::Aborted]);
    assert!(run.start().starts_with("start db"));
}

/// `api` on `db`; the stop of `api` has failed and is tried again after 5 s.
fn backing_off() -> Run {
    let retry = Retry::attempts(3).with_backoff(Backoff::Fixed(ms(5_000)));
    let mut run = run_of(vec![
        registration("db"),
        registration("api").depends_on(["db"]).stop_retry(retry),
    ]);
    run.up();
    run.stop();
    run.fails("stop api");
    run
}

#[test]
fn rule_16_force_makes_the_next_stop_attempt_now() {
    let mut run = backing_off();
    assert_eq!(run.force(), "stop api, cancel stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db, cancel stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped, stopped");
}

#[test]
fn rule_18_a_back_off_that_an_earlier_deadline_leaves_no_room_for_fails_now() {
    let mut run = backing_off();
    assert_eq!(run.stop_within(1_000), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stop failed, stop failed");
    assert_eq!(run.state("api"), State::Faulted);
}
