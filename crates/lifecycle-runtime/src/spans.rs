//! [`Spans`]: what is under way, as spans of `tracing`.
//!
//! Operations are spans, and the calls that they lead to are their children: the start and the stop of the whole, a drain, and
//! what is done with single components, by an operator or after a loss. A run and the tasks of components are spans as well, for
//! the log: they last for as long as something runs, and so their target is [`LASTING`].

use std::collections::BTreeMap;

use lifecycle_core::engine::{
    AttemptKey, Call, ComponentState, DrainState, Event, EventKind, Intent, Operation,
    OrchestratorState, Reason, Verdict,
};
use lifecycle_core::{ComponentId, ComponentName, Failure};
use tracing::{Span, field};

/// The target of spans that are no operation, but around whatever happens while something runs.
pub(crate) const LASTING: &str = "lifecycle::lasting";

/// Whether anybody listens to spans of attempts.
pub(crate) fn are_wanted() -> bool {
    tracing::span_enabled!(target: "lifecycle", tracing::Level::INFO)
}

/// Writes into a call's span how it has ended.
pub(crate) fn ended(span: &Span, failure: Option<&Failure>) {
    let outcome = failure.map_or(SUCCEEDED, |it| it.kind.as_str());
    span.record("outcome", outcome);
    if let Some(failure) = failure {
        span.record("error", field::display(failure));
    }
}

/// Writes into a call's span that it was dropped before its end.
pub(crate) fn aborted(span: &Span) {
    span.record("outcome", "aborted");
}

const SUCCEEDED: &str = "succeeded";

/// The spans of one orchestrator. Those of nothing are disabled.
#[derive(Debug)]
pub(crate) struct Spans {
    run: Span,
    /// The start or stop of the whole.
    whole: Span,
    drain: Span,
    /// What is done with single components, by everyone it has reached. Whoever runs again, or stays down, is taken out; with the
    /// last one the span ends.
    single: BTreeMap<ComponentId, Span>,
}

impl Default for Spans {
    fn default() -> Self {
        Self {
            run: Span::none(),
            whole: Span::none(),
            drain: Span::none(),
            single: BTreeMap::new(),
        }
    }
}

/// Opens the span of an operation; a macro, since its name is a literal.
macro_rules! operation {
    ($parent:expr, $name:literal, $reason:expr $(, $field:ident = $value:expr)*) => {
        tracing::info_span!(
            target: "lifecycle",
            parent: $parent,
            $name,
            $($field = $value,)*
            reason = $reason.as_str(),
            outcome = field::Empty,
            error = field::Empty,
        )
    };
}

