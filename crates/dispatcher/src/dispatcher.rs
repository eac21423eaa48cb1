//! [`Dispatcher`]: looks procedures up and calls them.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use futures_util::FutureExt as _;
use lifecycle_core::component::panic_message;
use lifecycle_core::engine::{OrchestratorState, StartReport, StopReport};
use lifecycle_runtime::{Handle, StartError, StatusWatch, StopError};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use crate::builder::DispatcherBuilder;
use crate::call::{Meta, Request, Response};
use crate::client::Client;
use crate::code::Code;
use crate::codec::Encoding;
use crate::error::RpcError;
use crate::fault::BuildError;
use crate::handler::{Handler, Layers, handler_fn};
use crate::introspect::Makeup;
use crate::outbound::{Issue, Outbounds, find_outbound};
use crate::procedure::{Procedure, check_request, check_response};
use crate::registry::{Entry, Registry};
use crate::route::Route;
use crate::shape::Shape;

/// Looks procedures up and calls them, and knows the ways to other services. Clones are the same dispatcher.
///
/// Of the procedures of the wanted shape, the one is called that has the wanted name; or else that alias; or else the pattern
/// that matches it with the most literal characters, of equals the one that was added first. ASCII case makes no difference.
///
/// What of it moves are components of an orchestrator, whose registrations come with it. It starts and stops nothing.
///
/// ```
/// use dispatcher::{Dispatcher, Procedure, Request, Response, Shape};
/// use lifecycle_runtime::Orchestrator;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let echo = Procedure::unary("echo", async |request: Request| {
///     Ok(Response::message(request.into_message().await?))
/// });
/// let (dispatcher, registrations) = Dispatcher::builder("pets").procedure(echo).build()?;
///
/// let mut builder = Orchestrator::builder();
/// builder.registrations(registrations);
/// let dispatcher = dispatcher.driven_by(builder.build()?.spawn());
/// dispatcher.start().await?;
///
/// let response = dispatcher.call(Shape::Unary, Request::new("Echo", "hello")).await?;
/// assert_eq!(response.into_message().await?, "hello");
/// dispatcher.stop().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Dispatcher {
    shared: Arc<Shared>,
    /// In the host's hands alone: a component that kept it would keep the orchestrator's driver from ending.
    handle: Option<Handle>,
}

/// What all clones share.
struct Shared {
    service: String,
    layers: Layers,
    registry: RwLock<Arc<Registry>>,
    /// What answers calls that find no procedure, for each shape in the order of [`Shape::ALL`].
    refusing: [Handler; Shape::ALL.len()],
    /// Held while a larger registry is made, so that no addition is lost.
    adding: Mutex<()>,
    outbounds: Arc<Outbounds>,
    issues: Vec<(String, Issue)>,
    status: OnceLock<StatusWatch>,
    makeup: OnceLock<Makeup>,
}

/// What a builder has checked.
pub(crate) struct Parts {
    pub(crate) service: String,
    pub(crate) layers: Layers,
    pub(crate) registry: Registry,
    pub(crate) outbounds: Outbounds,
    pub(crate) issues: Vec<(String, Issue)>,
}

/// A start or a stop of a dispatcher that was not told who drives it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LifecycleError {
    /// It was not [connected](Dispatcher::driven_by), or this clone was not.
    #[error("no orchestrator was given to the dispatcher")]
    Unconnected,
    /// The orchestrator's start did not come about.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The orchestrator's stop was not clean.
    #[error(transparent)]
    Stop(#[from] StopError),
}

impl Dispatcher {
    /// A builder of the dispatcher of `service`.
    #[must_use]
    pub fn builder(service: impl Into<String>) -> DispatcherBuilder {
        DispatcherBuilder::new(service.into())
    }

    pub(crate) fn new(parts: Parts) -> Self {
        let refusing =
            Shape::ALL.map(|shape| parts.layers.around(refusing(parts.service.clone(), shape)));
        let shared = Shared {
            refusing,
            service: parts.service,
            layers: parts.layers,
            registry: RwLock::new(Arc::new(parts.registry)),
            adding: Mutex::new(()),
            outbounds: Arc::new(parts.outbounds),
            issues: parts.issues,
            status: OnceLock::new(),
            makeup: OnceLock::new(),
        };
        Self {
            shared: Arc::new(shared),
            handle: None,
        }
    }

