//! What the oracle reads in the event stream, which must tell one story (invariant 14).

use std::sync::Arc;

use lifecycle_core::engine::{
    AttemptKey, Call, DrainState, Event, EventKind, Health, Operation, OrchestratorState, Reason,
    Snapshot, Verdict,
};
use lifecycle_core::{
    ComponentId, Criticality, EdgeKind, Nanos, Plan, RestartPolicy, RestartWhen, Time,
};

use super::books::Want;
use super::world::{StopBook, World};
use crate::support::State;

impl World {
    pub(super) fn read_events_until(
        &mut self,
        events: &mut Vec<Event>,
        call: Call,
        key: AttemptKey,
        snapshot: &Snapshot,
    ) {
        let tells = |it: &Event| match (&it.kind, call) {
            (EventKind::Transition { key: told, to, .. }, Call::Start) => {
                *told == key && *to == State::Starting
            }
            (EventKind::Transition { key: told, to, .. }, Call::Stop) => {
                told.component == key.component && *to == State::Stopping
            }
            (EventKind::Participant { key: told, to, .. }, Call::Drain) => {
                told.component == key.component && *to == DrainState::Draining
            }
            _ => false,
        };
        if !events.iter().any(tells) {
            assert_ne!(call, Call::Start, "invariant 14: nobody is told of {key:?}");
            return;
        }
        while let Some(event) = events.pop() {
            if tells(&event) {
                events.push(event);
                return;
            }
            self.read_event(&event, snapshot);
        }
    }

    pub(super) fn read_event(&mut self, event: &Event, snapshot: &Snapshot) {
        self.note_event(event);
        self.sequence += 1;
        assert_eq!(event.sequence, self.sequence, "invariant 14: no gap");
        assert_eq!(event.at, self.now);
        assert!(
            event
                .cause
                .is_none_or(|it| !self.books.removed.contains(&it)),
            "rule 25: {event:?} is because of nobody"
        );
        match &event.kind {
            EventKind::Orchestrator { from, to, .. } => {
                assert_eq!(*from, self.orchestrator, "invariant 14: {event:?}");
                self.orchestrator = *to;
                if *to == OrchestratorState::Stopping {
                    // What goes down for that goes after what went before, and has led to it.
                    self.check_issue_order();
                    self.issued = (Vec::new(), Vec::new());
                    self.begin_stop_of_all(event);
                    self.see_closing(snapshot);
                }
                if *to == OrchestratorState::Starting {
                    self.begin_run();
                }
            }
            EventKind::StopEnded { .. } => self.end_stop_of_all(),
            EventKind::Transition { key, from, to, .. } => self.step(event, *key, *from, *to),
            EventKind::RetryScheduled {
                call: Call::Start,
                key,
                delay,
            } => {
                let book = &mut self.books[key.component];
                if event.reason == Reason::AttemptsExhausted {
                    book.is_over = true;
                    book.is_retrying = false;
                    book.restart_at = Some(event.at + *delay);
                    self.charge(key.component);
                } else {
                    book.is_retrying = true;
                }
            }
            EventKind::Lost {
                key,
                failure,
                verdict,
            } => self.lose(event, key.component, failure.is_some(), *verdict),
            EventKind::Held { key } => {
                let ending = self.stop.is_some();
                self.books.take_turns();
                let book = &mut self.books[key.component];
                book.is_held_up = true;
                if !ending {
                    book.want = Want::Failed;
                    book.is_victim = false;
                }
            }
            EventKind::HealthChanged { key, from, to, .. } => {
                let book = &mut self.books[key.component];
                assert_eq!(*from, book.health, "invariant 14: {event:?}");
                book.health = *to;
            }
            EventKind::Participant { key, from, to, .. } => {
                let book = &mut self.books[key.component];
                assert_eq!(*from, book.drain, "invariant 14: {event:?}");
                book.drain = *to;
            }
            EventKind::Node {
                cordoned, from, to, ..
            } => self.see_node(*cordoned, *from, *to),
            EventKind::Operation {
                component,
                operation,
                ..
            } => self.see_operation(*component, *operation),
            EventKind::Gate { gate, open, .. } => self.see_gate(gate.index(), *open),
            EventKind::RestartRefused { key, budget } => {
                assert_eq!(self.charges_now(key.component), *budget as usize, "rule 22");
            }
            _ => {}
        }
    }

    fn begin_run(&mut self) {
        self.see_gated();
    }

