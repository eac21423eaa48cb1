//! What the oracle knows of each component: kept from inputs, commands and events, and never asked of the engine.

use std::collections::BTreeSet;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use lifecycle_core::engine::{Call, DrainState, Health};
use lifecycle_core::{ComponentId, Criticality, EdgeKind, Failure, OnLoss, Plan, Time};

use crate::support::State;

use super::sketch::Sketch;

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Scope {
    #[default]
    None,
    Open,
    Closing,
}

/// What is wanted of a component, as whoever reads the semantics sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Want {
    #[default]
    Up,
    Held,
    StoppedByEdge,
    Completed,
    Failed,
    Removed,
}

#[derive(Clone, Debug)]
pub(super) struct Book {
    pub(super) sketch: Sketch,
    pub(super) state: State,
    pub(super) generation: u32,
    pub(super) attempt: u32,
    pub(super) stop_attempt: u32,
    pub(super) node_call: u32,
    pub(super) busy: Option<Call>,
    pub(super) scope: Scope,
    pub(super) is_undisposed: bool,
    /// Start has returned `Ok` and stop has not since.
    pub(super) is_started: bool,
    pub(super) is_abandoned: bool,
    /// Its start will be tried again in this generation.
    pub(super) is_retrying: bool,
    /// A dependent that nobody could confirm down keeps it up.
    pub(super) is_held_up: bool,
    /// It was on its way down before a stop of the whole closed: if its stop fails, that stop asks it again.
    pub(super) may_be_asked_again: bool,
    pub(super) want: Want,
    /// It failed for good only because of a dependency.
    pub(super) is_victim: bool,
    /// And an operator has started that dependency since.
    pub(super) may_revive: bool,
    /// It is in the set of what goes down.
    pub(super) is_falling: bool,
    /// And no dependent of it was, at one time since.
    pub(super) had_turn: bool,
    /// It has run in this run.
    pub(super) has_run: bool,
    /// Its present generation has run.
    pub(super) has_come_up: bool,
    /// It was added in this run, and nobody was told yet that it is there.
    pub(super) is_joining: bool,
    /// Its first start sequence has failed in this run.
    pub(super) is_over: bool,
    /// Edges to it that are not hard may be taken for met in this run.
    pub(super) may_be_passed: bool,
    pub(super) was_gated: bool,
    /// It inherits a closed gate from what is not there any more, and is being taken out itself.
    pub(super) inherits_from_gone: bool,
    /// Somebody has wanted it so that it stayed down, since it ran last.
    pub(super) was_unwanted: bool,
    /// When it may be started again at the earliest.
    pub(super) restart_at: Option<Time>,
    pub(super) charges: Vec<Time>,
    pub(super) health: Health,
    pub(super) drain: DrainState,
    /// The step in which it came up last.
    pub(super) up_since: usize,
    /// A stop call was made since its generation began or the present stop did.
    pub(super) was_asked: bool,
    pub(super) stop_error: Option<Arc<Failure>>,
    pub(super) starts: usize,
    pub(super) stops: usize,
    pub(super) drains: usize,
    pub(super) checks: usize,
}

impl Book {
    pub(super) fn of(sketch: Sketch) -> Self {
        Self {
            sketch,
            state: State::Created,
            generation: 0,
            attempt: 0,
            stop_attempt: 0,
            node_call: 0,
            busy: None,
            scope: Scope::None,
            is_undisposed: false,
            is_started: false,
            is_abandoned: false,
            is_retrying: false,
            is_held_up: false,
            may_be_asked_again: false,
            want: Want::Up,
            is_victim: false,
            may_revive: false,
            is_falling: false,
            had_turn: false,
            has_run: false,
            has_come_up: false,
            is_joining: false,
            is_over: false,
            may_be_passed: false,
            was_gated: false,
            inherits_from_gone: false,
            was_unwanted: false,
            restart_at: None,
            charges: Vec::new(),
            health: Health::Healthy,
            drain: DrainState::Active,
            up_since: 0,
            was_asked: false,
            stop_error: None,
            starts: 0,
            stops: 0,
            drains: 0,
            checks: 0,
        }
    }

