//! [`Outbound`]: the way to another service.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use lifecycle_core::{BoxError, Component, Retry};
use tower::{Layer, Service};

use crate::call::{Request, Response};
use crate::code::Code;
use crate::error::RpcError;
use crate::handler::{Handler, Layers, around};
use crate::route::Route;
use crate::shape::Shape;

/// The key of an outbound that was given none.
pub const DEFAULT_KEY: &str = "default";

/// The way to another service: a component that is started and stopped, and a handler that carries calls.
///
/// It is a component under the name `service:key:shape`. One outbound that carries several shapes is one component: it has the
/// name of the first, and the others are aliases of it. It is degradable: without it the dispatcher goes on.
#[derive(Clone)]
pub struct Outbound {
    pub(crate) service: String,
    pub(crate) key: String,
    pub(crate) shapes: Vec<Shape>,
    /// For each of the shapes, in their order.
    pub(crate) handlers: Vec<Handler>,
    pub(crate) component: Component,
    pub(crate) layers: Layers,
    pub(crate) start: Retry,
    pub(crate) stop: Retry,
    pub(crate) issue: Option<Issue>,
}

/// What speaks against calls, and in which protocol they would be made.
#[derive(Clone)]
pub(crate) struct Issue {
    pub(crate) protocol: &'static str,
    pub(crate) tell: Arc<dyn Fn() -> Option<&'static str> + Send + Sync>,
}

impl Outbound {
    /// The way to `service` with the key [`DEFAULT_KEY`], for calls of `shapes`.
    #[must_use]
    pub fn new(
        service: impl Into<String>,
        shapes: impl IntoIterator<Item = Shape>,
        component: impl Into<Component>,
        handler: Handler,
    ) -> Self {
        Self::by_shape(service, shapes, component, move |_| handler.clone())
    }

    /// As [`new`](Self::new), for a protocol that carries each shape in another way.
    #[must_use]
    pub fn by_shape(
        service: impl Into<String>,
        shapes: impl IntoIterator<Item = Shape>,
        component: impl Into<Component>,
        handler: impl Fn(Shape) -> Handler,
    ) -> Self {
        let shapes: Vec<_> = shapes.into_iter().collect();
        Self {
            service: service.into(),
            key: DEFAULT_KEY.to_owned(),
            handlers: shapes.iter().map(|it| handler(*it)).collect(),
            shapes,
            component: component.into(),
            layers: Layers::default(),
            start: Retry::default(),
            stop: Retry::default(),
            issue: None,
        }
    }

    /// Tells it from other ways to the same service; a blank key is [`DEFAULT_KEY`].
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
        self
    }

    /// Leaves out every shape but these. One that it does not carry is not added.
    #[must_use]
    pub fn only(mut self, shapes: impl IntoIterator<Item = Shape>) -> Self {
        let kept: Vec<_> = shapes.into_iter().collect();
        let carried = self.shapes.into_iter().zip(self.handlers);
        (self.shapes, self.handlers) = carried.filter(|(it, _)| kept.contains(it)).unzip();
        self
    }

    /// Puts a layer around the calls that it carries, inside of the layers that are there already.
    #[must_use]
    pub fn layer<L>(mut self, layer: L) -> Self
    where
        L: Layer<Handler> + Send + Sync + 'static,
        L::Service: Service<Request, Response = Response> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request>>::Future: Send + 'static,
        <L::Service as Service<Request>>::Error: Into<BoxError>,
    {
        self.layers.push(layer);
        self
    }

    /// Says how to find out what speaks against calls in `protocol`, by a stable name, such as `no-available-peers`: for
    /// [`Dispatcher::outbound_issues`](crate::Dispatcher::outbound_issues).
    #[must_use]
    pub fn issue(
        mut self,
        protocol: &'static str,
        tell: impl Fn() -> Option<&'static str> + Send + Sync + 'static,
    ) -> Self {
        let tell = Arc::new(tell);
        self.issue = Some(Issue { protocol, tell });
        self
    }

    /// Sets attempts and limits of its start. Unset, the dispatcher's default holds.
    #[must_use]
    pub fn start_retry(mut self, retry: Retry) -> Self {
        self.start = retry;
        self
    }

    /// Sets attempts and limits of its stop. Unset, the dispatcher's default holds.
    #[must_use]
    pub fn stop_retry(mut self, retry: Retry) -> Self {
        self.stop = retry;
        self
    }

    /// What speaks against calls, for each shape in the words of readiness.
    pub(crate) fn issues(&self) -> Vec<(String, Issue)> {
        let Some(issue) = &self.issue else {
            return Vec::new();
        };
        let key = Some(self.key.trim()).filter(|it| !it.is_empty());
        let (service, key) = (self.service.trim(), key.unwrap_or(DEFAULT_KEY));
        let name = |shape| format!("{}:{service}:{shape}:{key}", issue.protocol);
        let shapes = self.shapes.iter();
        shapes.map(|it| (name(it), issue.clone())).collect()
    }

    /// `inner` with its layers around it, which are told where a call goes.
    pub(crate) fn handler(&self, inner: &Handler, route: Route) -> Handler {
        if self.layers.is_empty() {
            return inner.clone();
        }
        let layered = self.layers.around(inner.clone());
        around(layered, move |inner, mut request| {
            request.meta.route = Some(route.clone());
            inner.call(request)
        })
    }

    /// The name for calls of `shape`.
    pub(crate) fn name(&self, shape: Shape) -> String {
        outbound_name(&self.service, Some(&self.key), shape)
    }
}

/// The ways to other services by their names, in lower case.
pub(crate) type Outbounds = HashMap<String, Handler>;

/// The way to `service` for calls of `shape`, of those that there are.
///
/// # Errors
///
/// As [`Dispatcher::outbound`](crate::Dispatcher::outbound).
pub(crate) fn find_outbound(
    outbounds: &Outbounds,
    service: &str,
    key: Option<&str>,
    shape: Shape,
) -> Result<Handler, RpcError> {
    let service = service.trim();
    if service.is_empty() {
        let error = RpcError::new(Code::InvalidArgument, "no service is named");
        return Err(error);
    }
    let name = outbound_name(service, key, shape);
    let found = outbounds.get(&name.to_ascii_lowercase());
    found.cloned().ok_or_else(|| {
        RpcError::new(Code::NotFound, format!("there is no outbound \"{name}\""))
            .with_reason("dispatcher.outbound.unknown")
    })
}

/// The name of the way to `service` for calls of `shape`; a blank key is the default one.
pub(crate) fn outbound_name(service: &str, key: Option<&str>, shape: Shape) -> String {
    let key = key.map(str::trim).filter(|it| !it.is_empty());
    format!("{}:{}:{shape}", service.trim(), key.unwrap_or(DEFAULT_KEY))
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("service", &self.service)
            .field("key", &self.key)
            .field("shapes", &self.shapes)
            .finish_non_exhaustive()
    }
}
