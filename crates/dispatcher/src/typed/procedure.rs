//! [`TypedProcedure`]: procedures whose functions see values.

use futures_core::Stream;

use super::{TypedMessages, TypedRequest, TypedResponse, decoded, encoded};
use crate::call::{Request, Response};
use crate::code::Code;
use crate::codec::{self, Codec, Encoding};
use crate::error::RpcError;
use crate::headers::Headers;
use crate::messages::Messages;
use crate::procedure::Procedure;

/// Makes procedures whose functions take and give values in place of bytes; [`Procedure::typed`] begins one.
///
/// A message that cannot be read reaches no function: the call is [`Code::InvalidArgument`] with the reason
/// `dispatcher.codec.decode_failed`, or `dispatcher.codec.mismatch` when it is said to be in another encoding. In a stream that is the
/// error in the message's place, and the end of it. A value that cannot be written is [`Code::Internal`], with the reason
/// `dispatcher.codec.encode_failed`. Each has the name of the encoding in its metadata, and nothing of the message.
///
/// The answer is in the encoding of the call. Layers see bytes, as everywhere.
///
/// ```
/// use dispatcher::{Json, Procedure, Proto, TypedRequest, TypedResponse};
///
/// #[derive(serde::Deserialize, serde::Serialize)]
/// struct Order {
///     pet: String,
///     count: u32,
/// }
///
/// let order = Procedure::typed(Json).unary("order", async |request: TypedRequest<Order>| {
///     Ok(TypedResponse::new(format!("{} of {}", request.body.count, request.body.pet)))
/// });
/// let order = order.alias("buy");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TypedProcedure<C> {
    codec: C,
}

impl Procedure {
    /// A procedure whose messages are read and written by `codec`. The name of its encoding is the procedure's.
    #[must_use]
    pub const fn typed<C: Encoding>(codec: C) -> TypedProcedure<C> {
        TypedProcedure { codec }
    }
}

impl<C: Encoding> TypedProcedure<C> {
    /// One value there, one back.
    #[must_use]
    pub fn unary<In, Out, F, Fut>(self, name: impl Into<String>, function: F) -> Procedure
    where
        C: Codec<In> + Codec<Out>,
        In: Send + 'static,
        F: Fn(TypedRequest<In>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<TypedResponse<Out>, RpcError>> + Send + 'static,
    {
        let encoding = self.codec.name();
        let answer = move |request| {
            let (codec, function) = (self.codec.clone(), function.clone());
            async move {
                let (codec, request) = one(&codec, request).await?;
                one_back(&codec, function(request).await?)
            }
        };
        Procedure::unary(name, answer).encoding(encoding)
    }

    /// One value there; that the function has returned is the assurance that it has arrived.
    #[must_use]
    pub fn oneway<In, F, Fut>(self, name: impl Into<String>, function: F) -> Procedure
    where
        C: Codec<In>,
        In: Send + 'static,
        F: Fn(TypedRequest<In>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<(), RpcError>> + Send + 'static,
    {
        let encoding = self.codec.name();
        let answer = move |request| {
            let (codec, function) = (self.codec.clone(), function.clone());
            async move {
                let (_, request) = one(&codec, request).await?;
                function(request).await
            }
        };
        Procedure::oneway(name, answer).encoding(encoding)
    }

    /// One value there, any number back: a stream such as [`TypedMessages`].
    #[must_use]
    pub fn server_stream<In, Out, S, F, Fut>(
        self,
        name: impl Into<String>,
        function: F,
    ) -> Procedure
    where
        C: Codec<In> + Codec<Out>,
        In: Send + 'static,
        S: Stream<Item = Result<Out, RpcError>> + Send + 'static,
        F: Fn(TypedRequest<In>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<TypedResponse<S>, RpcError>> + Send + 'static,
    {
        let encoding = self.codec.name();
        let answer = move |request| {
            let (codec, function) = (self.codec.clone(), function.clone());
            async move {
                let (codec, request) = one(&codec, request).await?;
                Ok(many_back(codec, function(request).await?))
            }
        };
        Procedure::server_stream(name, answer).encoding(encoding)
    }

    /// Any number of values there, one back.
    #[must_use]
    pub fn client_stream<In, Out, F, Fut>(self, name: impl Into<String>, function: F) -> Procedure
    where
        C: Codec<In> + Codec<Out>,
        In: 'static,
        F: Fn(TypedRequest<TypedMessages<In>>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<TypedResponse<Out>, RpcError>> + Send + 'static,
    {
        let encoding = self.codec.name();
        let answer = move |request| {
            let (codec, function) = (self.codec.clone(), function.clone());
            async move {
                let (codec, request) = many(&codec, request)?;
                one_back(&codec, function(request).await?)
            }
        };
        Procedure::client_stream(name, answer).encoding(encoding)
    }

    /// Any number of values there, any number back. The function returns when it begins to answer.
    #[must_use]
    pub fn duplex<In, Out, S, F, Fut>(self, name: impl Into<String>, function: F) -> Procedure
    where
        C: Codec<In> + Codec<Out>,
        In: 'static,
        S: Stream<Item = Result<Out, RpcError>> + Send + 'static,
        F: Fn(TypedRequest<TypedMessages<In>>) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Result<TypedResponse<S>, RpcError>> + Send + 'static,
    {
        let encoding = self.codec.name();
        let answer = move |request| {
            let (codec, function) = (self.codec.clone(), function.clone());
            async move {
                let (codec, request) = many(&codec, request)?;
                Ok(many_back(codec, function(request).await?))
            }
        };
        Procedure::duplex(name, answer).encoding(encoding)
    }
}

/// What reads the call, and the call with the one value that it has.
async fn one<C: Codec<T>, T>(
    codec: &C,
    request: Request,
) -> Result<(C, TypedRequest<T>), RpcError> {
    let Request { meta, messages } = request;
    let codec = codec::selected(codec, meta.encoding.as_deref(), Code::InvalidArgument)?;
    let message = messages.into_one().await?;
    let body = codec::read(&codec, message, Code::InvalidArgument)?;
    Ok((codec, TypedRequest { meta, body }))
}

/// What reads the call, and the call with its values, which are read as they come.
fn many<C: Codec<T>, T: 'static>(
    codec: &C,
    request: Request,
) -> Result<(C, TypedRequest<TypedMessages<T>>), RpcError> {
    let Request { meta, messages } = request;
    let codec = codec::selected(codec, meta.encoding.as_deref(), Code::InvalidArgument)?;
    let body = decoded(codec.clone(), messages, Code::InvalidArgument);
    Ok((codec, TypedRequest { meta, body }))
}

fn one_back<T>(codec: &impl Codec<T>, response: TypedResponse<T>) -> Result<Response, RpcError> {
    let message = codec::write(codec, &response.body)?;
    Ok(back(Messages::one(message), response.headers))
}

fn many_back<T>(
    codec: impl Codec<T>,
    response: TypedResponse<impl Stream<Item = Result<T, RpcError>> + Send + 'static>,
) -> Response {
    back(encoded(codec, response.body), response.headers)
}

/// An answer in the encoding of the call, by the name that the caller has used.
fn back(messages: Messages, headers: Headers) -> Response {
    Response {
        headers,
        ..Response::new(messages)
    }
}
