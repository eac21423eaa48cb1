//! Cordon and drain, carried out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lifecycle_core::engine::{DrainState, OrchestratorState, StopMode};
use lifecycle_core::{
    BoxError, Defaults, DrainContext, Lifecycle, Nanos, Registration, StartContext, StopContext,
};
use lifecycle_runtime::{Handle, NodeError};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kit::*;

/// Something that has work in flight.
struct Inbound {
    journal: Journal,
    in_flight: watch::Receiver<u64>,
    drains: Arc<AtomicU64>,
}

impl Lifecycle for Inbound {
    const DRAINS: bool = true;
    const DISPOSES: bool = false;

    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        self.journal.note("stop");
        Ok(())
    }

    async fn drain(&self, cx: &DrainContext) -> Result<(), BoxError> {
        self.journal.note("drain");
        self.drains.fetch_add(1, Ordering::SeqCst);
        let mut in_flight = self.in_flight.clone();
        loop {
            let open = *in_flight.borrow_and_update();
            cx.in_flight(open);
            if open == 0 {
                self.journal.note("drained");
                return Ok(());
            }
            tokio::select! {
                _ = in_flight.changed() => {}
                () = cx.cancelled() => {
                    self.journal.note("gave up");
                    return Ok(());
                }
            }
        }
    }

    async fn resume(&self, _: &DrainContext) -> Result<(), BoxError> {
        self.journal.note("resume");
        Ok(())
    }
}

pub(crate) fn inbound(journal: &Journal) -> (Registration, watch::Sender<u64>) {
    let (sender, in_flight) = watch::channel(0);
    let inbound = Inbound {
        journal: journal.clone(),
        in_flight,
        drains: Arc::default(),
    };
    (Registration::new("inbound", inbound), sender)
}

async fn node(handle: &Handle) -> lifecycle_core::engine::NodeSnapshot {
    handle.snapshot().await.unwrap().node
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_as_soon_as_nothing_is_in_flight_and_says_what_it_waits_for() {
    let journal = Journal::default();
    let (inbound, work) = inbound(&journal);
    let handle = run([inbound]);
    handle.start().await.unwrap();
    work.send_replace(2);
    let draining = tokio::spawn({
        let handle = handle.clone();
        async move { handle.drain().await }
    });
    tokio::time::sleep(ms(1_000)).await;
    assert!(!status(&handle).ready);
    assert_eq!(status(&handle).drain, DrainState::Draining);
    let snapshot = handle.snapshot().await.unwrap();
    let row = snapshot.component(snapshot.plan.find("inbound").unwrap());
    assert_eq!((row.drain, row.in_flight), (DrainState::Draining, Some(2)));
    work.send_replace(0);
    let report = draining.await.unwrap().unwrap();
    assert_eq!(report.drain, DrainState::Drained);
    assert_eq!(report.took, Nanos::from_millis(1_000));
    let error = handle.uncordon().await.unwrap_err();
    assert!(error.to_string().contains("resume the node"), "{error}");
    handle.resume().await.unwrap();
    assert!(status(&handle).ready);
    assert_eq!(journal.take(), "drain, drained, resume");
    handle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_can_be_cancelled_and_what_was_drained_takes_in_work_again() {
    let journal = Journal::default();
    let (inbound, work) = inbound(&journal);
    let handle = run([inbound]);
    handle.start().await.unwrap();
    work.send_replace(1);
    let draining = tokio::spawn({
        let handle = handle.clone();
        async move { handle.drain().await }
    });
    tokio::task::yield_now().await;
    let error = handle.drain().await.unwrap_err();
    assert!(
        error.to_string().contains("cancel it or force it"),
        "{error}"
    );
    handle.cancel().await.unwrap();
    let error = draining.await.unwrap().unwrap_err();
    assert!(matches!(error, NodeError::Refused(_)));
    assert_eq!(journal.take(), "drain, gave up, resume");
    assert_eq!(node(&handle).await.drain, DrainState::Active);
    assert!(status(&handle).ready);
    handle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_drain_beyond_its_deadline_fails_and_can_be_forced() {
    let journal = Journal::default();
    let (inbound, work) = inbound(&journal);
    let handle = run([inbound]);
    handle.start().await.unwrap();
    work.send_replace(1);
    let began = Instant::now();
    let error = handle.drain_by(began + ms(300)).await.unwrap_err();
    assert!(error.to_string().contains("inbound"), "{error}");
    assert_eq!(began.elapsed(), ms(300));
    assert_eq!(status(&handle).drain, DrainState::Failed);
    let report = handle.force_drain().await.unwrap();
    assert_eq!(report.drain, DrainState::Drained);
    handle.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_stop_settles_unready_then_drains_then_stops() {
    let journal = Journal::default();
    let (inbound, work) = inbound(&journal);
    let handle = run_with([inbound], |builder| {
        builder.defaults(Defaults {
            settle: Nanos::from_secs(5),
            ..Defaults::default()
        });
    });
    handle.start().await.unwrap();
    work.send_replace(1);
    let began = Instant::now();
    let stopping = tokio::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    tokio::time::sleep(ms(4_999)).await;
    assert_eq!(status(&handle).state, OrchestratorState::Stopping);
    assert!(!status(&handle).ready);
    assert_eq!(journal.take(), "");
    tokio::time::sleep(ms(1_001)).await;
    assert_eq!(journal.take(), "drain");
    work.send_replace(0);
    stopping.await.unwrap().unwrap();
    assert_eq!(journal.take(), "drained, stop");
    assert_eq!(began.elapsed(), ms(6_000));
}

#[tokio::test(start_paused = true)]
async fn a_stop_at_once_and_a_forced_one_do_not_drain() {
    for mode in [StopMode::Now, StopMode::Force] {
        let journal = Journal::default();
        let (inbound, work) = inbound(&journal);
        let handle = run([inbound]);
        handle.start().await.unwrap();
        work.send_replace(1);
        match mode {
            StopMode::Force => handle.force().await.unwrap(),
            _ => handle.stop_now().await.unwrap(),
        };
        assert_eq!(journal.take(), "stop");
    }
}

#[tokio::test(start_paused = true)]
async fn force_during_the_drain_of_a_stop_pre_empts_it() {
    let journal = Journal::default();
    let (inbound, work) = inbound(&journal);
    let handle = run([inbound]);
    handle.start().await.unwrap();
    work.send_replace(1);
    let stopping = tokio::spawn({
        let handle = handle.clone();
        async move { handle.stop().await }
    });
    tokio::time::sleep(ms(100)).await;
    let began = Instant::now();
    handle.force().await.unwrap();
    assert!(began.elapsed() < ms(20), "{:?}", began.elapsed());
    stopping.await.unwrap().unwrap();
    assert_eq!(journal.take(), "drain, stop");
}

#[tokio::test(start_paused = true)]
async fn a_cordon_makes_unready_and_nothing_else() {
    let journal = Journal::default();
    let (inbound, _work) = inbound(&journal);
    let handle = run([inbound]);
    handle.start().await.unwrap();
    let report = handle.cordon().await.unwrap();
    assert!(report.cordoned);
    assert!(status(&handle).cordoned && !status(&handle).ready);
    handle.uncordon().await.unwrap();
    assert!(status(&handle).ready);
    assert_eq!(journal.take(), "");
    handle.cordon().await.unwrap();
    handle.stop().await.unwrap();
    handle.start().await.unwrap();
    assert!(node(&handle).await.cordoned, "a new run keeps the cordon");
    handle.stop().await.unwrap();
}
