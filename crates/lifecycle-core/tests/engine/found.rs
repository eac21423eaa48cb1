//! Faults that the properties, the model or a reading found, each as the smallest story that shows it.

use std::hash::{DefaultHasher, Hasher as _};

use lifecycle_core::engine::{
    Cascade, DrainState, EventKind, NodeCommand, Operation, OrchestratorState,
};
use lifecycle_core::{
    Backoff, Criticality, Defaults, Dependency, Gate, HealthCheck, Jitter, Restart, Retry,
};

use crate::support::{Run, State, fresh, ms, participant, registration};

/// Restarts at once, often enough for any story.
fn at_once() -> Restart {
    Restart::on_failure()
        .with_backoff(Backoff::Fixed(ms(0)))
        .with_jitter(Jitter::None)
        .with_budget(100, ms(1_000_000))
}

fn of(registrations: Vec<lifecycle_core::Registration>) -> Run {
    let defaults = Defaults {
        restart: at_once(),
        ..Defaults::default()
    };
    Run::with(registrations, defaults)
}

#[test]
fn a_back_off_of_a_stop_is_not_cut_short_by_a_dependent_that_goes_down_in_the_meantime() {
    let retry = Retry::attempts(2).with_backoff(Backoff::Fixed(ms(1_000)));
    let mut run = of(vec![
        registration("db")
            .stop_retry(retry)
            .criticality(Criticality::Optional),
        registration("api")
            .tolerates(["db"])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.operate(Operation::Restart, "db");
    run.fails("stop db");
    run.operate(Operation::Restart, "api");
    assert!(!run.ok("stop api").contains("stop db"));
    assert_eq!(run.pass(1_000), "stop db");
}

#[test]
fn what_was_due_to_start_when_its_dependency_was_lost_says_that_it_waits() {
    let check = HealthCheck::every(ms(600))
        .with_timeout(ms(400))
        .with_misses(1);
    let mut run = of(vec![
        registration("api")
            .tolerates(["db"])
            .restart(at_once().with_backoff(Backoff::Fixed(ms(100))))
            .criticality(Criticality::Optional),
        registration("db")
            .health_check(check.restarting())
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.pass(900);
    run.loses("api");
    run.ok("stop api");
    run.pass(100);
    assert_eq!(run.state("db"), State::Stopping);
    assert_eq!(run.state("api"), State::Waiting);
}

#[test]
fn an_operation_is_answered_when_a_gate_closes_before_what_waits() {
    let mut run = of(vec![
        registration("lease")
            .gated_by(Gate::new("leader", ms(60_000)))
            .restart(at_once().with_backoff(Backoff::Fixed(ms(1_000))))
            .criticality(Criticality::Optional),
        registration("job")
            .depends_on(["lease"])
            .criticality(Criticality::Optional),
    ]);
    run.open_gate("leader", None);
    run.up();
    run.loses("lease");
    run.ok("stop job");
    run.ok("stop lease");
    run.operate(Operation::Start, "job");
    assert!(run.close_gate("leader").contains("done: start"));
}

#[test]
fn an_operation_is_answered_when_a_delay_ends_before_a_closed_gate() {
    let mut run = of(vec![
        registration("lease")
            .gated_by(Gate::new("leader", ms(60_000)))
            .start_retry(Retry::attempts(1))
            .restart(at_once().with_backoff(Backoff::Fixed(ms(1_000))))
            .criticality(Criticality::Optional),
    ]);
    run.open_gate("leader", None);
    run.up();
    run.operate(Operation::Restart, "lease");
    run.ok("stop lease");
    run.fails("start lease");
    run.close_gate("leader");
    assert!(run.pass(1_000).contains("done: restart"));
}

#[test]
fn a_start_does_not_wait_for_what_a_gate_closes_before() {
    let mut run = of(vec![
        registration("a"),
        registration("b")
            .depends_on(["a"])
            .gated_by(Gate::new("leader", ms(60_000))),
    ]);
    run.open_gate("leader", None);
    run.start();
    run.close_gate("leader");
    assert!(run.ok("start a").contains("started"));
}

#[test]
fn a_start_does_not_wait_for_one_in_flight_that_a_gate_closes_before() {
    let mut run = of(vec![
        registration("b").gated_by(Gate::new("leader", ms(60_000))),
    ]);
    run.open_gate("leader", None);
    run.start();
    assert_eq!(run.close_gate("leader"), "cancel start b, started");
    assert_eq!(run.fails("start b"), "dispose b");
}

#[test]
fn a_start_does_not_wait_for_what_an_operator_stops_while_it_starts() {
    let mut run = of(vec![registration("a").criticality(Criticality::Optional)]);
    run.start();
    run.operate(Operation::Stop, "a");
    assert!(run.fails("start a").contains("started"));
}

#[test]
fn a_start_does_not_wait_for_an_essential_one_that_an_operator_stops_by_force() {
    let mut run = of(vec![registration("a"), registration("b")]);
    run.start();
    run.ok("start a");
    run.operate_with(Operation::Stop, "a", true);
    run.ok("stop a");
    assert!(run.ok("start b").contains("started"));
}

#[test]
fn who_wants_what_an_operator_stops_while_it_starts_need_not_wait_for_it() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b").wants(["a"]),
    ]);
    run.start();
    run.operate(Operation::Stop, "a");
    assert!(run.fails("start a").contains("start b"));
}

#[test]
fn a_start_does_not_wait_for_what_an_edge_stops_for_good() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .dependencies([Dependency::hard("a").stops()])
            .criticality(Criticality::Optional),
    ]);
    run.start();
    run.ok("start a");
    run.loses("a");
    assert!(run.fails("start b").contains("started"));
}

