//! The [`Lifecycle`] trait: what a component owes its orchestrator, and what it may rely on.

use std::pin::Pin;
use std::sync::Arc;

use crate::context::{CheckContext, DrainContext, StartContext, StopContext};
use crate::failure::BoxError;

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Something that is started before it can be used, and stopped before it may go.
///
/// # What an implementor owes
///
/// - `start` returns when the component is *ready*, not when it has begun; what must go on afterwards runs in tasks
///   of [`StartContext::spawn`], which the orchestrator owns and joins.
/// - `start` heeds its start token: a call that goes on after the abort grace is aborted, that is, its future dropped.
/// - `stop` waits for its own work to end; tasks that are still there afterwards are joined, then aborted.
/// - `dispose` releases whatever `start` acquired, also after a `start` that failed half-way. After it, the value can be
///   started again.
/// - `drain` returns when it takes in no new work and nothing is in flight; `resume` undoes it.
/// - A call may begin in one task of the executor and go on in another: nothing relies on which one it is.
/// - No method blocks its thread, unless the component is registered as
///   [isolated](crate::Registration::isolated).
///
/// # What it may rely on
///
/// - `start` is called only when every hard dependency is running (invariant 1).
/// - `stop` is called only after a `start` that returned `Ok`, and not again once it succeeded (invariant 4).
/// - `dispose` is called exactly once per generation whose start was entered, on every path: failure, panic, cancel,
///   timeout, abort (invariant 4).
/// - `drain` and `resume` are called only while it runs, by turns; a generation that begins while the node is drained is
///   drained too.
/// - No two of these calls overlap, unless a call that blocks its thread had to be abandoned. `check` alone runs beside
///   them; it is a task of the generation, dropped before the generation is down.
/// - A panic is caught and counts as a failure; it never reaches another component.
///
/// ```
/// use lifecycle_core::{BoxError, Lifecycle, StartContext, StopContext};
///
/// struct Beacon;
///
/// impl Lifecycle for Beacon {
///     async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
///         let stopped = cx.run_token();
///         cx.spawn("blink", async move { stopped.cancelled().await });
///         Ok(())
///     }
///
///     async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
///         Ok(())
///     }
/// }
/// ```
pub trait Lifecycle: Send + Sync + 'static {
    /// Whether `stop` does anything. An implementation whose stop is the end of its tasks, which the run token asks for and the
    /// orchestrator waits for, may say `false`; `stop` is not called then, which saves a task for each generation.
    const STOPS: bool = true;

    /// Whether `dispose` does anything. An implementation that keeps the default `dispose` may say `false`, which
    /// saves a call for each generation.
    const DISPOSES: bool = true;

    /// Whether it takes part in a drain. An implementation of `drain` that does something says `true`; it is not called
    /// otherwise.
    const DRAINS: bool = false;

    /// Brings the component up; returns when it is ready.
    ///
    /// # Errors
    ///
    /// Any error is a failed attempt: it is tried again as the start policy says. A
    /// [`ComponentError`](crate::ComponentError) can say that this is pointless, or how long to wait.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await point, after its start token was cancelled and the abort grace has
    /// passed. `dispose` is called afterwards.
    fn start(&self, cx: &StartContext) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Brings the component down; returns when its work has ended.
    ///
    /// Called only if [`STOPS`](Self::STOPS). The run token was cancelled as this call began. With the context's token cancelled (a forced stop), give up
    /// what is in flight and return.
    ///
    /// # Errors
    ///
    /// Any error is a failed attempt: it is tried again as the stop policy says. When attempts are exhausted, the value
    /// is kept, and a further stop of the orchestrator calls `stop` again.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await point when its deadline has passed. `dispose` is called afterwards.
    fn stop(&self, cx: &StopContext) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Refuses new work, and returns when nothing is in flight any more.
    ///
    /// Called only if [`DRAINS`](Self::DRAINS). Afterwards it still answers: whoever comes is told to go elsewhere. With
    /// the context's token cancelled (the drain was cancelled, forced, or is out of time), stop waiting and return.
    ///
    /// # Errors
    ///
    /// Any error makes it and the node `failed`; it can be drained again or resumed. It never prevents a stop.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await point, after its token was cancelled and the abort grace has passed.
    fn drain(&self, cx: &DrainContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Takes in new work again, after a drain that has succeeded, failed or was cancelled.
    ///
    /// # Errors
    ///
    /// Any error makes it and the node `failed`; it can be resumed again.
    ///
    /// # Cancel safety
    ///
    /// As [`drain`](Self::drain).
    fn resume(&self, cx: &DrainContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Says whether it is healthy. Called from time to time while it runs, if its registration asks for
    /// [health checks](crate::Registration::health_check).
    ///
    /// # Errors
    ///
    /// An error is a miss; enough of them in a row make the component unhealthy (semantics 23).
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await point: at its timeout, and when the component goes down.
    fn check(&self, cx: &CheckContext) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = cx;
        async { Ok(()) }
    }

    /// Releases what this generation acquired, whatever became of it.
    ///
    /// # Errors
    ///
    /// An error is reported and changes nothing: the generation is over.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any await point when the dispose timeout has passed.
    fn dispose(&self) -> impl Future<Output = Result<(), BoxError>> + Send {
        async { Ok(()) }
    }
}

