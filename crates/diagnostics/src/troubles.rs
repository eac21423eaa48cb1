//! [`Troubles`]: which components are not well, kept up to date from the event stream.
//!
//! The status says how many are in which state, not which; asking for a snapshot at every probe would burden the driver.
//! A transition costs one change of a map here, and one for each component that goes on without the one that went. When the
//! plan or a gate has changed, everything is looked at anew.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle_core::engine::{ComponentState, Event, EventKind, Health, Snapshot};
use lifecycle_core::{ComponentId, Criticality, EdgeKind, Failure, GateId, Plan};
use lifecycle_runtime::{Handle, Notice, Subscription};

use crate::readiness::{Issue, Severity};

/// How long the follower rests before it looks at everything again.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(250);

/// The components that are not well, optional ones and those with a closed gate left out. Listing takes time by what is
/// listed, not by what there is.
#[derive(Default)]
pub(crate) struct Troubles(Mutex<Option<Table>>);

struct Table {
    plan: Arc<Plan>,
    /// Of every component, by [`ComponentId::index`].
    places: Vec<Place>,
    rows: BTreeMap<Order, ComponentId>,
}

/// What is known of one component.
#[derive(Default)]
struct Place {
    state: ComponentState,
    health: Health,
    is_gated: bool,
    /// How many of its dependencies, by edges that are not mere order, do not run.
    missing: usize,
    failure: Option<Arc<Failure>>,
    /// What is said about its health.
    detail: Option<Arc<str>>,
    /// Where it is listed, if it is.
    listed: Option<Order>,
}

/// What decides the order of listing: how much it matters, what is behind what, the rank in the plan.
type Order = (Severity, u8, usize);

/// What is wrong with a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// It does not run.
    Down(ComponentState),
    Unhealthy,
    /// It runs, and something is missing.
    Degraded,
}

impl Troubles {
    /// Follows the orchestrator for as long as it is polled.
    pub(crate) async fn follow(&self, handle: &Handle) {
        let mut gates = HashMap::new();
        loop {
            let mut events = handle.subscribe();
            let Ok(snapshot) = handle.snapshot().await else {
                return std::future::pending().await;
            };
            self.reset(&snapshot);
            if !self
                .keep_up(&mut events, snapshot.sequence, &mut gates)
                .await
            {
                return std::future::pending().await;
            }
            tokio::time::sleep(CATCH_UP_PAUSE).await;
        }
    }

    /// Takes in events later than `sequence` until everything must be looked at anew; `false` when there will be none.
    async fn keep_up(
        &self,
        events: &mut Subscription,
        sequence: u64,
        gates: &mut HashMap<GateId, bool>,
    ) -> bool {
        loop {
            match events.next().await {
                Some(Notice::Event(event)) => {
                    let is_news = event.sequence > sequence;
                    if changes_the_whole(&event.kind, gates) && is_news {
                        return true;
                    }
                    if is_news {
                        self.apply(&event);
                    }
                }
                Some(Notice::Missed(_)) => return true,
                None => return false,
            }
        }
    }

    /// At most `limit` issues, worst first, and how many more there are.
    pub(crate) fn issues(&self, limit: usize) -> (Vec<Issue>, usize) {
        let table = self.table();
        let Some(table) = &*table else {
            return (Vec::new(), 0);
        };
        let listed = table.rows.values().take(limit);
        let issues = listed.filter_map(|id| table.issue(*id));
        (issues.collect(), table.rows.len().saturating_sub(limit))
    }

    fn reset(&self, snapshot: &Snapshot) {
        *self.table() = Some(Table::of(snapshot));
    }

    fn apply(&self, event: &Event) {
        let mut table = self.table();
        let Some(table) = &mut *table else {
            return;
        };
        match &event.kind {
            EventKind::Transition {
                key, to, failure, ..
            } => table.enter(key.component, *to, failure.clone()),
            EventKind::HealthChanged {
                key, to, detail, ..
            } => table.feel(key.component, *to, detail.clone()),
            _ => {}
        }
    }

