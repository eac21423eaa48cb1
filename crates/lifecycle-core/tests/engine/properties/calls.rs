//! What must hold when a call is made, cancelled, or left behind.

use lifecycle_core::engine::{AttemptKey, Call, DrainState};
use lifecycle_core::{ComponentId, EdgeKind};

use super::books::{Scope, Want};
use super::sketch::{Manner, Tasks};
use super::world::{What, World};
use crate::support::State;

impl World {
    pub(super) fn call(&mut self, call: Call, key: AttemptKey) {
        self.calls += 1;
        let id = key.component;
        assert_eq!(
            self.books[id].busy, None,
            "{call:?} {key:?} overlaps another call"
        );
        match call {
            Call::Start => self.begin_start(key),
            Call::Stop => self.begin_stop(key),
            Call::Dispose => self.begin_dispose(key),
            Call::Drain => self.begin_drain(key),
            Call::Resume => self.begin_resume(key),
        }
        let book = &mut self.books[id];
        let sketch = &book.sketch;
        let manner = match call {
            Call::Start => sketch.starts[(book.starts - 1) % 3],
            Call::Stop => sketch.stops[(book.stops - 1) % 3],
            Call::Drain | Call::Resume => sketch.drainings[(book.drains - 1) % 3],
            Call::Dispose => sketch.dispose,
        };
        let tasks = sketch.tasks;
        book.busy = Some(call);
        self.pend(What::Call(call), key, manner, tasks);
    }

    fn begin_start(&mut self, key: AttemptKey) {
        let id = key.component;
        self.books.take_turns();
        assert!(!self.is_ending, "invariant 8: {key:?} starts after a stop");
        assert!(
            self.has_open_gate(id),
            "rule 26: {key:?} starts behind a closed gate"
        );
        for edge in self.books.plan.dependencies(id) {
            let may = match edge.kind {
                EdgeKind::Hard => self.books[edge.component].is_up(),
                EdgeKind::Soft | EdgeKind::Order => self.books.may_pass(edge.component),
            };
            assert!(may, "invariant 1: {key:?} starts too early: {edge:?}");
        }
        let is_factory = self.books.plan.is_factory(id);
        let rank = self.books.plan.rank(id);
        let now = self.now;
        let first = key.attempt == 1;
        let book = &mut self.books[id];
        assert_eq!(book.want, Want::Up, "{key:?} starts, and nobody wants it");
        assert!(!book.is_falling, "{key:?} starts on its way down");
        assert!(!book.is_abandoned, "rule 7: {key:?} blocks a thread");
        assert_eq!(
            book.scope,
            Scope::None,
            "rule 6: the scope before it is closed"
        );
        let attempts = book.sketch.start.attempts;
        assert!(
            key.attempt <= attempts,
            "contract 15: {key:?} of {attempts}"
        );
        if first {
            assert_eq!(key.generation, book.generation + 1);
            let due = book.restart_at.take();
            assert!(
                due.is_none_or(|it| it <= now),
                "rule 21: {key:?} is due at {due:?}"
            );
            assert!(!book.is_undisposed, "rule 6: {key:?}");
            book.has_come_up = false;
            book.stop_attempt = 0;
            book.node_call = 0;
            book.drain = DrainState::Active;
            book.was_asked = false;
            book.stop_error = None;
            book.is_held_up = false;
        } else {
            let last = (book.generation, book.attempt + 1);
            assert_eq!((key.generation, key.attempt), last);
            assert!(!book.is_undisposed || !is_factory, "rule 6: {key:?}");
        }
        book.generation = key.generation;
        book.attempt = key.attempt;
        book.is_retrying = false;
        book.is_undisposed = true;
        book.is_started = false;
        book.scope = Scope::Open;
        book.starts += 1;
        self.issued.0.push(rank);
    }

    fn begin_stop(&mut self, key: AttemptKey) {
        let id = key.component;
        // The late success of a start is undone at once: nobody was told that it was there.
        let is_undo = self.books[id].state == State::Starting;
        if !is_undo {
            self.books.take_turns();
            self.check_turn(id);
            self.issued.1.push(self.books.plan.rank(id));
        }
        let book = &mut self.books[id];
        assert!(book.is_started, "invariant 4: {key:?} has nothing to stop");
        assert_eq!(
            (key.generation, key.attempt),
            (book.generation, book.stop_attempt + 1)
        );
        book.stop_attempt = key.attempt;
        book.was_asked = true;
        book.is_held_up = false;
        book.stop_error = None;
        book.stops += 1;
    }

    /// Invariant 1, downwards; and invariant 12: nothing is stopped that no edge and nobody sends down.
    fn check_turn(&mut self, id: ComponentId) {
        let forced = self.stop.is_some_and(|it| it.is_forced);
        let book = &mut self.books[id];
        let again = book.is_kept() && std::mem::take(&mut book.may_be_asked_again);
        if again || (book.is_kept() && forced) {
            // Force opens again what was kept, and a stop what was kept before it closed. Its turn has been before.
            book.is_falling = true;
            book.had_turn = true;
            return;
        }
        let book = &self.books[id];
        assert!(
            book.is_falling,
            "invariant 12: nothing takes {id:?} down: {book:?}"
        );
        let up = self.books.plan.dependents(id).iter();
        let up: Vec<ComponentId> = up
            .map(|it| it.component)
            .filter(|it| self.books[*it].is_falling)
            .collect();
        assert!(
            book.had_turn,
            "invariant 1: {id:?} stops before {up:?} are down"
        );
        assert!(
            self.orchestrator != lifecycle_core::engine::OrchestratorState::Running
                || self.stop.is_none(),
            "invariant 16: ready, and {id:?} is stopped"
        );
    }

