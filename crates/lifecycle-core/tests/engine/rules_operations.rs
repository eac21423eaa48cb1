//! Operations and changes where they meet each other, a stop, or ten hundred of their kind; rules 24 and 25 are in
//! `rules_changes`.

use lifecycle_core::engine::{Cascade, Operation, OperationError, OrchestratorState, StopMode};
use lifecycle_core::{Defaults, Retry};

use crate::rules_supervision::{after, optional, up};
use crate::support::{Run, State, ms, registration};

#[test]
fn museum_16_an_operators_restart_is_no_crash_and_triggers_no_exit() {
    let strict = after(0).with_budget(0, ms(60_000));
    let mut run = up(vec![registration("db").restart(strict)]);
    run.operate(Operation::Restart, "db");
    run.fails("stop db");
    run.ok("start db");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert!(run.engine.is_ready());
}

#[test]
fn museum_17_a_restart_during_its_own_stop_is_stop_then_start() {
    let mut run = up(vec![optional("db")]);
    run.operate(Operation::Stop, "db");
    let said = run.operate(Operation::Restart, "db");
    assert!(said.contains("something else was wanted"), "{said}");
    assert_eq!(run.ok("stop db"), "dispose db, start db");
    assert_eq!(run.ok("start db"), "done: restart");
}

#[test]
fn rule_24_two_restarts_at_once_are_one() {
    let mut run = up(vec![optional("db")]);
    run.operate(Operation::Restart, "db");
    assert_eq!(run.operate(Operation::Restart, "db"), "");
    run.ok("stop db");
    assert_eq!(run.ok("start db"), "done: restart, done: restart");
    assert_eq!(run.row("db").generation, 2);
}

#[test]
fn museum_17_a_restart_while_the_orchestrator_stops_is_refused_with_a_type() {
    let mut run = up(vec![optional("db")]);
    run.stop();
    run.operate(Operation::Restart, "db");
    let error = run
        .operated
        .clone()
        .expect("answered")
        .expect_err("refused");
    assert!(matches!(
        *error,
        OperationError::FailedPrecondition {
            state: OrchestratorState::Stopping,
            ..
        }
    ));
}

#[test]
fn rule_24_an_operators_start_gives_a_fresh_budget() {
    let restart = after(0).with_budget(1, ms(60_000));
    let mut run = up(vec![optional("db").restart(restart)]);
    run.loses("db");
    run.ok("stop db");
    run.ok("start db");
    run.loses("db");
    run.ok("stop db");
    assert_eq!(run.state("db"), State::Faulted);
    run.operate(Operation::Start, "db");
    run.ok("start db");
    run.loses("db");
    assert_eq!(run.ok("stop db"), "dispose db, start db");
}

#[test]
fn rule_25_a_failed_addition_has_its_attempts() {
    let mut run = up(vec![registration("db")]);
    run.add(registration("tenant").start_retry(Retry::attempts(2)));
    assert_eq!(run.fails("start tenant"), "start tenant");
    assert_eq!(run.ok("start tenant"), "done: add");
}

#[test]
fn rule_25_an_index_is_used_again_and_an_id_never_is() {
    let mut run = up(vec![registration("db"), optional("old")]);
    let old = run.id("old");
    let late = run.key("start old");
    run.remove("old", Cascade::Refuse);
    run.ok("stop old");
    run.add(registration("new"));
    let new = run.id("new");
    assert_eq!(old.index(), new.index());
    assert_ne!(old, new);
    assert!(late.is_none());
    let key = lifecycle_core::engine::AttemptKey {
        component: old,
        generation: 1,
        attempt: 1,
    };
    // What comes late of the old one is nobody's.
    assert_eq!(
        run.answer(lifecycle_core::engine::Call::Start, key, Ok(())),
        ""
    );
    assert_eq!(run.state("new"), State::Starting);
}

#[test]
fn rule_25_a_thousand_that_come_and_go_leave_nothing_behind() {
    let mut run = up(vec![registration("db")]);
    for round in 0..1_000 {
        let name = format!("tenant-{round}");
        run.add(registration(&name).depends_on(["db"]));
        run.ok(&format!("start {name}"));
        run.remove(&name, Cascade::Refuse);
        run.ok(&format!("stop {name}"));
    }
    assert_eq!(run.engine.plan().capacity(), 2);
    assert_eq!(run.engine.plan().edge_count(), 0);
}

#[test]
fn rule_24_a_stop_now_during_an_operation_stops_everything_in_order() {
    let mut run = Run::with(
        vec![registration("db"), registration("api").depends_on(["db"])],
        Defaults::default(),
    );
    run.up();
    run.operate(Operation::Restart, "api");
    run.stop_by(StopMode::Now, None);
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}
