//! The start attempts of one component, and what becomes of it while it runs.

use std::sync::Arc;

use crate::failure::{Class, Failure, FailureKind};
use crate::plan::ComponentId;
use crate::policy::{self, RetryPolicy};
use crate::registration::Criticality;
use crate::time::{Nanos, Time};

use super::Engine;
use super::limit::{LEAST_SHARE, after, earliest, timeout};
use super::message::{AttemptKey, Call, CallOutcome, Command, EventKind, Limit, Reason};
use super::report::StopOutcome;

use super::slot::{Phase, Slot};
use super::state::ComponentState;

impl Engine {
    pub(super) fn slot(&mut self, id: ComponentId) -> &mut Slot {
        &mut self.slots[id.index()]
    }

    /// Makes the next start attempt of `id`; the first one begins a generation (semantics 6).
    pub(super) fn begin_attempt(&mut self, now: Time, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let policy = &plan.policies(id).start;
        let phase = self.slot(id).phase;
        // The step that met its last edge may have failed it by another one.
        if !matches!(phase, Phase::Waiting | Phase::BackingOff) {
            return;
        }
        let first = phase == Phase::Waiting;
        if let (false, Some(lost)) = (first, self.lost_dependency(id)) {
            self.give_up_without(now, id, lost);
            return;
        }
        let slot = self.slot(id);
        if first {
            slot.generation += 1;
            slot.attempt = 0;
            slot.stop_call = 0;
            slot.stop_calls_before = 0;
            slot.total_deadline = after(now, policy.total);
            slot.in_start = true;
        }
        slot.attempt += 1;
        slot.lost_early = None;
        slot.completed_early = false;
        slot.undo_failed = false;
        slot.retry_delay = None;
        slot.undisposed = true;
        slot.phase = Phase::Starting;
        slot.call_began = now;
        let total = slot.total_deadline;
        let (deadline, limit) = earliest([
            (after(now, policy.attempt_timeout), Limit::AttemptTimeout),
            (total, Limit::PhaseTotal),
        ]);
        let key = slot.key(id);
        self.arm(id, deadline, limit);
        self.commands.push_back(Command::Call {
            call: Call::Start,
            key,
            deadline,
        });
        let reason = match (first, plan.dependencies(id).is_empty()) {
            (true, true) => Reason::StartRequested,
            (true, false) => Reason::DependenciesReady,
            (false, _) => Reason::RetryDue,
        };
        self.enter(now, id, ComponentState::Starting, reason);
    }

    /// Something of an earlier generation still blocks a thread: no further one (semantics 7).
    pub(super) fn refuse_quarantined(&mut self, now: Time, id: ComponentId) {
        let message = "an earlier generation still blocks a thread, so it cannot be started again in this process";
        let slot = self.slot(id);
        slot.failure = Some(Arc::new(Failure::new(FailureKind::Abandoned, message)));
        slot.phase = Phase::Idle;
        self.fail_start(now, id);
        self.enter(now, id, ComponentState::Faulted, Reason::Quarantined);
        self.settle(id);
        self.release_without(now, id);
    }

    pub(super) fn end_start_call(&mut self, now: Time, key: AttemptKey, outcome: CallOutcome) {
        let id = key.component;
        let slot = self.slot(id);
        let awaited = matches!(
            slot.phase,
            Phase::Starting | Phase::StartCancelled | Phase::StartAborted
        );
        if !awaited || slot.key(id) != key {
            return;
        }
        let given_up = slot.phase != Phase::Starting;
        match outcome {
            Ok(()) if given_up => self.undo_start(now, id),
            Ok(()) => match slot.lost_early.take() {
                Some(failure) => {
                    slot.failure = Some(failure);
                    self.undo_start(now, id);
                }
                None => self.run_component(now, id),
            },
            Err(failure) => {
                // What ends an attempt that was given up is its limit, unless the value itself is spoiled.
                let spoiled =
                    failure.kind == FailureKind::Panic || failure.class == Class::Permanent;
                if !given_up || spoiled {
                    slot.failure = Some(failure);
                }
                self.close_failed_attempt(now, id);
            }
        }
    }

    fn run_component(&mut self, now: Time, id: ComponentId) {
        self.timers.disarm(id);
        let slot = self.slot(id);
        slot.phase = Phase::Running;
        slot.in_start = false;
        slot.failure = None;
        slot.cause = None;
        let completed = slot.completed_early;
        self.enter(now, id, ComponentState::Running, Reason::Succeeded);
        self.settle(id);
        self.release_dependents(id);
        if completed {
            self.complete(now, id);
        }
    }

