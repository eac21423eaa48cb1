//! Rules 11, 27 and 28: cordon, drain and what takes it back; how a stop settles and drains; when a host is ready.

use std::sync::Arc;

use crate::support::{Run, State, ms, participant, registration};
use lifecycle_core::engine::{
    Call, DrainState, EventKind, Health, Input, Intent, Limit, NodeCommand, NodeEffect, NodeError,
    NodeReport, Operation, OrchestratorState, RequestId, StopMode,
};
use lifecycle_core::{
    Backoff, Criticality, Defaults, Failure, FailureKind, Gate, HealthCheck, Jitter, Nanos,
    Registration, Restart, Retry, Time,
};

fn degradable(name: &str) -> Registration {
    registration(name).criticality(Criticality::Degradable)
}

fn defaults() -> Defaults {
    Defaults {
        restart: Restart::on_failure()
            .with_backoff(Backoff::Fixed(ms(100)))
            .with_jitter(Jitter::None),
        ..Defaults::default()
    }
}

fn run_with(registrations: Vec<Registration>, defaults: Defaults) -> Run {
    let mut run = Run::with(registrations, defaults);
    run.up();
    run
}

fn run_of(registrations: Vec<Registration>) -> Run {
    run_with(registrations, defaults())
}

/// An inbound over a router without part in a drain, over an outbound.
fn service() -> Vec<Registration> {
    vec![
        participant("outbound"),
        registration("router").depends_on(["outbound"]),
        participant("inbound").depends_on(["router"]),
    ]
}

fn up() -> Run {
    run_of(service())
}

fn drained() -> Run {
    let mut run = up();
    assert_eq!(run.drain(), "drain inbound");
    assert_eq!(run.ok("drain inbound"), "drain outbound");
    assert_eq!(run.ok("drain outbound"), "node drained");
    run
}

/// Two independent participants, the first of which has failed to drain.
fn failed() -> Run {
    let mut run = run_of(vec![participant("a"), participant("b")]);
    assert_eq!(run.drain(), "drain b, drain a");
    run.fails("drain a");
    assert!(run.ok("drain b").starts_with("refused: the node failed"));
    run
}

fn node(run: &Run) -> (bool, DrainState) {
    let node = run.engine.snapshot(run.now).node;
    (node.cordoned, node.drain)
}

fn drain_of(run: &Run, name: &str) -> DrainState {
    run.row(name).drain
}

fn with_settle(millis: u64) -> Defaults {
    Defaults {
        settle: ms(millis),
        ..defaults()
    }
}

#[track_caller]
fn commanded(run: &Run) -> Arc<NodeReport> {
    run.commanded.clone().expect("answered").expect("well")
}

#[track_caller]
fn conflict(run: &mut Run, command: NodeCommand, remedy: &str) {
    let before = node(run);
    run.node(command);
    let error = run.commanded.clone().expect("answered").expect_err("409");
    match &*error {
        NodeError::Conflict { remedy: told, .. } => {
            assert_eq!(*told, remedy);
            let text = error.to_string();
            assert!(
                text.starts_with("the node is "),
                "its kind is no part of {text}"
            );
        }
        other => panic!("{other}"),
    }
    assert_eq!(node(run), before, "nothing has changed");
}

const DRAIN: NodeCommand = NodeCommand::Drain { deadline: None };

#[test]
fn rule_27_cordon_is_a_flag_that_refuses_nothing_and_makes_the_node_unready() {
    let mut run = up();
    assert_eq!(run.node(NodeCommand::Cordon), "node active");
    assert_eq!(node(&run), (true, DrainState::Active));
    assert!(!run.engine.is_ready());
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert_eq!(run.add(degradable("late")), "start late");
    assert_eq!(run.node(NodeCommand::Uncordon), "node active");
    assert!(run.engine.is_ready());
}

#[test]
fn rule_27_a_node_may_be_cordoned_before_it_runs_and_while_it_drains() {
    let mut run = Run::with(service(), defaults());
    run.node(NodeCommand::Cordon);
    run.up();
    assert!(!run.engine.is_ready());
    run.node(NodeCommand::Uncordon);
    run.drain();
    assert_eq!(run.node(NodeCommand::Cordon), "node draining");
}

#[test]
fn rule_27_cordoning_twice_changes_nothing() {
    let mut run = up();
    run.node(NodeCommand::Cordon);
    let events = run.events.len();
    run.node(NodeCommand::Cordon);
    assert_eq!(run.events.len(), events);
    run.node(NodeCommand::Uncordon);
    let events = run.events.len();
    run.node(NodeCommand::Uncordon);
    assert_eq!(run.events.len(), events);
}

#[test]
fn rule_27_a_node_whose_drain_has_failed_can_be_cordoned_again_without_being_told_of_that() {
    let mut run = failed();
    assert_eq!(run.node(NodeCommand::Cordon), "node failed");
    let report = commanded(&run);
    assert_eq!(
        (report.cordoned, report.effect),
        (true, NodeEffect::Nothing)
    );
    let failed: Vec<_> = report.failures.iter().map(|(it, _)| it.as_str()).collect();
    assert_eq!(failed, ["a"]);
}

