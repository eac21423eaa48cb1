//! Rules 5 to 8 and 18 at their edges: one start attempt, what gives it up, and what undoes it.

use lifecycle_core::engine::{EventKind, Operation, OrchestratorState, Reason, StopOutcome};
use lifecycle_core::{Backoff, Class, Failure, Jitter, Restart, Retry};

use crate::support::{Run, State, ms, no_restarts, registration};

fn run_of(registrations: Vec<lifecycle_core::Registration>) -> Run {
    Run::with(registrations, no_restarts())
}

/// Two attempts, a tenth of a second apart.
fn twice() -> Retry {
    Retry::attempts(2)
        .with_backoff(Backoff::Fixed(ms(100)))
        .with_jitter(Jitter::None)
}

/// Why the last start of `name` was made.
pub(crate) fn reason_of_start(run: &Run, name: &str) -> Reason {
    let id = run.id(name);
    let mut starts = run.events.iter().filter(|event| match &event.kind {
        EventKind::Transition { key, to, .. } => key.component == id && *to == State::Starting,
        _ => false,
    });
    starts.next_back().expect("it was started").reason
}

#[test]
fn rule_05_a_start_says_whether_it_waited_for_dependencies() {
    let mut run = run_of(vec![
        registration("db"),
        registration("api").depends_on(["db"]).start_retry(twice()),
    ]);
    run.start();
    run.ok("start db");
    assert_eq!(reason_of_start(&run, "db"), Reason::StartRequested);
    assert_eq!(reason_of_start(&run, "api"), Reason::DependenciesReady);
    run.fails("start api");
    assert_eq!(run.pass(100), "start api");
    assert_eq!(reason_of_start(&run, "api"), Reason::RetryDue);
}

#[test]
fn rule_06_what_it_tolerates_and_needs_to_start_goes_away_between_two_attempts() {
    let at_once = Restart::on_failure()
        .with_backoff(Backoff::Fixed(ms(1_000)))
        .with_jitter(Jitter::None);
    let mut run = run_of(vec![
        registration("db").restart(at_once),
        registration("api").tolerates(["db"]).start_retry(twice()),
    ]);
    run.start();
    run.ok("start db");
    run.fails("start api");
    assert_eq!(run.loses("db"), "stop db");
    assert_eq!(run.pass(100), "dispose api", "it is not tried without");
    assert_eq!(run.state("api"), State::Waiting);
    assert_eq!(run.ok("stop db"), "dispose db");
    assert_eq!(run.pass(900), "start db");
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(run.row("api").generation, 2, "nothing was charged");
}

#[test]
fn rule_07_a_start_that_was_given_up_and_spoils_its_value_is_not_tried_again() {
    let retry = twice().with_attempt_timeout(ms(100));
    for spoil in [
        Failure::panic("out of range"),
        Failure::error("no such table").with_class(Class::Permanent),
    ] {
        let message = spoil.message.clone();
        let mut run = run_of(vec![registration("db").start_retry(retry.clone())]);
        run.start();
        assert_eq!(run.pass(100), "cancel start db");
        assert_eq!(
            run.fails_with("start db", spoil),
            "dispose db, start failed"
        );
        let failure = run.row("db").failure.expect("it has failed");
        assert_eq!(failure.message, message);
    }
    // Any other error is what its limit did.
    let mut run = run_of(vec![registration("db").start_retry(retry)]);
    run.start();
    run.pass(100);
    assert_eq!(run.fails("start db"), "");
    assert_eq!(run.pass(100), "start db");
}

