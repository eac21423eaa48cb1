//! The statements of the contract that the core alone can show; numbered as there.

use std::sync::Arc;

use crate::support::{Run, State, fresh, ms, no_restarts, registration};
use lifecycle_core::engine::{
    ComponentState, EventKind, OrchestratorState, Reason, StartError, StopOutcome,
};
use lifecycle_core::{
    Backoff, ComponentName, Criticality, Defaults, Failure, FailureKind, GraphFault, Lifecycle,
    NameError, Plan, Registration, Retry, component,
};

fn degradable(name: &str) -> Registration {
    registration(name).criticality(Criticality::Degradable)
}

fn run_of(registrations: Vec<Registration>) -> Run {
    Run::with(registrations, no_restarts())
}

fn pair() -> Run {
    Run::of(&[("db", &[]), ("api", &["db"])])
}

fn up() -> Run {
    let mut run = pair();
    run.up();
    run
}

fn faults(registrations: Vec<Registration>) -> Vec<GraphFault> {
    let error = Plan::compile(registrations, no_restarts()).expect_err("at fault");
    error.faults
}

fn name(text: &str) -> ComponentName {
    ComponentName::new(text).expect("a legal name")
}

fn failure_of(run: &Run, name: &str) -> Option<Arc<Failure>> {
    let snapshot = run.engine.snapshot(run.now);
    snapshot.component(run.id(name)).failure.clone()
}

fn start_error(run: &Run) -> String {
    let answer = run.started.clone().expect("answered");
    answer.expect_err("the start failed").to_string()
}

#[test]
fn contract_01_a_blank_registration_is_rejected_with_a_typed_error() {
    let error = NameError::Blank;
    assert_eq!(
        faults(vec![registration("  ")]),
        [GraphFault::Name { position: 1, error }]
    );
}

#[test]
fn contract_02_dependencies_are_compared_without_regard_to_ascii_case() {
    let run = run_of(vec![
        registration("Db"),
        registration("api").depends_on(["dB"]),
    ]);
    assert_eq!(run.order(), "Db api");
    assert_eq!(run.engine.plan().find("DB"), run.engine.plan().find("db"));
}

#[test]
fn contract_03_dependencies_are_trimmed_blank_ones_ignored_and_equal_ones_collapsed() {
    let api = registration("api").depends_on([" db ", "", "  ", "DB", "db"]);
    let run = run_of(vec![registration("db"), api]);
    assert_eq!(run.engine.plan().dependencies(run.id("api")).len(), 1);
}

#[test]
fn contract_04_equal_names_are_rejected_before_anything_runs() {
    assert_eq!(
        faults(vec![registration("db"), registration("DB")]),
        [GraphFault::DuplicateName {
            position: 2,
            name: name("DB"),
            taken_by: name("db"),
        }]
    );
}

#[test]
fn contract_05_an_unregistered_dependency_is_rejected_naming_both_sides() {
    assert_eq!(
        faults(vec![registration("api").depends_on(["queue"])]),
        [GraphFault::UnknownDependency {
            component: name("api"),
            dependency: "queue".to_owned(),
            nearest: None,
        }]
    );
}

#[test]
fn contract_06_cycles_and_self_dependencies_are_rejected_before_anything_runs() {
    let found = faults(vec![
        registration("own").depends_on(["own"]),
        registration("a").depends_on(["b"]),
        registration("b").depends_on(["a"]),
    ]);
    let component = name("own");
    let path = vec![name("a"), name("b")];
    assert_eq!(
        found,
        [
            GraphFault::SelfDependency { component },
            GraphFault::Cycle { path }
        ]
    );
}

#[test]
fn contract_07_an_empty_orchestrator_starts_and_stops_successfully() {
    let mut run = Run::of(&[]);
    assert_eq!(run.start(), "started");
    assert_eq!(run.orchestrator(), OrchestratorState::Running);
    assert_eq!(run.stop(), "stopped");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn contract_11_no_start_is_called_before_all_dependencies_have_started() {
    let mut run = Run::of(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]);
    run.start();
    assert_eq!(run.ok("start b"), "");
    assert_eq!(run.ok("start a"), "start c");
}

