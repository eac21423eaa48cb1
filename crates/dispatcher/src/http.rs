//! [`HttpInbound`]: calls over HTTP/1.1 and HTTP/2.
//!
//! The path of a request means nothing: the procedure comes from the header `Rpc-Procedure`. Of what is posted, a one-way procedure
//! is looked for first, then a unary one. Server streams are answered with events, to `GET`, and to `POST` when their client accepts
//! events and says more than nothing.

mod answer;
mod event_reader;
mod events;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod incoming;
mod meters;
mod names;
mod outbound;
mod outgoing;
mod passed;
mod probes;
mod received;
mod reply;

pub use outbound::{HttpOutbound, HttpUrlError};
use probes::Probe;

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, Request};
use hyper::body::Incoming;
use lifecycle_adapters::tls::ServerTls;
use lifecycle_adapters::{HttpServer, Limits};
use lifecycle_core::Component;
use tower::Service;

use crate::call::{self, Meta};
use crate::dispatcher::Dispatcher;
use crate::error::RpcError;
use crate::inbound::Inbound;
use crate::messages::Messages;
use crate::shape::Shape;
use crate::until::within;
use answer::Answer;
use meters::{Exchange, Meters};

/// How large a message may be, unless set.
const BODY_BYTES: usize = 1 << 20;

/// How long a client may take to send it, unless set.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a stream is silent until its client is told that it is still there, unless set.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Calls over HTTP/1.1 and HTTP/2: unary, one-way, and server streams as server-sent events.
///
/// It starts when its port is open, and drains and stops as [`HttpServer`] does: while it is drained, new calls get 503 with
/// `Retry-After: 1`, and open ones finish.
///
/// Of its requests, but for probes, it counts by the façade `metrics` what has started (`omnirelay_http_requests_started_total`) and
/// completed (`…_completed_total`, by status), how long they lasted (`omnirelay_http_request_duration_seconds`), and the messages of
/// its streams (`omnirelay_http_server_stream_response_messages_total`). The process's recorder must be there before the first one.
///
/// Beside calls it answers `GET` of `/healthz`, `/readyz` and `/omnirelay/introspect`, while it is drained too.
///
/// A unary call is answered with 200, a one-way call with 202, a server stream with 200 and events, and an error with the status of
/// its [`Code`](crate::Code), with the headers `Rpc-Status`, `Rpc-Error-Code` and `Rpc-Error-Message`, and with a JSON document of
/// `message`, `status`, `code` and `metadata`. The deadline of a call comes from `Rpc-Ttl-Ms` (milliseconds) and `Rpc-Deadline`
/// (RFC 3339), of which the earlier one counts; when it has passed, the handler is dropped and the caller gets
/// [`Code::DeadlineExceeded`](crate::Code::DeadlineExceeded).
#[derive(Clone, Debug)]
pub struct HttpInbound {
    address: SocketAddr,
    socket: Option<Arc<TcpListener>>,
    limits: Limits,
    terms: Terms,
    tls: Option<ServerTls>,
    port: HttpPort,
}

/// What holds for each call.
#[derive(Clone, Copy, Debug)]
struct Terms {
    body_bytes: usize,
    body_timeout: Duration,
    keep_alive: Duration,
}

/// Where an [`HttpInbound`] listens.
#[derive(Clone, Debug, Default)]
pub struct HttpPort(Arc<OnceLock<Arc<HttpServer>>>);

impl HttpPort {
    /// The address, with the port that was taken; `None` while it does not listen.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.get()?.local_addr()
    }
}

impl HttpInbound {
    /// An inbound on `address`; port 0 takes any free one, another at each start.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            socket: None,
            limits: Limits::default(),
            terms: Terms {
                body_bytes: BODY_BYTES,
                body_timeout: BODY_TIMEOUT,
                keep_alive: KEEP_ALIVE,
            },
            tls: None,
            port: HttpPort::default(),
        }
    }

    /// Listens on a socket that somebody else has opened, as [`HttpServer::socket`] does: nobody is refused while it is restarted or
    /// drained, and who comes then waits.
    #[must_use]
    pub fn socket(mut self, socket: impl Into<Arc<TcpListener>>) -> Self {
        self.socket = Some(socket.into());
        self
    }

    /// Sets what a client may take of the listener.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how large a message may be (1 MiB), in bytes; a larger one is refused with 429.
    #[must_use]
    pub fn body_bytes(mut self, bytes: usize) -> Self {
        self.terms.body_bytes = bytes;
        self
    }

    /// Sets how long a client may take to send it (30 s).
    #[must_use]
    pub fn body_timeout(mut self, timeout: Duration) -> Self {
        self.terms.body_timeout = timeout;
        self
    }

    /// Sets how long a stream is silent until a comment tells its client, and whoever is in between, that it is still there (15 s).
    #[must_use]
    pub fn keep_alive(mut self, silence: Duration) -> Self {
        self.terms.keep_alive = silence;
        self
    }

    /// Takes calls over TLS alone. Its start fails for good, with a [`TlsError`](lifecycle_adapters::tls::TlsError), when a file is not
    /// in order.
    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Tells where it listens, once it does.
    #[must_use]
    pub fn port(&self) -> HttpPort {
        self.port.clone()
    }
}

