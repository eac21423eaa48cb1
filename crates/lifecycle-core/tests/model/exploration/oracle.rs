//! What the oracle knows, and what it says to it.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use lifecycle_core::engine::{
    AttemptKey, ComponentState, EventKind, Operation, OrchestratorState, Reason, RequestId,
    Response, Snapshot,
};
use lifecycle_core::{ComponentId, EdgeKind, OnLoss, Plan};

use super::case::Row;

/// What the oracle knows of the whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Oracle {
    pub(super) components: Vec<Book>,
    /// A stop was accepted, and no start since.
    pub(super) stopping: bool,
    /// A stop has begun in this step, perhaps after calls that were issued in the same step.
    stop_begun: bool,
    /// The gate is open.
    pub(super) gate_open: bool,
    /// Requests without an answer.
    pub(super) open: BTreeMap<RequestId, Ask>,
    /// The request of the last start.
    pub(super) last_start: Option<RequestId>,
    requests: u64,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ask {
    Start,
    Stop,
    Operation(ComponentId, Operation),
    Node,
}

impl Hash for Oracle {
    /// Which number a request has makes no difference.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.components, self.stopping, self.gate_open).hash(state);
        let mut open: Vec<_> = self.open.values().collect();
        open.sort_unstable();
        open.hash(state);
    }
}

/// What the oracle knows of one component.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Book {
    /// Some generation of it has something up: start was entered, and dispose has not ended.
    pub(super) up: bool,
    /// It is up, and for the order it counts as down: its stop has failed, or it is held up.
    kept: bool,
    pub(super) running: bool,
    /// This generation has run.
    ran: bool,
    /// This generation was lost.
    lost: bool,
    /// Start has returned `Ok`, and no stop has since.
    pub(super) stop_owed: bool,
    /// Start was entered, and dispose was not called since.
    dispose_owed: bool,
    /// An operator has stopped it, and nobody has taken that back.
    held: bool,
    /// It was left behind in what cannot be ended.
    left_behind: bool,
    /// It was taken out.
    removed: bool,
    /// Its drain has ended since it started or resumed last, or nobody knows whether it is drained.
    drained: bool,
    /// How often it was lost by itself, while all that it needs ran, since it got its budget.
    losses: u8,
    /// So much of it went wrong in this run that its budget may be used up.
    spent: bool,
    /// Something of it went wrong in this run, which its budget allows for.
    charged: bool,
}

impl Oracle {
    pub(super) fn of(components: usize) -> Self {
        Self {
            components: vec![Book::default(); components],
            ..Self::default()
        }
    }

    pub(super) fn all_run(&self) -> bool {
        self.components.iter().all(|it| it.running)
    }

    /// Whether no stop can take it down any more.
    pub(super) fn is_out_of_reach(&self, id: ComponentId) -> bool {
        let book = &self.components[id.index()];
        book.left_behind || book.kept
    }

    pub(super) fn is_removed(&self, id: ComponentId) -> bool {
        self.components[id.index()].removed
    }

    pub(super) fn book(&mut self, id: ComponentId) -> &mut Book {
        &mut self.components[id.index()]
    }

    pub(super) fn ask(&mut self, ask: Ask) -> RequestId {
        self.requests += 1;
        let request = RequestId(self.requests);
        match ask {
            Ask::Start => {
                self.stopping = false;
                self.last_start = Some(request);
                for book in &mut self.components {
                    (book.held, book.losses) = (false, 0);
                    (book.charged, book.spent) = (false, false);
                }
            }
            Ask::Stop => self.stopping = true,
            Ask::Operation(id, Operation::Stop) => self.book(id).held = true,
            Ask::Operation(id, Operation::Start | Operation::Restart) => {
                let book = self.book(id);
                (book.held, book.losses) = (false, 0);
            }
            Ask::Operation(id, Operation::Add) => {
                let length = self.components.len().max(id.index() + 1);
                self.components.resize(length, Book::default());
                *self.book(id) = Book::default();
            }
            Ask::Operation(_, Operation::Remove) | Ask::Node => {}
        }
        self.open.insert(request, ask);
        request
    }

    /// A task of `id` is lost.
    pub(super) fn lose(&mut self, plan: &Plan, row: &Row, id: ComponentId) {
        let charged = plan
            .dependencies(id)
            .iter()
            .filter(|it| it.kind == EdgeKind::Hard)
            .all(|it| self.runs_throughout(plan, it.component));
        let book = self.book(id);
        book.losses += u8::from(charged);
        book.lost = true;
        self.fail(row, id);
    }