#[test]
fn rule_07_what_a_given_up_start_built_is_stopped_once() {
    let mut run = run_of(vec![
        registration("db").start_retry(Retry::none().with_attempt_timeout(ms(100))),
    ]);
    run.start();
    run.pass(100);
    assert_eq!(run.ok("start db"), "stop db");
    let key = run.key("stop db").expect("it was called");
    assert_eq!(key.attempt, 1);
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

#[test]
fn rule_18_what_a_given_up_start_built_is_stopped_only_while_there_is_time_for_a_call() {
    for (left, said) in [
        (6, "stop db"),
        (5, "stop db"),
        (4, "dispose db, start failed, stop failed"),
    ] {
        let mut run = run_of(vec![registration("db")]);
        run.start();
        run.stop_within(100);
        run.pass(100 - left);
        assert_eq!(run.ok("start db"), said, "{left} ms are left");
    }
}

#[test]
fn rule_07_undoing_that_is_dropped_is_told_as_aborted() {
    let stop = Retry::none().with_attempt_timeout(ms(100));
    let mut run = run_of(vec![registration("db").stop_retry(stop)]);
    run.start();
    assert_eq!(run.stop(), "cancel start db");
    run.ok("start db");
    assert_eq!(run.pass(100), "abort stop db");
    run.vanishes("stop db");
    assert_eq!(run.report().troubles[0].outcome, StopOutcome::Aborted);
}

#[test]
fn rule_18_a_back_off_that_ends_with_the_time_of_the_whole_start_is_not_begun() {
    for (total, said) in [(301, ""), (300, "dispose db, start failed")] {
        let retry = twice().with_total(ms(total));
        let mut run = run_of(vec![registration("db").start_retry(retry)]);
        run.start();
        run.pass(200);
        assert_eq!(run.fails("start db"), said);
    }
}

#[test]
fn rule_08_a_task_that_ends_between_two_attempts_of_a_stop_was_asked_to() {
    let mut run = run_of(vec![registration("db").stop_retry(twice())]);
    run.up();
    run.operate_with(Operation::Stop, "db", true);
    run.fails("stop db");
    assert_eq!(run.loses("db"), "");
    assert_eq!(run.told(|it| matches!(it, EventKind::Lost { .. })), 0);
    assert_eq!(run.state("db"), State::BackingOff);
    assert_eq!(run.pass(100), "stop db");
}

#[test]
fn rule_16_a_stop_of_what_does_not_run_says_whether_it_was_forced() {
    let mut run = run_of(vec![registration("db")]);
    assert_eq!(run.stop(), "stopped");
    assert!(!run.report().forced);
    assert_eq!(run.force(), "stopped");
    assert!(run.report().forced);
}

#[test]
fn rule_19_a_report_names_the_first_of_many_and_counts_the_others() {
    let dependents = ["a", "b", "c", "d", "e", "f"];
    for (count, names) in [
        (1, "(awaited by: a)"),
        (2, "(awaited by: a, b)"),
        (4, "(awaited by: a, b, c, d)"),
        (5, "(awaited by: a, b, c, d and 1 more)"),
        (6, "(awaited by: a, b, c, d and 2 more)"),
    ] {
        let mut registrations: Vec<_> = dependents[..count]
            .iter()
            .map(|it| registration(it))
            .collect();
        registrations.push(registration("hung").depends_on(dependents[..count].iter().copied()));
        let mut run = run_of(registrations);
        run.up();
        run.stop_within(1_000);
        run.pass(10_000);
        let troubles = &run.report().troubles;
        let hung = troubles.iter().find(|it| it.component.as_str() == "hung");
        let text = hung.expect("it hangs").to_string();
        assert!(text.contains(names), "{text}");
    }
}

#[test]
fn rule_16_a_force_counts_also_when_the_deadline_is_nearer_than_its_own() {
    let mut run = run_of(vec![registration("db")]);
    run.up();
    assert_eq!(run.stop_within(1_000), "stop db");
    assert_eq!(run.force(), "cancel stop db");
}

#[test]
fn rule_18_a_back_off_of_a_stop_that_no_longer_fits_ends_as_its_last_attempt_did() {
    let retry = Retry::attempts(2)
        .with_backoff(Backoff::Fixed(ms(5_000)))
        .with_jitter(Jitter::None)
        .with_attempt_timeout(ms(100));
    for (times_out, outcome) in [(true, StopOutcome::Aborted), (false, StopOutcome::Failed)] {
        let mut run = run_of(vec![registration("db").stop_retry(retry.clone())]);
        run.up();
        run.stop();
        if times_out {
            run.pass(100);
            run.vanishes("stop db");
        } else {
            run.fails("stop db");
        }
        assert_eq!(run.state("db"), State::BackingOff);
        assert!(run.stop_within(1_000).ends_with("stop failed, stop failed"));
        assert_eq!(run.report().troubles[0].outcome, outcome);
    }
}

#[test]
fn rule_05_attempts_are_counted_by_phase() {
    let mut run = run_of(vec![
        registration("db").start_retry(twice()).stop_retry(twice()),
    ]);
    run.lingers("db");
    run.start();
    run.fails("start db");
    run.scope_ends("db");
    run.pass(100);
    run.ok("start db");
    assert_eq!(run.row("db").attempt, 2);
    run.stop();
    assert_eq!(run.key("stop db").expect("called").attempt, 1);
    assert_eq!(run.row("db").attempt, 1);
    run.fails("stop db");
    assert_eq!(run.state("db"), State::BackingOff);
    assert_eq!(run.row("db").attempt, 1, "of the stop");
    run.pass(100);
    assert_eq!(run.row("db").attempt, 2);
    run.ok("stop db");
    assert_eq!(run.state("db"), State::Stopping, "its tasks are awaited");
    assert_eq!(run.row("db").attempt, 2);
    run.scope_ends("db");
    run.start();
    run.ok("start db");
    run.stop();
    run.fails("stop db");
    run.pass(100);
    run.ok("stop db");
    assert_eq!(run.row("db").attempt, 2, "still of the stop");
}

#[test]
fn rule_14_a_stop_that_panics_is_not_tried_again() {
    let mut run = run_of(vec![registration("db").stop_retry(twice())]);
    run.up();
    run.stop();
    let panic = Failure::panic("out of range");
    assert_eq!(run.fails_with("stop db", panic), "stop failed");
    assert_eq!(run.stop(), "stop db", "before somebody asks for it");
}

#[test]
fn rule_28_what_waits_in_a_new_run_still_says_how_it_failed_in_the_last() {
    let mut run = run_of(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
    ]);
    run.start();
    run.ok("start db");
    run.fails("start api");
    run.ok("stop db");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    run.start();
    assert_eq!(run.state("api"), State::Waiting);
    let row = run.row("api");
    assert_eq!(row.failure.expect("kept").message, "no luck");
    assert_eq!(row.attempt, 1);
}

#[test]
fn a_stop_that_succeeds_after_all_is_told_without_what_went_wrong_before() {
    let mut run = run_of(vec![registration("a").stop_retry(twice())]);
    run.up();
    run.stop();
    run.fails("stop a");
    run.pass(100);
    assert_eq!(run.ok("stop a"), "dispose a, stopped");
    assert!(run.row("a").failure.is_none());
    let clean = |kind: &EventKind| {
        matches!(
            kind,
            EventKind::Transition {
                to: State::Stopped,
                failure: None,
                ..
            }
        )
    };
    assert_eq!(run.told(clean), 1);
}
