//! A stop of the orchestrator: requested, rolled back, or forced; until every component is down.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::failure::FailureKind;
use crate::plan::{ComponentId, Plan};
use crate::time::{Nanos, Time};

use super::limit::timeout;
use super::message::{Call, Command, EventKind, Limit, Reason, RequestId, Response, StopMode};
use super::report::{StopOutcome, StopReport, StopTrouble};
use super::slot::{Phase, Slot};
use super::startup::{EssentialFailure, FailedStartup};
use super::state::{ComponentState, OrchestratorState};
use super::{Engine, Root};

/// How long aborted work and last disposes may take after the deadline, twice: once in order, once regardless of it.
const ABORT_MARGIN: Nanos = Nanos::from_millis(8);

/// A stop under way.
#[derive(Clone, Debug)]
pub(super) struct Shutdown {
    reason: Reason,
    root: Option<Root>,
    began: Time,
    pub(super) deadline: Time,
    stage: Stage,
    /// When the stage ends. Counted from when it was entered, so that a late clock takes no time from what was aborted.
    stage_ends: Time,
    forced: bool,
    /// How many components are not down yet.
    remaining: usize,
    /// Whether some dependent could not be confirmed down: then edges are looked at before a stop is called.
    pub(super) unconfirmed: bool,
    requests: Vec<RequestId>,
    startup: Option<FailedStartup>,
}

/// How far a stop has run out of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Stage {
    /// The deadline lies ahead.
    InTime,
    /// It has passed: nothing is asked any more; what is left is aborted and disposed, in order.
    Expired,
    /// And still something is left: the rest is disposed regardless of order.
    Last,
}

impl Stage {
    fn next(self) -> Self {
        match self {
            Self::InTime => Self::Expired,
            Self::Expired | Self::Last => Self::Last,
        }
    }
}

impl Shutdown {
    /// When time makes the next difference to the whole.
    pub(super) fn next_deadline(&self) -> Time {
        self.stage_ends
    }

    /// Goes on to `stage`, which lasts as long as aborting may take.
    fn enter_stage(&mut self, now: Time, stage: Stage) {
        self.stage = stage;
        self.stage_ends = self.stage_ends.max(now) + ABORT_MARGIN;
    }

    /// When aborted work is no longer waited for.
    pub(super) fn abort_ends(&self, now: Time) -> Time {
        match self.stage {
            Stage::InTime => self.deadline.max(now) + ABORT_MARGIN,
            Stage::Expired | Stage::Last => self.stage_ends.max(now),
        }
    }

    pub(super) fn fingerprint<H: Hasher>(&self, now: Time, state: &mut H) {
        (
            self.reason,
            self.stage,
            self.forced,
            self.remaining,
            self.unconfirmed,
        )
            .hash(state);
        (
            self.next_deadline().since(now),
            self.requests.len(),
            self.startup.is_some(),
        )
            .hash(state);
    }
}

/// How a stop begins.
#[derive(Debug)]
pub(super) struct Begin {
    pub(super) reason: Reason,
    pub(super) root: Option<Root>,
    pub(super) failed: Option<EssentialFailure>,
    pub(super) request: Option<RequestId>,
    pub(super) deadline: Option<Time>,
    pub(super) forced: bool,
}

impl Begin {
    pub(super) fn new(reason: Reason) -> Self {
        Self {
            reason,
            root: None,
            failed: None,
            request: None,
            deadline: None,
            forced: false,
        }
    }
}

