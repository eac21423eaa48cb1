//! Cordon and drain: the node refuses new work, participants finish what they have, and it can all be taken back
//! (semantics 11, 27).
//!
//! A drain goes through the whole graph from the dependents down, also through what takes no part in it, so that whoever
//! brings work in is drained before what it needs. Each participant is asked while it runs; its state stays `running`.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::failure::Failure;
use crate::plan::ComponentId;
use crate::time::{Nanos, Time};

use super::Engine;
use super::limit::{earliest, timeout};
use super::message::{
    AttemptKey, Call, CallOutcome, Command, EventKind, Limit, Reason, RequestId, Response,
};
use super::node::{NodeCommand, NodeEffect, NodeError, NodeReport, NodeSnapshot};
use super::operation::Intent;
use super::slot::{Phase, Standing};
use super::state::{ComponentState, DrainState, OrchestratorState};

/// A drain, or what takes it back, under way.
#[derive(Clone, Debug)]
pub(super) struct Drain {
    course: Course,
    /// Who waits for the end of it; nobody when a stop of the whole drains.
    requests: Vec<RequestId>,
    began: Time,
    deadline: Time,
    forced: bool,
    /// How many components have not been passed yet.
    remaining: usize,
    /// How many calls are in flight.
    open: usize,
}

/// Where a drain is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Course {
    /// Participants are asked to drain.
    Draining,
    /// It was cancelled: what is in flight is awaited, then participants are resumed.
    Cancelling,
    /// Participants are asked to take in work again.
    Resuming,
}

impl Drain {
    pub(super) fn fingerprint<H: Hasher>(&self, now: Time, state: &mut H) {
        let ahead = (self.deadline != Time::MAX).then(|| self.deadline.since(now));
        (self.course, self.forced, self.remaining, self.open, ahead).hash(state);
        self.requests.len().hash(state);
    }
}

impl Engine {
    pub(super) fn request_of_node(
        &mut self,
        now: Time,
        request: RequestId,
        command: NodeCommand,
        intent: Intent,
    ) {
        match self.check_command(command) {
            Err(error) => self.respond(request, Response::Node(Err(Arc::new(error)))),
            Ok(Next::Nothing) => self.obeyed(now, request, NodeEffect::Nothing),
            Ok(Next::Cordon(cordoned)) => {
                let effect = match self.node.cordoned == cordoned {
                    true => NodeEffect::Nothing,
                    false => NodeEffect::Cordon,
                };
                self.enter_node(now, cordoned, self.node.drain, intent);
                self.obeyed(now, request, effect);
            }
            Ok(Next::Drain { deadline, forced }) => {
                self.begin_drain(now, vec![request], deadline, forced, intent);
            }
            Ok(Next::Resume) => self.begin_resume(now, vec![request], intent),
            Ok(Next::Cancel) => self.cancel_drain(now, request, intent),
            Ok(Next::Force) => self.force_drain(now, request),
        }
    }

