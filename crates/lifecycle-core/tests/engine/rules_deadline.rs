//! Rule 18 at the deadline of the whole stop: what is aborted, what is closed out of turn, and what is left behind. And rule 16
//! where a force comes upon what was held.

use lifecycle_core::engine::{Operation, OrchestratorState, StopMode};
use lifecycle_core::{Backoff, Criticality, Dependency, Jitter, Registration, Retry};

use crate::support::{Run, State, ms, no_restarts, participant, registration};

/// Declares next to nothing, so that whoever stops before it may take nearly all of the time.
fn quick(registration: Registration) -> Registration {
    registration
        .stop_retry(Retry::none().with_attempt_timeout(ms(1)))
        .dispose_timeout(ms(1))
}

fn up(registrations: Vec<Registration>) -> Run {
    let mut run = Run::with(registrations, no_restarts());
    run.up();
    run
}

#[test]
fn rule_18_after_the_deadline_what_is_left_is_closed_out_of_turn_and_then_left_behind() {
    let mut run = up(vec![
        quick(registration("pool")),
        quick(registration("db").depends_on(["pool"])),
        registration("api").depends_on(["db"]),
    ]);
    run.disposes_slowly("api");
    run.disposes_slowly("db");
    assert_eq!(run.stop_within(1_000), "stop api");
    assert_eq!(run.pass(999), "");
    assert_eq!(run.pass(1), "abort stop api");
    assert_eq!(
        run.vanishes("stop api"),
        "dispose api",
        "it has until the next step"
    );
    assert_eq!(run.pass(7), "");
    assert_eq!(
        run.pass(1),
        "dispose db, dispose pool",
        "their turn has not come"
    );
    assert_eq!(run.pass(7), "");
    assert_eq!(
        run.pass(1),
        "abort dispose api, abandon api, abort dispose db, abandon db, stop failed"
    );
}

#[test]
fn rule_18_after_the_deadline_nothing_is_done_to_what_is_down_already() {
    let mut run = up(vec![
        quick(registration("pool")),
        quick(
            registration("db")
                .tolerates(["pool"])
                .criticality(Criticality::Optional),
        ),
        registration("api").tolerates(["db"]),
    ]);
    run.operate(Operation::Stop, "db");
    run.ok("stop db");
    run.disposes_slowly("api");
    run.stop_within(1_000);
    run.pass(1_000);
    assert_eq!(run.vanishes("stop api"), "dispose api");
    assert_eq!(run.pass(8), "dispose pool");
    assert_eq!(run.pass(8), "abort dispose api, abandon api, stop failed");
}

#[test]
fn rule_18_a_drain_of_what_has_not_its_turn_ends_with_the_deadline() {
    let mut run = up(vec![
        quick(participant("db").drain_timeout(ms(60_000))),
        registration("api").depends_on(["db"]),
    ]);
    assert_eq!(run.drain(), "drain db");
    let deadline = run.now + ms(1_000);
    let said = run.stop_by(StopMode::Now, Some(deadline));
    assert!(said.ends_with("stop api"), "{said}");
    assert_eq!(run.pass(1_000), "abort stop api, abort drain db");
    assert_eq!(
        run.pass(8),
        "abandon api, dispose api, abandon db, dispose db, stop failed"
    );
}

#[test]
fn rule_16_what_was_held_is_stopped_in_order_when_the_stop_under_way_is_forced() {
    let holding = |name: &str| Dependency::hard(name).held();
    let mut run = Run::with(
        vec![
            registration("db"),
            registration("cache").dependencies([holding("db")]),
            registration("api").dependencies([holding("cache")]),
            registration("slow").abort_grace(ms(600_000)),
        ],
        no_restarts(),
    );
    run.start();
    run.ok("start db");
    run.ok("start cache");
    run.stop();
    run.pass(10_000);
    assert_eq!(run.state("api"), State::Faulted, "it blocks a thread");
    assert_eq!(run.force(), "stop cache, cancel stop cache");
    assert_eq!(
        run.ok("stop cache"),
        "dispose cache, stop db, cancel stop db"
    );
    run.ok("stop db");
    run.fails("start slow");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
}

#[test]
fn rule_18_no_stop_is_tried_again_after_a_deadline_that_the_clock_was_late_for() {
    let retry = Retry::attempts(2)
        .with_backoff(Backoff::Fixed(ms(6)))
        .with_jitter(Jitter::None);
    let mut run = up(vec![registration("db").stop_retry(retry)]);
    run.stop_within(100);
    run.fails("stop db");
    assert_eq!(run.state("db"), State::BackingOff);
    assert_eq!(run.oversleep(200), "dispose db, stop failed");
}
