//! [`Handle`]: asks an orchestrator from outside.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use lifecycle_core::engine::{
    Cascade, Event, Intent, NodeCommand, NodeReport, Operation, OperationReport, Rehearsal,
    Snapshot, StartReport, StopMode, StopReport,
};
use lifecycle_core::{ComponentId, Plan, Registration};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::blocked::{Blocked, Watch};
use crate::clock::Clock;
use crate::error::{
    AddError, DriverGone, GateError, NodeError, OperationError, StartError, StopError,
    WaitReadyError,
};
use crate::events::{Events, Subscription};
use crate::isolated::Threads;
use crate::request::{Addition, GateChange, Order, Request, TaskCounts};
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
    /// Changed when the plan is, and read by who asks: never on a hot path.
    plan: Mutex<Option<Arc<Plan>>>,
    /// Who watches for blocked threads; unset where nobody does.
    pub(crate) watch: OnceLock<Arc<Watch>>,
    pub(crate) threads: Threads,
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
    /// shutdown timeout (45 s unless set). Readiness goes down first; then it waits for the settle time, drains, and stops
    /// (semantics 11).
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
    /// What was asked before it and refused, or done at once, is answered before it: who has the snapshot and still waits
    /// for an operation knows that it has begun.
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

    /// How many tasks are alive of each of these components, and on the runtime.
    ///
    /// It is no part of [`snapshot`](Self::snapshot): tasks come and go without an event. It costs the driver a lock for each that is
    /// asked for, so ask for those alone that are to be shown. Who is not in the plan any more has none.
    ///
    /// # Errors
    ///
    /// [`DriverGone`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn tasks(&self, of: Vec<ComponentId>) -> Result<TaskCounts, DriverGone> {
        self.ask(|reply| Request::Tasks { of, reply }).await
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

    /// Stops `component`, with what its edges take down with it, and starts it again; what fell with it returns with it.
    ///
    /// Returns once it runs again. An operator's restart is never charged to its budget (semantics 24).
    ///
    /// # Errors
    ///
    /// [`OperationError`] when there is no such component, the orchestrator does not run, a dependency is down for good,
    /// or it failed to come up.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the restart goes on.
    pub async fn restart(
        &self,
        component: impl Into<String>,
    ) -> Result<Arc<OperationReport>, OperationError> {
        self.operate(Order::new(Operation::Restart, component))
            .await
    }

    /// Stops `component`, with what its edges take down with it. It stays down until it is started or a new run begins;
    /// what fell with it returns with it.
    ///
    /// # Errors
    ///
    /// [`OperationError`] as for [`restart`](Self::restart), and when something essential would go down: see
    /// [`Order::forced`].
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the stop goes on.
    pub async fn stop_component(
        &self,
        component: impl Into<String>,
    ) -> Result<Arc<OperationReport>, OperationError> {
        self.operate(Order::new(Operation::Stop, component)).await
    }

    /// Starts `component`, which was stopped or has failed for good, with a fresh budget.
    ///
    /// # Errors
    ///
    /// [`OperationError`] as for [`restart`](Self::restart).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the start goes on.
    pub async fn start_component(
        &self,
        component: impl Into<String>,
    ) -> Result<Arc<OperationReport>, OperationError> {
        self.operate(Order::new(Operation::Start, component)).await
    }

    /// Does with one component what `order` says.
    ///
    /// # Errors
    ///
    /// [`OperationError`] as for [`restart`](Self::restart) and [`stop_component`](Self::stop_component).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the operation goes on.
    pub async fn operate(&self, order: Order) -> Result<Arc<OperationReport>, OperationError> {
        let done = self.ask(|reply| Request::Operate { order, reply }).await?;
        done.map_err(OperationError::Refused)
    }

    /// What `order` would stop and start, in which order, if every call succeeded. Nothing is done.
    ///
    /// The driver only copies its state, which takes as long as a snapshot; the rest is done by the caller, within one poll.
    ///
    /// # Errors
    ///
    /// [`OperationError`] when there is no such component. That the order would be refused is in the
    /// [`Rehearsal`].
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn rehearse(&self, order: Order) -> Result<Rehearsal, OperationError> {
        let script = self.ask(|reply| Request::Rehearse { order, reply }).await?;
        let script = script.map_err(OperationError::Refused)?;
        Ok(script.play())
    }

    /// Adds a component. It may depend on what is there; nothing there can depend on it. If the orchestrator runs it is
    /// started at once, and the future completes once it runs, or waits for a gate or for what an operator has stopped.
    ///
    /// # Errors
    ///
    /// [`AddError`] when it makes no sense beside what is there, while the orchestrator stops, or when it fails to start:
    /// then it is removed again, and nothing else is touched.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the component is added.
    pub async fn add(&self, registration: Registration) -> Result<Arc<OperationReport>, AddError> {
        let registration = Box::new(registration);
        let added = self
            .ask(|reply| Request::Add {
                registration,
                reply,
            })
            .await?;
        match added {
            Addition::Faulty(error) => Err(AddError::Faulty(error)),
            Addition::Seen(result) => result.map_err(AddError::Refused),
        }
    }

    /// Stops `component` and takes it out of the orchestrator.
    ///
    /// # Errors
    ///
    /// [`OperationError`] when there is no such component, others need it, or the orchestrator stops.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the removal goes on.
    pub async fn remove(
        &self,
        component: impl Into<String>,
    ) -> Result<Arc<OperationReport>, OperationError> {
        self.take_out(component.into(), Cascade::Refuse).await
    }

    /// As [`remove`](Self::remove), with everything that needs it.
    ///
    /// # Errors
    ///
    /// As [`remove`](Self::remove), but for dependents.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the removal goes on.
    pub async fn remove_with_dependents(
        &self,
        component: impl Into<String>,
    ) -> Result<Arc<OperationReport>, OperationError> {
        self.take_out(component.into(), Cascade::Dependents).await
    }

    async fn take_out(
        &self,
        component: String,
        cascade: Cascade,
    ) -> Result<Arc<OperationReport>, OperationError> {
        let intent = Intent::default();
        let removed = self
            .ask(|reply| Request::Remove {
                component,
                cascade,
                intent,
                reply,
            })
            .await?;
        removed.map_err(OperationError::Refused)
    }

    /// Makes the node unready, so that nobody chooses it any more; what comes all the same is served (semantics 27).
    ///
    /// # Errors
    ///
    /// [`NodeError`] when nobody drives.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer.
    pub async fn cordon(&self) -> Result<Arc<NodeReport>, NodeError> {
        self.command(NodeCommand::Cordon, Intent::default()).await
    }

    /// Takes [`cordon`](Self::cordon) back.
    ///
    /// # Errors
    ///
    /// [`NodeError`] while the node drains or is drained: cancel or resume it.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer.
    pub async fn uncordon(&self) -> Result<Arc<NodeReport>, NodeError> {
        self.command(NodeCommand::Uncordon, Intent::default()).await
    }

    /// Cordons the node, and has every participant refuse new work and finish what it has, dependents first. Completes
    /// when nothing is in flight.
    ///
    /// # Errors
    ///
    /// [`NodeError`] when the orchestrator does not run, a drain is under way, it is cancelled or overtaken by a stop, or a
    /// participant fails: the node is `failed` then, and can be drained again, resumed or forced.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the drain goes on.
    pub async fn drain(&self) -> Result<Arc<NodeReport>, NodeError> {
        let command = NodeCommand::Drain { deadline: None };
        self.command(command, Intent::default()).await
    }

    /// As [`drain`](Self::drain), and waits for no participant beyond `deadline`.
    ///
    /// # Errors
    ///
    /// As [`drain`](Self::drain).
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the drain goes on.
    pub async fn drain_by(&self, deadline: Instant) -> Result<Arc<NodeReport>, NodeError> {
        let deadline = Some(self.link.clock.time(deadline));
        self.command(NodeCommand::Drain { deadline }, Intent::default())
            .await
    }

    /// Has participants take in work again after a drain, and takes the cordon back.
    ///
    /// # Errors
    ///
    /// [`NodeError`] while the node drains (cancel it), and when a participant fails to resume.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the participants are resumed.
    pub async fn resume(&self) -> Result<Arc<NodeReport>, NodeError> {
        self.command(NodeCommand::Resume, Intent::default()).await
    }

    /// Gives the drain under way up, and resumes what was drained already.
    ///
    /// # Errors
    ///
    /// [`NodeError`] when none is under way.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the drain is cancelled.
    pub async fn cancel(&self) -> Result<Arc<NodeReport>, NodeError> {
        self.command(NodeCommand::Cancel, Intent::default()).await
    }

    /// Ends the drain under way within the force timeout (1 s unless set): participants give up what is in flight.
    ///
    /// # Errors
    ///
    /// [`NodeError`] when there is nothing to force, and when a participant fails all the same.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer; the drain is forced.
    pub async fn force_drain(&self) -> Result<Arc<NodeReport>, NodeError> {
        self.command(NodeCommand::Force, Intent::default()).await
    }

    /// Does with the node what `command` says, for `intent`.
    ///
    /// # Errors
    ///
    /// [`NodeError`] as for the method that is named as the command.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer.
    pub async fn command(
        &self,
        command: NodeCommand,
        intent: Intent,
    ) -> Result<Arc<NodeReport>, NodeError> {
        let done = self
            .ask(|reply| Request::Node {
                command,
                intent,
                reply,
            })
            .await?;
        done.map_err(NodeError::Refused)
    }

    /// Opens the gate called `gate`, or with `until` moves the moment by which everything behind it must be down
    /// (semantics 26). Returns once that holds; what is behind the gate starts afterwards.
    ///
    /// # Errors
    ///
    /// [`GateError`] when no component has such a gate.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer.
    pub async fn open_gate(
        &self,
        gate: impl Into<String>,
        until: Option<Instant>,
    ) -> Result<(), GateError> {
        let until = until.map(|it| self.link.clock.time(it));
        self.change_gate(gate.into(), GateChange::Open { until })
            .await
    }

    /// Closes the gate called `gate`: everything behind it goes down now, and at the latest when the gate was open until.
    /// Returns once that has begun.
    ///
    /// # Errors
    ///
    /// [`GateError`] when no component has such a gate.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer.
    pub async fn close_gate(&self, gate: impl Into<String>) -> Result<(), GateError> {
        self.change_gate(gate.into(), GateChange::Close).await
    }

    async fn change_gate(&self, name: String, change: GateChange) -> Result<(), GateError> {
        let changed = self
            .ask(|reply| Request::Gate {
                name,
                change,
                reply,
            })
            .await?;
        Ok(changed?)
    }

    /// The clock of the orchestrator's events, snapshots and deadlines.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.link.clock
    }

    /// The plan as it is now; `None` until the orchestrator is built. Adding and removing components makes another.
    #[must_use]
    pub fn plan(&self) -> Option<Arc<Plan>> {
        self.link.plan()
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

impl Link {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            events: Events::new(),
            plan: Mutex::new(None),
            watch: OnceLock::new(),
            threads: Threads::default(),
        }
    }

    pub(crate) fn plan(&self) -> Option<Arc<Plan>> {
        let plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.clone()
    }

    pub(crate) fn set_plan(&self, plan: &Arc<Plan>) {
        let mut place = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        *place = Some(Arc::clone(plan));
    }
}
