//! [`Why`]: why each component is in the state that it is in, and which other one is behind it.
//!
//! Every component that is not well has at most one *other behind it*: the dependency that it waits for, the dependent that
//! must be down first, the one whose loss took it along. Following these leads to a root cause, and backwards from a root to
//! its victims. Where several are waited for, the one that is chosen is that whose own root is worst: what has failed for good
//! before what is on its way.

mod predicate;

use crate::plan::ComponentId;
use crate::registration::EdgeKind;

use super::snapshot::{ComponentRow, Snapshot};
use super::state::{ComponentState, DrainState, Health, OrchestratorState};

/// How many components a sentence names one after the other before it leaves out those in between.
const SPELLED: usize = 4;

/// Where the reason for a component's state lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nothing is wrong with it.
    Well,
    /// With itself.
    Own,
    /// With another one.
    Behind(ComponentId),
}

/// Explains every component of one snapshot.
///
/// Making it takes time linear in components and edges; a sentence then takes time by the length of its chain.
///
/// ```
/// use lifecycle_core::engine::{Engine, Why};
/// use lifecycle_core::{component, Defaults, Plan, Registration, Time};
///
/// let pool = component::from_fn(async |_| Ok(()), async |_| Ok(()));
/// let compiled = Plan::compile(vec![Registration::new("pool", pool)], Defaults::default())?;
/// let pool = compiled.plan.find("pool").expect("it is registered");
/// let snapshot = Engine::new(compiled.plan).snapshot(Time::ZERO);
/// assert_eq!(Why::of(&snapshot).sentence(pool), "pool was never started");
/// # Ok::<(), lifecycle_core::BuildError>(())
/// ```
#[derive(Debug)]
pub struct Why<'a> {
    snapshot: &'a Snapshot,
    /// By [`ComponentId::index`].
    standings: Vec<Standing>,
    /// How bad the root behind each is; the smallest is the worst.
    urgencies: Vec<u8>,
    /// The participant that a drain waits for, the last to drain.
    draining: Option<ComponentId>,
}

impl<'a> Why<'a> {
    /// Looks at all of `snapshot`.
    #[must_use]
    pub fn of(snapshot: &'a Snapshot) -> Self {
        let capacity = snapshot.plan.capacity();
        let order = snapshot.plan.order();
        let drains = |id: &&ComponentId| snapshot.component(**id).drain == DrainState::Draining;
        let mut why = Self {
            snapshot,
            standings: vec![Standing::Well; capacity],
            urgencies: vec![u8::MAX; capacity],
            draining: order.iter().rev().find(drains).copied(),
        };
        // Who waits on the way up is behind what comes before it in the order, and on the way down behind what comes after.
        order.iter().for_each(|id| why.judge(*id));
        let descends = |id: &&ComponentId| why.snapshot.component(**id).leaving;
        let descending: Vec<ComponentId> = order.iter().rev().filter(descends).copied().collect();
        descending.into_iter().for_each(|id| why.judge(id));
        why.cut_circles();
        why
    }

    /// One sentence that begins with the name of `id`, and leads to the root cause. Without a period.
    #[must_use]
    pub fn sentence(&self, id: ComponentId) -> String {
        let chain = self.chain(id);
        let name = self.snapshot.name(id);
        let mut sentence = format!("{name} {}", self.predicate(id));
        let left_out = chain.len().saturating_sub(SPELLED + 1);
        let spelled = if left_out > 0 { SPELLED } else { chain.len() };
        for link in &chain[1..spelled] {
            sentence.push_str(", which ");
            sentence.push_str(&self.predicate(*link));
        }
        if let (Some(root), 1..) = (chain.last(), left_out) {
            let name = self.snapshot.name(*root);
            let predicate = self.predicate(*root);
            sentence.push_str(&format!(
                ", and so on over {left_out} more to {name}, which {predicate}"
            ));
        }
        // Only who waits to be stopped has named it.
        let blocker = self.worst(&self.blockers(id));
        let blocker = blocker.filter(|_| self.row(id).leaving && chain.len() == 1);
        if let Some(blocker) = blocker {
            sentence.push_str(", which ");
            sentence.push_str(&self.predicate(blocker));
        }
        let others = self.also_awaited(id);
        if !others.is_empty() {
            sentence.push_str("; it waits for ");
            sentence.push_str(&self.listed(&others));
            sentence.push_str(" too");
        }
        sentence
    }