/// [`Lifecycle`] made safe to hold as a trait object; implemented for every `Lifecycle`.
///
/// The executor calls it. The futures own their component, so that a task can hold them.
pub trait ErasedLifecycle: Send + Sync + 'static {
    /// [`Lifecycle::start`].
    fn start(self: Arc<Self>, cx: StartContext) -> BoxFuture<'static, Result<(), BoxError>>;
    /// [`Lifecycle::stop`].
    fn stop(self: Arc<Self>, cx: StopContext) -> BoxFuture<'static, Result<(), BoxError>>;
    /// Whether its stop does anything: [`Lifecycle::STOPS`].
    fn stops(&self) -> bool;
    /// [`Lifecycle::drain`].
    fn drain(self: Arc<Self>, cx: DrainContext) -> BoxFuture<'static, Result<(), BoxError>>;
    /// [`Lifecycle::resume`].
    fn resume(self: Arc<Self>, cx: DrainContext) -> BoxFuture<'static, Result<(), BoxError>>;
    /// [`Lifecycle::check`].
    fn check(self: Arc<Self>, cx: CheckContext) -> BoxFuture<'static, Result<(), BoxError>>;
    /// Whether it takes part in a drain: [`Lifecycle::DRAINS`].
    fn drains(&self) -> bool;
    /// [`Lifecycle::dispose`], or `None` where it would do nothing.
    fn dispose(self: Arc<Self>) -> Option<BoxFuture<'static, Result<(), BoxError>>>;
}

impl<L: Lifecycle> ErasedLifecycle for L {
    fn start(self: Arc<Self>, cx: StartContext) -> BoxFuture<'static, Result<(), BoxError>> {
        Box::pin(async move { Lifecycle::start(&*self, &cx).await })
    }

    fn stop(self: Arc<Self>, cx: StopContext) -> BoxFuture<'static, Result<(), BoxError>> {
        Box::pin(async move { Lifecycle::stop(&*self, &cx).await })
    }

    fn drain(self: Arc<Self>, cx: DrainContext) -> BoxFuture<'static, Result<(), BoxError>> {
        Box::pin(async move { Lifecycle::drain(&*self, &cx).await })
    }

    fn resume(self: Arc<Self>, cx: DrainContext) -> BoxFuture<'static, Result<(), BoxError>> {
        Box::pin(async move { Lifecycle::resume(&*self, &cx).await })
    }

    fn check(self: Arc<Self>, cx: CheckContext) -> BoxFuture<'static, Result<(), BoxError>> {
        Box::pin(async move { Lifecycle::check(&*self, &cx).await })
    }

    fn stops(&self) -> bool {
        L::STOPS
    }

    fn drains(&self) -> bool {
        L::DRAINS
    }

    fn dispose(self: Arc<Self>) -> Option<BoxFuture<'static, Result<(), BoxError>>> {
        if !L::DISPOSES {
            return None;
        }
        Some(Box::pin(async move { Lifecycle::dispose(&*self).await }))
    }
}