    pub(super) fn see_gated(&mut self) {
        let gated = self.gated();
        for id in self.books.ids() {
            self.books[id].was_gated |= gated[id.index()];
        }
    }

    fn begin_stop_of_all(&mut self, event: &Event) {
        self.is_ending = true;
        // What is down by now was so before; but whose turn would come now waits for everybody above it.
        self.books.take_down();
        if let Some(cause) = event.cause.filter(|_| self.stop.is_none()) {
            let mut lost = self.books.needed_by(cause);
            lost.insert(cause);
            let essential = |it: &ComponentId| {
                let counts = self.books.plan.criticality(*it) == Criticality::Essential;
                counts && !self.is_joining(*it)
            };
            assert!(
                lost.iter().any(essential),
                "rules 22, 25: the loss of {cause:?} stops everything"
            );
        }
        let shutdown_timeout = self.books.plan.defaults().shutdown_timeout;
        self.stop.get_or_insert(StopBook {
            began: self.now,
            bound: self.now + shutdown_timeout,
            is_forced: false,
            is_gentle: false,
            closes: false,
        });
        for book in self.books.iter_mut() {
            book.is_retrying = false;
            book.restart_at = None;
            if !book.is_falling {
                book.was_asked &= book.is_kept();
                if !book.is_kept() {
                    book.stop_error = None;
                }
            }
        }
    }

    fn end_stop_of_all(&mut self) {
        self.stop = None;
        for book in self.books.iter_mut() {
            book.is_falling = false;
        }
    }

    /// Whether a stop of the whole closes by now; it may settle and drain first.
    pub(super) fn see_closing(&mut self, snapshot: &Snapshot) {
        let Some(stop) = self.stop.filter(|it| !it.closes) else {
            return;
        };
        let under_way = snapshot.stop_deadline.is_some()
            || snapshot.state == OrchestratorState::Stopped
            || self.orchestrator == OrchestratorState::Stopping;
        if self.orchestrator != OrchestratorState::Stopping || !under_way {
            return;
        }
        let waits = self.books.iter().any(|(id, book)| {
            let row = snapshot.components.get(id.index());
            let stays = row.is_some_and(|it| !it.leaving && it.reason != Reason::Held);
            let is_there = !book.is_clear() && !self.vanished.contains(&id);
            stays && is_there && !book.is_kept()
        });
        if waits {
            return;
        }
        self.check_drained_first(stop, snapshot);
        self.closing_step = self.step;
        let settles = self.books.plan.defaults().settle > Nanos::ZERO;
        let drains = |it: ComponentId| self.books.plan.drains(it);
        let takes_time = stop.is_gentle && (settles || self.books.ids().into_iter().any(drains));
        for book in self.books.iter_mut() {
            book.may_be_asked_again = takes_time && book.is_falling;
        }
        self.stop = Some(StopBook {
            closes: true,
            ..stop
        });
        self.books.bring_all_down();
    }

    /// The graceful stop begins to close when what drains has, or when less than half of its time is left (rule 11).
    fn check_drained_first(&self, stop: StopBook, snapshot: &Snapshot) {
        let drains = |id: ComponentId| {
            // One that was given up in this very step has failed.
            let row = &snapshot.components[id.index()];
            self.books[id].is_up() && row.drain == DrainState::Draining
        };
        let mut pending = self.pending.iter();
        let in_flight =
            pending.any(|it| it.is_of_node() && !it.is_aborted && drains(it.key.component));
        let time = stop.bound.since(stop.began);
        let is_early = self.now.since(stop.began) < time.halved();
        // What is being resumed need not be drained to be stopped, nor what came up in a drained node.
        let drains = in_flight && !self.node.takes_back && self.node.drain != DrainState::Drained;
        assert!(
            !(stop.is_gentle && drains && is_early),
            "rule 11: it closes at {:?} and drains",
            self.now
        );
    }

