//! A stop of the orchestrator: requested, rolled back, or forced; until every component is down.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::failure::FailureKind;
use crate::name::ComponentName;
use crate::plan::{ComponentId, Plan};
use crate::time::{Nanos, Time};

use super::limit::timeout;
use super::message::{
    AwaitedStop, Call, Command, EventKind, Limit, Reason, RequestId, Response, StopMode,
};
use super::report::{Hang, StopOutcome, StopReport, StopTrouble};
use super::slot::{Phase, Slot, Wanted};
use super::startup::{EssentialFailure, FailedStartup};
use super::state::{ComponentState, DrainState, OrchestratorState};
use super::{Engine, Root};

/// How long aborted work and last disposes may take after the deadline, twice: once in order, once regardless of it.
const ABORT_MARGIN: Nanos = Nanos::from_millis(8);

/// A stop under way.
#[derive(Clone, Debug)]
pub(super) struct Shutdown {
    pub(super) reason: Reason,
    root: Option<Root>,
    began: Time,
    pub(super) deadline: Time,
    stage: Stage,
    /// When the stage ends. Counted from when it was entered, so that a late clock takes no time from what was aborted.
    stage_ends: Time,
    forced: bool,
    /// When to say next what is awaited.
    told_next: Time,
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
    /// Nothing is asked yet: whoever watches the readiness of the host shall see it go down first.
    Settling,
    /// Participants are drained.
    Draining,
    /// The deadline lies ahead, and everything goes down.
    InTime,
    /// It has passed: nothing is asked any more; what is left is aborted and disposed, in order.
    Expired,
    /// And still something is left: the rest is disposed regardless of order.
    Last,
}

impl Stage {
    fn next(self) -> Self {
        match self {
            Self::Settling => Self::Draining,
            Self::Draining => Self::InTime,
            Self::InTime => Self::Expired,
            Self::Expired | Self::Last => Self::Last,
        }
    }

    /// Whether components go down already.
    fn closes(self) -> bool {
        self >= Self::InTime
    }
}

impl Shutdown {
    /// When time makes the next difference to the whole.
    pub(super) fn next_deadline(&self) -> Time {
        self.stage_ends.min(self.told_next)
    }

    /// Goes on to `stage`, which lasts as long as aborting may take.
    fn enter_stage(&mut self, now: Time, stage: Stage) {
        self.stage = stage;
        self.stage_ends = self.stage_ends.max(now) + ABORT_MARGIN;
    }

