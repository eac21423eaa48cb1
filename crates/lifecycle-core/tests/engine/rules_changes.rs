//! Rules 24 and 25: one component stopped, started and restarted by hand; added and removed while the rest goes on.

use std::sync::Arc;

use crate::support::{Run, State, ms, no_restarts, participant, registration};
use lifecycle_core::engine::{
    Call, Cascade, EventKind, Input, Operation, OperationError, OperationReport, OrchestratorState,
    Reason,
};
use lifecycle_core::{
    Backoff, Class, Criticality, Defaults, Dependency, Failure, FailureKind, Gate, Jitter,
    Registration, Restart, Retry,
};

fn degradable(name: &str) -> Registration {
    registration(name).criticality(Criticality::Degradable)
}

fn restart() -> Restart {
    Restart::on_failure()
        .with_backoff(Backoff::Fixed(ms(100)))
        .with_jitter(Jitter::None)
}

fn created(registrations: Vec<Registration>) -> Run {
    let defaults = Defaults {
        restart: restart(),
        ..Defaults::default()
    };
    Run::with(registrations, defaults)
}

fn run_of(registrations: Vec<Registration>) -> Run {
    let mut run = created(registrations);
    run.up();
    run
}

/// Nothing of it is essential.
fn chain() -> Run {
    run_of(vec![
        degradable("db"),
        degradable("cache").depends_on(["db"]),
        degradable("api").depends_on(["cache"]),
    ])
}

fn pair() -> Run {
    run_of(vec![degradable("db"), degradable("api").depends_on(["db"])])
}

fn stop_pair(run: &mut Run) {
    assert_eq!(run.operate(Operation::Stop, "db"), "stop api");
    run.ok("stop api");
    assert_eq!(run.ok("stop db"), "dispose db, done: stop");
}

#[track_caller]
fn operated(run: &Run) -> Arc<OperationReport> {
    let answer = run.operated.clone().expect("answered");
    answer.expect("well")
}

#[track_caller]
fn refused(run: &Run) -> OperationError {
    let answer = run.operated.clone().expect("answered");
    (*answer.expect_err("refused")).clone()
}

fn names(report: &OperationReport) -> Vec<&str> {
    report.collateral.iter().map(|it| it.as_str()).collect()
}

#[test]
fn rule_24_a_stopped_component_is_held_and_its_dependents_fall_with_it() {
    let mut run = chain();
    assert_eq!(run.operate(Operation::Stop, "db"), "stop api");
    run.ok("stop api");
    run.ok("stop cache");
    run.pass(7);
    assert_eq!(run.ok("stop db"), "dispose db, done: stop");
    let report = operated(&run);
    assert_eq!(names(&report), ["cache", "api"]);
    assert_eq!(report.state, State::Stopped);
    assert_eq!(report.took, ms(7));
    let row = run.row("db");
    assert!(row.held);
    assert_eq!(row.reason, Reason::OperatorStop);
    assert_eq!(run.state("api"), State::Waiting);
    assert_eq!(run.pass(600_000), "", "it stays down");
}

#[test]
fn rule_24_what_fell_with_it_returns_with_it() {
    let mut run = chain();
    run.operate(Operation::Stop, "db");
    run.ok("stop api");
    run.ok("stop cache");
    run.ok("stop db");
    assert_eq!(run.operate(Operation::Start, "db"), "start db");
    assert_eq!(run.ok("start db"), "done: start, start cache");
    assert!(!run.row("db").held);
    assert_eq!(run.ok("start cache"), "start api");
    assert_eq!(run.ok("start api"), "");
}

#[test]
fn rule_24_a_hold_lasts_until_a_start_or_a_new_run() {
    let mut run = pair();
    stop_pair(&mut run);
    assert_eq!(run.operate(Operation::Stop, "api"), "done: stop");
    assert_eq!(run.stop(), "stopped");
    assert_eq!(run.start(), "start db");
    assert_eq!(run.ok("start db"), "start api");
    assert!(!run.row("db").held);
}

