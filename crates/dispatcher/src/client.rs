//! [`Client`]: calls to another service, with values in place of bytes.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::Stream;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::call::{Meta, Request, Response};
use crate::code::Code;
use crate::codec::{self, Codec, Encoding};
use crate::error::RpcError;
use crate::headers::{HeaderError, Headers};
use crate::messages::Messages;
use crate::outbound::{Outbounds, find_outbound};
use crate::shape::Shape;
use crate::typed::{TypedMessages, TypedRequest, TypedResponse, decoded, encoded};
use crate::until::{Until, within};

/// Calls another service by an outbound of the dispatcher, with values that a codec writes and reads.
/// [`Dispatcher::client`](crate::Dispatcher::client) makes one.
///
/// The way is looked up call by call, by service, key and shape. At the deadline of a call, that is given up, whatever its outbound
/// does; a stream ends then with an error.
///
/// ```no_run
/// use std::time::Duration;
///
/// use dispatcher::{Dispatcher, HttpOutbound, Json, TypedRequest, TypedResponse};
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Order {
///     pet: String,
///     count: u32,
/// }
///
/// # async fn order() -> Result<(), Box<dyn std::error::Error>> {
/// let (shop, registrations) = Dispatcher::builder("shop")
///     .outbound(HttpOutbound::new("pets", "http://127.0.0.1:8081/")?)
///     .build()?;
/// // When an orchestrator has started those:
/// let pets = shop.client("pets", Json).timeout(Duration::from_secs(2));
/// let order = Order { pet: "cat".to_owned(), count: 1 };
/// let answer: TypedResponse<String> = pets.unary(TypedRequest::new("order", order)).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// Of every call, beside what the service and the outbound say:
///
/// | code | reason | when |
/// |---|---|---|
/// | [`Code::InvalidArgument`] | `dispatcher.procedure.missing` | the procedure has no name |
/// | [`Code::InvalidArgument`] | | the service has no name |
/// | [`Code::NotFound`] | `dispatcher.outbound.unknown` | there is no way to that service with that key, or it does not carry calls of that shape |
/// | [`Code::FailedPrecondition`] | `dispatcher.outbound.not_started` | the way is not open: what the outbounds say that come with this crate |
/// | [`Code::Internal`] | `dispatcher.codec.encode_failed` | the value cannot be written; nothing is sent |
/// | [`Code::Internal`] | `dispatcher.codec.decode_failed`, `dispatcher.codec.mismatch` | the answer cannot be read |
/// | [`Code::Internal`] | | the answer is none, or several where it should be one |
/// | [`Code::DeadlineExceeded`] | | the deadline has passed |
#[derive(Clone)]
pub struct Client<C> {
    /// Not the dispatcher: procedures of that may keep this.
    outbounds: Arc<Outbounds>,
    caller: String,
    service: String,
    key: Option<String>,
    codec: C,
    timeout: Option<Duration>,
    headers: Headers,
}

impl<C: Encoding> Client<C> {
    pub(crate) fn new(outbounds: Arc<Outbounds>, caller: &str, service: &str, codec: C) -> Self {
        Self {
            outbounds,
            caller: caller.to_owned(),
            service: service.trim().to_owned(),
            key: None,
            codec,
            timeout: None,
            headers: Headers::new(),
        }
    }

    /// Says by which of the outbounds; unset or blank, the one with [`DEFAULT_KEY`](crate::DEFAULT_KEY).
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Limits how long a call may take, a stream until its end; an earlier deadline of the call counts. Unset, calls have the deadline that
    /// they are given, or else what the outbound allows them.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sends a header with every call that does not say something else under that name.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] when no protocol could carry it.
    pub fn header(
        mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<Self, HeaderError> {
        self.headers.append(name, value)?;
        Ok(self)
    }

    /// One value there, one back.
    ///
    /// # Errors
    ///
    /// As for [every call](Self#errors).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the call up.
    pub async fn unary<In, Out>(
        &self,
        request: TypedRequest<In>,
    ) -> Result<TypedResponse<Out>, RpcError>
    where
        C: Codec<In> + Codec<Out>,
    {
        let (meta, messages) = self.written(request)?;
        self.one_back(Shape::Unary, meta, messages).await
    }

    /// One value there; returns when it has arrived.
    ///
    /// # Errors
    ///
    /// As for [every call](Self#errors).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the call up; it may have arrived.
    pub async fn oneway<In>(&self, request: TypedRequest<In>) -> Result<(), RpcError>
    where
        C: Codec<In>,
    {
        let (meta, messages) = self.written(request)?;
        self.send(Shape::Oneway, meta, messages).await?;
        Ok(())
    }

    /// One value there, any number back, read as they come. Dropping them gives the call up.
    ///
    /// # Errors
    ///
    /// As for [every call](Self#errors); in the stream, too.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the call up.
    pub async fn server_stream<In, Out>(
        &self,
        request: TypedRequest<In>,
    ) -> Result<TypedResponse<TypedMessages<Out>>, RpcError>
    where
        C: Codec<In> + Codec<Out>,
        Out: 'static,
    {
        let (meta, messages) = self.written(request)?;
        self.many_back(Shape::ServerStream, meta, messages).await
    }

    /// Any number of values there, one back. An error among the values gives the call up.
    ///
    /// # Errors
    ///
    /// As for [every call](Self#errors).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the call up, and drops the values.
    pub async fn client_stream<In, Out, S>(
        &self,
        request: TypedRequest<S>,
    ) -> Result<TypedResponse<Out>, RpcError>
    where
        C: Codec<In> + Codec<Out>,
        S: Stream<Item = Result<In, RpcError>> + Send + 'static,
    {
        let messages = encoded(self.codec.clone(), request.body);
        self.one_back(Shape::ClientStream, request.meta, messages)
            .await
    }

    /// Any number of values there, any number back, at the same time. An error among the values gives the call up.
    ///
    /// # Errors
    ///
    /// As for [every call](Self#errors); in the stream, too.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the call up, and drops the values.
    pub async fn duplex<In, Out, S>(
        &self,
        request: TypedRequest<S>,
    ) -> Result<TypedResponse<TypedMessages<Out>>, RpcError>
    where
        C: Codec<In> + Codec<Out>,
        Out: 'static,
        S: Stream<Item = Result<In, RpcError>> + Send + 'static,
    {
        let messages = encoded(self.codec.clone(), request.body);
        self.many_back(Shape::Duplex, request.meta, messages).await
    }

    fn written<In>(&self, request: TypedRequest<In>) -> Result<(Meta, Messages), RpcError>
    where
        C: Codec<In>,
    {
        let message = codec::write(&self.codec, &request.body)?;
        Ok((request.meta, Messages::one(message)))
    }

    async fn one_back<Out>(
        &self,
        shape: Shape,
        meta: Meta,
        messages: Messages,
    ) -> Result<TypedResponse<Out>, RpcError>
    where
        C: Codec<Out>,
    {
        let (codec, response) = self.exchange(shape, meta, messages).await?;
        let message = response.messages.only(Code::Internal).await?;
        Ok(TypedResponse {
            headers: response.headers,
            body: codec::read(&codec, message, Code::Internal)?,
        })
    }

    async fn many_back<Out>(
        &self,
        shape: Shape,
        meta: Meta,
        messages: Messages,
    ) -> Result<TypedResponse<TypedMessages<Out>>, RpcError>
    where
        C: Codec<Out>,
        Out: 'static,
    {
        let (codec, response) = self.exchange(shape, meta, messages).await?;
        Ok(TypedResponse {
            headers: response.headers,
            body: decoded(codec, response.messages, Code::Internal),
        })
    }

    /// What came back, and what reads it.
    async fn exchange(
        &self,
        shape: Shape,
        meta: Meta,
        messages: Messages,
    ) -> Result<(C, Response), RpcError> {
        let response = self.send(shape, meta, messages).await?;
        let encoding = response.encoding.as_deref();
        let codec = codec::selected(&self.codec, encoding, Code::Internal)?;
        Ok((codec, response))
    }

    async fn send(
        &self,
        shape: Shape,
        meta: Meta,
        messages: Messages,
    ) -> Result<Response, RpcError> {
        if meta.procedure.trim().is_empty() {
            return Err(RpcError::nameless());
        }
        let key = self.key.as_deref();
        let outbound = find_outbound(&self.outbounds, &self.service, key, shape)?;
        let meta = self.completed(meta);
        let deadline = meta.deadline;
        let request = Request { meta, messages };
        let mut response = within(deadline, outbound.oneshot(request)).await?;
        if response.messages.is_stream() {
            response.messages = Messages::stream(Until::new(response.messages, deadline));
        }
        Ok(response)
    }

    /// What is known of every call of this client, beside what is known of this one.
    fn completed(&self, mut meta: Meta) -> Meta {
        meta.service = Some(self.service.clone());
        meta.encoding = Some(self.codec.name().to_owned());
        meta.caller = meta.caller.or_else(|| Some(self.caller.clone()));
        if let Some(timeout) = self.timeout {
            // The clock that the timers go by.
            meta.limit(Instant::now().into_std(), timeout);
        }
        meta.headers.complete(&self.headers);
        meta
    }
}

impl<C: fmt::Debug> fmt::Debug for Client<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("service", &self.service)
            .field("key", &self.key)
            .field("codec", &self.codec)
            .finish_non_exhaustive()
    }
}