    fn step(&mut self, event: &Event, key: AttemptKey, from: State, to: State) {
        let step = self.step;
        let ending = self.stop.is_some();
        self.left.push((key.component, from));
        let book = &mut self.books[key.component];
        assert_eq!(from, book.state, "invariant 14: {event:?}");
        assert!(is_legal(from, to), "{event:?}");
        book.state = to;
        let begins = matches!(to, State::Waiting | State::Starting);
        if from == State::Faulted && begins && book.may_revive {
            book.want = Want::Up;
            book.is_victim = false;
            book.may_revive = false;
        }
        match to {
            State::Running => {
                book.has_run = true;
                book.has_come_up = true;
                book.was_unwanted = false;
                book.is_joining = false;
                book.health = Health::Healthy;
                book.up_since = step;
            }
            State::Faulted if !ending && book.is_clear() => {
                if book.want == Want::Up {
                    book.want = Want::Failed;
                }
                book.is_victim = event.reason == Reason::DependencyFailed;
                book.is_retrying = false;
                book.restart_at = None;
            }
            State::Waiting => {
                book.may_be_passed |= from != State::Created;
                book.is_retrying = false;
                book.restart_at = None;
            }
            State::Stopped => book.is_retrying = false,
            State::Faulted
            | State::Starting
            | State::BackingOff
            | State::Stopping
            | State::Created => {}
        }
    }

    fn policy(&self, id: ComponentId) -> RestartPolicy {
        self.books.plan.policies(id).restart.clone()
    }

    /// How many restarts the budget of `id` counts at present.
    fn charges_now(&self, id: ComponentId) -> usize {
        let window = self.policy(id).window;
        let charges = self.books[id].charges.iter();
        charges.filter(|it| self.now.since(**it) < window).count()
    }

    /// Invariant 12: within any window no more restarts than the budget allows.
    fn charge(&mut self, id: ComponentId) {
        let now = self.now;
        self.books[id].charges.push(now);
        let charges = self.charges_now(id);
        let budget = self.policy(id).budget as usize;
        assert!(
            charges <= budget,
            "invariant 12: restart {charges} of {budget} of {id:?}"
        );
    }

    fn lose(&mut self, event: &Event, id: ComponentId, has_failed: bool, verdict: Verdict) {
        if self.books[id].is_falling || self.stop.is_some() {
            let comes_back = self.stop.is_none() && self.books[id].want == Want::Up;
            let expected = if comes_back {
                Verdict::Follow
            } else {
                Verdict::Final
            };
            assert_eq!(verdict, expected, "lost on its way down: {event:?}");
            return;
        }
        let policy = self.policy(id);
        let is_unhealthy = event.reason == Reason::Unhealthy;
        let missing = self.books.misses_any(id);
        let is_final = matches!(verdict, Verdict::Final);
        let permanent = match &event.kind {
            EventKind::Lost { failure, .. } => failure
                .as_ref()
                .is_some_and(|it| it.class == lifecycle_core::Class::Permanent),
            _ => false,
        };
        let restarts = match has_failed {
            true => policy.when != RestartWhen::Never,
            false => policy.when == RestartWhen::Always,
        };
        let exhausted = self.charges_now(id) >= policy.budget as usize;
        if !is_unhealthy {
            let charged_elsewhere = has_failed && missing;
            let expects_final = !restarts
                || self.books[id].is_abandoned
                || (!charged_elsewhere && (exhausted || permanent));
            assert_eq!(is_final, expects_final, "rules 21, 22: {event:?}");
            if !is_final {
                let follows = verdict == Verdict::Follow;
                assert_eq!(follows, charged_elsewhere, "rule 21: {event:?}");
            }
        }
        match verdict {
            Verdict::Restart { delay, .. } => {
                self.books[id].restart_at = Some(event.at + delay);
                self.charge(id);
            }
            Verdict::Follow => {}
            Verdict::Final => {
                // One that is to run for ever has failed when its budget does not allow that.
                let has_failed = has_failed || policy.when == RestartWhen::Always;
                let book = &mut self.books[id];
                book.want = if has_failed {
                    Want::Failed
                } else {
                    Want::Completed
                };
                book.is_victim = false;
            }
        }
        self.books.bring_down(id);
    }

    fn see_operation(&mut self, id: ComponentId, operation: Operation) {
        let want = self.books[id].want;
        match operation {
            Operation::Stop => {
                self.books[id].want = Want::Held;
                self.books[id].restart_at = None;
                self.books.bring_down(id);
            }
            Operation::Restart if want == Want::Up => {
                self.books[id].restart_at = None;
                self.books.bring_down(id);
            }
            Operation::Start | Operation::Restart => self.want_again(id),
            Operation::Remove => self.see_removal(id),
            Operation::Add => {}
        }
    }

    fn want_again(&mut self, id: ComponentId) {
        let book = &mut self.books[id];
        book.want = Want::Up;
        book.restart_at = None;
        book.charges.clear();
        for victim in self.books.needed_by(id) {
            let book = &mut self.books[victim];
            book.may_revive = book.is_victim && book.want == Want::Failed;
        }
    }

