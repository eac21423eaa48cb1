//! What diagnostics may see: plain data, taken between two steps of the engine.

use std::sync::Arc;

use crate::failure::Failure;
use crate::name::ComponentName;
use crate::plan::{ComponentId, Plan};
use crate::registration::{Criticality, EdgeKind};
use crate::time::{Nanos, Time};

use super::message::Reason;
use super::node::NodeSnapshot;
use super::state::{ComponentState, DrainState, Health, OrchestratorState};

/// The whole orchestrator at one moment: a consistent copy (invariant 14). Names and edges are in the plan.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// What it is a snapshot of.
    pub plan: Arc<Plan>,
    /// When it was taken.
    pub at: Time,
    /// Which run, counted from 1; 0 before the first.
    pub run: u64,
    /// The sequence number of the last event that it contains.
    pub sequence: u64,
    /// The state of the orchestrator.
    pub state: OrchestratorState,
    /// Since when it is in that state.
    pub since: Time,
    /// Why it is in that state.
    pub reason: Reason,
    /// When the stop under way must be over.
    pub stop_deadline: Option<Time>,
    /// Cordon and drain.
    pub node: NodeSnapshot,
    /// Whether the host is ready (semantics 28).
    pub ready: bool,
    /// One row an index ([`ComponentId::index`]); that of a removed component is of nobody.
    pub components: Vec<ComponentRow>,
}

/// One component at one moment.
#[derive(Clone, Debug, Default)]
pub struct ComponentRow {
    /// Its state.
    pub state: ComponentState,
    /// Since when.
    pub since: Time,
    /// Why.
    pub reason: Reason,
    /// The incarnation, counted from 1; 0 before the first start.
    pub generation: u32,
    /// The attempt of the phase that it is in; 0 when none was made.
    pub attempt: u32,
    /// When the next attempt is due, while it backs off.
    pub retry_at: Option<Time>,
    /// Whether what is due then is a new generation, and no further attempt of this one.
    pub restarting: bool,
    /// The component at the root of its state, when it is not itself.
    pub cause: Option<ComponentId>,
    /// Its last failure; cleared when it runs again, or has stopped well after a further attempt.
    pub failure: Option<Arc<Failure>>,
    /// Its health by its own account, while it runs.
    pub health: Health,
    /// What it says about that.
    pub degraded: Option<Arc<str>>,
    /// How its last health check failed; cleared by one that passes, and by a further generation.
    pub check_failure: Option<Arc<Failure>>,
    /// What it said last that it is doing.
    pub progress: Option<Arc<str>>,
    /// How much it said last to have in flight.
    pub in_flight: Option<u64>,
    /// How far a drain of it has gone.
    pub drain: DrainState,
    /// How its last drain or resume failed.
    pub drain_failure: Option<Arc<Failure>>,
    /// Whether an operator has stopped it; it stays down until it is started or a new run begins.
    pub held: bool,
    /// Whether it has failed for good, so that it stays down.
    pub final_failure: bool,
    /// Whether its gate, or that of a hard dependency, is closed.
    pub gated: bool,
    /// Whether its own gate is.
    pub gate_closed: bool,
    /// Whether it is about to go down, and waits for its dependents to.
    pub leaving: bool,
    /// Whether nothing of any generation of it is left, and that is certain: what was aborted, or is held, may go on.
    pub down: bool,
    /// Whether edges that are not hard no longer wait for it in this run.
    pub passed: bool,
    /// How often it was started again.
    pub restarts: Restarts,
    /// How many failures its budget counts at present.
    pub charges: u32,
    /// How long it waited for others in this run.
    pub waited: Nanos,
    /// How long its start and stop attempts worked in this run.
    pub worked: Nanos,
    /// How long it backed off in this run.
    pub backed_off: Nanos,
}

/// How often a component was started again, by the reason; over all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Restarts {
    /// Because it had failed.
    pub lost: u32,
    /// Because its own loop had completed.
    pub completed: u32,
    /// Because its health checks had failed.
    pub unhealthy: u32,
    /// Because a hard dependency went down and came back.
    pub dependency: u32,
    /// Because an operator wanted it.
    pub operator: u32,
}

