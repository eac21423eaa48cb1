//! What goes into the engine and what comes out of it: inputs, commands and events.

use std::sync::Arc;

use crate::context::Report;
use crate::failure::Failure;
use crate::name::ComponentName;
use crate::plan::{ComponentId, GateId, Plan};
use crate::time::{Nanos, Time};

use super::node::{NodeCommand, NodeError, NodeReport};
use super::operation::{Intent, Operation, OperationError, OperationReport};
use super::report::{StartError, StartReport, StopReport};
use super::state::{ComponentState, DrainState, Health, OrchestratorState};

/// Which call or scope is meant. Everything that comes back late carries one that no longer matches (invariant 11).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptKey {
    /// The component.
    pub component: ComponentId,
    /// Its incarnation, counted from 1.
    pub generation: u32,
    /// The attempt, counted from 1: of start for a start call, a scope or a dispose; of stop for a stop call.
    pub attempt: u32,
}

/// One of the calls that a component receives, one at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Call {
    /// [`Lifecycle::start`](crate::Lifecycle::start).
    Start,
    /// [`Lifecycle::stop`](crate::Lifecycle::stop).
    Stop,
    /// [`Lifecycle::dispose`](crate::Lifecycle::dispose).
    Dispose,
    /// [`Lifecycle::drain`](crate::Lifecycle::drain).
    Drain,
    /// [`Lifecycle::resume`](crate::Lifecycle::resume).
    Resume,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 5] = [
        Self::Start,
        Self::Stop,
        Self::Dispose,
        Self::Drain,
        Self::Resume,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Dispose => "dispose",
            Self::Drain => "drain",
            Self::Resume => "resume",
        }
    }
}

/// Somebody who waits for an answer; the shell makes the number and keeps who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// How a stop is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StopMode {
    /// The graceful shutdown.
    Graceful,
    /// Without settle and drain.
    Now,
    /// Within the force timeout from now; pre-empts whatever stop is under way (semantics 16).
    Force,
}

/// How a call ended.
pub type CallOutcome = Result<(), Arc<Failure>>;

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody wants the orchestrator to start.
    StartRequested {
        /// Who waits for the answer.
        request: RequestId,
    },
    /// The token that was given with a start was cancelled (semantics 20).
    StartCancelled {
        /// The request of that start.
        request: RequestId,
    },
    /// Somebody wants the orchestrator to stop.
    StopRequested {
        /// Who waits for the answer.
        request: RequestId,
        /// How it is meant.
        mode: StopMode,
        /// The latest moment; the configured shutdown timeout from now when there is none. The earliest one wins.
        deadline: Option<Time>,
    },
    /// A call has ended: it returned, panicked, or its task is gone.
    CallEnded {
        /// Which call.
        call: Call,
        /// As the command named it.
        key: AttemptKey,
        /// How it ended.
        outcome: CallOutcome,
    },
    /// A scope that was closed or aborted has no task any more.
    ScopeClosed {
        /// As the command named it.
        key: AttemptKey,
    },
    /// Somebody wants one component started, stopped or restarted (semantics 24).
    OperationRequested {
        /// Who waits for the answer.
        request: RequestId,
        /// Which component.
        component: ComponentId,
        /// What shall be done with it.
        operation: Operation,
        /// Whether it shall be done although an essential component goes down with it.
        forced: bool,
        /// Who wants it, and why.
        intent: Intent,
    },
    /// Somebody wants the node cordoned, drained, resumed (semantics 27).
    NodeRequested {
        /// Who waits for the answer.
        request: RequestId,
        /// What shall be done.
        command: NodeCommand,
        /// Who wants it, and why.
        intent: Intent,
    },
    /// A gate was opened, or its close deadline was moved (semantics 26).
    GateOpened {
        /// Which gate.
        gate: GateId,
        /// When everything behind it must be down, unless it is opened again before; `None`: it stays open.
        until: Option<Time>,
    },
    /// A gate was closed: everything behind it goes down now.
    GateClosed {
        /// Which gate.
        gate: GateId,
    },
    /// A component was added (semantics 25).
    Added {
        /// Who waits for the answer.
        request: RequestId,
        /// The plan with it, made from the engine's present one by [`Plan::extended`].
        plan: Arc<Plan>,
        /// Which one it is.
        component: ComponentId,
    },
    /// Somebody wants a component removed (semantics 25).
    RemoveRequested {
        /// Who waits for the answer.
        request: RequestId,
        /// Which component.
        component: ComponentId,
        /// What becomes of its dependents.
        cascade: Cascade,
        /// Who wants it, and why.
        intent: Intent,
    },
    /// A component says something of itself.
    Reported {
        /// The generation and attempt that says it.
        key: AttemptKey,
        /// What it says.
        report: Report,
    },
    /// A health check has ended: it returned, panicked, or its task is gone.
    Checked {
        /// As the command named it.
        key: AttemptKey,
        /// As the command numbered it.
        check: u32,
        /// How it ended.
        outcome: CallOutcome,
    },
    /// A task of a scope ended while nobody had asked it to.
    TaskEnded {
        /// The generation and attempt whose scope it belonged to.
        key: AttemptKey,
        /// `Ok` when the component's own loop has completed; otherwise how the task was lost.
        outcome: CallOutcome,
    },
}

