//! Scripted components do what they are told, and write it down.

use lifecycle_core::engine::{ComponentState, StartError, StopOutcome};
use lifecycle_core::{FailureKind, Registration, Retry};
use lifecycle_testkit::{
    Act, Hook, Moment, Scripted, TaskAct, launch, simulate, story, until_state,
};

use crate::{ms, secs};

fn start_failure(error: &lifecycle_runtime::StartError) -> (FailureKind, String) {
    match error {
        lifecycle_runtime::StartError::Failed(failed) => match &**failed {
            StartError::Failed { failure, .. } => (failure.kind, failure.message.clone()),
            other => panic!("{other}"),
        },
        other => panic!("{other}"),
    }
}

#[test]
fn each_call_takes_one_act_and_the_last_is_repeated() {
    simulate(async {
        let db = Scripted::new("db").starts(Act::fail().times(2).chain([Act::succeed()]));
        let record = db.record();
        let handle = launch([db.registration().start_retry(Retry::attempts(3))]);
        for run in 1..=2 {
            handle.start().await.unwrap();
            handle.stop().await.unwrap();
            assert_eq!(record.count(Hook::Start, Moment::Succeeded), run);
        }
        assert_eq!(record.count(Hook::Start, Moment::Failed), 2);
        let starts: Vec<_> = record
            .notes()
            .iter()
            .filter(|it| it.hook == Hook::Start && it.moment == Moment::Began)
            .map(|it| (it.generation, it.attempt))
            .collect();
        assert_eq!(starts, [(1, 1), (1, 2), (1, 3), (2, 1)]);
        record.assert_no_leak();
    });
}

#[test]
fn a_record_tells_when_a_call_began_and_ended() {
    simulate(async {
        let db = Scripted::new("db").starts([Act::succeed_after(secs(3))]);
        let record = db.record();
        let handle = launch([db.registration()]);
        handle.start().await.unwrap();
        let notes = record.notes();
        assert_eq!(notes[1].at - notes[0].at, secs(3));
        assert_eq!((record.acquired(), record.disposed()), (1, 0));
        handle.stop().await.unwrap();
        assert_eq!((record.acquired(), record.disposed()), (1, 1));
    });
}

#[test]
fn errors_and_panics_name_the_call() {
    simulate(async {
        for (act, kind, message) in [
            (Act::fail(), FailureKind::Error, "start of db failed"),
            (
                Act::fail_permanently(),
                FailureKind::Error,
                "start of db failed for good",
            ),
            (Act::panic(), FailureKind::Panic, "start of db panicked"),
        ] {
            let db = Scripted::new("db").starts([act]);
            let record = db.record();
            let handle = launch([db.registration().start_retry(Retry::attempts(1))]);
            let error = handle.start().await.unwrap_err();
            assert_eq!(start_failure(&error), (kind, message.to_owned()));
            record.assert_no_leak();
        }
    });
}

#[test]
fn one_that_hangs_is_cancelled_if_it_obeys_and_dropped_if_it_does_not() {
    simulate(async {
        for (act, told) in [
            (Act::hang_until_cancelled(), Moment::Failed),
            (Act::hang(), Moment::Dropped),
            (Act::succeed_when_cancelled(), Moment::Succeeded),
        ] {
            let db = Scripted::new("db").starts([act]);
            let record = db.record();
            let retry = Retry::none().with_attempt_timeout(ms(100));
            let handle = launch([db.registration().start_retry(retry)]);
            handle.start().await.unwrap_err();
            assert_eq!(record.count(Hook::Start, told), 1);
            record.assert_no_leak();
        }
    });
}

#[test]
fn a_component_that_flaps_is_lost_after_each_run() {
    simulate(async {
        let db = Scripted::new("db").starts([Act::flap(secs(5))]);
        let record = db.record();
        let handle = launch([db.registration().restart(lifecycle_core::Restart::never())]);
        for _ in 0..2 {
            handle.start().await.unwrap();
            assert_eq!(record.live_tasks(), 1);
            let report = handle.wait().await.unwrap();
            assert_eq!(report.cause.as_ref().unwrap().as_str(), "db");
        }
        record.assert_no_leak();
    });
}