impl Restarts {
    /// Each reason by its name on the wire, with its count.
    #[must_use]
    pub fn by_reason(&self) -> [(&'static str, u32); 5] {
        [
            ("lost", self.lost),
            ("completed", self.completed),
            ("unhealthy", self.unhealthy),
            ("dependency", self.dependency),
            ("operator", self.operator),
        ]
    }
}

/// What a component waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// The other component.
    pub component: ComponentId,
    /// The edge, for one that shall start; `None` for a dependent that must be down first.
    pub edge: Option<EdgeKind>,
    /// The state of the other component.
    pub state: ComponentState,
}

impl Snapshot {
    /// The row of `id`.
    ///
    /// # Panics
    ///
    /// When `id` is of no component of [`plan`](Self::plan).
    #[must_use]
    pub fn component(&self, id: ComponentId) -> &ComponentRow {
        &self.components[id.index()]
    }

    /// The name of `id`.
    #[must_use]
    pub fn name(&self, id: ComponentId) -> &ComponentName {
        self.plan.name(id)
    }

    /// What `id` waits for: missing dependencies while it shall start, dependents that go down too and are not down yet
    /// while it shall stop.
    #[must_use]
    pub fn awaited(&self, id: ComponentId) -> Vec<Awaited> {
        let row = self.component(id);
        if row.state == ComponentState::Waiting {
            return self.missing_dependencies(id);
        }
        if row.state != ComponentState::Running {
            return Vec::new();
        }
        if self.state == OrchestratorState::Stopping {
            return self.dependents_up(id, |_| true);
        }
        if row.leaving {
            // A dependent that stays, or waits to start, blocks nobody.
            return self.dependents_up(id, |it| it.leaving);
        }
        Vec::new()
    }

    fn missing_dependencies(&self, id: ComponentId) -> Vec<Awaited> {
        let edges = self.plan.dependencies(id).iter();
        edges
            .map(|edge| Awaited {
                component: edge.component,
                edge: Some(edge.kind),
                state: self.component(edge.component).state,
            })
            .filter(|it| it.state != ComponentState::Running)
            .filter(|it| it.edge == Some(EdgeKind::Hard) || !self.component(it.component).passed)
            .collect()
    }

    fn dependents_up(
        &self,
        id: ComponentId,
        counts: impl Fn(&ComponentRow) -> bool,
    ) -> Vec<Awaited> {
        let up = |state| {
            !matches!(
                state,
                ComponentState::Created | ComponentState::Stopped | ComponentState::Faulted
            )
        };
        let edges = self.plan.dependents(id).iter();
        edges
            .filter(|edge| counts(self.component(edge.component)))
            .map(|edge| Awaited {
                component: edge.component,
                edge: None,
                state: self.component(edge.component).state,
            })
            .filter(|it| up(it.state))
            .collect()
    }

    /// Whether the host is ready: the orchestrator runs, the node is neither cordoned nor drained, and every essential
    /// component without a closed gate runs and is not unhealthy (semantics 28).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The components that an essential one's trouble makes the host unready by, in plan order.
    pub fn unready(&self) -> impl Iterator<Item = ComponentId> {
        let order = self.plan.order().iter().copied();
        order.filter(|id| {
            let row = self.component(*id);
            let well = row.state == ComponentState::Running && row.health != Health::Unhealthy;
            self.plan.criticality(*id) == Criticality::Essential && !row.gated && !well
        })
    }

    /// What a running component goes on without: tolerated hard dependencies and wanted ones that do not run.
    pub fn missing(&self, id: ComponentId) -> impl Iterator<Item = ComponentId> {
        let edges = self.plan.dependencies(id).iter();
        let felt = edges.filter(|it| it.kind != EdgeKind::Order);
        felt.map(|it| it.component)
            .filter(|it| self.component(*it).state != ComponentState::Running)
    }
}
