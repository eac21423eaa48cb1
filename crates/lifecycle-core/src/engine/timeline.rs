//! [`Timeline`]: how the time of a start and of a stop was spent, component by component, and along which path.
//!
//! It is made from a snapshot and kept up to date by events, at a constant price each. Whoever has missed events gives it a
//! further snapshot: since that counts how long each component worked and backed off, nothing is lost but the moments in
//! between.

use std::sync::Arc;

use crate::graph::Edge;
use crate::plan::{ComponentId, Plan};
use crate::time::{Nanos, Time};

use super::message::{Event, EventKind};
use super::snapshot::{ComponentRow, Snapshot};
use super::state::{ComponentState, DrainState, OrchestratorState};

/// Which way a run goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The start: a component comes after what it depends on.
    Up,
    /// The stop, or the rollback: a component comes after what depends on it.
    Down,
}

/// A start or a stop of the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// When it began.
    pub began: Time,
    /// When it had settled, or was over; `None` while it is under way.
    pub ended: Option<Time>,
}

/// How one component spent its time in a start or a stop. What it neither worked nor backed off it waited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bar {
    /// When the whole began.
    pub began: Time,
    /// When its first attempt began; after missed events as good as it can be told.
    pub worked_from: Option<Time>,
    /// When it ran, or was down, or had failed; `None` while it is on its way.
    pub ended: Option<Time>,
    /// How long it waited for others.
    pub waiting: Nanos,
    /// How long its attempts took, and on the way down its drain.
    pub working: Nanos,
    /// How long it backed off between attempts.
    pub backing_off: Nanos,
    /// How many attempts there were.
    pub attempts: u32,
}

/// One component on the path that determined how long a start or a stop took: what it added to that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which component.
    pub component: ComponentId,
    /// How long nothing of it was at work although the one before it was done.
    pub waiting: Nanos,
    /// How long it worked.
    pub working: Nanos,
    /// How long it backed off.
    pub backing_off: Nanos,
}

/// The start and the stop of the present run, or of the last one.
#[derive(Clone, Debug)]
pub struct Timeline {
    plan: Arc<Plan>,
    run: u64,
    sequence: u64,
    up: Option<Span>,
    down: Option<Span>,
    rows: Vec<Row>,
    truncated: bool,
}

/// What is kept of one component, by [`ComponentId::index`].
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    id: Option<ComponentId>,
    state: ComponentState,
    since: Time,
    /// In this run, as its snapshot counts.
    worked: Nanos,
    backed_off: Nanos,
    drains_since: Option<Time>,
    up: Option<Bar>,
    down: Option<Bar>,
    /// Since when it comes up, or goes down, outside of any whole.
    moves_since: Option<Time>,
    last_start: Option<Nanos>,
    last_stop: Option<Nanos>,
}

impl Timeline {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(plan: &Arc<Plan>) -> Self {
        let mut timeline = Self {
            plan: Arc::clone(plan),
            run: 0,
            sequence: 0,
            up: None,
            down: None,
            rows: Vec::new(),
            truncated: false,
        };
        timeline.adopt(plan);
        timeline
    }