impl Engine {
    /// Stops, joins the stop that is under way, or answers at once when nothing is up (semantics 12, 13, 16).
    pub(super) fn request_stop(
        &mut self,
        now: Time,
        request: RequestId,
        mode: StopMode,
        deadline: Option<Time>,
    ) {
        let forced = mode == StopMode::Force;
        let force_deadline = forced.then(|| now + self.plan.defaults().force_timeout);
        let deadline = deadline.into_iter().chain(force_deadline).min();
        let reason = if forced {
            Reason::ForceRequested
        } else {
            Reason::StopRequested
        };
        if matches!(
            self.state,
            OrchestratorState::Created | OrchestratorState::Stopped
        ) {
            self.respond(
                request,
                Response::Stop(Arc::new(self.nothing_to_stop(reason))),
            );
        } else if let Some(shutdown) = &mut self.shutdown {
            shutdown.requests.push(request);
            self.tighten(now, deadline, forced);
        } else {
            self.begin_shutdown(
                now,
                Begin {
                    request: Some(request),
                    deadline,
                    forced,
                    ..Begin::new(reason)
                },
            );
        }
    }

    fn nothing_to_stop(&self, reason: Reason) -> StopReport {
        StopReport {
            run: self.run,
            reason,
            cause: None,
            failure: None,
            forced: reason == Reason::ForceRequested,
            stopped: 0,
            troubles: Vec::new(),
            incomplete: Vec::new(),
            took: Nanos::ZERO,
        }
    }

