//! [`Procedure`]: what a service offers under a name.

use std::collections::HashMap;

use lifecycle_core::BoxError;
use tower::{Layer, Service};

use crate::call::{Request, Response};
use crate::code::Code;
use crate::error::RpcError;
use crate::fault::Fault;
use crate::handler::{Handler, Layers, handler_fn};
use crate::messages::Messages;
use crate::relay::Relay;
use crate::shape::Shape;

/// What a service offers under a name, with one shape.
///
/// A name or an alias with `*` or `?` stands for every name that it matches; see [`Dispatcher`](crate::Dispatcher) for which
/// one is chosen. Nothing is checked before it is added to a dispatcher.
///
/// ```
/// use dispatcher::{Procedure, Request, Response};
///
/// let echo = Procedure::unary("echo", async |request: Request| {
///     Ok(Response::message(request.into_message().await?))
/// });
/// let echo = echo.alias("say").encoding("raw");
/// ```
#[derive(Clone, Debug)]
pub struct Procedure {
    pub(crate) shape: Shape,
    pub(crate) name: String,
    pub(crate) aliases: Vec<String>,
    pub(crate) encoding: Option<String>,
    pub(crate) layers: Layers,
    answered: Answered,
}

/// Who answers.
#[derive(Clone, Debug)]
enum Answered {
    Here(Handler),
    Elsewhere(Relay),
}

impl Procedure {
    /// A procedure of any shape, answered by `handler`.
    #[must_use]
    pub fn new(shape: Shape, name: impl Into<String>, handler: Handler) -> Self {
        Self::of(shape, name.into(), Answered::Here(handler))
    }

    pub(crate) fn relayed(shape: Shape, name: String, relay: Relay) -> Self {
        Self::of(shape, name, Answered::Elsewhere(relay))
    }

    fn of(shape: Shape, name: String, answered: Answered) -> Self {
        Self {
            shape,
            name,
            aliases: Vec::new(),
            encoding: None,
            layers: Layers::default(),
            answered,
        }
    }

    /// What answers its calls, without its layers.
    pub(crate) fn handler(&self, outbounds: &HashMap<String, Handler>) -> Result<Handler, Fault> {
        match &self.answered {
            Answered::Here(handler) => Ok(handler.clone()),
            Answered::Elsewhere(relay) => relay.handler(self.shape, outbounds),
        }
    }

    /// One message there, one back.
    #[must_use]
    pub fn unary<F, Fut>(name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, RpcError>> + Send + 'static,
    {
        Self::new(Shape::Unary, name, handler_fn(function))
    }

    /// One message there; that the function has returned is the assurance that it has arrived.
    #[must_use]
    pub fn oneway<F, Fut>(name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        let answer = move |request| {
            let arrived = function(request);
            async move { arrived.await.map(|()| Response::empty()) }
        };
        Self::new(Shape::Oneway, name, handler_fn(answer))
    }

    /// One message there, any number back.
    #[must_use]
    pub fn server_stream<F, Fut>(name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, RpcError>> + Send + 'static,
    {
        Self::new(Shape::ServerStream, name, handler_fn(function))
    }

    /// Any number of messages there, one back.
    #[must_use]
    pub fn client_stream<F, Fut>(name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, RpcError>> + Send + 'static,
    {
        Self::new(Shape::ClientStream, name, handler_fn(function))
    }

    /// Any number of messages there, any number back. The function returns when it begins to answer.
    #[must_use]
    pub fn duplex<F, Fut>(name: impl Into<String>, function: F) -> Self
    where
        F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<Response, RpcError>> + Send + 'static,
    {
        Self::new(Shape::Duplex, name, handler_fn(function))
    }

    /// Adds a further name.
    #[must_use]
    pub fn alias(mut self, name: impl Into<String>) -> Self {
        self.aliases.push(name.into());
        self
    }

    /// Says how its messages are encoded. Unset, each call says it.
    #[must_use]
    pub fn encoding(mut self, encoding: impl Into<String>) -> Self {
        self.encoding = Some(encoding.into());
        self
    }

    /// Puts a layer around the handler: inside of the dispatcher's layers, and of this procedure's that are there already.
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
}

/// Refuses a stream where `shape` has one message.
pub(crate) fn check_request(shape: Shape, messages: &Messages) -> Result<(), RpcError> {
    if !shape.streams_requests() && messages.is_stream() {
        let message = format!("a {shape} call takes one message, and got a stream");
        return Err(RpcError::new(Code::InvalidArgument, message));
    }
    Ok(())
}

/// Makes what the handler of the procedure `name` has answered what callers of that shape expect.
pub(crate) fn check_response(
    shape: Shape,
    name: &str,
    mut response: Response,
) -> Result<Response, RpcError> {
    if shape == Shape::Oneway {
        response.messages = Messages::none();
        return Ok(response);
    }
    if !shape.streams_responses() && !response.messages.is_one() {
        let message = format!("the {shape} procedure \"{name}\" did not answer with one message");
        return Err(RpcError::new(Code::Internal, message));
    }
    Ok(response)
}
