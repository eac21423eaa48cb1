//! Rule 26: what runs only while a condition outside holds, and is down before it no longer does.

use crate::support::{Run, State, ms, registration};
use lifecycle_core::engine::{
    Command, EventKind, Input, NodeCommand, Operation, OrchestratorState, Reason, StopMode,
};
use lifecycle_core::{
    Backoff, Criticality, Defaults, Gate, GraphFault, Jitter, Plan, Registration, Restart, Retry,
};

/// Declares short limits: it is down 260 ms after it was asked, whatever it does.
fn quick(name: &str) -> Registration {
    registration(name)
        .stop_retry(Retry::none().with_attempt_timeout(ms(100)))
        .dispose_timeout(ms(100))
        .abort_grace(ms(10))
}

/// Runs while the lease is held, and must be down when it ends, a second after it is told to go.
fn gated(name: &str) -> Registration {
    quick(name).gated_by(Gate::new("lease", ms(1_000)))
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

/// A database without a gate, a leader on it, and a worker on the leader.
fn trio() -> Run {
    created(vec![
        registration("db"),
        gated("leader").depends_on(["db"]),
        quick("worker").depends_on(["leader"]),
    ])
}

/// All three run; the lease is held for so long.
fn leading(millis: Option<u64>) -> Run {
    let mut run = trio();
    run.start();
    assert_eq!(run.ok("start db"), "started");
    assert_eq!(run.open_gate("lease", millis), "start leader");
    assert_eq!(run.ok("start leader"), "start worker");
    run.ok("start worker");
    run
}

fn go_down(run: &mut Run) {
    assert_eq!(run.ok("stop worker"), "dispose worker, stop leader");
    assert_eq!(run.ok("stop leader"), "dispose leader");
}

#[test]
fn rule_26_a_gate_is_closed_until_it_is_opened_and_what_it_gates_waits() {
    let mut run = trio();
    run.start();
    assert_eq!(run.ok("start db"), "started");
    let row = run.row("leader");
    assert_eq!(
        (row.state, row.reason),
        (State::Waiting, Reason::GateClosed)
    );
    assert!(row.gated);
    assert_eq!(run.pass(600_000), "");
    assert_eq!(run.open_gate("lease", None), "start leader");
    assert_eq!(run.row("leader").reason, Reason::GateOpened);
}

#[test]
fn rule_26_hard_dependents_inherit_a_closed_gate() {
    let mut run = trio();
    run.start();
    run.ok("start db");
    assert!(run.row("worker").gated);
    assert_eq!(run.state("worker"), State::Waiting);
    run.open_gate("lease", None);
    assert!(!run.row("worker").gated);
}

#[test]
fn rule_26_neither_a_start_nor_readiness_counts_what_is_behind_a_closed_gate() {
    let mut run = trio();
    run.start();
    assert_eq!(run.ok("start db"), "started");
    let report = run.started.clone().expect("answered").expect("well");
    assert_eq!((report.running, report.degraded.len()), (1, 0));
    assert!(run.engine.is_ready(), "leader and worker are essential");
    run.open_gate("lease", None);
    assert!(!run.engine.is_ready(), "now they count");
    run.ok("start leader");
    run.ok("start worker");
    assert!(run.engine.is_ready());
}

#[test]
fn rule_26_soft_dependents_start_without_what_is_behind_a_closed_gate() {
    let mut run = created(vec![
        gated("leader"),
        registration("api").wants(["leader"]),
        registration("log").after(["leader"]),
    ]);
    assert_eq!(run.start(), "start api, start log");
    run.ok("start api");
    assert_eq!(run.ok("start log"), "started");
    assert_eq!(run.open_gate("lease", None), "start leader");
}

#[test]
fn rule_26_a_gate_that_is_open_before_the_start_makes_no_difference() {
    let mut run = trio();
    assert_eq!(run.open_gate("lease", None), "");
    assert_eq!(run.start(), "start db");
    assert_eq!(run.ok("start db"), "start leader");
    assert_eq!(run.ok("start leader"), "start worker");
    assert_eq!(run.ok("start worker"), "started");
}

#[test]
fn rule_26_a_gate_that_closes_during_the_start_is_not_waited_for() {
    let mut run = trio();
    run.open_gate("lease", None);
    run.start();
    assert_eq!(run.close_gate("lease"), "", "the leader waits for the db");
    assert_eq!(run.row("leader").reason, Reason::GateClosed);
    assert_eq!(run.ok("start db"), "started");
    let mut run = trio();
    run.open_gate("lease", None);
    run.start();
    run.ok("start db");
    assert_eq!(run.close_gate("lease"), "cancel start leader, started");
    assert_eq!(run.fails("start leader"), "dispose leader");
}

#[test]
fn rule_26_closing_takes_the_gated_component_and_its_dependents_down_in_order() {
    let mut run = leading(None);
    assert_eq!(run.close_gate("lease"), "stop worker");
    go_down(&mut run);
    let row = run.row("leader");
    assert_eq!(
        (row.state, row.reason),
        (State::Waiting, Reason::GateClosed)
    );
    assert_eq!(run.state("worker"), State::Waiting);
    assert_eq!(run.state("db"), State::Running);
    assert!(run.engine.is_ready());
    assert_eq!(run.row("leader").charges, 0);
}

#[test]
fn rule_26_what_a_gate_took_down_comes_back_when_it_opens_again() {
    let mut run = leading(None);
    run.close_gate("lease");
    go_down(&mut run);
    assert_eq!(run.open_gate("lease", None), "start leader");
    assert_eq!(run.ok("start leader"), "start worker");
}

#[test]
fn rule_26_a_gate_that_opens_while_things_go_down_for_it_lets_them_come_back_at_once() {
    let mut run = leading(Some(60_000));
    run.close_gate("lease");
    assert_eq!(run.open_gate("lease", Some(90_000)), "");
    assert_eq!(run.ok("stop worker"), "dispose worker, stop leader");
    assert_eq!(run.ok("stop leader"), "dispose leader, start leader");
    assert_eq!(run.ok("start leader"), "start worker");
    run.ok("start worker");
    assert_eq!(run.pass(88_900), "", "and the old deadline is forgotten");
    assert_eq!(run.pass(100), "stop worker");
}

#[test]
fn rule_26_what_it_gates_goes_down_its_margin_before_the_close_deadline() {
    let mut run = leading(Some(10_000));
    assert_eq!(run.pass(8_999), "");
    assert_eq!(run.pass(1), "stop worker");
    let closed = run.events.iter().rev().find_map(|it| match it.kind {
        EventKind::Gate { open, until, .. } => Some((open, until)),
        _ => None,
    });
    assert_eq!(closed, Some((false, Some(run.now + ms(1_000)))));
    go_down(&mut run);
    assert_eq!(run.pass(60_000), "", "nobody is at work at the deadline");
}

#[test]
fn rule_26_the_longest_of_several_margins_counts() {
    let other = quick("other").gated_by(Gate::new("LEASE", ms(3_000)));
    let mut run = created(vec![gated("leader"), other]);
    run.open_gate("lease", Some(10_000));
    run.up();
    assert_eq!(run.pass(7_000), "stop other, stop leader");
}

#[test]
fn rule_26_a_close_deadline_is_extended_again_and_again() {
    let mut run = leading(Some(10_000));
    for _ in 0..5 {
        assert_eq!(run.pass(5_000), "");
        assert_eq!(run.open_gate("lease", Some(10_000)), "");
    }
    assert_eq!(run.pass(9_000), "stop worker");
}

#[test]
fn rule_26_a_gate_opened_for_less_than_the_margin_starts_nothing() {
    let mut run = trio();
    run.start();
    run.ok("start db");
    assert_eq!(run.open_gate("lease", Some(900)), "");
    assert_eq!(run.state("leader"), State::Waiting);
    assert_eq!(run.row("leader").reason, Reason::GateClosed);
    assert_eq!(run.pass(10_000), "");
}

#[test]
fn rule_26_what_is_up_at_the_close_deadline_ends_the_process() {
    let leader = gated("leader").criticality(Criticality::Degradable);
    let mut run = created(vec![registration("db"), leader]);
    run.open_gate("lease", Some(10_000));
    run.up();
    run.lingers("leader");
    assert_eq!(run.pass(9_000), "stop leader");
    assert_eq!(run.ok("stop leader"), "close leader");
    assert_eq!(
        run.pass(110),
        "abort tasks of leader, abandon leader, dispose leader"
    );
    assert_eq!(run.state("leader"), State::Faulted, "it blocks its thread");
    assert_eq!(run.pass(889), "");
    assert_eq!(run.pass(1), "halt for leader");
    assert_eq!(run.told(|it| matches!(it, EventKind::GateBroken { .. })), 1);
}

#[test]
fn rule_26_a_dependent_that_is_up_at_the_close_deadline_ends_the_process_too() {
    let mut run = leading(Some(10_000));
    run.pass(9_000);
    assert_eq!(run.pass(100), "abort stop worker");
    assert_eq!(run.pass(10), "abandon worker, dispose worker, stop leader");
    run.ok("stop leader");
    assert_eq!(run.pass(890), "halt for worker");
}

#[test]
fn rule_26_a_gate_that_is_closed_at_once_has_the_deadline_that_it_had() {
    let leader = gated("leader").criticality(Criticality::Degradable);
    for (until, said) in [(Some(10_000), "halt for leader"), (None, "")] {
        let mut run = created(vec![leader.clone()]);
        run.open_gate("lease", until);
        run.up();
        assert_eq!(run.close_gate("lease"), "stop leader");
        assert_eq!(
            run.pass(110),
            "abort stop leader, abandon leader, dispose leader"
        );
        assert_eq!(run.pass(60_000), said);
    }
}

#[test]
fn rule_26_a_clock_that_comes_late_begins_to_close_and_ends_the_process() {
    let mut run = leading(Some(10_000));
    assert_eq!(run.oversleep(60_000), "halt for leader, stop worker");
}

#[test]
fn rule_26_a_gate_closes_in_a_stop_of_the_whole_too() {
    let mut run = leading(Some(1_200));
    run.stop_by(StopMode::Now, None);
    assert_eq!(run.pass(100), "abort stop worker");
    assert_eq!(run.vanishes("stop worker"), "dispose worker, stop leader");
    assert_eq!(run.pass(100), "abort stop leader");
    assert_eq!(run.pass(10), "abandon leader, dispose leader, stop db");
    assert_eq!(run.pass(990), "halt for leader");
}

#[test]
fn rule_26_a_gate_lasts_over_runs() {
    let mut run = leading(None);
    run.stop();
    run.ok("stop worker");
    run.ok("stop leader");
    run.ok("stop db");
    assert_eq!(run.start(), "start db");
    assert_eq!(run.ok("start db"), "start leader");
}

#[test]
fn rule_26_dependents_that_tolerate_go_on_when_the_gate_closes() {
    let mut run = created(vec![
        gated("leader"),
        registration("ui").tolerates(["leader"]),
    ]);
    run.open_gate("lease", None);
    run.up();
    assert_eq!(run.close_gate("lease"), "stop leader");
    run.ok("stop leader");
    assert_eq!(run.state("ui"), State::Running);
    assert_eq!(
        run.told(|it| matches!(it, EventKind::DependencyLost { .. })),
        1
    );
}

#[test]
fn rule_26_a_component_whose_gate_and_dependency_are_both_missing_waits_for_both() {
    let mut run = trio();
    run.start();
    assert_eq!(run.open_gate("lease", None), "");
    assert_eq!(run.row("leader").reason, Reason::DependenciesPending);
    assert_eq!(run.ok("start db"), "start leader, started");
}

#[test]
fn rule_26_an_essential_component_that_fails_to_start_once_its_gate_opens_is_restarted() {
    let mut run = trio();
    run.start();
    run.ok("start db");
    run.open_gate("lease", None);
    assert_eq!(run.fails("start leader"), "dispose leader");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert_eq!(run.pass(100), "start leader");
}

#[test]
fn rule_26_a_restart_that_is_due_while_the_gate_is_closed_waits_for_it() {
    let mut run = leading(None);
    run.loses("leader");
    go_down(&mut run);
    run.close_gate("lease");
    assert_eq!(run.pass(100), "");
    let row = run.row("leader");
    assert_eq!(
        (row.state, row.reason),
        (State::Waiting, Reason::GateClosed)
    );
    assert_eq!(run.open_gate("lease", None), "start leader");
}

#[test]
fn rule_26_a_start_by_hand_behind_a_closed_gate_is_done_and_waits() {
    let mut run = trio();
    run.start();
    run.ok("start db");
    assert_eq!(run.operate(Operation::Start, "leader"), "done: start");
    assert_eq!(run.operate(Operation::Restart, "leader"), "done: restart");
    assert_eq!(run.state("leader"), State::Waiting);
}

#[test]
fn rule_26_a_restart_by_hand_that_meets_a_closing_gate_is_done_and_waits() {
    let mut run = leading(None);
    run.operate(Operation::Restart, "leader");
    run.close_gate("lease");
    run.ok("stop worker");
    assert_eq!(run.ok("stop leader"), "dispose leader, done: restart");
    let mut run = leading(None);
    run.loses("db");
    run.ok("stop worker");
    run.ok("stop leader");
    run.ok("stop db");
    assert_eq!(run.operate(Operation::Restart, "leader"), "");
    assert_eq!(run.close_gate("lease"), "done: restart");
}

#[test]
fn rule_26_a_gate_of_nobody_changes_nothing() {
    let mut run = created(vec![registration("db"), gated("leader")]);
    run.up();
    let plan = run.engine.plan();
    let gate = plan.find_gate("Lease").expect("without regard to case");
    assert_eq!(plan.gate(run.id("leader")), Some(gate));
    assert_eq!(plan.gate(run.id("db")), None);
    run.remove("leader", lifecycle_core::engine::Cascade::Refuse);
    assert_eq!(run.input(Input::GateOpened { gate, until: None }), "");
    assert_eq!(run.input(Input::GateClosed { gate }), "");
    assert_eq!(run.drain(), "node drained");
    assert_eq!(run.node(NodeCommand::Resume), "node active");
}

#[test]
fn rule_26_a_halt_is_a_command_that_names_the_component() {
    let mut run = leading(Some(10_000));
    run.engine.handle_timeout(run.now + ms(9_000));
    while run.engine.poll_command().is_some() {}
    run.engine.handle_timeout(run.now + ms(10_000));
    let halted: Vec<_> = std::iter::from_fn(|| run.engine.poll_command())
        .filter_map(|it| match it {
            Command::Halt { component } => Some(component),
            _ => None,
        })
        .collect();
    assert_eq!(halted, [run.id("leader")]);
}

fn faults(registrations: Vec<Registration>) -> Vec<String> {
    let error = Plan::compile(registrations, Defaults::default()).expect_err("at fault");
    error.faults.iter().map(ToString::to_string).collect()
}

#[test]
fn rule_26_a_build_refuses_a_margin_that_is_shorter_than_the_longest_stop_and_names_the_path() {
    let short = quick("leader").gated_by(Gate::new("lease", ms(700)));
    assert_eq!(
        faults(vec![
            short,
            quick("worker").depends_on(["leader"]),
            quick("helper").depends_on(["worker"]),
        ]),
        [
            "\"leader\" is gated by \"lease\" with a margin of 700ms, but stopping helper, then worker, then leader may take 780ms by what is declared; declare shorter stop attempts, disposes and abort graces, or raise the margin"
        ]
    );
}

#[test]
fn rule_26_a_build_warns_of_dependents_that_go_down_for_a_reason_of_their_own_longer_than_the_margin()
 {
    let short = quick("leader").gated_by(Gate::new("lease", ms(700)));
    let compiled = |dependents: Vec<Registration>| {
        let registrations = [vec![short.clone()], dependents].concat();
        Plan::compile(registrations, Defaults::default()).expect("it does not fall with the leader")
    };
    let warnings = |dependents| {
        let warnings = compiled(dependents).plan.warnings();
        warnings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    for dependents in [
        vec![registration("ui").tolerates(["leader"])],
        vec![registration("ui").after(["leader"])],
        vec![registration("ui").wants(["leader"])],
    ] {
        assert_eq!(
            warnings(dependents),
            [
                "\"leader\" is gated by \"lease\" with a margin of 700ms; while another operation takes its dependents down, stopping ui, then leader may take 18260ms by what is declared, and the process would end; declare shorter stop attempts, disposes and abort graces, or raise the margin"
            ]
        );
    }
    assert_eq!(warnings(vec![quick("ui").tolerates(["leader"])]), [""; 0]);
}

#[test]
fn rule_26_a_dependent_on_its_way_down_is_waited_for_though_it_would_not_fall() {
    let mut run = created(vec![
        quick("leader").gated_by(Gate::new("lease", ms(300))),
        quick("ui")
            .tolerates(["leader"])
            .stop_retry(Retry::none().with_attempt_timeout(ms(600))),
    ]);
    run.open_gate("lease", Some(10_000));
    run.up();
    assert_eq!(run.pass(9_650), "");
    assert_eq!(run.operate(Operation::Restart, "ui"), "stop ui");
    assert_eq!(
        run.pass(50),
        "",
        "the gate closes, and its turn has not come"
    );
    assert_eq!(run.pass(300), "halt for leader");
}

#[test]
fn rule_26_what_is_up_at_the_deadline_has_used_more_than_it_declared() {
    // The longest that it declares: aborted stop, aborted tasks, aborted dispose.
    let mut run = created(vec![quick("leader").gated_by(Gate::new("lease", ms(260)))]);
    run.open_gate("lease", Some(10_000));
    run.up();
    run.disposes_slowly("leader");
    run.lingers("leader");
    assert_eq!(run.pass(9_740), "stop leader");
    assert_eq!(run.pass(100), "abort stop leader");
    assert_eq!(run.pass(9), "");
    assert_eq!(run.vanishes("stop leader"), "close leader");
    assert_eq!(run.pass(10), "abort tasks of leader");
    assert_eq!(run.pass(9), "");
    assert_eq!(run.scope_ends("leader"), "dispose leader");
    assert_eq!(run.pass(100), "abort dispose leader");
    assert_eq!(run.pass(9), "");
    run.vanishes("dispose leader");
    assert_eq!(run.pass(1_000), "");
}

#[test]
fn rule_26_an_addition_behind_a_gate_must_leave_time_for_what_is_there() {
    let mut run = created(vec![gated("leader")]);
    run.up();
    let error = run
        .engine
        .plan()
        .extended(registration("worker").depends_on(["leader"]))
        .expect_err("it may take 10 s to stop");
    assert!(matches!(
        &error.faults[..],
        [GraphFault::GateMargin { path, .. }] if path.len() == 2
    ));
}

#[test]
fn rule_26_a_degradable_component_behind_a_closed_gate_is_no_degradation() {
    let mut run = created(vec![gated("leader").criticality(Criticality::Degradable)]);
    assert_eq!(run.start(), "started");
    let report = run.started.clone().expect("answered").expect("well");
    assert!(report.degraded.is_empty());
}