#[test]
fn rule_24_a_start_of_what_is_held_behind_another_that_is_held_is_refused() {
    let mut run = pair();
    stop_pair(&mut run);
    run.operate(Operation::Stop, "api");
    assert_eq!(
        run.operate(Operation::Start, "api"),
        "refused: \"api\" needs \"db\", which is down and stays down; start \"db\" first"
    );
    assert!(run.row("api").held, "nothing has changed");
}

#[test]
fn rule_24_what_is_held_alone_stays_down_when_its_dependency_returns() {
    let mut run = pair();
    stop_pair(&mut run);
    run.operate(Operation::Stop, "api");
    run.operate(Operation::Start, "db");
    assert_eq!(run.ok("start db"), "done: start");
    assert_eq!(run.state("api"), State::Stopped);
}

#[test]
fn rule_24_a_stop_of_an_essential_component_is_refused_unless_forced() {
    let mut run = run_of(vec![registration("db")]);
    assert_eq!(
        run.operate(Operation::Stop, "db"),
        "refused: \"db\" is essential: without it the host is not ready; force the stop, or restart it"
    );
    assert_eq!(run.state("db"), State::Running);
    assert_eq!(run.operate_with(Operation::Stop, "db", true), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, done: stop");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert!(!run.engine.is_ready());
}

#[test]
fn rule_24_a_stop_that_takes_an_essential_component_along_is_refused_unless_forced() {
    let mut run = run_of(vec![
        degradable("db"),
        degradable("cache").depends_on(["db"]),
        registration("api").depends_on(["cache"]),
    ]);
    assert_eq!(
        run.operate(Operation::Stop, "db"),
        "refused: \"api\" is essential and would go down with \"db\"; force the stop, or restart it"
    );
    assert_eq!(run.operate_with(Operation::Stop, "db", true), "stop api");
}

#[test]
fn rule_24_an_essential_component_that_tolerates_or_wants_it_does_not_fall() {
    let mut run = run_of(vec![
        degradable("db"),
        registration("ui").tolerates(["db"]),
        registration("api").wants(["db"]),
    ]);
    assert_eq!(run.operate(Operation::Stop, "db"), "stop db");
}

#[test]
fn rule_24_a_stop_that_an_essential_component_would_wait_for_is_refused_unless_forced() {
    let mut run = created(vec![
        degradable("db"),
        registration("api").depends_on(["db"]),
    ]);
    run.start();
    assert_eq!(
        run.operate(Operation::Stop, "db"),
        "refused: \"api\" is essential and would go down with \"db\"; force the stop, or restart it"
    );
    assert_eq!(
        run.operate_with(Operation::Stop, "db", true),
        "cancel start db"
    );
    assert_eq!(
        run.fails("start db"),
        "dispose db, done: stop, started",
        "nobody waits for what is held"
    );
    assert!(!run.engine.is_ready());
    run.operate(Operation::Start, "db");
    assert_eq!(run.ok("start db"), "done: start, start api");
}

#[test]
fn rule_24_a_stop_during_the_start_holds_the_start_up_no_longer() {
    let mut run = created(vec![
        degradable("db"),
        degradable("api").wants(["db"]),
        degradable("ui").depends_on(["db"]),
    ]);
    run.start();
    assert_eq!(run.operate(Operation::Stop, "db"), "cancel start db");
    assert_eq!(run.fails("start db"), "dispose db, done: stop, start api");
    assert_eq!(run.ok("start api"), "started");
}

#[test]
fn rule_24_a_stop_of_what_only_waits_calls_nothing() {
    let mut run = created(vec![degradable("db"), degradable("api").depends_on(["db"])]);
    run.start();
    assert_eq!(run.operate(Operation::Stop, "api"), "done: stop");
    assert_eq!(run.ok("start db"), "started");
    assert_eq!(run.state("api"), State::Stopped);
}

#[test]
fn rule_24_a_stop_while_it_backs_off_ends_the_back_off() {
    let mut run = run_of(vec![degradable("db")]);
    run.loses("db");
    run.ok("stop db");
    assert_eq!(run.operate(Operation::Stop, "db"), "done: stop");
    assert_eq!(run.pass(1_000), "");
}

#[test]
fn rule_24_a_start_while_it_backs_off_does_not_wait_for_the_end_of_it() {
    let mut run = run_of(vec![degradable("db")]);
    run.loses("db");
    run.ok("stop db");
    assert_eq!(run.operate(Operation::Start, "db"), "start db");
    assert_eq!(run.row("db").charges, 0, "and its budget is a fresh one");
}

#[test]
fn rule_24_a_start_of_what_runs_and_a_stop_of_what_is_held_do_nothing() {
    let mut run = run_of(vec![degradable("db")]);
    assert_eq!(run.operate(Operation::Start, "db"), "done: start");
    run.operate(Operation::Stop, "db");
    run.ok("stop db");
    assert_eq!(run.operate(Operation::Stop, "db"), "done: stop");
}

#[test]
fn rule_24_a_restart_stops_and_starts_with_what_falls() {
    let mut run = run_of(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
    ]);
    assert_eq!(run.operate(Operation::Restart, "db"), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.ok("stop db"), "dispose db, start db");
    assert_eq!(run.ok("start db"), "done: restart, start api");
    assert_eq!(names(&operated(&run)), ["api"]);
    assert_eq!(run.row("db").restarts.operator, 1);
    assert_eq!(run.row("api").restarts.dependency, 1);
}