    /// Begins a stop over everything that is up, in flight or kept. From here on no start call is issued (invariant 8).
    pub(super) fn begin_shutdown(&mut self, now: Time, begin: Begin) {
        let longest = now + self.plan.defaults().shutdown_timeout;
        let deadline = begin.deadline.unwrap_or(longest);
        self.startable.clear();
        self.stoppable.clear();
        let startup = self.give_up_startup(begin.failed);
        let root = begin.root.as_ref().map(|it| it.component);
        self.shutdown = Some(Shutdown {
            reason: begin.reason,
            root: begin.root.clone(),
            began: now,
            deadline,
            stage: Stage::InTime,
            stage_ends: deadline,
            forced: begin.forced,
            remaining: self.plan.len(),
            unconfirmed: self.slots.iter().any(Slot::is_unconfirmed),
            requests: begin.request.into_iter().collect(),
            startup,
        });
        self.enter_orchestrator(now, OrchestratorState::Stopping, begin.reason, begin.root);
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            self.enrol(id, &plan, root);
            self.interrupt_start(now, id);
            self.tighten_one(now, id);
        }
    }

    /// Counts who must be down before it is the turn of `id`; components that are not up count, so that the order
    /// holds through them.
    fn enrol(&mut self, id: ComponentId, plan: &Plan, root: Option<ComponentId>) {
        let dependents = plan.dependents(id).len();
        let slot = self.slot(id);
        slot.down = false;
        slot.has_turn = false;
        slot.has_told = false;
        slot.outcome = None;
        slot.order_violated = false;
        // What stops everything is behind what becomes of each, but for what had failed before.
        if !slot.start_failed && root != Some(id) {
            slot.cause = root.or(slot.cause);
        }
        // A graph has at most as many edges as 32 bits count.
        slot.dependents_up = u32::try_from(dependents).unwrap_or(u32::MAX);
        if dependents == 0 {
            self.stoppable.insert(plan.rank(id));
        }
    }

    /// Ends whatever of a start `id` is in. What is in flight is cancelled at once, whatever its dependents do.
    fn interrupt_start(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        slot.cancelled = true;
        match slot.phase {
            Phase::Waiting => {
                slot.phase = Phase::Idle;
                let reason = self.shutdown_reason();
                self.enter(now, id, ComponentState::Stopped, reason);
            }
            Phase::Starting => self.cancel_start(now, id, None),
            Phase::BackingOff => self.dispose(now, id),
            Phase::Idle
            | Phase::StartCancelled
            | Phase::StartAborted
            | Phase::Undoing
            | Phase::UndoAborted
            | Phase::Closing
            | Phase::ScopeAborted
            | Phase::Disposing
            | Phase::DisposeAborted
            | Phase::Running
            | Phase::Stopping
            | Phase::StopAborted
            | Phase::StopBackingOff
            | Phase::Kept => {}
        }
    }

    /// A further request makes the stop under way earlier, or forces it; never later (semantics 16).
    fn tighten(&mut self, now: Time, deadline: Option<Time>, forced: bool) {
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        let earlier =
            deadline.is_some_and(|it| it < shutdown.deadline) && shutdown.stage == Stage::InTime;
        if let (Some(deadline), true) = (deadline, earlier) {
            shutdown.deadline = deadline;
            shutdown.stage_ends = deadline;
        }
        let newly_forced = forced && !shutdown.forced;
        shutdown.forced |= forced;
        if !earlier && !newly_forced {
            return;
        }
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            if newly_forced {
                self.force(now, id);
            }
            self.tighten_one(now, id);
        }
    }

    /// Tells a stop call in flight to give up, and releases what was kept for a further stop.
    fn force(&mut self, now: Time, id: ComponentId) {
        let slot = &self.slots[id.index()];
        match slot.phase {
            Phase::Stopping | Phase::Undoing => self.cancel_stop(now, id),
            // What is kept from an earlier stop, and has not had its turn in this one, will have it.
            Phase::Kept if slot.down => self.reopen(now, id),
            // Force waits for nothing: the next attempt is made now.
            Phase::StopBackingOff => {
                self.timers.disarm(id);
                self.stoppable.insert(self.plan.rank(id));
            }
            _ => {}
        }
    }

    /// What was kept is closed after all: a failed one is disposed, a held one is stopped.
    fn reopen(&mut self, now: Time, id: ComponentId) {
        let held = self.slot(id).outcome == Some(StopOutcome::Held);
        let slot = self.slot(id);
        slot.down = false;
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.remaining += 1;
        }
        if held {
            self.ask_to_stop(now, id);
        } else {
            self.enter(now, id, ComponentState::Stopping, Reason::ForceRequested);
            self.dispose(now, id);
        }
    }

    /// Shortens what is in flight to what the new deadline leaves it.
    fn tighten_one(&mut self, now: Time, id: ComponentId) {
        let share = (self.own_share_end(now, id), Limit::Share);
        let slot = self.slot(id);
        if matches!(slot.phase, Phase::Stopping | Phase::StopBackingOff) {
            slot.share_deadline = slot.share_deadline.min(share.0);
        }
        let (phase, in_start) = (slot.phase, slot.in_start);
        let (deadline, limit) = match phase {
            Phase::StopBackingOff => return self.shorten_stop_back_off(now, id),
            Phase::Stopping | Phase::Undoing => share,
            Phase::Closing if !in_start => share,
            Phase::Closing | Phase::StartCancelled => self.grace(now, id),
            Phase::Disposing => self.dispose_deadline(now, id),
            Phase::StartAborted
            | Phase::UndoAborted
            | Phase::StopAborted
            | Phase::ScopeAborted
            | Phase::DisposeAborted => self.abort_deadline(now, id),
            _ => return,
        };
        if deadline < self.timers.due(id) {
            self.arm(id, deadline, limit);
        }
    }

    /// A back-off that no longer fits fails now (semantics 18).
    fn shorten_stop_back_off(&mut self, now: Time, id: ComponentId) {
        let due = self.timers.due(id);
        // Without a deadline of its own the next attempt is made in this very step.
        if due == Time::MAX || due < self.stop_limit(id) {
            return;
        }
        let last = self.slot(id).failure.as_ref().map(|it| it.kind);
        let outcome = match last {
            Some(FailureKind::Timeout) => StopOutcome::Aborted,
            _ => StopOutcome::Failed,
        };
        self.note_outcome(id, outcome);
        let limits = self.grace(now, id);
        self.close_scope(now, id, limits);
    }

    /// It is the turn of `id`: every dependent is down, or the delay before its next stop attempt is over.
    pub(super) fn take_stop_turn(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        if slot.phase == Phase::StopBackingOff {
            self.call_stop(now, id, Reason::RetryDue);
            return;
        }
        // It was closed before its turn, when the time was up.
        if slot.down {
            return;
        }
        slot.has_turn = true;
        match slot.phase {
            Phase::Idle => self.go_down(id),
            Phase::Running | Phase::Kept => self.ask_to_stop(now, id),
            // Still being cleaned up after a start; it goes down when that has ended.
            _ => {}
        }
    }

    /// `id` has nothing left that is up. If its turn has come it is down, otherwise it will be then.
    pub(super) fn go_down_in_turn(&mut self, id: ComponentId) {
        let slot = self.slot(id);
        if slot.has_turn && !slot.down {
            self.go_down(id);
        }
    }

    fn go_down(&mut self, id: ComponentId) {
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        shutdown.remaining -= 1;
        let slot = &mut self.slots[id.index()];
        slot.down = true;
        // A component that force opens again has told its dependencies already.
        if std::mem::replace(&mut slot.has_told, true) {
            return;
        }
        let plan = Arc::clone(&self.plan);
        for edge in plan.dependencies(id) {
            let dependency = self.slot(edge.component);
            dependency.dependents_up -= 1;
            if dependency.dependents_up == 0 {
                self.stoppable.insert(plan.rank(edge.component));
            }
        }
    }

    /// What passes when the whole stop runs out of time: aborting in order, then regardless of order, then leaving.
    ///
    /// Keeps invariant 7: the last step leaves nothing that is not down.
    pub(super) fn check_shutdown_deadline(&mut self, now: Time) {
        let due = self.shutdown.as_mut().filter(|it| it.stage_ends <= now);
        let Some(shutdown) = due else { return };
        // One stage at a time: what one aborts gets its turn to vanish before the next gives it up.
        let ended = shutdown.stage;
        shutdown.enter_stage(now, ended.next());
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            if self.slot(id).down {
                continue;
            }
            match ended {
                Stage::InTime => self.expire(now, id),
                Stage::Expired => self.close_regardless(now, id),
                Stage::Last => self.leave(now, id),
            }
        }
    }

    /// The deadline has passed: what is in flight is aborted.
    fn expire(&mut self, now: Time, id: ComponentId) {
        let limit = Limit::GlobalDeadline;
        match self.slot(id).phase {
            Phase::Starting | Phase::StartCancelled => self.abort_start(now, id, limit),
            Phase::Undoing => self.time_out_undo(now, id, limit),
            Phase::Stopping => self.time_out_stop(now, id, limit),
            Phase::StopBackingOff => {
                self.note_outcome(id, StopOutcome::Aborted);
                self.close_scope(now, id, (now, limit));
            }
            Phase::Closing => self.time_out_scope(now, id, limit),
            Phase::Idle
            | Phase::Waiting
            | Phase::StartAborted
            | Phase::UndoAborted
            | Phase::ScopeAborted
            | Phase::Disposing
            | Phase::DisposeAborted
            | Phase::BackingOff
            | Phase::Running
            | Phase::StopAborted
            | Phase::Kept => {}
        }
    }

    /// Aborting in order takes too long: whatever is left is closed and disposed now, its turn or not.
    fn close_regardless(&mut self, now: Time, id: ComponentId) {
        self.slot(id).has_turn = true;
        match self.slot(id).phase {
            Phase::Idle => self.go_down(id),
            Phase::Running | Phase::Kept => self.close_unasked(now, id),
            Phase::StartAborted | Phase::UndoAborted | Phase::StopAborted | Phase::ScopeAborted => {
                self.abandon(now, id);
            }
            _ => {}
        }
    }

    /// The very end: what is not down by now is left behind.
    fn leave(&mut self, now: Time, id: ComponentId) {
        match self.slot(id).phase {
            Phase::Disposing => {
                let key = self.slot(id).key(id);
                self.slot(id).dispose_failure = Some(timeout("dispose", Limit::GlobalDeadline));
                self.commands.push_back(Command::Abort {
                    call: Call::Dispose,
                    key,
                });
                self.slot(id).phase = Phase::DisposeAborted;
                self.abandon(now, id);
            }
            Phase::DisposeAborted => self.abandon(now, id),
            Phase::Idle => self.go_down(id),
            _ => {
                self.abandon(now, id);
                self.leave_dispose(now, id);
            }
        }
    }

    /// A dispose that was called in the last step cannot be waited for.
    fn leave_dispose(&mut self, now: Time, id: ComponentId) {
        if self.slot(id).phase == Phase::Disposing {
            self.slot(id).phase = Phase::DisposeAborted;
            self.end_generation(now, id);
        }
    }

    /// Answers everybody once the last component is down.
    pub(super) fn finish_shutdown_if_down(&mut self, now: Time) {
        if self.shutdown.as_ref().is_none_or(|it| it.remaining > 0) {
            return;
        }
        let Some(shutdown) = self.shutdown.take() else {
            return;
        };
        let report = Arc::new(self.report(now, &shutdown));
        let cause = shutdown.root.as_ref().map(|it| it.component);
        let ended = EventKind::StopEnded {
            report: Arc::clone(&report),
        };
        self.emit(now, shutdown.reason, cause, ended);
        if report.incomplete.is_empty() {
            let reason = shutdown.reason;
            self.enter_orchestrator(now, OrchestratorState::Stopped, reason, shutdown.root);
        }
        if let Some(startup) = shutdown.startup {
            let request = startup.request;
            let error = startup.error(self, Arc::clone(&report));
            self.respond(request, Response::Start(Err(Arc::new(error))));
        }
        for request in shutdown.requests {
            self.respond(request, Response::Stop(Arc::clone(&report)));
        }
    }

    fn report(&self, now: Time, shutdown: &Shutdown) -> StopReport {
        let name = |id: &ComponentId| self.plan.name(*id).clone();
        let slot = |id: &ComponentId| &self.slots[id.index()];
        let order = self.plan.order();
        StopReport {
            run: self.run,
            reason: shutdown.reason,
            cause: shutdown.root.as_ref().map(|it| name(&it.component)),
            failure: shutdown.root.as_ref().map(|it| Arc::clone(&it.failure)),
            forced: shutdown.forced,
            stopped: order
                .iter()
                .filter(|id| slot(id).outcome == Some(StopOutcome::Stopped))
                .count(),
            troubles: order.iter().filter_map(|id| self.trouble(*id)).collect(),
            incomplete: order
                .iter()
                .filter(|id| slot(id).phase == Phase::Kept)
                .map(name)
                .collect(),
            took: now - shutdown.began,
        }
    }

    fn trouble(&self, id: ComponentId) -> Option<StopTrouble> {
        let slot = &self.slots[id.index()];
        let outcome = slot.outcome?;
        let clean = outcome == StopOutcome::Stopped
            && slot.dispose_failure.is_none()
            && !slot.order_violated;
        if clean {
            return None;
        }
        Some(StopTrouble {
            component: self.plan.name(id).clone(),
            outcome,
            failure: slot
                .failure
                .clone()
                .filter(|_| outcome != StopOutcome::Stopped),
            dispose_failure: slot.dispose_failure.clone(),
            order_violated: slot.order_violated,
        })
    }

    /// Why the stop under way began.
    pub(super) fn shutdown_reason(&self) -> Reason {
        self.shutdown
            .as_ref()
            .map_or(Reason::StopRequested, |it| it.reason)
    }

    pub(super) fn is_forced(&self) -> bool {
        self.shutdown.as_ref().is_some_and(|it| it.forced)
    }

    /// Whether the deadline of the stop under way has passed.
    pub(super) fn has_expired(&self) -> bool {
        self.shutdown
            .as_ref()
            .is_some_and(|it| it.stage != Stage::InTime)
    }
}