    /// The service whose procedures these are.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.shared.service
    }

    /// Adds a procedure; calls that come from now on find it, whichever way they come in.
    ///
    /// # Errors
    ///
    /// [`BuildError`] with every fault; then nothing has changed.
    pub fn register(&self, procedure: Procedure) -> Result<(), BuildError> {
        let shared = &self.shared;
        let _adding = shared.adding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut larger = Registry::clone(&self.registry());
        let added = larger.add(procedure, &shared.layers, &shared.outbounds);
        added.map_err(|faults| BuildError { faults })?;
        let mut current = shared
            .registry
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(larger);
        Ok(())
    }

    /// Whether a call of `shape` to `procedure` would find one.
    #[must_use]
    pub fn offers(&self, shape: Shape, procedure: &str) -> bool {
        self.registry().find(shape, procedure).is_some()
    }

    /// The shape of the procedure that a call without a shape finds.
    pub(crate) fn shape_of(&self, procedure: &str) -> Option<Shape> {
        self.registry().shape_of(procedure)
    }

    /// Calls a procedure of this service.
    ///
    /// A panic in it or in a layer is caught, logged, and told as an error without its text. The deadline in the request is for
    /// transports and middleware to keep. A call that finds no procedure goes through the dispatcher's own layers, which are told
    /// [`RouteKind::Unknown`](crate::RouteKind::Unknown): so it is counted and logged as others are, and limits count it.
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] without a procedure or with a stream where its shape has one message,
    /// [`Code::Unimplemented`] when there is none or another service is meant, [`Code::Internal`] when it panics or answers
    /// in another shape, and what it says itself.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the call: it drops the handler's future.
    pub async fn call(&self, shape: Shape, mut request: Request) -> Result<Response, RpcError> {
        let Some(entry) = self.find(shape, &request.meta) else {
            return self.refuse(shape, request).await;
        };
        check_request(shape, &request.messages)?;
        if request.meta.encoding.is_none() {
            request.meta.encoding.clone_from(&entry.encoding);
        }
        answered(entry.route.clone(), entry.handler.clone(), request).await
    }

    /// The procedure that a call means, which is none when it names none, or another service.
    fn find(&self, shape: Shape, meta: &Meta) -> Option<Arc<Entry>> {
        let service = meta.service.as_deref().map(str::trim);
        let is_ours = service.is_none_or(|it| it.eq_ignore_ascii_case(self.service()));
        let is_named = !meta.procedure.trim().is_empty();
        if !is_ours || !is_named {
            return None;
        }
        self.registry().find(shape, &meta.procedure).cloned()
    }

    /// What becomes of a call that finds no procedure: unless a layer answers it, the error that says so.
    pub(crate) async fn refuse(
        &self,
        shape: Shape,
        request: Request,
    ) -> Result<Response, RpcError> {
        let handler = self.shared.refusing[shape as usize].clone();
        answered(Route::unknown(shape), handler, request).await
    }

    /// The way to `service` for calls of `shape`; without a key, that of [`DEFAULT_KEY`](crate::DEFAULT_KEY).
    ///
    /// # Errors
    ///
    /// [`Code::InvalidArgument`] when `service` is blank, [`Code::NotFound`] when there is no such way.
    pub fn outbound(
        &self,
        service: &str,
        key: Option<&str>,
        shape: Shape,
    ) -> Result<Handler, RpcError> {
        find_outbound(&self.shared.outbounds, service, key, shape)
    }

    /// A client of `service`, whose values `codec` writes and reads. It may be kept by components, and by procedures of this very
    /// dispatcher: it keeps neither the orchestrator nor the procedures.
    #[must_use]
    pub fn client<C: Encoding>(&self, service: &str, codec: C) -> Client<C> {
        let outbounds = Arc::clone(&self.shared.outbounds);
        Client::new(outbounds, self.service(), service, codec)
    }

    /// What speaks against calls to others, for each way that knows: `protocol:service:shape:key:` and what it is. Over gRPC that is
    /// `not-started`, or `no-available-peers` when all of them are left alone.
    #[must_use]
    pub fn outbound_issues(&self) -> Vec<String> {
        let ways = self.shared.issues.iter();
        let told = ways.filter_map(|(name, issue)| Some(format!("{name}:{}", (issue.tell)()?)));
        told.collect()
    }

    /// Connects it with the orchestrator that its registrations were given to. All clones show that one's state; this one can
    /// also start and stop it. The first orchestrator stays the one whose state is shown.
    #[must_use]
    pub fn driven_by(mut self, handle: Handle) -> Self {
        // It can only be set already by another one, which stays.
        let _ = self.shared.status.set(handle.status());
        self.handle = Some(handle);
        self
    }

    /// The state of the orchestrator; created as long as none is connected.
    #[must_use]
    pub fn status(&self) -> OrchestratorState {
        let status = self.shared.status.get().cloned();
        status.map_or(OrchestratorState::default(), |mut it| it.get().state)
    }

    /// Whether an orchestrator is connected, by this clone or another.
    pub(crate) fn is_connected(&self) -> bool {
        self.shared.status.get().is_some()
    }

    /// Says what it is made of; the builder does, once.
    pub(crate) fn describe(&self, makeup: Makeup) {
        let _ = self.shared.makeup.set(makeup);
    }

    pub(crate) fn makeup(&self) -> Option<&Makeup> {
        self.shared.makeup.get()
    }

    pub(crate) fn layers(&self) -> &Layers {
        &self.shared.layers
    }

    /// The status of the orchestrator, once one is connected.
    pub(crate) fn status_watch(&self) -> Option<StatusWatch> {
        self.shared.status.get().cloned()
    }

    /// Starts the orchestrator: [`Handle::start`].
    ///
    /// # Errors
    ///
    /// [`LifecycleError`] with what it answers, or when this clone is not connected.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer, and cancels nothing.
    pub async fn start(&self) -> Result<Arc<StartReport>, LifecycleError> {
        Ok(self.handle()?.start().await?)
    }

    /// As [`start`](Self::start), and cancels it with `token`: [`Handle::start_with`].
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(
        &self,
        token: CancellationToken,
    ) -> Result<Arc<StartReport>, LifecycleError> {
        Ok(self.handle()?.start_with(token).await?)
    }

    /// Stops the orchestrator: [`Handle::stop`].
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    ///
    /// # Cancel safety
    ///
    /// As [`start`](Self::start).
    pub async fn stop(&self) -> Result<Arc<StopReport>, LifecycleError> {
        Ok(self.handle()?.stop().await?)
    }

    fn handle(&self) -> Result<&Handle, LifecycleError> {
        self.handle.as_ref().ok_or(LifecycleError::Unconnected)
    }

    pub(crate) fn registry(&self) -> Arc<Registry> {
        let registry = self.shared.registry.read();
        Arc::clone(&registry.unwrap_or_else(PoisonError::into_inner))
    }
}

