//! Rules 6, 8, 12 and 15 where they meet a loss, and what the contract and the museum say of losses; rules 3, 9 and 21 to 23 are
//! in `rules_losses`.

use lifecycle_core::engine::{Cascade, EventKind, Intent, Operation, Reason, StopOutcome};
use lifecycle_core::{
    Backoff, Class, Criticality, Defaults, Dependency, Failure, Jitter, Registration, Restart,
    Retry,
};

use crate::rules_attempts::reason_of_start;
use crate::support::{Run, State, fresh, ms, registration};

/// A restart after a fixed delay, up to five times in a minute.
pub(crate) fn after(millis: u64) -> Restart {
    Restart::on_failure()
        .with_backoff(Backoff::Fixed(ms(millis)))
        .with_jitter(Jitter::None)
}

pub(crate) fn optional(name: &str) -> Registration {
    registration(name)
        .criticality(Criticality::Optional)
        .restart(after(100))
}

pub(crate) fn run_of(registrations: Vec<Registration>) -> Run {
    Run::with(registrations, Defaults::default())
}

/// Everything of `registrations` runs.
pub(crate) fn up(registrations: Vec<Registration>) -> Run {
    let mut run = run_of(registrations);
    run.up();
    run
}

#[test]
fn rule_08_a_completed_provider_is_gone_for_who_needs_it() {
    let mut run = up(vec![optional("job"), optional("api").depends_on(["job"])]);
    assert_eq!(run.task_ends("job", Ok(())), "stop api");
    run.ok("stop api");
    assert_eq!(run.state("api"), State::Faulted);
    assert_eq!(run.row("api").reason, Reason::DependencyFailed);
}

#[test]
fn rule_06_a_panic_in_the_start_of_a_shared_value_is_final_and_of_a_fresh_one_is_not() {
    let fresh = fresh("fresh")
        .criticality(Criticality::Optional)
        .restart(after(100));
    let mut run = run_of(vec![optional("shared"), fresh]);
    run.start();
    run.fails_with("start shared", Failure::panic("overflow"));
    run.fails_with("start fresh", Failure::panic("overflow"));
    assert_eq!(run.state("shared"), State::Faulted);
    assert_eq!(run.state("fresh"), State::BackingOff);
}

#[test]
fn rule_15_an_edge_that_holds_keeps_its_dependency_up_and_from_being_started_again() {
    let mut run = up(vec![
        optional("db").restart(after(0)),
        optional("writer")
            .dependencies([Dependency::hard("db").held()])
            .stop_retry(Retry::none().with_attempt_timeout(ms(100))),
    ]);
    run.loses("db");
    run.pass(100);
    run.vanishes("stop writer");
    assert_eq!(run.state("db"), State::Faulted);
    assert_eq!(run.row("db").reason, Reason::Held);
    run.force();
    run.ok("stop db");
    let trouble = &run.report().troubles[0];
    assert_eq!(trouble.outcome, StopOutcome::Stopped);
    assert!(trouble.order_violated);
}

#[test]
fn rule_12_a_restart_under_way_is_cancelled_by_a_stop() {
    let mut run = up(vec![optional("db"), optional("api").depends_on(["db"])]);
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.stop(), "stopped");
    assert_eq!(run.pass(10_000), "");
}

#[test]
fn contract_b07_a_loss_is_answered_by_policy_back_off_and_budget_and_edges_say_whom_it_takes_along()
{
    let mut run = up(vec![
        optional("db").restart(after(50).with_budget(1, ms(60_000))),
        optional("follows").depends_on(["db"]),
        optional("tolerates").tolerates(["db"]),
        optional("stops").dependencies([Dependency::hard("db").stops()]),
    ]);
    assert_eq!(run.loses("db"), "stop stops, stop follows");
    run.ok("stop stops");
    run.ok("stop follows");
    run.ok("stop db");
    assert_eq!(run.pass(50), "start db");
    assert_eq!(run.ok("start db"), "start follows");
    run.ok("start follows");
    run.loses("db");
    run.ok("stop follows");
    run.ok("stop db");
    assert_eq!(run.pass(60_000), "", "its budget is spent");
    assert_eq!(run.state("tolerates"), State::Running);
    assert_eq!(run.row("tolerates").generation, 1);
}

#[test]
fn museum_22_a_crash_loop_is_charged_however_it_is_activated() {
    // A dependent that is restarted by its operator activates its dependency over and over.
    let restart = after(0).with_budget(2, ms(60_000));
    let mut run = up(vec![
        optional("db").restart(restart),
        optional("api").depends_on(["db"]),
    ]);
    for _ in 0..2 {
        run.loses("db");
        run.ok("stop api");
        run.ok("stop db");
        run.ok("start db");
        run.operate(Operation::Restart, "api");
        run.ok("start api");
    }
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.state("db"), State::Faulted);
    let refused = run.operate(Operation::Restart, "api");
    assert!(refused.contains("start \"db\" first"), "{refused}");
    assert_eq!(run.pass(60_000), "");
}

#[test]
fn rule_22_a_victim_of_two_failures_runs_again_once_both_were_started() {
    for order in [["cache", "db"], ["db", "cache"]] {
        let mut run = run_of(vec![
            optional("cache"),
            optional("db"),
            optional("api").depends_on(["cache", "db"]),
            optional("ui").depends_on(["api"]),
        ]);
        run.start();
        for name in order {
            let failure = Failure::error("no such host").with_class(Class::Permanent);
            run.fails_with(&format!("start {name}"), failure);
        }
        assert_eq!(run.state("ui"), State::Faulted);
        let [first, second] = order;
        run.operate(Operation::Start, first);
        run.ok(&format!("start {first}"));
        for victim in ["api", "ui"] {
            assert_eq!(run.state(victim), State::Faulted);
            assert_eq!(run.row(victim).cause, Some(run.id(second)));
        }
        run.operate(Operation::Start, second);
        assert_eq!(run.ok(&format!("start {second}")), "done: start, start api");
        assert_eq!(run.ok("start api"), "start ui");
    }
}

