//! Rule 26: conditions outside under which alone a component runs.

use lifecycle_core::engine::{EventKind, Reason};
use lifecycle_core::{Criticality, Defaults, Gate, GraphFault, Plan, Registration, Retry};

use crate::rules_supervision::{optional, run_of, up};
use crate::support::{Run, State, ms, registration};

/// A component behind the gate `lease`, quick enough for a margin of a second.
fn gated(name: &str) -> Registration {
    quick(name).gated_by(Gate::new("lease", ms(1_000)))
}

fn quick(name: &str) -> Registration {
    registration(name)
        .stop_retry(Retry::none().with_attempt_timeout(ms(100)))
        .dispose_timeout(ms(50))
        .abort_grace(ms(20))
}

fn open(registrations: Vec<Registration>) -> Run {
    let mut run = run_of(registrations);
    run.open_gate("lease", None);
    run.up();
    run
}

#[test]
fn rule_26_what_is_behind_a_closed_gate_waits_and_counts_neither_in_the_start_nor_in_readiness() {
    let mut run = run_of(vec![
        registration("db"),
        gated("issuer").depends_on(["db"]),
        registration("uses")
            .depends_on(["issuer"])
            .stop_retry(Retry::none().with_attempt_timeout(ms(100)))
            .dispose_timeout(ms(50))
            .abort_grace(ms(20)),
    ]);
    run.start();
    assert_eq!(run.ok("start db"), "started");
    assert_eq!(run.row("issuer").reason, Reason::GateClosed);
    assert_eq!(
        run.state("uses"),
        State::Waiting,
        "hard dependents inherit it"
    );
    assert!(run.engine.is_ready());
    let report = run.started.clone().expect("answered").expect("it runs");
    assert!(report.degraded.is_empty());
}

#[test]
fn rule_26_who_only_wants_what_is_gated_starts_without_it() {
    let mut run = run_of(vec![gated("issuer"), registration("api").wants(["issuer"])]);
    assert_eq!(run.start(), "start api");
    assert_eq!(run.ok("start api"), "started");
}

#[test]
fn rule_26_an_opened_gate_starts_what_is_behind_it_and_then_it_counts() {
    let mut run = up(vec![gated("issuer"), registration("api")]);
    assert_eq!(run.open_gate("LEASE", None), "start issuer");
    assert!(!run.engine.is_ready());
    run.ok("start issuer");
    assert!(run.engine.is_ready());
}

#[test]
fn rule_26_a_gated_dependent_goes_down_before_what_goes_down_with_a_gated_dependency() {
    let mut run = open(vec![
        gated("lease-holder"),
        quick("worker").depends_on(["lease-holder"]),
        gated("observer").tolerates(["worker"]),
    ]);
    assert_eq!(run.close_gate("lease"), "stop observer");
    assert_eq!(run.ok("stop observer"), "dispose observer, stop worker");
}

#[test]
fn rule_26_a_closed_gate_takes_down_in_order_and_all_is_kept_for_the_next_opening() {
    let mut run = open(vec![gated("issuer"), quick("uses").depends_on(["issuer"])]);
    assert_eq!(run.close_gate("lease"), "stop uses");
    assert!(run.engine.is_ready(), "it does not count any more");
    run.ok("stop uses");
    run.ok("stop issuer");
    assert_eq!(run.state("issuer"), State::Waiting);
    assert_eq!(run.open_gate("lease", None), "start issuer");
    assert_eq!(run.ok("start issuer"), "start uses");
    assert_eq!(run.row("issuer").charges, 0);
}

#[test]
fn rule_26_a_gate_that_closes_during_a_start_cancels_it() {
    let mut run = run_of(vec![gated("issuer"), registration("api")]);
    run.start();
    run.ok("start api");
    run.open_gate("lease", None);
    assert_eq!(run.close_gate("lease"), "cancel start issuer");
    run.fails("start issuer");
    assert_eq!(run.state("issuer"), State::Waiting);
}

#[test]
fn rule_26_what_is_behind_a_gate_goes_down_its_margin_before_the_moment_until_which_it_is_open() {
    let mut run = open(vec![gated("issuer"), registration("api")]);
    run.open_gate("lease", Some(5_000));
    assert_eq!(run.pass(3_999), "");
    assert_eq!(run.pass(1), "stop issuer");
    run.ok("stop issuer");
    assert_eq!(run.pass(10_000), "");
    assert_eq!(run.state("issuer"), State::Waiting);
}

#[test]
fn rule_26_a_renewal_moves_the_moment() {
    let mut run = open(vec![gated("issuer"), registration("api")]);
    for _ in 0..10 {
        run.open_gate("lease", Some(5_000));
        assert_eq!(run.pass(3_000), "");
    }
    assert_eq!(run.pass(1_000), "stop issuer");
}

#[test]
fn rule_26_what_is_at_work_at_the_close_deadline_ends_the_process() {
    let mut run = open(vec![gated("issuer"), registration("api")]);
    run.lingers("issuer");
    run.open_gate("lease", Some(5_000));
    run.pass(4_000);
    // A stop that hangs, and tasks that cannot be ended: left behind, and still at work perhaps.
    run.pass(999);
    let said = run.pass(1);
    assert!(said.contains("halt for issuer"), "{said}");
    let broken = |it: &EventKind| matches!(it, EventKind::GateBroken { .. });
    assert_eq!(run.told(broken), 1);
}

#[test]
fn rule_26_what_is_down_in_time_ends_nothing() {
    let mut run = open(vec![gated("issuer"), registration("api")]);
    run.open_gate("lease", Some(5_000));
    run.pass(4_000);
    run.pass(100);
    run.vanishes("stop issuer");
    assert!(!run.pass(10_000).contains("halt"));
}

#[test]
fn rule_26_a_gate_whose_margin_is_too_short_is_refused_with_the_path() {
    let registrations = vec![
        registration("issuer").gated_by(Gate::new("lease", ms(1_000))),
        registration("uses").depends_on(["issuer"]),
    ];
    let error = Plan::compile(registrations, Defaults::default()).expect_err("too short");
    let [GraphFault::GateMargin { path, margin, .. }] = &error.faults[..] else {
        panic!("{error}");
    };
    let path: Vec<_> = path.iter().map(|it| it.as_str()).collect();
    assert_eq!(path, ["uses", "issuer"]);
    assert_eq!(*margin, ms(1_000));
    assert!(error.to_string().contains("raise the margin"), "{error}");
}

#[test]
fn rule_26_an_addition_that_would_break_a_gate_is_refused() {
    let run = open(vec![gated("issuer"), registration("api")]);
    let slow = registration("slow").depends_on(["issuer"]);
    let error = run.engine.plan().extended(slow).expect_err("too slow");
    assert!(error.to_string().contains("slow, then issuer"), "{error}");
}

#[test]
fn rule_26_an_operation_on_what_is_gated_does_not_wait_for_the_gate() {
    let mut run = up(vec![
        gated("issuer").criticality(Criticality::Optional),
        optional("api"),
    ]);
    let said = run.operate(lifecycle_core::engine::Operation::Restart, "issuer");
    assert_eq!(said, "done: restart");
    assert_eq!(run.state("issuer"), State::Waiting);
}