    /// As far as `snapshot` tells: a start that is under way from its begin, one that is over not at all.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        let mut timeline = Self::new(&snapshot.plan);
        timeline.catch_up(snapshot);
        timeline
    }

    /// As [`catch_up`](Self::catch_up), and makes good what was missed from `history`, the last events: all of it when they
    /// reach back to the last one that is contained, or to the begin of the run.
    pub fn replay(&mut self, snapshot: &Snapshot, history: &[Event]) {
        self.adopt(&snapshot.plan);
        let reaches = history
            .first()
            .is_some_and(|it| it.sequence <= self.sequence + 1);
        let begin = if reaches {
            Some(0)
        } else {
            history.iter().rposition(|it| begins_run(it, snapshot.run))
        };
        let known = history[begin.unwrap_or(history.len())..].iter();
        for event in known.take_while(|it| it.sequence <= snapshot.sequence) {
            self.take(event);
        }
        self.catch_up(snapshot);
    }

    /// Takes in the next event; one that is contained already changes nothing. After [`EventKind::Added`] and
    /// [`EventKind::Removed`] it must [catch up](Self::catch_up).
    pub fn take(&mut self, event: &Event) {
        if event.sequence <= self.sequence {
            return;
        }
        self.sequence = event.sequence;
        match &event.kind {
            EventKind::Orchestrator { to, .. } => self.turn(event.at, event.run, *to),
            EventKind::Transition { key, to, .. } => {
                if let Some(row) = self.known(key.component) {
                    row.step(event.at, *to);
                }
            }
            EventKind::Participant { key, to, .. } => {
                if let Some(row) = self.known(key.component) {
                    row.drain(event.at, *to == DrainState::Draining);
                }
            }
            _ => {}
        }
    }

    /// Takes in what `snapshot` says, when events were missed or components have come and gone.
    pub fn catch_up(&mut self, snapshot: &Snapshot) {
        self.adopt(&snapshot.plan);
        if snapshot.run != self.run {
            self.begin_run(snapshot.since, snapshot.run);
            self.truncated = snapshot.state != OrchestratorState::Starting && snapshot.run > 0;
            if self.truncated {
                // When it began is not known any more.
                self.up = None;
                self.rows.iter_mut().for_each(|it| it.up = None);
            }
        } else if self.under_way() {
            self.truncated |= snapshot.sequence > self.sequence;
        }
        let settled = snapshot.state == OrchestratorState::Running;
        if let Some(up) = self.up.as_mut().filter(|_| settled) {
            up.ended.get_or_insert(snapshot.since);
        }
        for id in snapshot.plan.ids() {
            self.rows[id.index()].catch_up(snapshot.component(id));
        }
        let stops = matches!(
            snapshot.state,
            OrchestratorState::Stopping | OrchestratorState::Stopped
        );
        if stops && self.down.is_none() && snapshot.run > 0 {
            self.begin_stop(snapshot.since);
        }
        if snapshot.state == OrchestratorState::Stopped
            && let Some(down) = &mut self.down
        {
            down.ended.get_or_insert(snapshot.since);
        }
        self.sequence = self.sequence.max(snapshot.sequence);
    }

    /// Which run it is about; 0 before the first.
    #[must_use]
    pub fn run(&self) -> u64 {
        self.run
    }

    /// What it is about.
    #[must_use]
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// Whether something of this run was missed, so that moments may be missing or estimated; sums of work and back-off are
    /// right all the same.
    #[must_use]
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// The start or the stop of the whole; `None` when there was none in this run, or its begin was missed.
    #[must_use]
    pub fn span(&self, way: Way) -> Option<Span> {
        match way {
            Way::Up => self.up,
            Way::Down => self.down,
        }
    }

    /// How `id` spent its time, up to `now` if it is still on its way; `None` when it took no part.
    #[must_use]
    pub fn bar(&self, id: ComponentId, way: Way, now: Time) -> Option<Bar> {
        let row = self.rows.get(id.index()).filter(|it| it.id == Some(id))?;
        row.bar(way, now)
    }

    /// How long the last start of `id` took, from its first attempt until it ran.
    #[must_use]
    pub fn last_start(&self, id: ComponentId) -> Option<Nanos> {
        let row = self.rows.get(id.index()).filter(|it| it.id == Some(id));
        row.and_then(|it| it.last_start)
    }

    /// How long the last stop of `id` took, from its first attempt until it was down.
    #[must_use]
    pub fn last_stop(&self, id: ComponentId) -> Option<Nanos> {
        let row = self.rows.get(id.index()).filter(|it| it.id == Some(id));
        row.and_then(|it| it.last_stop)
    }

    /// The chain of components that determined how long the start or the stop took, the first one first. Each begins where
    /// the one before it ends, so that the steps add up to the whole. While it is under way it leads to what is at work for
    /// longest.
    #[must_use]
    pub fn critical_path(&self, way: Way, now: Time) -> Vec<Step> {
        let Some(span) = self.span(way) else {
            return Vec::new();
        };
        let mut path = Vec::new();
        let mut next = self.last(way, span, now);
        while let Some((id, bar)) = next {
            let before = self.before(id, &bar, way, now);
            let from = before.and_then(|(_, bar)| bar.ended);
            let until = bar.ended.unwrap_or(now);
            path.push(step(id, &bar, until.since(from.unwrap_or(span.began))));
            next = before;
        }
        path.reverse();
        path
    }

    /// Whose end was that of the whole.
    fn last(&self, way: Way, span: Span, now: Time) -> Option<(ComponentId, Bar)> {
        let bars = self.plan.order().iter();
        let bars = bars.filter_map(|id| self.bar(*id, way, now).map(|bar| (*id, bar)));
        let until = span.ended.unwrap_or(now);
        let at_work = |bar: &Bar| bar.ended.is_none() && bar.worked_from.is_some();
        let open = bars.clone().filter(|(_, bar)| at_work(bar));
        let longest = open.min_by_key(|(_, bar)| bar.worked_from);
        if let (None, Some(longest)) = (span.ended, longest) {
            return Some(longest);
        }
        let over = bars.filter(|(_, bar)| bar.ended.is_some_and(|it| it <= until));
        over.max_by_key(|(_, bar)| bar.ended)
    }

    /// What `id` waited for last.
    fn before(
        &self,
        id: ComponentId,
        bar: &Bar,
        way: Way,
        now: Time,
    ) -> Option<(ComponentId, Bar)> {
        let edges: &[Edge] = match way {
            Way::Up => self.plan.dependencies(id),
            Way::Down => self.plan.dependents(id),
        };
        let begin = bar.worked_from.or(bar.ended)?;
        let others = edges.iter().map(|it| it.component);
        let others = others.filter_map(|id| self.bar(id, way, now).map(|bar| (id, bar)));
        let over = others.filter(|(_, bar)| bar.ended.is_some_and(|it| it <= begin));
        over.max_by_key(|(id, bar)| (bar.ended, self.plan.rank(*id)))
    }

    fn under_way(&self) -> bool {
        let open = |span: &Span| span.ended.is_none();
        self.up.iter().chain(&self.down).any(open)
    }

    fn known(&mut self, id: ComponentId) -> Option<&mut Row> {
        let row = self.rows.get_mut(id.index());
        row.filter(|it| it.id == Some(id))
    }

    fn adopt(&mut self, plan: &Arc<Plan>) {
        self.plan = Arc::clone(plan);
        self.rows.resize_with(plan.capacity(), Row::default);
        for (index, row) in self.rows.iter_mut().enumerate() {
            let id = plan.at(index);
            if row.id != id {
                *row = Row {
                    id,
                    ..Row::default()
                };
            }
        }
    }

    /// The orchestrator has entered another state.
    fn turn(&mut self, at: Time, run: u64, state: OrchestratorState) {
        match state {
            OrchestratorState::Created => {}
            OrchestratorState::Starting => {
                self.begin_run(at, run);
                self.truncated = false;
            }
            OrchestratorState::Running => end(&mut self.up, at),
            OrchestratorState::Stopping => {
                end(&mut self.up, at);
                self.begin_stop(at);
            }
            OrchestratorState::Stopped => end(&mut self.down, at),
        }
    }

    fn begin_run(&mut self, at: Time, run: u64) {
        self.run = run;
        self.down = None;
        self.up = (run > 0).then_some(Span {
            began: at,
            ended: None,
        });
        for row in &mut self.rows {
            row.worked = Nanos::ZERO;
            row.backed_off = Nanos::ZERO;
            row.down = None;
            row.up = (run > 0 && row.id.is_some()).then(|| Bar::beginning(at));
        }
    }

    fn begin_stop(&mut self, at: Time) {
        self.down = Some(Span {
            began: at,
            ended: None,
        });
        for row in &mut self.rows {
            row.begin_stop(at);
        }
    }
}

