//! Rules 6 to 10: generations, attempts, cancelling, tasks, and what a start comes to.

use std::sync::Arc;

use crate::support::{Run, State, fresh, ms, no_restarts, registration};
use lifecycle_core::engine::{Call, OrchestratorState, StartError};
use lifecycle_core::{Backoff, Class, Criticality, Failure, FailureKind, Registration, Retry};

fn degradable(name: &str) -> Registration {
    registration(name).criticality(Criticality::Degradable)
}

fn run_of(registrations: Vec<Registration>) -> Run {
    Run::with(registrations, no_restarts())
}

fn twice() -> Retry {
    Retry::attempts(2)
}

fn start_error(run: &Run) -> StartError {
    let answer = run.started.clone().expect("the start was answered");
    (*answer.expect_err("the start failed")).clone()
}

#[test]
fn rule_06_a_generation_spans_all_attempts_of_one_start() {
    let mut run = run_of(vec![registration("db").start_retry(twice())]);
    run.start();
    let first = run.key("start db").expect("called");
    run.fails("start db");
    let second = run.key("start db").expect("called again");
    assert_eq!((first.generation, first.attempt), (1, 1));
    assert_eq!((second.generation, second.attempt), (1, 2));
    run.ok("start db");
    run.stop();
    run.ok("stop db");
    run.start();
    let third = run.key("start db").expect("called in the next run");
    assert_eq!((third.generation, third.attempt), (2, 1));
}

#[test]
fn rule_06_the_scope_of_an_attempt_is_closed_before_the_next_attempt() {
    let mut run = run_of(vec![registration("db").start_retry(twice())]);
    run.lingers("db");
    run.start();
    assert_eq!(run.fails("start db"), "close db");
    assert_eq!(run.pass(499), "");
    assert_eq!(run.pass(1), "abort tasks of db");
    assert_eq!(run.scope_ends("db"), "start db");
}

#[test]
fn rule_06_the_scope_of_the_attempt_that_succeeded_is_the_run_scope() {
    let mut run = run_of(vec![registration("db").start_retry(twice())]);
    run.start();
    run.fails("start db");
    run.lingers("db");
    assert_eq!(run.ok("start db"), "started", "nothing is closed");
    run.stop();
    assert_eq!(run.ok("stop db"), "close db");
}

#[test]
fn rule_06_a_shared_value_is_disposed_once_for_all_its_attempts() {
    let mut run = run_of(vec![degradable("db").start_retry(twice())]);
    run.start();
    assert_eq!(run.fails("start db"), "start db");
    assert_eq!(run.fails("start db"), "dispose db, started");
}

#[test]
fn rule_06_a_factory_disposes_the_failed_value_before_it_makes_the_next() {
    let db = fresh("db").start_retry(twice());
    let mut run = run_of(vec![db]);
    run.disposes_slowly("db");
    run.start();
    assert_eq!(run.fails("start db"), "dispose db");
    assert_eq!(run.ok("dispose db"), "start db");
    assert_eq!(run.ok("start db"), "started");
    run.stop();
    assert_eq!(run.ok("stop db"), "dispose db");
}

#[test]
fn rule_06_a_factory_backs_off_only_after_the_failed_value_is_disposed() {
    let retry = twice().with_backoff(Backoff::Fixed(ms(100)));
    let mut run = run_of(vec![fresh("db").start_retry(retry)]);
    run.disposes_slowly("db");
    run.start();
    run.fails("start db");
    assert_eq!(run.pass(100), "");
    run.ok("dispose db");
    assert_eq!(run.state("db"), State::BackingOff);
    assert_eq!(run.pass(100), "start db");
}

#[test]
fn rule_06_a_panic_in_a_shared_value_is_final() {
    let mut run = run_of(vec![degradable("db").start_retry(twice())]);
    run.start();
    let panic = Failure::panic("index out of bounds");
    assert_eq!(run.fails_with("start db", panic), "dispose db, started");
    assert_eq!(run.state("db"), State::Faulted);
}

#[test]
fn rule_06_a_panic_of_a_factory_made_value_is_tried_again_like_an_error() {
    let mut run = run_of(vec![fresh("db").start_retry(twice())]);
    run.start();
    let panic = Failure::panic("index out of bounds");
    assert_eq!(run.fails_with("start db", panic), "dispose db, start db");
}

