//! What the engine keeps of one component.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::failure::Failure;
use crate::plan::ComponentId;
use crate::time::{Nanos, Time};

use super::message::{AttemptKey, Call, Limit, Reason, RequestId};
use super::operation::Operation;
use super::report::StopOutcome;
use super::snapshot::Restarts;
use super::state::{ComponentState, DrainState, Health};

/// Where a component is in its work. Finer than its state: each phase waits for exactly one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// For nothing: nothing of it is up.
    #[default]
    Idle,
    /// For its dependencies or its gate.
    Waiting,
    /// For the delay before the next generation.
    Restarting,
    /// For the start call.
    Starting,
    /// For the start call whose token was cancelled, until the abort grace is over.
    StartCancelled,
    /// For the start call that was aborted to be gone.
    StartAborted,
    /// For the stop call of an attempt that returned `Ok` after it had been given up.
    Undoing,
    /// For that stop call, aborted, to be gone.
    UndoAborted,
    /// For the tasks of the scope to end.
    Closing,
    /// For the aborted tasks of the scope to be gone.
    ScopeAborted,
    /// For the dispose call.
    Disposing,
    /// For the aborted dispose call to be gone.
    DisposeAborted,
    /// For the delay before the next start attempt.
    BackingOff,
    /// For a stop, or a loss.
    Running,
    /// For the drain or resume call.
    Draining,
    /// For that call, whose token was cancelled, until the abort grace is over.
    DrainCancelled,
    /// For that call, aborted, to be gone.
    DrainAborted,
    /// For the stop call.
    Stopping,
    /// For the stop call that was aborted to be gone.
    StopAborted,
    /// For the delay before the next stop attempt.
    StopBackingOff,
    /// For a further stop: its stop has failed, or it is held.
    Kept,
}

impl Phase {
    /// Whether there is a generation that nothing has begun to end but, perhaps, an intent.
    pub(super) fn is_up(self) -> bool {
        matches!(
            self,
            Self::Running | Self::Draining | Self::DrainCancelled | Self::DrainAborted
        )
    }

    /// Whether nothing of any generation is there.
    pub(super) fn is_down(self) -> bool {
        matches!(self, Self::Idle | Self::Waiting | Self::Restarting)
    }
}

/// Who waits for a drain or resume call that is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// No drain under way: its component came up while the node was drained.
    #[default]
    Alone,
    /// The drain under way counts it.
    Counted,
    /// Nobody: it was dropped and did not vanish.
    GivenUp,
}

/// What is wanted of a component while the orchestrator runs, and why. What is down decides by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    /// It shall run.
    #[default]
    Up,
    /// An operator has stopped it.
    Held,
    /// A dependency went down that takes it along for good.
    StoppedByEdge,
    /// Its own loop has completed, and it is not started again for that.
    Completed,
    /// It has failed for good.
    Failed,
    /// It shall be taken out.
    Removed,
}

impl Wanted {
    /// Whether it comes back only if somebody starts it anew, so that whoever needs it fails.
    pub(super) fn is_gone(self) -> bool {
        matches!(self, Self::Failed | Self::Completed | Self::Removed)
    }
}

