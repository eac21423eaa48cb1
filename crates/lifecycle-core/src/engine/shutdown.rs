//! A stop of the orchestrator: requested, rolled back, or forced; until every component is down.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::failure::{Failure, FailureKind};
use crate::plan::{ComponentId, Plan};
use crate::time::{Nanos, Time};

use super::attempt::{after, earliest, timeout};
use super::message::{
    AttemptKey, Call, CallOutcome, Command, EventKind, Limit, Reason, RequestId, Response, StopMode,
};
use super::report::{StopOutcome, StopReport, StopTrouble};
use super::slot::{Phase, Slot};
use super::startup::{EssentialFailure, FailedStartup};
use super::state::{ComponentState, OrchestratorState};
use super::{Engine, Root};

/// The least time that a call is made for; what is left of a shutdown below it is used for aborting.
pub(super) const LEAST_SHARE: Nanos = Nanos::from_millis(5);

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
    forced: bool,
    /// How many components are not down yet.
    remaining: usize,
    /// Whether some dependent could not be confirmed down: then edges are looked at before a stop is called.
    unconfirmed: bool,
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

impl Shutdown {
    /// When time makes the next difference to the whole.
    pub(super) fn next_deadline(&self) -> Time {
        match self.stage {
            Stage::InTime => self.deadline,
            Stage::Expired => self.deadline + ABORT_MARGIN,
            Stage::Last => self.deadline + ABORT_MARGIN + ABORT_MARGIN,
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
        self.startable.clear();
        self.stoppable.clear();
        let startup = self.give_up_startup(begin.failed);
        self.shutdown = Some(Shutdown {
            reason: begin.reason,
            root: begin.root.clone(),
            began: now,
            deadline: begin.deadline.unwrap_or(longest),
            stage: Stage::InTime,
            forced: begin.forced,
            remaining: self.plan.len(),
            unconfirmed: self.slots.iter().any(Slot::is_unconfirmed),
            requests: begin.request.into_iter().collect(),
            startup,
        });
        self.enter_orchestrator(now, OrchestratorState::Stopping, begin.reason, begin.root);
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            self.enrol(id, &plan);
            self.interrupt_start(now, id);
            self.tighten_one(now, id);
        }
    }