/// Whether a removal takes dependents along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cascade {
    /// A component with hard dependents is not removed.
    Refuse,
    /// Its hard dependents, and theirs, are removed with it.
    Dependents,
}

/// What the shell shall do. Commands are taken in order.
#[derive(Clone, Debug)]
pub enum Command {
    /// Make `call`. For start: make a new scope, and for a factory a fresh value. For stop: cancel the run token
    /// first. For drain and resume: make a new token. Answer with [`Input::CallEnded`], exactly once.
    Call {
        /// Which call.
        call: Call,
        /// What the answer must carry.
        key: AttemptKey,
        /// When the engine will give up on it; for the context only.
        deadline: Time,
    },
    /// Cancel the call's token: the start token, the force token of a stop, or the token of a drain or a resume. The call is
    /// still awaited.
    Cancel {
        /// Which call.
        call: Call,
        /// As in [`Command::Call`].
        key: AttemptKey,
    },
    /// Drop the call's future. Answer with [`Input::CallEnded`] once it is gone; the result of a call that ended by
    /// itself in the meantime is as good.
    Abort {
        /// Which call.
        call: Call,
        /// As in [`Command::Call`].
        key: AttemptKey,
    },
    /// Close the scope: cancel its run token, refuse new tasks, and answer with [`Input::ScopeClosed`] once no task of
    /// it is alive; at once if there is none.
    CloseScope {
        /// The start attempt whose scope it is.
        key: AttemptKey,
    },
    /// Drop the scope's tasks. The answer is that of [`Command::CloseScope`].
    AbortScope {
        /// As in [`Command::CloseScope`].
        key: AttemptKey,
    },
    /// Stop waiting for whatever call or task of this generation is still alive: it blocks a thread. Abort what can be
    /// aborted, and count the rest as leaked. Nothing of it is answered any more.
    Abandon {
        /// The generation and start attempt.
        key: AttemptKey,
    },
    /// Ask the component for its health, in a task of its scope. Answer with [`Input::Checked`].
    Check {
        /// The generation and attempt.
        key: AttemptKey,
        /// Counted from 1 within the generation.
        check: u32,
        /// When the engine will give up on it.
        deadline: Time,
    },
    /// Drop the task of a health check.
    AbortCheck {
        /// As in [`Command::Check`].
        key: AttemptKey,
        /// As in [`Command::Check`].
        check: u32,
    },
    /// The component was removed: drop its value. Nothing of it is at work.
    Forget {
        /// Which one.
        component: ComponentId,
    },
    /// Something behind a gate is still at work although the gate's close deadline has come. The process must end at once:
    /// nobody may rely on that deadline otherwise (semantics 26).
    Halt {
        /// Which component.
        component: ComponentId,
    },
    /// Answer a request.
    Respond {
        /// Whom.
        request: RequestId,
        /// With what.
        response: Response,
    },
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub enum Response {
    /// To [`Input::StartRequested`].
    Start(Result<Arc<StartReport>, Arc<StartError>>),
    /// To [`Input::StopRequested`].
    Stop(Arc<StopReport>),
    /// To [`Input::OperationRequested`], [`Input::Added`] and [`Input::RemoveRequested`].
    Operation(Result<Arc<OperationReport>, Arc<OperationError>>),
    /// To [`Input::NodeRequested`].
    Node(Result<Arc<NodeReport>, Arc<NodeError>>),
}

/// Why something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Reason {
    /// Nothing has happened yet.
    #[default]
    Initial,
    /// A start of the orchestrator was requested.
    StartRequested,
    /// Dependencies are not there yet.
    DependenciesPending,
    /// The last dependency that was missing is there.
    DependenciesReady,
    /// The call returned `Ok`.
    Succeeded,
    /// The call returned an error, panicked or vanished.
    Failed,
    /// The call or what it left was still at work at its limit.
    TimedOut,
    /// The delay before the next attempt is over.
    RetryDue,
    /// No further attempt is allowed.
    AttemptsExhausted,
    /// A dependency failed for good.
    DependencyFailed,
    /// An earlier generation still blocks a thread.
    Quarantined,
    /// A stop of the orchestrator was requested.
    StopRequested,
    /// A forced stop of the orchestrator was requested.
    ForceRequested,
    /// The caller of start has cancelled it.
    StartCancelled,
    /// An essential component failed to start; what had started is stopped again.
    Rollback,
    /// An essential component was lost.
    EssentialLost,
    /// Every dependent is down.
    DependentsDown,
    /// The stop's deadline came before its turn.
    DeadlinePassed,
    /// A dependent that could not be confirmed down holds it up (semantics 15).
    Held,
    /// A task of the running component failed.
    Lost,
    /// The component's own loop returned `Ok`.
    Completed,
    /// Everything has settled.
    Settled,
    /// The delay before the next generation is over.
    RestartDue,
    /// A hard dependency went down.
    DependencyLost,
    /// It has failed more often than its budget allows.
    BudgetExhausted,
    /// Its health checks failed.
    Unhealthy,
    /// An operator wants it started.
    OperatorStart,
    /// An operator wants it stopped, or has: it is held.
    OperatorStop,
    /// An operator wants it restarted.
    OperatorRestart,
    /// It was added.
    Added,
    /// It is being removed.
    Removed,
    /// Its gate, or that of a hard dependency, is closed.
    GateClosed,
    /// Its gate was opened.
    GateOpened,
}

