//! [`Troubles`]: which components do not run, kept up to date from the event stream.
//!
//! The status says how many are in which state, not which; asking for a snapshot at every probe would burden the driver.
//! A transition costs one change of a map here.

use std::collections::BTreeMap;
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle_core::engine::{ComponentState, Event, EventKind, Snapshot};
use lifecycle_core::{ComponentId, Criticality, Failure, Plan};
use lifecycle_runtime::{Handle, Notice};

use crate::readiness::{Issue, Severity};

/// How long the follower rests before it looks at everything again, when it could not keep up.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(250);

/// The components that do not run, optional ones left out. Listing takes time by what is listed, not by what there is.
#[derive(Default)]
pub(crate) struct Troubles(Mutex<Option<Table>>);

struct Table {
    plan: Arc<Plan>,
    /// Of every component, by [`ComponentId::index`].
    states: Vec<ComponentState>,
    rows: BTreeMap<Order, Trouble>,
}

/// What decides the order of listing: how much it matters, what is behind what, the rank in the plan.
type Order = (Severity, u8, usize);

struct Trouble {
    component: ComponentId,
    failure: Option<Arc<Failure>>,
}

impl Troubles {
    /// Follows the orchestrator for as long as it is polled.
    pub(crate) async fn follow(&self, handle: &Handle) {
        loop {
            let mut events = handle.subscribe();
            let Ok(snapshot) = handle.snapshot().await else {
                return std::future::pending().await;
            };
            self.reset(&snapshot);
            loop {
                match events.next().await {
                    Some(Notice::Event(event)) if event.sequence <= snapshot.sequence => {}
                    Some(Notice::Event(event)) => self.apply(&event),
                    Some(Notice::Missed(_)) => break,
                    None => return std::future::pending().await,
                }
            }
            tokio::time::sleep(CATCH_UP_PAUSE).await;
        }
    }

    /// At most `limit` issues, worst first, and how many more there are.
    pub(crate) fn issues(&self, limit: usize) -> (Vec<Issue>, usize) {
        let table = self.table();
        let Some(table) = &*table else {
            return (Vec::new(), 0);
        };
        let listed = table.rows.iter().take(limit);
        let issues = listed.map(|((severity, ..), it)| table.issue(*severity, it));
        (issues.collect(), table.rows.len().saturating_sub(limit))
    }

    fn reset(&self, snapshot: &Snapshot) {
        let plan = &snapshot.plan;
        let mut table = Table {
            plan: Arc::clone(plan),
            states: vec![ComponentState::Running; plan.len()],
            rows: BTreeMap::new(),
        };
        for id in plan.ids() {
            let row = snapshot.component(id);
            table.put(id, row.state, row.failure.clone());
        }
        *self.table() = Some(table);
    }

    fn apply(&self, event: &Event) {
        if let EventKind::Transition {
            key, to, failure, ..
        } = &event.kind
            && let Some(table) = &mut *self.table()
        {
            table.put(key.component, *to, failure.clone());
        }
    }

    fn table(&self) -> MutexGuard<'_, Option<Table>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn put(&mut self, id: ComponentId, state: ComponentState, failure: Option<Arc<Failure>>) {
        let before = mem::replace(&mut self.states[id.index()], state);
        if let Some(order) = self.order(id, before) {
            self.rows.remove(&order);
        }
        if let Some(order) = self.order(id, state) {
            let component = id;
            self.rows.insert(order, Trouble { component, failure });
        }
    }

    /// Where `id` is listed while it is in `state`, if it is.
    fn order(&self, id: ComponentId, state: ComponentState) -> Option<Order> {
        let severity = severity(self.plan.criticality(id))?;
        Some((severity, urgency(state)?, self.plan.rank(id)))
    }

    fn issue(&self, severity: Severity, trouble: &Trouble) -> Issue {
        let name = self.plan.name(trouble.component);
        let state = self.states[trouble.component.index()].as_str();
        Issue {
            severity,
            name: format!("{name}:{state}"),
            message: trouble.failure.as_ref().map(ToString::to_string),
        }
    }
}

fn severity(criticality: Criticality) -> Option<Severity> {
    match criticality {
        Criticality::Essential => Some(Severity::Unavailable),
        Criticality::Degradable => Some(Severity::Degraded),
        Criticality::Optional => None,
    }
}

/// The place of a state among those that do not run: what failed comes before what waits for it.
fn urgency(state: ComponentState) -> Option<u8> {
    match state {
        ComponentState::Faulted => Some(0),
        ComponentState::BackingOff => Some(1),
        ComponentState::Starting => Some(2),
        ComponentState::Stopping => Some(3),
        ComponentState::Waiting => Some(4),
        ComponentState::Stopped => Some(5),
        ComponentState::Created => Some(6),
        ComponentState::Running => None,
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
    use lifecycle_core::{Defaults, Registration, Time, component};

    fn names(troubles: &Troubles, limit: usize) -> (Vec<String>, usize) {
        let (issues, omitted) = troubles.issues(limit);
        (issues.into_iter().map(|it| it.name).collect(), omitted)
    }

    #[test]
    fn the_worst_is_listed_first_what_runs_is_not_and_the_rest_is_counted() {
        let named = |name, criticality| {
            let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
            Registration::new(name, idle).criticality(criticality)
        };
        let registrations = vec![
            named("cache", Criticality::Degradable),
            named("pool", Criticality::Essential),
            named("extra", Criticality::Optional),
            named("worker", Criticality::Essential),
        ];
        let plan = Plan::compile(registrations, Defaults::default())
            .unwrap()
            .plan;
        let troubles = Troubles::default();
        assert_eq!(names(&troubles, 9), (vec![], 0));
        troubles.reset(&Engine::new(Arc::clone(&plan)).snapshot(Time::ZERO));
        let put = |name, state| {
            let id = plan.find(name).unwrap();
            troubles.table().as_mut().unwrap().put(id, state, None);
        };
        put("worker", ComponentState::Faulted);
        assert_eq!(
            names(&troubles, 2),
            (vec!["worker:faulted".into(), "pool:created".into()], 1)
        );
        put("worker", ComponentState::Running);
        put("pool", ComponentState::Running);
        put("extra", ComponentState::Faulted);
        assert_eq!(names(&troubles, 2), (vec!["cache:created".into()], 0));
    }
}
