//! What becomes of calls that panic, vanish, or are made on fresh values.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::component::{self, factory};
use lifecycle_core::engine::{ComponentState, StartError, StopOutcome};
use lifecycle_core::{
    BoxError, FailureKind, Lifecycle, Registration, Retry, StartContext, StopContext,
};
use lifecycle_runtime::Handle;

use crate::kit::*;

async fn failure_of_start(handle: &Handle) -> (FailureKind, String) {
    match &*refusal(handle.start().await) {
        StartError::Failed { failure, .. } => (failure.kind, failure.message.clone()),
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn museum_19_a_panic_in_start_is_a_failure_that_names_it_and_is_disposed() {
    let journal = Journal::default();
    let handle = run([
        plain("fine", &journal),
        scripted(Scripted::new("a", &journal).starts([Act::Panic])),
    ]);
    let failure = failure_of_start(&handle).await;
    assert_eq!(failure, (FailureKind::Panic, "start panicked".to_owned()));
    assert_eq!(journal.count("stop a"), 0);
    assert_eq!(journal.count("disposed a"), 1);
    assert_eq!(journal.count("stopped fine"), 1);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn museum_19_a_panic_in_stop_is_a_failed_stop_and_the_others_are_stopped() {
    let journal = Journal::default();
    let handle = run([
        plain("pool", &journal),
        scripted(Scripted::new("a", &journal).stops([Act::Panic])).depends_on(["pool"]),
    ]);
    handle.start().await.unwrap();
    let error = handle.stop().await.unwrap_err();
    let trouble = &error.report().unwrap().troubles[0];
    assert_eq!(trouble.outcome, StopOutcome::Failed);
    assert_eq!(trouble.failure.as_ref().unwrap().kind, FailureKind::Panic);
    assert_eq!(journal.count("stopped pool"), 1);
    handle.force().await.unwrap_err();
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn museum_19_a_panic_in_dispose_is_reported_and_changes_nothing() {
    let journal = Journal::default();
    let handle = run([scripted(Scripted::new("a", &journal).disposes(Act::Panic))]);
    handle.start().await.unwrap();
    let report = handle.stop().await.unwrap();
    let failure = report.troubles[0].dispose_failure.as_ref().unwrap();
    assert_eq!(failure.kind, FailureKind::Panic);
    handle
        .start()
        .await
        .expect("the generation is over all the same");
}

#[tokio::test(start_paused = true)]
async fn museum_19_a_panic_in_a_factory_is_a_failed_start_without_anything_to_dispose() {
    let journal = Journal::default();
    let broken = factory({
        let journal = journal.clone();
        move || -> Scripted {
            journal.note("make");
            panic!("no socket left")
        }
    });
    let handle = run([Registration::new("a", broken).start_retry(Retry::attempts(2))]);
    let failure = failure_of_start(&handle).await;
    assert_eq!(failure, (FailureKind::Panic, "no socket left".to_owned()));
    assert_eq!(journal.take(), "make, make");
}

#[tokio::test(start_paused = true)]
async fn a_panic_with_a_payload_that_panics_when_dropped_is_survived() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("boom");
            }
        }
    }
    let bomb = component::from_fn(async |_| std::panic::panic_any(Bomb), async |_| Ok(()));
    let handle = run([Registration::new("a", bomb)]);
    let (kind, message) = failure_of_start(&handle).await;
    assert_eq!(kind, FailureKind::Panic);
    assert_eq!(message, "a panic without a text");
}

#[tokio::test(start_paused = true)]
async fn an_error_whose_text_panics_is_a_panic() {
    #[derive(Debug)]
    struct Mute;
    impl std::fmt::Display for Mute {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            panic!("nothing to say")
        }
    }
    impl std::error::Error for Mute {}
    let mute = component::from_fn(async |_| Err(Mute.into()), async |_| Ok(()));
    let handle = run([Registration::new("a", mute)]);
    let failure = failure_of_start(&handle).await;
    assert_eq!(failure, (FailureKind::Panic, "nothing to say".to_owned()));
}

/// A value of a factory; notes its making, its dispose and its drop.
struct Fresh {
    number: u64,
    journal: Journal,
}

impl Fresh {
    fn note(&self, what: &str) {
        self.journal.note(format!("{what} {}", self.number));
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.note("drop");
    }
}