    /// Decides what `command` means now, or why it is refused.
    fn check_command(&self, command: NodeCommand) -> Result<Next, NodeError> {
        let busy = self.drain.as_ref().map(|it| it.course);
        let conflict = |remedy| {
            Err(NodeError::Conflict {
                command: command.as_str(),
                drain: self.node.drain,
                remedy,
            })
        };
        let changes_drain = !matches!(command, NodeCommand::Cordon | NodeCommand::Uncordon);
        if changes_drain && self.state != OrchestratorState::Running {
            return Err(NodeError::FailedPrecondition {
                command: command.as_str(),
                state: self.state,
            });
        }
        let taking_back = matches!(busy, Some(Course::Cancelling | Course::Resuming));
        match (command, self.node.drain) {
            (NodeCommand::Cordon, _) => Ok(Next::Cordon(true)),
            (NodeCommand::Uncordon, DrainState::Active) => Ok(Next::Cordon(false)),
            // What a stop left of a drain ends with the next start, so there is nothing to cancel or to resume first.
            (NodeCommand::Uncordon, _) if self.state != OrchestratorState::Running => {
                Ok(Next::Cordon(false))
            }
            (NodeCommand::Uncordon, DrainState::Draining) => conflict("cancel the drain"),
            (NodeCommand::Uncordon, DrainState::Drained | DrainState::Failed) => {
                conflict("resume the node")
            }
            _ if taking_back => conflict("wait until the participants have resumed"),
            (NodeCommand::Drain { .. }, DrainState::Draining) => {
                conflict("wait for the drain under way, cancel it or force it")
            }
            (NodeCommand::Drain { .. }, DrainState::Drained) => Ok(Next::Nothing),
            (NodeCommand::Drain { deadline }, DrainState::Active | DrainState::Failed) => {
                Ok(Next::Drain {
                    deadline,
                    forced: false,
                })
            }
            (NodeCommand::Resume, DrainState::Active) => Ok(Next::Cordon(false)),
            (NodeCommand::Resume, DrainState::Draining) => conflict("cancel the drain"),
            (NodeCommand::Resume, DrainState::Drained | DrainState::Failed) => Ok(Next::Resume),
            (NodeCommand::Cancel, DrainState::Draining) => Ok(Next::Cancel),
            (NodeCommand::Cancel, DrainState::Active) => conflict("there is no drain to cancel"),
            (NodeCommand::Cancel, DrainState::Drained | DrainState::Failed) => {
                conflict("resume the node")
            }
            (NodeCommand::Force, DrainState::Draining) => Ok(Next::Force),
            (NodeCommand::Force, DrainState::Failed) => Ok(Next::Drain {
                deadline: None,
                forced: true,
            }),
            (NodeCommand::Force, DrainState::Drained) => Ok(Next::Nothing),
            (NodeCommand::Force, DrainState::Active) => conflict("drain the node first"),
        }
    }

    /// The one place where cordon and drain of the node change.
    pub(super) fn enter_node(
        &mut self,
        now: Time,
        cordoned: bool,
        drain: DrainState,
        intent: Intent,
    ) {
        let from = self.node.drain;
        if self.node.cordoned == cordoned && from == drain {
            return;
        }
        self.node.cordoned = cordoned;
        self.node.drain = drain;
        self.node.since = now;
        self.node.intent = intent.clone();
        let kind = EventKind::Node {
            cordoned,
            from,
            to: drain,
            intent,
        };
        self.emit(now, Reason::Settled, None, kind);
    }

    pub(super) fn node_snapshot(&self) -> NodeSnapshot {
        let drain = self.drain.as_ref();
        NodeSnapshot {
            cordoned: self.node.cordoned,
            drain: self.node.drain,
            since: self.node.since,
            intent: self.node.intent.clone(),
            deadline: drain.map(|it| it.deadline).filter(|it| *it != Time::MAX),
            forced: drain.is_some_and(|it| it.forced),
        }
    }

