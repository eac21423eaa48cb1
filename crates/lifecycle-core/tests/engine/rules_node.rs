//! Rules 11, 27 and 28: cordon, drain, what a graceful stop does first, and readiness.

use lifecycle_core::engine::{
    DrainState, EventKind, NodeCommand, NodeError, NodeSnapshot, OrchestratorState, StopMode,
};
use lifecycle_core::{Criticality, Defaults, HealthCheck, Registration, Report, Restart};

use crate::rules_supervision::{optional, run_of, up};
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
fn rule_27_a_drain_asks_participants_dependents_first_also_through_what_takes_no_part() {
    let mut run = up(service());
    assert_eq!(run.drain(), "drain inbound");
    assert_eq!(run.state("inbound"), State::Running);
    assert_eq!(node(&run).drain, DrainState::Draining);
    assert_eq!(run.ok("drain inbound"), "drain worker");
    assert_eq!(run.ok("drain worker"), "node drained");
    assert_eq!(run.row("worker").drain, DrainState::Drained);
    assert!(node(&run).cordoned);
    assert!(!run.engine.is_ready());
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
fn rule_27_resume_takes_in_work_again_and_clears_the_cordon() {
    let mut run = up(service());
    run.drain();
    run.ok("drain inbound");
    run.ok("drain worker");
    assert_eq!(conflict(&mut run, NodeCommand::Uncordon), "resume the node");
    assert_eq!(
        run.node(NodeCommand::Resume),
        "resume worker, resume inbound"
    );
    run.ok("resume worker");
    assert_eq!(run.ok("resume inbound"), "node active");
    assert!(!node(&run).cordoned);
    assert!(run.engine.is_ready());
}

#[test]
fn rule_27_cancel_ends_what_is_in_flight_and_resumes_what_was_drained() {
    let mut run = up(service());
    run.drain();
    run.ok("drain inbound");
    let said = run.node(NodeCommand::Cancel);
    assert!(said.starts_with("refused"), "the drain is answered: {said}");
    assert!(said.ends_with("cancel drain worker"), "{said}");
    assert_eq!(run.fails("drain worker"), "resume worker, resume inbound");
    run.ok("resume worker");
    assert_eq!(run.ok("resume inbound"), "node active");
    assert!(run.engine.is_ready());
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
fn rule_27_a_drain_that_blocks_its_thread_fails_and_loses_nobody() {
    let mut run = up(vec![participant("inbound").drain_timeout(ms(100))]);
    run.drain();
    assert_eq!(run.pass(100), "cancel drain inbound");
    assert_eq!(run.pass(500), "abort drain inbound");
    let said = run.pass(500);
    assert!(said.contains("inbound"), "{said}");
    assert_eq!(run.state("inbound"), State::Running);
    assert_eq!(node(&run).drain, DrainState::Failed);
    // On its way down it is left behind.
    run.stop();
    run.pass(2_000);
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
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
fn rule_27_a_participant_that_comes_up_while_the_node_is_drained_is_drained_too() {
    let inbound = participant("inbound")
        .criticality(Criticality::Optional)
        .restart(Restart::on_failure().with_backoff(lifecycle_core::Backoff::None));
    let mut run = up(vec![inbound]);
    run.drain();
    run.ok("drain inbound");
    run.loses("inbound");
    assert_eq!(run.ok("stop inbound"), "dispose inbound, start inbound");
    assert_eq!(run.ok("start inbound"), "drain inbound");
    run.ok("drain inbound");
    assert_eq!(node(&run).drain, DrainState::Drained);
}

#[test]
fn rule_27_a_new_run_clears_the_drain_and_keeps_the_cordon() {
    let mut run = up(vec![participant("inbound")]);
    run.drain();
    run.ok("drain inbound");
    assert_eq!(
        run.stop(),
        "stop inbound",
        "what is drained is not drained again"
    );
    run.ok("stop inbound");
    run.up();
    assert_eq!(
        (node(&run).cordoned, node(&run).drain),
        (true, DrainState::Active)
    );
    assert!(!run.engine.is_ready());
    run.node(NodeCommand::Uncordon);
    assert!(run.engine.is_ready());
}

#[test]
fn rule_27_the_drain_of_a_stop_is_no_cordon_of_the_next_run() {
    let mut run = up(vec![participant("inbound")]);
    run.stop();
    run.ok("drain inbound");
    run.ok("stop inbound");
    run.up();
    assert!(run.engine.is_ready());
}

#[test]
fn rule_27_drains_need_a_running_orchestrator_and_a_cordon_does_not() {
    let mut run = run_of(vec![participant("inbound")]);
    assert!(run.drain().contains("failed precondition"));
    assert_eq!(run.node(NodeCommand::Cordon), "node active");
    run.up();
    assert!(!run.engine.is_ready());
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

fn settling(millis: u64, registrations: Vec<Registration>) -> Run {
    let mut run = Run::with(
        registrations,
        Defaults {
            settle: ms(millis),
            ..Defaults::default()
        },
    );
    run.up();
    run
}

#[test]
fn rule_11_a_graceful_stop_is_unready_at_once_settles_drains_and_stops() {
    let mut run = settling(5_000, service());
    assert_eq!(run.stop(), "");
    assert!(!run.engine.is_ready());
    assert_eq!(run.pass(4_999), "");
    assert_eq!(run.pass(1), "drain inbound");
    run.ok("drain inbound");
    assert_eq!(run.ok("drain worker"), "stop inbound");
}

#[test]
fn museum_25_the_ordinary_stop_drains_first_and_needs_no_option() {
    let mut run = up(vec![participant("inbound")]);
    assert_eq!(run.stop(), "drain inbound");
    assert_eq!(run.ok("drain inbound"), "stop inbound");
}

#[test]
fn rule_11_a_failed_drain_never_prevents_the_stop() {
    let mut run = up(service());
    run.stop();
    run.fails("drain inbound");
    assert_eq!(run.fails("drain worker"), "stop inbound");
}

#[test]
fn rule_11_the_drain_leaves_the_stop_its_reserve() {
    let mut run = up(service());
    run.stop_within(10_000);
    assert_eq!(run.time_of("drain inbound"), ms(5_000));
    let said = run.pass(5_000);
    assert!(said.contains("abort drain inbound"), "{said}");
    let said = run.vanishes("drain inbound");
    assert_eq!(said, "stop inbound");
}

#[test]
fn rule_11_stop_now_and_force_skip_settle_and_drain() {
    for mode in [StopMode::Now, StopMode::Force] {
        let mut run = settling(5_000, service());
        let said = run.stop_by(mode, None);
        assert!(said.starts_with("stop inbound"), "{said}");
    }
}

#[test]
fn rule_16_force_pre_empts_a_drain_under_way() {
    let mut run = settling(0, service());
    run.stop();
    let said = run.force();
    assert!(said.contains("abort drain inbound"), "{said}");
    let said = run.vanishes("drain inbound");
    assert!(
        said.starts_with("stop inbound, cancel stop inbound"),
        "{said}"
    );
}

#[test]
fn rule_27_a_stop_joins_a_drain_under_way() {
    let mut run = up(service());
    run.drain();
    assert_eq!(run.stop(), "");
    run.ok("drain inbound");
    let said = run.ok("drain worker");
    assert_eq!(said, "node drained, stop inbound");
}

#[test]
fn rule_12_a_start_that_is_cut_short_has_nothing_to_drain() {
    let mut run = settling(5_000, vec![participant("inbound"), registration("slow")]);
    run.stop_by(StopMode::Now, None);
    run.ok("stop inbound");
    run.ok("stop slow");
    run.start();
    run.ok("start inbound");
    assert_eq!(run.stop(), "cancel start slow, stop inbound");
}

#[test]
fn rule_11_nothing_is_started_again_while_a_stop_settles() {
    let mut run = settling(5_000, vec![optional("db"), participant("inbound")]);
    run.loses("db");
    run.stop();
    run.ok("stop db");
    assert_eq!(run.pass(4_999), "");
    assert_eq!(run.pass(1), "drain inbound");
    assert_eq!(run.state("db"), State::Stopped);
}

#[test]
fn rule_28_readiness_is_the_orchestrator_the_node_and_every_essential_component() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1);
    let mut run = up(vec![
        registration("db").health_check(check),
        registration("cache").criticality(Criticality::Degradable),
        optional("reports"),
    ]);
    assert!(run.engine.is_ready());
    run.loses("cache");
    run.loses("reports");
    assert!(run.engine.is_ready(), "those are not essential");
    run.pass(1_000);
    let miss = lifecycle_core::Failure::error("no answer");
    run.check_ends("db", Err(std::sync::Arc::new(miss)));
    assert!(!run.engine.is_ready());
    let snapshot = run.engine.snapshot(run.now);
    let unready: Vec<_> = snapshot.unready().collect();
    assert_eq!(unready, [run.id("db")]);
    run.pass(1_000);
    run.check_ends("db", Ok(()));
    assert!(run.engine.is_ready());
}

#[test]
fn rule_16_of_the_design_readiness_goes_down_before_anything_closes() {
    let mut run = up(vec![registration("db")]);
    run.stop();
    let down = run.events.iter().position(|it| {
        matches!(
            it.kind,
            EventKind::Orchestrator {
                to: OrchestratorState::Stopping,
                ..
            }
        )
    });
    let closing = run.events.iter().position(|it| {
        matches!(
            it.kind,
            EventKind::Transition {
                to: State::Stopping,
                ..
            }
        )
    });
    assert!(down.expect("told") < closing.expect("told"));
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