#[test]
fn a_start_does_not_wait_for_an_essential_one_behind_what_an_operator_has_stopped() {
    let mut run = of(vec![
        registration("a"),
        registration("b").depends_on(["a"]),
        registration("c"),
    ]);
    run.start();
    run.operate_with(Operation::Stop, "a", true);
    run.fails("start a");
    assert!(run.ok("start c").contains("started"));
}

#[test]
fn what_others_want_can_be_removed_before_the_first_start() {
    let mut run = of(vec![registration("a"), registration("b").wants(["a"])]);
    run.remove("a", Cascade::Refuse);
    assert_eq!(run.start(), "start b");
}

#[test]
fn a_start_does_not_wait_for_what_is_removed_while_it_starts() {
    let mut run = of(vec![registration("a"), registration("b").wants(["a"])]);
    run.start();
    run.remove("a", Cascade::Refuse);
    assert!(run.fails("start a").contains("start b"));
    assert!(run.ok("start b").contains("started"));
}

#[test]
fn what_needs_an_addition_that_fails_fails_with_it_and_waits_for_nothing_that_is_gone() {
    let mut run = of(vec![registration("db")]);
    run.up();
    run.add(registration("cache"));
    run.add(
        registration("api")
            .depends_on(["db", "cache"])
            .criticality(Criticality::Optional),
    );
    let said = run.fails("start cache");
    assert!(said.contains("\"cache\" failed"), "{said}");
    assert!(said.contains("\"api\" failed"), "{said}");
    let plan = run.engine.plan();
    assert!(plan.find("cache").is_none() && plan.find("api").is_none());
}

#[test]
fn a_generation_that_follows_at_once_on_one_that_never_ran_is_told_as_a_step_of_its_own() {
    let mut run = of(vec![registration("db").criticality(Criticality::Optional)]);
    run.start();
    run.fails("start db");
    assert_eq!(run.history("db"), "starting backing-off starting");
    assert_eq!(run.row("db").generation, 2);
}

