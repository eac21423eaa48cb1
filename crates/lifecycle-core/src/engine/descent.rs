//! What goes down, one set for everybody who puts something into it, and what becomes of what is down.
//!
//! A component of the set takes its turn when no dependent of it is in the set any more, whatever the edge and whoever put
//! it there. Two causes that overlap so make one order, and none of them needs a plan of its own (semantics 1, 2).

use std::collections::HashSet;
use std::sync::Arc;

use crate::graph::Edge;
use crate::plan::{ComponentId, Plan};
use crate::registration::{EdgeKind, OnLoss};
use crate::time::Time;

use super::Engine;
use super::message::{EventKind, Reason};
use super::operation::Operation;
use super::slot::{Phase, Wanted};
use super::state::ComponentState;

impl Engine {
    /// Takes `root` down, and everything that an edge takes down with it. Gives back what goes, `root` first, if it has
    /// anything up. Keeps invariants 1 and 12.
    pub(super) fn bring_down(
        &mut self,
        now: Time,
        root: ComponentId,
        reason: Reason,
    ) -> Vec<ComponentId> {
        let plan = Arc::clone(&self.plan);
        let falling = self.falling_with(root);
        for &id in &falling {
            let motive = if id == root {
                reason
            } else {
                Reason::DependencyLost
            };
            self.leave(now, id, &plan, motive);
        }
        // Once all are leaving, since what an edge stops may hang on a follower.
        for &id in &falling {
            self.stop_by_edge(id);
        }
        for &id in falling.iter().skip(1) {
            self.note_follower(id, root);
        }
        let mut by_rank = falling.clone();
        by_rank.sort_unstable_by_key(|it| std::cmp::Reverse(plan.rank(*it)));
        for id in by_rank {
            self.interrupt(now, id);
            if self.slot(id).blockers == 0 {
                self.stoppable.insert(plan.rank(id));
            }
        }
        for &id in &falling {
            self.settle_behind_lost(id);
        }
        falling
    }

    /// What goes down with `root` and is not on its way already: `root` if it has anything up, and its followers.
    pub(super) fn falling_with(&self, root: ComponentId) -> Vec<ComponentId> {
        let stands = |id: ComponentId| {
            let slot = &self.slots[id.index()];
            let stays = slot.phase == Phase::Kept && slot.wanted != Wanted::Removed;
            !slot.leaving && !slot.phase.is_down() && !stays
        };
        if !stands(root) {
            return Vec::new();
        }
        let mut falling = vec![root];
        let mut known = HashSet::from([root]);
        let mut next = 0;
        while let Some(&id) = falling.get(next) {
            next += 1;
            let edges = self.plan.dependents(id).iter();
            for edge in edges.filter(|it| it.takes_down()) {
                if stands(edge.component) && known.insert(edge.component) {
                    falling.push(edge.component);
                }
            }
        }
        falling
    }

    /// `id` goes down for what happens to `root`.
    fn note_follower(&mut self, id: ComponentId, root: ComponentId) {
        let slot = self.slot(id);
        slot.cause = Some(root);
        match slot.wanted {
            Wanted::Up => slot.extra().restarts.dependency += 1,
            Wanted::StoppedByEdge => {}
            Wanted::Held | Wanted::Completed | Wanted::Failed | Wanted::Removed => return,
        }
        let root = self.slot(root);
        if let Some(extra) = &mut root.extra
            && !extra.operations.is_empty()
        {
            extra.collateral.push(id);
        }
    }

    /// What `id` takes down for good does not come back, whatever else has sent it down, in whichever order.
    fn stop_by_edge(&mut self, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let edges = plan.dependents(id).iter();
        let stops = |it: &&Edge| it.kind == EdgeKind::Hard && it.on_loss == OnLoss::Stops;
        for edge in edges.filter(stops) {
            let slot = self.slot(edge.component);
            if slot.leaving && slot.wanted == Wanted::Up {
                slot.wanted = Wanted::StoppedByEdge;
                self.supersede(edge.component, Operation::Stop);
            }
        }
    }

    /// Counts `id` among what goes down. From here on nothing starts that needs it.
    pub(super) fn leave(&mut self, now: Time, id: ComponentId, plan: &Plan, motive: Reason) {
        self.withdraw(now, id);
        let slot = self.slot(id);
        if std::mem::replace(&mut slot.leaving, true) {
            return;
        }
        slot.has_turn = false;
        slot.has_told = false;
        slot.outcome = None;
        slot.order_violated = false;
        slot.cancelled = true;
        slot.motive = motive;
        if slot.phase == Phase::Running {
            // What is armed there is for its health.
            self.timers.disarm(id);
        }
        self.block_dependencies(id, plan);
        self.unsettle(id);
    }