#[test]
fn rule_27_the_answer_says_whether_something_was_done_and_whether_that_was_a_drain() {
    let mut run = run_of(vec![participant("api")]);
    let mut effect = |command, call: &str| {
        let answer = run.node(command);
        if !call.is_empty() {
            assert_eq!(answer, call);
            run.ok(call);
        }
        commanded(&run).effect
    };
    assert_eq!(effect(NodeCommand::Cordon, ""), NodeEffect::Cordon);
    assert_eq!(effect(NodeCommand::Cordon, ""), NodeEffect::Nothing);
    assert_eq!(effect(NodeCommand::Resume, ""), NodeEffect::Cordon);
    assert_eq!(effect(NodeCommand::Resume, ""), NodeEffect::Nothing);
    assert_eq!(effect(DRAIN, "drain api"), NodeEffect::Drain);
    assert_eq!(effect(DRAIN, ""), NodeEffect::Nothing);
    assert_eq!(effect(NodeCommand::Force, ""), NodeEffect::Nothing);
    assert_eq!(effect(NodeCommand::Resume, "resume api"), NodeEffect::Drain);
}

#[test]
fn rule_27_a_drain_in_which_nobody_takes_part_is_a_drain_all_the_same() {
    let mut run = run_of(vec![degradable("api")]);
    assert_eq!(run.drain(), "node drained");
    assert_eq!(commanded(&run).effect, NodeEffect::Drain);
    assert_eq!(run.node(NodeCommand::Resume), "node active");
    assert_eq!(commanded(&run).effect, NodeEffect::Drain);
}

#[test]
fn rule_27_who_wanted_it_and_why_is_kept_and_told() {
    let mut run = up();
    let intent = Intent::because("kernel update").by("ops");
    run.input(Input::NodeRequested {
        request: RequestId(500),
        command: NodeCommand::Cordon,
        intent: intent.clone(),
    });
    assert_eq!(run.engine.snapshot(run.now).node.intent, intent);
    let told = run
        .events
        .iter()
        .any(|it| matches!(&it.kind, EventKind::Node { intent: told, .. } if *told == intent));
    assert!(told);
}

#[test]
fn rule_27_a_drain_goes_from_the_dependents_down_also_through_what_takes_no_part() {
    let mut run = up();
    assert_eq!(run.drain(), "drain inbound");
    assert_eq!(node(&run), (true, DrainState::Draining));
    assert_eq!(drain_of(&run, "inbound"), DrainState::Draining);
    assert_eq!(drain_of(&run, "outbound"), DrainState::Active);
    assert_eq!(run.state("inbound"), State::Running);
    assert_eq!(run.ok("drain inbound"), "drain outbound");
    run.pass(12);
    assert_eq!(run.ok("drain outbound"), "node drained");
    assert_eq!(node(&run), (true, DrainState::Drained));
    assert_eq!(commanded(&run).took, ms(12));
    assert_eq!(
        run.told(|it| matches!(it, EventKind::Participant { .. })),
        4
    );
}

#[test]
fn rule_27_a_drain_of_nobody_is_done_at_once() {
    let mut run = run_of(vec![registration("db")]);
    assert_eq!(run.drain(), "node drained");
    assert!(!run.engine.is_ready());
}

#[test]
fn rule_27_independent_participants_drain_at_the_same_time() {
    let mut run = run_of(vec![participant("a"), participant("b")]);
    assert_eq!(run.drain(), "drain b, drain a");
}

#[test]
fn rule_27_a_participant_that_is_not_up_is_passed() {
    let mut run = up();
    run.loses("inbound");
    run.ok("stop inbound");
    assert_eq!(run.drain(), "drain outbound");
}

#[test]
fn rule_27_a_drain_needs_a_running_orchestrator() {
    let mut run = Run::with(service(), defaults());
    assert_eq!(
        run.drain(),
        "refused: failed precondition: the orchestrator is created; drain needs it to be running"
    );
    run.start();
    assert!(run.drain().starts_with("refused: failed precondition"));
    let mut run = up();
    run.stop_by(StopMode::Now, None);
    for command in [
        DRAIN,
        NodeCommand::Resume,
        NodeCommand::Cancel,
        NodeCommand::Force,
    ] {
        assert!(
            run.node(command)
                .starts_with("refused: failed precondition")
        );
    }
}

#[test]
fn rule_27_each_participant_has_its_own_limit_and_is_cancelled_and_aborted_at_it() {
    let mut run = run_of(vec![participant("api").drain_timeout(ms(1_000))]);
    assert_eq!(run.drain(), "drain api");
    assert_eq!(run.time_of("drain api"), ms(1_000));
    assert_eq!(run.pass(1_000), "cancel drain api");
    assert_eq!(run.pass(500), "abort drain api");
    assert_eq!(
        run.vanishes("drain api"),
        "refused: the node failed to drain or resume: \"api\": its task vanished without an answer;"
    );
    assert_eq!(run.state("api"), State::Running);
}

#[test]
fn rule_27_the_limit_of_a_drain_is_30_s_unless_it_is_set() {
    let mut run = run_of(vec![participant("api")]);
    run.drain();
    assert_eq!(run.time_of("drain api"), ms(30_000));
}

#[test]
fn rule_27_a_drain_that_ends_after_its_limit_has_failed_by_it() {
    let mut run = run_of(vec![participant("api").drain_timeout(ms(1_000))]);
    run.drain();
    run.pass(1_000);
    run.ok("drain api");
    let failure = run.row("api").drain_failure.expect("told");
    assert_eq!(failure.kind, FailureKind::Timeout);
    assert_eq!(node(&run), (true, DrainState::Failed));
}

#[test]
fn rule_27_a_drain_may_have_a_deadline_for_all() {
    let mut run = up();
    let deadline = Some(run.now + ms(5_000));
    run.node(NodeCommand::Drain { deadline });
    assert_eq!(run.engine.snapshot(run.now).node.deadline, deadline);
    run.pass(2_000);
    run.ok("drain inbound");
    assert_eq!(run.time_of("drain outbound"), ms(3_000));
    assert_eq!(run.pass(3_000), "cancel drain outbound");
    let limit = run.events.iter().rev().find_map(|it| match it.kind {
        EventKind::Cancelled {
            call: Call::Drain,
            limit,
            ..
        } => Some(limit),
        _ => None,
    });
    assert_eq!(limit, Some(Some(Limit::DrainDeadline)));
}

