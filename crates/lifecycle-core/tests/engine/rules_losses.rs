//! Rules 3, 9 and 21 to 23: what a loss takes down, what comes back and when, and what bad health changes.

use std::sync::Arc;

use crate::support::{Run, State, ms, no_restarts, registration};
use lifecycle_core::engine::{
    CallOutcome, EventKind, Health, Operation, OrchestratorState, Reason, Verdict,
};
use lifecycle_core::{
    Backoff, Class, Criticality, Defaults, Dependency, Failure, HealthCheck, Jitter, Nanos,
    Registration, Report, Restart, Retry,
};

fn degradable(name: &str) -> Registration {
    registration(name).criticality(Criticality::Degradable)
}

/// A restart 100 ms after each loss, five times within a minute.
fn restart() -> Restart {
    Restart::on_failure()
        .with_backoff(Backoff::Fixed(ms(100)))
        .with_jitter(Jitter::None)
}

fn run_of(registrations: Vec<Registration>) -> Run {
    let defaults = Defaults {
        restart: restart(),
        ..Defaults::default()
    };
    let mut run = Run::with(registrations, defaults);
    run.up();
    run
}

/// A database, a cache on it, and an interface on that.
fn chain() -> Run {
    run_of(vec![
        registration("db"),
        registration("cache").depends_on(["db"]),
        registration("api").depends_on(["cache"]),
    ])
}

fn pair() -> Run {
    run_of(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
    ])
}

fn permanent() -> CallOutcome {
    let failure = Failure::error("the licence has run out").with_class(Class::Permanent);
    Err(Arc::new(failure))
}

fn bad() -> CallOutcome {
    Err(Arc::new(Failure::error("no answer")))
}

/// Loses `name` and brings it down, without anything else.
fn lose_alone(run: &mut Run, name: &str) {
    assert_eq!(run.loses(name), format!("stop {name}"));
    assert_eq!(run.ok(&format!("stop {name}")), format!("dispose {name}"));
}

/// What the last loss of `name` was followed by.
fn verdict(run: &Run, name: &str) -> Verdict {
    let id = run.id(name);
    let verdicts = run.events.iter().rev().filter_map(|it| match &it.kind {
        EventKind::Lost { key, verdict, .. } if key.component == id => Some(*verdict),
        _ => None,
    });
    verdicts.into_iter().next().expect("it was lost")
}

fn health(run: &Run, name: &str) -> Health {
    run.row(name).health
}

#[test]
fn rule_03_a_dependent_that_tolerates_keeps_its_generation_and_is_told() {
    let mut run = run_of(vec![
        registration("db"),
        registration("ui").tolerates(["db"]),
    ]);
    lose_alone(&mut run, "db");
    assert_eq!(run.state("ui"), State::Running);
    assert_eq!(
        run.told(|it| matches!(it, EventKind::DependencyLost { .. })),
        1
    );
    let snapshot = run.engine.snapshot(run.now);
    let missing: Vec<_> = snapshot.missing(run.id("ui")).collect();
    assert_eq!(missing, [run.id("db")]);
    assert_eq!(run.pass(100), "start db");
    run.ok("start db");
    assert_eq!(
        run.told(|it| matches!(it, EventKind::DependencyBack { .. })),
        1
    );
    assert_eq!(run.row("ui").generation, 1);
    let snapshot = run.engine.snapshot(run.now);
    assert_eq!(snapshot.missing(run.id("ui")).count(), 0);
}

#[test]
fn rule_03_a_dependent_that_tolerates_still_needs_the_dependency_to_start() {
    let mut run = run_of(vec![
        registration("db"),
        registration("ui").tolerates(["db"]),
    ]);
    lose_alone(&mut run, "db");
    lose_alone(&mut run, "ui");
    assert_eq!(run.pass(99), "");
    assert_eq!(run.state("ui"), State::Waiting);
    assert_eq!(run.pass(1), "start db");
    assert_eq!(run.ok("start db"), "start ui");
}

#[test]
fn rule_03_a_dependent_that_stops_goes_down_and_stays_until_it_is_started() {
    let audit = registration("audit").dependencies([Dependency::hard("db").stops()]);
    let mut run = run_of(vec![registration("db"), audit]);
    assert_eq!(run.loses("db"), "stop audit");
    assert_eq!(run.ok("stop audit"), "dispose audit, stop db");
    run.ok("stop db");
    assert_eq!(run.state("audit"), State::Stopped);
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.ok("start db"), "", "it stays down");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert_eq!(run.operate(Operation::Start, "audit"), "start audit");
    assert_eq!(run.ok("start audit"), "done: start");
}

