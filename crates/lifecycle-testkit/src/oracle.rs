//! [`Oracle`]: follows an orchestrator from outside, and names every promise that it breaks.
//!
//! It knows the plan and the events and nothing else, and keeps one small row a component. An event costs the edges of the
//! component that it is about, so that ten thousand components are no burden. It reports:
//!
//! - a start before the hard dependencies run, and a stop before dependents are down (invariant 1);
//! - a generation that is not disposed exactly once, and a stop of one that is over (invariant 4);
//! - a stop that took longer than it may, if it is told how long that is (invariant 7);
//! - a start after a stop was accepted (invariant 8);
//! - more restarts than the budget allows (invariant 12);
//! - a snapshot or a status that tells another story than the events, a gap in them, time that runs backwards, and steps
//!   from one state to another that are not legal (invariant 14).
//!
//! Two rules are looked at from the safe side, since events do not say enough. Outside of a stop of the whole, only
//! dependents whose edge takes them down must be down before a stop. And of what a budget is charged with, only losses that
//! are a component's own are counted.

mod books;
mod live;
mod violation;

pub use live::LiveOracle;
pub use violation::{Rule, Violation};

use std::sync::Arc;

use lifecycle_core::engine::{
    AttemptKey, ComponentState as State, Event, EventKind, OrchestratorState, Snapshot,
};
use lifecycle_core::{ComponentId, Nanos, Plan, Time};

use books::{Book, Books, Step};

/// Takes in the events of one orchestrator and finds what is not as promised.
///
/// [`Oracle::watch`] follows a running orchestrator. Without one, hand it events by [`observe`](Self::observe).
#[derive(Debug)]
pub struct Oracle {
    plan: Arc<Plan>,
    books: Books,
    sequence: u64,
    at: Time,
    whole: OrchestratorState,
    longest_stop: Option<Nanos>,
    violations: Vec<Violation>,
}

