//! What comes back, as an answer or an error.

use std::time::Instant;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use tonic::Status;
use tonic::codec::{CompressionEncoding, Streaming};

use super::codec::Raw;
use super::outgoing::Broken;
use super::{metadata, names, status};
use crate::call;
use crate::code::Code;
use crate::error::RpcError;
use crate::messages::Messages;
use crate::shape::Shape;
use crate::until::Until;
use crate::upstream::interrupted;

/// How the answer to a call is read.
pub(super) struct Reading<H> {
    pub(super) shape: Shape,
    pub(super) message_bytes: usize,
    /// How messages may be compressed.
    pub(super) compression: Option<CompressionEncoding>,
    pub(super) deadline: Option<Instant>,
    pub(super) broken: Broken,
    /// Kept as long as there may be more to read.
    pub(super) held: H,
}

impl<H: Send + 'static> Reading<H> {
    /// Reads an answer: whole, or where its shape has any number of messages, its head.
    ///
    /// # Errors
    ///
    /// What the other side says; [`Code::Unavailable`] when the connection ends first, [`Code::ResourceExhausted`] when a message is
    /// too large, and [`Code::Internal`] when there is not one message where there must be one.
    pub(super) async fn read(self, answer: Response<Incoming>) -> Result<call::Response, RpcError> {
        let (head, body) = answer.into_parts();
        if !is_grpc(&head.headers) {
            return Err(no_grpc(head.status));
        }
        let mut headers = head.headers;
        keep_details(&mut headers);
        let told = Status::from_header_map(&headers);
        if let Some(status) = told.as_ref().filter(|it| it.code() != tonic::Code::Ok) {
            return Err(status::error(status));
        }
        let body = body.map_err(|_| status::of(&interrupted()));
        let body = body.map_frame(|frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                keep_details(&mut trailers);
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        });
        let limit = Some(self.message_bytes);
        // What is compressed in another way is an error where the first such message is.
        let is_compressed = headers
            .get(names::COMPRESSION)
            .is_some_and(|it| it == names::GZIP);
        let compression = self.compression.filter(|_| is_compressed);
        let received = match told {
            Some(_) => Streaming::new_empty(Raw, body),
            None => Streaming::new_response(Raw, body, head.status, compression, limit),
        };
        if self.shape.streams_responses() {
            return Ok(self.stream(&headers, received));
        }
        self.whole(&headers, received).await
    }

    fn stream(self, headers: &HeaderMap, received: Streaming<Bytes>) -> call::Response {
        let Self {
            broken,
            held,
            deadline,
            ..
        } = self;
        let messages = received.map_err(move |status| {
            let _held = &held;
            broken.or(status::error(&status))
        });
        let messages = Until::new(Messages::stream(messages), deadline);
        let mut response = call::Response::new(Messages::stream(messages));
        response.headers = metadata::received(headers);
        response.encoding = text(headers, names::ENCODING);
        response
    }

    async fn whole(
        self,
        headers: &HeaderMap,
        mut received: Streaming<Bytes>,
    ) -> Result<call::Response, RpcError> {
        let fault = |status: Status| self.broken.or(status::error(&status));
        let first = received.message().await.map_err(fault)?;
        let more = match first {
            Some(_) => received.message().await.map_err(fault)?,
            None => None,
        };
        let trailers = received.trailers().await.map_err(fault)?;
        let trailers = trailers.unwrap_or_default().into_headers();
        let messages = match (self.shape, first, more) {
            (Shape::Oneway, ..) => Messages::none(),
            (_, Some(message), None) => Messages::one(message),
            (_, None, _) => return Err(miscounted("no message")),
            (_, Some(_), Some(_)) => return Err(miscounted("several messages")),
        };
        let mut response = call::Response::new(messages);
        response.headers = metadata::received(headers);
        for (name, value) in metadata::own(&trailers) {
            let _ = response.headers.append(name, value);
        }
        let encoding = text(headers, names::ENCODING);
        response.encoding = encoding.or_else(|| text(&trailers, names::ANSWER_ENCODING));
        Ok(response)
    }
}

fn miscounted(what: &str) -> RpcError {
    let message = format!("the upstream answered with {what} where one is needed");
    RpcError::new(Code::Internal, message)
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(str::to_owned)
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.is_some_and(|it| it.starts_with(b"application/grpc"))
}

fn no_grpc(status: StatusCode) -> RpcError {
    let message = format!("the upstream's answer is no gRPC, but HTTP {status}");
    RpcError::new(Code::from_http_status(status.as_u16()), message)
}

/// Details are passed on, not looked into: tonic panics at some that are no base64.
fn keep_details(headers: &mut HeaderMap) {
    if let Some(details) = headers.remove(names::DETAILS) {
        headers.insert(names::KEPT_DETAILS, details);
    }
}