/// What a start attempt or a generation has come to, beyond its phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Slot {
    pub(super) phase: Phase,
    pub(super) state: ComponentState,
    pub(super) reason: Reason,
    pub(super) since: Time,
    /// The incarnation, counted from 1; 0 before the first start.
    pub(super) generation: u32,
    /// The start attempt of this generation, counted from 1.
    pub(super) attempt: u32,
    /// The stop call of this generation, counted from 1 and never reset in it, so that a late answer is recognised.
    pub(super) stop_call: u32,
    /// How many stop calls came before the present stop of the orchestrator: attempts are counted from there.
    pub(super) stop_calls_before: u32,
    /// How many edges keep it from starting: hard ones to what does not run, others to what has not been waited out.
    pub(super) unmet: u32,
    /// How many dependents are going down and are not down yet.
    pub(super) blockers: u32,
    /// What is wanted of it.
    pub(super) wanted: Wanted,
    /// It runs, and is not about to go down: hard dependents may start.
    pub(super) available: bool,
    /// It has run, or will not yet: edges that are not hard no longer wait for it in this run.
    pub(super) released: bool,
    /// It has run in this run.
    pub(super) has_run: bool,
    /// It is in the set of what goes down.
    pub(super) leaving: bool,
    /// Why it goes down, or why it was started last.
    pub(super) motive: Reason,
    /// When its next generation may begin at the earliest.
    pub(super) restart_at: Time,
    /// How many gates keep it and the readiness of the host apart: its own, and hard dependencies with such.
    pub(super) gates_closed: u32,
    /// It counts among what keeps the host from being ready.
    pub(super) unready: bool,
    /// Its health by its own account.
    pub(super) health: Health,
    /// How far a drain of it has gone.
    pub(super) drain: DrainState,
    /// How many dependents have not been drained yet in the present drain.
    pub(super) drain_blockers: u32,
    /// The present drain need not wait for it any more.
    pub(super) drain_passed: bool,
    /// The drain or resume call of this generation, counted from 1.
    pub(super) drain_call: u32,
    /// Whether the call that it is in is a resume.
    pub(super) resuming: bool,
    /// The limit at which that call was told to end; unset also when it was told so by somebody.
    pub(super) missed: Option<Limit>,
    /// Who waits for the call that it is in.
    pub(super) node_call_standing: Standing,
    /// What only few components have.
    pub(super) extra: Option<Box<Extra>>,
    /// Which limit the armed deadline stands for.
    pub(super) limit: Option<Limit>,
    /// When the call under way began.
    pub(super) call_began: Time,
    /// When all attempts of the phase must be over.
    pub(super) total_deadline: Time,
    /// When its share of the shutdown is used up.
    pub(super) share_deadline: Time,
    /// The generation is still in its start operation.
    pub(super) in_start: bool,
    /// No further attempt of this start: it was cancelled because it goes down.
    pub(super) cancelled: bool,
    /// It has failed for good: its start, or its last restart.
    pub(super) start_failed: bool,
    /// The delay before the next attempt, once it is decided.
    pub(super) retry_delay: Option<Nanos>,
    /// The attempt returned `Ok` too late, and stopping what it built has failed.
    pub(super) undo_failed: bool,
    /// A task was lost before start returned.
    pub(super) lost_early: Option<Arc<Failure>>,
    /// The component's own loop completed before start returned.
    pub(super) completed_early: bool,
    /// Start was entered and dispose was not called since.
    pub(super) undisposed: bool,
    /// The start of the orchestrator need not wait for it any more.
    pub(super) settled: bool,
    /// It is down in the present stop of the whole.
    pub(super) down: bool,
    /// It goes down, and every dependent that goes down too is down.
    pub(super) has_turn: bool,
    /// Its dependencies know that it is down.
    pub(super) has_told: bool,
    /// In this run its stop, or its start under a stop, was aborted, or it was held; forgotten when it is asked again.
    pub(super) unconfirmed: bool,
    /// Something of it blocks a thread; it is never started again in this process.
    pub(super) quarantined: bool,
    /// The component at the root of its state, when it is not itself.
    pub(super) cause: Option<ComponentId>,
    pub(super) failure: Option<Arc<Failure>>,
    pub(super) dispose_failure: Option<Arc<Failure>>,
    pub(super) outcome: Option<StopOutcome>,
    pub(super) order_violated: bool,
    pub(super) waited: Nanos,
    pub(super) worked: Nanos,
    pub(super) backed_off: Nanos,
}

impl Slot {
    /// The start attempt, and with it the scope.
    pub(super) fn key(&self, component: ComponentId) -> AttemptKey {
        AttemptKey {
            component,
            generation: self.generation,
            attempt: self.attempt,
        }
    }

    /// The stop call.
    pub(super) fn stop_key(&self, component: ComponentId) -> AttemptKey {
        AttemptKey {
            attempt: self.stop_call,
            ..self.key(component)
        }
    }