    /// A start that failed, not for good, and is not tried again is over when its value is released.
    pub(super) fn note_given_up(&mut self, key: AttemptKey, is_tried_again: bool) {
        let ending = self.stop.is_some();
        let book = &mut self.books[key.component];
        let is_in_start = !book.has_come_up && !book.is_falling && !ending;
        book.is_over |= is_in_start && !is_tried_again && !book.is_retrying;
    }

    fn begin_dispose(&mut self, key: AttemptKey) {
        let forced = self.stop.is_some_and(|it| it.is_forced);
        let book = &mut self.books[key.component];
        if forced && book.is_kept() {
            // Opened again, and until it is down those below wait for it.
            book.is_falling = true;
            book.had_turn = true;
        }
        assert!(book.is_undisposed, "invariant 4: {key:?} is disposed twice");
        assert_eq!(
            (key.generation, key.attempt),
            (book.generation, book.attempt)
        );
        book.is_undisposed = false;
        book.is_held_up = false;
    }

    fn begin_node_call(&mut self, key: AttemptKey) {
        let book = &mut self.books[key.component];
        assert_eq!(book.state, State::Running, "rule 27: {key:?} does not run");
        assert_eq!(key.generation, book.generation);
        assert_eq!(key.attempt, book.node_call + 1);
        book.node_call = key.attempt;
        book.drains += 1;
    }

    fn begin_drain(&mut self, key: AttemptKey) {
        self.begin_node_call(key);
        let id = key.component;
        assert!(
            self.books.plan.drains(id),
            "rule 11: {id:?} takes no part in drains"
        );
        assert!(
            self.node.drain != DrainState::Active && !self.node.was_resumed,
            "rule 27: {id:?} is drained, and nobody wants that"
        );
        assert_ne!(self.books[id].drain, DrainState::Drained, "{id:?}");
        let began = self.node.began;
        if self.node.drain != DrainState::Draining || self.books[id].up_since > began {
            return;
        }
        self.books.take_turns();
        for above in self.above(id) {
            let book = &self.books[above];
            let took_part = self.books.plan.drains(above) && book.is_up() && book.up_since <= began;
            let is_over = matches!(book.drain, DrainState::Drained | DrainState::Failed);
            assert!(
                !took_part || is_over,
                "rule 11: {id:?} is drained before {above:?}: {book:?}"
            );
        }
    }

    fn begin_resume(&mut self, key: AttemptKey) {
        self.begin_node_call(key);
        let book = &self.books[key.component];
        assert!(self.node.takes_back, "rule 27: {key:?} is resumed");
        assert_ne!(book.drain, DrainState::Active, "{key:?} is resumed");
    }

    /// Everything above `id` by any edge, but for ways through what is down and is taken out in this very step.
    fn above(&self, id: ComponentId) -> Vec<ComponentId> {
        let is_gone = |id| {
            let book = &self.books[id];
            book.want == Want::Removed && book.rests()
        };
        let mut found = vec![id];
        let mut next = 0;
        while let Some(&id) = found.get(next) {
            next += 1;
            for edge in self.books.plan.dependents(id) {
                if !found.contains(&edge.component) && !is_gone(edge.component) {
                    found.push(edge.component);
                }
            }
        }
        found.split_off(1)
    }

    pub(super) fn check_health(&mut self, key: AttemptKey, check: u32) {
        self.calls += 1;
        // Everything may begin to go down after it in this very step.
        let closes_now = self.closing_step == self.step;
        let book = &mut self.books[key.component];
        let runs = book.is_up() || (closes_now && book.state == State::Running);
        assert!(runs, "{key:?} is asked for its health: {book:?}");
        let manner = book.sketch.checks[book.checks % 3];
        book.checks += 1;
        let open = |it: &super::world::Pending| {
            it.key.component == key.component && it.key == key && matches!(it.what, What::Check(_))
        };
        assert!(
            !self.pending.iter().any(open),
            "two checks of {key:?} overlap"
        );
        self.pend(What::Check(check), key, manner, Tasks::WhenClosed);
    }

    pub(super) fn cancel(&mut self, call: Call, key: AttemptKey) {
        assert!(call != Call::Dispose, "a dispose has no token");
        assert!(
            call != Call::Stop || self.stop.is_some_and(|it| it.is_forced),
            "rule 17: only force cancels the token of a stop"
        );
        let pending = self.pending_of(What::Call(call), key);
        assert!(!pending.is_cancelled, "{call:?} {key:?} is cancelled twice");
        pending.is_cancelled = true;
    }

    pub(super) fn close(&mut self, key: AttemptKey) {
        let book = &mut self.books[key.component];
        assert_eq!(
            (key.generation, key.attempt),
            (book.generation, book.attempt)
        );
        let tasks = match book.scope {
            Scope::Open => book.sketch.tasks,
            Scope::Closing => return,
            // It was closed before and has no tasks; that is to be said once more.
            Scope::None => Tasks::WhenClosed,
        };
        book.scope = Scope::Closing;
        self.pend(What::Scope, key, Manner::Succeeds, tasks);
    }

    pub(super) fn abandon(&mut self, key: AttemptKey) {
        let mut left = 0;
        self.pending.retain(|it| {
            let is_left = it.key.component == key.component;
            let is_check = matches!(it.what, What::Check(_));
            if is_left && !is_check {
                assert!(it.is_aborted, "{it:?} is left before it was aborted");
                left += 1;
            }
            !is_left
        });
        assert!(
            left > 0,
            "{key:?} is left although nothing of it is at work"
        );
        let book = &mut self.books[key.component];
        book.is_abandoned = true;
        book.busy = None;
        book.scope = Scope::None;
    }
}