    fn runs_throughout(&self, plan: &Plan, id: ComponentId) -> bool {
        let hard = |it: &&lifecycle_core::Edge| it.kind == EdgeKind::Hard;
        let mut dependencies = plan.dependencies(id).iter().filter(hard);
        self.components[id.index()].running
            && dependencies.all(|it| self.runs_throughout(plan, it.component))
    }

    /// What an event says. An error is the invariant that it breaks.
    pub(super) fn note(&mut self, kind: &EventKind, reason: Reason) -> Result<(), &'static str> {
        match kind {
            EventKind::Orchestrator {
                to: OrchestratorState::Stopping,
                ..
            } => self.stop_begun = true,
            EventKind::Transition { key, from, to, .. } => {
                let book = self.book(key.component);
                book.running = *to == ComponentState::Running;
                book.ran |= book.running;
                let gave_up =
                    reason == Reason::AttemptsExhausted && *from == ComponentState::Stopping;
                book.kept = (gave_up || reason == Reason::Held) && book.up;
                if !from.may_become(*to) {
                    return Err("an illegal step of a component's state");
                }
            }
            EventKind::Held { key } => self.book(key.component).kept = true,
            EventKind::Gate { open, .. } => self.gate_open = *open,
            EventKind::Removed { component, .. } => {
                let book = self.book(*component);
                book.removed = true;
                if book.up {
                    return Err("rule 25: something was taken out while it was up");
                }
            }
            EventKind::Abandoned { key } => {
                self.book(key.component).left_behind = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// An answer to a request.
    pub(super) fn respond(
        &mut self,
        request: RequestId,
        response: &Response,
    ) -> Result<(), &'static str> {
        let Some(ask) = self.open.remove(&request) else {
            return Err("a request was answered twice");
        };
        let Ask::Operation(id, operation) = ask else {
            return Ok(());
        };
        let Response::Operation(result) = response else {
            return Err("an answer to another question");
        };
        let book = self.book(id);
        match (operation, result) {
            (Operation::Stop, Err(_)) => book.held = false,
            (Operation::Stop, Ok(_)) if book.up && !book.kept => {
                return Err("rule 24: what is said to be stopped is up");
            }
            (Operation::Start | Operation::Add, Ok(report))
                if report.state == ComponentState::Running && !book.running =>
            {
                return Err("rule 24: what is said to run does not");
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn check_start(
        &mut self,
        plan: &Plan,
        row: &Row,
        key: AttemptKey,
    ) -> Result<(), &'static str> {
        let id = key.component;
        let mut hard = plan
            .dependencies(id)
            .iter()
            .filter(|it| it.kind == EdgeKind::Hard);
        let budget = u8::from(row.restarts);
        let broken = if hard.any(|it| !self.components[it.component.index()].running) {
            Err("invariant 1: a start before a hard dependency runs")
        } else if self.stopping {
            Err("invariant 8: a start after a stop was accepted")
        } else if plan.gate(id).is_some() && !self.gate_open {
            Err("rule 26: a start behind a closed gate")
        } else {
            Ok(())
        };
        let book = self.book(id);
        let broken = broken.and(match () {
            () if book.stop_owed => Err("invariant 4: a start before the last one was stopped"),
            // A value that is shared by the attempts of a generation is disposed once.
            () if book.dispose_owed && key.attempt == 1 => {
                Err("invariant 4: a start before the last one was disposed")
            }
            () if book.held => Err("rule 24: a start of what an operator has stopped"),
            () if book.removed => Err("rule 25: a start of what was taken out"),
            () if book.losses > budget => Err("rule 22: a start beyond the budget"),
            () => Ok(()),
        });
        book.up = true;
        book.kept = false;
        (book.ran, book.lost) = (false, false);
        book.drained = false;
        book.dispose_owed = true;
        broken
    }

    pub(super) fn check_stop(&mut self, plan: &Plan, id: ComponentId) -> Result<(), &'static str> {
        // Edges that only order bind when everything goes down, and not what never ran or was lost. What follows goes
        // down whatever the reason is.
        let book = &self.components[id.index()];
        let all = self.stopping && book.ran && !book.lost;
        let early = plan.dependents(id).iter().any(|edge| {
            let follows = edge.kind == EdgeKind::Hard && edge.on_loss != OnLoss::Tolerates;
            let book = &self.components[edge.component.index()];
            (all || follows) && book.up && !book.kept
        });
        let book = self.book(id);
        book.kept = false;
        if early {
            return Err("invariant 1: a stop before a dependent is down");
        }
        if !book.stop_owed {
            return Err("invariant 4: a stop of what did not start");
        }
        Ok(())
    }

    pub(super) fn check_dispose(&mut self, id: ComponentId) -> Result<(), &'static str> {
        let book = self.book(id);
        book.stop_owed = false;
        if !std::mem::replace(&mut book.dispose_owed, false) {
            return Err("invariant 4: a second dispose");
        }
        Ok(())
    }

    pub(super) fn check_drain(
        &mut self,
        plan: &Plan,
        row: &Row,
        id: ComponentId,
    ) -> Result<(), &'static str> {
        if !self.book(id).running {
            return Err("rule 11: a drain of what does not run");
        }
        let mut open: Vec<ComponentId> = vec![id];
        while let Some(next) = open.pop() {
            for edge in plan.dependents(next) {
                let book = &self.components[edge.component.index()];
                let works = book.running && !self.goes_down(plan, edge.component);
                if row.drains[edge.component.index()] && works && !book.drained {
                    return Err("rule 11: a drain before a dependent was drained");
                }
                open.push(edge.component);
            }
        }
        Ok(())
    }

