//! [`UserFuture`]: user code under a span, its panics caught, its values dropped before anybody is told.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use lifecycle_core::component::panic_message;
use lifecycle_core::engine::CallOutcome;
use lifecycle_core::{
    BoxError, BoxFuture, CheckContext, Component, DrainContext, ErasedLifecycle, Failure,
    StartContext, StopContext,
};
use tokio::runtime;
use tracing::Span;

use crate::scope::AttemptScope;
use crate::spans;

/// What is to be run. Made into a future in the task that runs it, since a factory is user code too.
pub(crate) enum Work {
    /// A start, and for a factory the fresh value.
    Start(Component, Arc<AttemptScope>),
    /// A stop.
    Stop(Arc<dyn ErasedLifecycle>, StopContext),
    /// A drain.
    Drain(Arc<dyn ErasedLifecycle>, DrainContext),
    /// A resume.
    Resume(Arc<dyn ErasedLifecycle>, DrainContext),
    /// A health check.
    Check(Arc<dyn ErasedLifecycle>, CheckContext),
    /// A dispose, and for a factory the end of its value.
    Dispose(Arc<dyn ErasedLifecycle>),
    /// Something that is a future already.
    Future(BoxFuture<'static, Result<(), BoxError>>),
}

impl Work {
    /// Runs user code when this is the start of a factory. `None` when there is nothing to await.
    fn into_future(self) -> Option<BoxFuture<'static, Result<(), BoxError>>> {
        match self {
            Self::Start(component, scope) => {
                let value = component.instantiate();
                if component.is_factory() {
                    scope.keep_value(Arc::clone(&value));
                }
                Some(value.start(StartContext::new(scope)))
            }
            Self::Stop(value, cx) => Some(value.stop(cx)),
            Self::Drain(value, cx) => Some(value.drain(cx)),
            Self::Resume(value, cx) => Some(value.resume(cx)),
            Self::Check(value, cx) => Some(value.check(cx)),
            Self::Dispose(value) => value.dispose(),
            Self::Future(future) => Some(future),
        }
    }
}

enum State {
    Unpolled(Work),
    Polled(BoxFuture<'static, Result<(), BoxError>>),
    Gone,
}

/// Runs [`Work`]. When it is ready, or has been dropped, nothing of the user's is left in it.
pub(crate) struct UserFuture {
    state: State,
    span: Span,
}

impl UserFuture {
    pub(crate) fn new(work: Work, span: Span) -> Self {
        Self {
            state: State::Unpolled(work),
            span,
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CallOutcome> {
        let Self { state, span } = self;
        let _entered = span.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| poll_state(state, cx)));
        let outcome = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(outcome)) => outcome,
            Err(panic) => Err(Arc::new(failure_of(panic))),
        };
        spans::ended(span, outcome.as_ref().err().map(|it| &**it));
        drop_quietly(std::mem::replace(state, State::Gone));
        Poll::Ready(outcome)
    }
}

impl UserFuture {
    /// Whether nothing of the user's is left.
    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.state, State::Gone)
    }

    /// Drops what is left of the user's.
    pub(crate) fn let_go(&mut self) {
        let _entered = self.span.enter();
        spans::aborted(&self.span);
        drop_quietly(std::mem::replace(&mut self.state, State::Gone));
    }
}

impl Drop for UserFuture {
    fn drop(&mut self) {
        if !self.is_gone() {
            self.let_go();
        }
    }
}

impl fmt::Debug for UserFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserFuture").finish_non_exhaustive()
    }
}

fn poll_state(state: &mut State, cx: &mut Context<'_>) -> Poll<CallOutcome> {
    if matches!(state, State::Unpolled(_)) {
        begin(state);
    }
    let State::Polled(future) = state else {
        return Poll::Ready(Ok(()));
    };
    // The error is read here, inside the caller's net: its `Display` is user code.
    future
        .as_mut()
        .poll(cx)
        .map_err(|error| Arc::new(Failure::from_error(&*error)))
}

/// Makes the future; should that panic, nothing of the work is left.
fn begin(state: &mut State) {
    let State::Unpolled(work) = std::mem::replace(state, State::Gone) else {
        return;
    };
    if let Some(future) = work.into_future() {
        *state = State::Polled(future);
    }
}

/// Drops each value on `runtime` in a task of its own, so that one whose `Drop` blocks holds up no other while a thread is
/// free.
pub(crate) fn drop_in_tasks<T: Send + 'static>(
    runtime: &runtime::Handle,
    values: impl IntoIterator<Item = T>,
) {
    for value in values {
        let quiet = Quiet(Some(value));
        runtime.spawn(async move { drop(quiet) });
    }
}

/// Drops quietly what it holds. A guard, since a runtime that shuts down drops its tasks unpolled.
struct Quiet<T>(Option<T>);

impl<T> Drop for Quiet<T> {
    fn drop(&mut self) {
        drop_quietly(self.0.take());
    }
}

/// Drops what may be the user's. A panic of its `Drop` ends here; the panic hook has reported it.
pub(crate) fn drop_quietly(value: impl Sized) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(value))) {
        forget_panic(panic);
    }
}

fn failure_of(panic: Box<dyn Any + Send>) -> Failure {
    let failure = Failure::panic(panic_message(&*panic));
    forget_panic(panic);
    failure
}

/// Drops a panic's payload; one that panics again is leaked, for otherwise it would never end.
fn forget_panic(panic: Box<dyn Any + Send>) {
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
        std::mem::forget(again);
    }
}