#[test]
fn rule_27_a_drain_that_ends_too_late_names_the_limit_that_it_was_told_to_end_at() {
    let mut run = run_of(vec![participant("api").drain_timeout(ms(1_000))]);
    run.drain();
    assert_eq!(run.pass(1_000), "cancel drain api");
    assert_eq!(
        run.ok("drain api"),
        "refused: the node failed to drain or resume: \"api\": drain was still at work at its limit: attempt timeout;"
    );
    let deadline = Some(run.now + ms(500));
    run.node(NodeCommand::Drain { deadline });
    assert_eq!(run.pass(500), "cancel drain api");
    assert_eq!(
        run.ok("drain api"),
        "refused: the node failed to drain or resume: \"api\": drain was still at work at its limit: drain deadline;"
    );
}

#[test]
fn rule_27_a_participant_tells_how_long_its_call_took_and_nothing_when_it_was_not_asked() {
    let mut run = run_of(vec![participant("api")]);
    run.drain();
    run.pass(12);
    run.ok("drain api");
    run.pass(100);
    run.node(NodeCommand::Resume);
    run.pass(7);
    run.ok("resume api");
    let worked: Vec<_> = run
        .events
        .iter()
        .filter_map(|it| match it.kind {
            EventKind::Participant { to, worked, .. } => Some((to, worked)),
            _ => None,
        })
        .collect();
    assert_eq!(
        worked,
        [
            (DrainState::Draining, None),
            (DrainState::Drained, Some(ms(12))),
            (DrainState::Active, Some(ms(7))),
        ]
    );
}

#[test]
fn rule_27_the_failure_of_one_leaves_the_others_drained_and_the_node_failed() {
    let mut run = up();
    run.drain();
    let failure = Failure::error("two calls will not end");
    assert_eq!(run.fails_with("drain inbound", failure), "drain outbound");
    assert_eq!(
        run.ok("drain outbound"),
        "refused: the node failed to drain or resume: \"inbound\": two calls will not end;"
    );
    assert_eq!(node(&run), (true, DrainState::Failed));
    assert_eq!(drain_of(&run, "inbound"), DrainState::Failed);
    assert_eq!(drain_of(&run, "outbound"), DrainState::Drained);
    let failure = run.row("inbound").drain_failure.expect("kept");
    assert_eq!(failure.message, "two calls will not end");
}

#[test]
fn rule_27_a_failed_node_can_be_drained_again_and_asks_those_alone_that_failed() {
    let mut run = failed();
    assert_eq!(run.drain(), "drain a");
    assert_eq!(run.ok("drain a"), "node drained");
    assert_eq!(run.row("a").drain_failure, None);
}

#[test]
fn rule_27_a_failed_node_can_be_resumed() {
    let mut run = failed();
    assert_eq!(run.node(NodeCommand::Resume), "resume a, resume b");
    run.ok("resume a");
    assert_eq!(run.ok("resume b"), "node active");
    assert_eq!(node(&run), (false, DrainState::Active));
    assert!(run.engine.is_ready());
}

#[test]
fn rule_27_a_failed_node_can_be_forced() {
    let mut run = failed();
    assert_eq!(run.node(NodeCommand::Force), "drain a, cancel drain a");
    assert!(run.engine.snapshot(run.now).node.forced);
    assert_eq!(run.ok("drain a"), "node drained");
}

#[test]
fn rule_27_a_failed_node_can_be_drained_again_without_a_participant_that_is_down() {
    let mut run = run_of(vec![
        participant("a").criticality(Criticality::Degradable),
        participant("b"),
    ]);
    run.drain();
    run.fails("drain a");
    run.ok("drain b");
    run.operate(Operation::Stop, "a");
    run.ok("stop a");
    assert_eq!(run.drain(), "node drained");
}

#[test]
fn rule_27_force_cancels_what_is_in_flight_and_is_answered_with_the_drain() {
    let mut run = up();
    run.drain();
    run.pass(20_000);
    assert_eq!(run.node(NodeCommand::Force), "cancel drain inbound");
    assert_eq!(
        run.ok("drain inbound"),
        "drain outbound, cancel drain outbound"
    );
    assert_eq!(run.ok("drain outbound"), "node drained, node drained");
}

#[test]
fn rule_27_force_ends_a_drain_within_the_force_timeout() {
    let mut run = run_of(vec![participant("api").abort_grace(ms(10_000))]);
    run.drain();
    assert_eq!(run.node(NodeCommand::Force), "cancel drain api");
    assert_eq!(run.pass(500), "abort drain api");
    assert!(run.pass(500).starts_with("refused"));
}

#[test]
fn rule_27_resume_clears_both_and_goes_from_the_dependencies_up() {
    let mut run = drained();
    assert_eq!(
        run.node(NodeCommand::Resume),
        "resume outbound, resume inbound"
    );
    assert_eq!(node(&run), (true, DrainState::Drained));
    run.ok("resume outbound");
    assert_eq!(run.ok("resume inbound"), "node active");
    assert_eq!(node(&run), (false, DrainState::Active));
    assert_eq!(drain_of(&run, "inbound"), DrainState::Active);
    assert!(run.engine.is_ready());
}

#[test]
fn rule_27_resume_of_an_active_node_only_takes_the_cordon_away() {
    let mut run = up();
    let events = run.events.len();
    assert_eq!(run.node(NodeCommand::Resume), "node active");
    assert_eq!(run.events.len(), events);
    run.node(NodeCommand::Cordon);
    assert_eq!(run.node(NodeCommand::Resume), "node active");
    assert_eq!(node(&run), (false, DrainState::Active));
}