#[test]
fn rule_24_operations_are_never_charged() {
    let db = degradable("db").restart(restart().with_budget(0, ms(60_000)));
    let mut run = run_of(vec![db]);
    for _ in 0..10 {
        run.operate(Operation::Restart, "db");
        run.ok("stop db");
        run.ok("start db");
    }
    assert_eq!(run.row("db").charges, 0);
    assert_eq!(run.state("db"), State::Running);
}

#[test]
fn rule_24_a_restart_during_its_own_stop_coalesces() {
    let mut run = chain();
    run.operate(Operation::Stop, "db");
    assert_eq!(
        run.operate(Operation::Restart, "db"),
        "refused: something else was wanted of \"db\" before this was done"
    );
    assert_eq!(run.operate(Operation::Restart, "db"), "", "both share one");
    run.ok("stop api");
    run.ok("stop cache");
    assert_eq!(run.ok("stop db"), "dispose db, start db");
    assert_eq!(
        run.ok("start db"),
        "done: restart, done: restart, start cache"
    );
    assert_eq!(run.row("db").generation, 2);
}

#[test]
fn rule_24_a_restart_of_what_is_on_its_way_down_after_a_loss_waits_for_no_back_off() {
    let mut run = run_of(vec![degradable("db")]);
    run.loses("db");
    run.operate(Operation::Restart, "db");
    assert_eq!(run.ok("stop db"), "dispose db, start db");
    assert_eq!(run.ok("start db"), "done: restart");
}

#[test]
fn rule_24_a_restart_of_a_start_in_flight_begins_it_anew() {
    let mut run = created(vec![degradable("db")]);
    run.start();
    assert_eq!(run.operate(Operation::Restart, "db"), "cancel start db");
    assert_eq!(run.fails("start db"), "dispose db, start db");
    assert_eq!(run.row("db").charges, 0);
    assert_eq!(run.ok("start db"), "done: restart, started");
}

#[test]
fn rule_24_a_stop_supersedes_a_start_that_is_not_done() {
    let mut run = pair();
    stop_pair(&mut run);
    run.operate(Operation::Start, "db");
    assert_eq!(
        run.operate(Operation::Stop, "db"),
        "refused: something else was wanted of \"db\" before this was done, cancel start db"
    );
    assert_eq!(run.fails("start db"), "dispose db, done: stop");
}

#[test]
fn rule_24_a_start_that_fails_for_good_says_how() {
    let db = degradable("db").restart(restart().with_budget(0, ms(60_000)));
    let mut run = run_of(vec![db]);
    run.operate(Operation::Restart, "db");
    run.ok("stop db");
    assert_eq!(
        run.fails("start db"),
        "dispose db, refused: \"db\" failed: no luck"
    );
}

