//! What must hold when everything of a step has been taken in.

use lifecycle_core::engine::{DrainState, Health, OrchestratorState, Reason, Snapshot, Why};
use lifecycle_core::{ComponentId, Criticality, EdgeKind, Time};

use super::books::{Book, Want};
use super::world::World;
use crate::support::State;

impl World {
    pub(super) fn check(&mut self, snapshot: &Snapshot) {
        self.books.take_turns();
        self.note_doomed(snapshot);
        self.books.note_passed();
        self.check_story(snapshot);
        self.check_issue_order();
        self.check_readiness(snapshot);
        self.check_gates();
        self.check_node_at_rest();
        self.check_answered();
        self.check_liveness(snapshot);
        check_explained(snapshot);
        let gated = self.gated();
        for (id, book) in self.books.iter() {
            self.check_wanted(id, book);
            self.check_eagerness(id, book, snapshot);
            assert!(
                !gated[id.index()] || !book.is_up() || self.outlives_its_gate(id),
                "rule 26: {id:?} is up behind a closed gate"
            );
        }
    }

    /// A start that has failed for good is cleaned up after before it is told, and shown as failed until then.
    fn note_doomed(&mut self, snapshot: &Snapshot) {
        for id in self.books.ids() {
            let book = &mut self.books[id];
            let is_in_start = !book.has_come_up && !book.rests();
            let fails = is_in_start && snapshot.components[id.index()].final_failure;
            if fails && book.want == Want::Up {
                book.want = Want::Failed;
            }
        }
    }

    /// Invariant 14: the snapshot says what the events have told.
    fn check_story(&self, snapshot: &Snapshot) {
        assert_eq!(snapshot.sequence, self.sequence);
        assert_eq!(snapshot.state, self.orchestrator);
        assert_eq!(snapshot.node.cordoned, self.node.is_cordoned);
        assert_eq!(snapshot.node.drain, self.node.drain);
        for (id, book) in self.books.iter() {
            let row = &snapshot.components[id.index()];
            assert_eq!(row.state, book.state, "invariant 14: {id:?}");
            assert_eq!(row.generation, book.generation, "invariant 14: {id:?}");
            assert_eq!(row.held, book.want == Want::Held, "{id:?}");
            if book.state == State::Running {
                assert_eq!(row.health, book.health, "invariant 14: {id:?}");
                assert_eq!(row.drain, book.drain, "invariant 14: {id:?}");
            }
        }
    }

    pub(super) fn check_issue_order(&self) {
        let (starts, stops) = &self.issued;
        assert!(starts.is_sorted(), "invariant 2: {starts:?}");
        if !self.stop.is_some_and(|it| it.is_forced) {
            assert!(stops.is_sorted_by(|a, b| a >= b), "invariant 2: {stops:?}");
        }
    }

    /// Rule 28, from its words.
    fn check_readiness(&self, snapshot: &Snapshot) {
        let gated = self.gated();
        let well = |id: &ComponentId| {
            let book = &self.books[*id];
            let runs = book.state == State::Running && book.health != Health::Unhealthy;
            let counts = self.books.plan.criticality(*id) == Criticality::Essential;
            !counts || gated[id.index()] || runs
        };
        let ready = self.orchestrator == OrchestratorState::Running
            && !self.node.is_cordoned
            && self.node.drain == DrainState::Active
            && self.books.plan.order().iter().all(well);
        assert_eq!(self.engine.is_ready(), ready, "rule 28");
        assert_eq!(snapshot.ready, ready, "rule 28");
    }

    fn check_gates(&mut self) {
        for gate in 0..self.gates.len() {
            let closes = self.closes_at(gate);
            let late = closes.is_some_and(|it| it <= self.now) && !self.engine_is_behind();
            assert!(!late, "rule 26: gate {gate} is open after {closes:?}");
        }
        let due: Vec<usize> = (0..self.gates.len())
            .filter(|it| {
                let gate = self.gates[*it];
                !gate.is_open && gate.closing.is_some_and(|it| it <= self.now)
            })
            .collect();
        // An input looks at the gates, though other deadlines that have come too wait for the clock.
        let looks_later = self.engine_is_behind() && self.halts.is_empty();
        if due.is_empty() || looks_later {
            assert!(self.halts.is_empty(), "rule 26: {:?}", self.halts);
            return;
        }
        let mut broken = 0;
        for gate in due {
            self.gates[gate].closing = None;
            broken += usize::from(self.is_broken(gate));
        }
        assert_eq!(self.halts.len(), broken, "rule 26: {:?}", self.halts);
    }

    /// Whether a deadline has come that the engine was not told of yet: it is only asked at inputs.
    fn engine_is_behind(&self) -> bool {
        let mut engine = self.engine.clone();
        engine.poll_timeout().is_some_and(|it| it <= self.now)
    }

    /// Whether something behind the gate is there although it must not be.
    fn is_broken(&self, gate: usize) -> bool {
        let mut behind = self.behind(gate);
        let mut next = 0;
        while let Some(&id) = behind.get(next) {
            next += 1;
            let edges = self.books.plan.dependents(id).iter();
            for edge in edges.filter(|it| it.takes_down()) {
                if !behind.contains(&edge.component) {
                    behind.push(edge.component);
                }
            }
        }
        behind.into_iter().any(|id| {
            let book = &self.books[id];
            !book.is_clear() || book.is_retrying || book.is_abandoned
        })
    }