#[test]
fn rule_27_a_resume_that_fails_leaves_the_node_failed_and_can_be_repeated() {
    let mut run = drained();
    run.node(NodeCommand::Resume);
    run.ok("resume outbound");
    assert!(run.fails("resume inbound").starts_with("refused"));
    assert_eq!(node(&run), (true, DrainState::Failed));
    assert_eq!(drain_of(&run, "outbound"), DrainState::Active);
    assert_eq!(run.node(NodeCommand::Resume), "resume inbound");
    assert_eq!(run.ok("resume inbound"), "node active");
}

#[test]
fn rule_27_cancel_during_a_drain_resumes_those_already_drained() {
    let mut run = up();
    run.drain();
    run.ok("drain inbound");
    assert_eq!(
        run.node(NodeCommand::Cancel),
        "refused: the command was overtaken by a cancel or a stop, cancel drain outbound"
    );
    assert_eq!(node(&run), (true, DrainState::Draining));
    assert_eq!(
        run.ok("drain outbound"),
        "resume outbound, resume inbound",
        "it had drained by then"
    );
    run.ok("resume outbound");
    assert_eq!(run.ok("resume inbound"), "node active");
    assert_eq!(node(&run), (false, DrainState::Active));
}

#[test]
fn rule_27_cancel_resumes_what_ended_badly_too_and_asks_nobody_who_was_not_asked() {
    let mut run = up();
    run.drain();
    assert_eq!(
        run.node(NodeCommand::Cancel),
        "refused: the command was overtaken by a cancel or a stop, cancel drain inbound"
    );
    assert_eq!(run.fails("drain inbound"), "resume inbound");
    assert_eq!(run.ok("resume inbound"), "node active");
}

#[test]
fn rule_27_what_the_state_of_the_drain_refuses_is_a_conflict_with_its_remedy() {
    let mut run = up();
    conflict(&mut run, NodeCommand::Cancel, "there is no drain to cancel");
    conflict(&mut run, NodeCommand::Force, "drain the node first");
    run.drain();
    let busy = "wait for the drain under way, cancel it or force it";
    conflict(&mut run, DRAIN, busy);
    conflict(&mut run, NodeCommand::Uncordon, "cancel the drain");
    conflict(&mut run, NodeCommand::Resume, "cancel the drain");
    run.node(NodeCommand::Cancel);
    let resuming = "wait until the participants have resumed";
    for command in [
        DRAIN,
        NodeCommand::Resume,
        NodeCommand::Cancel,
        NodeCommand::Force,
    ] {
        conflict(&mut run, command, resuming);
    }
    let mut run = drained();
    conflict(&mut run, NodeCommand::Uncordon, "resume the node");
    conflict(&mut run, NodeCommand::Cancel, "resume the node");
    run.node(NodeCommand::Resume);
    conflict(&mut run, NodeCommand::Resume, resuming);
    let mut run = failed();
    conflict(&mut run, NodeCommand::Uncordon, "resume the node");
    conflict(&mut run, NodeCommand::Cancel, "resume the node");
}

#[test]
fn rule_27_a_drain_of_a_drained_node_and_a_force_of_it_say_so() {
    let mut run = drained();
    assert_eq!(run.drain(), "node drained");
    assert_eq!(run.node(NodeCommand::Force), "node drained");
}

#[test]
fn rule_27_a_blocked_drain_fails_its_participant_and_does_not_lose_it() {
    let mut run = run_of(vec![participant("api").drain_timeout(ms(1_000))]);
    run.drain();
    assert_eq!(run.pass(1_500), "cancel drain api, abort drain api");
    assert_eq!(
        run.pass(500),
        "refused: the node failed to drain or resume: \"api\": drain was still at work at its limit: attempt timeout;"
    );
    assert_eq!(run.state("api"), State::Running);
    assert_eq!(node(&run), (true, DrainState::Failed));
    // While it blocks it can neither be drained nor resumed.
    assert!(run.drain().starts_with("refused"));
    assert!(run.node(NodeCommand::Resume).starts_with("refused"));
    assert_eq!(run.fails("drain api"), "");
    assert_eq!(run.node(NodeCommand::Resume), "resume api");
    assert_eq!(run.ok("resume api"), "node active");
}

#[test]
fn rule_27_a_blocked_resume_of_what_had_failed_fails_it_again() {
    let mut run = run_of(vec![participant("api").drain_timeout(ms(1_000))]);
    run.drain();
    run.fails("drain api");
    assert_eq!(run.node(NodeCommand::Resume), "resume api");
    assert_eq!(run.pass(1_500), "cancel resume api, abort resume api");
    assert_eq!(
        run.pass(500),
        "refused: the node failed to drain or resume: \"api\": resume was still at work at its limit: attempt timeout;"
    );
    assert_eq!(run.fails("resume api"), "");
    assert_eq!(run.drain(), "drain api");
    assert_eq!(run.ok("drain api"), "node drained");
}

#[test]
fn rule_27_a_participant_whose_drain_blocks_is_left_behind_when_it_goes_down() {
    let mut run = run_of(vec![participant("api").drain_timeout(ms(1_000))]);
    run.drain();
    run.pass(2_000);
    assert_eq!(run.stop(), "");
    assert_eq!(run.pass(500), "abandon api, dispose api, stop failed");
}

#[test]
fn rule_27_a_participant_that_comes_up_while_the_node_is_drained_is_drained_too() {
    let mut run = drained();
    run.loses("inbound");
    run.ok("stop inbound");
    run.pass(100);
    assert_eq!(run.ok("start inbound"), "drain inbound");
    assert_eq!(run.ok("drain inbound"), "");
    assert_eq!(node(&run), (true, DrainState::Drained));
}

