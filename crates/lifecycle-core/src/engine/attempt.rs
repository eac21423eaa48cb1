//! The start attempts of one component, and what becomes of it while it runs.

use std::sync::Arc;

use crate::failure::{Class, Failure, FailureKind};
use crate::plan::ComponentId;
use crate::policy::{self, RetryPolicy};
use crate::time::{Nanos, Time};

use super::Engine;
use super::limit::{LEAST_SHARE, after, earliest, timeout};
use super::message::{AttemptKey, Call, CallOutcome, Command, EventKind, Limit, Reason};
use super::report::StopOutcome;
use super::slot::{Phase, Slot, Wanted};
use super::state::{ComponentState, DrainState, Health};
use super::supervision::Loss;

impl Engine {
    pub(super) fn slot(&mut self, id: ComponentId) -> &mut Slot {
        &mut self.slots[id.index()]
    }

    /// Makes the next start attempt of `id`; the first one begins a generation (semantics 6).
    pub(super) fn begin_attempt(&mut self, now: Time, id: ComponentId) {
        let phase = self.slot(id).phase;
        // The step that met its last edge may have failed it by another one, or sent it down.
        if !matches!(phase, Phase::Waiting | Phase::BackingOff) || self.slot(id).leaving {
            return;
        }
        let first = phase == Phase::Waiting;
        if self.slot(id).unmet > 0 || self.is_gate_closed(id) {
            // What kept it came up after its turn did, in the same step.
            if first {
                self.await_start(now, id);
            } else {
                self.wait_anew(now, id);
            }
            return;
        }
        let plan = Arc::clone(&self.plan);
        let policy = &plan.policies(id).start;
        if first {
            self.begin_generation(id, after(now, policy.total));
        }
        let slot = self.slot(id);
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
        let motive = slot.motive;
        self.arm(id, deadline, limit);
        self.commands.push_back(Command::Call {
            call: Call::Start,
            key,
            deadline,
        });
        let reason = match (first, motive) {
            (false, _) => Reason::RetryDue,
            (true, Reason::StartRequested) if !plan.dependencies(id).is_empty() => {
                Reason::DependenciesReady
            }
            (true, motive) => motive,
        };
        self.enter(now, id, ComponentState::Starting, reason);
    }

    fn begin_generation(&mut self, id: ComponentId, total_deadline: Time) {
        let slot = self.slot(id);
        slot.generation += 1;
        slot.attempt = 0;
        slot.stop_call = 0;
        slot.stop_calls_before = 0;
        slot.drain_call = 0;
        slot.total_deadline = total_deadline;
        slot.in_start = true;
        slot.cancelled = false;
        slot.start_failed = false;
        slot.unconfirmed = false;
        slot.order_violated = false;
        slot.outcome = None;
        slot.dispose_failure = None;
        slot.drain = DrainState::Active;
        if let Some(extra) = &mut slot.extra {
            extra.begin_generation();
        }
    }

    /// Between two attempts of `id` what it needs went away: its generation ends, and it waits again. Nothing of that is
    /// charged (invariant 1).
    fn wait_anew(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        slot.retry_delay = None;
        // Otherwise a rollback that begins here would take it for one that backs off, and dispose it too.
        slot.phase = Phase::Idle;
        slot.motive = Reason::DependenciesReady;
        self.dispose(now, id);
    }

    /// Something of an earlier generation still blocks a thread: no further one (semantics 7).
    pub(super) fn refuse_quarantined(&mut self, now: Time, id: ComponentId) {
        let message = "an earlier generation still blocks a thread, so it cannot be started again in this process";
        let slot = self.slot(id);
        slot.failure = Some(Arc::new(Failure::new(FailureKind::Abandoned, message)));
        slot.phase = Phase::Idle;
        if self.is_being_added(id) {
            self.slot(id).wanted = Wanted::Removed;
            self.rest(now, id);
            return;
        }
        self.fail_for_good(now, id, Reason::Quarantined);
        self.rest_failed(now, id);
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
        slot.health = Health::Healthy;
        let completed = slot.completed_early;
        self.enter(now, id, ComponentState::Running, Reason::Succeeded);
        self.settle(id);
        self.offer(now, id);
        self.answer_operations(now, id);
        if completed {
            self.lose(now, id, &Loss::Completed);
            return;
        }
        self.show_degraded(now, id);
        self.schedule_check(now, id);
        self.drain_latecomer(now, id);
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
        let key = slot.call_key(id, call);
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
                self.fail_sequence(now, id);
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
        if self.is_spoiled(id) {
            return None;
        }
        let policy = &self.plan.policies(id).start;
        let delay = self.delay_after(id, policy, slot.attempt, failure)?;
        // A back-off that cannot fit fails now (semantics 18).
        (now + delay < slot.total_deadline).then_some(delay)
    }

    /// Whether a further attempt would see the value that panicked in its start, or that is still up.
    pub(super) fn is_spoiled(&self, id: ComponentId) -> bool {
        let slot = &self.slots[id.index()];
        let failure = slot.failure.as_ref();
        let panicked = failure.is_some_and(|it| it.kind == FailureKind::Panic);
        (panicked || slot.undo_failed) && !self.plan.is_factory(id)
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
            (phase, outcome) if phase.is_up() && slot.state == ComponentState::Running => {
                let loss = outcome.map_or_else(Loss::Failed, |()| Loss::Completed);
                self.lose(now, id, &loss);
            }
            // Whatever ends while its component goes down was asked to.
            _ => {}
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
        let reason = limit.map_or(self.motive_to_stop(id), |_| Reason::TimedOut);
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
