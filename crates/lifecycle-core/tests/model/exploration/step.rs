//! What the environment may do, and when.

use lifecycle_core::ComponentId;
use lifecycle_core::engine::{Call, Cascade, NodeCommand, Operation, OrchestratorState};

use super::case::Case;
use super::world::{Awaited, World};

/// A step of the environment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Step {
    Start,
    CancelStart,
    Stop,
    Force,
    Ends(usize, Ending),
    Loses(ComponentId),
    Operate(ComponentId, Operation),
    /// The gate opens for good.
    Open,
    /// The gate opens until a moment that is far enough for its margin.
    OpenForNow,
    Close,
    Node(NodeCommand),
    /// The last component comes.
    Add,
    Remove(ComponentId, Cascade),
    /// Time jumps to the next deadline.
    Deadline,
    /// Time jumps far beyond it.
    Oversleep,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ending {
    Well,
    Badly,
}

impl World {
    /// Everything that may happen next.
    pub(super) fn offer(&self, case: &Case, steps: &mut Vec<Step>) {
        if self.broken.is_some() || self.halted {
            return;
        }
        self.offer_commands(steps);
        self.offer_operations(steps);
        self.offer_gate(case, steps);
        self.offer_answers(case, steps);
        self.offer_losses(case, steps);
        if self.engine.clone().poll_timeout().is_some() {
            steps.push(Step::Deadline);
            if self.budget.oversleeps > 0 {
                steps.push(Step::Oversleep);
            }
        }
    }

    fn offer_commands(&self, steps: &mut Vec<Step>) {
        let state = self.engine.state();
        let idle = self.is_idle();
        let budget = &self.budget;
        let running = state == OrchestratorState::Running;
        let offers = [
            (budget.starts > 0 && idle, Step::Start),
            (
                budget.cancels > 0 && state == OrchestratorState::Starting,
                Step::CancelStart,
            ),
            (budget.stops > 0 && !idle, Step::Stop),
            (budget.forces > 0 && !idle, Step::Force),
            (
                budget.drains > 0 && running,
                Step::Node(NodeCommand::Drain { deadline: None }),
            ),
            (
                budget.drain_cancels > 0 && running,
                Step::Node(NodeCommand::Cancel),
            ),
            (
                budget.resumes > 0 && running,
                Step::Node(NodeCommand::Resume),
            ),
        ];
        steps.extend(offers.into_iter().filter(|it| it.0).map(|it| it.1));
    }

    fn offer_operations(&self, steps: &mut Vec<Step>) {
        let works = matches!(
            self.engine.state(),
            OrchestratorState::Starting | OrchestratorState::Running
        );
        if !works {
            return;
        }
        let budget = &self.budget;
        let plan = self.engine.plan();
        let present = |id: &ComponentId| !self.oracle.is_removed(*id);
        for (left, operation) in [
            (budget.operator_starts, Operation::Start),
            (budget.operator_stops, Operation::Stop),
            (budget.operator_restarts, Operation::Restart),
        ] {
            if left > 0 {
                let ids = plan.ids().filter(present);
                steps.extend(ids.map(|id| Step::Operate(id, operation)));
            }
        }
        if budget.additions > 0 {
            steps.push(Step::Add);
        }
        if budget.removals > 0 {
            let ids = plan.ids().filter(present);
            steps.extend(ids.map(|id| Step::Remove(id, Cascade::Dependents)));
        }
    }

    fn offer_gate(&self, case: &Case, steps: &mut Vec<Step>) {
        if case.row().gated.is_none() {
            return;
        }
        if self.budget.opens > 0 {
            steps.extend([Step::Open, Step::OpenForNow]);
        }
        if self.budget.closes > 0 && self.oracle.gate_open {
            steps.push(Step::Close);
        }
    }

    fn offer_answers(&self, case: &Case, steps: &mut Vec<Step>) {
        let row = case.row();
        for (index, pending) in self.pending.iter().enumerate() {
            if pending.abandoned && self.budget.late == 0 {
                continue;
            }
            steps.push(Step::Ends(index, Ending::Well));
            let may_fail = match pending.what {
                Awaited::Call(Call::Start) => row.starts_fail,
                Awaited::Call(Call::Stop) => row.stops_fail,
                Awaited::Call(Call::Drain | Call::Resume) => true,
                Awaited::Call(Call::Dispose) | Awaited::Scope => false,
            };
            if may_fail && !pending.abandoned {
                steps.push(Step::Ends(index, Ending::Badly));
            }
        }
    }

    fn offer_losses(&self, case: &Case, steps: &mut Vec<Step>) {
        // Where everything begins with a start, losses at any time are more than can be explored.
        let stopping = self.engine.state() == OrchestratorState::Stopping;
        if self.budget.losses == 0 || !(case.row().up || stopping) {
            return;
        }
        let ids = self.engine.plan().ids();
        let running = ids.filter(|id| self.oracle.components[id.index()].running);
        steps.extend(running.map(Step::Loses));
    }
}
