//! The end of an attempt or a generation: its tasks, its dispose, and what cannot be ended.

use std::sync::Arc;

use crate::failure::{Failure, FailureKind};
use crate::plan::ComponentId;
use crate::time::Time;

use super::Engine;
use super::limit::timeout;
use super::message::{AttemptKey, Call, CallOutcome, Command, EventKind, Limit, Reason};
use super::report::StopOutcome;
use super::slot::{Hang, Phase};
use super::state::ComponentState;

impl Engine {
    /// Asks for the scope to be closed; its tasks may end by themselves until `deadline`.
    pub(super) fn close_scope(
        &mut self,
        now: Time,
        id: ComponentId,
        (deadline, limit): (Time, Limit),
    ) {
        let slot = self.slot(id);
        slot.phase = Phase::Closing;
        let key = slot.key(id);
        self.commands.push_back(Command::CloseScope { key });
        if self.has_expired() {
            self.abort_scope(now, id);
        } else {
            self.arm(id, deadline, limit);
        }
    }

    pub(super) fn abort_scope(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        slot.phase = Phase::ScopeAborted;
        let key = slot.key(id);
        self.commands.push_back(Command::AbortScope { key });
        self.arm_abort(now, id);
    }

    pub(super) fn end_scope(&mut self, now: Time, key: AttemptKey) {
        let id = key.component;
        let slot = self.slot(id);
        let awaited = matches!(slot.phase, Phase::Closing | Phase::ScopeAborted);
        if awaited && slot.key(id) == key {
            self.conclude(now, id);
        }
    }

    /// Nothing of the attempt or the generation is at work any more. What follows?
    fn conclude(&mut self, now: Time, id: ComponentId) {
        if self.slot(id).in_start {
            self.conclude_attempt(now, id);
            return;
        }
        let failed = self.slot(id).outcome == Some(StopOutcome::Failed);
        // Outside of a stop of the whole nobody would ask it again, and a restart is the remedy for what is broken.
        if failed && self.shutdown.is_some() && !self.is_forced() {
            self.keep(now, id, ComponentState::Faulted, Reason::AttemptsExhausted);
        } else {
            self.dispose(now, id);
        }
    }

    /// Calls dispose, unless this generation has been disposed already (invariant 4).
    pub(super) fn dispose(&mut self, now: Time, id: ComponentId) {
        if !self.slot(id).undisposed {
            self.end_dispose(now, id);
            return;
        }
        let (deadline, limit) = self.dispose_deadline(now, id);
        let slot = self.slot(id);
        slot.undisposed = false;
        slot.phase = Phase::Disposing;
        let key = slot.key(id);
        self.arm(id, deadline, limit);
        self.commands.push_back(Command::Call {
            call: Call::Dispose,
            key,
            deadline,
        });
    }

    pub(super) fn end_dispose_call(&mut self, now: Time, key: AttemptKey, outcome: CallOutcome) {
        let id = key.component;
        let slot = self.slot(id);
        let awaited = matches!(slot.phase, Phase::Disposing | Phase::DisposeAborted);
        if !awaited || slot.key(id) != key {
            return;
        }
        let timed_out = slot.phase == Phase::DisposeAborted;
        let failure = outcome.err();
        if let (Some(failure), false) = (&failure, timed_out) {
            slot.dispose_failure = Some(Arc::clone(failure));
        }
        let failure = slot.dispose_failure.clone();
        self.emit(
            now,
            Reason::Succeeded,
            None,
            EventKind::Disposed { key, failure },
        );
        self.end_dispose(now, id);
    }

    /// The value of the attempt, or the generation, is released.
    fn end_dispose(&mut self, now: Time, id: ComponentId) {
        match self.slot(id).retry_delay.take() {
            Some(delay) if !self.slot(id).cancelled && !self.slot(id).quarantined => {
                self.back_off_start(now, id, delay);
            }
            // Its dispose blocks a thread: the attempt that was to follow never will.
            Some(_) if !self.slot(id).cancelled => {
                self.fail_sequence(now, id);
                self.end_generation(now, id);
            }
            _ => self.end_generation(now, id),
        }
    }

    /// Nothing of the generation is left (semantics 2).
    pub(super) fn end_generation(&mut self, now: Time, id: ComponentId) {
        self.timers.disarm(id);
        let slot = self.slot(id);
        slot.phase = Phase::Idle;
        slot.in_start = false;
        let (has_turn, leaving) = (slot.has_turn, slot.leaving);
        if self.shutdown.is_some() {
            self.show_ended(now, id);
            self.go_down_in_turn(now, id);
        } else if !leaving {
            self.rest(now, id);
        } else if has_turn {
            self.go_down(now, id);
        }
    }