    /// Whether `id` is about to be stopped with something that it needs. No drain waits for that.
    fn goes_down(&self, plan: &Plan, id: ComponentId) -> bool {
        let mut edges = plan.dependencies(id).iter().filter(|it| it.takes_down());
        edges.any(|it| {
            let needed = it.component;
            !self.components[needed.index()].running || self.goes_down(plan, needed)
        })
    }

    pub(super) fn resume(&mut self, id: ComponentId) {
        self.book(id).drained = false;
    }

    /// A call of `id` fails or is told to end, or a task of it is lost. Once may be started again, where restarts are.
    pub(super) fn fail(&mut self, row: &Row, id: ComponentId) {
        let book = self.book(id);
        let charged = std::mem::replace(&mut book.charged, true);
        book.spent |= charged || !row.restarts;
    }

    /// A drain has ended, or does not end, or a resume has failed: no drain below waits for the component.
    pub(super) fn end_drain(&mut self, id: ComponentId) {
        self.book(id).drained = true;
    }

    /// Nobody waits for anything of this component any more.
    pub(super) fn abandon(&mut self, id: ComponentId, disposing: bool) {
        let book = self.book(id);
        book.stop_owed = false;
        book.left_behind = true;
        if disposing {
            book.up = false;
        }
    }

    /// A stop that was seen to begin is one from now on.
    pub(super) fn end_step(&mut self) {
        self.stopping |= std::mem::take(&mut self.stop_begun);
    }

    /// What must hold while nothing is up any more.
    pub(super) fn check_idle(&self) -> Result<(), &'static str> {
        if self.components.iter().any(|it| it.dispose_owed) {
            return Err("invariant 4: stopped, and something was not disposed");
        }
        if !self.open.is_empty() {
            return Err("stopped, and somebody still waits for an answer");
        }
        Ok(())
    }

    /// Everything has gone well for long, and nothing moves: what does not run, and nothing keeps it from that?
    pub(super) fn check_recovered(&self, snapshot: &Snapshot) -> Result<(), &'static str> {
        let plan = &snapshot.plan;
        match snapshot.state {
            OrchestratorState::Created | OrchestratorState::Stopped => {
                let left = self.components.iter().any(|it| it.up);
                return if left {
                    Err("stopped, and something is up")
                } else {
                    Ok(())
                };
            }
            OrchestratorState::Stopping => {
                let kept = self.components.iter().any(|it| it.kept);
                return if kept {
                    Ok(())
                } else {
                    Err("a stop that does not end")
                };
            }
            OrchestratorState::Starting => return Err("a start that does not end"),
            OrchestratorState::Running => {}
        }
        for id in plan.ids() {
            let book = &self.components[id.index()];
            let unwanted = book.removed || book.held;
            let failed = book.spent || book.left_behind || book.kept;
            if book.running || unwanted || failed {
                continue;
            }
            if plan.gate(id).is_some() && !self.gate_open {
                continue;
            }
            let excused = plan.dependencies(id).iter().any(|edge| {
                let below = !self.components[edge.component.index()].running;
                let stopped = edge.on_loss == OnLoss::Stops
                    && snapshot.component(id).state == ComponentState::Stopped;
                edge.kind == EdgeKind::Hard && (below || stopped)
            });
            if !excused {
                return Err("something is wanted, nothing keeps it from running, and it does not");
            }
        }
        Ok(())
    }
}