#[test]
fn an_edge_that_stops_means_it_whoever_its_dependency_goes_down_with() {
    let mut run = of(vec![
        registration("root").criticality(Criticality::Optional),
        registration("middle")
            .depends_on(["root"])
            .criticality(Criticality::Optional),
        registration("leaf")
            .dependencies([Dependency::hard("middle").stops()])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.loses("root");
    run.ok("stop leaf");
    assert_eq!(run.state("leaf"), State::Stopped);
}

#[test]
fn an_operation_is_answered_when_an_edge_stops_its_component_for_good() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .dependencies([Dependency::hard("a").stops()])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.operate(Operation::Restart, "b");
    run.ok("stop b");
    assert!(run.loses("a").contains("refused"));
}

#[test]
fn a_stop_is_answered_when_its_component_is_removed_before_it_is_down() {
    let mut run = of(vec![registration("a").criticality(Criticality::Optional)]);
    run.up();
    run.operate(Operation::Stop, "a");
    assert!(run.remove("a", Cascade::Refuse).contains("refused"));
}

#[test]
fn what_is_added_to_an_addition_that_fails_fails_with_it() {
    let mut run = of(vec![registration("a")]);
    run.up();
    run.add(registration("b"));
    run.add(registration("c").depends_on(["b"]));
    let said = run.fails("start b");
    assert_eq!(said.matches("refused").count(), 2, "{said}");
    assert_eq!(said.matches("forget").count(), 2, "{said}");
}

#[test]
fn what_is_added_to_what_is_being_removed_fails() {
    let mut run = of(vec![registration("a").criticality(Criticality::Optional)]);
    run.up();
    run.remove("a", Cascade::Refuse);
    assert!(
        run.add(registration("b").depends_on(["a"]))
            .contains("refused")
    );
    assert!(run.ok("stop a").contains("forget"));
}

#[test]
fn what_waited_for_an_addition_that_failed_can_be_started_without_it() {
    let mut run = of(vec![registration("a")]);
    run.up();
    let gated = registration("c")
        .depends_on(["b"])
        .gated_by(Gate::new("g", ms(60_000)));
    run.add(registration("b"));
    run.add(gated.criticality(Criticality::Optional));
    run.fails("start b");
    run.open_gate("g", None);
    assert_eq!(run.state("c"), State::Faulted);
    assert_eq!(run.operate(Operation::Start, "c"), "start c");
}

#[test]
fn a_stop_is_answered_when_its_component_is_held_up() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .dependencies([Dependency::hard("a").held()])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.operate(Operation::Stop, "a");
    run.pass(10_000);
    assert!(run.vanishes("stop b").contains("refused"));
}

#[test]
fn a_removal_is_answered_when_its_component_is_held_up() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .dependencies([Dependency::soft("a").held()])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.operate(Operation::Stop, "b");
    run.pass(10_000);
    run.vanishes("stop b");
    run.remove("a", Cascade::Refuse);
    assert!(run.ok("stop a").contains("done: remove"));
}

#[test]
fn a_stop_of_what_is_held_up_is_answered() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .dependencies([Dependency::hard("a").held()])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.operate(Operation::Restart, "a");
    run.pass(10_000);
    run.vanishes("stop b");
    assert_ne!(run.operate(Operation::Stop, "a"), "");
}