    /// What `id` depends on waits for it on the way down.
    pub(super) fn block_dependencies(&mut self, id: ComponentId, plan: &Plan) {
        for edge in plan.dependencies(id) {
            let dependency = self.slot(edge.component);
            dependency.blockers += 1;
            if !dependency.has_turn {
                // It may have been about to stop in this very step.
                self.stoppable.remove(plan.rank(edge.component));
            }
        }
    }

    /// Ends whatever of a start `id` is in. What is in flight is cancelled at once, whatever its dependents do.
    pub(super) fn interrupt(&mut self, now: Time, id: ComponentId) {
        match self.slot(id).phase {
            Phase::Starting => self.cancel_start(now, id, None),
            Phase::BackingOff => self.dispose(now, id),
            _ => {}
        }
    }

    /// `id` has nothing left that is up. If its turn has come it is down, otherwise it will be then.
    pub(super) fn go_down_in_turn(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        if slot.has_turn && slot.leaving {
            self.go_down(now, id);
        }
    }

    /// `id` is down: whoever waits for that has one blocker less.
    pub(super) fn go_down(&mut self, now: Time, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let slot = self.slot(id);
        slot.leaving = false;
        // They are told once each way down, however often it comes here.
        if !std::mem::replace(&mut slot.has_told, true) {
            for edge in plan.dependencies(id) {
                let dependency = self.slot(edge.component);
                dependency.blockers -= 1;
                // Its further stop attempt has a turn of its own.
                let waits = !dependency.has_turn || dependency.phase == Phase::StopBackingOff;
                if dependency.blockers == 0 && dependency.leaving && waits {
                    self.stoppable.insert(plan.rank(edge.component));
                }
            }
        }
        if !self.count_down(id) && self.slot(id).phase == Phase::Idle {
            self.rest(now, id);
        }
    }

    /// Nothing of `id` is up, and no stop of the whole is under way: what is wanted of it decides what it does now.
    pub(super) fn rest(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        match slot.wanted {
            Wanted::Up if slot.quarantined => self.refuse_quarantined(now, id),
            Wanted::Up => self.await_next(now, id),
            Wanted::Held => {
                self.rest_unwanted(now, id, Reason::OperatorStop);
            }
            Wanted::StoppedByEdge => {
                self.rest_unwanted(now, id, Reason::DependencyLost);
            }
            Wanted::Completed => {
                self.enter(now, id, ComponentState::Stopped, Reason::Completed);
                self.settle(id);
                self.release_without(now, id);
            }
            Wanted::Failed => {
                let reason = slot.motive;
                slot.failure = slot.extra().loss.take().or(slot.failure.take());
                self.enter(now, id, ComponentState::Faulted, reason);
                self.settle(id);
                self.release_without(now, id);
            }
            Wanted::Removed => {
                self.removed.push(id);
                self.pass(id);
                self.enter(now, id, ComponentState::Stopped, Reason::Removed);
                // Before a start nobody waits for anything.
                if self.is_running() {
                    self.settle_without(id);
                    self.fail_dependents(now, id);
                }
            }
        }
        self.answer_operations(now, id);
    }

    /// `id` is down because somebody wants it so: nobody waits for it, nor for what is behind it.
    fn rest_unwanted(&mut self, now: Time, id: ComponentId, reason: Reason) {
        self.enter(now, id, ComponentState::Stopped, reason);
        self.settle_without(id);
        self.settle_behind_unwanted(id);
        self.answer_behind(now, id);
    }

    /// `id` shall run again: after its delay, once its edges and its gate allow it.
    fn await_next(&mut self, now: Time, id: ComponentId) {
        let restart_at = self.slot(id).restart_at;
        if restart_at <= now || self.dead_dependency(id).is_some() {
            self.await_start(now, id);
            return;
        }
        let slot = self.slot(id);
        slot.phase = Phase::Restarting;
        slot.motive = Reason::RestartDue;
        let reason = slot.reason;
        self.enter(now, id, ComponentState::BackingOff, reason);
        self.timers.arm(id, restart_at);
    }