#[test]
fn rule_03_a_dependent_that_stops_goes_down_with_a_follower_and_stays_too() {
    let mut run = run_of(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
        degradable("audit").dependencies([Dependency::hard("api").stops()]),
    ]);
    assert_eq!(run.loses("db"), "stop audit");
    run.ok("stop audit");
    run.ok("stop api");
    run.ok("stop db");
    run.pass(100);
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(run.ok("start api"), "", "its dependency went down");
    assert_eq!(run.state("audit"), State::Stopped);
}

#[test]
fn rule_03_the_loss_of_a_wanted_component_marks_and_never_stops() {
    let mut run = run_of(vec![
        degradable("cache"),
        registration("api").wants(["cache"]),
    ]);
    lose_alone(&mut run, "cache");
    let snapshot = run.engine.snapshot(run.now);
    let missing: Vec<_> = snapshot.missing(run.id("api")).collect();
    assert_eq!(missing, [run.id("cache")]);
    assert_eq!(run.row("api").generation, 1);
}

#[test]
fn rule_03_an_edge_that_only_orders_is_never_missed() {
    let mut run = run_of(vec![degradable("log"), registration("api").after(["log"])]);
    lose_alone(&mut run, "log");
    let snapshot = run.engine.snapshot(run.now);
    assert_eq!(snapshot.missing(run.id("api")).count(), 0);
}

#[test]
fn rule_21_followers_stop_at_once_in_order_and_wait() {
    let mut run = chain();
    assert_eq!(run.loses("db"), "stop api");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.ok("stop api"), "dispose api, stop cache");
    assert_eq!(run.state("api"), State::Waiting);
    assert_eq!(run.ok("stop cache"), "dispose cache, stop db");
    assert_eq!(run.state("db"), State::Stopping);
    assert_eq!(run.ok("stop db"), "dispose db");
    assert_eq!(run.state("cache"), State::Waiting);
    assert_eq!(run.state("db"), State::BackingOff);
    assert_eq!(run.row("api").cause, Some(run.id("db")));
}

#[test]
fn rule_21_the_loss_of_a_component_in_the_middle_leaves_its_dependencies_alone() {
    let mut run = chain();
    assert_eq!(run.loses("cache"), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop cache");
    assert_eq!(run.ok("stop cache"), "dispose cache");
    assert_eq!(run.row("db").generation, 1);
    assert_eq!(run.pass(100), "start cache");
    assert_eq!(run.ok("start cache"), "start api");
}

#[test]
fn rule_21_the_back_off_of_the_provider_counts_from_the_loss() {
    let mut run = pair();
    run.loses("db");
    run.pass(60);
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.pass(39), "");
    assert_eq!(run.pass(1), "start db");
}

#[test]
fn rule_21_the_provider_starts_once_its_old_generation_and_its_followers_are_down() {
    let mut run = pair();
    run.disposes_slowly("db");
    run.loses("db");
    assert_eq!(run.pass(500), "", "the back-off is long over");
    run.ok("stop api");
    assert_eq!(run.ok("stop db"), "dispose db");
    assert_eq!(run.ok("dispose db"), "start db");
}

#[test]
fn rule_21_a_waiting_dependent_starts_as_soon_as_its_dependency_runs() {
    let mut run = pair();
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.ok("start db"), "start api");
}

#[test]
fn rule_21_the_restart_of_a_follower_is_not_charged_to_it() {
    let mut run = run_of(vec![
        registration("db"),
        registration("api")
            .depends_on(["db"])
            .restart(restart().with_budget(0, ms(60_000))),
    ]);
    for _ in 0..3 {
        run.loses("db");
        run.ok("stop api");
        run.ok("stop db");
        run.pass(100);
        run.ok("start db");
        assert_eq!(run.ok("start api"), "");
    }
    assert_eq!(run.row("api").charges, 0);
    assert_eq!(run.row("api").restarts.dependency, 3);
    assert_eq!(run.row("db").charges, 3);
}

#[test]
fn rule_21_own_failures_are_charged() {
    let mut run = pair();
    lose_alone(&mut run, "api");
    let delay = ms(100);
    let restarts = 1;
    assert_eq!(verdict(&run, "api"), Verdict::Restart { delay, restarts });
    assert_eq!(run.row("api").charges, 1);
    assert_eq!(run.row("api").restarts.lost, 1);
    assert_eq!(
        run.row("api").failure.expect("kept").message,
        "the link is gone"
    );
}

#[test]
fn rule_21_a_failure_while_a_hard_dependency_is_down_is_charged_to_that() {
    let mut run = run_of(vec![
        registration("db"),
        registration("ui").tolerates(["db"]),
    ]);
    lose_alone(&mut run, "db");
    lose_alone(&mut run, "ui");
    assert_eq!(verdict(&run, "ui"), Verdict::Follow);
    assert_eq!(run.row("ui").charges, 0);
    assert_eq!(run.row("ui").cause, Some(run.id("db")));
    run.pass(100);
    assert_eq!(run.ok("start db"), "start ui", "without a delay of its own");
}