    /// The component's own loop has come to its end. For hard dependents that is a loss (semantics 8).
    fn complete(&mut self, now: Time, id: ComponentId) {
        self.enter(now, id, ComponentState::Stopped, Reason::Completed);
        self.fail_dependents(now, id);
    }

    /// Start returned `Ok` after it was given up: the attempt has failed, and what it built is stopped once (semantics 7).
    fn undo_start(&mut self, now: Time, id: ComponentId) {
        if self.time_left(now) < LEAST_SHARE {
            self.blame_undo(id, &timeout("the shutdown", Limit::GlobalDeadline));
            self.note_outcome(id, StopOutcome::NotAsked);
            self.close_failed_attempt(now, id);
            return;
        }
        let timeout = self.plan.policies(id).stop.attempt_timeout;
        let share = self.own_share_end(now, id);
        let slot = self.slot(id);
        slot.phase = Phase::Undoing;
        slot.stop_call += 1;
        slot.call_began = now;
        let key = slot.stop_key(id);
        let (deadline, limit) = earliest([
            (after(now, timeout), Limit::AttemptTimeout),
            (share, Limit::Share),
            (self.global_deadline(), Limit::GlobalDeadline),
        ]);
        self.arm(id, deadline, limit);
        self.commands.push_back(Command::Call {
            call: Call::Stop,
            key,
            deadline,
        });
        self.enter(now, id, ComponentState::Stopping, Reason::Failed);
        if self.is_forced() {
            self.cancel_stop(now, id);
        }
    }

    pub(super) fn end_undo(&mut self, now: Time, id: ComponentId, outcome: CallOutcome) {
        let aborted = self.slot(id).phase == Phase::UndoAborted;
        self.slot(id).undo_failed = outcome.is_err();
        match outcome {
            Ok(()) => self.note_outcome(id, StopOutcome::Stopped),
            Err(_) if aborted => self.note_outcome(id, StopOutcome::Aborted),
            Err(failure) => {
                self.blame_undo(id, &failure);
                self.emit_failed_attempt(now, id, Call::Stop, failure);
                self.note_outcome(id, StopOutcome::Failed);
            }
        }
        self.close_failed_attempt(now, id);
    }

    /// What went wrong in undoing a start is an error of the stop that wanted it; otherwise the start's own stays.
    fn blame_undo(&mut self, id: ComponentId, failure: &Arc<Failure>) {
        if self.slot(id).cancelled {
            self.slot(id).failure = Some(Arc::clone(failure));
        }
    }

    pub(super) fn time_out_undo(&mut self, now: Time, id: ComponentId, limit: Limit) {
        self.blame_undo(id, &timeout("stop", limit));
        self.abort_call(now, id, Call::Stop, limit, Phase::UndoAborted);
    }

    /// A start attempt has failed: its scope is closed before anything else happens (semantics 6).
    fn close_failed_attempt(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        // A start that was cancelled on request has not failed; its event says so already.
        let failure = slot.failure.clone().filter(|_| !slot.cancelled);
        if let Some(failure) = failure {
            self.emit_failed_attempt(now, id, Call::Start, failure);
        }
        let limits = self.grace(now, id);
        self.close_scope(now, id, limits);
    }

    pub(super) fn emit_failed_attempt(
        &mut self,
        now: Time,
        id: ComponentId,
        call: Call,
        failure: Arc<Failure>,
    ) {
        let slot = self.slot(id);
        let key = match call {
            Call::Start | Call::Dispose => slot.key(id),
            Call::Stop => slot.stop_key(id),
        };
        let worked = now - slot.call_began;
        let reason = match failure.kind {
            FailureKind::Timeout => Reason::TimedOut,
            FailureKind::Cancelled => Reason::StartCancelled,
            FailureKind::Error
            | FailureKind::Panic
            | FailureKind::Lost
            | FailureKind::Abandoned
            | FailureKind::Dependency => Reason::Failed,
        };
        let kind = EventKind::AttemptFailed {
            call,
            key,
            worked,
            failure,
        };
        self.emit(now, reason, None, kind);
    }

    /// Decides between a further start attempt and the end of the generation.
    pub(super) fn conclude_attempt(&mut self, now: Time, id: ComponentId) {
        let delay = self.start_retry_delay(now, id);
        self.slot(id).retry_delay = delay;
        let Some(delay) = delay else {
            if !self.slot(id).cancelled {
                self.fail_start(now, id);
            }
            self.dispose(now, id);
            return;
        };
        let key = self.slot(id).key(id);
        self.emit(
            now,
            Reason::Failed,
            None,
            EventKind::RetryScheduled {
                call: Call::Start,
                key,
                delay,
            },
        );
        if self.plan.is_factory(id) {
            self.dispose(now, id);
        } else {
            self.back_off_start(now, id, delay);
        }
    }