#[test]
fn rule_22_what_two_victims_of_one_failure_need_runs_again_with_them() {
    let mut run = run_of(vec![
        optional("db"),
        optional("api").depends_on(["db"]),
        optional("jobs").depends_on(["db"]),
        optional("ui").depends_on(["api", "jobs"]),
    ]);
    run.start();
    let failure = Failure::error("no such host").with_class(Class::Permanent);
    run.fails_with("start db", failure);
    run.operate(Operation::Start, "db");
    run.ok("start db");
    run.ok("start api");
    assert_eq!(run.ok("start jobs"), "start ui");
}

#[test]
fn rule_21_who_came_up_without_a_dependency_does_not_make_its_dependents_pay() {
    let mut run = up(vec![
        optional("db").restart(after(1_000)),
        optional("cache").tolerates(["db"]).restart(after(0)),
        optional("api").depends_on(["cache"]),
    ]);
    run.operate(Operation::Restart, "cache");
    run.ok("stop api");
    assert!(run.ok("stop cache").contains("start cache"));
    run.loses("db");
    run.ok("stop db");
    assert!(run.ok("start cache").contains("start api"));
    assert!(run.ok("start api").is_empty());
    run.loses("api");
    assert_eq!(run.row("api").charges, 0);
    assert_eq!(run.row("api").cause, Some(run.id("db")));
}

#[test]
fn rule_21_two_tolerated_losses_are_over_when_both_are_back() {
    let mut run = up(vec![
        optional("cache"),
        optional("db"),
        optional("api").tolerates(["cache", "db"]),
        optional("ui").depends_on(["api"]),
    ]);
    for name in ["cache", "db"] {
        run.loses(name);
        run.ok(&format!("stop {name}"));
    }
    run.pass(100);
    run.ok("start cache");
    run.loses("ui");
    assert_eq!(run.row("ui").cause, Some(run.id("db")));
    run.ok("stop ui");
    run.ok("start db");
    run.pass(100);
    run.ok("start ui");
    run.loses("ui");
    assert_eq!(run.row("ui").charges, 1, "everything runs");
}

#[test]
fn rule_12_what_tolerates_a_start_that_was_cut_short_goes_down_before_what_that_needs() {
    let mut run = up(vec![
        optional("db"),
        optional("cache").depends_on(["db"]).restart(after(0)),
        optional("api").tolerates(["cache"]),
    ]);
    run.loses("cache");
    assert!(run.ok("stop cache").contains("start cache"));
    assert_eq!(run.stop(), "cancel start cache, stop api");
    assert_eq!(run.fails("start cache"), "dispose cache");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
}

#[test]
fn rule_21_a_start_says_what_it_waited_for_since_a_loss_or_a_restart() {
    let mut run = up(vec![optional("db"), optional("api").depends_on(["db"])]);
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    run.pass(100);
    run.ok("start db");
    assert_eq!(reason_of_start(&run, "db"), Reason::RestartDue);
    assert_eq!(reason_of_start(&run, "api"), Reason::DependenciesReady);
    run.ok("start api");
    run.operate(Operation::Restart, "db");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(reason_of_start(&run, "db"), Reason::OperatorRestart);
}

#[test]
fn rule_24_an_operator_s_restart_ends_a_delay_and_is_none_of_what_waits() {
    let mut run = up(vec![
        optional("db").restart(after(60_000)),
        optional("api").depends_on(["db"]),
    ]);
    run.loses("db");
    run.ok("stop api");
    run.ok("stop db");
    run.operate(Operation::Restart, "api");
    assert_eq!(run.row("api").restarts.operator, 0, "it comes up anyway");
    assert_eq!(run.operate(Operation::Restart, "db"), "start db");
    assert_eq!(run.row("db").restarts.operator, 0);
    run.ok("start db");
    assert_eq!(run.ok("start api"), "done: restart");
    run.operate(Operation::Restart, "api");
    assert_eq!(run.row("api").restarts.operator, 1);
}

#[test]
fn rule_24_an_operation_is_told_with_what_is_wanted_by_whom_and_why() {
    let mut run = up(vec![optional("db")]);
    for (operation, reason) in [
        (Operation::Restart, Reason::OperatorRestart),
        (Operation::Stop, Reason::OperatorStop),
        (Operation::Start, Reason::OperatorStart),
    ] {
        let before = run.events.len();
        run.operate(operation, "db");
        let events = &run.events[before..];
        let event = events
            .iter()
            .find(|it| matches!(it.kind, EventKind::Operation { .. }));
        assert_eq!(event.expect("told").reason, reason);
        if operation == Operation::Restart {
            run.ok("stop db");
            run.ok("start db");
        } else if operation == Operation::Stop {
            run.ok("stop db");
        }
    }
    let intent = Intent::because("a new disk").by("nora");
    assert_eq!(intent.reason.as_deref(), Some("a new disk"));
    assert_eq!(intent.by.as_deref(), Some("nora"));
}

#[test]
fn rule_25_what_is_being_removed_when_everything_stops_is_gone_after_that() {
    let mut run = up(vec![optional("db"), optional("api")]);
    run.remove("api", Cascade::Refuse);
    run.stop();
    run.ok("stop api");
    assert!(run.engine.plan().find("api").is_some());
    assert_eq!(
        run.ok("stop db"),
        "dispose db, done: remove, stopped, forget"
    );
    assert!(run.engine.plan().find("api").is_none());
}