#[test]
fn rule_21_a_failure_while_a_dependency_of_a_dependency_is_down_is_charged_to_that() {
    let mut run = run_of(vec![
        registration("db"),
        registration("cache").tolerates(["db"]),
        registration("api").depends_on(["cache"]),
    ]);
    lose_alone(&mut run, "db");
    lose_alone(&mut run, "api");
    assert_eq!(verdict(&run, "api"), Verdict::Follow);
    assert_eq!(run.row("api").cause, Some(run.id("db")));
    assert_eq!(run.row("api").charges, 0);
    // What it waits for itself runs, so it would come back at once, and fail again, as often as the db allows.
    assert_eq!(run.pass(99), "");
    assert_eq!(run.pass(1), "start db, start api");
}

#[test]
fn rule_21_a_failure_after_the_dependency_is_back_is_charged_again() {
    let mut run = run_of(vec![
        registration("db"),
        registration("ui").tolerates(["db"]),
    ]);
    lose_alone(&mut run, "db");
    run.pass(100);
    run.ok("start db");
    lose_alone(&mut run, "ui");
    assert_eq!(run.row("ui").charges, 1);
}

#[test]
fn rule_21_a_permanent_failure_while_a_hard_dependency_is_down_follows_it() {
    let mut run = run_of(vec![
        registration("db"),
        registration("ui").tolerates(["db"]),
    ]);
    lose_alone(&mut run, "db");
    assert_eq!(run.task_ends("ui", permanent()), "stop ui");
    assert_eq!(verdict(&run, "ui"), Verdict::Follow);
}

#[test]
fn rule_21_a_follower_whose_start_is_in_flight_is_cancelled_and_not_charged() {
    let mut run = pair();
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    run.pass(100);
    run.ok("start db");
    assert_eq!(run.loses("db"), "cancel start api");
    assert_eq!(run.fails("start api"), "dispose api, stop db");
    assert_eq!(run.row("api").charges, 0);
    assert_eq!(run.state("api"), State::Waiting);
}

#[test]
fn rule_21_a_start_that_fails_after_a_loss_is_charged_too() {
    let mut run = run_of(vec![degradable("db")]);
    lose_alone(&mut run, "db");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.fails("start db"), "dispose db");
    assert_eq!(run.row("db").charges, 2);
    assert_eq!(run.pass(100), "start db");
    run.ok("start db");
    assert_eq!(run.row("db").failure, None);
}

#[test]
fn rule_21_a_start_sequence_of_several_attempts_is_charged_once() {
    let retry = Retry::attempts(3);
    let mut run = run_of(vec![degradable("db").start_retry(retry)]);
    lose_alone(&mut run, "db");
    run.pass(100);
    run.fails("start db");
    run.fails("start db");
    assert_eq!(run.fails("start db"), "dispose db");
    assert_eq!(run.row("db").charges, 2);
}

#[test]
fn rule_21_two_losses_at_once_make_one_order() {
    let mut run = chain();
    assert_eq!(run.loses("cache"), "stop api");
    // The cache waits for the api, and now the database waits for the cache.
    assert_eq!(run.loses("db"), "");
    assert_eq!(run.ok("stop api"), "dispose api, stop cache");
    assert_eq!(run.ok("stop cache"), "dispose cache, stop db");
    assert_eq!(run.ok("stop db"), "dispose db");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.ok("start db"), "start cache");
}

#[test]
fn rule_21_what_is_lost_while_it_goes_down_anyway_is_told_and_not_charged() {
    let mut run = pair();
    run.loses("db");
    assert_eq!(run.state("api"), State::Stopping);
    let mut run = chain();
    run.loses("db");
    assert_eq!(run.loses("cache"), "");
    assert_eq!(run.row("cache").charges, 0);
    assert_eq!(verdict(&run, "cache"), Verdict::Follow);
    run.ok("stop api");
    run.ok("stop cache");
    run.ok("stop db");
    run.pass(100);
    assert_eq!(run.ok("start db"), "start cache");
}

#[test]
fn rule_21_a_stop_that_fails_outside_of_a_shutdown_is_disposed_and_the_restart_goes_on() {
    let mut run = pair();
    run.loses("db");
    assert_eq!(run.fails("stop api"), "dispose api, stop db");
    assert_eq!(run.fails("stop db"), "dispose db");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.ok("start db"), "start api");
}