    /// What is said of `id` alone: its name, its state in words, and the one that is behind it, if any. Without a period.
    #[must_use]
    pub fn link(&self, id: ComponentId) -> String {
        format!("{} {}", self.snapshot.name(id), self.predicate(id))
    }

    /// The component that is directly behind the state of `id`, if it is another one.
    #[must_use]
    pub fn behind(&self, id: ComponentId) -> Option<ComponentId> {
        match self.standings[id.index()] {
            Standing::Behind(other) => Some(other),
            Standing::Well | Standing::Own => None,
        }
    }

    /// The component at the root of the state of `id`, which may be itself; `None` when nothing is wrong with it.
    #[must_use]
    pub fn root(&self, id: ComponentId) -> Option<ComponentId> {
        match self.standings[id.index()] {
            Standing::Well => None,
            Standing::Own => Some(id),
            Standing::Behind(_) => self.chain(id).last().copied(),
        }
    }

    /// `id`, what is behind it, what is behind that, down to the root.
    #[must_use]
    pub fn chain(&self, id: ComponentId) -> Vec<ComponentId> {
        let next = |it: &ComponentId| self.behind(*it);
        std::iter::successors(Some(id), next).collect()
    }

    /// Who is down, waits, or goes on without something because of `id`, directly or not; in plan order.
    #[must_use]
    pub fn victims(&self, id: ComponentId) -> Vec<ComponentId> {
        let plan = &self.snapshot.plan;
        let mut known: Vec<Option<bool>> = vec![None; plan.capacity()];
        known[id.index()] = Some(true);
        for &start in plan.order() {
            let mut path = Vec::new();
            let mut next = Some(start);
            let mut is_victim = false;
            while let Some(it) = next {
                if let Some(answer) = known[it.index()] {
                    is_victim = answer;
                    break;
                }
                path.push(it);
                next = self.behind(it);
            }
            path.iter()
                .for_each(|it| known[it.index()] = Some(is_victim));
        }
        let victims = plan.order().iter().copied();
        victims
            .filter(|it| *it != id && known[it.index()] == Some(true))
            .collect()
    }