impl Reason {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Initial => "initial",
            Self::StartRequested => "start-requested",
            Self::DependenciesPending => "dependencies-pending",
            Self::DependenciesReady => "dependencies-ready",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed-out",
            Self::RetryDue => "retry-due",
            Self::AttemptsExhausted => "attempts-exhausted",
            Self::DependencyFailed => "dependency-failed",
            Self::Quarantined => "quarantined",
            Self::StopRequested => "stop-requested",
            Self::ForceRequested => "force-requested",
            Self::StartCancelled => "start-cancelled",
            Self::Rollback => "rollback",
            Self::EssentialLost => "essential-lost",
            Self::DependentsDown => "dependents-down",
            Self::DeadlinePassed => "deadline-passed",
            Self::Held => "held",
            Self::Lost => "lost",
            Self::Completed => "completed",
            Self::Settled => "settled",
            Self::RestartDue => "restart-due",
            Self::DependencyLost => "dependency-lost",
            Self::BudgetExhausted => "budget-exhausted",
            Self::Unhealthy => "unhealthy",
            Self::OperatorStart => "operator-start",
            Self::OperatorStop => "operator-stop",
            Self::OperatorRestart => "operator-restart",
            Self::Added => "added",
            Self::Removed => "removed",
            Self::GateClosed => "gate-closed",
            Self::GateOpened => "gate-opened",
        }
    }
}

/// Which limit ran out (semantics 18).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Limit {
    /// That of one attempt.
    AttemptTimeout,
    /// That of all attempts of the phase together.
    PhaseTotal,
    /// The component's share of the time that the whole stop has left.
    Share,
    /// The deadline of the whole stop.
    GlobalDeadline,
    /// The time that a cancelled call has to end by itself.
    AbortGrace,
    /// The deadline of the drain.
    DrainDeadline,
    /// The close deadline of a gate.
    GateDeadline,
}