#[test]
fn contract_12_independent_components_start_concurrently_without_layers() {
    let mut run = Run::of(&[
        ("slow", &[]),
        ("db", &[]),
        ("api", &["db"]),
        ("ui", &["api"]),
    ]);
    assert_eq!(run.start(), "start slow, start db");
    assert_eq!(run.ok("start db"), "start api");
    assert_eq!(run.ok("start api"), "start ui", "while slow still starts");
}

#[test]
fn contract_13_calls_that_may_go_together_are_issued_by_depth_and_registration() {
    let mut run = Run::of(&[("z", &[]), ("a", &[]), ("y", &["z"]), ("b", &["a", "z"])]);
    assert_eq!(run.start(), "start z, start a");
    run.ok("start a");
    assert_eq!(run.ok("start z"), "start y, start b");
}

#[test]
fn contract_14_a_start_is_retried_by_its_own_policy_or_else_by_the_default_one() {
    let defaults = Defaults {
        start: Retry::attempts(2),
        ..no_restarts()
    };
    let own = registration("own").start_retry(Retry::attempts(3));
    let mut run = Run::with(vec![own, registration("unset")], defaults);
    run.start();
    assert_eq!(run.fails("start own"), "start own");
    assert_eq!(run.fails("start own"), "start own");
    assert_eq!(run.fails("start unset"), "start unset");
    assert_eq!(run.fails("start unset"), "cancel start own, dispose unset");
}

#[test]
fn contract_15_attempts_never_exceed_the_maximum() {
    let mut run = run_of(vec![degradable("db").start_retry(Retry::attempts(3))]);
    run.start();
    assert_eq!(run.fails("start db"), "start db");
    assert_eq!(run.fails("start db"), "start db");
    assert_eq!(run.fails("start db"), "dispose db, started");
}

#[test]
fn contract_16_an_exponential_back_off_doubles_up_to_its_cap() {
    let retry = Retry::attempts(5).with_backoff(Backoff::Exponential {
        initial: ms(100),
        factor: 2.0,
        cap: ms(300),
    });
    let mut run = run_of(vec![registration("db").start_retry(retry)]);
    run.start();
    for delay in [100, 200, 300, 300] {
        run.fails("start db");
        assert_eq!(run.pass(delay - 1), "");
        assert_eq!(run.pass(1), "start db");
    }
}

#[test]
fn contract_17_a_policy_of_none_makes_one_attempt_against_retrying_defaults() {
    let defaults = Defaults {
        start: Retry::attempts(5),
        ..no_restarts()
    };
    let mut run = Run::with(vec![degradable("db").start_retry(Retry::none())], defaults);
    run.start();
    assert_eq!(run.fails("start db"), "dispose db, started");
}

#[test]
fn contract_18_a_success_after_retries_clears_the_last_error() {
    let mut run = run_of(vec![registration("db").start_retry(Retry::attempts(2))]);
    run.start();
    run.fails("start db");
    assert!(failure_of(&run, "db").is_some());
    run.ok("start db");
    assert_eq!(run.state("db"), State::Running);
    assert_eq!(failure_of(&run, "db"), None);
}

#[test]
fn contract_19_a_final_failure_cancels_every_start_in_flight_and_begins_no_other() {
    let mut run = Run::of(&[("bad", &[]), ("a", &[]), ("b", &[]), ("c", &["a"])]);
    run.start();
    assert_eq!(
        run.fails("start bad"),
        "cancel start b, cancel start a, dispose bad"
    );
    assert_eq!(run.ok("start a"), "stop a", "and not c");
}

#[test]
fn contract_20_the_failure_of_a_start_carries_component_and_cause() {
    let mut run = pair();
    run.start();
    run.fails_with("start db", Failure::error("no route to host"));
    assert_eq!(
        start_error(&run),
        "\"db\" failed to start: no route to host"
    );
}

#[test]
fn contract_21_whatever_had_started_is_stopped_once_dependents_first_before_the_failure_is_told() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"]), ("bad", &[])]);
    run.start();
    run.ok("start db");
    run.ok("start api");
    assert_eq!(run.fails("start bad"), "dispose bad, stop api");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert!(run.started.is_none());
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