    fn table(&self) -> MutexGuard<'_, Option<Table>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether there are other components now, or others stand behind a closed gate.
fn changes_the_whole(kind: &EventKind, gates: &mut HashMap<GateId, bool>) -> bool {
    match kind {
        EventKind::Added { .. } | EventKind::Removed { .. } => true,
        // A lease that is renewed opens its gate again and again.
        EventKind::Gate { gate, open, .. } => gates.insert(*gate, *open) != Some(*open),
        _ => false,
    }
}

impl Table {
    fn of(snapshot: &Snapshot) -> Self {
        let plan = &snapshot.plan;
        let mut places = Vec::new();
        places.resize_with(plan.capacity(), Place::default);
        let mut table = Self {
            plan: Arc::clone(plan),
            places,
            rows: BTreeMap::new(),
        };
        for id in plan.ids() {
            let row = snapshot.component(id);
            table.places[id.index()] = Place {
                state: row.state,
                health: row.health,
                is_gated: row.gated,
                missing: 0,
                failure: row.failure.clone(),
                detail: row.degraded.clone(),
                listed: None,
            };
        }
        for id in plan.ids() {
            table.places[id.index()].missing = table.missing(id).count();
            table.list(id);
        }
        table
    }

    fn enter(&mut self, id: ComponentId, state: ComponentState, failure: Option<Arc<Failure>>) {
        let place = &mut self.places[id.index()];
        let before = mem::replace(&mut place.state, state);
        place.failure = failure;
        if state != ComponentState::Running {
            place.health = Health::default();
            place.detail = None;
        }
        self.list(id);
        let (was_up, is_up) = (is_up(before), is_up(state));
        if was_up != is_up && !self.places[id.index()].is_gated {
            self.tell_dependents(id, is_up);
        }
    }

    /// Whoever goes on without `id` lacks one more, or one less.
    fn tell_dependents(&mut self, id: ComponentId, is_up: bool) {
        let plan = Arc::clone(&self.plan);
        for edge in plan
            .dependents(id)
            .iter()
            .filter(|it| it.kind != EdgeKind::Order)
        {
            let missing = &mut self.places[edge.component.index()].missing;
            *missing = match is_up {
                true => missing.saturating_sub(1),
                false => *missing + 1,
            };
            self.list(edge.component);
        }
    }

    fn feel(&mut self, id: ComponentId, health: Health, detail: Option<Arc<str>>) {
        let place = &mut self.places[id.index()];
        place.health = health;
        place.detail = detail;
        self.list(id);
    }

    /// Puts `id` where it belongs, or nowhere.
    fn list(&mut self, id: ComponentId) {
        let order = self.order(id);
        let before = mem::replace(&mut self.places[id.index()].listed, order);
        if let Some(before) = before {
            self.rows.remove(&before);
        }
        if let Some(order) = order {
            self.rows.insert(order, id);
        }
    }

    fn order(&self, id: ComponentId) -> Option<Order> {
        let condition = self.places[id.index()].condition()?;
        let severity = self.severity(id, condition)?;
        Some((severity, condition.urgency(), self.plan.rank(id)))
    }

    /// How much `condition` matters; `None` for an optional component.
    fn severity(&self, id: ComponentId, condition: Condition) -> Option<Severity> {
        match self.plan.criticality(id) {
            Criticality::Essential if condition == Condition::Degraded => Some(Severity::Degraded),
            Criticality::Essential => Some(Severity::Unavailable),
            Criticality::Degradable => Some(Severity::Degraded),
            Criticality::Optional => None,
        }
    }

    fn issue(&self, id: ComponentId) -> Option<Issue> {
        let condition = self.places[id.index()].condition()?;
        Some(Issue {
            severity: self.severity(id, condition)?,
            name: format!("{}:{}", self.plan.name(id), condition.as_str()),
            message: self.message(id, condition),
        })
    }

    fn message(&self, id: ComponentId, condition: Condition) -> Option<String> {
        let place = &self.places[id.index()];
        let said = place.detail.as_deref();
        match condition {
            Condition::Down(_) => place.failure.as_ref().map(ToString::to_string),
            Condition::Unhealthy => said.map(str::to_owned),
            Condition::Degraded => {
                let missing: Vec<&str> = self
                    .missing(id)
                    .map(|it| self.plan.name(it).as_str())
                    .collect();
                let without = format!("goes on without {}", missing.join(", "));
                match (said, missing.is_empty()) {
                    (Some(said), true) => Some(said.to_owned()),
                    (Some(said), false) => Some(format!("{said}; {without}")),
                    (None, true) => None,
                    (None, false) => Some(without),
                }
            }
        }
    }