    /// What an event about the present state carries.
    pub(super) fn shown_key(&self, component: ComponentId) -> AttemptKey {
        AttemptKey {
            attempt: self.shown_attempt(),
            ..self.key(component)
        }
    }

    /// The drain or resume call.
    pub(super) fn drain_key(&self, component: ComponentId) -> AttemptKey {
        AttemptKey {
            attempt: self.drain_call,
            ..self.key(component)
        }
    }

    /// What the call `call` is addressed by.
    pub(super) fn call_key(&self, component: ComponentId, call: Call) -> AttemptKey {
        match call {
            Call::Start | Call::Dispose => self.key(component),
            Call::Stop => self.stop_key(component),
            Call::Drain | Call::Resume => self.drain_key(component),
        }
    }

    /// The node's call that it is in.
    pub(super) fn node_call(&self) -> Call {
        if self.resuming {
            Call::Resume
        } else {
            Call::Drain
        }
    }

    /// The attempt of the phase that it is in.
    pub(super) fn shown_attempt(&self) -> u32 {
        let in_stop = matches!(
            self.phase,
            Phase::Stopping | Phase::StopAborted | Phase::StopBackingOff
        ) || (self.state == ComponentState::Stopping && !self.phase.is_up());
        if in_stop && !self.in_start {
            self.stop_attempt()
        } else {
            self.attempt
        }
    }

    /// The attempt within the present stop, counted from 1.
    pub(super) fn stop_attempt(&self) -> u32 {
        self.stop_call - self.stop_calls_before
    }

    /// Whether nobody can say that it is really down (semantics 15).
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.unconfirmed || self.quarantined
    }

    /// What only few components have, made when first needed.
    pub(super) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_default()
    }

    /// Begins a run: what the last one left is forgotten, but for numbers, failure and quarantine.
    pub(super) fn begin_run(&mut self, unmet: u32) {
        let restarts = self.extra.as_ref().map(|it| it.restarts);
        let extra = restarts.filter(|it| *it != Restarts::default());
        *self = Self {
            phase: Phase::Waiting,
            unmet,
            state: self.state,
            reason: self.reason,
            motive: Reason::StartRequested,
            since: self.since,
            generation: self.generation,
            attempt: self.attempt,
            quarantined: self.quarantined,
            failure: self.failure.take(),
            gates_closed: self.gates_closed,
            unready: self.unready,
            extra: extra.map(|restarts| {
                Box::new(Extra {
                    restarts,
                    ..Extra::default()
                })
            }),
            ..Self::default()
        };
    }

    /// Hashes what decides over the future, times relative to `now`; for model checking. What only a report or a
    /// message shows is left out, and so is what its phase never looks at again.
    pub(super) fn fingerprint<H: Hasher>(&self, now: Time, due: Time, whole: Whole, state: &mut H) {
        let ahead = |time: Time| (time != Time::MAX).then(|| time.since(now));
        let lasting = (self.quarantined, self.unconfirmed, self.wanted);
        (self.phase, self.state, lasting, ahead(due)).hash(state);
        if self.wanted == Wanted::Failed {
            // Whether it is wanted again with what it failed for.
            (self.motive, self.cause).hash(state);
        }
        (self.available, self.released, self.has_run, self.leaving).hash(state);
        self.start_failed.hash(state);
        (self.gates_closed, self.health, self.drain, self.blockers).hash(state);
        ahead(self.restart_at).hash(state);
        if !whole.is_stopping {
            self.unmet.hash(state);
        }
        if self.phase == Phase::Starting {
            (self.lost_early.is_some(), self.completed_early).hash(state);
        }
        if self.in_start {
            let failure = self
                .failure
                .as_ref()
                .map(|it| (it.kind, it.class, it.retry_after));
            (
                self.attempt,
                ahead(self.total_deadline),
                self.retry_delay,
                failure,
            )
                .hash(state);
            (self.cancelled, self.undisposed, self.undo_failed).hash(state);
        }
        if matches!(
            self.phase,
            Phase::Stopping | Phase::StopAborted | Phase::StopBackingOff
        ) {
            let deadlines = (ahead(self.total_deadline), ahead(self.share_deadline));
            (self.stop_attempt(), deadlines).hash(state);
        }
        if matches!(
            self.phase,
            Phase::Draining | Phase::DrainCancelled | Phase::DrainAborted
        ) {
            (self.resuming, self.node_call_standing).hash(state);
        }
        if whole.is_draining {
            (self.drain_blockers, self.drain_passed).hash(state);
        }
        if self.phase == Phase::Kept || whole.is_stopping || self.leaving {
            (self.outcome, self.has_turn, self.has_told).hash(state);
        }
        if whole.is_stopping {
            self.down.hash(state);
        }
        if whole.is_starting {
            self.settled.hash(state);
        }
        if let Some(extra) = &self.extra {
            extra.fingerprint(now, state);
        }
    }
}

