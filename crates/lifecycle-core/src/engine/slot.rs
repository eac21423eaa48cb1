//! What the engine keeps of one component.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::failure::Failure;
use crate::plan::ComponentId;
use crate::time::{Nanos, Time};

use super::message::{AttemptKey, Limit, Reason};
use super::report::StopOutcome;
use super::state::ComponentState;

/// Where a component is in its work. Finer than its state: each phase waits for exactly one thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    /// For nothing: nothing of it is up.
    #[default]
    Idle,
    /// For its dependencies.
    Waiting,
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
    /// For the stop call.
    Stopping,
    /// For the stop call that was aborted to be gone.
    StopAborted,
    /// For the delay before the next stop attempt.
    StopBackingOff,
    /// For a further stop: its stop has failed, or it is held.
    Kept,
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
    /// How many edges still keep it from starting.
    pub(super) unmet: u32,
    /// How many dependents are not down yet in the present stop.
    pub(super) dependents_up: u32,
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
    /// No further attempt of this start: it was cancelled by a stop.
    pub(super) cancelled: bool,
    /// The start has failed for good.
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
    /// It is down in the present stop.
    pub(super) down: bool,
    /// Every dependent is down in the present stop.
    pub(super) has_turn: bool,
    /// Its dependencies know that it is down in the present stop.
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

    /// The attempt of the phase that it is in.
    pub(super) fn shown_attempt(&self) -> u32 {
        let in_stop = self.state == ComponentState::Stopping || self.phase == Phase::StopBackingOff;
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

    /// Begins a run: what the last one left is forgotten, but for numbers, failure and quarantine.
    pub(super) fn begin_run(&mut self, unmet: u32) {
        *self = Self {
            phase: Phase::Waiting,
            unmet,
            state: self.state,
            reason: self.reason,
            since: self.since,
            generation: self.generation,
            attempt: self.attempt,
            quarantined: self.quarantined,
            failure: self.failure.take(),
            ..Self::default()
        };
    }

    /// Hashes what decides over the future, times relative to `now`; for model checking. What only a report or a
    /// message shows is left out, and so is what its phase never looks at again.
    pub(super) fn fingerprint<H: Hasher>(&self, now: Time, due: Time, whole: Whole, state: &mut H) {
        let ahead = |time: Time| (time != Time::MAX).then(|| time.since(now));
        let lasting = (self.quarantined, self.unconfirmed);
        (self.phase, self.state, lasting, ahead(due)).hash(state);
        if self.phase == Phase::Waiting {
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
            (
                self.cancelled,
                self.start_failed,
                self.undisposed,
                self.undo_failed,
            )
                .hash(state);
        }
        if matches!(
            self.phase,
            Phase::Stopping | Phase::StopAborted | Phase::StopBackingOff
        ) {
            let deadlines = (ahead(self.total_deadline), ahead(self.share_deadline));
            (self.stop_attempt(), deadlines).hash(state);
        }
        if self.phase == Phase::Kept || whole.is_stopping {
            self.outcome.hash(state);
        }
        if whole.is_stopping {
            (self.dependents_up, self.down, self.has_turn, self.has_told).hash(state);
        }
        if whole.is_starting {
            self.settled.hash(state);
        }
    }
}

/// What the orchestrator as a whole is doing, as far as a component's fingerprint depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Whole {
    pub(super) is_starting: bool,
    pub(super) is_stopping: bool,
}