#[test]
fn rule_24_a_start_that_fails_is_tried_again_within_the_budget_before_it_is_answered() {
    let mut run = run_of(vec![degradable("db")]);
    run.operate(Operation::Restart, "db");
    run.ok("stop db");
    assert_eq!(run.fails("start db"), "dispose db");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.ok("start db"), "done: restart");
}

#[test]
fn rule_24_a_stop_that_fails_is_told_and_the_component_is_down_all_the_same() {
    let mut run = run_of(vec![degradable("db")]);
    run.operate(Operation::Stop, "db");
    assert_eq!(run.fails("stop db"), "dispose db, done: stop");
    let failure = operated(&run).stop_failure.clone().expect("told");
    assert_eq!(failure.message, "no luck");
    run.operate(Operation::Start, "db");
    run.ok("start db");
    assert_eq!(operated(&run).stop_failure, None);
}

#[test]
fn rule_24_a_component_that_an_edge_stops_in_the_middle_of_its_restart_answers_it() {
    let audit = degradable("audit").dependencies([Dependency::hard("db").stops()]);
    let mut run = run_of(vec![degradable("db"), audit]);
    run.operate(Operation::Restart, "audit");
    assert_eq!(run.ok("stop audit"), "dispose audit, start audit");
    assert_eq!(
        run.loses("db"),
        "refused: something else was wanted of \"audit\" before this was done, cancel start audit"
    );
    assert_eq!(run.fails("start audit"), "dispose audit, stop db");
}

#[test]
fn rule_24_operations_during_a_stop_of_the_whole_are_a_failed_precondition() {
    let mut run = pair();
    run.stop();
    for operation in [Operation::Start, Operation::Stop, Operation::Restart] {
        run.operate(operation, "db");
        let state = OrchestratorState::Stopping;
        let error = OperationError::FailedPrecondition { operation, state };
        assert_eq!(refused(&run), error);
    }
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(
        run.operate(Operation::Start, "db"),
        "refused: failed precondition: the orchestrator is stopped; start needs it to be running"
    );
}

