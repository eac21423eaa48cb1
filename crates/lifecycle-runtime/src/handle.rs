//! [`Handle`]: asks an orchestrator from outside.

use std::sync::{Arc, OnceLock};

use lifecycle_core::Plan;
use lifecycle_core::engine::{Event, Snapshot, StartReport, StopMode, StopReport};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::blocked::{Blocked, Watch};
use crate::clock::Clock;
use crate::error::{DriverGone, StartError, StopError, WaitReadyError};
use crate::events::{Events, Subscription};
use crate::isolated::Threads;
use crate::request::Request;
use crate::status::{Status, StatusWatch};

/// Starts, stops and watches an orchestrator. Cheap to clone; works from any runtime and any thread.
///
/// Its futures observe (semantics 20): dropping one cancels nothing. What it asks for is asked at the first poll, and for
/// certain once that poll has returned, unless 64 other requests were waiting at that moment. Dropping the last handle
/// changes nothing either: what runs goes on.
///
/// It can be had before the orchestrator is built; requests then wait until it is driven.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Request>,
    status: watch::Receiver<Status>,
    link: Arc<Link>,
}

/// What all handles and the driver of one orchestrator share.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) clock: Clock,
    pub(crate) events: Events,
    pub(crate) plan: OnceLock<Arc<Plan>>,
    /// Who watches for blocked threads; unset where nobody does.
    pub(crate) watch: OnceLock<Arc<Watch>>,
    pub(crate) threads: Threads,
}

impl Link {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            events: Events::new(),
            plan: OnceLock::new(),
            watch: OnceLock::new(),
            threads: Threads::default(),
        }
    }
}

impl Handle {
    pub(crate) fn new(
        requests: mpsc::Sender<Request>,
        status: watch::Receiver<Status>,
        link: Arc<Link>,
    ) -> Self {
        Self {
            requests,
            status,
            link,
        }
    }

    /// Starts every component, each as soon as what it depends on runs.
    ///
    /// Returns once everything has settled (semantics 9); the report lists what does not run.
    ///
    /// # Errors
    ///
    /// [`StartError`] when the orchestrator is in no state to start, an essential component failed (what had started was
    /// stopped again), or a stop came in between.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the start goes on. To cancel a start, stop, or use
    /// [`start_with`](Self::start_with).
    pub async fn start(&self) -> Result<Arc<StartReport>, StartError> {
        self.request_start(None).await
    }

    /// As [`start`](Self::start), and cancels the start when `token` is cancelled before it has settled. What had
    /// started is then stopped, on a budget of its own. Afterwards the token means nothing.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the start goes on, and the token still cancels it.
    pub async fn start_with(
        &self,
        token: CancellationToken,
    ) -> Result<Arc<StartReport>, StartError> {
        self.request_start(Some(token)).await
    }

    async fn request_start(
        &self,
        token: Option<CancellationToken>,
    ) -> Result<Arc<StartReport>, StartError> {
        let started = self.ask(|reply| Request::Start { token, reply }).await?;
        started.map_err(StartError::Failed)
    }

    /// Stops every component, dependents before what they depend on: the graceful shutdown, within the configured
    /// shutdown timeout (45 s unless set).
    ///
    /// Returns when each is down or the deadline has passed; a second caller joins the first and receives the same
    /// report (semantics 16). A stop of what never started succeeds and calls nothing.
    ///
    /// # Errors
    ///
    /// [`StopError`] carries the report when any stop failed, was aborted or was abandoned. When some failed, the
    /// orchestrator stays `stopping`, and calling again retries those (semantics 13).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the stop goes on.
    pub async fn stop(&self) -> Result<Arc<StopReport>, StopError> {
        self.request_stop(StopMode::Graceful, None).await
    }

    /// As [`stop`](Self::stop), without settling and draining first.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the stop goes on.
    pub async fn stop_now(&self) -> Result<Arc<StopReport>, StopError> {
        self.request_stop(StopMode::Now, None).await
    }