#[test]
fn rule_07_a_timeout_cancels_then_waits_for_the_grace_then_aborts() {
    let retry = Retry::none().with_attempt_timeout(ms(1_000));
    let db = degradable("db").start_retry(retry).abort_grace(ms(200));
    let mut run = run_of(vec![db]);
    run.start();
    assert_eq!(run.pass(999), "");
    assert_eq!(run.pass(1), "cancel start db");
    assert_eq!(run.pass(199), "");
    assert_eq!(run.pass(1), "abort start db");
    assert_eq!(run.vanishes("start db"), "dispose db, started");
}

#[test]
fn rule_07_an_ok_inside_the_grace_is_a_failed_attempt_that_is_stopped_once_and_disposed() {
    let mut run = run_of(vec![degradable("db")]);
    run.start();
    assert_eq!(run.pass(30_000), "cancel start db");
    assert_eq!(run.ok("start db"), "stop db");
    assert_eq!(run.state("db"), State::Stopping);
    assert_eq!(run.ok("stop db"), "dispose db, started");
    assert_eq!(run.state("db"), State::Faulted);
}

#[test]
fn rule_07_an_ok_inside_the_grace_is_retried_like_any_failed_attempt() {
    let retry = twice().with_attempt_timeout(ms(10));
    let mut run = run_of(vec![registration("db").start_retry(retry)]);
    run.start();
    run.pass(10);
    assert_eq!(run.ok("start db"), "stop db");
    assert_eq!(run.ok("stop db"), "start db");
    assert_eq!(run.ok("start db"), "started");
}

#[test]
fn rule_07_a_failing_stop_of_a_late_ok_is_not_repeated() {
    let db = degradable("db").stop_retry(Retry::attempts(5));
    let mut run = run_of(vec![db]);
    run.start();
    run.pass(30_000);
    run.ok("start db");
    assert_eq!(run.fails("stop db"), "dispose db, started");
}

#[test]
fn rule_07_an_error_inside_the_grace_is_disposed_without_a_stop() {
    let mut run = run_of(vec![degradable("db")]);
    run.start();
    run.pass(30_000);
    assert_eq!(run.fails("start db"), "dispose db, started");
}

#[test]
fn rule_07_the_failure_of_a_timed_out_attempt_is_the_timeout_whatever_it_answers_then() {
    let mut run = run_of(vec![registration("db")]);
    run.start();
    run.pass(30_000);
    run.fails("start db");
    let StartError::Failed { failure, .. } = start_error(&run) else {
        panic!("an essential component failed");
    };
    assert_eq!(failure.kind, FailureKind::Timeout);
}

#[test]
fn rule_07_stop_is_called_only_on_a_generation_whose_start_returned_ok() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    assert_eq!(run.stop(), "cancel start db");
    assert_eq!(run.fails("start db"), "dispose db, start failed, stopped");
    assert_eq!(run.history("api"), "waiting stopped");
}

#[test]
fn rule_07_a_late_completion_changes_nothing() {
    let mut run = run_of(vec![registration("db").start_retry(twice())]);
    run.start();
    let first = run.key("start db").expect("called");
    run.fails("start db");
    let failure = || Err(Arc::new(Failure::error("late")));
    let events = run.events.len();
    assert_eq!(run.answer(Call::Start, first, Ok(())), "");
    assert_eq!(run.answer(Call::Start, first, failure()), "");
    assert_eq!(run.state("db"), State::Starting);
    let second = run.key("start db").expect("called again");
    assert_eq!(run.ok("start db"), "started");
    assert_eq!(run.answer(Call::Start, second, failure()), "");
    assert_eq!(run.answer(Call::Stop, second, Ok(())), "");
    assert_eq!(run.answer(Call::Dispose, second, Ok(())), "");
    assert_eq!(run.state("db"), State::Running);
    assert_eq!(run.events.len(), events + 2, "running, and settled");
}