#[test]
fn what_was_cleaned_up_after_and_waits_for_its_turn_is_stopped_after_a_stop_of_the_whole() {
    let mut run = of(vec![
        registration("d").criticality(Criticality::Optional),
        registration("x")
            .depends_on(["d"])
            .criticality(Criticality::Optional),
        registration("y")
            .depends_on(["d"])
            .tolerates(["x"])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.loses("x");
    run.ok("stop x");
    run.loses("d");
    run.fails("start x");
    run.force();
    run.ok("stop y");
    run.ok("stop d");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    assert_eq!(run.state("x"), State::Stopped);
}

#[test]
fn a_failure_charged_to_a_dependency_further_up_does_not_repeat_without_a_delay() {
    let restart = at_once().with_backoff(Backoff::Fixed(ms(100)));
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .tolerates(["a"])
            .criticality(Criticality::Optional),
        registration("c")
            .depends_on(["b"])
            .restart(restart)
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.operate(Operation::Stop, "a");
    run.ok("stop a");
    run.loses("c");
    assert_eq!(run.ok("stop c"), "dispose c");
    assert_eq!(run.state("c"), State::BackingOff);
    assert_eq!(run.row("c").charges, 0);
}

#[test]
fn a_removal_is_told_once_when_a_stop_of_the_whole_begins_in_the_same_step() {
    let mut run = of(vec![registration("a")]);
    run.up();
    run.add(fresh("b").criticality(Criticality::Optional));
    run.add(
        registration("c")
            .depends_on(["b"])
            .gated_by(Gate::new("g", ms(60_000))),
    );
    run.fails("start b");
    run.ok("stop a");
    assert_eq!(run.told(|it| matches!(it, EventKind::Removed { .. })), 1);
}

#[test]
fn a_fingerprint_tells_states_apart_although_a_component_was_removed() {
    let hash = |run: &Run| {
        let mut hasher = DefaultHasher::new();
        run.engine.fingerprint(run.now, &mut hasher);
        hasher.finish()
    };
    let mut run = of(vec![registration("a"), registration("b")]);
    run.remove("a", Cascade::Refuse);
    run.up();
    let before = hash(&run);
    run.loses("b");
    assert_ne!(hash(&run), before);
}

#[test]
fn a_resume_that_is_dropped_counts_as_ended() {
    let mut run = of(vec![participant("a").criticality(Criticality::Optional)]);
    run.up();
    run.drain();
    run.fails("drain a");
    run.node(NodeCommand::Resume);
    run.pass(30_000);
    run.pass(500);
    assert!(run.vanishes("resume a").contains("refused"));
}

#[test]
fn a_resume_that_blocks_is_given_up() {
    let mut run = of(vec![participant("a").criticality(Criticality::Optional)]);
    run.up();
    run.drain();
    run.fails("drain a");
    run.node(NodeCommand::Resume);
    assert!(run.pass(60_000).contains("refused"));
}

#[test]
fn a_drain_does_not_wait_for_a_participant_that_was_left_behind() {
    let mut run = of(vec![participant("a").criticality(Criticality::Optional)]);
    run.up();
    run.drain();
    run.loses("a");
    assert!(run.pass(60_000).contains("node drained"));
}

#[test]
fn a_resume_takes_back_the_drain_of_a_latecomer_that_is_in_flight() {
    let mut run = of(vec![participant("a").criticality(Criticality::Optional)]);
    run.up();
    run.drain();
    run.ok("drain a");
    run.operate(Operation::Restart, "a");
    run.ok("stop a");
    assert!(run.ok("start a").contains("drain a"));
    run.node(NodeCommand::Resume);
    run.ok("drain a");
    run.ok("resume a");
    assert_eq!(run.engine.snapshot(run.now).node.drain, DrainState::Active);
    assert_eq!(run.row("a").drain, DrainState::Active);
}

#[test]
fn a_drain_does_not_fail_by_a_participant_that_is_down() {
    let mut run = of(vec![
        participant("a").criticality(Criticality::Optional),
        participant("b").criticality(Criticality::Optional),
    ]);
    run.up();
    run.drain();
    run.ok("drain b");
    run.fails("drain a");
    run.operate(Operation::Stop, "a");
    run.ok("stop a");
    assert!(run.drain().contains("node drained"));
}

#[test]
fn a_participant_that_comes_up_during_a_drain_waits_for_its_turn() {
    let mut run = of(vec![
        participant("a").criticality(Criticality::Optional),
        participant("b")
            .tolerates(["a"])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.loses("a");
    run.drain();
    run.ok("stop a");
    assert_eq!(run.ok("start a"), "");
    assert_eq!(run.ok("drain b"), "drain a");
}

#[test]
fn a_generation_that_follows_one_that_was_cut_short_in_its_start_is_told() {
    let mut run = of(vec![registration("a").criticality(Criticality::Optional)]);
    run.start();
    run.operate(Operation::Restart, "a");
    run.fails("start a");
    assert_eq!(run.history("a"), "starting backing-off starting");
}

#[test]
fn what_was_lost_and_is_held_up_in_a_stop_of_the_whole_is_faulted() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .dependencies([Dependency::hard("a").held()])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.loses("a");
    run.stop();
    run.pass(10_000);
    run.vanishes("stop b");
    assert_eq!(run.state("a"), State::Faulted);
}

#[test]
fn an_addition_that_blocks_its_thread_when_it_is_restarted_is_removed() {
    let mut run = of(vec![registration("a")]);
    run.up();
    run.add(registration("b"));
    run.operate(Operation::Restart, "b");
    assert!(run.pass(1_000).contains("forget"));
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
}

#[test]
fn what_is_held_up_is_stopped_before_it_is_removed() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .dependencies([Dependency::hard("a").held()])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.operate(Operation::Stop, "a");
    run.pass(10_000);
    run.vanishes("stop b");
    assert_eq!(run.remove("a", Cascade::Dependents), "stop a, forget");
    assert_eq!(run.ok("stop a"), "dispose a, done: remove, forget");
}

#[test]
fn what_was_lost_while_a_stop_settles_is_not_asked_to_drain() {
    let defaults = Defaults {
        settle: ms(1_000),
        ..Defaults::default()
    };
    let components = vec![
        participant("a").criticality(Criticality::Optional),
        participant("b"),
    ];
    let mut run = Run::with(components, defaults);
    run.up();
    run.stop();
    run.loses("a");
    assert_eq!(run.pass(1_000), "drain b");
}

#[test]
fn what_goes_down_in_one_step_for_several_causes_goes_down_in_order() {
    let gated = |name| {
        registration(name)
            .gated_by(Gate::new("leader", ms(60_000)))
            .criticality(Criticality::Optional)
    };
    let mut run = of(vec![gated("a"), gated("b").tolerates(["a"])]);
    run.open_gate("leader", None);
    run.up();
    assert_eq!(run.close_gate("leader"), "stop b");
}

#[test]
fn two_that_become_unhealthy_in_one_step_go_down_in_order() {
    let checked = |name| {
        let check = HealthCheck::every(ms(1_000))
            .with_timeout(ms(100))
            .with_misses(1)
            .restarting();
        registration(name).health_check(check)
    };
    let mut run = of(vec![checked("a"), checked("b").wants(["a"])]);
    run.up();
    run.pass(1_000);
    let said = run.pass(100);
    assert!(said.ends_with("stop b"), "{said}");
    assert!(!said.contains("stop a"), "{said}");
}

#[test]
fn a_gate_that_opens_and_closes_before_the_start_changes_nothing() {
    let mut run = of(vec![
        registration("a").gated_by(Gate::new("leader", ms(60_000))),
        registration("b").wants(["a"]),
    ]);
    run.open_gate("leader", None);
    assert_eq!(run.close_gate("leader"), "");
    assert_eq!(run.start(), "start b");
}

#[test]
fn a_drain_that_is_cancelled_is_answered_though_no_participant_lets_go() {
    let mut run = of(vec![participant("a")]);
    run.up();
    run.drain();
    run.node(NodeCommand::Cancel);
    let said = run.pass(10_000);
    assert!(
        said.starts_with("abort drain a, refused: the node failed to drain or resume"),
        "{said}"
    );
}

#[test]
fn a_start_that_waits_for_what_an_operator_then_stops_is_refused() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .depends_on(["a"])
            .criticality(Criticality::Optional),
    ]);
    run.start();
    run.operate(Operation::Restart, "b");
    run.operate(Operation::Stop, "a");
    let said = run.fails("start a");
    assert!(said.contains("\"b\" needs \"a\", which is down"), "{said}");
}

