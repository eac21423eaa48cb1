//! [`Handler`]: whatever answers calls, and the layers around it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use lifecycle_core::BoxError;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service, ServiceExt as _};

use crate::call::{Request, Response};
use crate::error::RpcError;

/// Whatever answers calls: a procedure's code, an outbound, or either with layers around it. A clone answers a call.
pub type Handler = BoxCloneSyncService<Request, Response, RpcError>;

/// Makes a handler of a tower service. An error that is not an [`RpcError`] is told to callers as
/// [`Internal`](crate::Code::Internal), without what it says.
pub fn handler<S>(service: S) -> Handler
where
    S: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    Handler::new(service.map_err(|it| RpcError::from_box(it.into())))
}

/// Makes a handler of an async function.
pub fn handler_fn<F, Fut>(function: F) -> Handler
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, RpcError>> + Send + 'static,
{
    handler(tower::service_fn(function))
}

/// Makes a handler of what `function` does with a call to `inner`: where our own layers are written as functions.
pub(crate) fn around<F, Fut>(inner: Handler, function: F) -> Handler
where
    F: FnMut(&mut Handler, Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, RpcError>> + Send + 'static,
{
    Handler::new(Around { inner, function })
}

/// Calls the handler itself, not a clone of it: to clone one clones everything inside of it.
#[derive(Clone)]
struct Around<F> {
    inner: Handler,
    function: F,
}

impl<F, Fut> Service<Request> for Around<F>
where
    F: FnMut(&mut Handler, Request) -> Fut,
    Fut: Future<Output = Result<Response, RpcError>>,
{
    type Response = Response;
    type Error = RpcError;
    type Future = Fut;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), RpcError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Fut {
        (self.function)(&mut self.inner, request)
    }
}

/// Layers in order, the first one outermost.
#[derive(Clone, Default)]
pub(crate) struct Layers(Vec<Named>);

/// A layer, with the name of its type.
type Named = (&'static str, Arc<dyn Fn(Handler) -> Handler + Send + Sync>);

impl Layers {
    /// Adds a layer inside of those that are there.
    pub(crate) fn push<L>(&mut self, layer: L)
    where
        L: Layer<Handler> + Send + Sync + 'static,
        L::Service: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
        <L::Service as Service<Request>>::Error: Into<BoxError>,
    {
        let wrap = move |it| boxed(layer.layer(it));
        self.0.push((std::any::type_name::<L>(), Arc::new(wrap)));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts all of them around `inner`.
    pub(crate) fn around(&self, inner: Handler) -> Handler {
        self.0
            .iter()
            .rev()
            .fold(inner, |inner, (_, layer)| layer(inner))
    }

    /// The names of their types, the outermost first.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }
}

/// As [`handler`], where one that is a [`Handler`] already is not put into another box.
fn boxed<S>(service: S) -> Handler
where
    S: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
{
    match (&service as &dyn Any).downcast_ref::<Handler>() {
        Some(own) => own.clone(),
        None => handler(service),
    }
}

impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} layers", self.0.len())
    }
}
