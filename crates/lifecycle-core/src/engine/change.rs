//! Components that come and go while the orchestrator runs (semantics 25).

use std::collections::HashSet;
use std::sync::Arc;

use crate::plan::{ComponentId, Plan};
use crate::registration::EdgeKind;
use crate::time::Time;

use super::Engine;
use super::gates::GateState;
use super::message::{Cascade, Command, EventKind, Reason, RequestId};
use super::operation::{Intent, Operation, OperationError};
use super::ranks::RankSet;
use super::slot::{OpenOperation, Phase, Slot, Wanted};
use super::state::OrchestratorState;

impl Engine {
    /// Takes in a plan with one component more. While everything is down nothing is called; otherwise it starts at once.
    pub(super) fn add(&mut self, now: Time, request: RequestId, plan: Arc<Plan>, id: ComponentId) {
        if self.state == OrchestratorState::Stopping {
            let error = OperationError::FailedPrecondition {
                operation: Operation::Add,
                state: self.state,
            };
            self.refuse_operation(request, error);
            return;
        }
        self.adopt(plan);
        self.slots[id.index()] = Slot::default();
        self.timers.disarm(id);
        self.count_gates(id);
        self.update_readiness(id);
        let name = self.plan.name(id).clone();
        let kind = EventKind::Added {
            component: id,
            name,
        };
        self.emit(now, Reason::Added, None, kind);
        self.slot(id).extra().operations.push(OpenOperation {
            request,
            operation: Operation::Add,
            began: now,
        });
        if self.is_running() {
            self.start_added(now, id);
        } else {
            self.answer_added(now, id);
        }
    }

    fn start_added(&mut self, now: Time, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let edges = plan.dependencies(id).iter();
        let unmet = edges
            .filter(|edge| {
                let dependency = &self.slots[edge.component.index()];
                let met = match edge.kind {
                    EdgeKind::Hard => dependency.available,
                    EdgeKind::Soft | EdgeKind::Order => dependency.released,
                };
                !met
            })
            .count();
        let slot = self.slot(id);
        slot.unmet = u32::try_from(unmet).unwrap_or(u32::MAX);
        // Nobody's start waits for it, and no drain under way knows it.
        slot.settled = true;
        slot.drain_passed = true;
        slot.motive = Reason::Added;
        self.await_start(now, id);
        self.answer_operations(now, id);
    }

    /// While nothing runs, what is added has no further to go.
    fn answer_added(&mut self, now: Time, id: ComponentId) {
        let operations = std::mem::take(&mut self.slot(id).extra().operations);
        for operation in operations {
            self.answer_operation(now, id, operation, true);
        }
    }

    pub(super) fn is_being_added(&self, id: ComponentId) -> bool {
        let extra = self.slots[id.index()].extra.as_ref();
        let adds = |it: &OpenOperation| it.operation == Operation::Add;
        extra.is_some_and(|it| it.operations.iter().any(adds))
    }

    /// Between two steps no component waits for its turn, so that the sets of ranks are empty and ranks may change.
    fn adopt(&mut self, plan: Arc<Plan>) {
        debug_assert!(self.startable.is_empty() && self.stoppable.is_empty());
        let count = plan.capacity();
        self.slots.resize_with(count, Slot::default);
        self.timers.grow(count);
        self.startable = RankSet::below(count);
        self.stoppable = RankSet::below(count);
        self.drainable = RankSet::below(count);
        self.gates.resize(plan.gate_count(), GateState::default());
        self.plan = plan;
    }

    pub(super) fn request_removal(
        &mut self,
        now: Time,
        request: RequestId,
        id: ComponentId,
        cascade: Cascade,
        intent: Intent,
    ) {
        let removal = match self.check_removal(id, cascade) {
            Ok(removal) => removal,
            Err(error) => {
                self.refuse_operation(request, error);
                return;
            }
        };
        let kind = EventKind::Operation {
            component: id,
            operation: Operation::Remove,
            intent,
        };
        self.emit(now, Reason::Removed, None, kind);
        for &id in &removal {
            self.slot(id).wanted = Wanted::Removed;
            self.supersede_all(id);
        }
        self.slot(id).extra().operations.push(OpenOperation {
            request,
            operation: Operation::Remove,
            began: now,
        });
        for &id in removal.iter().rev() {
            self.take_out(now, id);
        }
    }

    /// `id` and, if that is meant, all that needs it, each before what needs it.
    fn check_removal(
        &self,
        id: ComponentId,
        cascade: Cascade,
    ) -> Result<Vec<ComponentId>, OperationError> {
        if !self.plan.contains(id) || self.slots[id.index()].wanted == Wanted::Removed {
            return Err(self.not_found(id));
        }
        if self.state == OrchestratorState::Stopping {
            return Err(OperationError::FailedPrecondition {
                operation: Operation::Remove,
                state: self.state,
            });
        }
        let mut removal = vec![id];
        let mut known = HashSet::from([id]);
        let mut next = 0;
        while let Some(&id) = removal.get(next) {
            next += 1;
            for edge in self.plan.dependents(id) {
                let gone = self.slots[edge.component.index()].wanted == Wanted::Removed;
                let hard = edge.kind == EdgeKind::Hard && !gone;
                if hard && known.insert(edge.component) {
                    removal.push(edge.component);
                }
            }
        }
        if removal.len() > 1 && cascade == Cascade::Refuse {
            let dependents = removal[1..].iter().map(|it| self.plan.name(*it).clone());
            return Err(OperationError::HasDependents {
                component: self.plan.name(id).clone(),
                dependents: dependents.collect(),
            });
        }
        removal.sort_unstable_by_key(|it| self.plan.rank(*it));
        Ok(removal)
    }

    fn take_out(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        if slot.leaving {
            return;
        }
        match slot.phase {
            Phase::Idle | Phase::Waiting | Phase::Restarting => {
                slot.phase = Phase::Idle;
                self.timers.disarm(id);
                self.rest(now, id);
            }
            _ => {
                self.bring_down(now, id, Reason::Removed);
            }
        }
    }

    /// Takes what is down and unwanted out of the plan. At the end of a step, when no set of ranks holds anything.
    pub(super) fn take_out_removed(&mut self, now: Time) {
        if self.removed.is_empty() || self.shutdown.is_some() {
            return;
        }
        let removed = std::mem::take(&mut self.removed);
        for &id in &removed {
            self.forget_edges(id);
            let slot = &mut self.slots[id.index()];
            if std::mem::replace(&mut slot.unready, false) {
                self.unready -= 1;
            }
            let name = self.plan.name(id).clone();
            let kind = EventKind::Removed {
                component: id,
                name,
            };
            self.emit(now, Reason::Removed, None, kind);
            self.commands.push_back(Command::Forget { component: id });
        }
        self.drop_rows(&removed);
    }

    /// Whoever was added to `id` before that failed, and is wanted again later, does not wait for what is not there.
    fn forget_edges(&mut self, id: ComponentId) {
        if !self.is_running() {
            return;
        }
        let plan = Arc::clone(&self.plan);
        let hard = plan.dependents(id).iter();
        for edge in hard.filter(|it| it.kind == EdgeKind::Hard) {
            self.meet_edge(edge.component);
        }
    }

    fn drop_rows(&mut self, removed: &[ComponentId]) {
        let plan = self.plan.without(removed);
        for id in removed {
            self.timers.disarm(*id);
            self.slots[id.index()] = Slot::default();
        }
        for slot in &mut self.slots {
            slot.cause = slot.cause.filter(|it| plan.contains(*it));
        }
        self.adopt(plan);
    }
}
