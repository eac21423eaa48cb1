//! Who asks for what, what may be answered, and when it must have been.

use std::sync::Arc;

use lifecycle_core::engine::{
    Cascade, DrainState, NodeCommand, NodeError, Operation, OperationError, OrchestratorState,
    RequestId, Response, StartError, StartReport, StopOutcome, StopReport,
};
use lifecycle_core::{ComponentId, Criticality, Time};

use super::books::{Scope, Want};
use super::world::World;
use crate::support::State;

#[derive(Debug)]
pub(super) struct Asked {
    pub(super) kind: Kind,
    /// When it must be answered at the latest.
    pub(super) bound: Option<Time>,
}

impl Asked {
    pub(super) fn is_stop(&self) -> bool {
        matches!(self.kind, Kind::Stop { .. })
    }
}

#[derive(Debug)]
pub(super) enum Kind {
    Start,
    /// There is nothing to stop when it is `idle`.
    Stop {
        idle: bool,
    },
    Operation {
        component: ComponentId,
        operation: Operation,
        expected: Option<Refusal>,
    },
    Add {
        component: ComponentId,
    },
    Remove {
        component: ComponentId,
        expected: Option<Refusal>,
    },
    Node {
        command: NodeCommand,
        expected: Option<Refusal>,
    },
}

/// Why something is refused before anything happens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Refusal {
    NotFound,
    FailedPrecondition,
    Essential,
    StillUp,
    DependencyDown,
    HasDependents,
    Conflict,
}

impl Refusal {
    fn of_operation(error: &OperationError) -> Option<Self> {
        match error {
            OperationError::NotFound { .. } => Some(Self::NotFound),
            OperationError::FailedPrecondition { .. } => Some(Self::FailedPrecondition),
            OperationError::Essential { .. } => Some(Self::Essential),
            OperationError::DependencyDown { .. } => Some(Self::DependencyDown),
            OperationError::HasDependents { .. } => Some(Self::HasDependents),
            OperationError::StillUp { .. } => Some(Self::StillUp),
            _ => None,
        }
    }

    fn of_node(error: &NodeError) -> Option<Self> {
        match error {
            NodeError::FailedPrecondition { .. } => Some(Self::FailedPrecondition),
            NodeError::Conflict { .. } => Some(Self::Conflict),
            _ => None,
        }
    }
}

impl World {
    fn is_gone(&self, id: ComponentId) -> bool {
        self.books.removed.contains(&id) || self.books[id].want == Want::Removed
    }

    /// Rule 24, as a table.
    pub(super) fn expected_refusal(
        &self,
        id: ComponentId,
        operation: Operation,
        forced: bool,
    ) -> Option<Refusal> {
        if self.is_gone(id) {
            return Some(Refusal::NotFound);
        }
        if !self.is_running() {
            return Some(Refusal::FailedPrecondition);
        }
        let book = &self.books[id];
        if book.is_kept() {
            return Some(Refusal::StillUp);
        }
        if operation == Operation::Stop {
            let mut concerned = self.books.falling_with(id);
            concerned.extend(self.books.waiting_behind(id));
            let essential = |it| self.books.plan.criticality(it) == Criticality::Essential;
            let refused = !forced && concerned.into_iter().any(essential);
            return refused.then_some(Refusal::Essential);
        }
        if book.is_abandoned {
            return Some(Refusal::StillUp);
        }
        self.books
            .waits_for_unwanted(id)
            .then_some(Refusal::DependencyDown)
    }

    /// Rule 25.
    pub(super) fn expected_to_stay(&self, id: ComponentId, cascade: Cascade) -> Option<Refusal> {
        if self.is_gone(id) {
            return Some(Refusal::NotFound);
        }
        if self.orchestrator == OrchestratorState::Stopping {
            return Some(Refusal::FailedPrecondition);
        }
        let mut dependents = self.books.needed_by(id).into_iter();
        let needed = dependents.any(|it| !self.is_gone(it) && !self.books[it].may_be_failing());
        (needed && cascade == Cascade::Refuse).then_some(Refusal::HasDependents)
    }

