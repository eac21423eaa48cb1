//! [`Trace`]: the events of an orchestrator as lines, to be compared or shown.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use lifecycle_core::Plan;
use lifecycle_core::engine::{Event, EventKind};
use lifecycle_runtime::{Handle, Notice, Subscription};

/// Collects the events of an orchestrator as lines of text. Two runs of the same test with the same seed on paused time
/// give the same lines.
///
/// It holds as many events as the orchestrator keeps for a slow subscriber (1 024 unless set); take them in time.
#[derive(Debug)]
pub struct Trace {
    plan: Arc<Plan>,
    events: Subscription,
}

impl Trace {
    /// The events of `handle`'s orchestrator from now on.
    ///
    /// # Panics
    ///
    /// When the orchestrator is not built yet.
    #[must_use]
    pub fn of(handle: &Handle) -> Self {
        let plan = handle.plan().expect("the orchestrator is built");
        Self {
            plan,
            events: handle.subscribe(),
        }
    }

    /// The lines of all events that have come since the last time.
    #[must_use]
    pub fn take(&mut self) -> Vec<String> {
        let events = drain(&mut self.events);
        events.iter().map(|it| line(&self.plan, it)).collect()
    }
}

/// The events that are there already. What was missed is passed over; the numbers of the events show it.
pub(crate) fn drain(events: &mut Subscription) -> Vec<Event> {
    let mut found = Vec::new();
    while let Poll::Ready(Some(notice)) = poll_next(events) {
        if let Notice::Event(event) = notice {
            found.push(event);
        }
    }
    found
}

/// What is there already. Unconstrained: a task that has used up its budget would be told that nothing is.
pub(crate) fn poll_next(events: &mut Subscription) -> Poll<Option<Notice>> {
    let next = pin!(tokio::task::unconstrained(events.next()));
    next.poll(&mut Context::from_waker(Waker::noop()))
}

/// One event in words.
pub(crate) fn line(plan: &Plan, event: &Event) -> String {
    let subject = event.subject().map(|key| {
        let name = if plan.contains(key.component) {
            plan.name(key.component).as_str()
        } else {
            "?"
        };
        format!(" {name} {}.{}", key.generation, key.attempt)
    });
    format!(
        "{} {:?}{} {} ({})",
        event.sequence,
        event.at,
        subject.unwrap_or_default(),
        what(&event.kind),
        event.reason.as_str()
    )
}

/// States in words, everything else as it is: kinds that are added later need nothing here.
fn what(kind: &EventKind) -> String {
    match kind {
        EventKind::Orchestrator { from, to, .. } => {
            format!("orchestrator {} -> {}", from.as_str(), to.as_str())
        }
        EventKind::Transition { from, to, .. } => format!("{} -> {}", from.as_str(), to.as_str()),
        other => format!("{other:?}"),
    }
}