impl Bar {
    fn beginning(began: Time) -> Self {
        Self {
            began,
            ..Self::default()
        }
    }
}

impl Row {
    fn bar(&self, way: Way, now: Time) -> Option<Bar> {
        let mut bar = match way {
            Way::Up => self.up?,
            Way::Down => self.down?,
        };
        if bar.ended.is_none() {
            let lasting = now.since(self.since.max(bar.began));
            match self.state {
                ComponentState::Starting | ComponentState::Stopping => bar.add_work(lasting),
                ComponentState::BackingOff => bar.add_back_off(lasting),
                _ => {}
            }
            if let Some(since) = self.drains_since {
                bar.add_work(now.since(since.max(bar.began)));
            }
        }
        let whole = bar.ended.unwrap_or(now).since(bar.began);
        bar.waiting = whole
            .saturating_sub(bar.working)
            .saturating_sub(bar.backing_off);
        Some(bar)
    }

    /// The bar that time counts to.
    fn open(&mut self) -> Option<&mut Bar> {
        let bar = if self.down.is_some() {
            &mut self.down
        } else {
            &mut self.up
        };
        bar.as_mut().filter(|it| it.ended.is_none())
    }

    fn step(&mut self, at: Time, to: ComponentState) {
        let (from, since) = (self.state, self.since);
        (self.state, self.since) = (to, at);
        let lasted = at.since(since);
        match from {
            ComponentState::Starting | ComponentState::Stopping => {
                self.worked = self.worked.saturating_add(lasted);
            }
            ComponentState::BackingOff => {
                self.backed_off = self.backed_off.saturating_add(lasted);
            }
            _ => {}
        }
        self.time_move(at, from, to);
        if let Some(bar) = self.open() {
            let lasted = at.since(since.max(bar.began));
            match from {
                ComponentState::Starting | ComponentState::Stopping => bar.add_work(lasted),
                ComponentState::BackingOff => bar.add_back_off(lasted),
                _ => {}
            }
            if matches!(to, ComponentState::Starting | ComponentState::Stopping) {
                bar.attempts += 1;
                bar.worked_from.get_or_insert(at);
            }
            if is_at_rest(to) {
                bar.ended = Some(at);
            }
        }
    }

