//! Rules 24 and 25: operations on one component, and components that come and go.

use lifecycle_core::engine::{
    Cascade, DrainState, Operation, OperationError, OrchestratorState, StopMode,
};
use lifecycle_core::{Criticality, Defaults, Retry};

use crate::rules_supervision::{after, optional, run_of, up};
use crate::support::{Run, State, ms, participant, registration};

#[test]
fn rule_24_a_restart_takes_followers_along_and_brings_them_back() {
    let mut run = up(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
    ]);
    assert_eq!(run.operate(Operation::Restart, "db"), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, start db");
    assert_eq!(run.ok("start db"), "done: restart, start api");
    run.ok("start api");
    let report = run
        .operated
        .clone()
        .expect("answered")
        .expect("it went well");
    let fell: Vec<_> = report.collateral.iter().map(|it| it.as_str()).collect();
    assert_eq!(fell, ["api"]);
    assert_eq!(run.row("db").restarts.operator, 1);
}

#[test]
fn rule_24_an_operators_restart_is_never_charged() {
    let strict = after(0).with_budget(0, ms(60_000));
    let mut run = up(vec![optional("db").restart(strict)]);
    for _ in 0..10 {
        run.operate(Operation::Restart, "db");
        run.ok("stop db");
        assert_eq!(run.ok("start db"), "done: restart");
    }
    assert_eq!(run.row("db").charges, 0);
}

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
fn rule_24_what_an_operator_stops_is_held_until_it_is_started_and_its_collateral_returns() {
    let mut run = up(vec![optional("db"), optional("api").depends_on(["db"])]);
    assert_eq!(run.operate(Operation::Stop, "db"), "stop api");
    run.ok("stop api");
    assert_eq!(run.ok("stop db"), "dispose db, done: stop");
    assert!(run.row("db").held);
    assert_eq!(run.pass(100_000), "");
    assert_eq!(run.state("api"), State::Waiting);
    assert_eq!(run.operate(Operation::Start, "db"), "start db");
    assert_eq!(run.ok("start db"), "done: start, start api");
}

#[test]
fn rule_24_a_new_run_forgets_what_was_held() {
    let mut run = up(vec![optional("db")]);
    run.operate(Operation::Stop, "db");
    run.ok("stop db");
    run.stop();
    assert_eq!(run.start(), "start db");
    assert!(!run.row("db").held);
}

