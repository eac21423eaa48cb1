//! Faults that the properties, the model or a reading found, each as the smallest story that shows it.

use lifecycle_core::engine::Operation;
use lifecycle_core::{Backoff, Criticality, Defaults, Restart, Retry};

use crate::support::{Run, ms, registration};

/// Restarts at once, often enough for any story.
fn at_once() -> Restart {
    Restart::on_failure()
        .with_backoff(Backoff::Fixed(ms(0)))
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