#[test]
fn contract_22_a_rollback_uses_the_stop_policy_and_is_not_cut_short_by_the_caller() {
    let db = registration("db").stop_retry(Retry::attempts(2));
    let mut run = run_of(vec![db, registration("api").depends_on(["db"])]);
    run.start();
    run.ok("start db");
    run.fails("start api");
    assert_eq!(run.cancel_start(), "");
    assert_eq!(run.fails("stop db"), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
}

#[test]
fn contract_23_a_failing_rollback_goes_on_and_is_an_event_of_its_component() {
    let mut run = Run::of(&[("db", &[]), ("api", &["db"]), ("bad", &[])]);
    run.start();
    run.ok("start db");
    run.ok("start api");
    run.fails("start bad");
    assert_eq!(run.fails("stop api"), "stop db");
    let api = run.id("api");
    let told = run
        .events
        .iter()
        .any(|it| matches!(&it.kind, EventKind::AttemptFailed { key, .. } if key.component == api));
    assert!(told);
}

#[test]
fn contract_24_a_failed_start_tells_the_errors_of_its_rollback() {
    let mut run = pair();
    run.start();
    run.ok("start db");
    run.fails("start api");
    run.fails_with("stop db", Failure::error("stuck"));
    assert_eq!(
        start_error(&run),
        "\"api\" failed to start: no luck; rollback: \"db\" failed: stuck"
    );
}

#[test]
fn contract_25_after_a_failed_start_it_is_stopped_and_can_be_started_again() {
    let mut run = pair();
    run.start();
    run.ok("start db");
    run.fails("start api");
    run.ok("stop db");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    run.up();
}

#[test]
fn contract_26_and_27_a_start_in_any_other_state_is_a_failed_precondition() {
    let mut run = pair();
    run.start();
    let refused = |run: &mut Run, state| {
        assert_eq!(run.start(), "start failed");
        let error = run.started.clone().expect("answered").expect_err("refused");
        assert_eq!(*error, StartError::FailedPrecondition { state });
    };
    refused(&mut run, OrchestratorState::Starting);
    run.ok("start db");
    run.ok("start api");
    refused(&mut run, OrchestratorState::Running);
    run.stop();
    refused(&mut run, OrchestratorState::Stopping);
}

#[test]
fn contract_28_a_cancelled_start_stops_what_started_and_can_be_started_again() {
    let mut run = pair();
    run.start();
    run.ok("start db");
    run.cancel_start();
    run.fails("start api");
    assert_eq!(run.ok("stop db"), "dispose db, start failed");
    assert_eq!(start_error(&run), "the start was cancelled");
    run.up();
}

#[test]
fn contract_29_no_stop_is_called_before_those_of_all_dependents_have_ended() {
    let mut run = Run::of(&[("db", &[]), ("a", &["db"]), ("b", &["db"])]);
    run.up();
    assert_eq!(run.stop(), "stop b, stop a");
    assert_eq!(run.fails("stop a"), "");
    assert_eq!(run.ok("stop b"), "dispose b, stop db");
}

#[test]
fn contract_30_independent_components_stop_concurrently() {
    let mut run = Run::of(&[("x", &[]), ("on-x", &["x"]), ("y", &[]), ("on-y", &["y"])]);
    run.up();
    assert_eq!(run.stop(), "stop on-y, stop on-x");
    assert_eq!(run.ok("stop on-x"), "dispose on-x, stop x");
}

#[test]
fn contract_31_every_started_component_receives_a_stop_call_even_when_others_fail() {
    let mut run = Run::of(&[("db", &[]), ("cache", &["db"]), ("api", &["cache"])]);
    run.up();
    run.stop();
    assert_eq!(run.fails("stop api"), "stop cache");
    assert_eq!(
        run.fails_with("stop cache", Failure::panic("overflow")),
        "stop db"
    );
}

#[test]
fn contract_32_a_stop_is_retried_by_its_own_policy_or_else_by_the_default_one() {
    let defaults = Defaults {
        stop: Retry::attempts(2),
        ..no_restarts()
    };
    let own = registration("own").stop_retry(Retry::none());
    let mut run = Run::with(vec![own, registration("unset")], defaults);
    run.up();
    run.stop();
    assert_eq!(run.fails("stop own"), "");
    assert_eq!(run.fails("stop unset"), "stop unset");
    assert_eq!(run.ok("stop unset"), "dispose unset, stop failed");
}

#[test]
fn contract_33_one_failing_stop_is_told_as_itself_and_several_as_a_list() {
    let told = |run: &Run| {
        let report = Arc::new(run.report().clone());
        report.into_result().expect_err("unclean").to_string()
    };
    let mut run = up();
    run.stop();
    run.fails("stop api");
    run.ok("stop db");
    assert_eq!(told(&run), "stop: \"api\" failed: no luck");
    let mut run = up();
    run.stop();
    run.fails("stop api");
    run.fails("stop db");
    assert_eq!(
        told(&run),
        "2 components did not stop cleanly:\n  - \"db\" failed: no luck\n  - \"api\" failed: no luck"
    );
}

#[test]
fn contract_34_stopping_what_never_started_or_is_stopped_succeeds_and_calls_nothing() {
    let mut run = pair();
    assert_eq!(run.stop(), "stopped");
    run.up();
    run.stop();
    run.ok("stop api");
    run.ok("stop db");
    assert_eq!(run.stop(), "stopped");
}

#[test]
fn contract_35_after_a_failed_stop_it_stays_stopping_and_a_further_stop_retries() {
    let mut run = up();
    run.stop();
    run.ok("stop api");
    run.fails("stop db");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopping);
    assert_eq!(run.stop(), "stop db");
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn contract_36_a_cancelled_start_still_asks_everything_to_stop() {
    let mut run = Run::of(&[("db", &[]), ("cache", &[]), ("api", &["db", "cache"])]);
    run.start();
    run.ok("start db");
    run.ok("start cache");
    run.cancel_start();
    assert_eq!(run.fails("start api"), "dispose api, stop cache, stop db");
}

#[test]
fn contract_37_a_component_whose_stop_failed_is_faulted_with_its_last_error() {
    let mut run = up();
    run.stop();
    run.fails_with("stop api", Failure::error("stuck"));
    assert_eq!(run.state("api"), State::Faulted);
    assert_eq!(
        failure_of(&run, "api").map(|it| it.message.clone()),
        Some("stuck".to_owned())
    );
}

#[test]
fn contract_38_after_a_stop_everything_runs_again() {
    let mut run = up();
    run.stop();
    run.ok("stop api");
    run.ok("stop db");
    run.up();
    assert_eq!(run.engine.snapshot(run.now).run, 2);
}

#[test]
fn contract_39_and_b17_a_stop_during_a_start_cancels_it_and_answers_both() {
    let mut run = pair();
    run.start();
    run.ok("start db");
    assert_eq!(run.stop(), "cancel start api");
    assert_eq!(run.stop(), "");
    run.fails("start api");
    assert_eq!(
        run.ok("stop db"),
        "dispose db, start failed, stopped, stopped"
    );
}

#[test]
fn contract_40_a_second_stop_calls_nothing_twice() {
    let mut run = up();
    assert_eq!(run.stop(), "stop api");
    assert_eq!(run.stop(), "");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
    assert_eq!(run.stop(), "");
}

#[test]
fn contract_41_the_states_of_a_component_keep_name_and_order() {
    let names = ComponentState::ALL.map(ComponentState::as_str);
    let numbers = ComponentState::ALL.map(|it| it as u8);
    assert_eq!(
        names[..6],
        [
            "created", "starting", "running", "stopping", "stopped", "faulted"
        ]
    );
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7]);
}