    fn row(&self, id: ComponentId) -> &'a ComponentRow {
        self.snapshot.component(id)
    }

    fn judge(&mut self, id: ComponentId) {
        let standing = self.standing(id);
        self.standings[id.index()] = standing;
        self.urgencies[id.index()] = match standing {
            Standing::Behind(other) => self.urgencies[other.index()].min(urgency(self.row(id))),
            Standing::Well | Standing::Own => urgency(self.row(id)),
        };
    }

    fn standing(&self, id: ComponentId) -> Standing {
        let row = self.row(id);
        match row.state {
            ComponentState::Created => Standing::Well,
            ComponentState::Waiting if row.gate_closed => Standing::Own,
            ComponentState::Waiting => self.behind_worst(&self.unmet(id)),
            ComponentState::Starting if row.leaving => self.behind_cause(id),
            ComponentState::Starting => Standing::Own,
            ComponentState::BackingOff => match row.cause {
                Some(cause) if !is_up(self.row(cause)) => self.behind_cause(id),
                Some(_) | None => Standing::Own,
            },
            ComponentState::Running => self.standing_of_running(id),
            ComponentState::Stopping | ComponentState::Faulted => self.behind_cause(id),
            ComponentState::Stopped if row.held => Standing::Own,
            ComponentState::Stopped if row.cause.is_some() => self.behind_cause(id),
            ComponentState::Stopped if self.snapshot.state == OrchestratorState::Running => {
                Standing::Own
            }
            ComponentState::Stopped => Standing::Well,
        }
    }

    fn standing_of_running(&self, id: ComponentId) -> Standing {
        let row = self.row(id);
        if self.is_ordered_down(row) {
            return Standing::Own;
        }
        if row.leaving {
            return self.behind_worst(&self.blockers(id));
        }
        let drains_now = matches!(row.drain, DrainState::Draining | DrainState::Failed);
        if row.health == Health::Unhealthy || drains_now {
            return Standing::Own;
        }
        if self.snapshot.state == OrchestratorState::Stopping {
            return self.draining.map_or(Standing::Own, Standing::Behind);
        }
        match self.lacking(id).as_slice() {
            [] if row.health == Health::Degraded => Standing::Own,
            [] => Standing::Well,
            lacking => self.behind_worst(lacking),
        }
    }

    /// Whether it goes down for itself, and takes others along: those that it waits for name it in turn.
    fn is_ordered_down(&self, row: &ComponentRow) -> bool {
        let whole = self.snapshot.state == OrchestratorState::Stopping;
        row.leaving && row.cause.is_none() && !whole
    }

    /// What `id`, which shall stop, waits for.
    fn blockers(&self, id: ComponentId) -> Vec<ComponentId> {
        let awaited = self.snapshot.awaited(id).into_iter();
        awaited.map(|it| it.component).collect()
    }

    fn worst(&self, others: &[ComponentId]) -> Option<ComponentId> {
        let worst = others.iter().min_by_key(|it| self.urgencies[it.index()]);
        worst.copied()
    }

    /// What keeps `id`, which shall start, from starting: hard dependencies first.
    fn unmet(&self, id: ComponentId) -> Vec<ComponentId> {
        let mut edges: Vec<_> = self.snapshot.plan.dependencies(id).iter().collect();
        edges.retain(|it| {
            let row = self.row(it.component);
            !is_up(row) && (it.kind == EdgeKind::Hard || !row.passed)
        });
        edges.sort_by_key(|it| it.kind != EdgeKind::Hard);
        edges.into_iter().map(|it| it.component).collect()
    }

    /// What `id`, which runs, goes on without; but for what stands behind a closed gate, which nobody expects.
    fn lacking(&self, id: ComponentId) -> Vec<ComponentId> {
        let missing = self.snapshot.missing(id);
        missing.filter(|it| !self.row(*it).gated).collect()
    }

    fn behind_worst(&self, others: &[ComponentId]) -> Standing {
        self.worst(others).map_or(Standing::Own, Standing::Behind)
    }

    /// Behind the component that the engine names as the cause; by the dependency that it came over, where there is one
    /// that does not wait for `id` in turn.
    fn behind_cause(&self, id: ComponentId) -> Standing {
        let Some(cause) = self.row(id).cause.filter(|it| *it != id) else {
            return Standing::Own;
        };
        let edges = self.snapshot.plan.dependencies(id).iter();
        let hard = edges.filter(|it| it.kind == EdgeKind::Hard);
        let way = |it: &ComponentId| {
            let row = self.row(*it);
            let waits_itself = row.state == ComponentState::Running && row.leaving;
            *it == cause || (row.cause == Some(cause) && !waits_itself)
        };
        let mut ways = hard.map(|it| it.component).filter(way);
        Standing::Behind(ways.next().unwrap_or(cause))
    }

    /// What `id` waits for besides the one that is named.
    fn also_awaited(&self, id: ComponentId) -> Vec<ComponentId> {
        let row = self.row(id);
        let awaited = match row.state {
            ComponentState::Waiting if !row.gate_closed => self.unmet(id),
            _ => Vec::new(),
        };
        let named = self.behind(id);
        awaited
            .into_iter()
            .filter(|it| Some(*it) != named)
            .collect()
    }

    /// Two causes that name each other explain nothing: whoever closes the circle is its root.
    fn cut_circles(&mut self) {
        let mut visited = vec![0_usize; self.standings.len()];
        let order = self.snapshot.plan.order();
        for (walk, &start) in order.iter().enumerate() {
            let walk = walk + 1;
            let mut current = start;
            while visited[current.index()] == 0 {
                visited[current.index()] = walk;
                let Some(next) = self.behind(current) else {
                    break;
                };
                if visited[next.index()] == walk {
                    self.standings[current.index()] = Standing::Own;
                    break;
                }
                current = next;
            }
        }
    }
}

/// Whether it can be had: it runs, and is not about to go down.
fn is_up(row: &ComponentRow) -> bool {
    row.state == ComponentState::Running && !row.leaving
}

/// Where `row` comes among those that something waits for: what will not come by itself first.
fn urgency(row: &ComponentRow) -> u8 {
    match row.state {
        ComponentState::Faulted => 0,
        ComponentState::Stopped => 1,
        ComponentState::Waiting if row.gate_closed => 2,
        ComponentState::BackingOff => 3,
        ComponentState::Stopping => 4,
        ComponentState::Starting => 5,
        ComponentState::Waiting => 6,
        ComponentState::Created => 7,
        ComponentState::Running => 8,
    }
}
