//! [`Executor`]: what the tasks of one orchestrator share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lifecycle_core::engine::{AttemptKey, Call, Event, Input};
use lifecycle_core::{ComponentId, ComponentName};
use tokio::runtime;
use tokio::sync::mpsc;
use tracing::Span;

use crate::blocked::{Place, Watch, Who};
use crate::clock::Clock;
use crate::handle::Link;
use crate::isolated::{Isolated, Threads};
use crate::leaving::Exit;
use crate::spans::{self, Spans};

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
    /// The spans of what is under way, parents of those of attempts and tasks.
    spans: Mutex<Spans>,
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
            spans: Mutex::default(),
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

    /// Opens and closes spans by what has happened; `name` says what a component is called.
    pub(crate) fn follow<'a>(&self, event: &Event, name: impl Fn(ComponentId) -> &'a str) {
        self.spans().follow(event, name);
    }

    /// A span of one call, or a disabled one when nobody listens.
    pub(crate) fn call_span(&self, call: Call, name: &ComponentName, key: AttemptKey) -> Span {
        // Asked first: without a listener the lock of the spans is not taken.
        if !spans::are_wanted() {
            return Span::none();
        }
        self.spans().of_call(call, name, key)
    }

    /// A span of one task of a scope, or a disabled one when nobody listens.
    pub(crate) fn task_span(&self, task: &str, name: &ComponentName, key: AttemptKey) -> Span {
        if !spans::are_wanted() {
            return Span::none();
        }
        self.spans().of_task(task, name, key)
    }

    fn spans(&self) -> MutexGuard<'_, Spans> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
