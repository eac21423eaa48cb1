//! [`Books`]: what the oracle has written down of each component.

use std::collections::VecDeque;

use lifecycle_core::engine::{AttemptKey, ComponentState, Event, Reason, Snapshot};
use lifecycle_core::{ComponentId, EdgeKind, Nanos, Plan, Time};

/// One row a component, by [`ComponentId::index`].
#[derive(Debug)]
pub(super) struct Books {
    rows: Vec<Option<Book>>,
    is_resumed: bool,
}

/// What is known of one component.
#[derive(Clone, Debug)]
pub(super) struct Book {
    id: ComponentId,
    pub(super) state: ComponentState,
    pub(super) generation: u32,
    /// Of the present start.
    pub(super) attempt: u32,
    holding: Holding,
    /// Whether this generation was running at any time.
    pub(super) has_run: bool,
    /// Its stop failed, or it is held up: for the order it is down (semantics 13, 15).
    pub(super) is_kept: bool,
    /// It blocks a thread: whether it is disposed is not waited for.
    pub(super) is_abandoned: bool,
    /// It was lost by itself, and what follows is not known yet.
    pub(super) is_lost: bool,
    /// When own losses were followed by a restart, within the last window.
    restarts: VecDeque<Time>,
}

/// Whether a generation has something to dispose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holding {
    /// Its start was never entered.
    Nothing,
    /// Its start was entered.
    Something,
    /// It was disposed.
    Disposed,
    /// Events were missed.
    Unknown,
}

/// A transition, as far as the rules look at it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) key: AttemptKey,
    pub(super) from: ComponentState,
    pub(super) to: ComponentState,
    /// Whether it belongs to the generation that is known.
    pub(super) is_retry: bool,
}

/// What is wrong with a dispose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DisposeFault {
    Again,
    NotStarted,
}

/// Whether a running component is lost by its own fault. A reason that is added for that belongs here.
pub(super) fn is_own_loss(event: &Event) -> bool {
    matches!(event.reason, Reason::Lost | Reason::Unhealthy) && event.cause.is_none()
}

/// Whether a component goes down without a stop call, so that nothing has to be down before. A reason that is added for
/// that belongs here.
pub(super) fn is_without_stop_call(event: &Event) -> bool {
    event.reason == Reason::DeadlinePassed
}

impl Books {
    pub(super) fn of(plan: &Plan) -> Self {
        let mut books = Self {
            rows: Vec::new(),
            is_resumed: false,
        };
        books.adopt(plan);
        books
    }

    /// Rows for the components that are new; those that were removed are forgotten.
    pub(super) fn adopt(&mut self, plan: &Plan) {
        self.rows.resize(plan.capacity(), None);
        for (index, row) in self.rows.iter_mut().enumerate() {
            let there = plan.at(index);
            if row.as_ref().map(|it| it.id) != there {
                *row = there.map(Book::new);
            }
        }
    }

    pub(super) fn from_snapshot(snapshot: &Snapshot) -> Self {
        let mut books = Self::of(&snapshot.plan);
        books.is_resumed = true;
        for book in books.rows.iter_mut().flatten() {
            let row = snapshot.component(book.id);
            book.resume(row.state, row.generation, row.attempt);
        }
        books
    }

    /// Whether they go on from a snapshot, so that events from before it may still come.
    pub(super) fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    pub(super) fn get(&self, id: ComponentId) -> Option<&Book> {
        let book = self.rows.get(id.index())?.as_ref();
        book.filter(|it| it.id == id)
    }

    pub(super) fn get_mut(&mut self, id: ComponentId) -> Option<&mut Book> {
        let book = self.rows.get_mut(id.index())?.as_mut();
        book.filter(|it| it.id == id)
    }

    pub(super) fn state(&self, id: ComponentId) -> ComponentState {
        self.get(id).map_or(ComponentState::Created, |it| it.state)
    }

    /// A new run owes nothing to the losses of the one before.
    pub(super) fn begin_run(&mut self) {
        for book in self.rows.iter_mut().flatten() {
            book.is_lost = false;
            book.restarts.clear();
        }
    }