#[test]
fn a_task_is_lost_by_an_error_a_panic_or_an_abort() {
    simulate(async {
        for (task, kind) in [
            (TaskAct::FailAfter(secs(1)), FailureKind::Error),
            (TaskAct::PanicAfter(secs(1)), FailureKind::Panic),
            (TaskAct::AbortedAfter(secs(1)), FailureKind::Error),
        ] {
            let db = Scripted::new("db").starts([Act::succeed().leaving(task)]);
            let handle = launch([db.registration().restart(lifecycle_core::Restart::never())]);
            handle.start().await.unwrap();
            let report = handle.wait().await.unwrap();
            assert_eq!(report.failure.as_ref().unwrap().kind, kind);
        }
    });
}

#[test]
fn tasks_that_linger_are_joined_and_tasks_that_ignore_the_token_are_aborted() {
    simulate(async {
        for (task, is_clean) in [
            (TaskAct::UntilStopped, true),
            (TaskAct::Linger(secs(1)), true),
            (TaskAct::Ignore, false),
        ] {
            let db = Scripted::new("db").starts([Act::succeed().leaving(task)]);
            let record = db.record();
            let handle = launch([db.registration()]);
            handle.start().await.unwrap();
            assert_eq!(handle.stop().await.is_ok(), is_clean, "{task:?}");
            record.assert_no_leak();
        }
    });
}

#[test]
fn with_fresh_values_each_attempt_acquires_and_the_script_goes_on() {
    simulate(async {
        let db = Scripted::new("db")
            .fresh()
            .starts([Act::panic(), Act::fail(), Act::succeed()])
            .attempts(3);
        let record = db.record();
        let handle = launch([db.registration()]);
        handle.start().await.unwrap();
        assert_eq!((record.acquired(), record.disposed()), (3, 2));
        handle.stop().await.unwrap();
        record.assert_no_leak();
    });
}

#[test]
fn only_a_script_for_drains_makes_it_take_part_in_them() {
    assert!(!Scripted::new("db").component().drains());
    assert!(Scripted::new("db").drains([]).component().drains());
    assert!(Scripted::new("db").fresh().resumes([]).component().drains());
}

#[test]
fn the_story_of_several_records_is_in_order() {
    simulate(async {
        let (db, api) = (Scripted::new("db"), Scripted::new("api"));
        let records = [db.record(), api.record()];
        let handle = launch([api.registration().depends_on(["db"]), db.registration()]);
        handle.start().await.unwrap();
        assert_eq!(
            story(&records),
            "start db, started db, start api, started api"
        );
    });
}

#[test]
fn what_is_held_or_alive_is_named() {
    simulate(async {
        let db = Scripted::new("db").starts([Act::succeed().leaving(TaskAct::UntilStopped)]);
        let record = db.record();
        let handle = launch([db.registration()]);
        handle.start().await.unwrap();
        let text = crate::panic_of(|| record.assert_no_leak());
        assert_eq!(
            text,
            "\"db\": 1 acquired and not disposed, 0 calls in flight, 1 tasks alive"
        );
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn one_that_blocks_its_thread_is_left_behind_until_it_is_released() {
    let db = Scripted::new("db").stops([Act::block()]);
    let record = db.record();
    let registration = db
        .registration()
        .stop_retry(Retry::none().with_attempt_timeout(ms(50)));
    let handle = launch([registration.abort_grace(ms(20))]);
    handle.start().await.unwrap();
    let error = handle.stop().await.unwrap_err();
    let trouble = &error.report().unwrap().troubles[0];
    assert_eq!(trouble.outcome, StopOutcome::Abandoned);
    assert_eq!(record.live_calls(), 1);
    record.release();
    until(|| record.live_calls() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn nobody_blocks_once_the_last_record_is_gone() {
    let registration = {
        let db = Scripted::new("db").starts([Act::block()]);
        db.registration()
    };
    let handle = launch([registration]);
    handle.start().await.unwrap();
    until_state(&handle, "db", ComponentState::Running).await;
    handle.stop().await.unwrap();
}

#[test]
fn a_scripted_component_can_be_registered_under_another_name() {
    simulate(async {
        let db = Scripted::new("db");
        let record = db.record();
        let handle = launch([Registration::new("primary", db)]);
        handle.start().await.unwrap();
        assert_eq!(record.calls(Hook::Start), 1);
    });
}

async fn until(condition: impl Fn() -> bool) {
    for _ in 0..5_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(ms(1)).await;
    }
    panic!("it does not come about");
}