#[test]
fn contract_b28_the_architecture_page_has_the_states_of_a_component_in_their_order() {
    let page = include_str!("../../../../docs/architecture.md");
    let names = ComponentState::ALL.map(ComponentState::as_str);
    let list = format!("names on the wire: `{}`.", names.join(", "));
    assert!(page.contains(&list), "not on the page: {list}");
    let (_, picture) = page
        .split_once("## The states of a component\n\n```\n")
        .expect("a picture");
    let (picture, _) = picture.split_once("```").expect("it ends");
    for name in names {
        assert!(picture.contains(name), "not in the picture: {name}");
    }
}

#[test]
fn contract_42_a_snapshot_has_every_component_by_name_with_state_error_and_time() {
    let mut run = run_of(vec![
        registration("Zoo"),
        registration("apple"),
        degradable("Bear"),
    ]);
    run.start();
    run.pass(250);
    run.fails("start Bear");
    let snapshot = run.engine.snapshot(run.now);
    let rows: Vec<String> = snapshot
        .plan
        .by_name()
        .iter()
        .map(|id| {
            let row = snapshot.component(*id);
            let error = row.failure.as_ref().map_or("", |it| it.message.as_str());
            format!("{} {} {error}", snapshot.name(*id), row.state.as_str())
        })
        .collect();
    assert_eq!(
        rows,
        ["apple starting ", "Bear faulted no luck", "Zoo starting "]
    );
    assert_eq!(snapshot.at, run.now);
}