#[test]
fn rule_24_stopping_what_is_essential_or_takes_such_along_must_be_forced() {
    let mut run = up(vec![
        optional("db"),
        registration("api").depends_on(["db"]),
        registration("alone"),
    ]);
    let refused = run.operate(Operation::Stop, "alone");
    assert!(refused.contains("\"alone\" is essential"), "{refused}");
    let refused = run.operate(Operation::Stop, "db");
    assert!(refused.contains("\"api\" is essential"), "{refused}");
    assert_eq!(run.state("api"), State::Running);
    assert_eq!(run.operate_with(Operation::Stop, "db", true), "stop api");
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert!(!run.engine.is_ready());
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
fn rule_24_a_stop_of_the_orchestrator_overtakes_what_was_under_way() {
    let mut run = up(vec![optional("db")]);
    run.operate(Operation::Restart, "db");
    let said = run.stop();
    assert!(said.contains("something else was wanted"), "{said}");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
    assert_eq!(run.state("db"), State::Stopped);
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
fn rule_24_a_restart_cuts_a_back_off_short() {
    let mut run = up(vec![optional("db").restart(after(10_000))]);
    run.loses("db");
    run.ok("stop db");
    assert_eq!(run.operate(Operation::Restart, "db"), "start db");
}

#[test]
fn rule_24_a_restart_that_does_not_come_up_says_why() {
    let never = lifecycle_core::Restart::never();
    let mut run = up(vec![optional("db").restart(never)]);
    run.operate(Operation::Restart, "db");
    run.ok("stop db");
    let said = run.fails("start db");
    assert!(said.contains("\"db\" failed: no luck"), "{said}");
}

#[test]
fn rule_25_what_is_added_starts_at_once_after_what_it_depends_on() {
    let mut run = up(vec![registration("db")]);
    assert_eq!(
        run.add(registration("tenant").depends_on(["db"])),
        "start tenant"
    );
    assert_eq!(run.ok("start tenant"), "done: add");
    assert_eq!(run.stop(), "stop tenant");
    assert_eq!(run.ok("stop tenant"), "dispose tenant, stop db");
}

#[test]
fn rule_25_what_is_added_before_the_start_starts_with_it() {
    let mut run = run_of(vec![registration("db")]);
    assert_eq!(run.add(registration("tenant")), "done: add");
    assert_eq!(run.start(), "start db, start tenant");
}

#[test]
fn rule_25_what_is_added_during_a_start_holds_it_up_for_nobody() {
    let mut run = run_of(vec![registration("db")]);
    run.start();
    assert_eq!(run.add(registration("tenant")), "start tenant");
    assert_eq!(run.ok("start db"), "started");
    assert_eq!(run.ok("start tenant"), "done: add");
}

#[test]
fn rule_25_an_addition_that_fails_is_removed_again_and_never_rolls_the_host_back() {
    for started in [false, true] {
        let mut run = run_of(vec![registration("db")]);
        run.start();
        if started {
            run.ok("start db");
        }
        run.add(registration("tenant").criticality(Criticality::Essential));
        let said = run.fails("start tenant");
        assert!(
            said.starts_with("dispose tenant, refused: \"tenant\" failed"),
            "{said}"
        );
        assert!(said.ends_with("forget"), "{said}");
        assert!(run.engine.plan().find("tenant").is_none());
        if !started {
            assert_eq!(run.ok("start db"), "started");
        }
        assert!(run.engine.is_ready());
    }
}

#[test]
fn rule_25_a_failed_addition_has_its_attempts() {
    let mut run = up(vec![registration("db")]);
    run.add(registration("tenant").start_retry(Retry::attempts(2)));
    assert_eq!(run.fails("start tenant"), "start tenant");
    assert_eq!(run.ok("start tenant"), "done: add");
}

#[test]
fn rule_25_nothing_is_added_or_removed_while_the_orchestrator_stops() {
    let mut run = up(vec![registration("db"), optional("tenant")]);
    run.stop();
    let said = run.add(registration("late"));
    assert!(said.contains("failed precondition"), "{said}");
    let said = run.remove("tenant", Cascade::Refuse);
    assert!(said.contains("failed precondition"), "{said}");
}

#[test]
fn rule_25_what_is_needed_is_removed_only_with_what_needs_it() {
    let mut run = up(vec![
        optional("db"),
        optional("api").depends_on(["db"]),
        optional("ui").tolerates(["api"]),
        optional("other").wants(["db"]),
    ]);
    let said = run.remove("db", Cascade::Refuse);
    assert!(said.contains("needed by \"api\", \"ui\""), "{said}");
    assert_eq!(run.remove("db", Cascade::Dependents), "stop ui");
    assert_eq!(run.ok("stop ui"), "dispose ui, stop api, forget");
    assert_eq!(run.ok("stop api"), "dispose api, stop db, forget");
    let said = run.ok("stop db");
    assert_eq!(said, "dispose db, done: remove, forget");
    assert_eq!(run.state("other"), State::Running);
    assert_eq!(run.engine.plan().len(), 1);
    assert_eq!(run.stop(), "stop other");
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
fn rule_03_what_everything_is_ordered_after_is_so_for_what_is_added_later_too() {
    let mut run = up(vec![registration("diagnostics").before_all()]);
    run.add(registration("tenant"));
    run.ok("start tenant");
    assert_eq!(run.stop(), "stop tenant");
    assert_eq!(run.ok("stop tenant"), "dispose tenant, stop diagnostics");
}

#[test]
fn rule_25_a_drain_under_way_knows_neither_who_comes_nor_waits_for_who_goes() {
    let mut run = up(vec![
        participant("inbound").criticality(Criticality::Optional),
        optional("going").depends_on(["inbound"]),
    ]);
    run.remove("going", Cascade::Refuse);
    run.drain();
    run.add(registration("coming"));
    run.ok("start coming");
    run.ok("stop going");
    run.ok("drain inbound");
    let snapshot = run.engine.snapshot(run.now);
    assert_eq!(snapshot.node.drain, DrainState::Drained);
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