    /// When aborted work is no longer waited for.
    pub(super) fn abort_ends(&self, now: Time) -> Time {
        match self.stage {
            Stage::Settling | Stage::Draining | Stage::InTime => {
                self.deadline.max(now) + ABORT_MARGIN
            }
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
            self.stage_ends.since(now),
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
    /// Whether it settles and drains first.
    pub(super) gently: bool,
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
            gently: false,
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
            if mode != StopMode::Graceful {
                self.begin_closing(now);
            }
            self.tighten(now, deadline, forced);
        } else {
            self.begin_shutdown(
                now,
                Begin {
                    request: Some(request),
                    deadline,
                    forced,
                    // A start that is cut short has nothing to drain (semantics 12).
                    gently: mode == StopMode::Graceful && self.state == OrchestratorState::Running,
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

    /// Begins a stop of the whole. From here on no start call is issued (invariant 8): what of a start is in flight is
    /// cancelled at once. Then it settles and drains, or everything goes down.
    pub(super) fn begin_shutdown(&mut self, now: Time, begin: Begin) {
        let longest = now + self.plan.defaults().shutdown_timeout;
        let deadline = begin.deadline.unwrap_or(longest);
        self.startable.clear();
        let startup = self.give_up_startup(begin.failed);
        self.shutdown = Some(Shutdown {
            reason: begin.reason,
            root: begin.root.clone(),
            began: now,
            deadline,
            stage: Stage::Settling,
            stage_ends: deadline,
            forced: begin.forced,
            told_next: now + self.plan.defaults().await_interval,
            remaining: self.plan.len(),
            unconfirmed: false,
            requests: begin.request.into_iter().collect(),
            startup,
        });
        self.enter_orchestrator(now, OrchestratorState::Stopping, begin.reason, begin.root);
        self.supersede_operations();
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            self.interrupt_start(now, id);
        }
        let drained = self.node.drain == DrainState::Drained && self.drain.is_none();
        if begin.gently && !drained {
            self.begin_settling(now);
        } else {
            self.begin_closing(now);
        }
    }

    fn begin_settling(&mut self, now: Time) {
        let settle = self.plan.defaults().settle;
        if settle == Nanos::ZERO {
            self.begin_last_drain(now);
            return;
        }
        let ends = (now + settle).min(self.reserve_begins(now));
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.stage_ends = ends;
        }
    }

    /// Until when a stop may settle and drain: then comes what is reserved for everything to go down, which is as much as
    /// the longest declared path of stops takes, and at most half of what is left.
    fn reserve_begins(&self, now: Time) -> Time {
        let left = self.time_left(now);
        let order = self.plan.order().iter();
        let longest = order.map(|it| self.plan.weight(*it).saturating_add(self.plan.tail(*it)));
        let reserve = longest.max().unwrap_or(Nanos::ZERO).min(left.halved());
        now + left.saturating_sub(reserve)
    }

    /// Drains before everything goes down.
    fn begin_last_drain(&mut self, now: Time) {
        if !self.has_participants() {
            self.begin_closing(now);
            return;
        }
        let ends = self.reserve_begins(now);
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        shutdown.stage = Stage::Draining;
        shutdown.stage_ends = ends;
        self.drain_for_stop(now, ends);
    }

    /// Whether the stop under way waits for a drain, and nothing goes down yet.
    pub(super) fn is_draining_for_stop(&self) -> bool {
        let shutdown = self.shutdown.as_ref();
        shutdown.is_some_and(|it| it.stage == Stage::Draining)
    }

    /// Puts everything into the set of what goes down; what is not up counts too, so that the order holds through it.
    pub(super) fn begin_closing(&mut self, now: Time) {
        let unconfirmed = self.slots.iter().any(Slot::is_unconfirmed);
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        if shutdown.stage.closes() {
            return;
        }
        shutdown.stage = Stage::InTime;
        shutdown.stage_ends = shutdown.deadline;
        shutdown.unconfirmed = unconfirmed;
        let root = shutdown.root.as_ref().map(|it| it.component);
        self.leave_drain(now);
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            self.enrol(now, id, &plan, root);
        }
        for &id in plan.order().iter().rev() {
            let slot = self.slot(id);
            if slot.blockers == 0 && !slot.has_turn {
                self.stoppable.insert(plan.rank(id));
            }
            self.tighten_one(now, id);
        }
    }

    /// Takes `id` into the stop, unless it is on its way down already.
    fn enrol(&mut self, now: Time, id: ComponentId, plan: &Plan, root: Option<ComponentId>) {
        let slot = self.slot(id);
        // What went down while the whole settled or drained has come to something in this stop already.
        let early = std::mem::replace(&mut slot.down, false) && slot.phase == Phase::Idle;
        let outcome = (slot.outcome, slot.order_violated);
        self.leave(now, id, plan, Reason::StopRequested);
        let slot = self.slot(id);
        if early {
            (slot.outcome, slot.order_violated) = outcome;
        }
        // What stops everything is behind what becomes of each, but for what had failed before.
        if !slot.start_failed && root != Some(id) {
            slot.cause = root.or(slot.cause);
        }
    }

    /// Ends whatever of a start `id` is in. What is in flight is cancelled at once, whatever its dependents do.
    fn interrupt_start(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        slot.cancelled = true;
        slot.down = false;
        match slot.phase {
            Phase::Waiting | Phase::Restarting => {
                slot.phase = Phase::Idle;
                self.timers.disarm(id);
                let reason = self.motive_to_stop(id);
                self.enter(now, id, ComponentState::Stopped, reason);
            }
            Phase::Starting | Phase::BackingOff => self.interrupt(now, id),
            // Cleaned up after already, and its turn has not come.
            Phase::Idle if slot.leaving => self.show_ended(now, id),
            _ => {}
        }
    }

    /// A further request makes the stop under way earlier, or forces it; never later (semantics 16).
    fn tighten(&mut self, now: Time, deadline: Option<Time>, forced: bool) {
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        let earlier =
            deadline.is_some_and(|it| it < shutdown.deadline) && shutdown.stage <= Stage::InTime;
        if let (Some(deadline), true) = (deadline, earlier) {
            shutdown.deadline = deadline;
            shutdown.stage_ends = shutdown.stage_ends.min(deadline);
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
        if !earlier {
            return;
        }
        // The reserve of the stop is a part of what is left now.
        let reserve_begins = self.reserve_begins(now);
        match &mut self.shutdown {
            Some(shutdown) if shutdown.stage == Stage::Settling => {
                shutdown.stage_ends = shutdown.stage_ends.min(reserve_begins);
            }
            Some(shutdown) if shutdown.stage == Stage::Draining => self.begin_last_drain(now),
            Some(_) | None => {}
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

    /// What was kept is closed after all: a failed one is disposed, a held one is stopped once what held it is down.
    fn reopen(&mut self, now: Time, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let slot = self.slot(id);
        let held = slot.outcome == Some(StopOutcome::Held);
        slot.down = false;
        slot.leaving = true;
        slot.has_turn = !held;
        slot.has_told = false;
        let waits = slot.blockers > 0;
        self.block_dependencies(id, &plan);
        if let Some(shutdown) = &mut self.shutdown {
            shutdown.remaining += 1;
        }
        if !held {
            self.enter(now, id, ComponentState::Stopping, Reason::ForceRequested);
            self.dispose(now, id);
        } else if !waits {
            self.stoppable.insert(plan.rank(id));
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
        let delay_over = self.timers.due(id) == Time::MAX;
        let slot = self.slot(id);
        if slot.phase == Phase::StopBackingOff {
            // A dependent may have begun to go down in the meantime, or be down before the delay is over.
            if slot.blockers == 0 && delay_over {
                self.call_stop(now, id, Reason::RetryDue);
            }
            return;
        }
        // It was closed before its turn, when the time was up.
        if !slot.leaving {
            return;
        }
        slot.has_turn = true;
        match slot.phase {
            Phase::Idle => self.go_down(now, id),
            Phase::Running | Phase::Kept => self.ask_to_stop(now, id),
            Phase::Draining | Phase::DrainCancelled => {
                self.abort_node_call(now, id, Limit::GlobalDeadline);
            }
            Phase::DrainAborted => self.arm_abort(now, id),
            // Still being cleaned up after a start; it goes down when that has ended.
            _ => {}
        }
    }

    /// Counts `id` as down in the stop of the whole. Whether there is one.
    pub(super) fn count_down(&mut self, id: ComponentId) -> bool {
        let Some(shutdown) = &mut self.shutdown else {
            return false;
        };
        let slot = &mut self.slots[id.index()];
        let counts = !std::mem::replace(&mut slot.down, true);
        // What goes down while the whole settles or drains has its turn with the rest, for the order.
        if counts && shutdown.stage.closes() {
            shutdown.remaining -= 1;
        }
        true
    }

    /// What passes when the whole stop runs out of time: aborting in order, then regardless of order, then leaving.
    ///
    /// Keeps invariant 7: the last step leaves nothing that is not down.
    pub(super) fn check_shutdown_deadline(&mut self, now: Time) {
        self.tell_awaited(now);
        let due = self.shutdown.as_mut().filter(|it| it.stage_ends <= now);
        let Some(shutdown) = due else { return };
        match shutdown.stage {
            Stage::Settling => return self.begin_last_drain(now),
            Stage::Draining => return self.begin_closing(now),
            Stage::InTime | Stage::Expired | Stage::Last => {}
        }
        // One stage at a time: what one aborts gets its turn to vanish before the next gives it up.
        let ended = shutdown.stage;
        shutdown.enter_stage(now, ended.next());
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            if self.slot(id).down {
                continue;
            }
            match ended {
                Stage::Settling | Stage::Draining => {}
                Stage::InTime => self.expire(now, id),
                Stage::Expired => self.close_regardless(now, id),
                Stage::Last => self.leave_behind(now, id),
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
            Phase::Draining | Phase::DrainCancelled => self.abort_node_call(now, id, limit),
            Phase::DrainAborted
            | Phase::Restarting
            | Phase::Idle
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
            Phase::Idle => self.go_down(now, id),
            Phase::Running | Phase::Kept => self.close_unasked(now, id),
            Phase::StartAborted
            | Phase::UndoAborted
            | Phase::StopAborted
            | Phase::ScopeAborted
            | Phase::DrainAborted => self.abandon(now, id),
            _ => {}
        }
    }

    /// The very end: what is not down by now is left behind.
    fn leave_behind(&mut self, now: Time, id: ComponentId) {
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
            Phase::Idle => self.go_down(now, id),
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
        // What was to be taken out anyway is.
        let order = self.plan.order().iter().copied();
        let wanted_out = |id: &ComponentId| {
            let slot = &self.slots[id.index()];
            slot.wanted == Wanted::Removed && slot.phase == Phase::Idle
        };
        self.removed = order.filter(wanted_out).collect();
        for id in self.removed.clone() {
            self.answer_operations(now, id);
        }
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
        let (awaited_by, closed_over) = self.left_in_the_dark(id);
        let hang = slot.extra.as_ref().and_then(|it| it.hang.as_ref());
        Some(StopTrouble {
            component: self.plan.name(id).clone(),
            outcome,
            failure: slot
                .failure
                .clone()
                .filter(|_| outcome != StopOutcome::Stopped),
            dispose_failure: slot.dispose_failure.clone(),
            order_violated: slot.order_violated,
            hang: hang.map(|it| Hang {
                call: it.call,
                lasted: it.given_up.since(it.began),
                progress: it.progress.clone(),
            }),
            awaited_by,
            closed_over,
        })
    }

    /// Which dependencies had to wait for `id`, and which of those were stopped although it was not confirmed down.
    fn left_in_the_dark(&self, id: ComponentId) -> (Vec<ComponentName>, Vec<ComponentName>) {
        let mut awaited_by = Vec::new();
        let mut closed_over = Vec::new();
        if !self.slots[id.index()].unconfirmed {
            return (awaited_by, closed_over);
        }
        for edge in self.plan.dependencies(id) {
            let dependency = &self.slots[edge.component.index()];
            if dependency.outcome.is_some() {
                awaited_by.push(self.plan.name(edge.component).clone());
            }
            if dependency.order_violated {
                closed_over.push(self.plan.name(edge.component).clone());
            }
        }
        (awaited_by, closed_over)
    }

    /// Says what the stop waits for, from time to time.
    fn tell_awaited(&mut self, now: Time) {
        let interval = self.plan.defaults().await_interval;
        let due = self.shutdown.as_mut().filter(|it| it.told_next <= now);
        let Some(shutdown) = due else { return };
        shutdown.told_next = now + interval;
        let left = shutdown.deadline.since(now);
        let order = self.plan.order().iter();
        let awaited = order.filter_map(|id| self.awaited_of(now, *id)).collect();
        self.emit(
            now,
            self.reason,
            None,
            EventKind::Awaiting { awaited, left },
        );
    }

    /// What of `id` is at work on the way down.
    fn awaited_of(&self, now: Time, id: ComponentId) -> Option<AwaitedStop> {
        let slot = &self.slots[id.index()];
        let call = match slot.phase {
            Phase::Starting | Phase::StartCancelled | Phase::StartAborted => Some(Call::Start),
            Phase::Undoing | Phase::UndoAborted | Phase::Stopping | Phase::StopAborted => {
                Some(Call::Stop)
            }
            Phase::StopBackingOff => Some(Call::Stop),
            Phase::Disposing | Phase::DisposeAborted => Some(Call::Dispose),
            Phase::Draining | Phase::DrainCancelled | Phase::DrainAborted => Some(slot.node_call()),
            Phase::Closing | Phase::ScopeAborted => None,
            Phase::Idle
            | Phase::Waiting
            | Phase::Restarting
            | Phase::BackingOff
            | Phase::Running
            | Phase::Kept => return None,
        };
        Some(AwaitedStop {
            component: self.plan.name(id).clone(),
            call,
            since: now.since(slot.call_began),
            progress: slot.extra.as_ref().and_then(|it| it.progress.clone()),
        })
    }

    pub(super) fn is_forced(&self) -> bool {
        self.shutdown.as_ref().is_some_and(|it| it.forced)
    }

    /// Whether the deadline of the stop under way has passed.
    pub(super) fn has_expired(&self) -> bool {
        self.shutdown
            .as_ref()
            .is_some_and(|it| it.stage > Stage::InTime)
    }
}
