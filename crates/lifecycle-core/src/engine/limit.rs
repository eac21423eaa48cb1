//! What limits a call or what it left, and what follows when the limit is reached (semantics 18).

use std::sync::Arc;

use crate::failure::{Class, Failure, FailureKind};
use crate::plan::ComponentId;
use crate::time::{Nanos, Time};

use super::Engine;
use super::message::Limit;
use super::slot::Phase;

/// The least time that a call is made for; what is left of a shutdown below it is used for aborting.
pub(super) const LEAST_SHARE: Nanos = Nanos::from_millis(5);

impl Engine {
    /// The deadline of `id` has come: the phase says what it was for.
    pub(super) fn end_deadline(&mut self, now: Time, id: ComponentId) {
        let limit = self.slot(id).limit.unwrap_or(Limit::AttemptTimeout);
        match self.slot(id).phase {
            Phase::Starting => self.time_out_start(now, id, limit),
            Phase::StartCancelled => self.abort_start(now, id, limit),
            Phase::Undoing => self.time_out_undo(now, id, limit),
            Phase::Closing => self.time_out_scope(now, id, limit),
            Phase::Disposing => self.time_out_dispose(now, id, limit),
            Phase::BackingOff => self.startable.insert(self.plan.rank(id)),
            Phase::Restarting => self.await_start(now, id),
            Phase::Running => self.take_check_turn(now, id),
            Phase::Draining => self.cancel_node_call(now, id, Some(limit)),
            Phase::DrainCancelled => self.abort_node_call(now, id, limit),
            Phase::DrainAborted => self.give_up_node_call(now, id),
            Phase::Stopping => self.time_out_stop(now, id, limit),
            Phase::StopBackingOff => self.stoppable.insert(self.plan.rank(id)),
            Phase::StartAborted
            | Phase::UndoAborted
            | Phase::ScopeAborted
            | Phase::DisposeAborted
            | Phase::StopAborted => self.abandon(now, id),
            Phase::Idle | Phase::Waiting | Phase::Kept => {}
        }
    }

    pub(super) fn arm(&mut self, id: ComponentId, deadline: Time, limit: Limit) {
        self.slot(id).limit = Some(limit);
        self.timers.arm(id, deadline);
    }

    /// Arms the wait for something aborted to be gone.
    pub(super) fn arm_abort(&mut self, now: Time, id: ComponentId) {
        let (deadline, limit) = self.abort_deadline(now, id);
        self.arm(id, deadline, limit);
    }

    /// Until when something cancelled may take to end by itself, or something aborted to be gone: the abort grace, in a
    /// stop at most its share of the time left, so that one blocked component does not use up that of those below it.
    pub(super) fn grace(&self, now: Time, id: ComponentId) -> (Time, Limit) {
        let grace = self.plan.policies(id).abort_grace;
        let own = (now + grace, Limit::AbortGrace);
        if self.shutdown.is_none() || self.has_expired() {
            return own;
        }
        earliest([own, (self.share_end(now, id, grace), Limit::Share)])
    }

    /// Until when something aborted may take to be gone; at the very end the margin after the deadline.
    pub(super) fn abort_deadline(&self, now: Time, id: ComponentId) -> (Time, Limit) {
        let own = if self.time_left(now) < LEAST_SHARE {
            (now + self.plan.policies(id).abort_grace, Limit::AbortGrace)
        } else {
            self.grace(now, id)
        };
        earliest([own, (self.final_deadline(now), Limit::GlobalDeadline)])
    }

    /// Until when dispose may take, and by which limit.
    pub(super) fn dispose_deadline(&self, now: Time, id: ComponentId) -> (Time, Limit) {
        let timeout = self.plan.policies(id).dispose_timeout;
        let own = (now + timeout, Limit::AttemptTimeout);
        if self.shutdown.is_none() {
            return own;
        }
        if self.has_expired() {
            // What is still disposing at the next step is left there.
            return (Time::MAX, Limit::GlobalDeadline);
        }
        earliest([own, (self.share_end(now, id, timeout), Limit::Share)])
    }

    /// The end of the share of `id`: of the time left, the part that its own weight has in the longest path from it on
    /// (semantics 18). At least [`LEAST_SHARE`], so that a long chain of quick components is asked and not aborted.
    pub(super) fn share_end(&self, now: Time, id: ComponentId, weight: Nanos) -> Time {
        let share = self
            .time_left(now)
            .share(weight, self.plan.tail(id))
            .max(LEAST_SHARE);
        (now + share).min(self.global_deadline())
    }

    /// The end of the share that a stop of `id` has; never without a stop of the whole.
    pub(super) fn own_share_end(&self, now: Time, id: ComponentId) -> Time {
        let shutdown = self.shutdown.as_ref();
        shutdown.map_or(Time::MAX, |_| self.share_end(now, id, self.plan.weight(id)))
    }

    pub(super) fn time_left(&self, now: Time) -> Nanos {
        self.global_deadline().since(now)
    }

    /// The deadline of the stop under way; never without one.
    pub(super) fn global_deadline(&self) -> Time {
        self.shutdown.as_ref().map_or(Time::MAX, |it| it.deadline)
    }

    /// When the stop under way no longer waits for aborted work; never without one.
    pub(super) fn final_deadline(&self, now: Time) -> Time {
        let shutdown = self.shutdown.as_ref();
        shutdown.map_or(Time::MAX, |it| it.abort_ends(now))
    }
}

/// `length` from now, or never.
pub(super) fn after(now: Time, length: Option<Nanos>) -> Time {
    length.map_or(Time::MAX, |it| now + it)
}

/// The earliest of several limits; the first named one at a tie.
pub(super) fn earliest<const N: usize>(limits: [(Time, Limit); N]) -> (Time, Limit) {
    let unlimited = (Time::MAX, Limit::AttemptTimeout);
    limits
        .into_iter()
        .min_by_key(|(time, _)| *time)
        .unwrap_or(unlimited)
}

/// The failure of `what`, which was still at work at `limit`.
pub(super) fn timeout(what: &str, limit: Limit) -> Arc<Failure> {
    let message = format!("{what} was still at work at its limit: {}", limit.as_str());
    Arc::new(Failure::new(FailureKind::Timeout, message).with_class(Class::Transient))
}
