//! [`Executor`]: what the tasks of one orchestrator share.

use std::sync::{Arc, Mutex, PoisonError};

use lifecycle_core::engine::{AttemptKey, Input};
use lifecycle_core::{ComponentId, ComponentName};
use tokio::runtime;
use tokio::sync::mpsc;
use tracing::Span;

use crate::blocked::{Place, Watch, Who};
use crate::clock::Clock;
use crate::handle::Link;
use crate::isolated::{Isolated, Threads};
use crate::leaving::Exit;

/// Where calls and tasks run, and how they answer.
#[derive(Debug)]
pub(crate) struct Executor {
    pub(crate) clock: Clock,
    /// Where user code runs; the driver may be elsewhere.
    pub(crate) runtime: runtime::Handle,
    /// Who watches for blocked threads, if anybody does.
    pub(crate) watch: Option<Arc<Watch>>,
    /// The threads of isolated components.
    threads: Threads,
    /// Unbounded, so that a guard can answer from `drop`. What can be in it is bounded all the same: one answer a
    /// call in flight, one a scope, one a live task.
    completions: mpsc::UnboundedSender<Input>,
    /// The span of the present run, parent of the spans of its attempts and tasks; disabled between runs.
    run_span: Mutex<Span>,
}

impl Executor {
    pub(crate) fn new(
        link: &Link,
        runtime: runtime::Handle,
        completions: mpsc::UnboundedSender<Input>,
    ) -> Self {
        Self {
            clock: link.clock,
            runtime,
            watch: link.watch.get().map(Arc::clone),
            threads: link.threads.clone(),
            completions,
            run_span: Mutex::new(Span::none()),
        }
    }

    /// A place for a component's scope in the directory of those who watch.
    pub(crate) fn place_of(&self, id: ComponentId, who: impl FnOnce() -> Who) -> Place {
        let watch = self.watch.as_ref();
        watch.map_or(Place::NONE, |it| it.directory().enter(id.index(), who()))
    }

    /// A thread for the component called `name`: that of the attempt before, or a new one.
    pub(crate) fn isolated(
        &self,
        name: &ComponentName,
        before: Option<&Arc<Isolated>>,
    ) -> Arc<Isolated> {
        match before.filter(|it| it.runtime().is_some()) {
            Some(isolated) => Arc::clone(isolated),
            None => Isolated::begin(name, &self.threads),
        }
    }

    /// The way out for values.
    pub(crate) fn exit(&self) -> Exit<'_> {
        Exit {
            runtime: &self.runtime,
            watch: self.watch.as_ref(),
            threads: &self.threads,
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
