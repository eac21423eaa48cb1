//! The stop of one component: asked in its turn, tried again, given up.

use std::sync::Arc;

use crate::failure::{Failure, FailureKind};
use crate::plan::ComponentId;
use crate::time::{Nanos, Time};

use super::Engine;
use super::limit::{LEAST_SHARE, after, earliest, timeout};
use super::message::{AttemptKey, Call, CallOutcome, Command, EventKind, Limit, Reason};
use super::report::StopOutcome;
use super::slot::{Phase, Wanted};
use super::state::ComponentState;

impl Engine {
    /// Begins the stop of a running or kept component, unless it is held or out of time.
    pub(super) fn ask_to_stop(&mut self, now: Time, id: ComponentId) {
        let unconfirmed = self.unconfirmed_dependents(id);
        // Whoever takes it out means it, as whoever forces.
        let insists = self.is_forced() || self.slot(id).wanted == Wanted::Removed;
        if unconfirmed.holds && !insists {
            self.hold(now, id);
            return;
        }
        if self.time_left(now) < LEAST_SHARE {
            self.close_unasked(now, id);
            return;
        }
        let share_deadline = self.own_share_end(now, id);
        let total = self.plan.policies(id).stop.total;
        let slot = self.slot(id);
        slot.order_violated = unconfirmed.any;
        slot.share_deadline = share_deadline;
        slot.total_deadline = after(now, total);
        slot.stop_calls_before = slot.stop_call;
        if slot.phase == Phase::Kept {
            slot.failure = None;
            slot.outcome = None;
            slot.unconfirmed = false;
        }
        let alone = self.plan.dependents(id).is_empty();
        let reason = if alone || self.shutdown.is_none() {
            self.motive_to_stop(id)
        } else {
            Reason::DependentsDown
        };
        self.call_stop(now, id, reason);
    }

    /// Why `id` goes down.
    pub(super) fn motive_to_stop(&self, id: ComponentId) -> Reason {
        let shutdown = self.shutdown.as_ref();
        shutdown.map_or(self.slots[id.index()].motive, |it| it.reason)
    }

    /// A dependent could not be confirmed down, and its edge holds `id` up (semantics 15).
    fn hold(&mut self, now: Time, id: ComponentId) {
        self.note_outcome(id, StopOutcome::Held);
        let slot = self.slot(id);
        let (state, key) = (slot.state, slot.key(id));
        self.emit(now, Reason::Held, None, EventKind::Held { key });
        if self.shutdown.is_some() {
            // One that was lost does not run, whatever holds it up.
            let state = match state {
                ComponentState::Stopping => ComponentState::Faulted,
                _ => state,
            };
            self.keep(now, id, state, Reason::Held);
            return;
        }
        // What was to be restarted never can be: the old value stays up.
        let message = "a dependent could not be confirmed down and holds it up, so it is neither stopped nor started again";
        self.slot(id).failure = Some(Arc::new(Failure::new(FailureKind::Dependency, message)));
        // Before whatever stops everything for it, in which it has a turn of its own.
        self.keep(now, id, ComponentState::Faulted, Reason::Held);
        self.fail_for_good(now, id, Reason::Held);
        self.answer_operations(now, id);
        if self.shutdown.is_none() {
            self.release_without(now, id);
        }
    }

    /// Whether a dependent could not be confirmed down, and whether such an edge holds `id` up (semantics 15).
    fn unconfirmed_dependents(&self, id: ComponentId) -> Unconfirmed {
        let mut found = Unconfirmed::default();
        // Without any in a stop of the whole, no edge need be looked at.
        if self.shutdown.as_ref().is_some_and(|it| !it.unconfirmed) {
            return found;
        }
        for edge in self.plan.dependents(id) {
            if self.slots[edge.component.index()].is_unconfirmed() {
                found.any = true;
                found.holds |= edge.hold;
            }
        }
        found
    }

    /// The deadline came before its turn: its tasks are aborted and it is disposed, without a stop call (semantics 14).
    pub(super) fn close_unasked(&mut self, now: Time, id: ComponentId) {
        self.note_outcome(id, StopOutcome::NotAsked);
        self.slot(id).failure = Some(timeout("the shutdown", Limit::GlobalDeadline));
        self.enter(now, id, ComponentState::Stopping, Reason::DeadlinePassed);
        let key = self.slot(id).key(id);
        self.commands.push_back(Command::CloseScope { key });
        self.abort_scope(now, id);
    }

    pub(super) fn call_stop(&mut self, now: Time, id: ComponentId, reason: Reason) {
        let timeout = self.plan.policies(id).stop.attempt_timeout;
        let global = self.global_deadline();
        let slot = self.slot(id);
        let (deadline, limit) = earliest([
            (after(now, timeout), Limit::AttemptTimeout),
            (slot.total_deadline, Limit::PhaseTotal),
            (slot.share_deadline, Limit::Share),
            (global, Limit::GlobalDeadline),
        ]);
        slot.stop_call += 1;
        slot.phase = Phase::Stopping;
        slot.call_began = now;
        let key = slot.stop_key(id);
        self.arm(id, deadline, limit);
        self.commands.push_back(Command::Call {
            call: Call::Stop,
            key,
            deadline,
        });
        self.enter(now, id, ComponentState::Stopping, reason);
        if self.is_forced() {
            self.cancel_stop(now, id);
        }
    }

    /// Tells a stop call to give up what is in flight (semantics 17).
    pub(super) fn cancel_stop(&mut self, now: Time, id: ComponentId) {
        let key = self.slot(id).stop_key(id);
        self.commands.push_back(Command::Cancel {
            call: Call::Stop,
            key,
        });
        let kind = EventKind::Cancelled {
            call: Call::Stop,
            key,
            limit: None,
        };
        self.emit(now, Reason::ForceRequested, None, kind);
    }