#[test]
fn rule_27_a_latecomer_that_will_not_drain_makes_the_node_failed() {
    let mut run = drained();
    run.loses("inbound");
    run.ok("stop inbound");
    run.pass(100);
    run.ok("start inbound");
    run.fails("drain inbound");
    assert_eq!(node(&run), (true, DrainState::Failed));
}

#[test]
fn rule_27_a_resume_that_meets_a_latecomer_ends_its_drain_and_resumes_it() {
    let mut run = drained();
    run.loses("inbound");
    run.ok("stop inbound");
    run.pass(100);
    run.ok("start inbound");
    assert_eq!(run.node(NodeCommand::Resume), "cancel drain inbound");
    assert_eq!(run.ok("drain inbound"), "resume outbound, resume inbound");
    run.ok("resume outbound");
    assert_eq!(run.ok("resume inbound"), "node active");
    assert_eq!(drain_of(&run, "inbound"), DrainState::Active);
}

#[test]
fn rule_27_a_participant_that_comes_up_after_a_resume_takes_in_work_though_another_could_not_resume()
 {
    let mut run = drained();
    run.node(NodeCommand::Resume);
    run.fails("resume outbound");
    assert!(run.ok("resume inbound").starts_with("refused"));
    assert_eq!(node(&run), (true, DrainState::Failed));
    run.loses("inbound");
    run.ok("stop inbound");
    run.pass(100);
    assert_eq!(run.ok("start inbound"), "");
    assert_eq!(drain_of(&run, "inbound"), DrainState::Active);
    // The next drain is for all of them.
    assert_eq!(run.drain(), "drain inbound");
    run.ok("drain inbound");
    run.ok("drain outbound");
    run.loses("inbound");
    run.ok("stop inbound");
    run.pass(100);
    assert_eq!(run.ok("start inbound"), "drain inbound");
}

#[test]
fn rule_27_a_latecomer_is_drained_before_what_it_needs() {
    let mut run = run_of(vec![
        participant("outbound"),
        participant("inbound").depends_on(["outbound"]),
        participant("edge").wants(["inbound"]),
    ]);
    run.loses("inbound");
    run.ok("stop inbound");
    assert_eq!(run.drain(), "drain edge");
    run.pass(100);
    assert_eq!(run.ok("start inbound"), "", "the edge is not done");
    assert_eq!(run.ok("drain edge"), "drain inbound");
    assert_eq!(run.ok("drain inbound"), "drain outbound");
    assert_eq!(run.ok("drain outbound"), "node drained");
}

#[test]
fn rule_27_a_participant_lost_in_the_middle_of_its_drain_is_not_waited_for() {
    let mut run = up();
    run.drain();
    assert_eq!(run.loses("inbound"), "abort drain inbound");
    assert_eq!(
        run.vanishes("drain inbound"),
        "stop inbound, drain outbound"
    );
    assert_eq!(run.ok("drain outbound"), "node drained");
    run.ok("stop inbound");
    run.pass(100);
    assert_eq!(run.ok("start inbound"), "drain inbound");
}

#[test]
fn rule_27_a_new_run_clears_the_drain_and_keeps_the_cordon() {
    let mut run = drained();
    run.stop();
    run.ok("stop inbound");
    run.ok("stop router");
    run.ok("stop outbound");
    assert_eq!(node(&run), (true, DrainState::Drained));
    run.up();
    assert_eq!(node(&run), (true, DrainState::Active));
    assert_eq!(drain_of(&run, "inbound"), DrainState::Active);
    assert!(!run.engine.is_ready());
    run.node(NodeCommand::Uncordon);
    assert!(run.engine.is_ready());
}

#[test]
fn rule_27_the_cordon_of_a_node_that_was_drained_and_stopped_can_be_lifted() {
    let mut run = drained();
    run.stop();
    assert_eq!(run.node(NodeCommand::Uncordon), "node drained");
    run.ok("stop inbound");
    run.ok("stop router");
    run.ok("stop outbound");
    run.node(NodeCommand::Cordon);
    assert_eq!(run.node(NodeCommand::Uncordon), "node drained");
    run.up();
    assert_eq!(node(&run), (false, DrainState::Active));
    assert!(run.engine.is_ready());
}

#[test]
fn rule_27_the_calls_of_a_node_are_told_apart() {
    let mut run = up();
    run.drain();
    let drain = run.key("drain inbound").expect("called");
    assert_eq!(drain.attempt, 1);
    run.ok("drain inbound");
    run.ok("drain outbound");
    run.node(NodeCommand::Resume);
    assert_eq!(run.key("resume inbound").expect("called").attempt, 2);
    // The answer of another call changes nothing.
    run.answer(Call::Drain, drain, Ok(()));
    run.answer(Call::Resume, drain, Ok(()));
    run.ok("resume outbound");
    assert_eq!(node(&run).1, DrainState::Drained);
    assert_eq!(run.ok("resume inbound"), "node active");
}

#[test]
fn rule_11_a_stop_settles_then_drains_then_stops() {
    let mut run = run_with(service(), with_settle(5_000));
    assert_eq!(run.stop(), "");
    assert!(!run.engine.is_ready(), "that is what it settles for");
    assert_eq!(run.pass(4_999), "");
    assert_eq!(run.state("inbound"), State::Running);
    assert_eq!(run.pass(1), "drain inbound");
    assert_eq!(run.ok("drain inbound"), "drain outbound");
    assert_eq!(run.ok("drain outbound"), "stop inbound");
    run.ok("stop inbound");
    run.ok("stop router");
    assert_eq!(run.ok("stop outbound"), "dispose outbound, stopped");
}