    fn begin_drain(
        &mut self,
        now: Time,
        requests: Vec<RequestId>,
        deadline: Option<Time>,
        forced: bool,
        intent: Intent,
    ) {
        // A stop that drains is not an operator's cordon: the next run begins without one.
        let cordoned = self.node.cordoned || !requests.is_empty();
        let forced_deadline = forced.then(|| now + self.plan.defaults().force_timeout);
        let deadline = deadline.into_iter().chain(forced_deadline).min();
        self.drain = Some(Drain {
            course: Course::Draining,
            requests,
            began: now,
            deadline: deadline.unwrap_or(Time::MAX),
            forced,
            remaining: self.plan.len(),
            open: 0,
        });
        self.node.resumed = false;
        self.adopt_node_calls();
        self.enter_node(now, cordoned, DrainState::Draining, intent);
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            let dependents = plan.dependents(id).len();
            self.slot(id).drain_passed = false;
            // A graph has at most as many edges as 32 bits count.
            self.slot(id).drain_blockers = u32::try_from(dependents).unwrap_or(u32::MAX);
            if dependents == 0 {
                self.drainable.insert(plan.rank(id));
            }
        }
    }

    /// A stop of the whole drains: on its own, or it joins the drain under way and gives it its deadline.
    pub(super) fn drain_for_stop(&mut self, now: Time, deadline: Time) {
        match &mut self.drain {
            Some(drain) if drain.course == Course::Draining => {
                drain.deadline = drain.deadline.min(deadline);
                self.tighten_drain(now);
            }
            // What is being resumed need not be drained to be stopped.
            Some(_) => self.begin_closing(now),
            // A drain has ended while the stop settled.
            None if self.node.drain == DrainState::Drained => self.begin_closing(now),
            None => self.begin_drain(now, Vec::new(), Some(deadline), false, Intent::default()),
        }
    }

    /// Whether anything that is up takes part in drains.
    pub(super) fn has_participants(&self) -> bool {
        let mut order = self.plan.order().iter();
        order.any(|id| self.plan.drains(*id) && self.slots[id.index()].phase.is_up())
    }

    /// It is the turn of `id` in the drain: every dependent is drained.
    pub(super) fn take_drain_turn(&mut self, now: Time, id: ComponentId) {
        let draining = self
            .drain
            .as_ref()
            .is_some_and(|it| it.course == Course::Draining);
        if !draining {
            return;
        }
        let slot = self.slot(id);
        // One that was lost while the host stops is up, and does not run.
        let runs = slot.state == ComponentState::Running && !slot.leaving;
        let takes_part = runs && slot.phase == Phase::Running;
        let todo = slot.drain != DrainState::Drained;
        if slot.node_call_standing == Standing::Counted {
            // It came up late and was being drained when this drain began; it is passed when that ends.
            return;
        }
        if self.plan.drains(id) && takes_part && todo {
            self.call_node(now, id, Call::Drain);
        } else {
            self.pass(id);
        }
    }

    /// `id` need not be waited for in the drain any more.
    pub(super) fn pass(&mut self, id: ComponentId) {
        let Some(drain) = &mut self.drain else { return };
        let slot = &mut self.slots[id.index()];
        // A participant that came up late is drained out of turn, and may have been passed.
        let passed = std::mem::replace(&mut slot.drain_passed, true);
        if passed || drain.course != Course::Draining {
            return;
        }
        drain.remaining -= 1;
        let plan = Arc::clone(&self.plan);
        for edge in plan.dependencies(id) {
            let dependency = self.slot(edge.component);
            dependency.drain_blockers -= 1;
            if dependency.drain_blockers == 0 {
                self.drainable.insert(plan.rank(edge.component));
            }
        }
    }

    /// A participant that comes up while the node is drained is drained too, in a drain under way in its turn. After a
    /// resume it takes in work, also when another could not resume.
    pub(super) fn drain_latecomer(&mut self, now: Time, id: ComponentId) {
        let takes_in = self.node.drain == DrainState::Active || self.node.resumed;
        if !self.plan.drains(id) || takes_in {
            return;
        }
        let passed = self.slot(id).drain_passed;
        let is_due = self
            .drain
            .as_ref()
            .is_none_or(|it| it.course == Course::Draining && passed);
        if is_due {
            self.call_node(now, id, Call::Drain);
        }
    }

    fn call_node(&mut self, now: Time, id: ComponentId, call: Call) {
        let own = now + self.plan.policies(id).drain_timeout;
        let drain = self.drain.as_mut();
        let (whole, forced, standing) = drain.map_or((Time::MAX, false, Standing::Alone), |it| {
            it.open += 1;
            (it.deadline, it.forced, Standing::Counted)
        });
        let (deadline, limit) =
            earliest([(own, Limit::AttemptTimeout), (whole, Limit::DrainDeadline)]);
        let slot = self.slot(id);
        slot.phase = Phase::Draining;
        slot.resuming = call == Call::Resume;
        slot.node_call_standing = standing;
        slot.missed = None;
        slot.drain_call += 1;
        slot.call_began = now;
        let key = slot.drain_key(id);
        self.arm(id, deadline, limit);
        self.commands.push_back(Command::Call {
            call,
            key,
            deadline,
        });
        if call == Call::Drain {
            self.enter_participant(now, id, DrainState::Draining, None, None);
            if forced {
                self.cancel_node_call(now, id, None);
            }
        }
    }

    fn enter_participant(
        &mut self,
        now: Time,
        id: ComponentId,
        next: DrainState,
        worked: Option<Nanos>,
        failure: Option<Arc<Failure>>,
    ) {
        let slot = self.slot(id);
        let from = std::mem::replace(&mut slot.drain, next);
        if failure.is_some() || slot.extra.is_some() {
            slot.extra().drain_failure.clone_from(&failure);
        }
        if from == next {
            return;
        }
        let key = slot.key(id);
        let kind = EventKind::Participant {
            key,
            from,
            to: next,
            worked,
            failure,
        };
        self.emit(now, Reason::Settled, None, kind);
    }

    /// Asks a drain or a resume to end; it has the abort grace for that.
    pub(super) fn cancel_node_call(&mut self, now: Time, id: ComponentId, limit: Option<Limit>) {
        let slot = self.slot(id);
        slot.phase = Phase::DrainCancelled;
        slot.missed = limit;
        let (call, key) = (slot.node_call(), slot.drain_key(id));
        self.commands.push_back(Command::Cancel { call, key });
        let (deadline, grace) = self.grace(now, id);
        // Of the time that a forced drain has left, one half is for the call to end and the other for it to be gone.
        let forced = self.forced_deadline();
        let half = now + forced.since(now).halved();
        self.arm(id, deadline.min(half), grace);
        let reason = limit.map_or(Reason::ForceRequested, |_| Reason::TimedOut);
        let kind = EventKind::Cancelled { call, key, limit };
        self.emit(now, reason, None, kind);
    }

    pub(super) fn abort_node_call(&mut self, now: Time, id: ComponentId, limit: Limit) {
        let call = self.slot(id).node_call();
        self.abort_call(now, id, call, limit, Phase::DrainAborted);
        let forced = self.forced_deadline();
        if forced < self.timers.due(id) {
            self.arm(id, forced, Limit::DrainDeadline);
        }
    }

    /// When a forced drain ends; never while none is under way.
    fn forced_deadline(&self) -> Time {
        let drain = self.drain.as_ref().filter(|it| it.forced);
        drain.map_or(Time::MAX, |it| it.deadline)
    }

    /// A drain that was aborted did not even vanish. While nothing more is wanted of the component it goes on, and its
    /// drain has failed; on its way down it is left behind.
    pub(super) fn give_up_node_call(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        let goes_down = slot.has_turn && slot.leaving;
        if slot.node_call_standing != Standing::GivenUp {
            if !goes_down {
                let limit = slot.missed.unwrap_or(Limit::AbortGrace);
                let failure = timeout(slot.node_call().as_str(), limit);
                self.fail_participant(now, id, failure);
            }
            self.close_node_call(now, id);
            self.slot(id).node_call_standing = Standing::GivenUp;
        }
        if goes_down {
            self.abandon(now, id);
        }
    }

    pub(super) fn end_node_call(
        &mut self,
        now: Time,
        call: Call,
        key: AttemptKey,
        outcome: CallOutcome,
    ) {
        let id = key.component;
        let slot = self.slot(id);
        let awaited = matches!(
            slot.phase,
            Phase::Draining | Phase::DrainCancelled | Phase::DrainAborted
        );
        if !awaited || slot.drain_key(id) != key || slot.node_call() != call {
            return;
        }
        let given_up = slot.node_call_standing == Standing::GivenUp;
        let out_of_time = slot.phase != Phase::Draining && !self.may_be_cut_short();
        self.timers.disarm(id);
        self.slot(id).phase = Phase::Running;
        if !given_up {
            self.conclude_node_call(now, id, call, outcome, out_of_time);
            self.close_node_call(now, id);
        }
        let slot = self.slot(id);
        if !slot.leaving {
            self.schedule_check(now, id);
        } else if slot.has_turn {
            // With its end a drain may end, and everything go down in this very step, in order.
            self.stoppable.insert(self.plan.rank(id));
        }
    }

    /// Whether a participant that was told to end early has done what was wanted: the drain was forced or cancelled.
    fn may_be_cut_short(&self) -> bool {
        let drain = self.drain.as_ref();
        drain.is_some_and(|it| it.forced || it.course == Course::Cancelling)
    }

    fn conclude_node_call(
        &mut self,
        now: Time,
        id: ComponentId,
        call: Call,
        outcome: CallOutcome,
        out_of_time: bool,
    ) {
        // What goes down anyway has no drain to fail.
        if self.slot(id).leaving {
            return;
        }
        let missed = self.slot(id).missed;
        let failure = match outcome {
            Ok(()) if out_of_time => timeout(call.as_str(), missed.unwrap_or(Limit::DrainDeadline)),
            Ok(()) => {
                let next = match call {
                    Call::Resume => DrainState::Active,
                    _ => DrainState::Drained,
                };
                let worked = now.since(self.slot(id).call_began);
                self.enter_participant(now, id, next, Some(worked), None);
                return;
            }
            Err(failure) => failure,
        };
        self.fail_participant(now, id, failure);
    }

    fn fail_participant(&mut self, now: Time, id: ComponentId, failure: Arc<Failure>) {
        let call = self.slot(id).node_call();
        self.emit_failed_attempt(now, id, call, Arc::clone(&failure));
        let worked = now.since(self.slot(id).call_began);
        self.enter_participant(now, id, DrainState::Failed, Some(worked), Some(failure));
    }

    /// One call of the drain less is in flight.
    fn close_node_call(&mut self, now: Time, id: ComponentId) {
        let standing = std::mem::take(&mut self.slot(id).node_call_standing);
        let Some(drain) = &mut self.drain else {
            self.fail_if_latecomer_failed(now, id);
            return;
        };
        if standing == Standing::Counted {
            drain.open -= 1;
        }
        let has_turn = self.slots[id.index()].drain_blockers == 0;
        if has_turn {
            self.pass(id);
        }
    }

    /// A drained node with a participant that came up and would not drain has failed.
    fn fail_if_latecomer_failed(&mut self, now: Time, id: ComponentId) {
        if self.slot(id).drain == DrainState::Failed && self.node.drain == DrainState::Drained {
            let intent = self.node.intent.clone();
            self.enter_node(now, self.node.cordoned, DrainState::Failed, intent);
        }
    }

    /// Concludes a drain, or goes on with taking it back, once nothing of it is in flight.
    pub(super) fn finish_drain_if_done(&mut self, now: Time) {
        let Some(drain) = &self.drain else { return };
        match drain.course {
            Course::Draining if drain.remaining == 0 && drain.open == 0 => self.finish_drain(now),
            Course::Cancelling if drain.open == 0 => {
                let requests = drain.requests.clone();
                self.begin_resume(now, requests, self.node.intent.clone());
                // There may be nothing to resume.
                self.finish_drain_if_done(now);
            }
            Course::Resuming if drain.open == 0 => self.finish_drain(now),
            Course::Draining | Course::Cancelling | Course::Resuming => {}
        }
    }

    fn finish_drain(&mut self, now: Time) {
        let Some(drain) = self.drain.take() else {
            return;
        };
        let failed = self.participants_in(DrainState::Failed).next().is_some();
        let resumed = drain.course == Course::Resuming;
        let next = match (failed, resumed) {
            (true, _) => DrainState::Failed,
            (false, true) => DrainState::Active,
            (false, false) => DrainState::Drained,
        };
        let cordoned = self.node.cordoned && next != DrainState::Active;
        let intent = self.node.intent.clone();
        self.enter_node(now, cordoned, next, intent);
        for request in drain.requests {
            self.drain_ended(now, request, drain.began);
        }
        if self.is_draining_for_stop() {
            self.begin_closing(now);
        }
    }

    /// Participants in `state`; what is down has nothing in flight.
    fn participants_in(&self, state: DrainState) -> impl Iterator<Item = ComponentId> {
        let order = self.plan.order().iter().copied();
        order.filter(move |id| {
            let slot = &self.slots[id.index()];
            slot.drain == state && slot.phase.is_up()
        })
    }

    fn begin_resume(&mut self, now: Time, requests: Vec<RequestId>, intent: Intent) {
        self.node.intent = intent;
        self.node.resumed = true;
        self.drain = Some(Drain {
            course: Course::Cancelling,
            requests,
            began: now,
            deadline: Time::MAX,
            forced: false,
            remaining: 0,
            open: 0,
        });
        self.adopt_node_calls();
        self.cancel_all_drains(now);
        // What is being drained is awaited before it is resumed.
        let Some(drain) = self.drain.as_mut().filter(|it| it.open == 0) else {
            return;
        };
        drain.course = Course::Resuming;
        let plan = Arc::clone(&self.plan);
        for &id in plan.order() {
            let slot = self.slot(id);
            if slot.drain == DrainState::Active {
                continue;
            }
            if slot.phase == Phase::Running && !slot.leaving {
                self.call_node(now, id, Call::Resume);
            } else if slot.phase != Phase::DrainAborted {
                // Its next generation takes in work from the start.
                self.enter_participant(now, id, DrainState::Active, None, None);
            }
        }
    }

    /// Counts the drains of latecomers that are in flight among the calls of the drain that begins.
    fn adopt_node_calls(&mut self) {
        let Some(drain) = &mut self.drain else { return };
        for slot in &mut self.slots {
            let in_flight = matches!(
                slot.phase,
                Phase::Draining | Phase::DrainCancelled | Phase::DrainAborted
            );
            if in_flight && slot.node_call_standing == Standing::Alone {
                slot.node_call_standing = Standing::Counted;
                drain.open += 1;
            }
        }
    }

    fn cancel_drain(&mut self, now: Time, request: RequestId, intent: Intent) {
        let Some(drain) = &mut self.drain else {
            // A latecomer alone is being drained; the node is drained, and is resumed.
            self.begin_resume(now, vec![request], intent);
            return;
        };
        drain.course = Course::Cancelling;
        let overtaken = std::mem::replace(&mut drain.requests, vec![request]);
        self.node.intent = intent;
        self.drainable.clear();
        for request in overtaken {
            let error = Arc::new(NodeError::Superseded);
            self.respond(request, Response::Node(Err(error)));
        }
        self.cancel_all_drains(now);
    }

    fn force_drain(&mut self, now: Time, request: RequestId) {
        let deadline = now + self.plan.defaults().force_timeout;
        let Some(drain) = &mut self.drain else {
            self.obeyed(now, request, NodeEffect::Nothing);
            return;
        };
        drain.forced = true;
        drain.deadline = drain.deadline.min(deadline);
        drain.requests.push(request);
        self.cancel_all_drains(now);
    }

    /// Tells every drain in flight to end.
    fn cancel_all_drains(&mut self, now: Time) {
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            if self.slot(id).phase == Phase::Draining {
                self.cancel_node_call(now, id, None);
            }
        }
    }

    /// Shortens the drains in flight to the new deadline.
    fn tighten_drain(&mut self, now: Time) {
        let deadline = self.drain.as_ref().map_or(Time::MAX, |it| it.deadline);
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            let draining = self.slot(id).phase == Phase::Draining;
            if draining && deadline < self.timers.due(id) {
                self.arm(id, deadline.max(now), Limit::DrainDeadline);
            }
        }
    }

    /// The stop of the whole goes on without the drain: whoever waited for it is told, and what is in flight is ended in
    /// its turn.
    pub(super) fn leave_drain(&mut self, now: Time) {
        let Some(drain) = self.drain.take() else {
            return;
        };
        self.drainable.clear();
        let intent = self.node.intent.clone();
        self.enter_node(now, self.node.cordoned, DrainState::Failed, intent);
        for request in drain.requests {
            let error = Arc::new(NodeError::Superseded);
            self.respond(request, Response::Node(Err(error)));
        }
    }

    /// Answers a command that needed no time; whether a drain has failed before is no matter of it.
    fn obeyed(&mut self, now: Time, request: RequestId, effect: NodeEffect) {
        let report = self.node_report(now, now, effect);
        self.respond(request, Response::Node(Ok(report)));
    }

    /// Answers a command that was a drain, or took one back.
    fn drain_ended(&mut self, now: Time, request: RequestId, began: Time) {
        let report = self.node_report(now, began, NodeEffect::Drain);
        let result = match report.drain {
            DrainState::Failed => Err(Arc::new(NodeError::Failed { report })),
            DrainState::Active | DrainState::Draining | DrainState::Drained => Ok(report),
        };
        self.respond(request, Response::Node(result));
    }

    fn node_report(&self, now: Time, began: Time, effect: NodeEffect) -> Arc<NodeReport> {
        let failures = self.participants_in(DrainState::Failed).filter_map(|id| {
            let extra = self.slots[id.index()].extra.as_ref()?;
            let failure = extra.drain_failure.clone()?;
            Some((self.plan.name(id).clone(), failure))
        });
        Arc::new(NodeReport {
            effect,
            cordoned: self.node.cordoned,
            drain: self.node.drain,
            failures: failures.collect(),
            took: now.since(began),
        })
    }
}

/// What a command to the node comes to.
#[derive(Clone, Copy, Debug)]
enum Next {
    Nothing,
    Cordon(bool),
    Drain {
        deadline: Option<Time>,
        forced: bool,
    },
    Resume,
    Cancel,
    Force,
}
