//! One event as a document.

use std::sync::Arc;

use lifecycle_core::engine::{Event, EventKind, Verdict};
use lifecycle_core::{ComponentId, Failure, Plan};
use lifecycle_runtime::{Clock, Handle};
use serde::Serialize;

use crate::snapshot::{LastError, last_error, millis, timestamp};

/// What components are called, by the plan of the moment.
#[derive(Debug)]
pub struct Names {
    handle: Handle,
    plan: Option<Arc<Plan>>,
}

impl Names {
    /// The names in the orchestrator of `handle`.
    #[must_use]
    pub fn new(handle: Handle) -> Self {
        let plan = handle.plan();
        Self { handle, plan }
    }

    /// Looks at the plan anew. That happens by itself for a component that is not known yet.
    pub fn renew(&mut self) {
        self.plan = self.handle.plan();
    }

    /// `None` for one that is not there any more.
    fn of(&mut self, id: ComponentId) -> Option<String> {
        self.known(id).or_else(|| {
            self.renew();
            self.known(id)
        })
    }

    fn known(&self, id: ComponentId) -> Option<String> {
        let plan = self.plan.as_ref().filter(|it| it.contains(id))?;
        Some(plan.name(id).to_string())
    }
}

/// One event in words, as every surface tells it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change<'a> {
    /// Its number.
    pub sequence: u64,
    /// When it happened, as RFC 3339.
    pub at: String,
    /// In which run, counted from 1.
    pub run: u64,
    /// What kind of event it is.
    pub kind: &'static str,
    /// Null for the orchestrator and the node.
    pub component: Option<String>,
    /// The state that is left, where there is one.
    pub from: Option<&'static str>,
    /// The state that is entered, where there is one.
    pub to: Option<&'static str>,
    /// Why.
    pub reason: &'static str,
    /// The component at the root of it.
    pub cause: Option<String>,
    /// The incarnation of the component.
    pub generation: Option<u32>,
    /// The attempt.
    pub attempt: Option<u32>,
    /// The failure, where there was one.
    pub error: Option<LastError<'a>>,
    /// The rest of it in words.
    pub message: Option<String>,
}

/// What differs from kind to kind.
#[derive(Default)]
struct Told<'a> {
    kind: &'static str,
    subject: Option<ComponentId>,
    name: Option<String>,
    from: Option<&'static str>,
    to: Option<&'static str>,
    failure: Option<&'a Failure>,
    message: Option<String>,
}

impl<'a> Change<'a> {
    /// `event` by the names of `names` and the time of `clock`, both of the orchestrator that it is an event of.
    #[must_use]
    pub fn of(event: &'a Event, clock: Clock, names: &mut Names) -> Self {
        let told = told(&event.kind, names);
        let key = event.subject();
        let subject = told.subject.or(key.map(|it| it.component));
        Self {
            sequence: event.sequence,
            at: timestamp(clock, event.at),
            run: event.run,
            kind: told.kind,
            component: told.name.or_else(|| names.of(subject?)),
            from: told.from,
            to: told.to,
            reason: event.reason.as_str(),
            cause: event.cause.and_then(|it| names.of(it)),
            generation: key.map(|it| it.generation),
            attempt: key.map(|it| it.attempt),
            error: told.failure.map(last_error),
            message: told.message,
        }
    }
}