#[test]
fn rule_11_without_a_settle_time_the_drain_begins_at_once() {
    let mut run = up();
    assert_eq!(run.stop(), "drain inbound");
}

#[test]
fn rule_11_what_has_no_participants_stops_at_once() {
    let mut run = run_of(vec![registration("db")]);
    assert_eq!(run.stop(), "stop db");
    assert_eq!(node(&run).1, DrainState::Active, "nothing was drained");
    // Nor was one that is down.
    let mut run = run_of(vec![
        participant("inbound").criticality(Criticality::Optional),
        registration("db"),
    ]);
    run.operate(Operation::Stop, "inbound");
    run.ok("stop inbound");
    assert_eq!(run.stop(), "stop db");
    assert_eq!(node(&run).1, DrainState::Active);
}

#[test]
fn rule_11_the_failure_of_a_drain_never_prevents_the_stop() {
    let mut run = up();
    run.stop();
    run.fails("drain inbound");
    assert_eq!(run.ok("drain outbound"), "stop inbound");
    assert_eq!(node(&run).1, DrainState::Failed);
    run.ok("stop inbound");
    run.ok("stop router");
    assert_eq!(run.ok("stop outbound"), "dispose outbound, stopped");
}

#[test]
fn rule_11_the_drain_of_a_stop_leaves_the_stops_the_time_that_they_declare() {
    // Two stops of 10 s and two disposes of 5 s are declared, more than half of the 45 s: half is left for the drain.
    let mut run = run_of(vec![
        participant("outbound"),
        participant("inbound")
            .depends_on(["outbound"])
            .drain_timeout(ms(60_000)),
    ]);
    run.stop();
    assert_eq!(run.time_of("drain inbound"), ms(22_500));
    assert_eq!(run.pass(22_499), "");
    assert_eq!(
        run.pass(1),
        "cancel drain inbound, abort drain inbound",
        "now the stop begins"
    );
    assert_eq!(run.vanishes("drain inbound"), "stop inbound");
    assert_eq!(node(&run).1, DrainState::Failed);
}

#[test]
fn rule_11_a_drain_may_take_all_that_short_stops_do_not_need() {
    let api = participant("api")
        .drain_timeout(ms(60_000))
        .stop_retry(Retry::none().with_attempt_timeout(ms(1_000)))
        .dispose_timeout(ms(500));
    let mut run = run_of(vec![api]);
    run.stop();
    assert_eq!(run.time_of("drain api"), ms(43_500));
}

#[test]
fn rule_11_a_stop_with_a_deadline_keeps_its_reserve_within_that() {
    let mut run = up();
    run.stop_within(10_000);
    assert_eq!(run.time_of("drain inbound"), ms(5_000));
    assert_eq!(run.pass(4_000), "");
    // A second stop in more of a hurry.
    assert_eq!(run.stop_within(2_000), "");
    assert_eq!(run.pass(1_000), "cancel drain inbound, abort drain inbound");
    assert_eq!(run.vanishes("drain inbound"), "stop inbound");
    let stop_deadline = run.engine.snapshot(run.now).stop_deadline;
    assert_eq!(stop_deadline, Some(Time::ZERO + ms(6_000)));
}

#[test]
fn rule_11_an_earlier_deadline_during_the_drain_leaves_the_stops_their_part_of_what_is_left() {
    let mut run = up();
    run.stop();
    run.pass(2_000);
    run.stop_within(10_000);
    assert_eq!(run.pass(4_999), "");
    assert_eq!(run.pass(1), "cancel drain inbound, abort drain inbound");
    // A later deadline changes nothing.
    let mut run = up();
    run.stop_within(10_000);
    run.pass(2_000);
    run.stop_within(8_000);
    assert_eq!(run.pass(2_999), "");
    assert_eq!(run.pass(1), "cancel drain inbound, abort drain inbound");
}

#[test]
fn rule_11_an_earlier_deadline_after_the_drain_asks_nobody_to_drain_again() {
    let mut run = up();
    run.stop();
    run.fails("drain inbound");
    assert_eq!(run.fails("drain outbound"), "stop inbound");
    assert_eq!(run.stop_within(10_000), "");
    assert_eq!(run.ok("stop inbound"), "dispose inbound, stop router");
    assert_eq!(run.ok("stop router"), "dispose router, stop outbound");
}

#[test]
fn rule_11_the_settling_leaves_the_stops_their_time_too() {
    let mut run = run_with(service(), with_settle(60_000));
    run.stop();
    assert_eq!(run.pass(22_499), "");
    assert_eq!(run.pass(1), "drain inbound");
    assert_eq!(run.time_of("drain inbound"), ms(11_250));
    let mut run = run_with(service(), with_settle(5_000));
    run.stop();
    run.pass(1_000);
    // A second stop in more of a hurry.
    assert_eq!(run.stop_within(2_000), "", "it still settles");
    assert_eq!(run.pass(999), "");
    assert_eq!(run.pass(1), "drain inbound");
    assert_eq!(run.time_of("drain inbound"), ms(500));
}

#[test]
fn rule_11_stop_now_skips_settle_and_drain() {
    let mut run = run_with(service(), with_settle(5_000));
    assert_eq!(run.stop_by(StopMode::Now, None), "stop inbound");
}

#[test]
fn rule_11_stop_now_ends_the_settling_and_the_drain_of_a_stop_under_way() {
    let mut run = run_with(service(), with_settle(5_000));
    run.stop();
    assert_eq!(run.stop_by(StopMode::Now, None), "stop inbound");
    let mut run = up();
    run.stop();
    assert_eq!(run.stop_by(StopMode::Now, None), "abort drain inbound");
    assert_eq!(run.vanishes("drain inbound"), "stop inbound");
}

