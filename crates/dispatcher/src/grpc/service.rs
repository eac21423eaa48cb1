//! [`Calls`]: one service for every path, since what is offered changes while it runs.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use futures_util::stream::{MapErr, TryStreamExt as _};
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, Request, Response, StatusCode, Version};
use http_body_util::BodyExt as _;
use hyper::body::{Frame, Incoming};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{CompressionEncoding, Streaming};
use tonic::metadata::MetadataMap;
use tonic::server::{Grpc, StreamingService};
use tower::Service;

use super::codec::Raw;
use super::health::{self, Probes};
use super::{Terms, incoming, metadata, names, status};
use crate::call::{self, Meta};
use crate::dispatcher::Dispatcher;
use crate::error::RpcError;
use crate::messages::Messages;
use crate::shape::Shape;
use crate::until::{Until, within};

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Turns requests into calls, and what comes of them into answers.
#[derive(Clone)]
pub(super) struct Calls {
    dispatcher: Dispatcher,
    terms: Terms,
    probes: Probes,
}

impl Calls {
    pub(super) fn new(dispatcher: Dispatcher, terms: Terms) -> Self {
        let probes = health::probes(dispatcher.clone());
        Self {
            dispatcher,
            terms,
            probes,
        }
    }
}

impl Service<Request<Incoming>> for Calls {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        if let Some(refusal) = not_grpc(&request) {
            return Box::pin(std::future::ready(Ok(refusal)));
        }
        if health::is_probe(request.uri()) {
            return self.probes.call(request);
        }
        let calls = self.clone();
        Box::pin(async move { Ok(calls.answer(request).await) })
    }
}

impl Calls {
    async fn answer(self, request: Request<Incoming>) -> Response<Body> {
        let terms = self.terms;
        let answering = match self.read(&request) {
            Ok(answering) => answering,
            Err(error) => return finish(status::of(&error).into_http()),
        };
        let request = request.map(|body| body.map_err(|_| status::broken_off()));
        let mut grpc = Grpc::new(Raw).max_decoding_message_size(terms.message_bytes);
        if terms.gzip {
            let gzip = CompressionEncoding::Gzip;
            grpc = grpc.accept_compressed(gzip).send_compressed(gzip);
        }
        finish(grpc.streaming(answering, request).await)
    }

    fn read(self, request: &Request<Incoming>) -> Result<Answering, RpcError> {
        let (uri, headers) = (request.uri(), request.headers());
        let meta = incoming::meta(uri, headers, Instant::now(), jiff::Timestamp::now())?;
        let said = incoming::shape(headers)?;
        let offered = self.offered(said, &meta.procedure);
        Ok(Answering {
            calls: self,
            shape: offered.or(said).unwrap_or(Shape::Unary),
            is_offered: offered.is_some(),
            meta,
        })
    }

    /// The shape of the procedure that a call finds, if it finds one.
    fn offered(&self, said: Option<Shape>, procedure: &str) -> Option<Shape> {
        if procedure.trim().is_empty() {
            return None;
        }
        let offered = said.filter(|it| self.dispatcher.offers(*it, procedure));
        // A relay says its own shape, which may be wider than what it leads to.
        offered.or_else(|| self.dispatcher.shape_of(procedure))
    }
}

/// One call, whose messages are yet to come.
struct Answering {
    calls: Calls,
    shape: Shape,
    is_offered: bool,
    meta: Meta,
}

type Answers = MapErr<Until, fn(RpcError) -> Status>;

impl StreamingService<Bytes> for Answering {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = BoxFuture<Result<tonic::Response<Answers>, Status>>;

    fn call(&mut self, request: tonic::Request<Streaming<Bytes>>) -> Self::Future {
        let (calls, shape) = (self.calls.clone(), self.shape);
        let meta = std::mem::take(&mut self.meta);
        // What is not offered is refused before there is a message.
        let received = self.is_offered.then(|| request.into_inner());
        Box::pin(async move {
            let answered = calls.dispatch(shape, meta, received).await;
            answered.map_err(|it| status::of(&it))
        })
    }
}

impl Calls {
    async fn dispatch(
        &self,
        shape: Shape,
        meta: Meta,
        received: Option<Streaming<Bytes>>,
    ) -> Result<tonic::Response<Answers>, RpcError> {
        let deadline = meta.deadline;
        let called = async {
            let Some(received) = received else {
                let messages = Messages::none();
                let request = call::Request { meta, messages };
                return self.dispatcher.refuse(shape, request).await;
            };
            let messages = incoming::messages(shape, received, self.terms).await?;
            let request = call::Request { meta, messages };
            self.dispatcher.call(shape, request).await
        };
        let mut response = within(deadline, called).await?;
        if shape == Shape::Oneway {
            // That it has arrived is told by an empty message: without one, a client takes the call for failed.
            response.messages = Messages::one(Bytes::new());
        }
        Ok(answer(response, deadline))
    }
}

/// What travels as the trailer of an answer that is to come.
#[derive(Clone)]
struct Encoding(String);

fn answer(response: call::Response, deadline: Option<Instant>) -> tonic::Response<Answers> {
    let to_status: fn(RpcError) -> Status = |it| status::of(&it);
    let messages = Until::new(response.messages, deadline).map_err(to_status);
    let mut answer = tonic::Response::new(messages);
    let mut headers = HeaderMap::new();
    metadata::send(response.headers.iter(), &mut headers);
    if let Some(encoding) = response.encoding {
        metadata::set(&mut headers, names::ENCODING, &encoding);
        answer.extensions_mut().insert(Encoding(encoding));
    }
    *answer.metadata_mut() = MetadataMap::from_headers(headers);
    answer
}

/// Adds the trailers of the protocol. An answer without messages has all that would be trailers in its head.
fn finish(mut answer: Response<Body>) -> Response<Body> {
    let encoding = answer.extensions_mut().remove::<Encoding>();
    if answer.headers().contains_key("grpc-status") {
        complete(answer.headers_mut(), encoding.as_ref());
        return answer;
    }
    answer.map(|body| {
        Body::new(body.map_frame(move |frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                complete(&mut trailers, encoding.as_ref());
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }))
    })
}

fn complete(trailers: &mut HeaderMap, encoding: Option<&Encoding>) {
    let is_ok = trailers.get("grpc-status").is_some_and(|it| it == "0");
    if is_ok && !trailers.contains_key(names::STATUS) {
        metadata::set(trailers, names::STATUS, "OK");
    }
    metadata::set(trailers, names::TRANSPORT, "grpc");
    if let Some(Encoding(encoding)) = encoding {
        metadata::set(trailers, names::ANSWER_ENCODING, encoding);
    }
}

/// The answer to what is no gRPC call, as gRPC over HTTP/2 demands it.
fn not_grpc(request: &Request<Incoming>) -> Option<Response<Body>> {
    let refusal = |status: StatusCode| {
        let mut answer = Response::new(Body::empty());
        *answer.status_mut() = status;
        answer
    };
    if request.version() < Version::HTTP_2 {
        return Some(refusal(StatusCode::HTTP_VERSION_NOT_SUPPORTED));
    }
    if request.method() != Method::POST {
        let mut answer = refusal(StatusCode::METHOD_NOT_ALLOWED);
        let post = HeaderValue::from_static("POST");
        answer.headers_mut().insert(ALLOW, post);
        return Some(answer);
    }
    let content_type = request.headers().get(CONTENT_TYPE);
    let kind = content_type.and_then(|it| it.as_bytes().strip_prefix(b"application/grpc"));
    let is_grpc = matches!(kind, Some([] | [b'+' | b';', ..]));
    (!is_grpc).then(|| refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE))
}
