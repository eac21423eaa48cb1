//! [`Spread`]: whether whoever goes down with another depends on it by edges that say so.

use std::collections::HashSet;

use lifecycle_core::engine::{ComponentState as State, Event, EventKind, Reason};
use lifecycle_core::{ComponentId, Edge, EdgeKind, Plan};

/// Looks at one plan.
#[derive(Debug, Default)]
pub(crate) struct Spread {
    /// Components that went down with another.
    pub(crate) taken_down: u64,
}

impl Spread {
    /// What is wrong with an event while the whole runs, if anything.
    pub(crate) fn check(&mut self, plan: &Plan, event: &Event) -> Option<String> {
        let EventKind::Transition { key, from, to, .. } = &event.kind else {
            return None;
        };
        let id = key.component;
        let by: fn(&Edge) -> bool = match (from, to) {
            // It stays down, since it could not be started again: for that it needs whatever it tolerates the loss of, too.
            (State::Running, State::Faulted) => is_hard,
            (State::Running, it) if *it != State::Running => Edge::takes_down,
            (_, State::Faulted) if event.reason == Reason::DependencyFailed => is_hard,
            _ => return None,
        };
        let its_own = matches!(
            event.reason,
            Reason::Lost
                | Reason::Completed
                | Reason::Unhealthy
                | Reason::OperatorRestart
                | Reason::OperatorStop
        );
        match event.cause.filter(|it| *it != id) {
            None if its_own => None,
            None => Some(format!(
                "\"{}\" went from {} to {} ({}) without a cause",
                plan.name(id),
                from.as_str(),
                to.as_str(),
                event.reason.as_str()
            )),
            Some(cause) => {
                self.taken_down += 1;
                (!is_below(plan, id, cause, by)).then(|| {
                    format!(
                        "\"{}\" went from {} to {} because of \"{}\", and no edge leads there",
                        plan.name(id),
                        from.as_str(),
                        to.as_str(),
                        plan.name(cause)
                    )
                })
            }
        }
    }
}

fn is_hard(edge: &Edge) -> bool {
    edge.kind == EdgeKind::Hard
}

/// Whether edges of a kind lead from `id` to `cause`.
fn is_below(plan: &Plan, id: ComponentId, cause: ComponentId, by: fn(&Edge) -> bool) -> bool {
    let (mut open, mut seen) = (vec![id], HashSet::new());
    while let Some(id) = open.pop() {
        let edges = plan.dependencies(id).iter().filter(|it| by(it));
        for edge in edges {
            if edge.component == cause {
                return true;
            }
            if seen.insert(edge.component) {
                open.push(edge.component);
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use lifecycle_core::engine::AttemptKey;
    use lifecycle_core::{Defaults, Nanos, Registration, Time, component};

    use super::*;

    fn plan() -> std::sync::Arc<Plan> {
        let part = |name| {
            let nothing = component::from_fn(async |_| Ok(()), async |_| Ok(()));
            Registration::new(name, nothing)
        };
        let registrations = vec![
            part("db"),
            part("api").depends_on(["db"]),
            part("page").depends_on(["api"]),
            part("cache").tolerates(["db"]),
            part("mail"),
        ];
        let compiled = Plan::compile(registrations, Defaults::default());
        compiled.expect("a graph without faults").plan
    }

    /// Whether it may go down for this reason, with that cause.
    fn may_fall(name: &str, reason: Reason, cause: Option<&str>) -> bool {
        let plan = plan();
        let find = |name: &str| plan.find(name).expect("it is registered");
        let event = Event {
            run: 1,
            sequence: 1,
            at: Time::ZERO,
            reason,
            cause: cause.map(find),
            kind: EventKind::Transition {
                key: AttemptKey {
                    component: find(name),
                    generation: 1,
                    attempt: 1,
                },
                from: State::Running,
                to: State::Stopping,
                lasted: Nanos::ZERO,
                failure: None,
            },
        };
        Spread::default().check(&plan, &event).is_none()
    }

    #[test]
    fn only_what_depends_on_a_cause_by_edges_that_say_so_goes_down_with_it() {
        assert!(may_fall("db", Reason::Lost, None));
        assert!(may_fall("api", Reason::DependencyLost, Some("db")));
        assert!(may_fall("page", Reason::DependencyLost, Some("db")));
        assert!(!may_fall("cache", Reason::DependencyLost, Some("db")));
        assert!(!may_fall("mail", Reason::DependencyLost, Some("db")));
        assert!(!may_fall("db", Reason::DependencyLost, Some("api")));
        assert!(!may_fall("mail", Reason::DependencyLost, None));
    }
}