    /// In a stop of the whole nothing is left of `id`, and how it ended is its state.
    pub(super) fn show_ended(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        let start_failed = slot.start_failed;
        let clean = matches!(slot.outcome, None | Some(StopOutcome::Stopped));
        let (state, reason) = match (start_failed, clean) {
            (true, _) => (ComponentState::Faulted, Reason::AttemptsExhausted),
            (false, true) => (ComponentState::Stopped, Reason::Succeeded),
            (false, false) => (ComponentState::Faulted, Reason::TimedOut),
        };
        self.enter(now, id, state, reason);
    }

    /// The value stays: its stop has failed, or it is held. For the order it counts as down (semantics 13, 15).
    pub(super) fn keep(
        &mut self,
        now: Time,
        id: ComponentId,
        state: ComponentState,
        reason: Reason,
    ) {
        self.timers.disarm(id);
        self.slot(id).phase = Phase::Kept;
        self.enter(now, id, state, reason);
        self.go_down_in_turn(now, id);
        self.answer_operations(now, id);
    }

    pub(super) fn time_out_scope(&mut self, now: Time, id: ComponentId, limit: Limit) {
        let slot = self.slot(id);
        let key = slot.key(id);
        if !slot.in_start {
            let failure = timeout("a task that outlived stop", limit);
            slot.failure.get_or_insert(failure);
        } else if slot.cancelled {
            slot.failure = Some(timeout("a task that outlived start", limit));
        }
        self.note_outcome(id, StopOutcome::Aborted);
        self.note_hang(now, id, None);
        self.emit(
            now,
            Reason::TimedOut,
            None,
            EventKind::Aborted {
                call: None,
                key,
                limit,
            },
        );
        self.abort_scope(now, id);
    }

    pub(super) fn time_out_dispose(&mut self, now: Time, id: ComponentId, limit: Limit) {
        self.slot(id).dispose_failure = Some(timeout("dispose", limit));
        self.note_outcome(id, StopOutcome::Aborted);
        self.abort_call(now, id, Call::Dispose, limit, Phase::DisposeAborted);
    }

    /// Drops the future of a call that did not end when it should.
    pub(super) fn abort_call(
        &mut self,
        now: Time,
        id: ComponentId,
        call: Call,
        limit: Limit,
        next: Phase,
    ) {
        self.note_hang(now, id, Some(call));
        let slot = self.slot(id);
        slot.phase = next;
        let key = slot.call_key(id, call);
        self.commands.push_back(Command::Abort { call, key });
        self.arm_abort(now, id);
        self.emit(
            now,
            Reason::TimedOut,
            None,
            EventKind::Aborted {
                call: Some(call),
                key,
                limit,
            },
        );
    }

    /// Keeps what is known of something that did not end when it should, for the report.
    fn note_hang(&mut self, now: Time, id: ComponentId, call: Option<Call>) {
        let slot = self.slot(id);
        let began = slot.call_began;
        let extra = slot.extra();
        let progress = extra.progress.clone();
        extra.hang.get_or_insert(Hang {
            call,
            began,
            given_up: now,
            progress,
        });
    }

    /// What was aborted did not even vanish: it blocks its thread. It is left behind (semantics 7).
    pub(super) fn abandon(&mut self, now: Time, id: ComponentId) {
        let in_scope = matches!(
            self.slot(id).phase,
            Phase::ScopeAborted | Phase::DisposeAborted
        );
        let key = self.slot(id).key(id);
        if !in_scope {
            self.commands.push_back(Command::CloseScope { key });
            self.commands.push_back(Command::AbortScope { key });
        }
        self.commands.push_back(Command::Abandon { key });
        self.emit(now, Reason::TimedOut, None, EventKind::Abandoned { key });
        let slot = self.slot(id);
        slot.quarantined = true;
        let failure = Failure::new(
            FailureKind::Abandoned,
            "it blocks a thread and was left behind",
        );
        slot.failure.get_or_insert_with(|| Arc::new(failure));
        self.note_outcome(id, StopOutcome::Abandoned);
        match self.slot(id).phase {
            Phase::DisposeAborted => self.end_dispose(now, id),
            _ => self.conclude(now, id),
        }
    }
}