    /// As [`stop`](Self::stop), with a deadline of the caller's. Of joined stops the earliest deadline wins.
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the stop goes on.
    pub async fn stop_by(&self, deadline: Instant) -> Result<Arc<StopReport>, StopError> {
        let deadline = self.link.clock.time(deadline);
        self.request_stop(StopMode::Graceful, Some(deadline)).await
    }

    /// Stops within the force timeout from now (1 s unless set), whatever else is under way: drain, stop or rollback.
    /// Keeps the order, and skips no stop call while time remains (semantics 16).
    ///
    /// # Errors
    ///
    /// As [`stop`](Self::stop).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the stop goes on.
    pub async fn force(&self) -> Result<Arc<StopReport>, StopError> {
        self.request_stop(StopMode::Force, None).await
    }

    async fn request_stop(
        &self,
        mode: StopMode,
        deadline: Option<lifecycle_core::Time>,
    ) -> Result<Arc<StopReport>, StopError> {
        let report = self
            .ask(|reply| Request::Stop {
                mode,
                deadline,
                reply,
            })
            .await?;
        report.into_result().map_err(StopError::Unclean)
    }

    /// A consistent copy of everything, taken between two steps of the engine.
    ///
    /// # Errors
    ///
    /// [`DriverGone`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn snapshot(&self) -> Result<Snapshot, DriverGone> {
        self.ask(|reply| Request::Snapshot { reply }).await
    }

    /// The events from now on.
    ///
    /// A snapshot taken afterwards says with its sequence number which of them it contains.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        self.link.events.subscribe()
    }

    /// The last events (1 024 unless [set](crate::OrchestratorBuilder::history)), the oldest first.
    ///
    /// Who also subscribes, and does so *before* asking for the history, misses nothing: what the history does not have
    /// yet comes by the subscription. What both have is told by its sequence number.
    #[must_use]
    pub fn history(&self) -> Vec<Event> {
        self.link.events.history()
    }

    /// What holds a thread at this moment without returning (semantics 30). Empty also where nobody
    /// [watches](crate::OrchestratorBuilder::watch_blocked).
    ///
    /// Asks nobody, so that it answers even when every thread is blocked, the driver's as well.
    #[must_use]
    pub fn blocked(&self) -> Vec<Blocked> {
        let watch = self.link.watch.get();
        watch.map(|it| it.blocked()).unwrap_or_default()
    }

    /// The status and its changes. It is renewed at most once per turn of the driver, and before any answer is given:
    /// whoever has an answer sees it in the status.
    #[must_use]
    pub fn status(&self) -> StatusWatch {
        StatusWatch(self.status.clone())
    }

    /// Waits until the orchestrator and every essential component run.
    ///
    /// # Errors
    ///
    /// [`WaitReadyError`] when a stop or a rollback ends first, or nobody drives the orchestrator.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn wait_ready(&self) -> Result<(), WaitReadyError> {
        let mut watch = self.status();
        let before = watch.get().stops;
        let status = watch.wait_for(|it| it.ready || it.stops != before).await?;
        match status.last_stop {
            Some(report) if !status.ready => Err(WaitReadyError::Stopped(report)),
            Some(_) | None => Ok(()),
        }
    }

    /// Waits until a stop has ended, whoever asked for it: a caller, a rollback, or the orchestrator itself because an
    /// essential component was lost. Returns at once when all is down already; before the first start it waits.
    ///
    /// The report says why it stopped, and what is still up, if anything refused to stop.
    ///
    /// # Errors
    ///
    /// [`DriverGone`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn wait(&self) -> Result<Arc<StopReport>, DriverGone> {
        let mut watch = self.status();
        let before = watch.get().stops;
        let status = watch
            .wait_for(|it| it.is_down() || it.stops != before)
            .await?;
        status.last_stop.ok_or(DriverGone)
    }

    /// The clock of the orchestrator's events, snapshots and deadlines.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.link.clock
    }

    /// The plan; `None` until the orchestrator is built.
    #[must_use]
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.link.plan.get()
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, DriverGone> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_| DriverGone)?;
        answer.await.map_err(|_| DriverGone)
    }
}
