//! What is left is found.

use std::future;

use lifecycle_testkit::{LeakGuard, Scripted, assert_no_leaks, launch, simulate};

use crate::{ms, panic_of};

#[test]
fn a_task_that_goes_on_is_a_leak() {
    let text = panic_of(|| {
        simulate(assert_no_leaks(async {
            tokio::spawn(future::pending::<()>());
        }));
    });
    assert!(text.contains("1 tasks of the runtime are alive"), "{text}");
}

#[test]
fn a_task_that_ends_within_the_grace_is_none() {
    simulate(assert_no_leaks(async {
        tokio::spawn(tokio::time::sleep(ms(900)));
    }));
}

#[test]
fn what_was_alive_before_is_none() {
    simulate(async {
        tokio::spawn(future::pending::<()>());
        assert_no_leaks(async {}).await;
    });
}

#[test]
fn an_orchestrator_that_was_stopped_and_let_go_leaves_nothing() {
    simulate(async {
        let db = Scripted::new("db");
        let guard = LeakGuard::new().with(&db.record());
        let handle = launch([db.registration()]);
        handle.start().await.unwrap();
        handle.stop().await.unwrap();
        drop(handle);
        guard.assert_no_leaks().await;
    });
}

#[test]
fn what_is_acquired_and_not_disposed_is_a_leak() {
    simulate(async {
        let db = Scripted::new("db");
        let guard = LeakGuard::new().with(&db.record()).within(ms(10));
        let handle = launch([db.registration()]);
        handle.start().await.unwrap();
        let leaks = guard.check().await.unwrap_err();
        assert_eq!(leaks.tasks, 1, "the driver");
        assert!(leaks.records[0].contains("\"db\": 1 acquired and not disposed"));
    });
}