    /// Whether it is up behind a closed gate by an edge that tolerates that.
    fn outlives_its_gate(&self, id: ComponentId) -> bool {
        let plan = &self.books.plan;
        let edges = plan.dependencies(id).iter();
        let mut follows = edges.filter(|it| it.takes_down()).map(|it| it.component);
        // What is lost while the whole settles or drains takes nothing with it yet.
        let stands = |id| !self.books[id].is_falling && !self.books[id].is_clear();
        self.has_open_gate(id) && follows.all(|it| stands(it) && self.outlives_its_gate(it))
    }

    /// Rule 27: when nothing of a drain is in flight, every participant is as the node says.
    fn check_node_at_rest(&self) {
        let busy = self.pending.iter().any(super::world::Pending::is_of_node);
        if busy || self.stop.is_some() || !self.is_running() {
            return;
        }
        assert_ne!(self.node.drain, DrainState::Draining, "nothing is drained");
        assert!(!self.node.takes_back, "nothing is resumed");
        for (id, book) in self.books.iter() {
            if !book.is_up() || !self.books.plan.drains(id) || book.is_abandoned {
                continue;
            }
            let is_as_said = match self.node.drain {
                DrainState::Active => book.drain == DrainState::Active,
                DrainState::Drained => book.drain == DrainState::Drained,
                DrainState::Failed if self.node.was_resumed => {
                    matches!(book.drain, DrainState::Active | DrainState::Failed)
                }
                DrainState::Draining | DrainState::Failed => true,
            };
            assert!(
                is_as_said,
                "rule 27: {id:?} in a node that is {:?}: {book:?}",
                self.node.drain
            );
        }
    }

    /// What is down is where what is wanted of it leaves it.
    fn check_wanted(&self, id: ComponentId, book: &Book) {
        if self.is_idle() {
            let rests = matches!(book.state, State::Created | State::Stopped | State::Faulted);
            assert!(
                rests && book.is_clear(),
                "{id:?} in a stopped host: {book:?}"
            );
            return;
        }
        if !self.is_running() || !book.rests() {
            return;
        }
        let expected: &[State] = match book.want {
            Want::Up => &[State::Waiting, State::BackingOff],
            Want::Held | Want::StoppedByEdge | Want::Completed => &[State::Stopped],
            Want::Failed => &[State::Faulted],
            Want::Removed => &[],
        };
        assert!(expected.contains(&book.state), "{id:?} rests as {book:?}");
        let essential = self.books.plan.criticality(id) == Criticality::Essential;
        assert!(
            !essential || book.want != Want::Failed,
            "rule 22: {id:?} is lost for good, and the host goes on"
        );
    }

    /// Whatever is not settled has something out in the world, or a time at which it goes on.
    fn check_liveness(&mut self, snapshot: &Snapshot) {
        let moving = |state| matches!(state, State::Starting | State::Stopping | State::BackingOff);
        let at_work =
            self.books.iter().any(|(_, it)| moving(it.state)) || snapshot.stop_deadline.is_some();
        let goes_on = !self.pending.is_empty() || self.engine.poll_timeout().is_some();
        let states: Vec<State> = self.books.iter().map(|(_, it)| it.state).collect();
        assert!(
            !at_work || goes_on,
            "nothing will ever happen again: {states:?}"
        );
    }

    /// Invariant 3: nobody waits for more than its own edges, its gate, its delay, or what goes down above it.
    fn check_eagerness(&self, id: ComponentId, book: &Book, snapshot: &Snapshot) {
        let row = &snapshot.components[id.index()];
        if book.state == State::Waiting {
            let met = self.books.plan.dependencies(id).iter().all(|edge| {
                let dependency = edge.component;
                match edge.kind {
                    EdgeKind::Hard => self.books[dependency].is_up(),
                    EdgeKind::Soft | EdgeKind::Order => self.books.must_pass(dependency),
                }
            });
            let may = met && self.has_open_gate(id);
            assert!(!may, "invariant 3: {id:?} waits for nothing");
        }
        if book.state == State::BackingOff && book.rests() {
            let due = row.retry_at.unwrap_or(Time::MAX);
            assert!(due < Time::MAX, "invariant 3: {id:?} backs off for ever");
            if let Some(restart_at) = book.restart_at {
                assert_eq!(due, restart_at, "rule 21: the delay of {id:?}");
            }
        }
        let held = row.reason == Reason::Held || book.is_held_up;
        let idles = book.state == State::Running && book.busy.is_none() && !held;
        let asked = book.stop_attempt > 0 && book.was_asked;
        assert!(
            !(book.is_falling && book.had_turn && idles && !asked),
            "invariant 3: {id:?} could stop: {book:?}"
        );
    }
}

/// Every component has a sentence, a chain without a circle, and a root that counts it among its victims; what waits behind
/// nothing but others is never at the root of itself.
fn check_explained(snapshot: &Snapshot) {
    let why = Why::of(snapshot);
    for id in snapshot.plan.ids() {
        let mut chain = vec![id];
        while let Some(next) = why.behind(chain[chain.len() - 1]) {
            assert!(!chain.contains(&next), "{id:?} explains itself by {next:?}");
            chain.push(next);
        }
        let root = chain[chain.len() - 1];
        // Of one component only: victims are looked for among all.
        let is_last = snapshot.plan.order().last() == Some(&id);
        assert!(
            root == id || !is_last || why.victims(root).contains(&id),
            "{root:?} is behind {id:?} and does not know it"
        );
        let row = snapshot.component(id);
        let hard = snapshot.awaited(id).into_iter();
        let waits = hard
            .filter(|it| it.edge == Some(EdgeKind::Hard))
            .any(|it| it.state != State::Running);
        assert!(
            !waits || row.gate_closed || root != id,
            "{id:?} waits for nobody's sake: {}",
            why.sentence(id)
        );
    }
}