    fn see_removal(&mut self, id: ComponentId) {
        let mut removal = self.books.needed_by(id);
        removal.insert(id);
        removal.retain(|it| self.books[*it].want != Want::Removed);
        for &id in &removal {
            self.books[id].want = Want::Removed;
        }
        for &id in &removal {
            self.books.bring_down(id);
        }
    }

    fn see_gate(&mut self, gate: usize, open: bool) {
        if !open && self.gates[gate].is_open {
            let margin = self.margin_of(gate);
            let until = self.gates[gate].until;
            let due = until
                .zip(margin)
                .map(|(until, margin)| until.before(margin));
            assert!(
                due.is_some_and(|it| it <= self.now),
                "rule 26: gate {gate} closes by itself before {due:?}"
            );
            let book = &mut self.gates[gate];
            book.is_open = false;
            book.closing = book.until.take();
        }
        assert_eq!(open, self.gates[gate].is_open, "invariant 14: gate {gate}");
        if !open {
            for id in self.behind(gate) {
                self.books.bring_down(id);
            }
        }
        self.see_gated();
    }

    /// The components that have the gate themselves.
    pub(super) fn behind(&self, gate: usize) -> Vec<ComponentId> {
        let plan = &self.books.plan;
        let order = plan.order().iter().copied();
        let has = |id: &ComponentId| plan.gate(*id).is_some_and(|it| it.index() == gate);
        order.filter(has).collect()
    }

    /// The longest margin of what is behind the gate.
    pub(super) fn margin_of(&self, gate: usize) -> Option<Nanos> {
        let plan = &self.books.plan;
        let gate = plan.gate_at(gate)?;
        plan.gated(gate).map(|(_, margin)| margin).max()
    }

    /// Whether its own gate is open, if it has one.
    pub(super) fn has_open_gate(&self, id: ComponentId) -> bool {
        let gate = self.books.plan.gate(id);
        gate.is_none_or(|it| self.gates[it.index()].is_open)
    }

    /// By index, whether a closed gate keeps it, or something that it needs, from running.
    pub(super) fn gated(&self) -> Vec<bool> {
        let plan = &self.books.plan;
        let mut gated = vec![false; plan.capacity()];
        for &id in plan.order() {
            let hard = plan.dependencies(id).iter();
            let mut hard = hard.filter(|it| it.kind == EdgeKind::Hard);
            let inherits = hard.any(|it| gated[it.component.index()]);
            let inherits = inherits || self.books[id].inherits_from_gone;
            gated[id.index()] = inherits || !self.has_open_gate(id);
        }
        gated
    }

    /// `next` is the plan without what was taken out. What needs that is on its way there, and behind the same gates.
    pub(super) fn leave_gates_to_dependents(&mut self, next: &Plan) {
        let gated = self.gated();
        let plan = Arc::clone(&self.books.plan);
        let order = plan.order().iter();
        for id in order.filter(|it| gated[it.index()] && !next.contains(**it)) {
            let edges = plan.dependents(*id).iter();
            let stay = edges.filter(|it| next.contains(it.component));
            for edge in stay.filter(|it| it.kind == EdgeKind::Hard) {
                self.books[edge.component].inherits_from_gone = true;
            }
        }
    }

    /// Until when the gate must be closed by itself.
    pub(super) fn closes_at(&self, gate: usize) -> Option<Time> {
        let book = self.gates[gate];
        let until = book.until.filter(|_| book.is_open);
        until
            .zip(self.margin_of(gate))
            .map(|(until, margin)| until.before(margin))
    }
}

/// The legal steps, written down a second time.
fn is_legal(from: State, to: State) -> bool {
    use State::{BackingOff, Created, Faulted, Running, Starting, Stopped, Stopping, Waiting};
    let next: &[State] = match from {
        Created => &[Waiting, Starting, Stopped, Faulted],
        Waiting => &[Starting, Stopped, Faulted],
        Starting => &[Running, BackingOff, Stopping, Stopped, Faulted, Waiting],
        BackingOff => &[Starting, Stopping, Stopped, Faulted, Waiting],
        Running => &[Stopping, Stopped, Faulted],
        Stopping => &[Stopped, Faulted, BackingOff, Waiting, Starting],
        Stopped => &[Waiting, Starting, Stopping, Faulted],
        Faulted => &[Waiting, Starting, Stopping, Stopped],
    };
    next.contains(&to)
}