#[test]
fn rule_21_a_stop_of_the_whole_takes_in_what_goes_down_already() {
    let mut run = chain();
    run.loses("cache");
    assert_eq!(run.stop(), "");
    assert_eq!(run.ok("stop api"), "dispose api, stop cache");
    assert_eq!(run.ok("stop cache"), "dispose cache, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
    assert_eq!(run.report().stopped, 3);
}

#[test]
fn rule_21_a_back_off_between_stop_attempts_outlasts_the_stop_of_a_soft_dependent() {
    let stop = Retry::attempts(2).with_backoff(Backoff::Fixed(ms(1_000)));
    let mut run = run_of(vec![
        registration("db").stop_retry(stop),
        registration("api").wants(["db"]),
    ]);
    run.loses("db");
    run.fails("stop db");
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api");
    assert_eq!(run.pass(999), "", "its next attempt is not due yet");
    assert_eq!(run.pass(1), "stop db");
}

#[test]
fn rule_01_a_further_stop_attempt_waits_for_a_dependent_that_goes_down_since() {
    let stop = Retry::attempts(2).with_backoff(Backoff::Fixed(ms(1_000)));
    let mut run = run_of(vec![
        registration("db").stop_retry(stop),
        registration("api").wants(["db"]),
    ]);
    run.loses("db");
    run.fails("stop db");
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.pass(1_000), "", "the api is still up");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_21_what_waits_for_two_dependencies_waits_for_both() {
    let mut run = run_of(vec![
        registration("db"),
        registration("queue"),
        registration("api").depends_on(["db", "queue"]),
    ]);
    run.loses("db");
    assert_eq!(run.loses("queue"), "");
    assert_eq!(run.ok("stop api"), "dispose api, stop queue, stop db");
    run.ok("stop queue");
    run.ok("stop db");
    assert_eq!(run.pass(100), "start db, start queue");
    assert_eq!(run.ok("start db"), "");
    assert_eq!(run.ok("start queue"), "start api");
}

#[test]
fn rule_21_a_component_that_was_to_start_in_the_step_that_took_its_dependency_away_waits() {
    let check = HealthCheck::every(ms(100)).with_misses(1).restarting();
    let mut run = run_of(vec![
        registration("db").health_check(check),
        registration("ui").tolerates(["db"]),
    ]);
    assert_eq!(run.pass(100), "check db");
    run.pass(1_950);
    // Its restart is due in the very look at the clock in which the check of the db times out.
    lose_alone(&mut run, "ui");
    assert_eq!(run.oversleep(150), "abort check of db, stop db");
    assert_eq!(run.state("ui"), State::Waiting);
}

#[test]
fn rule_22_a_budget_of_n_is_followed_by_n_restarts() {
    let db = degradable("db").restart(restart().with_budget(2, ms(60_000)));
    let mut run = run_of(vec![db]);
    for _ in 0..2 {
        lose_alone(&mut run, "db");
        assert_eq!(run.pass(100), "start db");
        run.ok("start db");
    }
    lose_alone(&mut run, "db");
    assert_eq!(run.pass(60_000), "");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.row("db").reason, Reason::BudgetExhausted);
    assert!(run.row("db").final_failure);
}

#[test]
fn rule_22_the_window_of_a_budget_slides() {
    let db = degradable("db").restart(restart().with_budget(2, ms(1_000)));
    let mut run = run_of(vec![db]);
    for pause in [600, 600, 600, 600] {
        lose_alone(&mut run, "db");
        assert_eq!(run.pass(100), "start db");
        run.ok("start db");
        run.pass(pause - 100);
    }
    assert_eq!(run.state("db"), State::Running, "never three within 1 s");
    lose_alone(&mut run, "db");
    run.pass(100);
    run.ok("start db");
    lose_alone(&mut run, "db");
    assert_eq!(run.state("db"), State::Faulted);
}

#[test]
fn rule_22_a_budget_of_nothing_makes_the_first_loss_final() {
    let mut run = run_of(vec![
        degradable("db").restart(restart().with_budget(0, ms(1_000))),
    ]);
    lose_alone(&mut run, "db");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.row("db").reason, Reason::BudgetExhausted);
}

fn doubling() -> Restart {
    Restart::on_failure()
        .with_backoff(Backoff::Exponential {
            initial: ms(100),
            factor: 2.0,
            cap: ms(300),
        })
        .with_jitter(Jitter::None)
        .with_budget(10, ms(60_000))
        .with_stable_period(ms(5_000))
}

fn comes_back_after(run: &mut Run, delay: u64) {
    lose_alone(run, "db");
    assert_eq!(run.pass(delay - 1), "");
    assert_eq!(run.pass(1), "start db");
    run.ok("start db");
}

#[test]
fn rule_22_the_back_off_grows_with_each_restart_up_to_its_cap() {
    let mut run = run_of(vec![degradable("db").restart(doubling())]);
    for delay in [100, 200, 300, 300] {
        comes_back_after(&mut run, delay);
    }
}

