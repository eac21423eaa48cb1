//! A start of the orchestrator: from the request until every component has settled.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::failure::{Failure, FailureKind};
use crate::plan::ComponentId;
use crate::registration::{Criticality, EdgeKind};
use crate::time::Time;

use super::message::{Reason, RequestId, Response};
use super::operation::Intent;
use super::report::{Degradation, StartError, StartReport};
use super::shutdown::Begin;
use super::slot::{Phase, Wanted};
use super::state::{ComponentState, DrainState, OrchestratorState};
use super::{Engine, Root};

/// A start under way.
#[derive(Clone, Debug)]
pub(super) struct Startup {
    request: RequestId,
    began: Time,
    /// How many components have not settled yet.
    unsettled: usize,
}

impl Hash for Startup {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.unsettled.hash(state);
    }
}

/// How a start that does not come about ends, once what had started is down again.
#[derive(Clone, Debug)]
pub(super) struct FailedStartup {
    pub(super) request: RequestId,
    pub(super) failed: Option<EssentialFailure>,
}

/// The essential component that a start failed by.
#[derive(Clone, Debug)]
pub(super) struct EssentialFailure {
    /// The essential component.
    component: ComponentId,
    /// It, or the dependency that it waited for in vain.
    root: Root,
}

impl FailedStartup {
    pub(super) fn error(self, engine: &Engine, stop: Arc<super::StopReport>) -> StartError {
        let Some(EssentialFailure { component, root }) = self.failed else {
            let degraded = engine.failed_beside(&[]);
            return StartError::Cancelled { stop, degraded };
        };
        let name = |id| engine.plan.name(id).clone();
        StartError::Failed {
            component: name(component),
            cause: (root.component != component).then(|| name(root.component)),
            degraded: engine.failed_beside(&[component, root.component]),
            failure: root.failure,
            rollback: stop,
        }
    }
}

impl Engine {
    /// Begins a start, or refuses it without any change (semantics 10).
    pub(super) fn request_start(&mut self, now: Time, request: RequestId) {
        let idle = matches!(
            self.state,
            OrchestratorState::Created | OrchestratorState::Stopped
        );
        if !idle {
            let error = StartError::FailedPrecondition { state: self.state };
            self.respond(request, Response::Start(Err(Arc::new(error))));
            return;
        }
        self.run += 1;
        self.startup = Some(Startup {
            request,
            began: now,
            unsettled: self.plan.len(),
        });
        self.enter_orchestrator(
            now,
            OrchestratorState::Starting,
            Reason::StartRequested,
            None,
        );
        self.enter_node(
            now,
            self.node.cordoned,
            DrainState::Active,
            Intent::default(),
        );
        self.impaired = 0;
        let plan = Arc::clone(&self.plan);
        for &id in plan.order() {
            let edges = plan.dependencies(id).len();
            // A graph has at most as many edges as 32 bits count.
            self.slots[id.index()].begin_run(u32::try_from(edges).unwrap_or(u32::MAX));
        }
        for &id in plan.order() {
            self.begin_run(now, id);
        }
        self.refuse_all_quarantined(now);
    }

    fn begin_run(&mut self, now: Time, id: ComponentId) {
        if self.slot(id).gates_closed > 0 {
            // Not counted in the start, and so nobody waits for it there (semantics 26).
            self.settle(id);
            self.release_soft(id);
        }
        if self.may_start(id) {
            self.startable.insert(self.plan.rank(id));
            return;
        }
        let reason = if self.is_gate_closed(id) {
            Reason::GateClosed
        } else {
            Reason::DependenciesPending
        };
        self.enter(now, id, ComponentState::Waiting, reason);
    }

    /// Before any call is made, since without an essential one there is nothing to start.
    fn refuse_all_quarantined(&mut self, now: Time) {
        let plan = Arc::clone(&self.plan);
        for &id in plan.order() {
            let slot = &self.slots[id.index()];
            if slot.quarantined && slot.phase == Phase::Waiting {
                self.startable.remove(plan.rank(id));
                self.refuse_quarantined(now, id);
            }
        }
    }

    /// The token of a start was cancelled: stop, on a budget of its own (invariant 10).
    pub(super) fn cancel_startup(&mut self, now: Time, request: RequestId) {
        if self
            .startup
            .as_ref()
            .is_some_and(|it| it.request == request)
        {
            self.begin_shutdown(now, Begin::new(Reason::StartCancelled));
        }
    }

    /// Takes the startup out of a stop's way; it is answered when that stop has ended.
    pub(super) fn give_up_startup(
        &mut self,
        failed: Option<EssentialFailure>,
    ) -> Option<FailedStartup> {
        let startup = self.startup.take()?;
        Some(FailedStartup {
            request: startup.request,
            failed,
        })
    }

    /// `id` has done its part in the start: it runs, or it will not (semantics 9).
    pub(super) fn settle(&mut self, id: ComponentId) {
        let slot = &mut self.slots[id.index()];
        if slot.settled {
            return;
        }
        slot.settled = true;
        if let Some(startup) = &mut self.startup {
            startup.unsettled -= 1;
        }
    }