    /// Counts who must be down before it is the turn of `id`; components that are not up count, so that the order
    /// holds through them.
    fn enrol(&mut self, id: ComponentId, plan: &Plan) {
        let dependents = plan.dependents(id).len();
        let slot = self.slot(id);
        slot.down = false;
        slot.has_turn = false;
        slot.has_told = false;
        slot.outcome = None;
        slot.order_violated = false;
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
                self.enter(now, id, ComponentState::Stopped, Reason::StopRequested);
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

    /// Begins the stop of a running or kept component, unless it is held or out of time.
    fn ask_to_stop(&mut self, now: Time, id: ComponentId) {
        let unconfirmed = self.unconfirmed_dependents(id);
        if unconfirmed.holds && !self.is_forced() {
            self.note_outcome(id, StopOutcome::Held);
            let slot = self.slot(id);
            let (state, key) = (slot.state, slot.key(id));
            self.emit(now, Reason::Held, None, EventKind::Held { key });
            self.keep(now, id, state, Reason::Held);
            return;
        }
        if self.time_left(now) < LEAST_SHARE {
            self.close_unasked(now, id);
            return;
        }
        let weight = self.plan.weight(id);
        let share_deadline = self.share_end(now, id, weight);
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
        self.call_stop(now, id, Reason::DependentsDown);
    }

    /// The deadline came before its turn: its tasks are aborted and it is disposed, without a stop call (semantics 14).
    fn close_unasked(&mut self, now: Time, id: ComponentId) {
        self.note_outcome(id, StopOutcome::NotAsked);
        self.slot(id).failure = Some(timeout("the shutdown", Limit::GlobalDeadline));
        self.enter(now, id, ComponentState::Stopping, Reason::DeadlinePassed);
        let key = self.slot(id).key(id);
        self.commands.push_back(Command::CloseScope { key });
        self.abort_scope(now, id);
    }

    /// Whether a dependent could not be confirmed down, and whether such an edge holds `id` up (semantics 15).
    fn unconfirmed_dependents(&self, id: ComponentId) -> Unconfirmed {
        let mut found = Unconfirmed::default();
        if !self.shutdown.as_ref().is_some_and(|it| it.unconfirmed) {
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

    fn call_stop(&mut self, now: Time, id: ComponentId, reason: Reason) {
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
        let limit = slot
            .total_deadline
            .min(slot.share_deadline)
            .min(self.global_deadline());
        (now + delay < limit).then_some(delay)
    }

    pub(super) fn time_out_stop(&mut self, now: Time, id: ComponentId, limit: Limit) {
        self.slot(id).failure = Some(timeout("stop", limit));
        self.abort_call(now, id, Call::Stop, limit, Phase::StopAborted);
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

    /// Notes how the stop of `id` ended; a worse outcome stays. Outside of a stop there is nothing to note.
    pub(super) fn note_outcome(&mut self, id: ComponentId, outcome: StopOutcome) {
        let Some(shutdown) = &mut self.shutdown else {
            return;
        };
        let slot = &mut self.slots[id.index()];
        let known = slot.outcome;
        if known.is_none_or(|it| severity(it) < severity(outcome)) {
            slot.outcome = Some(outcome);
        }
        slot.unconfirmed |= matches!(
            outcome,
            StopOutcome::Aborted | StopOutcome::Abandoned | StopOutcome::Held
        );
        shutdown.unconfirmed |= slot.unconfirmed;
    }

    /// What passes when the whole stop runs out of time: aborting in order, then regardless of order, then leaving.
    ///
    /// Keeps invariant 7: the last step leaves nothing that is not down.
    pub(super) fn check_shutdown_deadline(&mut self, now: Time) {
        while let Some(stage) = self
            .shutdown
            .as_ref()
            .filter(|it| it.next_deadline() <= now)
            .map(|it| it.stage)
        {
            let next = match stage {
                Stage::InTime => Stage::Expired,
                Stage::Expired | Stage::Last => Stage::Last,
            };
            if let Some(shutdown) = &mut self.shutdown {
                shutdown.stage = next;
            }
            let plan = Arc::clone(&self.plan);
            for &id in plan.order().iter().rev() {
                if self.slot(id).down {
                    continue;
                }
                match stage {
                    Stage::InTime => self.expire(now, id),
                    Stage::Expired => self.close_regardless(now, id),
                    Stage::Last => self.leave(now, id),
                }
            }
            if stage == Stage::Last {
                return;
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

    pub(super) fn is_forced(&self) -> bool {
        self.shutdown.as_ref().is_some_and(|it| it.forced)
    }

    /// Whether the deadline of the stop under way has passed.
    pub(super) fn has_expired(&self) -> bool {
        self.shutdown
            .as_ref()
            .is_some_and(|it| it.stage != Stage::InTime)
    }

    /// The deadline of the stop under way; never without one.
    pub(super) fn global_deadline(&self) -> Time {
        self.shutdown.as_ref().map_or(Time::MAX, |it| it.deadline)
    }

    /// When the stop under way no longer waits for aborted work; never without one.
    pub(super) fn final_deadline(&self) -> Time {
        self.shutdown
            .as_ref()
            .map_or(Time::MAX, |it| it.deadline + ABORT_MARGIN)
    }

    pub(super) fn time_left(&self, now: Time) -> Nanos {
        self.global_deadline().since(now)
    }

    /// The end of the share of `id`: of the time left, the part that its own weight has in the longest path from it on
    /// (semantics 18). At least [`LEAST_SHARE`], so that a long chain of quick components is asked and not aborted.
    fn share_end(&self, now: Time, id: ComponentId, weight: Nanos) -> Time {
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

    /// Until when something aborted may take to be gone; at the very end the margin after the deadline.
    pub(super) fn abort_deadline(&self, now: Time, id: ComponentId) -> (Time, Limit) {
        let own = if self.time_left(now) < LEAST_SHARE {
            (now + self.plan.policies(id).abort_grace, Limit::AbortGrace)
        } else {
            self.grace(now, id)
        };
        earliest([own, (self.final_deadline(), Limit::GlobalDeadline)])
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