#[test]
fn rule_22_a_stable_period_begins_the_back_off_anew() {
    let mut run = run_of(vec![degradable("db").restart(doubling())]);
    comes_back_after(&mut run, 100);
    comes_back_after(&mut run, 200);
    run.pass(4_999);
    comes_back_after(&mut run, 300);
    run.pass(5_000);
    comes_back_after(&mut run, 100);
    comes_back_after(&mut run, 200);
}

#[test]
fn rule_22_an_error_may_say_when_to_come_back_within_the_cap() {
    let asks = |delay: Nanos| {
        let failure = Failure::error("busy").with_retry_after(delay);
        let outcome: CallOutcome = Err(Arc::new(failure));
        outcome
    };
    let mut run = run_of(vec![degradable("db").restart(doubling())]);
    run.task_ends("db", asks(ms(250)));
    run.ok("stop db");
    assert_eq!(run.pass(249), "");
    assert_eq!(run.pass(1), "start db");
    run.ok("start db");
    run.task_ends("db", asks(ms(9_000)));
    run.ok("stop db");
    assert_eq!(run.pass(300), "start db");
}

#[test]
fn rule_22_never_makes_every_loss_final() {
    let mut run = run_of(vec![degradable("db").restart(Restart::never())]);
    lose_alone(&mut run, "db");
    assert_eq!(verdict(&run, "db"), Verdict::Final);
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.row("db").reason, Reason::Lost);
}

#[test]
fn rule_22_on_failure_leaves_what_has_completed_stopped() {
    let mut run = run_of(vec![degradable("job")]);
    assert_eq!(run.task_ends("job", Ok(())), "stop job");
    run.ok("stop job");
    assert_eq!(run.pass(60_000), "");
    assert_eq!(run.state("job"), State::Stopped);
    assert_eq!(run.row("job").reason, Reason::Completed);
}

#[test]
fn rule_22_always_starts_again_what_has_completed_and_charges_it() {
    let job = degradable("job").restart(
        Restart::always()
            .with_backoff(Backoff::Fixed(ms(100)))
            .with_budget(1, ms(60_000)),
    );
    let mut run = run_of(vec![job]);
    run.task_ends("job", Ok(()));
    run.ok("stop job");
    assert_eq!(run.row("job").restarts.completed, 1);
    assert_eq!(run.pass(100), "start job");
    run.ok("start job");
    run.task_ends("job", Ok(()));
    run.ok("stop job");
    assert_eq!(run.pass(60_000), "", "its budget is used up");
    assert_eq!(run.state("job"), State::Faulted);
    let failure = run.row("job").failure.expect("told");
    assert!(failure.message.contains("more often than its budget"));
}

#[test]
fn rule_22_a_permanent_error_is_final_whatever_the_budget_says() {
    let db = degradable("db").restart(restart().with_budget(1, ms(60_000)));
    let mut run = run_of(vec![db]);
    run.task_ends("db", permanent());
    run.ok("stop db");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.row("db").reason, Reason::Lost);
}

#[test]
fn rule_22_a_permanent_error_after_a_charged_one_is_not_told_as_an_exhausted_budget() {
    let db = degradable("db").restart(restart().with_budget(1, ms(60_000)));
    let mut run = run_of(vec![db]);
    lose_alone(&mut run, "db");
    run.pass(100);
    run.ok("start db");
    run.task_ends("db", permanent());
    run.ok("stop db");
    assert_eq!(run.row("db").reason, Reason::Lost);
}

#[test]
fn rule_22_what_blocks_a_thread_is_finally_lost() {
    let mut run = run_of(vec![degradable("db")]);
    run.loses("db");
    assert_eq!(run.pass(10_000), "abort stop db");
    assert_eq!(run.pass(500), "abandon db, dispose db");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.row("db").reason, Reason::Quarantined);
}

#[test]
fn rule_22_an_essential_final_loss_stops_the_orchestrator_and_the_report_has_the_cause() {
    let db = registration("db").restart(Restart::never());
    let mut run = run_of(vec![db, registration("api").depends_on(["db"])]);
    assert_eq!(run.loses("db"), "stop api");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    let ended = run.events.iter().find_map(|it| match &it.kind {
        EventKind::StopEnded { report } => Some(Arc::clone(report)),
        _ => None,
    });
    let report = ended.expect("told");
    assert_eq!(report.reason, Reason::EssentialLost);
    assert_eq!(report.cause.as_ref().map(|it| it.as_str()), Some("db"));
    let failure = report.failure.as_ref().map(|it| it.message.as_str());
    assert_eq!(failure, Some("the link is gone"));
}