impl Limit {
    /// The limit in words, for messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AttemptTimeout => "attempt timeout",
            Self::PhaseTotal => "phase total",
            Self::Share => "share of the shutdown time",
            Self::GlobalDeadline => "shutdown deadline",
            Self::AbortGrace => "abort grace",
            Self::DrainDeadline => "drain deadline",
            Self::GateDeadline => "close deadline of its gate",
        }
    }
}

/// Something that happened inside, for logs, metrics, history and subscribers: one stream, in order (invariant 14).
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which run of the orchestrator, counted from 1; 0 before the first.
    pub run: u64,
    /// The position in the stream, counted from 1 over all runs.
    pub sequence: u64,
    /// When.
    pub at: Time,
    /// Why.
    pub reason: Reason,
    /// The component at the root of it, when it is not the subject itself.
    pub cause: Option<ComponentId>,
    /// What.
    pub kind: EventKind,
}

impl Event {
    /// The component that the event is about; `None` for the orchestrator.
    #[must_use]
    pub fn subject(&self) -> Option<AttemptKey> {
        match &self.kind {
            EventKind::Orchestrator { .. }
            | EventKind::StopEnded { .. }
            | EventKind::Awaiting { .. }
            | EventKind::Node { .. }
            | EventKind::Gate { .. }
            | EventKind::Added { .. }
            | EventKind::Removed { .. }
            | EventKind::Operation { .. } => None,
            EventKind::Transition { key, .. }
            | EventKind::AttemptFailed { key, .. }
            | EventKind::RetryScheduled { key, .. }
            | EventKind::Cancelled { key, .. }
            | EventKind::Aborted { key, .. }
            | EventKind::Abandoned { key }
            | EventKind::Held { key }
            | EventKind::Lost { key, .. }
            | EventKind::RestartRefused { key, .. }
            | EventKind::DependencyLost { key, .. }
            | EventKind::DependencyBack { key, .. }
            | EventKind::HealthChanged { key, .. }
            | EventKind::CheckFailed { key, .. }
            | EventKind::Participant { key, .. }
            | EventKind::GateBroken { key }
            | EventKind::Disposed { key, .. } => Some(*key),
        }
    }
}