#[test]
fn rule_16_force_is_valid_during_the_settling_and_during_the_drain() {
    let mut run = run_with(service(), with_settle(5_000));
    run.stop();
    assert_eq!(run.force(), "stop inbound, cancel stop inbound");
    let mut run = up();
    run.stop();
    assert_eq!(run.force(), "abort drain inbound");
    assert_eq!(
        run.vanishes("drain inbound"),
        "stop inbound, cancel stop inbound"
    );
    run.ok("stop inbound");
    run.ok("stop router");
    assert_eq!(
        run.ok("stop outbound"),
        "dispose outbound, stopped, stopped"
    );
}

#[test]
fn rule_11_a_drained_node_skips_the_drain_of_a_stop() {
    let mut run = drained();
    assert_eq!(run.stop(), "stop inbound");
}

#[test]
fn rule_11_a_drain_that_ends_while_a_stop_settles_is_not_repeated() {
    let mut run = run_with(service(), with_settle(5_000));
    run.drain();
    run.stop();
    run.ok("drain inbound");
    assert_eq!(run.ok("drain outbound"), "node drained");
    let events = run.told(|it| matches!(it, EventKind::Node { .. }));
    assert_eq!(run.pass(5_000), "stop inbound");
    assert_eq!(run.told(|it| matches!(it, EventKind::Node { .. })), events);
}

#[test]
fn rule_11_a_stop_joins_the_drain_under_way() {
    let mut run = up();
    run.drain();
    run.pass(10_000);
    assert_eq!(run.stop(), "");
    assert_eq!(run.ok("drain inbound"), "drain outbound");
    assert_eq!(run.ok("drain outbound"), "node drained, stop inbound");
}

#[test]
fn rule_11_a_stop_limits_the_drain_that_it_joins_and_answers_who_waited_for_it() {
    let mut run = up();
    run.drain();
    run.stop_within(10_000);
    assert_eq!(
        run.pass(5_000),
        "cancel drain inbound, refused: the command was overtaken by a cancel or a stop, abort drain inbound"
    );
}

#[test]
fn rule_11_a_stop_does_not_wait_for_what_is_being_resumed() {
    let mut run = drained();
    run.node(NodeCommand::Resume);
    run.ok("resume outbound");
    assert_eq!(
        run.stop(),
        "refused: the command was overtaken by a cancel or a stop, abort resume inbound"
    );
    assert_eq!(run.vanishes("resume inbound"), "stop inbound");
}

#[test]
fn rule_11_the_drain_of_a_stop_is_nobody_s_cordon() {
    let mut run = up();
    run.stop();
    assert_eq!(node(&run), (false, DrainState::Draining));
    run.ok("drain inbound");
    run.ok("drain outbound");
    run.ok("stop inbound");
    run.ok("stop router");
    run.ok("stop outbound");
    run.up();
    assert!(run.engine.is_ready());
}

#[test]
fn rule_11_what_goes_down_by_itself_neither_settles_nor_drains() {
    let db = registration("db").restart(Restart::never());
    let mut run = run_with(
        vec![db, participant("api").depends_on(["db"])],
        with_settle(5_000),
    );
    assert_eq!(run.loses("db"), "stop api");
}

#[test]
fn rule_11_a_stop_during_a_start_neither_settles_nor_drains() {
    let mut run = Run::with(service(), with_settle(5_000));
    run.start();
    run.ok("start outbound");
    assert_eq!(run.stop(), "cancel start router");
    assert_eq!(run.fails("start router"), "dispose router, stop outbound");
}

#[test]
fn rule_11_what_is_lost_while_a_stop_drains_is_stopped_in_its_turn() {
    let mut run = up();
    run.stop();
    assert_eq!(run.loses("router"), "");
    assert_eq!(run.ok("drain inbound"), "drain outbound");
    assert_eq!(run.ok("drain outbound"), "stop inbound");
    run.ok("stop inbound");
    run.ok("stop router");
    assert_eq!(run.ok("stop outbound"), "dispose outbound, stopped");
    assert_eq!(run.report().stopped, 3);
}

#[test]
fn rule_11_what_went_down_before_is_not_started_again_while_a_stop_settles() {
    let mut run = run_with(service(), with_settle(5_000));
    run.loses("inbound");
    run.stop();
    assert_eq!(run.ok("stop inbound"), "dispose inbound");
    assert_eq!(run.pass(4_999), "");
    assert_eq!(run.pass(1), "drain outbound");
    assert_eq!(run.ok("drain outbound"), "stop router");
    run.ok("stop router");
    assert_eq!(run.ok("stop outbound"), "dispose outbound, stopped");
}

#[test]
fn rule_13_what_goes_down_while_a_stop_settles_is_in_its_report() {
    let mut run = run_with(service(), with_settle(20_000));
    run.loses("inbound");
    run.stop();
    assert_eq!(run.pass(10_000), "abort stop inbound");
    assert_eq!(run.vanishes("stop inbound"), "dispose inbound");
    run.pass(10_000);
    run.ok("drain outbound");
    run.ok("stop router");
    assert_eq!(run.ok("stop outbound"), "dispose outbound, stop failed");
    let troubles = run.report().troubles.iter();
    let inbound = troubles.map(ToString::to_string).next_back();
    assert_eq!(
        inbound.expect("told"),
        "\"inbound\" aborted: stop was still at work at its limit: attempt timeout (stop given up after 10000 ms) (awaited by: router) (closed over it: router)"
    );
    let mut run = run_with(service(), with_settle(20_000));
    run.loses("inbound");
    run.stop();
    run.ok("stop inbound");
    run.pass(20_000);
    run.ok("drain outbound");
    run.ok("stop router");
    run.ok("stop outbound");
    assert_eq!(run.report().stopped, 3);
}