#[test]
fn rule_22_an_essential_follower_of_what_is_finally_lost_is_lost_with_it() {
    let db = degradable("db").restart(Restart::never());
    let mut run = run_of(vec![db, registration("api").depends_on(["db"])]);
    assert_eq!(run.loses("db"), "stop api");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
    run.ok("stop api");
    run.ok("stop db");
    let ended = run.events.iter().find_map(|it| match &it.kind {
        EventKind::StopEnded { report } => Some(Arc::clone(report)),
        _ => None,
    });
    let report = ended.expect("told");
    assert_eq!(report.cause.as_ref().map(|it| it.as_str()), Some("db"));
    let failure = report.failure.as_ref().map(|it| it.message.as_str());
    assert_eq!(failure, Some("the link is gone"));
}

#[test]
fn rule_22_a_follower_of_what_is_finally_lost_fails_by_it_once_it_is_down() {
    let db = degradable("db").restart(Restart::never());
    let mut run = run_of(vec![db, degradable("api").depends_on(["db"])]);
    run.loses("db");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    run.ok("stop db");
    let row = run.row("api");
    assert_eq!(row.state, State::Faulted);
    assert_eq!(row.reason, Reason::DependencyFailed);
    assert_eq!(row.cause, Some(run.id("db")));
    assert_eq!(row.failure.expect("told").message, "the link is gone");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
}

#[test]
fn rule_22_whoever_waits_for_what_is_finally_lost_is_lost() {
    let db = degradable("db").restart(restart().with_budget(1, ms(60_000)));
    let mut run = run_of(vec![db, registration("api").depends_on(["db"])]);
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    run.pass(100);
    assert_eq!(run.fails("start db"), "dispose db");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    assert_eq!(run.state("api"), State::Faulted);
}

#[test]
fn rule_22_dependents_that_tolerate_go_on_without_what_is_finally_lost() {
    let db = degradable("db").restart(Restart::never());
    let mut run = run_of(vec![db, registration("ui").tolerates(["db"])]);
    lose_alone(&mut run, "db");
    assert_eq!(run.state("ui"), State::Running);
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert!(run.engine.is_ready());
}

#[test]
fn rule_22_what_has_failed_stays_so_until_an_operator_starts_it_with_a_fresh_budget() {
    let db = degradable("db").restart(restart().with_budget(1, ms(60_000)));
    let mut run = run_of(vec![db, degradable("api").depends_on(["db"])]);
    for _ in 0..2 {
        run.loses("db");
        run.ok("stop api");
        run.ok("stop db");
        if run.pass(100) == "start db" {
            run.ok("start db");
            run.ok("start api");
        }
    }
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.state("api"), State::Faulted);
    assert_eq!(run.operate(Operation::Start, "db"), "start db");
    assert_eq!(run.ok("start db"), "done: start, start api");
    run.ok("start api");
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.pass(100), "start db", "its budget is a fresh one");
}

#[test]
fn rule_22_a_restart_that_exceeds_the_budget_is_refused_before_anything_is_stopped() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1).restarting();
    let db = degradable("db")
        .health_check(check)
        .restart(restart().with_budget(0, ms(60_000)));
    let mut run = run_of(vec![db]);
    run.pass(1_000);
    assert_eq!(run.check_ends("db", bad()), "");
    assert_eq!(run.state("db"), State::Running);
    assert_eq!(health(&run, "db"), Health::Unhealthy);
    let refused = |it: &EventKind| matches!(it, EventKind::RestartRefused { .. });
    assert_eq!(run.told(refused), 1);
    run.pass(1_000);
    assert_eq!(run.check_ends("db", bad()), "");
    assert_eq!(run.told(refused), 1, "once is enough");
}

#[test]
fn rule_09_what_is_not_essential_settles_a_start_by_its_first_sequence_and_is_restarted() {
    let defaults = Defaults {
        restart: restart(),
        ..Defaults::default()
    };
    let mut run = Run::with(
        vec![
            degradable("cache"),
            degradable("warmer").depends_on(["cache"]),
            registration("api").wants(["cache"]),
        ],
        defaults,
    );
    assert_eq!(run.start(), "start cache");
    assert_eq!(run.fails("start cache"), "dispose cache, start api");
    assert_eq!(run.state("cache"), State::BackingOff);
    assert_eq!(run.ok("start api"), "started");
    let report = run.started.clone().expect("answered").expect("well");
    let degraded: Vec<_> = report
        .degraded
        .iter()
        .map(|it| it.component.as_str())
        .collect();
    assert_eq!(degraded, ["cache", "warmer"]);
    assert_eq!(run.pass(100), "start cache");
    assert_eq!(run.ok("start cache"), "start warmer");
}