impl Lifecycle for Fresh {
    async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> {
        self.note("start");
        if self.number == 0 {
            return Err("the first one is broken".into());
        }
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        self.note("stop");
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.note("dispose");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_factory_makes_a_value_an_attempt_and_the_failed_one_is_disposed_and_dropped_first() {
    let (journal, numbers) = (Journal::default(), Counter::default());
    let fresh = factory({
        let journal = journal.clone();
        move || Fresh {
            number: numbers.next(),
            journal: journal.clone(),
        }
    });
    let handle = run([Registration::new("a", fresh).start_retry(Retry::attempts(2))]);
    handle.start().await.unwrap();
    assert_eq!(journal.take(), "start 0, dispose 0, drop 0, start 1");
    handle.stop().await.unwrap();
    assert_eq!(journal.take(), "stop 1, dispose 1, drop 1");
}

/// Its stop is the end of its task.
struct Working(Journal);

impl Lifecycle for Working {
    const STOPS: bool = false;

    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let (stopped, journal) = (cx.run_token(), self.0.clone());
        cx.spawn("work", async move {
            stopped.cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            journal.note("work ended");
        });
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        self.0.note("asked to stop");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn what_stops_by_ending_its_tasks_is_not_asked_to_and_they_are_waited_for() {
    let journal = Journal::default();
    let working = Registration::new("a", Working(journal.clone()));
    let handle = run([plain("pool", &journal), working.depends_on(["pool"])]);
    handle.start().await.unwrap();
    journal.take();
    handle.stop().await.unwrap();
    let told = journal.take();
    assert!(told.starts_with("work ended, stop pool"), "{told}");
    assert!(!told.contains("asked to stop"), "{told}");
}

/// As [`Fresh`], with nothing to dispose.
struct Simple(Journal);

impl Drop for Simple {
    fn drop(&mut self) {
        let task = tokio::task::try_id().is_some();
        self.0.note(if task {
            "drop in a task"
        } else {
            "drop outside"
        });
    }
}

impl Lifecycle for Simple {
    const DISPOSES: bool = false;

    async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test]
async fn values_of_factories_are_dropped_in_a_task_even_without_a_dispose() {
    let journal = Journal::default();
    let simple = factory({
        let journal = journal.clone();
        move || Simple(journal.clone())
    });
    let orchestrator = {
        let mut builder = lifecycle_runtime::Orchestrator::builder();
        builder.register(Registration::new("a", simple));
        builder.build().unwrap()
    };
    let handle = orchestrator.handle();
    // Driven by the test itself, which is no task: a drop by the driver would show.
    let drive = orchestrator.run();
    let course = async {
        handle.start().await.unwrap();
        handle.stop().await.unwrap();
    };
    tokio::select! {
        () = drive => panic!("a handle is left"),
        () = course => {}
    }
    assert_eq!(journal.take(), "drop in a task");
}

#[test]
fn museum_20_a_call_whose_task_vanishes_is_a_failure() {
    let components = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let driver = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    driver.block_on(async {
        let journal = Journal::default();
        let handle = run_with(
            [scripted(Scripted::new("a", &journal).starts([Act::Hang]))],
            |it| {
                it.components_on(components.handle().clone());
            },
        );
        let starting = tokio::spawn({
            let handle = handle.clone();
            async move { failure_of_start(&handle).await.0 }
        });
        reach(&handle, "a", ComponentState::Starting).await;
        components.shutdown_background();
        assert_eq!(starting.await.unwrap(), FailureKind::Lost);
    });
}

#[tokio::test(start_paused = true)]
async fn a_component_that_keeps_its_own_context_is_dropped_all_the_same() {
    struct Hoarder(
        std::sync::Mutex<Option<StartContext>>,
        #[expect(dead_code, reason = "counts")] Life,
    );
    impl Lifecycle for Hoarder {
        async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
            *self.0.lock().unwrap() = Some(cx.clone());
            Ok(())
        }
        async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
            Ok(())
        }
    }
    let journal = Journal::default();
    let hoarder = factory({
        let journal = journal.clone();
        move || Hoarder(std::sync::Mutex::default(), journal.life())
    });
    let handle = run([Registration::new("a", hoarder)]);
    handle.start().await.unwrap();
    assert_eq!(journal.alive(), 1);
    handle.stop().await.unwrap();
    assert_eq!(journal.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_aborted_dispose_is_dropped_at_its_limit() {
    let journal = Journal::default();
    let stuck = Scripted::new("a", &journal).disposes(Act::Hang);
    let handle = run([scripted(stuck).dispose_timeout(ms(100))]);
    handle.start().await.unwrap();
    handle.stop().await.unwrap_err();
    assert_eq!(
        journal.take(),
        "start a, started a, stop a, stopped a, dropped dispose of a"
    );
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn a_shared_value_is_the_callers_to_keep() {
    let journal = Journal::default();
    let value = Arc::new(Scripted::new("a", &journal));
    let handle = run([Registration::new("a", Arc::clone(&value))]);
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    // The driver holds one; no call has left another behind.
    assert_eq!(Arc::strong_count(&value), 2);
}