#[test]
fn an_addition_behind_what_is_held_is_answered_and_comes_with_it() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b").criticality(Criticality::Optional),
    ]);
    run.up();
    run.operate(Operation::Stop, "a");
    run.ok("stop a");
    let added = registration("c")
        .depends_on(["a"])
        .criticality(Criticality::Optional);
    assert_eq!(run.add(added), "done: add");
    assert_eq!(run.state("c"), State::Waiting);
    run.operate(Operation::Start, "a");
    assert_eq!(run.ok("start a"), "done: start, start c");
}

#[test]
fn a_removal_whose_stop_fails_in_a_rollback_is_answered() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b"),
    ]);
    run.start();
    run.ok("start a");
    run.remove("a", Cascade::Refuse);
    run.fails("start b");
    assert_eq!(
        run.fails("stop a"),
        "refused: \"a\" failed: no luck, start failed"
    );
}

#[test]
fn an_addition_behind_what_has_failed_and_is_not_down_yet_fails_with_it() {
    let mut run = of(vec![
        registration("a")
            .restart(Restart::never())
            .criticality(Criticality::Optional),
        registration("b")
            .depends_on(["a"])
            .criticality(Criticality::Optional),
    ]);
    run.disposes_slowly("a");
    run.start();
    run.fails("start a");
    assert_eq!(run.add(registration("c").depends_on(["b"])), "");
    let said = run.ok("dispose a");
    let refused = "refused: \"c\" failed: no luck (it depends on \"a\")";
    assert!(said.starts_with(refused), "{said}");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
}

#[test]
fn what_was_lost_while_a_stop_settles_is_not_asked_for_its_health() {
    let defaults = Defaults {
        settle: ms(1_000),
        ..Defaults::default()
    };
    let check = HealthCheck::every(ms(100));
    let components = vec![registration("a").health_check(check)];
    let mut run = Run::with(components, defaults);
    run.up();
    run.stop();
    run.loses("a");
    assert_eq!(run.pass(900), "");
}