    /// Rule 27, as a table.
    pub(super) fn expected_conflict(&self, command: NodeCommand) -> Option<Refusal> {
        use DrainState::{Active, Drained, Draining, Failed};
        let drain = self.node.drain;
        let of_cordon = matches!(command, NodeCommand::Cordon | NodeCommand::Uncordon);
        if !of_cordon && self.orchestrator != OrchestratorState::Running {
            return Some(Refusal::FailedPrecondition);
        }
        let may = match command {
            NodeCommand::Cordon => true,
            NodeCommand::Uncordon => {
                drain == Active || self.orchestrator != OrchestratorState::Running
            }
            _ if self.node.takes_back => false,
            NodeCommand::Drain { .. } => drain != Draining,
            NodeCommand::Resume => drain != Draining,
            NodeCommand::Cancel => drain == Draining,
            NodeCommand::Force => matches!(drain, Draining | Drained | Failed),
        };
        (!may).then_some(Refusal::Conflict)
    }

    pub(super) fn begin_command(&mut self, command: NodeCommand, refused: Option<Refusal>) {
        if refused.is_some() {
            return;
        }
        let drain = self.node.drain;
        match command {
            NodeCommand::Cancel => {
                self.node.takes_back = true;
                self.node.was_resumed = true;
            }
            NodeCommand::Resume => {
                self.node.takes_back = drain != DrainState::Active;
                self.node.was_resumed = true;
            }
            NodeCommand::Force => self.node.is_forced = true,
            NodeCommand::Drain { .. } => self.node.is_forced = false,
            NodeCommand::Cordon | NodeCommand::Uncordon => {}
        }
    }

    pub(super) fn see_node(&mut self, cordoned: bool, from: DrainState, to: DrainState) {
        assert_eq!(from, self.node.drain, "invariant 14");
        self.node.is_cordoned = cordoned;
        self.node.drain = to;
        if to == DrainState::Draining {
            self.node.began = self.step;
            self.node.was_resumed = false;
        }
        if from != to && to != DrainState::Draining {
            self.node.takes_back = false;
        }
    }

    pub(super) fn respond(&mut self, request: RequestId, response: &Response) {
        let asked = self.asked.remove(&request).expect("answered once");
        match (asked.kind, response) {
            (Kind::Start, Response::Start(Ok(report))) => self.check_start_report(report),
            (Kind::Start, Response::Start(Err(error))) => self.check_start_error(error),
            (Kind::Stop { idle: true }, Response::Stop(report)) => {
                assert!(report.troubles.is_empty() && report.stopped == 0);
            }
            (Kind::Stop { idle: false }, Response::Stop(report)) => self.check_stop_report(report),
            (
                Kind::Operation {
                    component,
                    operation,
                    expected,
                },
                Response::Operation(result),
            ) => {
                if !self.is_foreseen(component, expected, result) {
                    check_refusal(expected, result);
                }
                if let Ok(report) = result {
                    self.check_operation(component, operation, report.state);
                }
            }
            (Kind::Add { component }, Response::Operation(result)) => {
                let superseded = |it: &Arc<_>| matches!(**it, OperationError::Superseded { .. });
                let overtaken = result.as_ref().err().is_some_and(superseded) && self.is_running();
                let is_there = !self.books.removed.contains(&component);
                if is_there && (result.is_ok() || overtaken) {
                    // From here on it is a member like any other.
                    self.books[component].is_joining = false;
                }
                if let Some(report) = result.as_ref().ok().filter(|_| self.is_running()) {
                    self.check_operation(component, Operation::Add, report.state);
                }
            }
            (
                Kind::Remove {
                    component,
                    expected,
                },
                Response::Operation(result),
            ) => {
                if !self.is_foreseen(component, expected, result) {
                    check_refusal(expected, result);
                }
            }
            (Kind::Node { command, expected }, Response::Node(result)) => {
                let refusal = result.as_ref().err();
                let refusal = refusal.and_then(|it| Refusal::of_node(it));
                assert_eq!(refusal, expected, "rule 27: {command:?} {result:?}");
                let takes_back = matches!(command, NodeCommand::Cancel | NodeCommand::Resume);
                self.node.takes_back &= !takes_back || expected.is_some();
                if result.is_ok() {
                    self.check_node(command);
                }
            }
            (kind, response) => panic!("{kind:?} is answered with {response:?}"),
        }
    }