/// What only few components ever have: a restart, an operation, a check, something to say.
#[derive(Clone, Debug, Default)]
pub(super) struct Extra {
    /// When its own failures were that the budget counts, the oldest first.
    pub(super) charges: VecDeque<Time>,
    /// How many restarts there were since it last ran for its stable period.
    pub(super) restart_step: u32,
    /// How often it was started again, and why.
    pub(super) restarts: Restarts,
    /// What somebody waits for.
    pub(super) operations: Vec<OpenOperation>,
    /// What went down with it since the first of these began.
    pub(super) collateral: Vec<ComponentId>,
    /// What it was lost by.
    pub(super) loss: Option<Arc<Failure>>,
    /// How its stop failed outside of a stop of the whole.
    pub(super) stop_failure: Option<Arc<Failure>>,
    /// How its last drain or resume failed.
    pub(super) drain_failure: Option<Arc<Failure>>,
    /// What it said last that it is doing.
    pub(super) progress: Option<Arc<str>>,
    /// How much it said last to have in flight.
    pub(super) in_flight: Option<u64>,
    /// What it says is missing.
    pub(super) degraded: Option<Arc<str>>,
    /// The health check under way or done last, counted from 1 in its generation.
    pub(super) check: u32,
    /// That check is under way.
    pub(super) checking: bool,
    /// The task of a check is not gone yet.
    pub(super) check_unanswered: bool,
    /// How many checks have failed in a row.
    pub(super) misses: u32,
    /// How the last of them failed.
    pub(super) check_failure: Option<Arc<Failure>>,
    /// A restart for its bad health was refused already.
    pub(super) refused: bool,
    /// What of it did not end when it should.
    pub(super) hang: Option<Hang>,
}

impl Extra {
    fn fingerprint<H: Hasher>(&self, now: Time, state: &mut H) {
        let ages = self.charges.iter().map(|it| now.since(*it));
        ages.for_each(|it| it.hash(state));
        self.restart_step.hash(state);
        for operation in &self.operations {
            operation.operation.hash(state);
        }
        (self.checking, self.check_unanswered, self.misses).hash(state);
        (self.degraded.is_some(), self.refused, self.loss.is_some()).hash(state);
    }

    /// Forgets what belonged to the generation before.
    pub(super) fn begin_generation(&mut self) {
        self.progress = None;
        self.in_flight = None;
        self.degraded = None;
        self.check = 0;
        self.checking = false;
        self.check_unanswered = false;
        self.misses = 0;
        self.check_failure = None;
        self.refused = false;
        self.hang = None;
        self.loss = None;
        self.drain_failure = None;
    }
}

/// An operation that somebody waits for.
#[derive(Clone, Copy, Debug)]
pub(super) struct OpenOperation {
    pub(super) request: RequestId,
    pub(super) operation: Operation,
    pub(super) began: Time,
}

/// What did not end when it should.
#[derive(Clone, Debug)]
pub(super) struct Hang {
    pub(super) call: Option<Call>,
    pub(super) began: Time,
    pub(super) given_up: Time,
    pub(super) progress: Option<Arc<str>>,
}

/// What the orchestrator as a whole is doing, as far as a component's fingerprint depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub(super) is_starting: bool,
    pub(super) is_stopping: bool,
    pub(super) is_draining: bool,
}