#[test]
fn a_start_does_not_wait_for_what_waits_for_one_that_was_lost() {
    let optional = |name| registration(name).criticality(Criticality::Optional);
    let mut run = of(vec![
        optional("a"),
        optional("b"),
        optional("c").depends_on(["a"]).wants(["b"]),
    ]);
    run.start();
    run.ok("start a");
    run.loses("a");
    assert_eq!(run.ok("start b"), "started");
}

#[test]
fn a_start_does_not_wait_for_an_essential_one_behind_one_that_has_settled_behind_what_is_stopped() {
    let mut run = of(vec![
        registration("a").criticality(Criticality::Optional),
        registration("b")
            .depends_on(["a"])
            .criticality(Criticality::Optional),
        registration("c").depends_on(["b"]),
    ]);
    run.start();
    run.fails("start a");
    run.operate_with(Operation::Stop, "a", true);
    assert_eq!(run.fails("start a"), "dispose a, done: stop, started");
}

#[test]
fn what_was_lost_in_a_drain_goes_down_in_order_with_everything_that_goes_down_as_the_drain_ends() {
    let mut run = of(vec![
        participant("a").criticality(Criticality::Optional),
        registration("b"),
    ]);
    run.up();
    run.drain();
    run.loses("a");
    run.stop();
    assert_eq!(run.vanishes("drain a"), "node drained, stop b, stop a");
}