    /// Whether the refusal is because of a failure that is final already, and shown when it has been cleaned up after.
    fn is_foreseen<T>(
        &self,
        id: ComponentId,
        expected: Option<Refusal>,
        result: &Result<Arc<T>, Arc<OperationError>>,
    ) -> bool {
        let refusal = result.as_ref().err();
        match refusal.and_then(|it| Refusal::of_operation(it)) {
            Some(Refusal::NotFound) => self.is_joining(id),
            Some(Refusal::HasDependents) => {
                let mut dependents = self.books.needed_by(id).into_iter();
                expected.is_none() && dependents.any(|it| self.books[it].may_be_failing())
            }
            Some(Refusal::DependencyDown) => expected.is_none() && self.books.misses_any(id),
            _ => false,
        }
    }

    /// Whether it was added and may be removed again, since it fails.
    pub(super) fn is_joining(&self, id: ComponentId) -> bool {
        !self.books.removed.contains(&id) && self.books[id].is_joining
    }

    /// What was told is what it is, or was earlier in this very step.
    fn check_operation(&self, id: ComponentId, operation: Operation, told: State) {
        let book = &self.books[id];
        let state = if self.left.contains(&(id, told)) {
            told
        } else {
            book.state
        };
        let well = match operation {
            Operation::Stop => state == State::Stopped && book.is_clear(),
            Operation::Start | Operation::Restart | Operation::Add => {
                let outside = self.gated()[id.index()];
                // What is added is there, and comes as soon as what it waits for does.
                let behind = operation == Operation::Add && self.books.waits_for_unwanted(id);
                let fails = operation == Operation::Add && self.books.waits_for_what_is_gone(id);
                state == State::Running
                    || book.is_falling
                    || (state == State::Waiting && (outside || behind) && !fails)
            }
            Operation::Remove => false,
        };
        assert!(well, "rule 24: {operation:?} of {id:?} is done: {book:?}");
    }

    fn check_node(&self, command: NodeCommand) {
        let NodeCommand::Drain { .. } = command else {
            return;
        };
        assert_eq!(self.node.drain, DrainState::Drained, "rule 27");
        for (id, book) in self.books.iter() {
            let drained = !self.books.plan.drains(id)
                || !book.is_up()
                || book.drain == DrainState::Drained
                || book.busy.is_some();
            assert!(drained, "rule 11: {id:?} is not drained: {book:?}");
        }
    }

    /// Rule 9: everything essential runs, or stays down because somebody wants it so.
    fn check_start_report(&self, report: &StartReport) {
        let gated = self.gated();
        for id in self.books.ids() {
            let book = &self.books[id];
            let name = self.books.plan.name(id);
            let listed = report.degraded.iter().find(|it| it.component == *name);
            let misses = book.state != State::Running && !gated[id.index()];
            assert_eq!(listed.is_some(), misses, "rule 9: {id:?} {book:?}");
            if let Some(listed) = listed.filter(|_| book.state == State::Faulted) {
                assert!(listed.failure.is_some(), "invariant 5: {listed:?}");
            }
            let essential = self.books.plan.criticality(id) == Criticality::Essential;
            let excused = book.was_gated
                || book.was_unwanted
                || book.want != Want::Up
                || self.books.waits_for_unwanted(id)
                || self.was_added(id);
            assert!(
                !essential || book.state == State::Running || excused,
                "rule 9: the start has settled without {id:?}: {book:?}"
            );
        }
    }

    fn was_added(&self, id: ComponentId) -> bool {
        self.books.plan.name(id).as_str().starts_with('a')
    }

    fn check_start_error(&self, error: &StartError) {
        match error {
            StartError::Failed { rollback, .. } => self.check_stop_report(rollback),
            StartError::Cancelled { stop, .. } => self.check_stop_report(stop),
            _ => {}
        }
    }