    /// Its value is still there after its stop, for a further one.
    pub(super) fn is_kept(&self) -> bool {
        let failed = self.was_asked && self.stop_error.is_some() && self.state == State::Faulted;
        let at_work = self.busy.is_some() || !self.is_undisposed;
        !at_work && (self.is_held_up || (failed && self.scope == Scope::None))
    }

    /// Nothing of it is at work or to be released.
    pub(super) fn is_clear(&self) -> bool {
        self.busy.is_none() && self.scope == Scope::None && !self.is_undisposed
    }

    /// For the order it is down.
    fn counts_as_down(&self) -> bool {
        self.is_clear() || self.is_kept()
    }

    pub(super) fn is_up(&self) -> bool {
        self.state == State::Running && !self.is_falling && !self.is_held_up
    }

    /// Nothing of it is there, nothing takes it down, and it does not begin anything.
    pub(super) fn rests(&self) -> bool {
        self.is_clear() && !self.is_falling && !self.is_retrying
    }

    /// It was just added and is cleaned up after, and may have failed for good already.
    pub(super) fn may_be_failing(&self) -> bool {
        self.is_joining && !self.is_clear() && self.busy != Some(Call::Start)
    }

    pub(super) fn begin_run(&mut self) {
        // What blocks a thread is refused before any call is made.
        self.want = if self.is_abandoned {
            Want::Failed
        } else {
            Want::Up
        };
        self.is_victim = false;
        self.may_revive = false;
        self.is_retrying = false;
        self.has_run = false;
        self.is_joining = false;
        self.is_over = false;
        self.may_be_passed = false;
        self.was_gated = false;
        self.was_unwanted = false;
        self.restart_at = None;
        self.charges.clear();
        self.drain = DrainState::Active;
        self.up_since = 0;
    }
}

/// The books of all components, and what the graph makes of them, computed naively.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) plan: Arc<Plan>,
    rows: Vec<Option<(ComponentId, Book)>>,
    pub(super) removed: BTreeSet<ComponentId>,
}

impl Index<ComponentId> for Books {
    type Output = Book;

    fn index(&self, id: ComponentId) -> &Book {
        match &self.rows[id.index()] {
            Some((known, book)) if *known == id => book,
            _ => panic!("{id:?} is not there, or not any more"),
        }
    }
}

impl IndexMut<ComponentId> for Books {
    fn index_mut(&mut self, id: ComponentId) -> &mut Book {
        match &mut self.rows[id.index()] {
            Some((known, book)) if *known == id => book,
            _ => panic!("{id:?} is not there, or not any more"),
        }
    }
}

impl Books {
    pub(super) fn of(plan: Arc<Plan>, sketches: &[Sketch]) -> Self {
        let rows = plan.ids().zip(sketches);
        let rows = rows.map(|(id, sketch)| Some((id, Book::of(sketch.clone()))));
        Self {
            rows: rows.collect(),
            plan,
            removed: BTreeSet::new(),
        }
    }

    pub(super) fn ids(&self) -> Vec<ComponentId> {
        self.plan.order().to_vec()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Book> {
        self.rows.iter_mut().flatten().map(|(_, book)| book)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ComponentId, &Book)> {
        self.rows.iter().flatten().map(|(id, book)| (*id, book))
    }

    pub(super) fn add(&mut self, plan: Arc<Plan>, id: ComponentId, sketch: Sketch) {
        if self.rows.len() <= id.index() {
            self.rows.resize(id.index() + 1, None);
        }
        assert!(
            self.rows[id.index()].is_none() && !self.removed.contains(&id),
            "rule 25: {id:?} was used before"
        );
        self.rows[id.index()] = Some((id, Book::of(sketch)));
        self.plan = plan;
    }

    pub(super) fn remove(&mut self, plan: Arc<Plan>, id: ComponentId) {
        let book = &self[id];
        assert!(book.is_clear(), "{id:?} is removed and not down: {book:?}");
        self.rows[id.index()] = None;
        self.removed.insert(id);
        self.plan = plan;
    }

    fn hard(&self, id: ComponentId) -> impl Iterator<Item = ComponentId> + '_ {
        let edges = self.plan.dependencies(id).iter();
        edges
            .filter(|it| it.kind == EdgeKind::Hard)
            .map(|it| it.component)
    }