#[test]
fn rule_07_an_old_generation_speaks_to_nobody() {
    let mut run = Run::of(&[("db", &[])]);
    run.start();
    let old = run.key("start db").expect("called");
    run.ok("start db");
    run.stop();
    let old_stop = run.key("stop db").expect("called");
    run.ok("stop db");
    run.start();
    assert_eq!(run.answer(Call::Start, old, Ok(())), "");
    assert_eq!(run.state("db"), State::Starting);
    run.ok("start db");
    run.stop();
    assert_eq!(run.answer(Call::Stop, old_stop, Ok(())), "");
    assert_eq!(run.state("db"), State::Stopping);
}

#[test]
fn rule_07_an_attempt_that_cannot_be_ended_is_abandoned_and_the_component_never_called_again() {
    let db = degradable("db").start_retry(Retry::attempts(9).with_attempt_timeout(ms(10)));
    let mut run = run_of(vec![db]);
    run.start();
    run.pass(510);
    assert_eq!(run.pass(500), "abandon db, dispose db, started");
    assert_eq!(run.stop(), "stopped");
    assert_eq!(run.start(), "started");
    assert_eq!(run.state("db"), State::Faulted);
    let snapshot = run.engine.snapshot(run.now);
    let failure = snapshot.component(run.id("db")).failure.clone();
    assert_eq!(failure.map(|it| it.kind), Some(FailureKind::Abandoned));
}

