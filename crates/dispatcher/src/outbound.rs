//! [`Outbound`]: the way to another service.

use std::fmt;

use lifecycle_core::{BoxError, Component, Retry};
use tower::{Layer, Service};

use crate::call::{Request, Response};
use crate::handler::{Handler, Layers};
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
        }
    }

    /// Tells it from other ways to the same service; a blank key is [`DEFAULT_KEY`].
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = key.into();
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

    /// The key, trimmed, or the default one.
    pub(crate) fn trimmed_key(&self) -> &str {
        match self.key.trim() {
            "" => DEFAULT_KEY,
            key => key,
        }
    }

    /// The name for calls of `shape`.
    pub(crate) fn name(&self, shape: Shape) -> String {
        format!("{}:{}:{shape}", self.service.trim(), self.trimmed_key())
    }
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
