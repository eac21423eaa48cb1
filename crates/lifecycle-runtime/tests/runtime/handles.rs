//! What holders of handles may rely on.

use std::future;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use lifecycle_core::component::{from_fn, service};
use lifecycle_core::engine::{ComponentState, EventKind, OrchestratorState, Reason, StartError};
use lifecycle_core::{
    BoxError, Lifecycle, Registration, ServiceContext, StartContext, StopContext,
};
use lifecycle_runtime::{DriverGone, Handle, Notice, Orchestrator, WaitReadyError};
use tokio_util::sync::CancellationToken;

use crate::kit::*;

/// Polls `future` once and drops it.
async fn glance<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    future::poll_fn(|cx| {
        let _ = future.as_mut().poll(cx);
        Poll::Ready(())
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn semantics_20_dropping_the_future_of_a_start_or_stop_cancels_nothing() {
    let journal = Journal::default();
    let slow = Scripted::new("a", &journal)
        .starts([Act::Take(ms(100))])
        .stops([Act::Take(ms(100))]);
    let handle = run([scripted(slow)]);
    glance(handle.start()).await;
    handle.wait_ready().await.unwrap();
    glance(handle.stop()).await;
    handle.wait().await.unwrap();
    assert_eq!(
        journal.take(),
        "start a, started a, stop a, stopped a, disposed a"
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_is_cancelled_by_its_token_and_by_nothing_after_it_has_settled() {
    let journal = Journal::default();
    let heeding = Scripted::new("a", &journal).starts([Act::Heed, Act::Succeed]);
    let handle = run([
        plain("pool", &journal),
        scripted(heeding).depends_on(["pool"]),
    ]);
    let token = CancellationToken::new();
    let starting = tokio::spawn({
        let (handle, token) = (handle.clone(), token.clone());
        async move { handle.start_with(token).await }
    });
    reach(&handle, "a", ComponentState::Starting).await;
    token.cancel();
    let error = refusal(starting.await.unwrap());
    assert!(matches!(&*error, StartError::Cancelled { stop, .. } if stop.is_clean()));
    assert_eq!(journal.count("stopped pool"), 1);

    let token = CancellationToken::new();
    handle.start_with(token.clone()).await.unwrap();
    token.cancel();
    tokio::time::sleep(ms(10)).await;
    assert_eq!(status(&handle).state, OrchestratorState::Running);
}

#[tokio::test(start_paused = true)]
async fn a_start_with_a_token_that_is_cancelled_already_leaves_nothing_up() {
    let journal = Journal::default();
    let handle = run([plain("a", &journal)]);
    let token = CancellationToken::new();
    token.cancel();
    let error = refusal(handle.start_with(token).await);
    assert!(matches!(&*error, StartError::Cancelled { .. }));
    assert_eq!(status(&handle).state, OrchestratorState::Stopped);
    journal.assert_no_leak();
}

#[tokio::test(start_paused = true)]
async fn a_handle_works_before_the_orchestrator_is_built_and_waits_until_it_is_driven() {
    let journal = Journal::default();
    let mut builder = Orchestrator::builder();
    let handle = builder.handle();
    assert!(handle.plan().is_none());
    let starting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.start().await }
    });
    tokio::task::yield_now().await;
    builder.register(plain("a", &journal));
    builder.build().unwrap().spawn();
    starting.await.unwrap().unwrap();
    assert_eq!(handle.plan().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_request_to_an_orchestrator_that_is_gone_says_so() {
    let handle = Orchestrator::builder().handle();
    assert_eq!(
        handle.start().await.unwrap_err().to_string(),
        DriverGone.to_string()
    );
    assert_eq!(
        handle.stop().await.unwrap_err().to_string(),
        DriverGone.to_string()
    );
    assert_eq!(handle.snapshot().await.unwrap_err(), DriverGone);
    assert_eq!(handle.wait().await.unwrap_err(), DriverGone);
    assert_eq!(
        handle.wait_ready().await.unwrap_err(),
        WaitReadyError::DriverGone(DriverGone)
    );
    assert_eq!(handle.status().changed().await.unwrap_err(), DriverGone);
}

#[tokio::test(start_paused = true)]
async fn museum_07_whoever_waits_for_readiness_is_released_by_a_failed_start() {
    let journal = Journal::default();
    let handle = run([scripted(Scripted::new("a", &journal).starts([Act::Fail]))]);
    let (waited, started) = tokio::join!(handle.wait_ready(), handle.start());
    started.unwrap_err();
    let WaitReadyError::Stopped(report) = waited.unwrap_err() else {
        panic!("the driver is there");
    };
    assert_eq!(report.reason, Reason::Rollback);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_the_end_learns_who_asked_for_it() {
    let journal = Journal::default();
    let handle = run([plain("a", &journal)]);
    let waiting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.wait().await }
    });
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    assert_eq!(
        waiting.await.unwrap().unwrap().reason,
        Reason::StopRequested
    );
    // And at once when all is down already.
    assert_eq!(handle.wait().await.unwrap().run, 1);
}

#[tokio::test(start_paused = true)]
async fn the_status_counts_components_and_agrees_with_every_answer() {
    let journal = Journal::default();
    let handle = run([plain("a", &journal), plain("b", &journal).depends_on(["a"])]);
    assert_eq!(status(&handle).count(ComponentState::Created), 2);
    handle.start().await.unwrap();
    let running = status(&handle);
    assert_eq!(running.count(ComponentState::Running), 2);
    assert!(running.ready && running.started_once);
    assert_eq!(handle.snapshot().await.unwrap().sequence, running.sequence);
    handle.stop().await.unwrap();
    let stopped = status(&handle);
    assert_eq!(stopped.count(ComponentState::Stopped), 2);
    assert!(!stopped.ready && stopped.started_once && stopped.is_down());
    assert_eq!(stopped.last_stop.unwrap().stopped, 2);
}

#[tokio::test(start_paused = true)]
async fn museum_21_a_slow_subscriber_is_told_what_it_missed_and_holds_up_nobody() {
    let journal = Journal::default();
    let handle = run_with([plain("a", &journal), plain("b", &journal)], |it| {
        it.event_capacity(4);
    });
    let mut slow = handle.subscribe();
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    let total = status(&handle).sequence;
    assert_eq!(slow.next().await, Some(Notice::Missed(total - 4)));
    for expected in total - 3..=total {
        let Some(Notice::Event(event)) = slow.next().await else {
            panic!("no event");
        };
        assert_eq!(event.sequence, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn subscribers_see_every_event_in_order_and_an_end() {
    let journal = Journal::default();
    let handle = run([plain("a", &journal)]);
    let mut events = handle.subscribe();
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    let total = status(&handle).sequence;
    drop(handle);
    let mut seen = Vec::new();
    while let Some(Notice::Event(event)) = events.next().await {
        seen.push(event);
    }
    let numbers: Vec<u64> = seen.iter().map(|it| it.sequence).collect();
    assert_eq!(numbers, (1..=total).collect::<Vec<_>>());
    let last = &seen.last().unwrap().kind;
    assert!(matches!(
        last,
        EventKind::Orchestrator {
            to: OrchestratorState::Stopped,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn semantics_20_dropping_the_last_handle_changes_nothing_while_something_runs() {
    let journal = Journal::default();
    let (life, notes) = (journal.life(), journal.clone());
    let life = Mutex::new(Some(life));
    let ticking = service(move |cx: ServiceContext| {
        let (life, notes) = (life.lock().unwrap().take(), notes.clone());
        async move {
            cx.ready();
            while !cx.token().is_cancelled() {
                tokio::time::sleep(ms(100)).await;
                notes.note("tick");
                let _ = &life;
            }
        }
    });
    let handle = run([Registration::new("a", ticking)]);
    handle.start().await.unwrap();
    drop(handle);
    tokio::time::sleep(ms(250)).await;
    assert_eq!(journal.take(), "tick, tick");
    assert_eq!(journal.alive(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_driver_ends_when_nothing_is_up_and_nobody_can_ask() {
    let journal = Journal::default();
    let mut builder = Orchestrator::builder();
    builder.register(plain("a", &journal));
    let orchestrator = builder.build().unwrap();
    let handle = orchestrator.handle();
    let driving = tokio::spawn(orchestrator.run());
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    drop(handle);
    driving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn museum_13_everybody_is_served_while_one_start_hangs() {
    let journal = Journal::default();
    let handle = run([
        plain("fine", &journal),
        scripted(Scripted::new("hangs", &journal).starts([Act::Hang])),
    ]);
    glance(handle.start()).await;
    reach(&handle, "fine", ComponentState::Running).await;
    let snapshot = handle.snapshot().await.unwrap();
    assert_eq!(snapshot.state, OrchestratorState::Starting);
    refusal(handle.start().await);
    handle.force().await.unwrap_err();
    journal.assert_no_leak();
}

/// Asks its orchestrator, and spawns, from within every call.
struct Curious {
    handle: Handle,
    journal: Journal,
}

impl Curious {
    async fn ask(&self, call: &str) -> Result<(), BoxError> {
        let snapshot = self.handle.snapshot().await?;
        let state = snapshot.components[0].state.as_str();
        self.journal.note(format!("{call} while {state}"));
        Ok(())
    }
}

impl Lifecycle for Curious {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let (life, token) = (self.journal.life(), cx.run_token());
        cx.spawn("loop", async move {
            token.cancelled().await;
            drop(life);
        });
        self.ask("start").await
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        self.ask("stop").await
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.ask("dispose").await
    }
}

#[tokio::test(start_paused = true)]
async fn museum_30_a_component_may_ask_its_orchestrator_from_within_every_call() {
    let journal = Journal::default();
    let mut builder = Orchestrator::builder();
    let curious = Curious {
        handle: builder.handle(),
        journal: journal.clone(),
    };
    builder.register(Registration::new("a", curious));
    let handle = builder.build().unwrap().spawn();
    handle.start().await.unwrap();
    handle.stop().await.unwrap();
    assert_eq!(
        journal.take(),
        "start while starting, stop while stopping, dispose while stopping"
    );
    assert_eq!(journal.alive(), 0);
}

/// Notes when a future is woken.
struct Noted(&'static str, Arc<Mutex<Vec<&'static str>>>);

impl Wake for Noted {
    fn wake(self: Arc<Self>) {
        self.1.lock().unwrap().push(self.0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_answered_before_a_snapshot_that_was_asked_for_later() {
    let mut builder = Orchestrator::builder();
    let idle = from_fn(async |_| Ok(()), async |_| Ok(()));
    builder.register(Registration::new("pool", idle));
    let handle = builder.handle();
    let woken = Arc::new(Mutex::new(Vec::new()));
    let note = |name| Waker::from(Arc::new(Noted(name, Arc::clone(&woken))));
    let mut resumed = pin!(handle.resume());
    let mut restarted = pin!(handle.restart("pool"));
    let mut shown = pin!(handle.snapshot());
    let (first, second, third) = (note("resume"), note("restart"), note("snapshot"));
    assert!(
        resumed
            .as_mut()
            .poll(&mut Context::from_waker(&first))
            .is_pending()
    );
    assert!(
        restarted
            .as_mut()
            .poll(&mut Context::from_waker(&second))
            .is_pending()
    );
    assert!(
        shown
            .as_mut()
            .poll(&mut Context::from_waker(&third))
            .is_pending()
    );

    // Nothing has started: both are refused, in one turn of the driver with the snapshot.
    let _driven = builder.build().unwrap().spawn();
    while woken.lock().unwrap().len() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*woken.lock().unwrap(), ["resume", "restart", "snapshot"]);
    shown.await.expect("it is driven");
    restarted.await.expect_err("nothing runs");
    resumed.await.expect_err("nothing runs");
}
