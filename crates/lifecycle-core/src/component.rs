//! Ways to make a component: a [`Lifecycle`] value, two closures, a loop, or a factory of any of them.

mod readiness;

/// What [`readiness`] is made of.
mod sync {
    pub(super) use std::sync::Mutex;
    pub(super) use std::sync::atomic::{AtomicBool, Ordering, fence};
    pub(super) use tokio_util::sync::CancellationToken as Signal;
}

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio_util::sync::CancellationToken;

use crate::context::{Reporter, StartContext, StopContext, TaskOutput, TaskRole};
use crate::failure::BoxError;
use crate::lifecycle::{ErasedLifecycle, Lifecycle};
use readiness::Readiness;

/// A component as it is registered: one shared value, or a factory that makes a fresh one for each attempt.
#[derive(Clone)]
pub struct Component(Kind);

#[derive(Clone)]
enum Kind {
    Shared(Arc<dyn ErasedLifecycle>),
    Factory {
        make: Arc<dyn Fn() -> Arc<dyn ErasedLifecycle> + Send + Sync>,
        drains: bool,
    },
}

impl Component {
    /// Whether each attempt gets a fresh value.
    #[must_use]
    pub fn is_factory(&self) -> bool {
        matches!(self.0, Kind::Factory { .. })
    }

    /// Whether it takes part in a drain.
    #[must_use]
    pub fn drains(&self) -> bool {
        match &self.0 {
            Kind::Shared(value) => value.drains(),
            Kind::Factory { drains, .. } => *drains,
        }
    }

    /// Whether both are the same value, registered twice; a factory is no value.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.address().is_some_and(|it| other.address() == Some(it))
    }

    /// The value for one attempt. Runs user code when this is a factory.
    #[must_use]
    pub fn instantiate(&self) -> Arc<dyn ErasedLifecycle> {
        match &self.0 {
            Kind::Shared(value) => Arc::clone(value),
            Kind::Factory { make, .. } => make(),
        }
    }

    /// What tells shared values apart: the same value registered twice has the same address.
    pub(crate) fn address(&self) -> Option<usize> {
        match &self.0 {
            Kind::Shared(value) => Some(Arc::as_ptr(value).cast::<()>() as usize),
            Kind::Factory { .. } => None,
        }
    }
}

impl<L: Lifecycle> From<L> for Component {
    fn from(value: L) -> Self {
        Self(Kind::Shared(Arc::new(value)))
    }
}

impl<L: Lifecycle> From<Arc<L>> for Component {
    fn from(value: Arc<L>) -> Self {
        Self(Kind::Shared(value))
    }
}

impl fmt::Debug for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_factory() {
            "Component(factory)"
        } else {
            "Component(shared)"
        })
    }
}

/// A component from two async closures.
///
/// ```
/// use lifecycle_core::{component, Registration};
///
/// let component = component::from_fn(
///     async |cx| { println!("{} is up", cx.component()); Ok(()) },
///     async |_| Ok(()),
/// );
/// let registration = Registration::new("greeter", component);
/// ```
pub fn from_fn<S, SF, T, TF>(start: S, stop: T) -> Component
where
    S: Fn(StartContext) -> SF + Send + Sync + 'static,
    SF: Future<Output = Result<(), BoxError>> + Send + 'static,
    T: Fn(StopContext) -> TF + Send + Sync + 'static,
    TF: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    Component::from(FromFn { start, stop })
}

struct FromFn<S, T> {
    start: S,
    stop: T,
}

impl<S, SF, T, TF> Lifecycle for FromFn<S, T>
where
    S: Fn(StartContext) -> SF + Send + Sync + 'static,
    SF: Future<Output = Result<(), BoxError>> + Send + 'static,
    T: Fn(StopContext) -> TF + Send + Sync + 'static,
    TF: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    const DISPOSES: bool = false;

    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        (self.start)(cx.clone()).await
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        (self.stop)(cx.clone()).await
    }
}

/// A component that is a fresh value for each attempt; the value of a failed attempt is disposed and dropped first.
///
/// With a factory, a panic in start is tried again like an error, since the next attempt does not see the broken value.
pub fn factory<L: Lifecycle>(make: impl Fn() -> L + Send + Sync + 'static) -> Component {
    Component(Kind::Factory {
        make: Arc::new(move || Arc::new(make())),
        drains: L::DRAINS,
    })
}