    /// `id` may start as soon as its edges and its gate allow it, or fails when they never will.
    pub(super) fn await_start(&mut self, now: Time, id: ComponentId) {
        self.timers.disarm(id);
        let slot = self.slot(id);
        slot.phase = Phase::Waiting;
        slot.restart_at = Time::ZERO;
        if let Some(dead) = self.dead_dependency(id) {
            self.fail_by_dependency(now, id, dead);
            self.release_soft(id);
            self.fail_dependents(now, id);
            return;
        }
        if self.may_start(id) {
            self.leave_starting(now, id);
            self.startable.insert(self.plan.rank(id));
            return;
        }
        let slot = self.slot(id);
        if slot.motive == Reason::DependencyLost {
            slot.motive = Reason::DependenciesReady;
        }
        self.enter_waiting(now, id);
        self.settle_while_waiting(id);
        self.wait_outside(now, id);
        self.answer_operations(now, id);
    }

    /// Between two generations of which neither has run lies a step too, for whoever counts them.
    fn leave_starting(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        if slot.state == ComponentState::Starting {
            let motive = slot.motive;
            self.enter(now, id, ComponentState::BackingOff, motive);
        }
    }

    /// Shows that `id` waits, and for what.
    pub(super) fn enter_waiting(&mut self, now: Time, id: ComponentId) {
        let reason = if self.is_gate_closed(id) {
            Reason::GateClosed
        } else {
            Reason::DependenciesPending
        };
        self.enter(now, id, ComponentState::Waiting, reason);
    }

    /// Nobody waits for what is behind a closed gate: no start, no edge that is not hard, and no operation (semantics 26).
    pub(super) fn wait_outside(&mut self, now: Time, id: ComponentId) {
        if self.slot(id).gates_closed > 0 {
            self.settle(id);
            self.release_soft(id);
            self.answer_operations(now, id);
        }
    }

    /// Whether nothing keeps `id`, which waits, from starting.
    pub(super) fn may_start(&self, id: ComponentId) -> bool {
        let slot = &self.slots[id.index()];
        slot.phase == Phase::Waiting
            && slot.unmet == 0
            && slot.wanted == Wanted::Up
            && !self.is_gate_closed(id)
            && self.shutdown.is_none()
    }

    /// `id` runs: whoever waits for it has one edge less to wait for (invariant 3), and who went on without it is told.
    pub(super) fn offer(&mut self, now: Time, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let slot = self.slot(id);
        slot.available = true;
        slot.has_run = true;
        if slot.unmet > 0 {
            self.impaired += 1;
        }
        let passed = std::mem::replace(&mut self.slot(id).released, true);
        for edge in plan.dependents(id) {
            if edge.kind == EdgeKind::Hard {
                self.meet_edge(edge.component);
                self.tell_tolerant(now, edge.component, id, true);
            } else if !passed {
                self.meet_edge(edge.component);
            }
        }
    }

    /// `id` no longer runs, or is about to go down: nothing that needs it may start.
    pub(super) fn withdraw(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        if !std::mem::replace(&mut slot.available, false) {
            return;
        }
        if slot.unmet > 0 {
            self.impaired -= 1;
        }
        let plan = Arc::clone(&self.plan);
        let dependents = plan.dependents(id).iter();
        for edge in dependents.filter(|it| it.kind == EdgeKind::Hard) {
            let dependent = self.slot(edge.component);
            dependent.unmet += 1;
            if dependent.available && dependent.unmet == 1 {
                self.impaired += 1;
            }
            if !edge.takes_down() {
                self.tell_tolerant(now, edge.component, id, false);
            }
        }
    }

    /// Tells that `id`, which runs, goes on without `dependency`, or has it again.
    fn tell_tolerant(&mut self, now: Time, id: ComponentId, dependency: ComponentId, back: bool) {
        let slot = &self.slots[id.index()];
        if !slot.available {
            return;
        }
        let key = slot.key(id);
        let (reason, kind) = if back {
            let kind = EventKind::DependencyBack { key, dependency };
            (Reason::DependenciesReady, kind)
        } else {
            let kind = EventKind::DependencyLost { key, dependency };
            (Reason::DependencyLost, kind)
        };
        self.emit(now, reason, Some(dependency), kind);
    }

    pub(super) fn meet_edge(&mut self, id: ComponentId) {
        let slot = self.slot(id);
        slot.unmet -= 1;
        if slot.unmet > 0 {
            return;
        }
        if slot.available {
            self.impaired -= 1;
        }
        if self.may_start(id) {
            self.startable.insert(self.plan.rank(id));
        }
    }

    /// Edges to `id` that are not hard no longer wait for it in this run.
    pub(super) fn release_soft(&mut self, id: ComponentId) {
        if std::mem::replace(&mut self.slot(id).released, true) {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let dependents = plan.dependents(id).iter();
        for edge in dependents.filter(|it| it.kind != EdgeKind::Hard) {
            self.meet_edge(edge.component);
        }
    }
}
