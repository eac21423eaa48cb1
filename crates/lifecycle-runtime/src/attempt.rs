//! One call of start, stop, drain, resume or dispose.
//!
//! Invariants:
//!
//! 4. Each call is answered with [`Input::CallEnded`] exactly once, whatever becomes of its task.
//! 5. The answer is sent after the call's future has been dropped.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use lifecycle_core::engine::{AttemptKey, Call, CallOutcome, Input};
use lifecycle_core::{Component, DrainContext, ErasedLifecycle, Failure, StopContext};
use tokio::runtime;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::blocked::{Mark, What};
use crate::scope::AttemptScope;
use crate::user_future::{UserFuture, Work};

/// Calls start with a scope of its own; a factory makes its value in the task.
pub(crate) fn start(scope: Arc<AttemptScope>, key: AttemptKey, component: Component) -> Attempt {
    let work = match scope.refusal() {
        None => Work::Start(component, Arc::clone(&scope)),
        Some(error) => Work::Future(Box::pin(std::future::ready(Err(error)))),
    };
    Attempt::new(scope, Call::Start, key, work)
}

/// Calls stop on `value`.
pub(crate) fn stop(
    scope: Arc<AttemptScope>,
    key: AttemptKey,
    value: Arc<dyn ErasedLifecycle>,
) -> Attempt {
    let cx = StopContext::new(Arc::clone(&scope) as _, key.attempt);
    Attempt::new(scope, Call::Stop, key, Work::Stop(value, cx))
}

/// Calls drain or resume on `value`; `token` tells it to end early.
pub(crate) fn node(
    scope: Arc<AttemptScope>,
    call: Call,
    key: AttemptKey,
    value: Arc<dyn ErasedLifecycle>,
    token: CancellationToken,
) -> Attempt {
    let cx = DrainContext::new(Arc::clone(&scope) as _, token);
    let work = match call {
        Call::Resume => Work::Resume(value, cx),
        _ => Work::Drain(value, cx),
    };
    Attempt::new(scope, call, key, work)
}

/// Runs the dispose that `work` is.
pub(crate) fn dispose(scope: Arc<AttemptScope>, key: AttemptKey, work: Work) -> Attempt {
    Attempt::new(scope, Call::Dispose, key, work)
}

/// A call, to be polled until it has ended. The order of the fields is the order of their drops: invariant 5.
pub(crate) struct Attempt {
    future: UserFuture,
    guard: AnswerGuard,
    reins: Arc<Reins>,
}

impl Attempt {
    fn new(scope: Arc<AttemptScope>, call: Call, key: AttemptKey, work: Work) -> Self {
        let span = scope.call_span(call, key);
        Self {
            future: UserFuture::new(work, span),
            guard: AnswerGuard {
                scope,
                call,
                key,
                outcome: None,
            },
            reins: Arc::default(),
        }
    }

    /// Makes it a task of its own.
    pub(crate) fn spawn(self, runtime: &runtime::Handle) {
        let reins = self.reins();
        // Without the lock: on a runtime that shuts down, the task ends here and now.
        let task = runtime.spawn(self);
        reins.hold(task.abort_handle());
    }

    /// How to end it early, wherever it is.
    pub(crate) fn reins(&self) -> Arc<Reins> {
        Arc::clone(&self.reins)
    }

    /// Whether it was told to end before it was a task.
    pub(crate) fn is_aborted(&self) -> bool {
        matches!(*self.reins.state(), Rein::Aborted)
    }

    /// The component's own runtime, if it has one.
    pub(crate) fn own_runtime(&self) -> Option<&runtime::Handle> {
        self.guard.scope.own_runtime()
    }
}

/// Ends a call early: its future is dropped as soon as it holds no thread.
#[derive(Default)]
pub(crate) struct Reins(Mutex<Rein>);

#[derive(Default)]
enum Rein {
    /// It is no task yet.
    #[default]
    Loose,
    Aborted,
    Task(AbortHandle),
}

impl Reins {
    pub(crate) fn abort(&self) {
        let before = std::mem::replace(&mut *self.state(), Rein::Aborted);
        if let Rein::Task(task) = before {
            task.abort();
        }
    }

    fn hold(&self, task: AbortHandle) {
        let mut state = self.state();
        match *state {
            Rein::Loose | Rein::Task(_) => *state = Rein::Task(task),
            Rein::Aborted => {
                drop(state);
                task.abort();
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, Rein> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Future for Attempt {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mark = self.guard.mark();
        let polled = self.future.poll(cx);
        drop(mark);
        polled.map(|outcome| self.guard.outcome = Some(outcome))
    }
}

impl Drop for Attempt {
    /// A call that is dropped before it has ended may hold the thread too.
    fn drop(&mut self) {
        if !self.future.is_gone() {
            let _mark = self.guard.mark();
            self.future.let_go();
        }
    }
}

/// Keeps invariant 4.
struct AnswerGuard {
    scope: Arc<AttemptScope>,
    call: Call,
    key: AttemptKey,
    outcome: Option<CallOutcome>,
}

impl AnswerGuard {
    fn mark(&self) -> Mark {
        self.scope.mark(What::call(self.call))
    }
}

impl Drop for AnswerGuard {
    fn drop(&mut self) {
        let lost = || Err(Arc::new(Failure::lost()));
        let outcome = self.outcome.take().unwrap_or_else(lost);
        if self.call == Call::Start {
            self.scope.end_start();
        }
        self.scope.executor().tell(Input::CallEnded {
            call: self.call,
            key: self.key,
            outcome,
        });
    }
}