fn told<'a>(kind: &'a EventKind, names: &mut Names) -> Told<'a> {
    let kind_of = |kind| Told {
        kind,
        ..Told::default()
    };
    match kind {
        EventKind::Orchestrator { from, to, failure } => Told {
            from: Some(from.as_str()),
            to: Some(to.as_str()),
            failure: failure.as_deref(),
            ..kind_of("orchestrator")
        },
        EventKind::Transition {
            from,
            to,
            lasted,
            failure,
            ..
        } => Told {
            from: Some(from.as_str()),
            to: Some(to.as_str()),
            failure: failure.as_deref(),
            message: Some(format!("{} for {} ms", from.as_str(), millis(*lasted))),
            ..kind_of("transition")
        },
        EventKind::AttemptFailed {
            call,
            worked,
            failure,
            ..
        } => Told {
            failure: Some(failure),
            message: Some(format!(
                "{} failed after {} ms",
                call.as_str(),
                millis(*worked)
            )),
            ..kind_of("attempt-failed")
        },
        EventKind::RetryScheduled { call, delay, .. } => Told {
            message: Some(format!("{} again in {} ms", call.as_str(), millis(*delay))),
            ..kind_of("retry-scheduled")
        },
        EventKind::Cancelled { call, limit, .. } => Told {
            message: Some(match limit {
                Some(limit) => format!("{} was asked to end: {}", call.as_str(), limit.as_str()),
                None => format!("{} was asked to end", call.as_str()),
            }),
            ..kind_of("cancelled")
        },
        EventKind::Aborted { call, limit, .. } => Told {
            message: Some(format!(
                "{} was dropped: {}",
                call.map_or("what it left", |it| it.as_str()),
                limit.as_str()
            )),
            ..kind_of("aborted")
        },
        EventKind::Abandoned { .. } => kind_of("abandoned"),
        EventKind::Held { .. } => kind_of("held"),
        EventKind::Disposed { failure, .. } => Told {
            failure: failure.as_deref(),
            ..kind_of("disposed")
        },
        EventKind::StopEnded { report } => Told {
            message: Some(format!(
                "{} stopped, {} in trouble, in {} ms",
                report.stopped,
                report.troubles.len(),
                millis(report.took)
            )),
            ..kind_of("stop-ended")
        },
        EventKind::Awaiting { awaited, left } => {
            let names: Vec<&str> = awaited.iter().map(|it| it.component.as_str()).collect();
            let (names, left) = (names.join(", "), millis(*left));
            Told {
                message: Some(format!("waits for {names}; {left} ms left")),
                ..kind_of("awaiting")
            }
        }
        EventKind::Lost {
            failure, verdict, ..
        } => Told {
            failure: failure.as_deref(),
            message: Some(match verdict {
                Verdict::Restart { delay, restarts } => format!(
                    "started again {} ms after the loss; restart {restarts} within the window",
                    millis(*delay)
                ),
                Verdict::Follow => "comes back with what it depends on".to_owned(),
                Verdict::Final => "stays down".to_owned(),
            }),
            ..kind_of("lost")
        },
        EventKind::RestartRefused { budget, .. } => Told {
            message: Some(format!("its budget of {budget} restarts is used up")),
            ..kind_of("restart-refused")
        },
        EventKind::DependencyLost { dependency, .. } => Told {
            message: names
                .of(*dependency)
                .map(|it| format!("goes on without {it}")),
            ..kind_of("dependency-lost")
        },
        EventKind::DependencyBack { dependency, .. } => Told {
            message: names.of(*dependency).map(|it| format!("{it} is back")),
            ..kind_of("dependency-back")
        },
        EventKind::HealthChanged {
            from, to, detail, ..
        } => Told {
            from: Some(from.as_str()),
            to: Some(to.as_str()),
            message: detail.as_deref().map(str::to_owned),
            ..kind_of("health-changed")
        },
        EventKind::CheckFailed {
            misses, failure, ..
        } => Told {
            failure: Some(failure),
            message: Some(format!("{misses} in a row")),
            ..kind_of("check-failed")
        },
        EventKind::Node {
            cordoned,
            from,
            to,
            intent,
        } => Told {
            from: Some(from.as_str()),
            to: Some(to.as_str()),
            message: Some(wanted(
                if *cordoned {
                    "cordoned"
                } else {
                    "not cordoned"
                },
                intent,
            )),
            ..kind_of("node")
        },
        EventKind::Participant {
            from, to, failure, ..
        } => Told {
            from: Some(from.as_str()),
            to: Some(to.as_str()),
            failure: failure.as_deref(),
            ..kind_of("participant")
        },
        EventKind::Operation {
            component,
            operation,
            intent,
        } => Told {
            subject: Some(*component),
            message: Some(wanted(operation.as_str(), intent)),
            ..kind_of("operation")
        },
        EventKind::Gate { gate, open, .. } => {
            let plan = names.plan.as_ref();
            let plan = plan.filter(|it| gate.index() < it.gate_count());
            let name = plan.map(|it| it.gate_name(*gate).to_string());
            Told {
                to: Some(if *open { "open" } else { "closed" }),
                message: name.map(|it| format!("gate {it}")),
                ..kind_of("gate")
            }
        }
        EventKind::GateBroken { .. } => kind_of("gate-broken"),
        EventKind::Added { component, name } => Told {
            subject: Some(*component),
            name: Some(name.to_string()),
            ..kind_of("added")
        },
        EventKind::Removed { component, name } => Told {
            subject: Some(*component),
            name: Some(name.to_string()),
            ..kind_of("removed")
        },
    }
}

/// What somebody wanted, who, and why.
fn wanted(what: &str, intent: &lifecycle_core::engine::Intent) -> String {
    let mut text = what.to_owned();
    if let Some(by) = &intent.by {
        text.push_str(" by ");
        text.push_str(by);
    }
    if let Some(reason) = &intent.reason {
        text.push_str(": ");
        text.push_str(reason);
    }
    text
}