#[test]
fn rule_07_an_essential_component_that_was_abandoned_refuses_every_further_start() {
    let db = registration("db").start_retry(Retry::none().with_attempt_timeout(ms(10)));
    let mut run = run_of(vec![db]);
    run.start();
    run.pass(510);
    assert_eq!(run.pass(500), "abandon db, dispose db, start failed");
    assert_eq!(run.start(), "start failed");
    assert_eq!(
        start_error(&run).to_string(),
        "\"db\" failed to start: an earlier generation still blocks a thread, so it cannot be started again in this process"
    );
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn rule_07_a_value_whose_dispose_blocks_is_followed_by_no_further_attempt() {
    let db = fresh("db")
        .start_retry(Retry::attempts(3))
        .dispose_timeout(ms(10));
    let mut run = run_of(vec![db.criticality(Criticality::Degradable)]);
    run.disposes_slowly("db");
    run.start();
    assert_eq!(run.fails("start db"), "dispose db");
    assert_eq!(run.pass(10), "abort dispose db");
    assert_eq!(run.pass(500), "abandon db, started");
    assert_eq!(run.state("db"), State::Faulted);
}

#[test]
fn rule_08_a_task_that_fails_before_start_returns_fails_the_attempt() {
    let mut run = run_of(vec![registration("db").start_retry(twice())]);
    run.start();
    let loss = Err(Arc::new(Failure::error("the loop broke")));
    assert_eq!(run.task_ends("db", loss), "");
    // What start built is stopped once, since start says that it stands.
    assert_eq!(run.ok("start db"), "stop db");
    assert_eq!(run.ok("stop db"), "start db");
}

#[test]
fn rule_08_an_error_of_a_running_component_is_a_loss() {
    let mut run = run_of(vec![degradable("db")]);
    run.up();
    let loss = Err(Arc::new(Failure::error("the loop broke")));
    // It was started, so it is stopped; that it was lost is no error of a later stop (rule 13).
    assert_eq!(run.task_ends("db", loss), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.stop(), "stopped");
    assert!(run.report().is_clean());
}

#[test]
fn rule_08_an_essential_loss_stops_the_orchestrator_in_order() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.up();
    let loss = Err(Arc::new(Failure::panic("overflow")));
    assert_eq!(run.task_ends("db", loss), "stop api");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    run.ok("stop db");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn rule_08_a_loop_that_returns_before_stop_is_completed_and_stopped() {
    let mut run = run_of(vec![degradable("job")]);
    run.up();
    assert_eq!(run.task_ends("job", Ok(())), "stop job");
    assert_eq!(run.ok("stop job"), "dispose job");
    assert_eq!(run.state("job"), State::Stopped);
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert_eq!(run.stop(), "stopped");
}

#[test]
fn rule_08_a_completed_provider_is_a_loss_for_who_waits_for_it() {
    let mut run = run_of(vec![
        degradable("job"),
        registration("db"),
        degradable("hard").depends_on(["job", "db"]),
        registration("soft").wants(["job"]).depends_on(["db"]),
    ]);
    run.start();
    run.ok("start job");
    run.task_ends("job", Ok(()));
    assert_eq!(run.state("hard"), State::Faulted);
    assert_eq!(run.ok("start db"), "start soft");
}

#[test]
fn rule_08_a_loop_that_completes_before_start_returns_releases_nobody_who_needs_it() {
    let mut run = run_of(vec![
        degradable("job"),
        degradable("hard").depends_on(["job"]),
        registration("soft").wants(["job"]),
    ]);
    run.start();
    run.task_ends("job", Ok(()));
    assert_eq!(run.ok("start job"), "stop job, start soft");
    run.ok("stop job");
    assert_eq!(
        run.history("job"),
        "starting running stopped stopping stopped"
    );
    assert_eq!(run.state("hard"), State::Faulted);
}

#[test]
fn rule_08_a_loop_that_completes_early_fails_its_dependents_once() {
    let mut run = run_of(vec![
        degradable("job"),
        degradable("hard").depends_on(["job"]),
        registration("ui").wants(["hard"]),
    ]);
    run.start();
    run.task_ends("job", Ok(()));
    assert_eq!(run.ok("start job"), "stop job, start ui");
    assert_eq!(run.history("hard"), "waiting faulted");
}

#[test]
fn rule_08_a_provider_lost_between_two_attempts_ends_them_and_is_stopped_after_the_dispose() {
    let retry = twice().with_backoff(Backoff::Fixed(ms(100)));
    let mut run = run_of(vec![
        degradable("db"),
        registration("api").depends_on(["db"]).start_retry(retry),
    ]);
    run.disposes_slowly("api");
    run.start();
    run.ok("start db");
    run.fails("start api");
    let loss = Err(Arc::new(Failure::error("the loop broke")));
    assert_eq!(run.task_ends("db", loss), "dispose api");
    assert_eq!(run.ok("dispose api"), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

#[test]
fn rule_08_a_loss_that_fails_a_dependent_in_two_ways_never_calls_it() {
    let mut run = run_of(vec![
        degradable("db"),
        degradable("slow"),
        degradable("cache").depends_on(["db", "slow"]),
        degradable("api").wants(["cache"]).depends_on(["db"]),
    ]);
    run.start();
    run.ok("start db");
    let loss = Err(Arc::new(Failure::error("the loop broke")));
    // The failure of the cache meets the last edge of the api, which has just lost its db.
    assert_eq!(run.task_ends("db", loss), "stop db");
    assert_eq!(run.state("api"), State::Faulted);
}

#[test]
fn rule_08_what_ends_after_stop_began_is_neither_loss_nor_completion() {
    let mut run = Run::of(&[("db", &[])]);
    run.up();
    run.stop();
    let key = run.key("stop db").expect("called");
    let task = lifecycle_core::engine::AttemptKey { attempt: 1, ..key };
    let outcome = Err(Arc::new(Failure::error("cancelled")));
    assert_eq!(
        run.input(lifecycle_core::engine::Input::TaskEnded { key: task, outcome }),
        ""
    );
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_09_a_start_resolves_when_everything_has_settled() {
    let mut run = run_of(vec![
        registration("db"),
        degradable("cache"),
        registration("api").depends_on(["db"]),
    ]);
    run.start();
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(run.ok("start api"), "");
    assert_eq!(run.fails("start cache"), "dispose cache, started");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
}

#[test]
fn rule_09_the_report_lists_what_is_degraded_with_cause_and_failure() {
    let mut run = run_of(vec![
        registration("api"),
        degradable("cache"),
        registration("ui")
            .depends_on(["cache"])
            .criticality(Criticality::Optional),
    ]);
    run.start();
    run.ok("start api");
    run.fails("start cache");
    let report = run.started.clone().expect("answered").expect("it runs");
    assert_eq!((report.run, report.running), (1, 1));
    let rows: Vec<String> = report
        .degraded
        .iter()
        .map(|it| {
            let cause = it.cause.as_ref().map_or("itself", |it| it.as_str());
            let failure = it.failure.as_ref().map_or("", |it| it.message.as_str());
            let (state, level) = (it.state.as_str(), it.criticality.as_str());
            format!("{} {level} {state} by {cause}: {failure}", it.component)
        })
        .collect();
    assert_eq!(
        rows,
        [
            "cache degradable faulted by itself: no luck",
            "ui optional faulted by cache: no luck"
        ]
    );
}

#[test]
fn rule_09_an_essential_component_blocked_by_a_failed_one_rolls_back() {
    let mut run = run_of(vec![
        degradable("cache"),
        registration("api").depends_on(["cache"]),
    ]);
    run.start();
    assert_eq!(run.fails("start cache"), "dispose cache, start failed");
    assert_eq!(
        start_error(&run).to_string(),
        "\"api\" failed to start: no luck (it depends on \"cache\")"
    );
    let StartError::Failed {
        component, cause, ..
    } = start_error(&run)
    else {
        panic!("an essential component failed");
    };
    assert_eq!(component.as_str(), "api");
    assert_eq!(cause.as_ref().map(|it| it.as_str()), Some("cache"));
}

#[test]
fn rule_09_the_error_of_a_start_has_the_errors_of_its_rollback() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    assert_eq!(run.fails("start api"), "dispose api, stop db");
    let stuck = Failure::error("connections are stuck");
    assert_eq!(run.fails_with("stop db", stuck), "start failed");
    assert_eq!(
        start_error(&run).to_string(),
        "\"api\" failed to start: no luck; rollback: \"db\" failed: connections are stuck"
    );
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
}

#[test]
fn rule_09_a_build_warns_of_an_essential_component_that_needs_an_optional_one() {
    let run = run_of(vec![
        registration("cache").criticality(Criticality::Optional),
        registration("api").depends_on(["cache"]),
        registration("ui").wants(["cache"]),
    ]);
    let warnings: Vec<String> = run
        .engine
        .plan()
        .warnings()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        warnings,
        [
            "\"api\" is essential but depends on \"cache\", which is optional; make \"cache\" essential or the edge soft"
        ]
    );
}

#[test]
fn rule_09_a_permanent_error_settles_a_component_at_once() {
    let mut run = run_of(vec![degradable("db").start_retry(Retry::attempts(9))]);
    run.start();
    let permanent = Failure::error("no such host").with_class(Class::Permanent);
    assert_eq!(run.fails_with("start db", permanent), "dispose db, started");
}

#[track_caller]
fn refuses_start(run: &mut Run, state: OrchestratorState) {
    let before = format!("{:?}", run.engine.snapshot(run.now));
    let events = run.events.len();
    assert_eq!(run.start(), "start failed");
    assert_eq!(start_error(run), StartError::FailedPrecondition { state });
    assert_eq!(format!("{:?}", run.engine.snapshot(run.now)), before);
    assert_eq!(run.events.len(), events);
}

#[test]
fn rule_10_a_start_is_refused_without_any_change_while_starting_running_or_stopping() {
    let mut run = Run::of(&[("db", &[])]);
    run.start();
    refuses_start(&mut run, OrchestratorState::Starting);
    run.ok("start db");
    refuses_start(&mut run, OrchestratorState::Running);
    run.stop();
    refuses_start(&mut run, OrchestratorState::Stopping);
    run.fails("stop db");
    refuses_start(&mut run, OrchestratorState::Stopping);
    run.stop();
    run.ok("stop db");
    assert_eq!(run.start(), "start db");
}

#[test]
fn rule_10_a_start_is_refused_during_a_rollback() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"])]);
    run.start();
    run.ok("start db");
    run.fails("start api");
    refuses_start(&mut run, OrchestratorState::Stopping);
    assert_eq!(
        start_error(&run).to_string(),
        "failed precondition: the orchestrator is stopping; start is possible when it is created or stopped"
    );
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

#[test]
fn rule_09_the_error_of_a_start_names_what_else_had_failed_by_then() {
    let mut run = run_of(vec![
        registration("cache").criticality(Criticality::Degradable),
        registration("db"),
    ]);
    run.start();
    run.fails("start cache");
    run.fails("start db");
    let error = run
        .started
        .clone()
        .expect("answered")
        .expect_err("db is essential");
    assert_eq!(
        error.to_string(),
        "\"db\" failed to start: no luck; \"cache\" failed too: no luck"
    );
}