impl From<HttpInbound> for Inbound {
    fn from(inbound: HttpInbound) -> Self {
        Self::http(move |dispatcher| {
            let terms = inbound.terms;
            let make = |server: &Weak<HttpServer>| {
                let calls = Calls {
                    dispatcher,
                    terms,
                    meters: Arc::default(),
                    server: Weak::clone(server),
                };
                let server = HttpServer::new(calls)
                    .bind(inbound.address)
                    .limits(inbound.limits)
                    .answer_while_draining_if(|it| Probe::asked(it).is_some());
                let server = match inbound.socket {
                    Some(socket) => server.socket(socket),
                    None => server,
                };
                match inbound.tls {
                    Some(tls) => server.tls(tls),
                    None => server,
                }
            };
            let server = inbound.port.0.get_or_init(|| Arc::new_cyclic(make));
            Component::from(Arc::clone(server))
        })
    }
}

/// Turns requests into calls, and what comes of them into answers.
#[derive(Clone)]
struct Calls {
    dispatcher: Dispatcher,
    terms: Terms,
    meters: Arc<Meters>,
    /// Whose calls these are; it holds this in turn.
    server: Weak<HttpServer>,
}

impl Service<Request<Incoming>> for Calls {
    type Response = Answer;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Incoming>) -> Self::Future {
        let calls = self.clone();
        Box::pin(async move {
            let protocol = meters::protocol(request.version());
            let mut answer = calls.answer(request).await;
            let protocol = HeaderValue::from_static(protocol);
            answer.headers_mut().insert(names::PROTOCOL, protocol);
            Ok(answer)
        })
    }
}

impl Calls {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        if let (Some(probe), Some(server)) = (Probe::asked(&request), self.server.upgrade()) {
            return probe.answer(&self.dispatcher, &server).map(answer::whole);
        }
        let mut exchange = self.meters.started(request.version());
        let answer = self.answer_call(request, &mut exchange).await;
        exchange.is_answered(answer.status());
        answer.map(|body| answer::counted(body, exchange))
    }

    async fn answer_call(&self, request: Request<Incoming>, exchange: &mut Exchange) -> Answer {
        let (head, body) = request.into_parts();
        let is_get = head.method == Method::GET;
        if !is_get && head.method != Method::POST {
            return answer::no_call();
        }
        let meta = match incoming::meta(&head.headers, Instant::now(), jiff::Timestamp::now()) {
            Ok(meta) => meta,
            Err(error) => return answer::error(&error),
        };
        let takes_events = incoming::takes_events(&head.headers);
        // A call without a procedure is refused as such, whatever it takes.
        if is_get && !takes_events && !meta.procedure.is_empty() {
            return answer::only_events();
        }
        let shape = self.shape(&meta.procedure, is_get, takes_events);
        exchange.asks_for(shape);
        let answered = self.dispatch(shape, meta, body).await;
        answered.unwrap_or_else(|error| answer::error(&error))
    }

    /// Which procedure of that name is meant: how it is asked for decides, and then what there is.
    fn shape(&self, procedure: &str, is_get: bool, takes_events: bool) -> Shape {
        let offers = |shape| self.dispatcher.offers(shape, procedure);
        if is_get || takes_events && offers(Shape::ServerStream) {
            return Shape::ServerStream;
        }
        match offers(Shape::Oneway) {
            true => Shape::Oneway,
            false => Shape::Unary,
        }
    }

    async fn dispatch(&self, shape: Shape, meta: Meta, body: Incoming) -> Result<Answer, RpcError> {
        let deadline = meta.deadline;
        let called = async {
            let message = incoming::message(body, self.terms).await?;
            let messages = Messages::one(message);
            let request = call::Request { meta, messages };
            let response = self.dispatcher.call(shape, request).await?;
            if shape.streams_responses() {
                return Ok(answer::stream(response, deadline, self.terms.keep_alive));
            }
            answer::success(shape, response).await
        };
        within(deadline, called).await
    }
}