#[test]
fn contract_43_the_states_of_the_orchestrator_keep_name_and_order() {
    let names = OrchestratorState::ALL.map(OrchestratorState::as_str);
    assert_eq!(
        names,
        ["created", "starting", "running", "stopping", "stopped"]
    );
}

#[test]
fn contract_44_every_turn_of_a_component_is_one_event_with_its_name_on_it() {
    let mut run = run_of(vec![registration("db").start_retry(Retry::attempts(2))]);
    run.start();
    run.fails("start db");
    run.ok("start db");
    run.stop();
    run.ok("stop db");
    let db = run.id("db");
    let turns: Vec<String> = run
        .events
        .iter()
        .filter(|it| it.subject().is_some_and(|it| it.component == db))
        .map(|it| match &it.kind {
            EventKind::Transition { key, to, .. } => format!("{} {}", to.as_str(), key.attempt),
            EventKind::AttemptFailed { .. } => "failed".to_owned(),
            EventKind::RetryScheduled { .. } => "retry".to_owned(),
            EventKind::Disposed { .. } => "disposed".to_owned(),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        turns.join(", "),
        "starting 1, failed, retry, backing-off 1, starting 2, running 2, stopping 1, disposed, stopped 2"
    );
}

struct Counter;

impl Lifecycle for Counter {
    async fn start(
        &self,
        _: &lifecycle_core::StartContext,
    ) -> Result<(), lifecycle_core::BoxError> {
        Ok(())
    }
    async fn stop(&self, _: &lifecycle_core::StopContext) -> Result<(), lifecycle_core::BoxError> {
        Ok(())
    }
}

#[test]
fn contract_b01_closures_loops_factories_and_values_are_registered_alike() {
    let mut run = run_of(vec![
        Registration::new("value", Counter),
        Registration::new("shared", Arc::new(Counter)),
        Registration::new(
            "closures",
            component::from_fn(async |_| Ok(()), async |_| Ok(())),
        ),
        Registration::new(
            "loop",
            component::service(async |cx: lifecycle_core::ServiceContext| {
                cx.ready();
                Ok::<(), lifecycle_core::BoxError>(())
            }),
        ),
        Registration::new("factory", component::factory(|| Counter)),
    ]);
    run.up();
    assert!(run.engine.is_ready());
}

#[test]
fn contract_b03_a_hung_component_ends_faulted_with_a_timeout_and_the_rest_goes_on() {
    let mut run = run_of(vec![degradable("hung"), registration("api")]);
    run.start();
    run.ok("start api");
    assert_eq!(run.pass(30_500), "cancel start hung, abort start hung");
    assert_eq!(run.vanishes("start hung"), "dispose hung, started");
    assert_eq!(run.state("hung"), State::Faulted);
    assert_eq!(
        failure_of(&run, "hung").map(|it| it.kind),
        Some(FailureKind::Timeout)
    );
}

#[test]
fn contract_b04_a_cancellation_at_any_point_leaves_nothing_at_work() {
    let mut run = pair();
    run.lingers("db");
    run.start();
    run.ok("start db");
    run.cancel_start();
    run.fails("start api");
    assert_eq!(run.ok("stop db"), "close db");
    assert!(run.started.is_none(), "a task of the db is still alive");
    assert_eq!(run.scope_ends("db"), "dispose db, start failed");
}

#[test]
fn contract_b05_everything_is_disposed_once_on_every_path() {
    let mut run = run_of(vec![
        registration("db"),
        degradable("failing").depends_on(["db"]),
        fresh("fresh")
            .criticality(Criticality::Degradable)
            .start_retry(Retry::attempts(2)),
    ]);
    run.start();
    run.ok("start db");
    assert_eq!(
        run.fails_with("start failing", Failure::panic("overflow")),
        "dispose failing"
    );
    assert_eq!(run.fails("start fresh"), "dispose fresh, start fresh");
    assert_eq!(run.fails("start fresh"), "dispose fresh, started");
    run.stop();
    assert_eq!(run.ok("stop db"), "dispose db, stopped");
}

#[test]
fn contract_b06_a_panic_is_a_failure_that_says_so() {
    let mut run = pair();
    run.start();
    run.fails_with("start db", Failure::panic("overflow"));
    assert_eq!(
        start_error(&run),
        "\"db\" failed to start: panicked: overflow"
    );
}

#[test]
fn contract_b12_all_errors_of_a_stop_are_in_its_result() {
    let mut run = Run::of(&[("a", &[]), ("b", &[]), ("c", &[])]);
    run.up();
    run.stop();
    for name in ["a", "b", "c"] {
        run.fails_with(
            &format!("stop {name}"),
            Failure::error(format!("{name} is stuck")),
        );
    }
    let told: Vec<String> = run
        .report()
        .troubles
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(
        told,
        [
            "\"a\" failed: a is stuck",
            "\"b\" failed: b is stuck",
            "\"c\" failed: c is stuck"
        ]
    );
}

#[test]
fn contract_b13_construction_returns_every_fault_and_never_panics() {
    let found = faults(vec![
        registration("a").depends_on(["b", "x", "y"]),
        registration("b").depends_on(["a"]),
        registration("B"),
    ]);
    assert_eq!(found.len(), 4, "{found:?}");
}

#[test]
fn contract_b14_the_order_is_visible_in_the_snapshot() {
    let run = Run::of(&[("api", &["db"]), ("db", &[]), ("ui", &["api"])]);
    let snapshot = run.engine.snapshot(run.now);
    let rows = snapshot.plan.order().iter();
    let rows: Vec<String> = rows
        .map(|id| format!("{} {}", snapshot.name(*id), snapshot.plan.depth(*id)))
        .collect();
    assert_eq!(rows, ["db 0", "api 1", "ui 2"]);
}

#[test]
fn contract_b15_a_component_waits_for_its_own_dependencies_alone_in_both_directions() {
    let mut run = Run::of(&[("slow", &[]), ("db", &[]), ("api", &["db"])]);
    run.start();
    assert_eq!(run.ok("start db"), "start api");
    run.ok("start api");
    run.ok("start slow");
    assert_eq!(run.stop(), "stop api, stop slow");
    assert_eq!(run.ok("stop api"), "dispose api, stop db");
}

#[test]
fn contract_b18_a_stop_is_bounded_with_a_thousand_hung_components() {
    let mut run = run_of(
        (0..1_000)
            .map(|it| registration(&format!("c{it}")))
            .collect(),
    );
    run.up();
    run.stop_within(1_000);
    run.pass(1_020);
    assert_eq!(run.report().troubles.len(), 1_000);
    let left = run.report().troubles.iter();
    assert!(
        left.into_iter()
            .all(|it| it.outcome == StopOutcome::Abandoned)
    );
}

#[test]
fn contract_b19_a_snapshot_is_that_of_one_moment_and_subscribers_see_every_change() {
    let mut run = up();
    let snapshot = run.engine.snapshot(run.now);
    run.stop();
    assert_eq!(snapshot.state, OrchestratorState::Running);
    assert_eq!(snapshot.component(run.id("api")).state, State::Running);
    let numbers: Vec<u64> = run.events.iter().map(|it| it.sequence).collect();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let last = run.events.last().map(|it| it.reason);
    assert_eq!(last, Some(Reason::StopRequested));
}
