//! Operations on one component while the rest goes on (semantics 24).

use std::collections::HashSet;
use std::sync::Arc;

use crate::plan::ComponentId;
use crate::registration::{Criticality, EdgeKind};
use crate::time::Time;

use super::Engine;
use super::message::{EventKind, Reason, RequestId, Response};
use super::operation::{Intent, Operation, OperationError, OperationReport};
use super::slot::{OpenOperation, Phase, Slot, Wanted};

impl Engine {
    pub(super) fn request_operation(
        &mut self,
        now: Time,
        request: RequestId,
        id: ComponentId,
        operation: Operation,
        forced: bool,
        intent: Intent,
    ) {
        if let Err(error) = self.check_operation(id, operation, forced) {
            self.refuse_operation(request, error);
            return;
        }
        let kind = EventKind::Operation {
            component: id,
            operation,
            intent,
        };
        self.emit(now, operation_reason(operation), None, kind);
        self.supersede(id, operation);
        let extra = self.slot(id).extra();
        if extra.operations.is_empty() {
            extra.collateral.clear();
        }
        extra.stop_failure = None;
        extra.operations.push(OpenOperation {
            request,
            operation,
            began: now,
        });
        match operation {
            Operation::Stop => self.hold_down(now, id),
            Operation::Restart if self.slot(id).wanted == Wanted::Up => self.restart(now, id),
            _ => self.start_again(now, id),
        }
        self.answer_spared(now, id);
        self.answer_operations(now, id);
    }

    pub(super) fn refuse_operation(&mut self, request: RequestId, error: OperationError) {
        self.respond(request, Response::Operation(Err(Arc::new(error))));
    }

    fn check_operation(
        &self,
        id: ComponentId,
        operation: Operation,
        forced: bool,
    ) -> Result<(), OperationError> {
        self.check_present(id, operation)?;
        match operation {
            Operation::Stop => {
                self.check_not_kept(id)?;
                self.check_essential(id, forced)
            }
            _ => self.check_startable(id),
        }
    }

    pub(super) fn check_present(
        &self,
        id: ComponentId,
        operation: Operation,
    ) -> Result<(), OperationError> {
        if !self.plan.contains(id) || self.slots[id.index()].wanted == Wanted::Removed {
            return Err(self.not_found(id));
        }
        if !self.is_running() {
            return Err(OperationError::FailedPrecondition {
                operation,
                state: self.state,
            });
        }
        Ok(())
    }

