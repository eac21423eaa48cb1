//! One call of start, stop or dispose, as a task.
//!
//! Invariants:
//!
//! 4. Each call is answered with [`Input::CallEnded`] exactly once, whatever becomes of its task.
//! 5. The answer is sent after the call's future has been dropped.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use lifecycle_core::engine::{AttemptKey, Call, CallOutcome, Input};
use lifecycle_core::{Component, DrainContext, ErasedLifecycle, Failure, StopContext};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use crate::blocked::{Mark, What};
use crate::scope::AttemptScope;
use crate::user_future::{UserFuture, Work};

/// Calls start with a scope of its own; a factory makes its value in the task.
pub(crate) fn start(
    scope: Arc<AttemptScope>,
    key: AttemptKey,
    component: Component,
) -> AbortHandle {
    let work = match scope.refusal() {
        None => Work::Start(component, Arc::clone(&scope)),
        Some(error) => Work::Future(Box::pin(std::future::ready(Err(error)))),
    };
    spawn(scope, Call::Start, key, work)
}

/// Calls stop on `value`.
pub(crate) fn stop(
    scope: Arc<AttemptScope>,
    key: AttemptKey,
    value: Arc<dyn ErasedLifecycle>,
) -> AbortHandle {
    let cx = StopContext::new(Arc::clone(&scope) as _, key.attempt);
    spawn(scope, Call::Stop, key, Work::Stop(value, cx))
}

/// Calls drain or resume on `value`; `token` tells it to end early.
pub(crate) fn node(
    scope: Arc<AttemptScope>,
    call: Call,
    key: AttemptKey,
    value: Arc<dyn ErasedLifecycle>,
    token: CancellationToken,
) -> AbortHandle {
    let cx = DrainContext::new(Arc::clone(&scope) as _, token);
    let work = match call {
        Call::Resume => Work::Resume(value, cx),
        _ => Work::Drain(value, cx),
    };
    spawn(scope, call, key, work)
}

/// Runs the dispose that `work` is.
pub(crate) fn dispose(scope: Arc<AttemptScope>, key: AttemptKey, work: Work) -> AbortHandle {
    spawn(scope, Call::Dispose, key, work)
}

fn spawn(scope: Arc<AttemptScope>, call: Call, key: AttemptKey, work: Work) -> AbortHandle {
    let runtime = scope.runtime().clone();
    let span = scope.call_span(call, key);
    let attempt = Attempt {
        future: UserFuture::new(work, span),
        guard: AnswerGuard {
            scope,
            call,
            key,
            outcome: None,
        },
    };
    runtime.spawn(attempt).abort_handle()
}

/// A call as tokio runs it. The order of the fields is the order of their drops: invariant 5.
struct Attempt {
    future: UserFuture,
    guard: AnswerGuard,
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