    /// `id` was lost, or went down with another, before the start has settled: an essential one must come back first.
    pub(super) fn unsettle(&mut self, id: ComponentId) {
        let essential = self.plan.criticality(id) == Criticality::Essential;
        let Some(startup) = &mut self.startup else {
            return;
        };
        let slot = &mut self.slots[id.index()];
        if essential && slot.gates_closed == 0 && std::mem::replace(&mut slot.settled, false) {
            startup.unsettled += 1;
        }
    }

    pub(super) fn finish_startup_if_settled(&mut self, now: Time) {
        let Some(Startup { unsettled: 0, .. }) = self.startup else {
            return;
        };
        let Some(startup) = self.startup.take() else {
            return;
        };
        self.enter_orchestrator(now, OrchestratorState::Running, Reason::Settled, None);
        let report = StartReport {
            run: self.run,
            running: self
                .slots
                .iter()
                .filter(|it| it.state == ComponentState::Running)
                .count(),
            degraded: self.degradations(),
            took: now - startup.began,
        };
        self.respond(startup.request, Response::Start(Ok(Arc::new(report))));
    }

    fn degradations(&self) -> Vec<Degradation> {
        let order = self.plan.order().iter();
        order
            .filter(|id| {
                let slot = &self.slots[id.index()];
                slot.state != ComponentState::Running && slot.gates_closed == 0
            })
            .map(|id| self.degradation(*id))
            .collect()
    }

    /// Every other component whose start had failed when a start was given up: no error is lost (invariant 5).
    fn failed_beside(&self, known: &[ComponentId]) -> Vec<Degradation> {
        let order = self.plan.order().iter().copied();
        order
            .filter(|id| self.slots[id.index()].start_failed && !known.contains(id))
            .map(|id| self.degradation(id))
            .collect()
    }

    fn degradation(&self, id: ComponentId) -> Degradation {
        let slot = &self.slots[id.index()];
        Degradation {
            component: self.plan.name(id).clone(),
            state: slot.state,
            criticality: self.plan.criticality(id),
            cause: slot.cause.map(|it| self.plan.name(it).clone()),
            failure: slot.failure.clone(),
        }
    }

    /// `id` will not run: edges that are not hard are met all the same, hard ones pass the failure on.
    pub(super) fn release_without(&mut self, now: Time, id: ComponentId) {
        self.release_soft(id);
        self.fail_dependents(now, id);
    }

    /// Fails whoever waits for `id` by a hard edge, and whoever waits for them; by a list, not by recursion.
    pub(super) fn fail_dependents(&mut self, now: Time, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let mut failed = vec![id];
        while let Some(id) = failed.pop() {
            for edge in plan
                .dependents(id)
                .iter()
                .filter(|it| it.kind == EdgeKind::Hard)
            {
                let slot = &self.slots[edge.component.index()];
                // A restart that is due later need not be waited for either.
                let rests = matches!(slot.phase, Phase::Waiting | Phase::Restarting);
                if rests && slot.wanted == Wanted::Up {
                    self.fail_by_dependency(now, edge.component, id);
                    self.release_soft(edge.component);
                    failed.push(edge.component);
                }
            }
        }
    }

    /// `id` waits in vain: a hard dependency has failed for good (semantics 22).
    pub(super) fn fail_by_dependency(
        &mut self,
        now: Time,
        id: ComponentId,
        dependency: ComponentId,
    ) {
        let added = self.is_being_added(id);
        self.blame(id, dependency);
        self.timers.disarm(id);
        let slot = &mut self.slots[id.index()];
        slot.phase = Phase::Idle;
        slot.restart_at = Time::ZERO;
        if added {
            slot.wanted = Wanted::Removed;
            self.rest(now, id);
            return;
        }
        slot.wanted = Wanted::Failed;
        slot.start_failed = true;
        slot.motive = Reason::DependencyFailed;
        self.enter(now, id, ComponentState::Faulted, Reason::DependencyFailed);
        self.settle(id);
        self.answer_operations(now, id);
        self.stop_if_essential(now, id);
    }

    /// `id` cannot run for what is behind the failure of `dependency`.
    pub(super) fn blame(&mut self, id: ComponentId, dependency: ComponentId) {
        let root = self.root_of(dependency);
        let slot = self.slot(id);
        slot.cause = Some(root.component);
        slot.failure = Some(root.failure);
    }

    /// What is behind the failure of `id`: itself, or what it waited for.
    pub(super) fn root_of(&self, id: ComponentId) -> Root {
        let slot = &self.slots[id.index()];
        let unknown = || Arc::new(Failure::new(FailureKind::Dependency, "it no longer runs"));
        let cause = slot.cause.filter(|it| self.plan.contains(*it));
        // What goes down with its cause has no failure of its own.
        let behind = || cause.and_then(|it| self.slots[it.index()].failure.clone());
        let failure = slot.failure.clone().or_else(behind);
        Root {
            component: cause.unwrap_or(id),
            failure: failure.unwrap_or_else(unknown),
        }
    }

    /// Stops everything because the essential `id` is gone, on a budget of its own (invariant 10).
    pub(super) fn stop_without(&mut self, now: Time, id: ComponentId, reason: Reason) {
        let root = self.root_of(id);
        let failed = EssentialFailure {
            component: id,
            root: root.clone(),
        };
        self.begin_shutdown(
            now,
            Begin {
                root: Some(root),
                failed: Some(failed),
                ..Begin::new(reason)
            },
        );
    }
}