/// What an event says.
#[derive(Clone, Debug, PartialEq)]
pub enum EventKind {
    /// The orchestrator has entered another state.
    Orchestrator {
        /// The state before.
        from: OrchestratorState,
        /// The state now.
        to: OrchestratorState,
        /// What is behind it, if it is a failure.
        failure: Option<Arc<Failure>>,
    },
    /// A stop has come to its end, whoever asked for it: nobody, for a rollback or the loss of an essential component.
    StopEnded {
        /// What it came to.
        report: Arc<StopReport>,
    },
    /// A component has entered another state.
    Transition {
        /// Which; the attempt is that of start, or of stop from `stopping` on.
        key: AttemptKey,
        /// The state before.
        from: ComponentState,
        /// The state now.
        to: ComponentState,
        /// How long it was in the state before.
        lasted: Nanos,
        /// What is behind it, if it is a failure.
        failure: Option<Arc<Failure>>,
    },
    /// An attempt has failed; what follows is in the next events.
    AttemptFailed {
        /// Which call.
        call: Call,
        /// Which attempt.
        key: AttemptKey,
        /// How long it took.
        worked: Nanos,
        /// How it failed.
        failure: Arc<Failure>,
    },
    /// A further attempt will follow.
    RetryScheduled {
        /// Which call.
        call: Call,
        /// The attempt that failed.
        key: AttemptKey,
        /// The delay before the next one.
        delay: Nanos,
    },
    /// A call was asked to end.
    Cancelled {
        /// Which call.
        call: Call,
        /// Which attempt.
        key: AttemptKey,
        /// The limit that ran out, if one did; otherwise it was on request.
        limit: Option<Limit>,
    },
    /// A call, or the tasks that it left, did not end when asked and is dropped.
    Aborted {
        /// Which call; `None` for the tasks of the scope.
        call: Option<Call>,
        /// Which attempt.
        key: AttemptKey,
        /// The limit that ran out.
        limit: Limit,
    },
    /// Something could not even be dropped: it blocks its thread. It is left behind and named.
    Abandoned {
        /// Which generation and start attempt.
        key: AttemptKey,
    },
    /// It is kept up, since a dependent could not be confirmed down (semantics 15).
    Held {
        /// Which generation and start attempt.
        key: AttemptKey,
    },
    /// A generation has released what it had.
    Disposed {
        /// Which generation.
        key: AttemptKey,
        /// How that failed, if it did.
        failure: Option<Arc<Failure>>,
    },
    /// A stop is under way and waits. Told every five seconds.
    Awaiting {
        /// What is awaited, in plan order: what is at work, not what waits for it.
        awaited: Arc<[AwaitedStop]>,
        /// How long until the deadline.
        left: Nanos,
    },
    /// A running component was lost: it failed, or its own loop has completed.
    Lost {
        /// Which generation.
        key: AttemptKey,
        /// How it failed; `None` when it has completed.
        failure: Option<Arc<Failure>>,
        /// What follows.
        verdict: Verdict,
    },
    /// An unhealthy component would be restarted, but its budget is exhausted: nothing is stopped.
    RestartRefused {
        /// Which generation.
        key: AttemptKey,
        /// Its budget.
        budget: u32,
    },
    /// A running component goes on without a hard dependency that it tolerates the loss of.
    DependencyLost {
        /// Which generation goes on.
        key: AttemptKey,
        /// What it misses.
        dependency: ComponentId,
    },
    /// What a running component missed is back.
    DependencyBack {
        /// Which generation went on.
        key: AttemptKey,
        /// What is back.
        dependency: ComponentId,
    },
    /// A running component is healthy, degraded or unhealthy by its own account.
    HealthChanged {
        /// Which generation.
        key: AttemptKey,
        /// Its health before.
        from: Health,
        /// Its health now.
        to: Health,
        /// What it says, or how its last check failed.
        detail: Option<Arc<str>>,
    },
    /// A health check has failed.
    CheckFailed {
        /// Which generation.
        key: AttemptKey,
        /// How many have failed in a row.
        misses: u32,
        /// How this one failed.
        failure: Arc<Failure>,
    },
    /// The node was cordoned or uncordoned, or its drain has gone a step further.
    Node {
        /// Whether it is cordoned.
        cordoned: bool,
        /// The state of its drain before.
        from: DrainState,
        /// The state of its drain now.
        to: DrainState,
        /// Who wanted it, and why.
        intent: Intent,
    },
    /// A participant of a drain has gone a step further.
    Participant {
        /// Which generation.
        key: AttemptKey,
        /// Its state before.
        from: DrainState,
        /// Its state now.
        to: DrainState,
        /// How long the call took that has ended with it; unset when none has.
        worked: Option<Nanos>,
        /// How its drain or resume failed, if it did.
        failure: Option<Arc<Failure>>,
    },
    /// An operation on one component was accepted.
    Operation {
        /// Which component.
        component: ComponentId,
        /// What is done with it.
        operation: Operation,
        /// Who wanted it, and why.
        intent: Intent,
    },
    /// A gate was opened or closed.
    Gate {
        /// Which gate.
        gate: GateId,
        /// Whether it is open now.
        open: bool,
        /// Its close deadline.
        until: Option<Time>,
    },
    /// Something behind a gate was still at work when the gate's close deadline came.
    GateBroken {
        /// Which generation.
        key: AttemptKey,
    },
    /// A component was added.
    Added {
        /// Which one.
        component: ComponentId,
        /// Its name.
        name: ComponentName,
    },
    /// A component was removed; nothing will be heard of it any more.
    Removed {
        /// Which one.
        component: ComponentId,
        /// Its name.
        name: ComponentName,
    },
}

/// What follows when a running component is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// It is started again.
    Restart {
        /// How long after the loss at the earliest.
        delay: Nanos,
        /// How many restarts for own failures there were within the window, this one counted.
        restarts: u32,
    },
    /// A hard dependency does not run, so that the failure is not its own: it is started again as soon as that does. Or
    /// it was on its way down already, and comes back from there.
    Follow,
    /// It stays down.
    Final,
}

/// Something that a stop waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedStop {
    /// The component.
    pub component: ComponentName,
    /// The call that is at work; `None` for tasks that it left.
    pub call: Option<Call>,
    /// For how long.
    pub since: Nanos,
    /// What it said last that it is doing.
    pub progress: Option<Arc<str>>,
}