    /// Whoever stops an essential component, or one that takes such with it or keeps such waiting, must mean it.
    fn check_essential(&self, id: ComponentId, forced: bool) -> Result<(), OperationError> {
        let mut concerned = std::iter::once(id)
            .chain(self.falling_with(id))
            .chain(self.waiting_behind(id));
        let essential = concerned.find(|it| self.plan.criticality(*it) == Criticality::Essential);
        match essential {
            Some(essential) if !forced => Err(OperationError::Essential {
                component: self.plan.name(id).clone(),
                essential: self.plan.name(essential).clone(),
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// What is held up is neither stopped nor started again.
    fn check_not_kept(&self, id: ComponentId) -> Result<(), OperationError> {
        let component = self.plan.name(id);
        match self.slots[id.index()].phase {
            Phase::Kept => Err(OperationError::StillUp {
                component: component.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// What shall run, and waits for `id`, or for something that does.
    pub(super) fn waiting_behind(&self, id: ComponentId) -> Vec<ComponentId> {
        self.behind(id, |it| it.phase.is_down() && it.wanted == Wanted::Up)
    }

    /// `id`, and those hard dependents, direct or not, to which a way leads through what `counts`.
    fn behind(&self, id: ComponentId, counts: impl Fn(&Slot) -> bool) -> Vec<ComponentId> {
        let mut behind = vec![id];
        let mut known = HashSet::from([id]);
        let mut next = 0;
        while let Some(&id) = behind.get(next) {
            next += 1;
            let hard = self.plan.dependents(id).iter();
            for edge in hard.filter(|it| it.kind == EdgeKind::Hard) {
                let slot = &self.slots[edge.component.index()];
                if counts(slot) && known.insert(edge.component) {
                    behind.push(edge.component);
                }
            }
        }
        behind
    }

    fn check_startable(&self, id: ComponentId) -> Result<(), OperationError> {
        self.check_not_kept(id)?;
        let component = || self.plan.name(id).clone();
        let slot = &self.slots[id.index()];
        if slot.quarantined {
            return Err(OperationError::StillUp {
                component: component(),
            });
        }
        match self.unwanted_dependency(id) {
            Some(dependency) => Err(OperationError::DependencyDown {
                component: component(),
                dependency: self.plan.name(dependency).clone(),
            }),
            None => Ok(()),
        }
    }

    /// `id` was taken out, or is on its way.
    pub(super) fn not_found(&self, id: ComponentId) -> OperationError {
        let component = if self.plan.contains(id) {
            self.plan.name(id).to_string()
        } else {
            format!("{id:?}")
        };
        OperationError::NotFound {
            component,
            nearest: None,
        }
    }

    /// A hard dependency, direct or not, that is down and shall stay down.
    pub(super) fn unwanted_dependency(&self, id: ComponentId) -> Option<ComponentId> {
        self.find_missing(id, |wanted| wanted != Wanted::Up)
    }

    /// Whether a hard dependency, direct or not, has failed or completed for good, or is being taken out. It may not be
    /// down yet, so that nobody has been told.
    fn is_behind_what_is_gone(&self, id: ComponentId) -> bool {
        self.find_missing(id, Wanted::is_gone).is_some()
    }

    /// A hard dependency, direct or not, that is missing and of which that is wanted which `is` says.
    fn find_missing(&self, id: ComponentId, is: impl Fn(Wanted) -> bool) -> Option<ComponentId> {
        let mut known = HashSet::from([id]);
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let hard = self.plan.dependencies(id).iter();
            for edge in hard.filter(|it| it.kind == EdgeKind::Hard) {
                let dependency = &self.slots[edge.component.index()];
                if dependency.available || !known.insert(edge.component) {
                    continue;
                }
                if is(dependency.wanted) {
                    return Some(edge.component);
                }
                open.push(edge.component);
            }
        }
        None
    }

    /// `id` goes down, and stays there until somebody starts it.
    fn hold_down(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        slot.wanted = Wanted::Held;
        match slot.phase {
            Phase::Waiting | Phase::Restarting | Phase::Idle if !slot.leaving => {
                self.timers.disarm(id);
                self.slot(id).phase = Phase::Idle;
                self.rest(now, id);
            }
            _ => {
                self.bring_down(now, id, Reason::OperatorStop);
            }
        }
    }

    /// `id` goes down and comes back. One that is on its way down already comes back all the same.
    fn restart(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        slot.restart_at = Time::ZERO;
        match slot.phase {
            Phase::Restarting => {
                slot.motive = Reason::OperatorRestart;
                self.await_start(now, id);
            }
            Phase::Waiting => {}
            _ => {
                slot.extra().restarts.operator += 1;
                self.bring_down(now, id, Reason::OperatorRestart);
            }
        }
    }

    /// `id` is wanted again, with a fresh budget; so is what had failed for it alone.
    fn start_again(&mut self, now: Time, id: ComponentId) {
        let slot = self.slot(id);
        slot.wanted = Wanted::Up;
        slot.start_failed = false;
        slot.restart_at = Time::ZERO;
        slot.extra().charges.clear();
        slot.extra().restart_step = 0;
        let rests = !slot.leaving && matches!(slot.phase, Phase::Idle | Phase::Restarting);
        if rests {
            slot.motive = Reason::OperatorStart;
            slot.cause = None;
            self.await_start(now, id);
        }
        self.revive_victims(now, id);
    }

    /// An addition that was to fail with `id`, through whatever does not run, waits for others alone now: an operator wants
    /// something else of `id`.
    fn answer_spared(&mut self, now: Time, id: ComponentId) {
        for waiting in self.behind(id, |it| !it.available) {
            if self.is_being_added(waiting) {
                self.answer_operations(now, waiting);
            }
        }
    }

    /// What has failed for good only because `root` had is wanted again. What cannot run for another failure as well has
    /// that one for its cause from now on.
    fn revive_victims(&mut self, now: Time, root: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            let hard = plan.dependents(id).iter();
            for edge in hard.filter(|it| it.kind == EdgeKind::Hard) {
                let victim = edge.component;
                let slot = self.slot(victim);
                let failed_for_it = slot.wanted == Wanted::Failed
                    && slot.motive == Reason::DependencyFailed
                    && slot.cause == Some(root);
                if !failed_for_it {
                    continue;
                }
                if let Some(dead) = self.dead_dependency(victim) {
                    self.blame(victim, dead);
                    if self.slot(victim).cause != Some(root) {
                        open.push(victim);
                    }
                    continue;
                }
                open.push(victim);
                let slot = self.slot(victim);
                slot.wanted = Wanted::Up;
                slot.start_failed = false;
                slot.motive = Reason::DependenciesReady;
                if slot.phase == Phase::Idle && !slot.leaving {
                    self.await_start(now, victim);
                }
            }
        }
    }

    /// Whoever waited for something else of `id` is told that it will not come.
    pub(super) fn supersede(&mut self, id: ComponentId, operation: Operation) {
        let Some(extra) = &mut self.slot(id).extra else {
            return;
        };
        let up = |it: Operation| it != Operation::Stop;
        let (stay, go) = std::mem::take(&mut extra.operations)
            .into_iter()
            .partition(|it| up(it.operation) == up(operation));
        extra.operations = stay;
        self.tell_superseded(id, go);
    }

    /// Whoever waited for anything of `id` is told that it will not come.
    pub(super) fn supersede_all(&mut self, id: ComponentId) {
        if let Some(extra) = &mut self.slot(id).extra {
            let operations = std::mem::take(&mut extra.operations);
            self.tell_superseded(id, operations);
        }
    }

    /// A stop of the whole overtakes every operation but a removal.
    pub(super) fn supersede_operations(&mut self) {
        let plan = Arc::clone(&self.plan);
        for &id in plan.order() {
            let Some(extra) = &mut self.slots[id.index()].extra else {
                continue;
            };
            if extra.operations.is_empty() {
                continue;
            }
            let (stay, go) = std::mem::take(&mut extra.operations)
                .into_iter()
                .partition(|it| it.operation == Operation::Remove);
            extra.operations = stay;
            self.tell_superseded(id, go);
        }
    }

    fn tell_superseded(&mut self, id: ComponentId, operations: Vec<OpenOperation>) {
        for operation in operations {
            let component = self.plan.name(id).clone();
            self.refuse_operation(operation.request, OperationError::Superseded { component });
        }
    }

    /// Answers whoever waits for what `id` has come to.
    pub(super) fn answer_operations(&mut self, now: Time, id: ComponentId) {
        let slot = &self.slots[id.index()];
        let asked = slot.extra.as_ref().map(|it| it.operations.is_empty());
        if asked != Some(false) {
            return;
        }
        let wanted = slot.wanted;
        let rests = slot.phase == Phase::Idle && !slot.leaving;
        let runs = slot.available;
        let failed = slot.wanted == Wanted::Failed && (rests || slot.phase == Phase::Kept);
        // What a dependency has outlived a closed gate for starts in this very step.
        let waits = slot.phase == Phase::Waiting && !self.may_start(id);
        let waits_outside = waits && slot.gates_closed > 0;
        let removed = slot.wanted == Wanted::Removed && rests;
        // Its stop has failed while everything went down.
        let kept = slot.wanted == Wanted::Removed && slot.phase == Phase::Kept;
        let waits_in_vain = waits && self.unwanted_dependency(id).is_some();
        // An addition fails with what it waits for, as soon as that is down.
        let stays = (waits_outside || waits_in_vain) && !self.is_behind_what_is_gone(id);
        let done = |operation: Operation| match operation {
            // Its dependents may hold it up.
            Operation::Stop => (wanted == Wanted::Held && rests) || failed,
            Operation::Start | Operation::Restart => {
                runs || failed || removed || waits_outside || waits_in_vain
            }
            Operation::Add => runs || failed || removed || stays,
            Operation::Remove => removed || failed || kept,
        };
        for operation in self.take_operations(id, done) {
            let well = match operation.operation {
                Operation::Start | Operation::Restart if waits_in_vain && !waits_outside => {
                    self.refuse_in_vain(id, operation.request);
                    continue;
                }
                // It is there, and comes as soon as what it waits for does.
                Operation::Add => runs || stays,
                Operation::Start | Operation::Restart => runs || waits_outside,
                Operation::Stop | Operation::Remove => !failed && !kept,
            };
            self.answer_operation(now, id, operation, well);
        }
    }

    /// Takes out the operations of `id` that are `done`.
    fn take_operations(
        &mut self,
        id: ComponentId,
        done: impl Fn(Operation) -> bool,
    ) -> Vec<OpenOperation> {
        let operations = &mut self.slot(id).extra().operations;
        let (done, open) = std::mem::take(operations)
            .into_iter()
            .partition(|it| done(it.operation));
        *operations = open;
        done
    }

    /// Somebody has stopped what `id` waits for.
    fn refuse_in_vain(&mut self, id: ComponentId, request: RequestId) {
        let Some(dependency) = self.unwanted_dependency(id) else {
            return;
        };
        let name = |id: ComponentId| self.plan.name(id).clone();
        let error = OperationError::DependencyDown {
            component: name(id),
            dependency: name(dependency),
        };
        self.refuse_operation(request, error);
    }

    /// `id` is down and stays there: whoever waits for something that waits for it is told.
    pub(super) fn answer_behind(&mut self, now: Time, id: ComponentId) {
        for waiting in self.waiting_behind(id) {
            self.answer_operations(now, waiting);
        }
    }

    pub(super) fn answer_operation(
        &mut self,
        now: Time,
        id: ComponentId,
        operation: OpenOperation,
        well: bool,
    ) {
        let slot = &self.slots[id.index()];
        let name = |id: ComponentId| self.plan.name(id).clone();
        let result = if well {
            let extra = slot.extra.as_deref();
            let collateral = extra.map_or(&[][..], |it| &it.collateral);
            Ok(Arc::new(OperationReport {
                component: name(id),
                operation: operation.operation,
                state: slot.state,
                collateral: collateral
                    .iter()
                    .filter(|it| self.plan.contains(**it))
                    .map(|it| name(*it))
                    .collect(),
                stop_failure: extra.and_then(|it| it.stop_failure.clone()),
                took: now.since(operation.began),
            }))
        } else {
            // What a failed stop has left up is its own fault, whatever took it down.
            let own = slot.failure.clone().filter(|_| slot.phase == Phase::Kept);
            let (component, failure) = match own {
                Some(failure) => (id, failure),
                None => {
                    let root = self.root_of(id);
                    (root.component, root.failure)
                }
            };
            Err(Arc::new(OperationError::Failed {
                component: name(id),
                cause: (component != id).then(|| name(component)),
                failure,
            }))
        };
        self.respond(operation.request, Response::Operation(result));
    }
}

fn operation_reason(operation: Operation) -> Reason {
    match operation {
        Operation::Start => Reason::OperatorStart,
        Operation::Stop => Reason::OperatorStop,
        Operation::Restart => Reason::OperatorRestart,
        Operation::Add => Reason::Added,
        Operation::Remove => Reason::Removed,
    }
}
