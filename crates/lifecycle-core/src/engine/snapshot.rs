//! What diagnostics may see: plain data, taken between two steps of the engine.

use std::sync::Arc;

use crate::failure::Failure;
use crate::name::ComponentName;
use crate::plan::{ComponentId, Plan};
use crate::registration::{Criticality, EdgeKind};
use crate::time::{Nanos, Time};

use super::message::Reason;
use super::state::{ComponentState, OrchestratorState};

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
    /// One row a component, by [`ComponentId::index`].
    pub components: Vec<ComponentRow>,
}

/// One component at one moment.
#[derive(Clone, Debug)]
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
    /// The component at the root of its state, when it is not itself.
    pub cause: Option<ComponentId>,
    /// Its last failure; cleared when it runs again.
    pub failure: Option<Arc<Failure>>,
    /// How long it waited for others in this run.
    pub waited: Nanos,
    /// How long its start and stop attempts worked in this run.
    pub worked: Nanos,
    /// How long it backed off in this run.
    pub backed_off: Nanos,
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
    #[must_use]
    pub fn component(&self, id: ComponentId) -> &ComponentRow {
        &self.components[id.index()]
    }

    /// The name of `id`.
    #[must_use]
    pub fn name(&self, id: ComponentId) -> &ComponentName {
        self.plan.name(id)
    }

    /// What `id` waits for: missing dependencies while it shall start, dependents that are up while all shall stop.
    #[must_use]
    pub fn awaited(&self, id: ComponentId) -> Vec<Awaited> {
        let row = self.component(id);
        if row.state == ComponentState::Waiting {
            return self.missing_dependencies(id);
        }
        if self.state == OrchestratorState::Stopping && row.state == ComponentState::Running {
            return self.dependents_up(id);
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
            .filter(|it| it.edge == Some(EdgeKind::Hard) || it.state != ComponentState::Faulted)
            .collect()
    }

    fn dependents_up(&self, id: ComponentId) -> Vec<Awaited> {
        let up = |state| {
            !matches!(
                state,
                ComponentState::Created | ComponentState::Stopped | ComponentState::Faulted
            )
        };
        let edges = self.plan.dependents(id).iter();
        edges
            .map(|edge| Awaited {
                component: edge.component,
                edge: None,
                state: self.component(edge.component).state,
            })
            .filter(|it| up(it.state))
            .collect()
    }

    /// Whether every essential component runs and so does the orchestrator (semantics 28, as far as it is built).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.state == OrchestratorState::Running
            && self
                .essential()
                .all(|id| self.component(id).state == ComponentState::Running)
    }

    fn essential(&self) -> impl Iterator<Item = ComponentId> {
        self.plan
            .ids()
            .filter(|id| self.plan.criticality(*id) == Criticality::Essential)
    }
}