#[test]
fn an_essential_addition_whose_dependency_is_lost_for_good_while_it_starts_stops_nothing() {
    let mut run = of(vec![
        registration("a")
            .restart(Restart::never())
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.add(registration("b").depends_on(["a"]));
    assert_eq!(run.loses("a"), "cancel start b");
    assert!(run.fails("start b").ends_with("forget"));
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
}

#[test]
fn a_start_waits_for_an_essential_one_that_was_lost_and_whose_restart_fails_at_first() {
    let mut run = of(vec![registration("a"), registration("b")]);
    run.start();
    run.ok("start a");
    run.loses("a");
    run.ok("stop a");
    run.fails("start a");
    assert_eq!(run.ok("start b"), "");
    assert_eq!(run.ok("start a"), "started");
}

#[test]
fn an_addition_behind_what_outlives_a_closed_gate_is_answered_when_it_runs() {
    let optional = |name| registration(name).criticality(Criticality::Optional);
    let mut run = of(vec![
        optional("a").gated_by(Gate::new("leader", ms(60_000))),
        optional("b").tolerates(["a"]),
    ]);
    run.open_gate("leader", None);
    run.up();
    run.close_gate("leader");
    run.ok("stop a");
    assert_eq!(run.add(optional("c").depends_on(["b"])), "start c");
    assert_eq!(run.ok("start c"), "done: add");
}

#[test]
fn a_further_drain_waits_for_a_latecomer_that_is_being_drained() {
    let mut run = of(vec![
        participant("a").criticality(Criticality::Optional),
        participant("b")
            .tolerates(["a"])
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.loses("b");
    run.drain();
    run.fails("drain a");
    run.ok("stop b");
    run.ok("start b");
    assert_eq!(run.drain(), "");
    assert_eq!(run.ok("drain b"), "drain a");
}

#[test]
fn a_start_waits_for_an_essential_one_that_fails_with_what_is_going_down_for_good() {
    let after = at_once().with_backoff(Backoff::Fixed(ms(1)));
    let mut run = of(vec![
        registration("a")
            .criticality(Criticality::Degradable)
            .restart(Restart::never()),
        registration("b")
            .depends_on(["a"])
            .restart(after)
            .criticality(Criticality::Degradable),
        registration("c").depends_on(["b"]),
    ]);
    run.start();
    run.ok("start a");
    run.fails("start b");
    assert_eq!(run.task_ends("a", Ok(())), "stop a");
    assert_eq!(run.ok("stop a"), "dispose a, start failed");
}

#[test]
fn an_addition_behind_what_goes_down_for_good_is_answered_when_an_operator_wants_that_after_all() {
    let optional = |name| registration(name).criticality(Criticality::Optional);
    let mut run = of(vec![
        optional("a").restart(Restart::never()),
        optional("b").depends_on(["a"]),
    ]);
    run.up();
    assert_eq!(run.task_ends("a", Ok(())), "stop b");
    let gated = optional("c")
        .depends_on(["b"])
        .gated_by(Gate::new("leader", ms(60_000)));
    assert_eq!(run.add(gated), "", "it is to fail with it");
    let said = run.operate(Operation::Start, "a");
    assert_eq!(said, "done: add", "it waits for its gate alone");
}

#[test]
fn an_addition_behind_what_goes_down_for_good_is_answered_when_an_operator_stops_that() {
    let optional = |name| registration(name).criticality(Criticality::Optional);
    let mut run = of(vec![
        optional("a").restart(Restart::never()),
        optional("b").depends_on(["a"]),
    ]);
    run.up();
    run.operate(Operation::Stop, "b");
    run.ok("stop b");
    assert_eq!(run.loses("a"), "stop a");
    let added = run.add(optional("c").depends_on(["b"]));
    assert_eq!(added, "", "it is to fail with it");
    let said = run.operate(Operation::Stop, "a");
    assert_eq!(said, "done: add", "it waits for operators alone");
}

#[test]
fn what_an_edge_stops_stays_down_though_something_else_had_sent_it_down_before() {
    let optional = |name| registration(name).criticality(Criticality::Optional);
    let mut run = of(vec![
        optional("a"),
        optional("b"),
        optional("c").dependencies([Dependency::hard("a"), Dependency::hard("b").stops()]),
    ]);
    run.up();
    assert_eq!(run.loses("a"), "stop c", "by which it would come back");
    run.loses("b");
    run.ok("stop c");
    run.ok("stop b");
    run.ok("start b");
    run.ok("stop a");
    assert_eq!(run.ok("start a"), "");
    assert_eq!(run.state("c"), State::Stopped);
}

#[test]
fn a_component_that_is_held_up_in_a_restart_has_a_turn_of_its_own_in_the_stop_that_this_leads_to() {
    let hangs = Retry::attempts(1).with_attempt_timeout(ms(10));
    let holding = registration("c").dependencies([Dependency::hard("b").held()]);
    let mut run = of(vec![
        registration("a"),
        registration("b").depends_on(["a"]),
        holding.stop_retry(hangs),
        registration("d").tolerates(["b"]),
    ]);
    run.up();
    assert_eq!(run.loses("b"), "stop c");
    run.pass(10);
    assert_eq!(run.vanishes("stop c"), "dispose c, stop d", "b is held up");
    assert_eq!(run.ok("stop d"), "dispose d, stop a");
}

#[test]
fn what_backs_off_before_a_restart_fails_as_soon_as_a_dependency_has_failed_for_good() {
    let later = at_once().with_backoff(Backoff::Fixed(ms(60_000)));
    let optional = |name| registration(name).criticality(Criticality::Optional);
    let mut run = of(vec![
        optional("a").restart(Restart::never()),
        optional("b").tolerates(["a"]).restart(later),
    ]);
    run.up();
    run.loses("b");
    run.ok("stop b");
    assert_eq!(run.state("b"), State::BackingOff);
    run.loses("a");
    run.ok("stop a");
    assert_eq!(run.state("b"), State::Faulted);
}

#[test]
fn what_goes_down_to_be_restarted_later_fails_at_once_with_a_dependency_that_has_failed_for_good() {
    let later = at_once().with_backoff(Backoff::Fixed(ms(60_000)));
    let optional = |name| registration(name).criticality(Criticality::Optional);
    let mut run = of(vec![
        optional("a").restart(Restart::never()),
        optional("b").tolerates(["a"]).restart(later),
    ]);
    run.up();
    run.loses("b");
    run.loses("a");
    run.ok("stop b");
    assert_eq!(run.state("b"), State::Faulted);
}

#[test]
fn what_has_completed_too_often_says_so_also_when_its_stop_failed_at_first() {
    let never = Restart::always().with_budget(0, ms(1_000));
    let mut run = of(vec![
        registration("a")
            .restart(never)
            .stop_retry(Retry::attempts(2))
            .criticality(Criticality::Optional),
    ]);
    run.up();
    run.task_ends("a", Ok(()));
    run.fails("stop a");
    run.pass(60_000);
    run.ok("stop a");
    let failure = run.row("a").failure.expect("it is faulted");
    assert_eq!(
        failure.message,
        "it has completed more often than its budget allows"
    );
}