#[test]
fn rule_09_an_essential_component_behind_one_that_is_tried_again_is_waited_for() {
    let defaults = Defaults {
        restart: restart(),
        ..Defaults::default()
    };
    let mut run = Run::with(
        vec![degradable("db"), registration("api").depends_on(["db"])],
        defaults,
    );
    run.start();
    assert_eq!(run.fails("start db"), "dispose db");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(run.ok("start api"), "started");
}

#[test]
fn rule_09_an_essential_component_lost_during_the_start_comes_back_before_it_settles() {
    let defaults = Defaults {
        restart: restart(),
        ..Defaults::default()
    };
    let mut run = Run::with(vec![registration("db"), registration("slow")], defaults);
    run.start();
    run.ok("start db");
    lose_alone(&mut run, "db");
    assert_eq!(run.ok("start slow"), "");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.ok("start db"), "started");
}

#[test]
fn rule_09_an_essential_component_finally_lost_during_the_start_is_rolled_back() {
    let db = registration("db");
    let mut run = Run::with(vec![db, registration("slow")], no_restarts());
    run.start();
    run.ok("start db");
    assert_eq!(run.loses("db"), "cancel start slow, stop db");
    run.fails("start slow");
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

#[test]
fn rule_09_what_an_edge_stops_during_the_start_holds_it_up_no_longer() {
    let defaults = Defaults {
        restart: restart(),
        ..Defaults::default()
    };
    let audit = registration("audit").dependencies([Dependency::hard("db").stops()]);
    let mut run = Run::with(
        vec![
            degradable("db"),
            audit,
            registration("trail").depends_on(["audit"]),
            registration("view").wants(["audit"]),
        ],
        defaults,
    );
    run.start();
    assert_eq!(run.ok("start db"), "start audit");
    assert_eq!(run.loses("db"), "cancel start audit");
    assert_eq!(
        run.fails("start audit"),
        "dispose audit, stop db, start view"
    );
    assert_eq!(run.ok("start view"), "started");
    assert!(!run.engine.is_ready());
}

#[test]
fn rule_23_health_is_asked_for_in_intervals_and_three_misses_are_bad_health() {
    let mut run = run_of(vec![
        registration("db").health_check(HealthCheck::default()),
    ]);
    assert_eq!(run.pass(9_999), "");
    assert_eq!(run.pass(1), "check db");
    run.check_ends("db", bad());
    run.pass(10_000);
    run.check_ends("db", bad());
    assert_eq!(health(&run, "db"), Health::Healthy);
    assert!(run.engine.is_ready());
    run.pass(10_000);
    assert_eq!(run.check_ends("db", bad()), "", "and it goes on");
    assert_eq!(health(&run, "db"), Health::Unhealthy);
    assert_eq!(run.state("db"), State::Running);
    assert!(!run.engine.is_ready(), "it is essential");
    let failed = |it: &EventKind| matches!(it, EventKind::CheckFailed { .. });
    assert_eq!(run.told(failed), 3);
}

#[test]
fn rule_23_misses_count_in_a_row() {
    let check = HealthCheck::every(ms(100)).with_misses(2);
    let mut run = run_of(vec![registration("db").health_check(check)]);
    for outcome in [bad(), Ok(()), bad(), Ok(())] {
        run.pass(100);
        run.check_ends("db", outcome);
    }
    assert_eq!(health(&run, "db"), Health::Healthy);
}

#[test]
fn rule_23_a_check_that_takes_too_long_is_dropped_and_has_failed() {
    let check = HealthCheck::every(ms(100)).with_misses(1);
    let mut run = run_of(vec![registration("db").health_check(check)]);
    assert_eq!(run.pass(100), "check db");
    assert_eq!(run.pass(2_000), "abort check of db");
    assert_eq!(health(&run, "db"), Health::Unhealthy);
    // That it is gone by then is no second failure.
    assert_eq!(run.check_ends("db", Err(Arc::new(Failure::lost()))), "");
    assert_eq!(run.pass(100), "check db");
    run.check_ends("db", Ok(()));
    assert_eq!(health(&run, "db"), Health::Healthy);
}

#[test]
fn rule_23_a_check_that_blocks_its_thread_fails_each_time_and_no_other_is_begun() {
    let check = HealthCheck::every(ms(100)).with_misses(3);
    let mut run = run_of(vec![registration("db").health_check(check)]);
    assert_eq!(run.pass(2_100), "check db, abort check of db");
    assert_eq!(run.pass(100), "");
    assert_eq!(health(&run, "db"), Health::Healthy);
    assert_eq!(run.pass(100), "");
    assert_eq!(health(&run, "db"), Health::Unhealthy);
    run.check_ends("db", Err(Arc::new(Failure::lost())));
    assert_eq!(run.pass(100), "check db");
}

#[test]
fn rule_23_one_good_check_is_enough_to_be_healthy_again() {
    let check = HealthCheck::every(ms(100)).with_misses(1);
    let mut run = run_of(vec![registration("db").health_check(check)]);
    run.pass(100);
    run.check_ends("db", bad());
    assert!(!run.engine.is_ready());
    run.pass(100);
    run.check_ends("db", Ok(()));
    assert!(run.engine.is_ready());
    let changed = |it: &EventKind| matches!(it, EventKind::HealthChanged { .. });
    assert_eq!(run.told(changed), 2);
}

#[test]
fn rule_23_bad_health_restarts_where_that_is_wanted() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1).restarting();
    let mut run = run_of(vec![
        registration("db").health_check(check),
        registration("api").depends_on(["db"]),
    ]);
    run.pass(1_000);
    assert_eq!(run.check_ends("db", bad()), "stop api");
    assert_eq!(run.state("db"), State::Running, "until its own stop");
    run.ok("stop api");
    assert_eq!(run.row("db").reason, Reason::Unhealthy);
    run.ok("stop db");
    assert_eq!(run.row("db").restarts.unhealthy, 1);
    assert_eq!(run.row("db").charges, 1);
    assert_eq!(run.pass(100), "start db");
    run.ok("start db");
    assert_eq!(health(&run, "db"), Health::Healthy);
}

