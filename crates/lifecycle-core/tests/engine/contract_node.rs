//! What the contract and the museum say of cordon, drain and the stop, as stories; rules 11, 27 and 28 are in `rules_node`.

use lifecycle_core::engine::{DrainState, EventKind, NodeCommand, NodeError, NodeSnapshot};
use lifecycle_core::{Registration, Report};

use crate::rules_supervision::up;
use crate::support::{Run, State, ms, participant, registration};

/// Two inbounds, with something between them and the database that takes no part.
fn service() -> Vec<Registration> {
    vec![
        registration("db"),
        participant("worker").depends_on(["db"]),
        registration("router").depends_on(["worker"]),
        participant("inbound").depends_on(["router"]),
    ]
}

fn node(run: &Run) -> NodeSnapshot {
    run.engine.snapshot(run.now).node
}

#[track_caller]
fn conflict(run: &mut Run, command: NodeCommand) -> &'static str {
    run.node(command);
    let error = run
        .commanded
        .clone()
        .expect("answered")
        .expect_err("refused");
    match &*error {
        NodeError::Conflict { remedy, .. } => remedy,
        other => panic!("{other:?}"),
    }
}

#[test]
fn contract_54_node_and_participants_are_active_draining_drained_or_failed_and_cordoned_is_a_flag()
{
    let states = [
        DrainState::Active,
        DrainState::Draining,
        DrainState::Drained,
        DrainState::Failed,
    ];
    assert_eq!(states.map(|it| it as u8), [0, 1, 2, 3]);
    assert_eq!(
        states.map(DrainState::as_str),
        ["active", "draining", "drained", "failed"]
    );
    let mut run = up(vec![registration("db")]);
    run.node(NodeCommand::Cordon);
    assert_eq!(
        (node(&run).cordoned, node(&run).drain),
        (true, DrainState::Active)
    );
}

#[test]
fn contract_55_draining_what_is_drained_returns_it_and_draining_during_a_drain_is_a_conflict() {
    let mut run = up(vec![participant("inbound")]);
    run.drain();
    let remedy = conflict(&mut run, NodeCommand::Drain { deadline: None });
    assert!(remedy.contains("cancel it or force it"), "{remedy}");
    run.ok("drain inbound");
    assert_eq!(run.drain(), "node drained");
}

#[test]
fn contract_56_resuming_what_is_active_does_nothing_and_during_a_drain_points_to_cancel() {
    let mut run = up(vec![participant("inbound")]);
    assert_eq!(run.node(NodeCommand::Resume), "node active");
    run.drain();
    assert_eq!(conflict(&mut run, NodeCommand::Resume), "cancel the drain");
    assert_eq!(
        conflict(&mut run, NodeCommand::Uncordon),
        "cancel the drain"
    );
}

#[test]
fn contract_57_a_participant_that_fails_makes_itself_and_the_node_failed_with_its_message() {
    let mut run = up(vec![participant("a"), participant("b")]);
    run.drain();
    run.fails("drain a");
    let said = run.ok("drain b");
    assert!(said.contains("\"a\": no luck"), "{said}");
    assert_eq!(node(&run).drain, DrainState::Failed);
    assert_eq!(run.row("a").drain, DrainState::Failed);
    assert_eq!(run.row("b").drain, DrainState::Drained);
}

#[test]
fn museum_29_a_failed_or_cancelled_drain_is_never_the_end() {
    for command in [
        NodeCommand::Drain { deadline: None },
        NodeCommand::Force,
        NodeCommand::Resume,
    ] {
        let mut run = up(vec![participant("inbound")]);
        run.drain();
        run.fails("drain inbound");
        assert_eq!(node(&run).drain, DrainState::Failed);
        run.node(command);
        let call = match command {
            NodeCommand::Resume => "resume inbound",
            _ => "drain inbound",
        };
        let said = run.ok(call);
        assert!(said.starts_with("node "), "{command:?}: {said}");
        run.node(NodeCommand::Resume);
        run.open("resume").iter().for_each(|it| drop(run.ok(it)));
        assert_eq!(node(&run).drain, DrainState::Active);
    }
}