    /// What `id` needs or wants and does not have; what stands behind a closed gate is not expected.
    fn missing(&self, id: ComponentId) -> impl Iterator<Item = ComponentId> {
        let edges = self.plan.dependencies(id).iter();
        let felt = edges.filter(|it| it.kind != EdgeKind::Order);
        felt.map(|it| it.component).filter(|it| {
            let place = &self.places[it.index()];
            !is_up(place.state) && !place.is_gated
        })
    }
}

fn is_up(state: ComponentState) -> bool {
    state == ComponentState::Running
}

impl Place {
    fn condition(&self) -> Option<Condition> {
        match (self.state, self.health) {
            _ if self.is_gated => None,
            (ComponentState::Running, Health::Unhealthy) => Some(Condition::Unhealthy),
            (ComponentState::Running, Health::Degraded) => Some(Condition::Degraded),
            (ComponentState::Running, Health::Healthy) => {
                (self.missing > 0).then_some(Condition::Degraded)
            }
            (state, _) => Some(Condition::Down(state)),
        }
    }
}

impl Condition {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Down(state) => state.as_str(),
            Self::Unhealthy => Health::Unhealthy.as_str(),
            Self::Degraded => Health::Degraded.as_str(),
        }
    }

    /// The place among the others: what failed comes before what waits for it.
    const fn urgency(self) -> u8 {
        match self {
            Self::Down(ComponentState::Faulted) => 0,
            Self::Unhealthy => 1,
            Self::Down(ComponentState::BackingOff) => 2,
            Self::Down(ComponentState::Starting) => 3,
            Self::Down(ComponentState::Stopping) => 4,
            Self::Down(ComponentState::Waiting) => 5,
            Self::Down(ComponentState::Stopped) => 6,
            Self::Down(ComponentState::Created) => 7,
            Self::Degraded | Self::Down(ComponentState::Running) => 8,
        }
    }
}

