//! Simulated time passes at once, and says what was pending when it is over.

use std::future;

use lifecycle_core::engine::{ComponentState, EventKind};
use lifecycle_testkit::{
    Act, Hook, Moment, Scripted, Simulation, advance, launch, simulate, until_event, until_state,
};
use tokio::time::Instant;

use crate::{panic_of, secs};

#[test]
fn an_hour_passes_at_once() {
    let began = std::time::Instant::now();
    simulate(async {
        let began = Instant::now();
        tokio::time::sleep(secs(3_000)).await;
        assert_eq!(began.elapsed(), secs(3_000));
    });
    assert!(began.elapsed() < secs(30));
}

#[test]
fn a_test_that_is_not_over_in_time_says_how_the_orchestrator_stands() {
    let text = panic_of(|| {
        Simulation::new().deadline(secs(10)).run(async {
            let db = Scripted::new("db").starts([Act::hang()]);
            let api = Scripted::new("api").registration().depends_on(["db"]);
            let handle = launch([db.registration(), api]);
            let _ = handle.start().await;
        });
    });
    for part in [
        "not over after 10s of virtual time",
        "the orchestrator is starting: 1 starting, 1 waiting,",
        "db 1.1 created -> starting (start-requested)",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_test_that_waits_for_nothing_is_ended_too() {
    let text = panic_of(|| simulate(future::pending::<()>()));
    assert!(text.contains("not over after 3600s"), "{text}");
}

#[test]
fn a_state_that_lasts_for_a_moment_only_is_not_missed() {
    simulate(async {
        let db = Scripted::new("db").starts([Act::succeed(), Act::succeed_after(secs(9))]);
        let handle = launch([db.registration()]);
        let starting = until_state(&handle, "db", ComponentState::Starting);
        let (_, started) = tokio::join!(starting, handle.start());
        started.unwrap();
        until_state(&handle, "db", ComponentState::Running).await;
    });
}

#[test]
fn a_state_that_never_comes_is_given_up_with_where_things_stand() {
    let text = panic_of(|| {
        simulate(async {
            let db = Scripted::new("db").starts([Act::fail()]);
            let handle = launch([db.registration()]);
            let _ = handle.start().await;
            until_state(&handle, "db", ComponentState::Running).await;
        });
    });
    for part in [
        "waited 300s for \"db\" to be running; the orchestrator is stopped",
        "\"db\" is faulted",
        "start of db failed",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn a_component_that_does_not_exist_is_not_waited_for() {
    let text = panic_of(|| {
        simulate(async {
            let handle = launch([Scripted::new("db").registration()]);
            until_state(&handle, "dv", ComponentState::Running).await;
        });
    });
    assert_eq!(text, "there is no component \"dv\"");
}

#[test]
fn an_event_is_waited_for() {
    simulate(async {
        let db = Scripted::new("db").starts([Act::fail(), Act::succeed()]);
        let handle = launch([db.attempts(2).registration()]);
        let failed = until_event(&handle, |event| {
            matches!(event.kind, EventKind::AttemptFailed { .. })
        });
        let (event, started) = tokio::join!(failed, handle.start());
        started.unwrap();
        assert_eq!(event.subject().unwrap().attempt, 1);
    });
}

#[test]
fn what_is_due_while_time_passes_happens_in_its_order() {
    simulate(async {
        let db =
            Scripted::new("db").starts([Act::fail_after(secs(1)), Act::succeed_after(secs(1))]);
        let record = db.record();
        let handle = launch([db.attempts(2).registration()]);
        let start = tokio::spawn(async move { handle.start().await });
        advance(secs(1)).await;
        assert_eq!(record.count(Hook::Start, Moment::Failed), 1);
        assert_eq!(record.count(Hook::Start, Moment::Succeeded), 0);
        advance(secs(1)).await;
        assert_eq!(record.count(Hook::Start, Moment::Succeeded), 1);
        start.await.unwrap().unwrap();
    });
}

#[test]
fn registrations_that_are_at_fault_are_named() {
    let text = panic_of(|| {
        simulate(async {
            let api = Scripted::new("api").registration().depends_on(["bd"]);
            let _ = launch([api]);
        });
    });
    assert!(text.contains("bd"), "{text}");
}