    /// Hard dependencies that do not run.
    pub(super) fn missing_dependencies(&self, plan: &Plan, id: ComponentId) -> Vec<ComponentId> {
        let edges = plan.dependencies(id).iter();
        let hard = edges.filter(|it| it.kind == EdgeKind::Hard);
        hard.map(|it| it.component)
            .filter(|it| self.state(*it) != ComponentState::Running)
            .collect()
    }

    /// Dependents that are not down: all when everything stops, otherwise those that go down with it.
    pub(super) fn dependents_up(
        &self,
        plan: &Plan,
        id: ComponentId,
        everything: bool,
    ) -> Vec<ComponentId> {
        let edges = plan.dependents(id).iter();
        let in_plan = edges.filter(|it| everything || it.takes_down());
        in_plan
            .map(|it| it.component)
            .filter(|it| self.get(*it).is_some_and(Book::is_up))
            .collect()
    }
}

impl Book {
    fn new(id: ComponentId) -> Self {
        Self {
            id,
            state: ComponentState::Created,
            generation: 0,
            attempt: 0,
            holding: Holding::Nothing,
            has_run: false,
            is_kept: false,
            is_abandoned: false,
            is_lost: false,
            restarts: VecDeque::new(),
        }
    }

    fn resume(&mut self, state: ComponentState, generation: u32, attempt: u32) {
        self.state = state;
        self.generation = generation;
        self.attempt = attempt;
        self.has_run = state == ComponentState::Running;
        self.holding = match state {
            _ if generation == 0 => Holding::Nothing,
            ComponentState::Starting | ComponentState::Running => Holding::Something,
            ComponentState::Created
            | ComponentState::Stopping
            | ComponentState::Stopped
            | ComponentState::Faulted
            | ComponentState::Waiting
            | ComponentState::BackingOff => Holding::Unknown,
        };
    }

    /// Whether it certainly holds something.
    pub(super) fn is_undisposed(&self) -> bool {
        self.holding == Holding::Something && !self.is_abandoned
    }

    /// Whether it counts as up for the order of stops (semantics 2).
    fn is_up(&self) -> bool {
        let is_left_behind = self.is_abandoned
            && matches!(
                self.state,
                ComponentState::Stopped | ComponentState::Faulted
            );
        self.holding == Holding::Something && !self.is_kept && !is_left_behind
    }

    /// Whether there is certainly nothing left that could be stopped.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.holding, Holding::Nothing | Holding::Disposed)
    }

    /// A start call begins.
    pub(super) fn begin(&mut self, key: AttemptKey) {
        if self.generation != key.generation {
            self.has_run = false;
            self.is_kept = false;
            self.is_abandoned = false;
        }
        self.generation = key.generation;
        self.attempt = key.attempt;
        self.holding = Holding::Something;
        self.is_lost = false;
    }

    pub(super) fn run(&mut self) {
        self.has_run = true;
    }

    /// It came to rest out of `from`: after a stop without dispose it is kept for a further stop.
    pub(super) fn rest(&mut self, from: ComponentState) {
        let stopping = matches!(from, ComponentState::Stopping | ComponentState::BackingOff);
        let kept = stopping && self.has_run && self.state == ComponentState::Faulted;
        if kept && self.holding == Holding::Something && !self.is_abandoned {
            self.is_kept = true;
        }
    }

    pub(super) fn dispose(&mut self, generation: u32) -> Option<DisposeFault> {
        let fault = match self.holding {
            _ if generation != self.generation => Some(DisposeFault::NotStarted),
            Holding::Nothing => Some(DisposeFault::NotStarted),
            Holding::Disposed => Some(DisposeFault::Again),
            Holding::Something | Holding::Unknown => None,
        };
        if fault.is_none() {
            self.holding = Holding::Disposed;
        }
        fault
    }

    /// Counts a restart, if this back-off is for one; returns how many there were within `window`.
    pub(super) fn charge(&mut self, now: Time, window: Nanos) -> u32 {
        // Before it is disposed, it backs off between two attempts of its stop.
        if self.holding == Holding::Disposed && std::mem::replace(&mut self.is_lost, false) {
            self.restarts.push_back(now);
            while self
                .restarts
                .front()
                .is_some_and(|it| now.since(*it) >= window)
            {
                self.restarts.pop_front();
            }
            return u32::try_from(self.restarts.len()).unwrap_or(u32::MAX);
        }
        0
    }
}