impl fmt::Debug for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Troubles")
            .field("count", &self.table().as_ref().map(|it| it.rows.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lifecycle_core::engine::Engine;
    use lifecycle_core::{Defaults, Gate, Nanos, Registration, Retry, Time, component};

    /// Troubles of a plan that is moved by hand.
    struct Stage {
        troubles: Troubles,
        plan: Arc<Plan>,
    }

    impl Stage {
        fn of(registrations: Vec<Registration>) -> Self {
            let compiled = Plan::compile(registrations, Defaults::default());
            let plan = compiled.expect("a plan").plan;
            let troubles = Troubles::default();
            troubles.reset(&Engine::new(Arc::clone(&plan)).snapshot(Time::ZERO));
            Self { troubles, plan }
        }

        fn with<T>(&self, act: impl FnOnce(&mut Table, ComponentId) -> T, name: &str) -> T {
            let id = self.plan.find(name).expect("it is registered");
            act(self.troubles.table().as_mut().expect("a table"), id)
        }

        fn enter(&self, name: &str, state: ComponentState) {
            self.with(|table, id| table.enter(id, state, None), name);
        }

        fn feel(&self, name: &str, health: Health, detail: &str) {
            self.with(
                |table, id| table.feel(id, health, Some(detail.into())),
                name,
            );
        }

        fn all_run(&self) {
            let names = self.plan.ids().map(|id| self.plan.name(id).as_str());
            names.for_each(|it| self.enter(it, ComponentState::Running));
        }

        fn issues(&self) -> Vec<Issue> {
            self.troubles.issues(9).0
        }

        fn names(&self) -> Vec<String> {
            self.issues().into_iter().map(|it| it.name).collect()
        }
    }

    fn named(name: &str, criticality: Criticality) -> Registration {
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        Registration::new(name, idle).criticality(criticality)
    }

    fn essential(name: &str) -> Registration {
        named(name, Criticality::Essential)
    }

    #[test]
    fn the_worst_is_listed_first_what_runs_is_not_and_the_rest_is_counted() {
        let stage = Stage::of(vec![
            named("cache", Criticality::Degradable),
            essential("pool"),
            named("extra", Criticality::Optional),
            essential("worker"),
        ]);
        assert_eq!(Troubles::default().issues(9), (vec![], 0));
        stage.enter("worker", ComponentState::Faulted);
        let (issues, omitted) = stage.troubles.issues(2);
        let names: Vec<_> = issues.iter().map(|it| it.name.as_str()).collect();
        assert_eq!(
            (names, omitted),
            (vec!["worker:faulted", "pool:created"], 1)
        );
        stage.enter("worker", ComponentState::Running);
        stage.enter("pool", ComponentState::Running);
        stage.enter("extra", ComponentState::Faulted);
        assert_eq!(stage.names(), ["cache:created"]);
    }

    #[test]
    fn what_goes_on_without_another_is_degraded_after_what_is_behind_it() {
        let stage = Stage::of(vec![
            essential("listener").tolerates(["gossip"]).wants(["cache"]),
            named("gossip", Criticality::Degradable),
            named("cache", Criticality::Degradable),
        ]);
        stage.all_run();
        assert!(stage.issues().is_empty());
        stage.enter("gossip", ComponentState::BackingOff);
        assert_eq!(stage.names(), ["gossip:backing-off", "listener:degraded"]);
        stage.enter("gossip", ComponentState::Starting);
        stage.enter("cache", ComponentState::Faulted);
        let issues = stage.issues();
        assert!(issues.iter().all(|it| it.severity == Severity::Degraded));
        let message = issues[2].message.as_deref();
        assert_eq!(message, Some("goes on without gossip, cache"));
        stage.all_run();
        assert!(stage.issues().is_empty());
    }

    #[test]
    fn an_unhealthy_essential_component_makes_unready_and_a_degraded_one_does_not() {
        let stage = Stage::of(vec![
            essential("pool"),
            named("cache", Criticality::Degradable),
        ]);
        stage.all_run();
        stage.feel("pool", Health::Unhealthy, "no connection");
        stage.feel("cache", Health::Unhealthy, "slow");
        let issues = stage.issues();
        assert_eq!(
            issues[0],
            Issue::unavailable("pool:unhealthy").with_message("no connection")
        );
        assert_eq!(
            issues[1],
            Issue::degraded("cache:unhealthy").with_message("slow")
        );
        stage.feel("pool", Health::Degraded, "no cache");
        let degraded = Issue::degraded("pool:degraded").with_message("no cache");
        assert_eq!(stage.issues()[1], degraded);
        // What went down says nothing of its health any more.
        stage.enter("pool", ComponentState::Stopping);
        stage.enter("pool", ComponentState::Running);
        assert_eq!(stage.names(), ["cache:unhealthy"]);
    }

    #[test]
    fn what_stands_behind_a_closed_gate_is_no_trouble_and_is_missed_by_nobody() {
        let short = Nanos::from_millis(1);
        let gated = essential("issuer")
            .stop_retry(Retry::none().with_attempt_timeout(short))
            .dispose_timeout(short)
            .abort_grace(short)
            .gated_by(Gate::new("leader", Nanos::from_secs(1)));
        let stage = Stage::of(vec![gated, essential("api").wants(["issuer"])]);
        stage.enter("api", ComponentState::Running);
        stage.enter("issuer", ComponentState::Waiting);
        assert!(stage.issues().is_empty(), "{:?}", stage.issues());
    }

    #[test]
    fn a_gate_that_is_opened_again_changes_nothing_and_a_new_component_does() {
        let stage = Stage::of(vec![
            essential("issuer").gated_by(Gate::new("leader", Nanos::from_secs(999))),
        ]);
        let gate = stage.plan.find_gate("leader").expect("a gate");
        let mut gates = HashMap::new();
        let mut told = |open| {
            let kind = EventKind::Gate {
                gate,
                open,
                until: None,
            };
            changes_the_whole(&kind, &mut gates)
        };
        assert_eq!(
            [true, true, false, false].map(&mut told),
            [true, false, true, false]
        );
        let added = EventKind::Added {
            component: stage.plan.find("issuer").expect("it is there"),
            name: stage.plan.name(stage.plan.find("issuer").unwrap()).clone(),
        };
        assert!(changes_the_whole(&added, &mut gates));
    }
}
