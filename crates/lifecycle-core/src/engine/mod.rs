//! The orchestrator as a pure state machine: inputs and time in, commands and events out.

mod message;
mod report;
mod snapshot;
mod state;

pub use message::{
    AttemptKey, Call, CallOutcome, Command, Event, EventKind, Input, Limit, Reason, RequestId,
    Response, StopMode,
};
pub use report::{
    Degradation, StartError, StartReport, StopError, StopOutcome, StopReport, StopTrouble,
};
pub use snapshot::{Awaited, ComponentRow, Snapshot};
pub use state::{ComponentState, OrchestratorState};

use std::sync::Arc;

use crate::plan::Plan;
use crate::time::Time;

/// The orchestrator's decisions.
#[derive(Clone, Debug)]
pub struct Engine {
    plan: Arc<Plan>,
}

impl Engine {
    /// An orchestrator of `plan` that was never started.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        Self { plan }
    }

    /// Takes in what happened at `now`.
    pub fn handle(&mut self, now: Time, input: Input) {
        drop((now, input));
    }

    /// Takes in that it is `now`: the moment that [`poll_timeout`](Self::poll_timeout) named has come.
    pub fn handle_timeout(&mut self, now: Time) {
        let _ = now;
    }

    /// The next thing that the shell shall do.
    pub fn poll_command(&mut self) -> Option<Command> {
        None
    }

    /// The next thing that has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        None
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest, if nothing else happens before.
    pub fn poll_timeout(&mut self) -> Option<Time> {
        None
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The state of the orchestrator.
    #[must_use]
    pub fn state(&self) -> OrchestratorState {
        OrchestratorState::Created
    }

    /// Whether the orchestrator and every essential component run; takes O(1).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        false
    }

    /// A consistent copy of everything at `now`.
    #[must_use]
    pub fn snapshot(&self, now: Time) -> Snapshot {
        let _ = now;
        Snapshot {
            plan: Arc::clone(&self.plan),
            at: now,
            run: 0,
            sequence: 0,
            state: OrchestratorState::Created,
            since: Time::ZERO,
            reason: Reason::StartRequested,
            stop_deadline: None,
            components: Vec::new(),
        }
    }
}