    fn check_stop_report(&self, report: &StopReport) {
        if self.orchestrator != OrchestratorState::Stopping {
            assert!(report.incomplete.is_empty(), "rule 13: {report:?}");
        }
        for (id, book) in self.books.iter() {
            let name = self.books.plan.name(id);
            let is_kept = report.incomplete.contains(name);
            assert!(
                !book.is_undisposed || is_kept,
                "invariant 4: {name} is not disposed: {book:?}"
            );
            assert!(
                book.busy.is_none() || book.is_abandoned,
                "invariant 6: {name} is at work: {book:?}"
            );
            assert!(
                book.scope == Scope::None || is_kept,
                "invariant 6: {name}: {book:?}"
            );
            let trouble = report.troubles.iter().find(|it| it.component == *name);
            let failed = book.was_asked && book.stop_error.is_some();
            if failed {
                let trouble = trouble.unwrap_or_else(|| panic!("invariant 5: {name} is not told"));
                assert!(trouble.is_error(), "invariant 5: {trouble:?}");
            }
            if let Some(trouble) = trouble.filter(|it| it.outcome == StopOutcome::Failed) {
                assert_eq!(trouble.failure, book.stop_error, "invariant 5: {name}");
            }
            if let Some(trouble) = trouble.filter(|it| it.is_error()) {
                let told = trouble.failure.is_some() || trouble.dispose_failure.is_some();
                let held = trouble.outcome == StopOutcome::Held;
                assert!(told || held, "invariant 5: {trouble:?} says not why");
            }
        }
    }

    /// Whatever can be answered by now is.
    pub(super) fn check_answered(&self) {
        let gated = self.gated();
        for (request, asked) in &self.asked {
            let due = match &asked.kind {
                Kind::Start => self.is_start_due(&gated),
                Kind::Stop { idle } => *idle,
                Kind::Operation {
                    component,
                    operation,
                    ..
                } => self.is_operation_due(*component, *operation, &gated),
                Kind::Add { component } => {
                    self.is_operation_due(*component, Operation::Add, &gated)
                }
                Kind::Remove { component, .. } => {
                    self.is_operation_due(*component, Operation::Remove, &gated)
                }
                Kind::Node { .. } => !self.pending.iter().any(|it| it.is_of_node()),
            };
            assert!(!due, "{request:?} waits for nothing: {:?}", asked.kind);
        }
    }

    fn is_start_due(&self, gated: &[bool]) -> bool {
        let gated = |id: ComponentId| gated[id.index()];
        let order = self.books.plan.order().iter();
        // It fails as soon as that is down, and the start may with it.
        let is_doomed = |id: ComponentId| {
            self.books[id].state == State::Waiting && self.books.waits_for_what_is_gone(id)
        };
        self.orchestrator == OrchestratorState::Starting
            && order.clone().all(|it| self.books.is_settled(*it, &gated))
            && !order.clone().any(|it| is_doomed(*it))
    }

    fn is_operation_due(&self, id: ComponentId, operation: Operation, gated: &[bool]) -> bool {
        if self.books.removed.contains(&id) {
            return true;
        }
        if !self.is_running() {
            // A stop of the whole overtakes everything but a removal, which waits for the end of it.
            return operation != Operation::Remove;
        }
        let book = &self.books[id];
        let is_final = matches!(book.state, State::Faulted | State::Stopped);
        if book.is_kept() || (is_final && book.rests()) {
            return true;
        }
        match operation {
            Operation::Start | Operation::Restart | Operation::Add => {
                let in_vain = gated[id.index()] || self.books.waits_in_vain(id);
                let may_fail =
                    self.books.waits_for_what_is_gone(id) || self.books.waits_for_what_may_fail(id);
                let fails = operation == Operation::Add && may_fail;
                book.is_up() || (book.state == State::Waiting && in_vain && !fails)
            }
            Operation::Stop | Operation::Remove => false,
        }
    }

    pub(super) fn check_bounds(&self) {
        for (request, asked) in &self.asked {
            if let Some(bound) = asked.bound {
                assert!(
                    self.now <= bound,
                    "invariant 7: {request:?} at {:?}",
                    self.now
                );
            }
        }
        let Some(stop) = self.stop else { return };
        let is_late_request = self
            .asked
            .values()
            .any(|it| it.bound.is_some_and(|it| self.now <= it));
        let late = self.now > stop.bound.max(Time::ZERO) + super::world::MARGIN;
        assert!(!late || is_late_request, "invariant 7: {stop:?}");
    }
}

fn check_refusal<T: std::fmt::Debug>(
    expected: Option<Refusal>,
    result: &Result<Arc<T>, Arc<OperationError>>,
) {
    let refusal = result.as_ref().err();
    let refusal = refusal.and_then(|it| Refusal::of_operation(it));
    assert_eq!(refusal, expected, "rules 24, 25: {result:?}");
}