    /// Everything that `id` needs, directly or not.
    pub(super) fn needs(&self, id: ComponentId) -> BTreeSet<ComponentId> {
        self.closure(id, |books, id| books.hard(id).collect())
    }

    /// Everything that needs `id`, directly or not.
    pub(super) fn needed_by(&self, id: ComponentId) -> BTreeSet<ComponentId> {
        self.closure(id, |books, id| {
            let edges = books.plan.dependents(id).iter();
            let hard = edges.filter(|it| it.kind == EdgeKind::Hard);
            hard.map(|it| it.component).collect()
        })
    }

    fn closure(
        &self,
        id: ComponentId,
        next: impl Fn(&Self, ComponentId) -> Vec<ComponentId>,
    ) -> BTreeSet<ComponentId> {
        let mut found = BTreeSet::new();
        let mut open = next(self, id);
        while let Some(id) = open.pop() {
            if found.insert(id) {
                open.extend(next(self, id));
            }
        }
        found
    }

    /// What goes down when `root` does, itself first.
    pub(super) fn falling_with(&self, root: ComponentId) -> Vec<ComponentId> {
        let stands = |id: ComponentId| {
            let book = &self[id];
            let is_there = !book.is_clear() || book.is_retrying;
            let stays = book.is_kept() && book.want != Want::Removed;
            is_there && !book.is_falling && !stays
        };
        let mut falling = Vec::new();
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            if !stands(id) || falling.contains(&id) {
                continue;
            }
            falling.push(id);
            let edges = self.plan.dependents(id).iter();
            open.extend(edges.filter(|it| it.takes_down()).map(|it| it.component));
        }
        falling
    }

    /// `id`, and what shall run and waits for it or for something that does.
    pub(super) fn waiting_behind(&self, id: ComponentId) -> Vec<ComponentId> {
        let mut waiting = vec![id];
        let mut next = 0;
        while let Some(&id) = waiting.get(next) {
            next += 1;
            let edges = self.plan.dependents(id).iter();
            for edge in edges.filter(|it| it.kind == EdgeKind::Hard) {
                let book = &self[edge.component];
                let waits = !book.is_up() && book.rests() && book.want == Want::Up;
                if waits && !waiting.contains(&edge.component) {
                    waiting.push(edge.component);
                }
            }
        }
        waiting
    }

    pub(super) fn bring_down(&mut self, root: ComponentId) {
        let falling = self.falling_with(root);
        for &id in &falling {
            self.enter_fall(id);
        }
        for &id in &falling {
            let edges = self.plan.dependents(id).to_vec();
            for edge in edges.iter().filter(|it| it.on_loss == OnLoss::Stops) {
                let book = &mut self[edge.component];
                if book.is_falling && book.want == Want::Up {
                    book.want = Want::StoppedByEdge;
                }
            }
        }
    }

    fn enter_fall(&mut self, id: ComponentId) {
        let book = &mut self[id];
        book.is_falling = true;
        book.had_turn = false;
        book.is_retrying = false;
        // What an earlier stop has left is asked again.
        book.was_asked = false;
        book.is_held_up = false;
    }

    /// A stop of the whole closes: everything is in the set.
    pub(super) fn bring_all_down(&mut self) {
        for id in self.ids() {
            if !self[id].is_falling {
                self.enter_fall(id);
            }
        }
    }

    /// Force opens what was held up and takes it down in its turn.
    pub(super) fn bring_held_down(&mut self) {
        for book in self.iter_mut() {
            if book.is_held_up && !book.is_falling {
                book.is_falling = true;
                book.had_turn = false;
                book.is_held_up = false;
            }
        }
    }

    /// Notes who is down of those whose turn had come before.
    pub(super) fn take_down(&mut self) {
        for book in self.iter_mut() {
            book.is_falling &= !(book.had_turn && book.counts_as_down());
        }
    }

    /// Notes whose turn has come, and who is down. Dependents come first.
    pub(super) fn take_turns(&mut self) {
        let plan = Arc::clone(&self.plan);
        for &id in plan.order().iter().rev() {
            if !self[id].is_falling {
                continue;
            }
            let mut dependents = plan.dependents(id).iter();
            let turn = dependents.all(|it| !self[it.component].is_falling);
            let book = &mut self[id];
            book.had_turn |= turn;
            if book.had_turn && book.counts_as_down() {
                book.is_falling = false;
                if book.is_abandoned && book.want == Want::Up {
                    // It is faulted already, and nothing more is told.
                    book.want = Want::Failed;
                }
            }
        }
    }

    /// A hard dependency, direct or not, that is missing.
    pub(super) fn misses_any(&self, id: ComponentId) -> bool {
        self.needs(id).into_iter().any(|it| !self[it].is_up())
    }

    /// Whether `id` waits for what nobody wants up: a way of missing dependencies leads there.
    pub(super) fn waits_for_unwanted(&self, id: ComponentId) -> bool {
        self.missing(id).iter().any(|it| self[*it].want != Want::Up)
    }

    /// Whether what `id` waits for is down and stays there. While it goes down somebody may still start it.
    pub(super) fn waits_in_vain(&self, id: ComponentId) -> bool {
        let waiting = |books: &Self, waiting: ComponentId| {
            let book = &books[waiting];
            let waits = book.want == Want::Up && book.rests();
            let hard = books.hard(waiting).filter(|_| waits || waiting == id);
            hard.filter(|it| !books[*it].is_up()).collect()
        };
        let rests = |it: &Book| it.want != Want::Up && it.rests();
        self.closure(id, waiting).iter().any(|it| rests(&self[*it]))
    }

    /// Whether `id` waits for what comes back only if somebody starts it anew, and so fails with it.
    pub(super) fn waits_for_what_is_gone(&self, id: ComponentId) -> bool {
        let gone = |want| matches!(want, Want::Failed | Want::Completed | Want::Removed);
        self.missing(id).iter().any(|it| gone(self[*it].want))
    }

    /// Whether `id` waits for an addition that is being cleaned up after, and may have failed for good already.
    pub(super) fn waits_for_what_may_fail(&self, id: ComponentId) -> bool {
        self.missing(id).iter().any(|it| self[*it].may_be_failing())
    }

    /// What `id` needs and misses, and what that needs and misses, and so on.
    fn missing(&self, id: ComponentId) -> BTreeSet<ComponentId> {
        self.closure(id, |books, id| {
            let hard = books.hard(id);
            hard.filter(|it| !books[*it].is_up()).collect()
        })
    }

    /// Whether edges to `id` that are not hard may be taken for met.
    pub(super) fn may_pass(&self, id: ComponentId) -> bool {
        let book = &self[id];
        let passed = book.is_over || book.was_gated;
        passed
            || self.must_pass(id)
            || book.may_be_passed
            || book.want != Want::Up
            || book.is_abandoned
            || self
                .hard(id)
                .any(|it| !self[it].is_up() && self.may_pass(it))
    }

    /// Notes who may be passed from now on: once passed, an edge is not waited for in this run; and whom a start has
    /// settled without, since somebody wanted it so.
    pub(super) fn note_passed(&mut self) {
        for id in self.ids() {
            self[id].may_be_passed |= self.may_pass(id);
            self[id].was_unwanted |= self[id].want != Want::Up || self.waits_for_unwanted(id);
        }
    }

    /// Whether edges to `id` that are not hard must be taken for met.
    pub(super) fn must_pass(&self, id: ComponentId) -> bool {
        let book = &self[id];
        let is_final = matches!(book.state, State::Faulted | State::Stopped) && book.rests();
        book.has_run || is_final
    }

    /// Whether the start of the whole has no reason to wait for `id` any more.
    pub(super) fn is_settled(&self, id: ComponentId, gated: &impl Fn(ComponentId) -> bool) -> bool {
        let book = &self[id];
        let essential = self.plan.criticality(id) == Criticality::Essential;
        let is_final = matches!(book.state, State::Faulted | State::Stopped) && book.rests();
        if book.is_up() || gated(id) || is_final {
            return true;
        }
        if !essential && (book.has_run || book.is_over) {
            return true;
        }
        let mut missing = self.hard(id).filter(|it| !self[*it].is_up());
        let behind = if essential {
            self.waits_in_vain(id)
        } else {
            missing.any(|it| self.is_settled(it, gated))
        };
        book.state == State::Waiting && behind
    }
}