#[test]
fn rule_23_bad_health_is_no_reason_to_restart_what_never_restarts() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1).restarting();
    let db = registration("db")
        .health_check(check)
        .restart(Restart::never());
    let mut run = run_of(vec![db]);
    run.pass(1_000);
    assert_eq!(run.check_ends("db", bad()), "");
    assert_eq!(health(&run, "db"), Health::Unhealthy);
    assert_eq!(run.state("db"), State::Running);
}

#[test]
fn rule_23_what_could_not_come_back_is_not_restarted_for_its_health() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1).restarting();
    let mut run = run_of(vec![
        degradable("db").restart(Restart::never()),
        registration("ui").tolerates(["db"]).health_check(check),
    ]);
    lose_alone(&mut run, "db");
    run.pass(1_000);
    assert_eq!(
        run.check_ends("ui", bad()),
        "",
        "without the db it cannot start"
    );
    assert_eq!(health(&run, "ui"), Health::Unhealthy);
    assert_eq!(run.row("ui").charges, 0);
}

#[test]
fn rule_23_a_component_may_say_that_it_is_degraded_and_bad_checks_outweigh_it() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1);
    let mut run = run_of(vec![registration("db").health_check(check)]);
    run.reports("db", Report::Degraded(Some("one replica of two".into())));
    assert_eq!(health(&run, "db"), Health::Degraded);
    assert_eq!(
        run.row("db").degraded.as_deref(),
        Some("one replica of two")
    );
    assert!(run.engine.is_ready(), "it works");
    run.pass(1_000);
    run.check_ends("db", bad());
    assert_eq!(health(&run, "db"), Health::Unhealthy);
    run.reports("db", Report::Degraded(None));
    assert_eq!(health(&run, "db"), Health::Unhealthy);
    run.pass(1_000);
    run.check_ends("db", Ok(()));
    assert_eq!(health(&run, "db"), Health::Healthy);
}

#[test]
fn rule_23_what_a_component_says_before_it_runs_is_shown_when_it_does() {
    let mut run = Run::of(&[("db", &[])]);
    run.start();
    run.reports("db", Report::Degraded(Some("warming up".into())));
    assert_eq!(health(&run, "db"), Health::Healthy);
    run.ok("start db");
    assert_eq!(health(&run, "db"), Health::Degraded);
}

#[test]
fn rule_23_what_an_old_generation_said_is_forgotten() {
    let mut run = run_of(vec![registration("db")]);
    run.reports("db", Report::Degraded(Some("one replica of two".into())));
    run.reports("db", Report::InFlight(7));
    run.reports("db", Report::Progress("compacting".into()));
    lose_alone(&mut run, "db");
    run.pass(100);
    run.ok("start db");
    let row = run.row("db");
    assert_eq!((row.health, row.in_flight), (Health::Healthy, None));
    assert_eq!((row.degraded, row.progress), (None, None));
}

#[test]
fn rule_23_a_component_on_its_way_down_is_not_asked_for_its_health() {
    let check = HealthCheck::every(ms(100)).with_misses(1);
    let mut run = run_of(vec![
        registration("db").health_check(check),
        registration("api").depends_on(["db"]),
    ]);
    assert_eq!(run.operate(Operation::Restart, "db"), "stop api");
    assert_eq!(run.pass(1_000), "");
}