    pub(super) fn end_stop_call(&mut self, now: Time, key: AttemptKey, outcome: CallOutcome) {
        let id = key.component;
        let slot = self.slot(id);
        if slot.stop_key(id) != key {
            return;
        }
        match slot.phase {
            Phase::Undoing | Phase::UndoAborted => self.end_undo(now, id, outcome),
            Phase::Stopping => match outcome {
                Ok(()) => self.close_stopped(now, id),
                Err(failure) => self.fail_stop_attempt(now, id, &failure),
            },
            Phase::StopAborted => match outcome {
                // It returned while it was being aborted, which is as good.
                Ok(()) => self.close_stopped(now, id),
                // The limit is what ended it, unless the value itself is spoiled.
                Err(failure) => {
                    let limit = self.slot(id).failure.clone();
                    let limit = limit.filter(|_| failure.kind != FailureKind::Panic);
                    self.fail_stop_attempt(now, id, &limit.unwrap_or(failure));
                }
            },
            _ => {}
        }
    }

    /// Stop has succeeded; tasks that it left may end by themselves under the same deadline (semantics 17).
    fn close_stopped(&mut self, now: Time, id: ComponentId) {
        self.note_outcome(id, StopOutcome::Stopped);
        let slot = self.slot(id);
        let limit = slot.limit.unwrap_or(Limit::AttemptTimeout);
        // The deadline of an abort is not one for joining: what is left then is aborted.
        let in_time = slot.phase == Phase::Stopping;
        if in_time && slot.stop_attempt() > 1 {
            // What an earlier attempt has said is over; what it was lost by is not.
            slot.failure = slot.extra.as_ref().and_then(|it| it.loss.clone());
        }
        let deadline = if in_time { self.timers.due(id) } else { now };
        self.close_scope(now, id, (deadline, limit));
    }

    fn fail_stop_attempt(&mut self, now: Time, id: ComponentId, failure: &Arc<Failure>) {
        let aborted = self.slot(id).phase == Phase::StopAborted;
        self.slot(id).failure = Some(Arc::clone(failure));
        self.emit_failed_attempt(now, id, Call::Stop, Arc::clone(failure));
        let Some(delay) = self.stop_retry_delay(now, id, failure) else {
            let outcome = if aborted {
                StopOutcome::Aborted
            } else {
                StopOutcome::Failed
            };
            self.note_outcome(id, outcome);
            if self.shutdown.is_none() {
                self.slot(id).extra().stop_failure = Some(Arc::clone(failure));
            }
            let limits = self.grace(now, id);
            self.close_scope(now, id, limits);
            return;
        };
        let key = self.slot(id).stop_key(id);
        self.emit(
            now,
            Reason::Failed,
            None,
            EventKind::RetryScheduled {
                call: Call::Stop,
                key,
                delay,
            },
        );
        self.slot(id).phase = Phase::StopBackingOff;
        self.enter(now, id, ComponentState::BackingOff, Reason::Failed);
        if delay == Nanos::ZERO {
            self.timers.disarm(id);
            self.stoppable.insert(self.plan.rank(id));
        } else {
            self.slot(id).limit = None;
            self.timers.arm(id, now + delay);
        }
    }

    /// The delay before the next stop attempt; `None` when there is none, or when it would not fit (semantics 18).
    fn stop_retry_delay(&self, now: Time, id: ComponentId, failure: &Failure) -> Option<Nanos> {
        // A value that panicked is not called again before somebody asks for it.
        if failure.kind == FailureKind::Panic || self.has_expired() {
            return None;
        }
        let slot = &self.slots[id.index()];
        let policy = &self.plan.policies(id).stop;
        let delay = self.delay_after(id, policy, slot.stop_attempt(), failure)?;
        (now + delay < self.stop_limit(id)).then_some(delay)
    }

    /// When the last attempt of a stop must have begun.
    pub(super) fn stop_limit(&self, id: ComponentId) -> Time {
        let slot = &self.slots[id.index()];
        let own = slot.total_deadline.min(slot.share_deadline);
        own.min(self.global_deadline())
    }

    pub(super) fn time_out_stop(&mut self, now: Time, id: ComponentId, limit: Limit) {
        self.slot(id).failure = Some(timeout("stop", limit));
        self.abort_call(now, id, Call::Stop, limit, Phase::StopAborted);
    }

    /// Notes how the stop of `id` ended; a worse outcome stays. While it does not go down there is nothing to note.
    pub(super) fn note_outcome(&mut self, id: ComponentId, outcome: StopOutcome) {
        let slot = &mut self.slots[id.index()];
        if self.shutdown.is_none() && !slot.leaving {
            return;
        }
        let known = slot.outcome;
        if known.is_none_or(|it| severity(it) < severity(outcome)) {
            slot.outcome = Some(outcome);
        }
        slot.unconfirmed |= matches!(
            outcome,
            StopOutcome::Aborted | StopOutcome::Abandoned | StopOutcome::Held
        );
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.unconfirmed |= slot.unconfirmed;
        }
    }
}

/// What is known of the dependents of a component that shall stop.
#[derive(Clone, Copy, Debug, Default)]
struct Unconfirmed {
    any: bool,
    holds: bool,
}

/// How bad an outcome is: of two that a component had in one stop, the worse one is reported.
fn severity(outcome: StopOutcome) -> u8 {
    match outcome {
        StopOutcome::Stopped => 0,
        StopOutcome::NotAsked => 1,
        StopOutcome::Failed => 2,
        StopOutcome::Aborted => 3,
        StopOutcome::Held => 4,
        StopOutcome::Abandoned => 5,
    }
}