    /// How long it comes up, or goes down, whatever for.
    fn time_move(&mut self, at: Time, from: ComponentState, to: ComponentState) {
        if matches!(to, ComponentState::Starting | ComponentState::Stopping) {
            let turns = from != ComponentState::BackingOff;
            if turns || self.moves_since.is_none() {
                self.end_stop(at, from);
                self.moves_since = Some(at);
            }
            return;
        }
        if to == ComponentState::Running {
            self.last_start = self.moves_since.take().map(|it| at.since(it));
            return;
        }
        // A delay before the next start comes after a stop, and one before the next attempt does not.
        if to != ComponentState::BackingOff {
            self.end_stop(at, from);
            self.moves_since = None;
        }
    }

    fn end_stop(&mut self, at: Time, from: ComponentState) {
        if from == ComponentState::Stopping
            && let Some(began) = self.moves_since
        {
            self.last_stop = Some(at.since(began));
        }
    }

    fn drain(&mut self, at: Time, drains: bool) {
        let since = std::mem::replace(&mut self.drains_since, drains.then_some(at));
        if let (Some(since), Some(bar)) = (since, &mut self.down)
            && bar.ended.is_none()
        {
            bar.add_work(at.since(since.max(bar.began)));
        }
    }

    fn begin_stop(&mut self, at: Time) {
        if let Some(bar) = self.open() {
            bar.ended = Some(at);
        }
        let takes_part = match self.state {
            ComponentState::Running
            | ComponentState::Starting
            | ComponentState::Stopping
            | ComponentState::BackingOff => true,
            ComponentState::Created
            | ComponentState::Waiting
            | ComponentState::Stopped
            | ComponentState::Faulted => false,
        };
        self.down = (self.id.is_some() && takes_part).then(|| Bar::beginning(at));
    }

    /// What was missed is added as sums.
    fn catch_up(&mut self, row: &ComponentRow) {
        let worked = row.worked.saturating_sub(self.worked);
        let backed_off = row.backed_off.saturating_sub(self.backed_off);
        (self.worked, self.backed_off) = (row.worked, row.backed_off);
        let moved = (self.state, self.since) != (row.state, row.since);
        (self.state, self.since) = (row.state, row.since);
        if moved {
            self.moves_since = matches!(
                row.state,
                ComponentState::Starting | ComponentState::Stopping
            )
            .then_some(row.since);
        }
        let state = row.state;
        // While it still runs in a stop, its attempts are those of its start.
        let still_runs = self.down.is_some() && state == ComponentState::Running;
        if let Some(bar) = self.open() {
            bar.add_work(worked);
            bar.add_back_off(backed_off);
            if still_runs {
                return;
            }
            bar.attempts = bar.attempts.max(row.attempt);
            let spent = bar.working.saturating_add(bar.backing_off);
            let begun = row.attempt > 0 && !matches!(state, ComponentState::Waiting);
            if begun && bar.worked_from.is_none() && state != ComponentState::Created {
                let since_begin = row.since.since(bar.began).saturating_sub(spent);
                bar.worked_from = Some(bar.began + since_begin);
            }
            if is_at_rest(state) && row.since >= bar.began {
                bar.ended = Some(row.since);
            }
        }
    }
}

impl Bar {
    fn add_work(&mut self, time: Nanos) {
        self.working = self.working.saturating_add(time);
    }

    fn add_back_off(&mut self, time: Nanos) {
        self.backing_off = self.backing_off.saturating_add(time);
    }
}

fn begins_run(event: &Event, run: u64) -> bool {
    let EventKind::Orchestrator { to, .. } = &event.kind else {
        return false;
    };
    event.run == run && *to == OrchestratorState::Starting
}

fn is_at_rest(state: ComponentState) -> bool {
    matches!(
        state,
        ComponentState::Running | ComponentState::Stopped | ComponentState::Faulted
    )
}

fn end(span: &mut Option<Span>, at: Time) {
    if let Some(span) = span {
        span.ended.get_or_insert(at);
    }
}

/// What a component added to a path of which `whole` is its part.
fn step(component: ComponentId, bar: &Bar, whole: Nanos) -> Step {
    let backing_off = bar.backing_off.min(whole);
    let working = bar.working.min(whole.saturating_sub(backing_off));
    Step {
        component,
        waiting: whole.saturating_sub(backing_off).saturating_sub(working),
        working,
        backing_off,
    }
}