impl Spans {
    /// Takes in one event; `name` says what a component is called.
    pub(crate) fn follow<'a>(&mut self, event: &Event, name: impl Fn(ComponentId) -> &'a str) {
        match &event.kind {
            EventKind::Orchestrator { to, failure, .. } => {
                self.orchestrator_entered(event, *to, failure.as_deref());
            }
            EventKind::StopEnded { report } => {
                let outcome = if report.is_clean() {
                    SUCCEEDED
                } else {
                    "unclean"
                };
                self.whole.record("outcome", outcome);
                self.whole = Span::none();
            }
            EventKind::Node {
                from, to, intent, ..
            } if from != to => self.drain_entered(event.reason, *to, intent),
            EventKind::Operation {
                component,
                operation,
                intent,
            } => self.ordered(event.reason, *component, *operation, intent, &name),
            EventKind::Lost {
                key,
                failure,
                verdict: Verdict::Restart { .. },
            } => self.lost(event.reason, *key, failure.as_deref(), &name),
            EventKind::Transition {
                key, to, failure, ..
            } => self.component_entered(event, key.component, *to, failure.as_deref()),
            _ => {}
        }
    }

    /// A span of one call.
    pub(crate) fn of_call(&self, call: Call, name: &ComponentName, key: AttemptKey) -> Span {
        tracing::info_span!(
            target: "lifecycle",
            parent: self.above(call, key.component),
            "attempt",
            component = name.as_str(),
            generation = key.generation,
            attempt = key.attempt,
            phase = call.as_str(),
            outcome = field::Empty,
            error = field::Empty,
        )
    }

    /// A span of one task of a scope.
    pub(crate) fn of_task(&self, task: &str, name: &ComponentName, key: AttemptKey) -> Span {
        tracing::info_span!(
            target: LASTING,
            parent: &self.run,
            "task",
            component = name.as_str(),
            generation = key.generation,
            task,
        )
    }

    /// The operation that a call belongs to: the nearest one.
    fn above(&self, call: Call, component: ComponentId) -> &Span {
        let nearest = match call {
            Call::Drain | Call::Resume => &self.drain,
            Call::Start | Call::Stop | Call::Dispose => {
                self.single.get(&component).unwrap_or(&self.whole)
            }
        };
        if nearest.is_disabled() {
            return &self.run;
        }
        nearest
    }

    fn orchestrator_entered(
        &mut self,
        event: &Event,
        to: OrchestratorState,
        failure: Option<&Failure>,
    ) {
        match to {
            OrchestratorState::Created => {}
            OrchestratorState::Starting => {
                self.run =
                    tracing::info_span!(target: LASTING, parent: None, "run", run = event.run);
                self.whole = operation!(&self.run, "start", event.reason);
            }
            OrchestratorState::Running => self.whole_ended(SUCCEEDED, failure),
            OrchestratorState::Stopping => {
                // Of a start or of single operations, what is not done yet is cut short.
                self.whole_ended(event.reason.as_str(), failure);
                for (_, span) in std::mem::take(&mut self.single) {
                    span.record("outcome", event.reason.as_str());
                }
                self.whole = operation!(&self.run, "stop", event.reason);
            }
            OrchestratorState::Stopped => *self = Self::default(),
        }
    }

    fn whole_ended(&mut self, outcome: &str, failure: Option<&Failure>) {
        self.whole.record("outcome", outcome);
        if let Some(failure) = failure {
            self.whole.record("error", field::display(failure));
        }
        self.whole = Span::none();
    }

    fn drain_entered(&mut self, reason: Reason, to: DrainState, intent: &Intent) {
        let outcome = match to {
            DrainState::Draining => {
                self.drain = operation!(&self.run, "drain", reason, by = intent.by.as_deref());
                return;
            }
            DrainState::Drained => SUCCEEDED,
            DrainState::Active => "cancelled",
            DrainState::Failed => "failed",
        };
        self.drain.record("outcome", outcome);
        self.drain = Span::none();
    }

    fn ordered<'a>(
        &mut self,
        reason: Reason,
        id: ComponentId,
        operation: Operation,
        intent: &Intent,
        name: impl Fn(ComponentId) -> &'a str,
    ) {
        let (run, component, by) = (&self.run, name(id), intent.by.as_deref());
        let span = match operation {
            Operation::Start => operation!(run, "start", reason, component = component, by = by),
            Operation::Stop => operation!(run, "stop", reason, component = component, by = by),
            Operation::Restart => {
                operation!(run, "restart", reason, component = component, by = by)
            }
            Operation::Add => operation!(run, "add", reason, component = component, by = by),
            Operation::Remove => operation!(run, "remove", reason, component = component, by = by),
        };
        self.single.insert(id, span);
    }

    /// Somebody is to be restarted for a failure of its own.
    fn lost<'a>(
        &mut self,
        reason: Reason,
        key: AttemptKey,
        failure: Option<&Failure>,
        name: impl Fn(ComponentId) -> &'a str,
    ) {
        let component = name(key.component);
        let span = operation!(
            &self.run,
            "restart",
            reason,
            component = component,
            cause = failure.map(field::display)
        );
        self.single.insert(key.component, span);
    }

    fn component_entered(
        &mut self,
        event: &Event,
        id: ComponentId,
        to: ComponentState,
        failure: Option<&Failure>,
    ) {
        match to {
            ComponentState::Starting | ComponentState::Stopping => self.join(event.cause, id),
            ComponentState::Running | ComponentState::Stopped => {
                self.single_ended(id, SUCCEEDED, failure);
            }
            ComponentState::Faulted if is_final(event.reason) => {
                self.single_ended(id, event.reason.as_str(), failure);
            }
            ComponentState::Created
            | ComponentState::Faulted
            | ComponentState::Waiting
            | ComponentState::BackingOff => {}
        }
    }

    /// Whoever goes down or up because of another one takes part in what is done with that.
    fn join(&mut self, cause: Option<ComponentId>, id: ComponentId) {
        let above = cause.and_then(|it| self.single.get(&it)).cloned();
        if let Some(above) = above {
            self.single.entry(id).or_insert(above);
        }
    }

    /// What it came to is what the last of those that it has reached came to.
    fn single_ended(&mut self, id: ComponentId, outcome: &str, failure: Option<&Failure>) {
        let Some(span) = self.single.remove(&id) else {
            return;
        };
        span.record("outcome", outcome);
        if let Some(failure) = failure {
            span.record("error", field::display(failure));
        }
    }
}

/// Whether who has faulted for that stays down.
const fn is_final(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::AttemptsExhausted
            | Reason::BudgetExhausted
            | Reason::DependencyFailed
            | Reason::Quarantined
    )
}
