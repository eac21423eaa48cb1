//! What the snapshot says of components, and the names on the wire.

use std::collections::BTreeSet;

use lifecycle_core::engine::{Awaited, Health, OrchestratorState, Reason, Restarts};
use lifecycle_core::{Criticality, EdgeKind, Retry};

use crate::rules_supervision::{optional, run_of, up};
use crate::support::{Run, State, ms, registration};

fn awaited(run: &Run, name: &str) -> Vec<(String, Option<EdgeKind>, State)> {
    let snapshot = run.engine.snapshot(run.now);
    let named = |it: Awaited| (snapshot.name(it.component).to_string(), it.edge, it.state);
    let awaited = snapshot.awaited(run.id(name)).into_iter();
    awaited.map(named).collect()
}

#[test]
fn a_component_that_shall_start_waits_for_edges_that_are_not_met() {
    let mut run = run_of(vec![
        registration("db"),
        optional("cache"),
        registration("log"),
        optional("mail"),
        registration("api")
            .depends_on(["db", "log"])
            .wants(["cache", "mail"]),
    ]);
    run.start();
    run.ok("start log");
    run.fails("start mail");
    run.pass(10_000);
    assert_eq!(
        awaited(&run, "api"),
        [
            ("db".to_owned(), Some(EdgeKind::Hard), State::Starting),
            ("cache".to_owned(), Some(EdgeKind::Soft), State::Starting),
        ],
        "the log runs, and nobody waits longer for the mail"
    );
    assert_eq!(awaited(&run, "db"), [], "it is at work");
}

#[test]
fn a_component_that_shall_go_down_waits_for_dependents_that_are_up() {
    let mut run = up(vec![
        registration("db"),
        optional("jobs").wants(["db"]),
        optional("api").depends_on(["db"]),
    ]);
    run.lingers("api");
    run.stop();
    run.ok("stop jobs");
    assert_eq!(
        awaited(&run, "db"),
        [("api".to_owned(), None, State::Stopping)]
    );
    assert_eq!(awaited(&run, "api"), [], "it is at work");
    // The same while only a part goes down, and only for that part.
    let mut run = up(vec![
        registration("log"),
        optional("db").tolerates(["log"]),
        optional("api").depends_on(["db"]),
    ]);
    run.loses("api");
    assert_eq!(awaited(&run, "db"), [], "it stays");
    run.operate(lifecycle_core::engine::Operation::Restart, "db");
    assert_eq!(
        awaited(&run, "db"),
        [("api".to_owned(), None, State::Stopping)]
    );
    assert_eq!(awaited(&run, "log"), []);
}

#[test]
fn the_snapshot_says_whether_the_host_is_ready_and_by_whom_it_is_not() {
    let mut run = up(vec![
        registration("db"),
        registration("api"),
        optional("jobs"),
    ]);
    let unready = |run: &Run| {
        let snapshot = run.engine.snapshot(run.now);
        let names = snapshot.unready().map(|it| snapshot.name(it).to_string());
        let names: Vec<_> = names.collect();
        assert_eq!(snapshot.is_ready(), names.is_empty());
        names
    };
    assert_eq!(unready(&run), [""; 0]);
    run.loses("api");
    run.loses("jobs");
    assert_eq!(unready(&run), ["api"]);
}

#[test]
fn a_new_run_keeps_the_numbers_and_forgets_the_rest() {
    let mut run = up(vec![
        optional("db").start_retry(Retry::attempts(3)),
        optional("api").criticality(Criticality::Optional),
    ]);
    run.loses("api");
    run.ok("stop api");
    run.pass(100);
    run.ok("start api");
    run.pass(1_000);
    run.stop();
    run.ok("stop api");
    run.ok("stop db");
    let before = run.row("api");
    assert_eq!(run.orchestrator(), OrchestratorState::Stopped);
    run.pass(1_000);
    run.start();
    let after = run.row("api");
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(after.restarts, before.restarts);
    assert_eq!(after.restarts.lost, 1);
    assert_eq!((after.charges, after.waited), (0, ms(0)));
    assert_eq!(after.worked, ms(0), "in this run");
    let entered = run.events.iter().rev().find_map(|event| match &event.kind {
        lifecycle_core::engine::EventKind::Transition {
            key, from, lasted, ..
        } if key.component == run.id("api") => Some((*from, *lasted)),
        _ => None,
    });
    assert_eq!(entered, Some((State::Stopped, ms(1_000))));
}

#[test]
fn restarts_are_counted_by_reasons_that_have_names() {
    let restarts = Restarts {
        lost: 1,
        completed: 2,
        unhealthy: 3,
        dependency: 4,
        operator: 5,
    };
    assert_eq!(
        restarts.by_reason(),
        [
            ("lost", 1),
            ("completed", 2),
            ("unhealthy", 3),
            ("dependency", 4),
            ("operator", 5),
        ]
    );
}

#[test]
fn names_on_the_wire_differ_and_are_in_kebab_case() {
    let healths = [Health::Healthy, Health::Degraded, Health::Unhealthy];
    let reasons = [
        Reason::Initial,
        Reason::StartRequested,
        Reason::DependenciesPending,
        Reason::DependenciesReady,
        Reason::Succeeded,
        Reason::Failed,
        Reason::TimedOut,
        Reason::RetryDue,
        Reason::AttemptsExhausted,
        Reason::DependencyFailed,
        Reason::Quarantined,
        Reason::StopRequested,
        Reason::ForceRequested,
        Reason::StartCancelled,
        Reason::Rollback,
        Reason::EssentialLost,
        Reason::DependentsDown,
        Reason::DeadlinePassed,
        Reason::Held,
        Reason::Lost,
        Reason::Completed,
        Reason::Settled,
        Reason::RestartDue,
        Reason::DependencyLost,
        Reason::BudgetExhausted,
        Reason::Unhealthy,
        Reason::OperatorStart,
        Reason::OperatorStop,
        Reason::OperatorRestart,
        Reason::Added,
        Reason::Removed,
        Reason::GateClosed,
        Reason::GateOpened,
    ];
    let kebab = |debug: String| {
        let mut name = String::new();
        for letter in debug.chars() {
            if letter.is_ascii_uppercase() && !name.is_empty() {
                name.push('-');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    };
    for health in healths {
        assert_eq!(health.as_str(), kebab(format!("{health:?}")));
    }
    for reason in reasons {
        assert_eq!(reason.as_str(), kebab(format!("{reason:?}")));
    }
    let names: BTreeSet<_> = reasons.iter().map(|it| it.as_str()).collect();
    assert_eq!(names.len(), reasons.len());
}
