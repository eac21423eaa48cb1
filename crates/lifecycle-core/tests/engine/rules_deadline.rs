//! Rule 18 at the deadline of the whole stop: what is aborted, what is closed out of turn, and what is left behind.

use lifecycle_core::engine::{Operation, StopMode};
use lifecycle_core::{Criticality, Registration, Retry};

use crate::support::{Run, ms, no_restarts, participant, registration};

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
