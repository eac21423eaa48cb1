//! [`Executor`]: what the tasks of one orchestrator share.

use std::sync::{Mutex, PoisonError};

use lifecycle_core::ComponentName;
use lifecycle_core::engine::{AttemptKey, Input};
use tokio::runtime;
use tokio::sync::mpsc;
use tracing::Span;

use crate::clock::Clock;

/// Where calls and tasks run, and how they answer.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) clock: Clock,
    /// Where user code runs; the driver may be elsewhere.
    pub(crate) runtime: runtime::Handle,
    /// Unbounded, so that a guard can answer from `drop`. What can be in it is bounded all the same: one answer a
    /// call in flight, one a scope, one a live task.
    completions: mpsc::UnboundedSender<Input>,
    /// The span of the present run, parent of the spans of its attempts and tasks; disabled between runs.
    run_span: Mutex<Span>,
}

impl Executor {
    pub(crate) fn new(
        clock: Clock,
        runtime: runtime::Handle,
        completions: mpsc::UnboundedSender<Input>,
    ) -> Self {
        Self {
            clock,
            runtime,
            completions,
            run_span: Mutex::new(Span::none()),
        }
    }

    /// Tells the driver; without a driver nobody cares any more.
    pub(crate) fn tell(&self, input: Input) {
        let _ = self.completions.send(input);
    }

    /// Replaces the span of the run.
    pub(crate) fn enter_run(&self, span: Span) {
        *self.run_span() = span;
    }

    /// A span of one call, or a disabled one when nobody listens.
    pub(crate) fn call_span(
        &self,
        phase: &'static str,
        name: &ComponentName,
        key: AttemptKey,
    ) -> Span {
        // Asked first: without a listener the lock of the run's span is not taken.
        if !tracing::enabled!(target: "lifecycle", tracing::Level::INFO) {
            return Span::none();
        }
        tracing::info_span!(
            target: "lifecycle",
            parent: &*self.run_span(),
            "attempt",
            component = name.as_str(),
            generation = key.generation,
            attempt = key.attempt,
            phase,
        )
    }

    /// A span of one task of a scope, or a disabled one when nobody listens.
    pub(crate) fn task_span(&self, task: &str, name: &ComponentName, key: AttemptKey) -> Span {
        if !tracing::enabled!(target: "lifecycle", tracing::Level::INFO) {
            return Span::none();
        }
        tracing::info_span!(
            target: "lifecycle",
            parent: &*self.run_span(),
            "task",
            component = name.as_str(),
            generation = key.generation,
            task,
        )
    }

    fn run_span(&self) -> std::sync::MutexGuard<'_, Span> {
        self.run_span.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