#[test]
fn museum_28_a_drain_has_a_deadline_says_what_it_waits_for_and_can_be_forced() {
    let mut run = up(vec![participant("a"), participant("b")]);
    let deadline = Some(run.now + ms(1_000));
    run.node(NodeCommand::Drain { deadline });
    run.reports("a", Report::InFlight(3));
    run.ok("drain b");
    let snapshot = run.engine.snapshot(run.now);
    let blocked: Vec<_> = snapshot
        .plan
        .ids()
        .filter(|it| snapshot.component(*it).drain == DrainState::Draining)
        .map(|it| snapshot.name(it).to_string())
        .collect();
    assert_eq!(blocked, ["a"]);
    assert_eq!(run.row("a").in_flight, Some(3));
    assert_eq!(snapshot.node.deadline, deadline);
    assert_eq!(run.pass(1_000), "cancel drain a");
    assert_eq!(run.pass(500), "abort drain a");
    let said = run.vanishes("drain a");
    assert!(said.contains("\"a\""), "{said}");
    assert_eq!(run.node(NodeCommand::Force), "drain a, cancel drain a");
    assert_eq!(run.ok("drain a"), "node drained");
}

#[test]
fn museum_28_force_during_a_drain_ends_it_within_its_budget() {
    let mut run = up(vec![participant("inbound")]);
    run.drain();
    assert_eq!(run.node(NodeCommand::Force), "cancel drain inbound");
    assert_eq!(run.ok("drain inbound"), "node drained, node drained");
}

#[test]
fn museum_27_a_drain_is_over_as_soon_as_nothing_is_in_flight() {
    let mut run = up(vec![participant("inbound")]);
    run.stop();
    run.pass(10);
    assert_eq!(run.ok("drain inbound"), "stop inbound");
    assert_eq!(run.ok("stop inbound"), "dispose inbound, stopped");
    assert_eq!(run.now.since_origin(), ms(10));
}

#[test]
fn contract_b22_a_drain_has_limits_order_recovery_and_events() {
    let mut run = up(service());
    let deadline = Some(run.now + ms(100));
    run.node(NodeCommand::Drain { deadline });
    run.pass(100);
    run.fails("drain inbound");
    run.ok("drain worker");
    assert_eq!(node(&run).drain, DrainState::Failed);
    run.node(NodeCommand::Resume);
    run.ok("resume worker");
    run.ok("resume inbound");
    assert_eq!(node(&run).drain, DrainState::Active);
    let steps: Vec<_> = run
        .events
        .iter()
        .filter_map(|it| match it.kind {
            EventKind::Node { to, .. } => Some(to),
            _ => None,
        })
        .collect();
    assert_eq!(
        steps,
        [DrainState::Draining, DrainState::Failed, DrainState::Active]
    );
}

#[test]
fn contract_b23_a_cordon_makes_the_node_unready_and_touches_nothing_that_runs() {
    let mut run = up(service());
    assert_eq!(run.node(NodeCommand::Cordon), "node active");
    assert!(!run.engine.is_ready());
    assert_eq!(run.state("inbound"), State::Running);
    assert_eq!(run.node(NodeCommand::Uncordon), "node active");
    assert!(run.engine.is_ready());
}

#[test]
fn museum_25_the_ordinary_stop_drains_first_and_needs_no_option() {
    let mut run = up(vec![participant("inbound")]);
    assert_eq!(run.stop(), "drain inbound");
    assert_eq!(run.ok("drain inbound"), "stop inbound");
}

#[test]
fn while_it_stops_it_says_every_five_seconds_what_it_waits_for_and_how_long() {
    let mut run = up(vec![
        registration("db"),
        registration("api").depends_on(["db"]),
    ]);
    run.stop();
    run.reports("api", Report::Progress("flushing 7/9".into()));
    run.pass(5_000);
    let told = run.events.iter().find_map(|it| match &it.kind {
        EventKind::Awaiting { awaited, left } => Some((awaited.clone(), *left)),
        _ => None,
    });
    let (awaited, left) = told.expect("it is told");
    assert_eq!(awaited.len(), 1);
    assert_eq!(awaited[0].component.as_str(), "api");
    assert_eq!(awaited[0].since, ms(5_000));
    assert_eq!(awaited[0].progress.as_deref(), Some("flushing 7/9"));
    assert_eq!(left, ms(40_000));
    run.pass(5_000);
    let hang = run.vanishes("stop api");
    assert!(hang.starts_with("dispose api, stop db"), "{hang}");
    run.ok("stop db");
    let trouble = run.report().troubles.iter().find(|it| it.hang.is_some());
    let trouble = trouble.expect("who hung is told");
    let hang = trouble.hang.as_ref().expect("it hung");
    assert_eq!(hang.progress.as_deref(), Some("flushing 7/9"));
    assert_eq!(hang.lasted, ms(10_000));
    assert_eq!(trouble.awaited_by[0].as_str(), "db");
    assert_eq!(trouble.closed_over[0].as_str(), "db");
}