impl Oracle {
    /// An oracle for an orchestrator of `plan` that was never started.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self {
        Self {
            books: Books::of(&plan),
            plan,
            sequence: 0,
            at: Time::ZERO,
            whole: OrchestratorState::Created,
            longest_stop: None,
            violations: Vec::new(),
        }
    }

    /// Also reports a stop that took longer than `longest` (invariant 7).
    #[must_use]
    pub fn stops_within(mut self, longest: impl Into<Nanos>) -> Self {
        self.longest_stop = Some(longest.into());
        self
    }

    /// The sequence number of the last event that was taken in.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether `component` is in the plan that the oracle knows.
    #[must_use]
    pub fn knows(&self, component: ComponentId) -> bool {
        self.plan.contains(component)
    }

    /// Goes on with `plan`: components were added or removed.
    pub fn adopt(&mut self, plan: Arc<Plan>) {
        self.books.adopt(&plan);
        self.plan = plan;
    }

    /// Goes on from `snapshot`, since events were missed. What happened in between is not judged, and what is not known of
    /// a generation any more is not held against it.
    pub fn resynchronise(&mut self, snapshot: &Snapshot) {
        self.plan = Arc::clone(&snapshot.plan);
        self.books = Books::from_snapshot(snapshot);
        self.sequence = snapshot.sequence;
        self.at = snapshot.at;
        self.whole = snapshot.state;
    }

    /// Takes in one event. Those that a snapshot contained already are passed over.
    pub fn observe(&mut self, event: &Event) {
        if event.sequence <= self.sequence && self.books.is_resumed() {
            return;
        }
        self.check_stream(event);
        self.sequence = event.sequence;
        self.at = event.at;
        self.take(event);
    }

    fn check_stream(&mut self, event: &Event) {
        let expected = self.sequence + 1;
        if event.sequence != expected {
            let what = format!("event {} where {expected} was due", event.sequence);
            self.report(event, Rule::Gap, None, what);
        }
        if event.at < self.at {
            let what = format!("time runs backwards: {:?} after {:?}", event.at, self.at);
            self.report(event, Rule::Gap, None, what);
        }
    }

    /// The only place that knows the kinds of events. A new kind goes here: one that begins or ends a generation, or moves
    /// a state, needs an arm; all others mean nothing to these rules.
    fn take(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Orchestrator { from, to, .. } => self.step_whole(event, *from, *to),
            EventKind::Transition { key, from, to, .. } => {
                if let Some(step) = self.step(event, *key, (*from, *to)) {
                    self.check_step(event, &step);
                }
            }
            EventKind::Disposed { key, .. } => self.dispose(event, *key),
            EventKind::Abandoned { key } => self.edit(*key, |book| book.is_abandoned = true),
            EventKind::Held { key } => self.edit(*key, |book| book.is_kept = true),
            EventKind::StopEnded { report } => self.check_length(event, report.took),
            // Attempts, delays, cancellations and aborts begin and end no generation.
            _ => {}
        }
    }

    fn edit(&mut self, key: AttemptKey, change: impl FnOnce(&mut Book)) {
        if let Some(book) = self.books.get_mut(key.component) {
            change(book);
        }
    }

    fn step_whole(&mut self, event: &Event, from: OrchestratorState, to: OrchestratorState) {
        if from != self.whole || !may_become(from, to) {
            let known = self.whole.as_str();
            let what = format!(
                "the orchestrator stepped from {} to {}; it was {known}",
                from.as_str(),
                to.as_str()
            );
            self.report(event, Rule::Step, None, what);
        }
        self.whole = to;
        match to {
            OrchestratorState::Starting => self.books.begin_run(),
            OrchestratorState::Stopped => self.check_all_down(event),
            OrchestratorState::Created
            | OrchestratorState::Running
            | OrchestratorState::Stopping => {}
        }
    }

    /// Nothing is up once the orchestrator is stopped (invariant 4).
    fn check_all_down(&mut self, event: &Event) {
        let plan = Arc::clone(&self.plan);
        for id in plan.ids() {
            let undisposed = self.books.get(id).filter(|it| it.is_undisposed());
            if let Some(book) = undisposed {
                let what = format!(
                    "generation {} is not disposed although everything is stopped",
                    book.generation
                );
                self.report(event, Rule::Dispose, Some(id), what);
            }
        }
    }

    /// Writes a transition down; `None` for a component that is not known.
    fn step(&mut self, event: &Event, key: AttemptKey, (from, to): (State, State)) -> Option<Step> {
        let id = key.component;
        let book = self.books.get_mut(id)?;
        let before = std::mem::replace(&mut book.state, to);
        let step = Step {
            key,
            from,
            to,
            is_retry: book.generation == key.generation,
        };
        if before != from || !from.may_become(to) {
            let what = format!(
                "stepped from {} to {}; it was {}",
                from.as_str(),
                to.as_str(),
                before.as_str()
            );
            self.report(event, Rule::Step, Some(id), what);
        }
        Some(step)
    }

    fn check_step(&mut self, event: &Event, step: &Step) {
        match step.to {
            State::Starting => self.begin_attempt(event, step),
            State::Running => self.edit(step.key, Book::run),
            State::Stopping => self.begin_stop(event, step),
            State::BackingOff => self.back_off(event, step),
            State::Stopped | State::Faulted => self.edit(step.key, |book| book.rest(step.from)),
            State::Created | State::Waiting => {}
        }
        if step.from == State::Running {
            let own = books::is_own_loss(event);
            self.edit(step.key, |book| book.is_lost |= own);
        }
    }

    /// A start call begins.
    fn begin_attempt(&mut self, event: &Event, step: &Step) {
        let id = step.key.component;
        self.check_start_time(event, id);
        self.check_dependencies(event, id);
        self.check_number(event, step);
        self.edit(step.key, |book| book.begin(step.key));
    }

    /// Invariant 8.
    fn check_start_time(&mut self, event: &Event, id: ComponentId) {
        let may_start = matches!(
            self.whole,
            OrchestratorState::Starting | OrchestratorState::Running
        );
        if !may_start {
            let what = format!(
                "its start began while the orchestrator is {}",
                self.whole.as_str()
            );
            self.report(event, Rule::StartAfterStop, Some(id), what);
        }
    }

    /// Invariant 1.
    fn check_dependencies(&mut self, event: &Event, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        for missing in self.books.missing_dependencies(&plan, id) {
            let what = format!(
                "its start began while \"{}\" is {}",
                plan.name(missing),
                self.books.state(missing).as_str()
            );
            self.report(event, Rule::StartOrder, Some(id), what);
        }
    }

    /// A generation follows the one before it, which is over; an attempt follows the one before it (invariants 4, 11).
    fn check_number(&mut self, event: &Event, step: &Step) {
        let id = step.key.component;
        let Some(book) = self.books.get(id) else {
            return;
        };
        let expected = if step.is_retry {
            (book.generation, book.attempt + 1)
        } else {
            (book.generation + 1, 1)
        };
        let undisposed = (!step.is_retry && book.is_undisposed()).then_some(book.generation);
        let numbered = (step.key.generation, step.key.attempt);
        if numbered != expected {
            let what = format!(
                "generation {}, attempt {} began where {}, {} was due",
                numbered.0, numbered.1, expected.0, expected.1
            );
            self.report(event, Rule::Step, Some(id), what);
        }
        if let Some(generation) = undisposed {
            let what = format!("a start began although generation {generation} is not disposed");
            self.report(event, Rule::Dispose, Some(id), what);
        }
    }

    /// A stop begins, or the end without one when the time is up.
    fn begin_stop(&mut self, event: &Event, step: &Step) {
        let id = step.key.component;
        let Some(book) = self.books.get(id) else {
            return;
        };
        let (generation, is_over) = (book.generation, book.is_over());
        // A start that is undone has no dependents that rely on it.
        let has_run = book.has_run;
        if is_over {
            let what = format!("a stop began although generation {generation} is disposed");
            self.report(event, Rule::Dispose, Some(id), what);
        }
        if has_run && !books::is_without_stop_call(event) {
            self.check_dependents(event, id);
        }
        self.edit(step.key, |book| book.is_kept = false);
    }

    /// Invariant 1.
    fn check_dependents(&mut self, event: &Event, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let everything = self.whole == OrchestratorState::Stopping;
        for dependent in self.books.dependents_up(&plan, id, everything) {
            let what = format!(
                "its stop began while \"{}\" is not down; it is {}",
                plan.name(dependent),
                self.books.state(dependent).as_str()
            );
            self.report(event, Rule::StopOrder, Some(id), what);
        }
    }

    /// Between two attempts, or between a loss and the next generation; the latter is charged (invariant 12).
    fn back_off(&mut self, event: &Event, step: &Step) {
        let id = step.key.component;
        let policy = &self.plan.policies(id).restart;
        let (budget, window) = (policy.budget, policy.window);
        let Some(book) = self.books.get_mut(id) else {
            return;
        };
        let within = book.charge(event.at, window);
        if within > budget {
            let what = format!("restart {within} within {window}; the budget is {budget}");
            self.report(event, Rule::Budget, Some(id), what);
        }
    }

    /// Invariant 4.
    fn dispose(&mut self, event: &Event, key: AttemptKey) {
        let Some(book) = self.books.get_mut(key.component) else {
            return;
        };
        let known = book.generation;
        let fault = book.dispose(key.generation);
        let Some(fault) = fault else { return };
        let what = match fault {
            books::DisposeFault::Again => format!("generation {known} was disposed again"),
            books::DisposeFault::NotStarted => format!(
                "generation {} was disposed and had not started; the present one is {known}",
                key.generation
            ),
        };
        self.report(event, Rule::Dispose, Some(key.component), what);
    }

    /// Invariant 7.
    fn check_length(&mut self, event: &Event, took: Nanos) {
        let Some(longest) = self.longest_stop.filter(|it| took > *it) else {
            return;
        };
        let what = format!("the stop took {took}; it may take {longest}");
        self.report(event, Rule::StopLength, None, what);
    }

    /// Compares `snapshot` with what the events have said (invariant 14). It must contain exactly the events that were
    /// taken in; any other is passed over.
    pub fn compare(&mut self, snapshot: &Snapshot) {
        if snapshot.sequence != self.sequence {
            return;
        }
        if snapshot.state != self.whole {
            let what = format!(
                "the snapshot says that the orchestrator is {}, its events that it is {}",
                snapshot.state.as_str(),
                self.whole.as_str()
            );
            self.disagree(snapshot.at, None, what);
        }
        for id in snapshot.plan.ids() {
            let (row, Some(book)) = (snapshot.component(id), self.books.get(id)) else {
                continue;
            };
            if (row.state, row.generation) != (book.state, book.generation) {
                let what = format!(
                    "the snapshot says {}, generation {}; its events say {}, generation {}",
                    row.state.as_str(),
                    row.generation,
                    book.state.as_str(),
                    book.generation
                );
                self.disagree(snapshot.at, Some(id), what);
            }
        }
    }

    /// Every violation, in the order in which they were found.
    #[must_use]
    pub fn finish(self) -> Vec<Violation> {
        self.violations
    }

    fn report(&mut self, event: &Event, rule: Rule, component: Option<ComponentId>, what: String) {
        let name = component.map(|id| self.plan.name(id).clone());
        self.violations.push(Violation {
            rule,
            component: name,
            sequence: event.sequence,
            at: event.at,
            what,
        });
    }

    fn disagree(&mut self, at: Time, component: Option<ComponentId>, what: String) {
        let name = component.map(|id| self.plan.name(id).clone());
        self.violations.push(Violation {
            rule: Rule::Agreement,
            component: name,
            sequence: self.sequence,
            at,
            what,
        });
    }
}

/// The legal steps of the orchestrator as a whole.
fn may_become(from: OrchestratorState, to: OrchestratorState) -> bool {
    use OrchestratorState::{Created, Running, Starting, Stopped, Stopping};
    match from {
        Created | Stopped => to == Starting,
        Starting => matches!(to, Running | Stopping),
        Running => to == Stopping,
        // A further stop tries again what has refused to stop.
        Stopping => matches!(to, Stopped | Stopping),
    }
}
