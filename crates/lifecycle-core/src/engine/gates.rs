//! Gates: conditions outside under which alone a component runs (semantics 26).

use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::plan::{ComponentId, GateId};
use crate::registration::EdgeKind;
use crate::time::Time;

use super::Engine;
use super::message::{Command, EventKind, Reason};
use super::slot::Phase;

/// What is known of one gate.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct GateState {
    open: bool,
    /// When everything behind it must be down; `None` while it stays open.
    until: Option<Time>,
    /// The close deadline of what goes down for it now.
    closing: Option<Time>,
}

impl GateState {
    pub(super) fn fingerprint<H: Hasher>(&self, now: Time, state: &mut H) {
        let ahead = |time: Option<Time>| time.map(|it| it.since(now));
        (self.open, ahead(self.until), ahead(self.closing)).hash(state);
    }
}

impl Engine {
    /// Whether the own gate of `id` is closed.
    pub(super) fn is_gate_closed(&self, id: ComponentId) -> bool {
        let gate = self.plan.gate(id);
        gate.is_some_and(|it| !self.gates[it.index()].open)
    }

    /// Counts the closed gates in front of `id` anew; its dependencies are counted.
    pub(super) fn count_gates(&mut self, id: ComponentId) {
        let hard = self.plan.dependencies(id).iter();
        let behind = hard
            .filter(|it| it.kind == EdgeKind::Hard)
            .filter(|it| self.slots[it.component.index()].gates_closed > 0)
            .count();
        let own = usize::from(self.is_gate_closed(id));
        self.slots[id.index()].gates_closed = u32::try_from(behind + own).unwrap_or(u32::MAX);
    }

    pub(super) fn open_gate(&mut self, now: Time, gate: GateId, until: Option<Time>) {
        let Some(state) = self.gates.get_mut(gate.index()) else {
            return;
        };
        let was_open = std::mem::replace(&mut state.open, true);
        state.until = until;
        if !was_open {
            state.closing = None;
            self.tell_gate(now, gate);
            self.gate_changed(now, gate);
        }
        self.check_gates(now);
    }

    pub(super) fn close_gate(&mut self, now: Time, gate: GateId) {
        let Some(state) = self.gates.get_mut(gate.index()) else {
            return;
        };
        if !std::mem::replace(&mut state.open, false) {
            return;
        }
        state.closing = state.until.take();
        self.tell_gate(now, gate);
        self.gate_changed(now, gate);
    }

    fn tell_gate(&mut self, now: Time, gate: GateId) {
        let state = self.gates[gate.index()];
        let (open, until) = (state.open, state.until.or(state.closing));
        let reason = if open {
            Reason::GateOpened
        } else {
            Reason::GateClosed
        };
        self.emit(now, reason, None, EventKind::Gate { gate, open, until });
    }

    /// What is behind `gate` waits, or may start.
    fn gate_changed(&mut self, now: Time, gate: GateId) {
        let plan = Arc::clone(&self.plan);
        for (id, _) in plan.gated(gate) {
            self.recount_gates(now, id);
            let open = self.gates[gate.index()].open;
            let waits = self.slot(id).phase == Phase::Waiting;
            if waits && open {
                self.slot(id).motive = Reason::GateOpened;
            }
            if self.may_start(id) {
                self.startable.insert(plan.rank(id));
            } else if waits {
                self.enter_waiting(now, id);
            } else if !open {
                self.bring_down(now, id, Reason::GateClosed);
            }
        }
    }

    /// Counts the gates in front of `id` anew, and of everything that needs it if that changed.
    fn recount_gates(&mut self, now: Time, id: ComponentId) {
        let plan = Arc::clone(&self.plan);
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let before = self.slot(id).gates_closed > 0;
            self.count_gates(id);
            self.update_readiness(id);
            if before == (self.slot(id).gates_closed > 0) {
                continue;
            }
            // Nobody waits for anything before a start and after a stop.
            if self.is_running() {
                self.wait_outside(now, id);
            }
            let hard = plan.dependents(id).iter();
            open.extend(
                hard.filter(|it| it.kind == EdgeKind::Hard)
                    .map(|it| it.component),
            );
        }
    }

    /// When a gate with a deadline makes the next difference.
    pub(super) fn next_gate_deadline(&self) -> Option<Time> {
        let gates = self.gates.iter().enumerate();
        gates
            .filter_map(|(index, state)| match (state.until, state.closing) {
                (Some(until), _) => self.margin_begins(index, until),
                (None, closing) => closing,
            })
            .min()
    }

    /// When what is behind the gate at `index` must begin to go down, to be down at `until`.
    fn margin_begins(&self, index: usize, until: Time) -> Option<Time> {
        let gate = self.plan.gate_at(index)?;
        let longest = self.plan.gated(gate).map(|(_, margin)| margin).max()?;
        Some(until.before(longest))
    }

    /// Closes gates whose time has come, and sees to it that what was to be down is.
    pub(super) fn check_gates(&mut self, now: Time) {
        for index in 0..self.gates.len() {
            let state = self.gates[index];
            let Some(gate) = self.plan.gate_at(index) else {
                continue;
            };
            if let Some(until) = state.until
                && self.margin_begins(index, until).is_some_and(|it| it <= now)
            {
                self.close_gate(now, gate);
            }
            if self.gates[index].closing.is_some_and(|it| it <= now) {
                self.gates[index].closing = None;
                self.check_closed(now, gate);
            }
        }
    }

    /// The close deadline has come: nothing behind the gate may be at work any more.
    fn check_closed(&mut self, now: Time, gate: GateId) {
        let plan = Arc::clone(&self.plan);
        let mut behind: Vec<ComponentId> = plan.gated(gate).map(|(id, _)| id).collect();
        let mut known: HashSet<ComponentId> = behind.iter().copied().collect();
        let mut next = 0;
        while let Some(&id) = behind.get(next) {
            next += 1;
            let slot = &self.slots[id.index()];
            if !slot.phase.is_down() || slot.quarantined {
                let key = slot.key(id);
                self.emit(now, Reason::GateClosed, None, EventKind::GateBroken { key });
                self.commands.push_back(Command::Halt { component: id });
                return;
            }
            for edge in plan.dependents(id).iter().filter(|it| it.takes_down()) {
                if known.insert(edge.component) {
                    behind.push(edge.component);
                }
            }
        }
    }
}
