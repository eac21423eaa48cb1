//! [`Troubles`]: which components do not run, kept up to date from the event stream.
//!
//! The status says how many are in which state, not which; asking for a snapshot at every probe would burden the driver.
//! A transition costs one change of a map here.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle_core::engine::{ComponentState, Event, EventKind, Snapshot};
use lifecycle_core::{ComponentId, Criticality, Failure, Plan};
use lifecycle_runtime::{Handle, Notice};

use crate::readiness::{Issue, Severity};

/// How long the follower rests before it looks at everything again, when it could not keep up.
const CATCH_UP_PAUSE: Duration = Duration::from_millis(250);

/// The components that do not run, optional ones left out.
#[derive(Default)]
pub(crate) struct Troubles(Mutex<Table>);

#[derive(Default)]
struct Table {
    plan: Option<Arc<Plan>>,
    rows: BTreeMap<ComponentId, Trouble>,
}

struct Trouble {
    state: ComponentState,
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
        let Some(plan) = &table.plan else {
            return (Vec::new(), 0);
        };
        let mut found: Vec<_> = table.rows.iter().collect();
        found.sort_by_key(|(id, it)| {
            let severity = severity(plan.criticality(**id));
            (severity, urgency(it.state), plan.rank(**id))
        });
        let omitted = found.len().saturating_sub(limit);
        let listed = found.into_iter().take(limit);
        let issues = listed.filter_map(|(id, it)| it.issue(plan, *id)).collect();
        (issues, omitted)
    }

    fn reset(&self, snapshot: &Snapshot) {
        let mut table = self.table();
        table.rows.clear();
        table.plan = Some(Arc::clone(&snapshot.plan));
        for id in snapshot.plan.ids() {
            let row = snapshot.component(id);
            table.put(id, row.state, row.failure.clone());
        }
    }

    fn apply(&self, event: &Event) {
        if let EventKind::Transition {
            key, to, failure, ..
        } = &event.kind
        {
            self.table().put(key.component, *to, failure.clone());
        }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn put(&mut self, id: ComponentId, state: ComponentState, failure: Option<Arc<Failure>>) {
        let criticality = self.plan.as_ref().map(|it| it.criticality(id));
        let matters = criticality.and_then(severity).is_some();
        if state == ComponentState::Running || !matters {
            self.rows.remove(&id);
            return;
        }
        self.rows.insert(id, Trouble { state, failure });
    }
}

impl Trouble {
    fn issue(&self, plan: &Plan, id: ComponentId) -> Option<Issue> {
        let severity = severity(plan.criticality(id))?;
        Some(Issue {
            severity,
            name: format!("{}:{}", plan.name(id), self.state.as_str()),
            message: self.failure.as_ref().map(ToString::to_string),
        })
    }
}

fn severity(criticality: Criticality) -> Option<Severity> {
    match criticality {
        Criticality::Essential => Some(Severity::Unavailable),
        Criticality::Degradable => Some(Severity::Degraded),
        Criticality::Optional => None,
    }
}

/// The rank of a state among those that do not run: what failed comes before what waits for it.
fn urgency(state: ComponentState) -> u8 {
    match state {
        ComponentState::Faulted => 0,
        ComponentState::BackingOff => 1,
        ComponentState::Starting => 2,
        ComponentState::Stopping => 3,
        ComponentState::Waiting => 4,
        ComponentState::Stopped => 5,
        ComponentState::Created => 6,
        ComponentState::Running => 7,
    }
}

impl fmt::Debug for Troubles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Troubles")
            .field("count", &self.table().rows.len())
            .finish_non_exhaustive()
    }
}