/// A component that is a loop: `run` is called for each attempt and runs until its context says so.
///
/// It is *starting* until it calls [`ServiceContext::ready`]. Returning, panicking or dropping the context before that
/// is a failed attempt. Afterwards an error or a panic is a loss, and `Ok` before a stop means that it has completed
/// (semantics 8). It is stopped by the run token: heed [`ServiceContext::cancelled`]. A loop that never ends by itself
/// returns `()` all the same: write it as the body of a `run_until_cancelled`, or break on cancellation.
///
/// ```
/// use lifecycle_core::{component, BoxError};
///
/// let ticker = component::service(|cx| async move {
///     cx.ready();
///     cx.cancelled().await;
/// });
/// ```
pub fn service<F, Fut>(run: F) -> Component
where
    F: Fn(ServiceContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: TaskOutput> + Send + 'static,
{
    Component::from(Service { run })
}

struct Service<F> {
    run: F,
}

impl<F, Fut> Lifecycle for Service<F>
where
    F: Fn(ServiceContext) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: TaskOutput> + Send + 'static,
{
    const STOPS: bool = false;
    const DISPOSES: bool = false;

    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let readiness = Arc::new(Readiness::default());
        let context = ServiceContext {
            start: cx.clone(),
            readiness: Arc::clone(&readiness),
        };
        let service = Watched {
            run: Box::pin((self.run)(context)),
            readiness: Arc::clone(&readiness),
        };
        cx.spawn_boxed(TaskRole::Service, "service".into(), Box::pin(service));
        let settled = readiness.settled().cancelled();
        if cx.token().run_until_cancelled(settled).await.is_none() {
            return Err("the start was given up before the service was ready".into());
        }
        readiness.outcome()
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        // The run token ends the loop; its task is joined by the scope.
        Ok(())
    }
}

/// What a [`service`] is given.
#[derive(Debug)]
pub struct ServiceContext {
    start: StartContext,
    readiness: Arc<Readiness>,
}

impl ServiceContext {
    /// Says that the component is ready: its start has succeeded. Further calls do nothing.
    pub fn ready(&self) {
        self.readiness.say_ready();
    }

    /// Completes when the component shall end: its stop begins, or its start is given up.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn cancelled(&self) {
        self.token().cancelled().await;
    }

    /// The token behind [`cancelled`](Self::cancelled).
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.start.run_token()
    }

    /// The component's own voice: progress, work in flight, and what is missing.
    #[must_use]
    pub fn reporter(&self) -> Reporter {
        self.start.reporter()
    }

    /// The context of the start attempt: names, numbers, and further tasks of this generation.
    #[must_use]
    pub fn start_context(&self) -> &StartContext {
        &self.start
    }
}

impl Drop for ServiceContext {
    fn drop(&mut self) {
        self.readiness.drop_context();
    }
}

/// The loop of a service; notes how it ended, so that a start which waits for it learns why.
///
/// By hand and not as an `async` block around the loop, which would have room for it twice, for as long as it runs.
struct Watched<F> {
    run: Pin<Box<F>>,
    readiness: Arc<Readiness>,
}

impl<F> Future for Watched<F>
where
    F: Future<Output: TaskOutput>,
{
    type Output = Result<(), BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        this.readiness.begin_poll();
        let polled = catch_unwind(AssertUnwindSafe(|| this.run.as_mut().poll(cx)));
        this.readiness.end_poll();
        match polled {
            Ok(Poll::Pending) => {
                this.readiness.settle_if_dropped();
                Poll::Pending
            }
            Ok(Poll::Ready(output)) => Poll::Ready(this.ended(output.into_result())),
            Err(panic) => {
                let message = format!(
                    "the service panicked before it was ready: {}",
                    panic_message(&*panic)
                );
                this.readiness.settle_with(message.into());
                resume_unwind(panic)
            }
        }
    }
}

impl<F> Watched<F> {
    /// Passes the result on; an error from before readiness belongs to the start that waits for it.
    fn ended(&self, result: Result<(), BoxError>) -> Result<(), BoxError> {
        if self.readiness.is_ready() {
            return result;
        }
        let early = || "the service returned before it was ready".into();
        self.readiness
            .settle_with(result.err().unwrap_or_else(early));
        Ok(())
    }
}

impl<F> Drop for Watched<F> {
    fn drop(&mut self) {
        if !self.readiness.is_ready() {
            self.readiness
                .settle_with("the service was aborted before it was ready".into());
        }
    }
}

/// The text of a panic, or a stand-in when it carries none.
#[must_use]
pub fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a text")
}