/// What `handler` answers to a call that `route` has taken, as callers of its shape expect it.
async fn answered(
    route: Route,
    handler: Handler,
    mut request: Request,
) -> Result<Response, RpcError> {
    let (shape, name) = (route.shape, Arc::clone(&route.name));
    let encoding = request.meta.encoding.clone();
    request.meta.route = Some(route);
    let answering = AssertUnwindSafe(handler.oneshot(request)).catch_unwind();
    let response = answering.await;
    let response = response.unwrap_or_else(|panic| Err(panicked(&name, &*panic)))?;
    let mut response = check_response(shape, &name, response)?;
    response.messages = response
        .messages
        .catching(move |panic| panicked(&name, &*panic));
    response.encoding = response.encoding.or(encoding);
    Ok(response)
}

/// What stands in the place of a procedure of `service` that there is not.
fn refusing(service: String, shape: Shape) -> Handler {
    let service: Arc<str> = service.into();
    handler_fn(move |request: Request| {
        let error = unknown(&service, shape, &request.meta);
        std::future::ready(Err(error))
    })
}

fn unknown(service: &str, shape: Shape, meta: &Meta) -> RpcError {
    let wanted = meta.procedure.trim();
    if wanted.is_empty() {
        return RpcError::nameless();
    }
    let service = meta.service.as_deref().map_or(service, str::trim);
    let message = format!("there is no {shape} procedure \"{wanted}\" of \"{service}\"");
    RpcError::new(Code::Unimplemented, message).with_reason("dispatcher.procedure.unknown")
}

/// What a caller is told of a panic: that there was something. The log has the rest.
fn panicked(procedure: &str, panic: &(dyn Any + Send)) -> RpcError {
    tracing::error!(
        event = "procedure.panicked",
        procedure,
        error = panic_message(panic),
        "a procedure panicked"
    );
    RpcError::new(Code::Internal, "the call failed inside the server")
        .with_reason("dispatcher.procedure.panicked")
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher")
            .field("service", &self.shared.service)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