#[test]
fn rule_27_drain_and_health_share_a_component_without_losing_each_other() {
    let check = HealthCheck::every(ms(1_000)).with_misses(1);
    let mut run = run_of(vec![participant("api").health_check(check)]);
    assert_eq!(run.pass(1_000), "check api");
    assert_eq!(run.drain(), "drain api");
    let bad = Err(Arc::new(Failure::error("no answer")));
    assert_eq!(run.check_ends("api", bad), "");
    assert_eq!(run.row("api").health, Health::Unhealthy);
    assert_eq!(run.ok("drain api"), "node drained");
    assert_eq!(run.pass(1_000), "check api");
    run.check_ends("api", Ok(()));
    assert_eq!(run.node(NodeCommand::Resume), "resume api");
    run.ok("resume api");
    assert_eq!(run.pass(1_000), "check api");
}

#[test]
fn rule_28_readiness_needs_a_running_orchestrator() {
    let mut run = Run::with(service(), defaults());
    assert!(!run.engine.is_ready());
    run.start();
    run.ok("start outbound");
    run.ok("start router");
    assert!(!run.engine.is_ready());
    run.ok("start inbound");
    assert!(run.engine.is_ready());
    run.stop();
    assert!(!run.engine.is_ready());
}

#[test]
fn rule_28_readiness_needs_every_essential_component_without_a_closed_gate_and_no_other() {
    let gate = Gate::new("lease", ms(60_000));
    let mut run = run_of(vec![
        registration("db"),
        degradable("cache"),
        registration("log").criticality(Criticality::Optional),
        registration("leader").gated_by(gate),
    ]);
    assert!(run.engine.is_ready());
    run.loses("cache");
    run.loses("log");
    assert!(run.engine.is_ready(), "trouble of those is shown elsewhere");
    run.loses("db");
    assert!(!run.engine.is_ready());
    let snapshot = run.engine.snapshot(run.now);
    assert!(!snapshot.is_ready());
    let unready: Vec<_> = snapshot.unready().collect();
    assert_eq!(unready, [run.id("db")]);
    run.ok("stop db");
    run.pass(100);
    run.ok("start db");
    assert!(run.engine.is_ready());
}

#[test]
fn rule_28_readiness_needs_an_essential_component_not_to_be_unhealthy() {
    let check =
        |name: &str| registration(name).health_check(HealthCheck::every(ms(1_000)).with_misses(1));
    let mut run = run_of(vec![
        check("db"),
        check("cache").criticality(Criticality::Degradable),
    ]);
    let bad = || Err(Arc::new(Failure::error("no answer")));
    run.pass(1_000);
    run.check_ends("cache", bad());
    assert!(run.engine.is_ready());
    run.check_ends("db", bad());
    assert!(!run.engine.is_ready());
    assert!(!run.engine.snapshot(run.now).is_ready());
}

#[test]
fn rule_28_readiness_needs_the_drain_to_be_active_and_the_cordon_to_be_off() {
    let mut run = up();
    run.drain();
    assert!(!run.engine.is_ready());
    run.ok("drain inbound");
    run.ok("drain outbound");
    assert!(!run.engine.is_ready());
    run.node(NodeCommand::Resume);
    assert!(!run.engine.is_ready());
    run.ok("resume outbound");
    run.ok("resume inbound");
    assert!(run.engine.is_ready());
    run.node(NodeCommand::Cordon);
    assert!(!run.engine.is_ready());
    assert!(!failed().engine.is_ready());
}

#[test]
fn rule_28_readiness_falls_before_anything_closes_and_rises_after_everything_is_back() {
    let mut run = up();
    run.operate(Operation::Restart, "outbound");
    assert!(!run.engine.is_ready());
    run.ok("stop inbound");
    run.ok("stop router");
    run.ok("stop outbound");
    run.ok("start outbound");
    run.ok("start router");
    assert!(!run.engine.is_ready());
    run.ok("start inbound");
    assert!(run.engine.is_ready());
}

#[test]
fn rule_11_the_worst_graceful_stop_is_told_with_its_paths() {
    let timed = |name: &str, stop: u64| {
        participant(name)
            .drain_timeout(ms(stop * 2))
            .stop_retry(Retry::none().with_attempt_timeout(ms(stop)))
            .dispose_timeout(ms(100))
    };
    let quiet = registration("router")
        .depends_on(["db"])
        .stop_retry(Retry::none().with_attempt_timeout(ms(500)))
        .dispose_timeout(ms(100));
    let run = Run::with(
        vec![
            timed("db", 1_000),
            quiet,
            timed("api", 2_000).depends_on(["router"]),
            timed("ui", 1_500).depends_on(["db"]),
        ],
        with_settle(5_000),
    );
    let plan = run.engine.plan();
    let worst = plan.worst_stop();
    let names = |path: &[lifecycle_core::ComponentId]| {
        let names: Vec<_> = path.iter().map(|it| plan.name(*it).to_string()).collect();
        names.join(" ")
    };
    assert_eq!(worst.settle, ms(5_000));
    assert_eq!(
        (worst.drain, names(&worst.drain_path)),
        (ms(6_000), "api db".to_owned())
    );
    assert_eq!(
        (worst.stop, names(&worst.stop_path)),
        (ms(3_800), "api router db".to_owned())
    );
    assert_eq!(worst.total(), ms(14_800));
    assert_eq!(Run::of(&[]).engine.plan().worst_stop().total(), Nanos::ZERO);
}