    /// The delay before the next attempt; `None` when there is none: cancelled, blocked, exhausted, or out of time.
    fn start_retry_delay(&self, now: Time, id: ComponentId) -> Option<Nanos> {
        let slot = &self.slots[id.index()];
        if slot.cancelled || slot.quarantined || self.shutdown.is_some() {
            return None;
        }
        let failure = slot.failure.as_ref()?;
        // The next attempt would see the value that panicked, or that is still up.
        let spoiled = failure.kind == FailureKind::Panic || slot.undo_failed;
        if spoiled && !self.plan.is_factory(id) {
            return None;
        }
        let policy = &self.plan.policies(id).start;
        let delay = self.delay_after(id, policy, slot.attempt, failure)?;
        // A back-off that cannot fit fails now (semantics 18).
        (now + delay < slot.total_deadline).then_some(delay)
    }

    pub(super) fn delay_after(
        &self,
        id: ComponentId,
        policy: &RetryPolicy,
        attempt: u32,
        failure: &Failure,
    ) -> Option<Nanos> {
        let generation = self.slots[id.index()].generation;
        let random = policy::random(
            self.plan.defaults().seed,
            id.index() as u64,
            u64::from(generation),
            u64::from(attempt),
        );
        policy.delay_after(attempt, failure, random)
    }

    pub(super) fn back_off_start(&mut self, now: Time, id: ComponentId, delay: Nanos) {
        self.slot(id).phase = Phase::BackingOff;
        self.enter(now, id, ComponentState::BackingOff, Reason::Failed);
        if delay == Nanos::ZERO {
            self.timers.disarm(id);
            self.startable.insert(self.plan.rank(id));
            return;
        }
        self.slot(id).limit = None;
        self.timers.arm(id, now + delay);
    }

    /// A task ended although nobody had asked it to (semantics 8).
    pub(super) fn end_task(&mut self, now: Time, key: AttemptKey, outcome: CallOutcome) {
        let id = key.component;
        let slot = self.slot(id);
        if slot.key(id) != key {
            return;
        }
        match (slot.phase, outcome) {
            (Phase::Starting, Err(failure)) => {
                slot.lost_early.get_or_insert(failure);
            }
            (Phase::Starting, Ok(())) => slot.completed_early = true,
            (Phase::Running, Err(failure)) if slot.state == ComponentState::Running => {
                self.lose(now, id, failure);
            }
            (Phase::Running, Ok(())) if slot.state == ComponentState::Running => {
                self.complete(now, id);
            }
            // Whatever ends while its component goes down was asked to.
            _ => {}
        }
    }

    /// A running component is lost. Its generation is stopped with the rest; an essential one stops the host.
    fn lose(&mut self, now: Time, id: ComponentId, failure: Arc<Failure>) {
        self.slot(id).failure = Some(failure);
        self.enter(now, id, ComponentState::Faulted, Reason::Lost);
        self.fail_dependents(now, id);
        if self.shutdown.is_none() && self.plan.criticality(id) == Criticality::Essential {
            self.stop_without(now, id, Reason::EssentialLost);
        }
    }

    pub(super) fn time_out_start(&mut self, now: Time, id: ComponentId, limit: Limit) {
        self.slot(id).failure = Some(timeout("start", limit));
        self.cancel_start(now, id, Some(limit));
    }

    /// Asks the start call to end; it has the abort grace for that (semantics 7).
    pub(super) fn cancel_start(&mut self, now: Time, id: ComponentId, limit: Option<Limit>) {
        let slot = self.slot(id);
        slot.phase = Phase::StartCancelled;
        let key = slot.key(id);
        self.commands.push_back(Command::Cancel {
            call: Call::Start,
            key,
        });
        let (deadline, grace_limit) = self.grace(now, id);
        self.arm(id, deadline, grace_limit);
        let reason = limit.map_or(self.shutdown_reason(), |_| Reason::TimedOut);
        self.emit(
            now,
            reason,
            None,
            EventKind::Cancelled {
                call: Call::Start,
                key,
                limit,
            },
        );
    }

    pub(super) fn abort_start(&mut self, now: Time, id: ComponentId, limit: Limit) {
        if self.slot(id).cancelled {
            self.slot(id).failure = Some(timeout("start", limit));
        }
        self.note_outcome(id, StopOutcome::Aborted);
        self.abort_call(now, id, Call::Start, limit, Phase::StartAborted);
    }
}