#[test]
fn rule_24_a_stop_of_the_whole_supersedes_what_is_not_done() {
    let mut run = pair();
    run.operate(Operation::Restart, "db");
    assert_eq!(
        run.stop(),
        "refused: something else was wanted of \"db\" before this was done"
    );
    run.ok("stop api");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_24_a_component_that_blocks_a_thread_is_not_started_again() {
    let mut run = run_of(vec![degradable("db")]);
    run.operate(Operation::Stop, "db");
    run.pass(10_000);
    assert_eq!(run.pass(500), "abandon db, dispose db, done: stop");
    let component = run.engine.plan().name(run.id("db")).clone();
    run.operate(Operation::Start, "db");
    assert_eq!(refused(&run), OperationError::StillUp { component });
}

/// A queue whose stop could not be confirmed holds its database up.
fn held_up() -> Run {
    let mut run = run_of(vec![
        degradable("db"),
        degradable("queue").dependencies([Dependency::hard("db").held()]),
    ]);
    run.operate(Operation::Restart, "db");
    assert_eq!(run.pass(10_000), "abort stop queue");
    assert_eq!(
        run.vanishes("stop queue"),
        "dispose queue, refused: \"db\" failed: a dependent could not be confirmed down and holds it up, so it is neither stopped nor started again"
    );
    run
}

#[test]
fn rule_15_an_edge_that_holds_makes_a_component_that_was_to_restart_finally_failed() {
    let run = held_up();
    assert_eq!(run.state("db"), State::Faulted);
    assert!(run.row("db").final_failure);
    assert_eq!(run.state("queue"), State::Faulted, "it waits in vain");
}

#[test]
fn rule_15_whoever_waits_for_the_stop_of_what_is_held_up_is_told_and_a_removal_stops_it() {
    let told = "dispose queue, refused: \"db\" failed: a dependent could not be confirmed down and holds it up, so it is neither stopped nor started again";
    let pair = || {
        run_of(vec![
            degradable("db"),
            degradable("queue").dependencies([Dependency::hard("db").held()]),
        ])
    };
    let mut run = pair();
    run.operate(Operation::Stop, "db");
    run.pass(10_000);
    assert_eq!(run.vanishes("stop queue"), told);
    let mut run = pair();
    run.remove("db", Cascade::Dependents);
    run.pass(10_000);
    assert_eq!(
        run.vanishes("stop queue"),
        "dispose queue, stop db, forget",
        "what held it up is no more"
    );
    assert_eq!(run.ok("stop db"), "dispose db, done: remove, forget");
}

#[test]
fn rule_15_what_is_held_up_is_stopped_by_no_operation() {
    let mut run = held_up();
    let component = run.engine.plan().name(run.id("db")).clone();
    for operation in [Operation::Start, Operation::Stop, Operation::Restart] {
        run.operate(operation, "db");
        let component = component.clone();
        assert_eq!(refused(&run), OperationError::StillUp { component });
    }
    assert_eq!(run.state("queue"), State::Faulted, "nothing has changed");
}

#[test]
fn rule_15_what_is_held_up_while_the_rest_goes_on_is_in_the_report_and_force_closes_it() {
    let mut run = held_up();
    assert_eq!(run.stop(), "stop failed");
    assert_eq!(run.report().incomplete[0].as_str(), "db");
    assert_eq!(run.force(), "stop db, cancel stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_25_what_is_added_before_the_first_start_starts_with_it() {
    let mut run = created(vec![registration("db")]);
    assert_eq!(run.add(registration("api").depends_on(["db"])), "done: add");
    assert_eq!(run.state("api"), State::Created);
    assert_eq!(run.start(), "start db");
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(run.ok("start api"), "started");
}

#[test]
fn rule_25_what_is_added_during_a_start_starts_at_once_and_holds_it_up_no_longer() {
    let mut run = created(vec![registration("db")]);
    run.start();
    assert_eq!(run.add(registration("api")), "start api");
    assert_eq!(run.ok("start db"), "started");
    assert_eq!(run.ok("start api"), "done: add");
}

#[test]
fn rule_25_what_is_added_while_it_runs_starts_at_once() {
    let mut run = run_of(vec![registration("db")]);
    assert_eq!(run.add(registration("api").depends_on(["db"])), "start api");
    assert!(!run.engine.is_ready(), "an essential one starts");
    assert_eq!(run.ok("start api"), "done: add");
    assert!(run.engine.is_ready());
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
}

#[test]
fn rule_25_what_is_added_waits_for_its_dependencies_like_any_other() {
    let mut run = created(vec![registration("db"), degradable("cache")]);
    run.start();
    let api = registration("api").depends_on(["db"]).wants(["cache"]);
    assert_eq!(run.add(api), "");
    assert_eq!(run.ok("start db"), "");
    assert_eq!(
        run.fails("start cache"),
        "dispose cache, start api, started"
    );
    assert_eq!(run.ok("start api"), "done: add");
}

#[test]
fn rule_25_nothing_is_added_while_it_stops() {
    let mut run = run_of(vec![registration("db")]);
    run.stop();
    assert_eq!(
        run.add(registration("api")),
        "refused: failed precondition: the orchestrator is stopping; add needs it to be running"
    );
    run.ok("stop db");
    assert_eq!(run.engine.plan().len(), 1);
    assert_eq!(run.add(registration("api")), "done: add");
    assert_eq!(run.start(), "start db, start api");
}

#[test]
fn rule_25_an_addition_that_fails_is_removed_again_and_rolls_nothing_back() {
    let mut run = run_of(vec![registration("db")]);
    run.add(registration("api").depends_on(["db"]));
    assert_eq!(
        run.fails("start api"),
        "dispose api, refused: \"api\" failed: no luck, forget"
    );
    assert_eq!(run.engine.plan().find("api"), None);
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert!(run.engine.is_ready());
    assert_eq!(run.stop(), "stop db");
}

#[test]
fn rule_25_an_essential_addition_that_fails_during_the_start_rolls_nothing_back() {
    let mut run = created(vec![registration("db")]);
    run.start();
    run.add(registration("api"));
    assert_eq!(
        run.fails("start api"),
        "dispose api, refused: \"api\" failed: no luck, forget"
    );
    assert_eq!(run.ok("start db"), "started");
}

#[test]
fn rule_25_an_addition_is_tried_as_often_as_its_start_policy_says() {
    let mut run = run_of(vec![]);
    run.add(registration("api").start_retry(Retry::attempts(2)));
    assert_eq!(run.fails("start api"), "start api");
    assert_eq!(run.ok("start api"), "done: add");
}

#[test]
fn rule_25_an_addition_that_waits_in_vain_is_removed_again_and_names_the_cause() {
    let mut run = run_of(vec![degradable("db").restart(Restart::never())]);
    run.loses("db");
    run.ok("stop db");
    assert_eq!(
        run.add(registration("api").depends_on(["db"])),
        "refused: \"api\" failed: the link is gone (it depends on \"db\"), forget"
    );
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
}

#[test]
fn rule_25_an_addition_is_a_member_like_any_other_once_it_runs() {
    let mut run = run_of(vec![registration("db")]);
    run.add(degradable("api").depends_on(["db"]));
    run.ok("start api");
    assert_eq!(run.loses("api"), "stop api");
    run.ok("stop api");
    assert_eq!(run.pass(100), "start api");
    assert_eq!(run.ok("start api"), "");
    assert_eq!(run.loses("db"), "stop api", "it follows");
}

#[test]
fn rule_25_an_addition_whose_dependency_goes_down_meanwhile_starts_when_that_is_back() {
    let mut run = run_of(vec![degradable("db")]);
    run.add(degradable("api").depends_on(["db"]));
    assert_eq!(run.loses("db"), "cancel start api");
    assert_eq!(run.fails("start api"), "dispose api, stop db");
    run.ok("stop db");
    assert_eq!(run.pass(100), "start db");
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(run.ok("start api"), "done: add");
}

#[test]
fn rule_25_an_addition_behind_a_closed_gate_is_done_and_waits() {
    let mut run = run_of(vec![registration("db")]);
    let stop = Retry::none().with_attempt_timeout(ms(100));
    let api = registration("api")
        .gated_by(Gate::new("lease", ms(60_000)))
        .stop_retry(stop);
    assert_eq!(run.add(api), "done: add");
    assert_eq!(run.state("api"), State::Waiting);
    assert!(run.engine.is_ready());
    assert_eq!(run.open_gate("lease", None), "start api");
}

#[test]
fn rule_25_an_addition_gets_the_edge_to_what_comes_before_all() {
    let mut run = run_of(vec![registration("diagnostics").before_all()]);
    run.add(registration("api"));
    run.ok("start api");
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop diagnostics");
}

#[test]
fn rule_25_what_is_removed_is_stopped_and_forgotten() {
    let mut run = run_of(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
    ]);
    assert_eq!(run.remove("api", Cascade::Refuse), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, done: remove, forget");
    assert_eq!(run.engine.plan().find("api"), None);
    assert!(run.engine.is_ready());
    assert_eq!(run.told(|it| matches!(it, EventKind::Removed { .. })), 1);
    assert_eq!(run.stop(), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn rule_25_what_others_need_is_not_removed() {
    let mut run = chain();
    assert_eq!(
        run.remove("db", Cascade::Refuse),
        "refused: \"db\" is needed by \"cache\", \"api\"; remove them first, or with it"
    );
    assert_eq!(run.state("db"), State::Running);
}

#[test]
fn rule_25_a_cascade_removes_what_needs_it_in_order() {
    let mut run = chain();
    assert_eq!(run.remove("db", Cascade::Dependents), "stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop cache, forget");
    assert_eq!(run.ok("stop cache"), "dispose cache, stop db, forget");
    assert_eq!(run.ok("stop db"), "dispose db, done: remove, forget");
    assert!(run.engine.plan().is_empty());
}

#[test]
fn rule_25_soft_dependents_keep_going_when_it_is_removed() {
    let mut run = run_of(vec![
        degradable("cache"),
        registration("api").wants(["cache"]),
        registration("log").after(["cache"]),
    ]);
    assert_eq!(run.remove("cache", Cascade::Refuse), "stop cache");
    assert_eq!(run.ok("stop cache"), "dispose cache, done: remove, forget");
    assert_eq!(run.row("api").generation, 1);
    assert_eq!(run.engine.plan().edge_count(), 0);
    assert!(run.engine.is_ready());
}

#[test]
fn rule_25_what_was_never_started_is_removed_without_a_call() {
    let mut run = created(vec![
        degradable("cache"),
        registration("api").wants(["cache"]),
    ]);
    assert_eq!(run.remove("cache", Cascade::Refuse), "done: remove, forget");
    assert_eq!(run.start(), "start api");
    assert_eq!(run.ok("start api"), "started");
}

#[test]
fn rule_25_a_removal_during_the_start_holds_it_up_no_longer() {
    let mut run = created(vec![registration("db"), registration("api")]);
    run.start();
    run.ok("start db");
    assert_eq!(run.remove("api", Cascade::Refuse), "cancel start api");
    assert_eq!(
        run.fails("start api"),
        "dispose api, done: remove, started, forget"
    );
}

#[test]
fn rule_25_a_removal_of_an_essential_component_that_runs_holds_no_start_up() {
    let mut run = created(vec![registration("db"), registration("api")]);
    run.start();
    run.ok("start db");
    run.remove("db", Cascade::Refuse);
    run.ok("stop db");
    assert_eq!(run.ok("start api"), "started");
}

#[test]
fn rule_25_what_is_removed_waits_for_nothing_and_releases_who_wants_it() {
    let mut run = created(vec![
        degradable("db"),
        degradable("cache").depends_on(["db"]),
        registration("api").wants(["cache"]),
    ]);
    run.start();
    assert_eq!(
        run.remove("cache", Cascade::Refuse),
        "done: remove, start api, forget"
    );
    run.ok("start db");
    assert_eq!(run.ok("start api"), "started");
}

#[test]
fn rule_25_nothing_is_removed_while_it_stops_or_twice() {
    let mut run = pair();
    run.remove("api", Cascade::Refuse);
    assert_eq!(
        run.remove("api", Cascade::Refuse),
        "refused: there is no component \"api\""
    );
    run.stop();
    assert_eq!(
        run.remove("db", Cascade::Refuse),
        "refused: failed precondition: the orchestrator is stopping; remove needs it to be running"
    );
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(
        run.ok("stop db"),
        "dispose db, done: remove, stopped, forget",
        "a stop of the whole overtakes a removal and does it too"
    );
    assert_eq!(run.start(), "start db");
}

#[test]
fn rule_25_a_removal_answers_whoever_waits_for_something_else() {
    let mut run = pair();
    run.operate(Operation::Stop, "db");
    assert_eq!(
        run.remove("db", Cascade::Dependents),
        "refused: something else was wanted of \"db\" before this was done"
    );
    run.ok("stop api");
    assert_eq!(run.ok("stop db"), "dispose db, done: remove, forget");
    let mut run = pair();
    run.operate(Operation::Restart, "api");
    assert_eq!(
        run.remove("db", Cascade::Dependents),
        "refused: something else was wanted of \"api\" before this was done"
    );
}

#[test]
fn rule_25_ids_are_never_used_again_though_their_place_is() {
    let mut run = run_of(vec![registration("db"), degradable("old")]);
    let old = run.id("old");
    let late = run.row("old").generation;
    run.remove("old", Cascade::Refuse);
    run.ok("stop old");
    run.add(degradable("new"));
    let new = run.id("new");
    assert_eq!(new.index(), old.index());
    assert_ne!(new, old);
    assert_eq!(run.row("new").generation, late);
    // Everything that may come late of the old one finds the new one in its start.
    let key = lifecycle_core::engine::AttemptKey {
        component: old,
        generation: late,
        attempt: 1,
    };
    let failure = || Err(Arc::new(Failure::lost()));
    for call in Call::ALL {
        assert_eq!(run.answer(call, key, failure()), "");
    }
    assert_eq!(run.input(Input::ScopeClosed { key }), "");
    let outcome = failure();
    assert_eq!(run.input(Input::TaskEnded { key, outcome }), "");
    let check = 1;
    let outcome = failure();
    assert_eq!(
        run.input(Input::Checked {
            key,
            check,
            outcome
        }),
        ""
    );
    assert_eq!(run.state("new"), State::Starting);
    assert_eq!(run.ok("start new"), "done: add");
    let request = lifecycle_core::engine::RequestId(999);
    let operation = Operation::Restart;
    run.input(Input::OperationRequested {
        request,
        component: old,
        operation,
        forced: false,
        intent: lifecycle_core::engine::Intent::default(),
    });
    assert!(matches!(refused(&run), OperationError::NotFound { .. }));
}

#[test]
fn rule_25_a_removed_component_is_nobody_s_cause() {
    let db = registration("db").restart(Restart::never());
    let mut run = run_of(vec![db, registration("log")]);
    assert_eq!(run.loses("db"), "stop log, stop db");
    run.ok("stop log");
    run.ok("stop db");
    assert_eq!(run.row("log").cause, Some(run.id("db")));
    run.remove("db", Cascade::Refuse);
    run.add(registration("other"));
    assert_eq!(run.row("log").cause, None, "and not the other in its place");
}

#[test]
fn rule_25_the_drain_under_way_does_not_wait_for_what_is_added_and_drains_it_when_it_runs() {
    let mut run = run_of(vec![participant("api"), registration("db")]);
    assert_eq!(run.drain(), "drain api");
    run.add(participant("late").depends_on(["db"]));
    assert_eq!(run.ok("start late"), "done: add, drain late");
    assert_eq!(run.ok("drain api"), "");
    assert_eq!(run.ok("drain late"), "node drained");
}

#[test]
fn rule_25_the_drain_under_way_does_not_wait_for_what_is_removed() {
    let mut run = run_of(vec![
        participant("db"),
        participant("api").wants(["db"]),
        registration("log"),
    ]);
    assert_eq!(run.drain(), "drain api");
    assert_eq!(run.remove("api", Cascade::Refuse), "abort drain api");
    assert_eq!(run.vanishes("drain api"), "stop api, drain db");
    assert_eq!(run.ok("stop api"), "dispose api, done: remove, forget");
    assert_eq!(run.ok("drain db"), "node drained");
}

#[test]
fn rule_25_a_participant_that_blocks_while_it_is_removed_holds_no_drain_up() {
    let mut run = run_of(vec![participant("db"), participant("api").wants(["db"])]);
    run.drain();
    run.remove("api", Cascade::Refuse);
    assert_eq!(
        run.pass(500),
        "abandon api, dispose api, drain db, done: remove, forget"
    );
    assert_eq!(run.ok("drain db"), "node drained");
}

#[test]
fn rule_25_a_removed_component_takes_its_failure_with_it() {
    let mut run = run_of(vec![degradable("db").restart(Restart::never())]);
    run.loses("db");
    run.ok("stop db");
    assert_eq!(run.remove("db", Cascade::Refuse), "done: remove, forget");
    assert_eq!(run.add(registration("db")), "start db");
    assert_eq!(run.ok("start db"), "done: add");
    assert_eq!(run.row("db").failure, None);
}

#[test]
fn rule_25_a_permanent_failure_of_an_addition_is_told_as_it_is() {
    let mut run = Run::with(vec![], no_restarts());
    run.up();
    run.add(registration("api"));
    let failure = Failure::new(FailureKind::Error, "no licence").with_class(Class::Permanent);
    run.fails_with("start api", failure);
    let OperationError::Failed { failure, cause, .. } = refused(&run) else {
        panic!("it has failed");
    };
    assert_eq!((failure.message.as_str(), cause), ("no licence", None));
}
