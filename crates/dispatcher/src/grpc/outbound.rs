//! [`GrpcOutbound`]: calls to another service over gRPC.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::uri::{Authority, Scheme};
use lifecycle_adapters::tls::ClientTls;
use tonic::body::Body;
use tonic::codec::CompressionEncoding;

use super::MESSAGE_BYTES;
use super::discovery;
use super::outgoing::{self, Broken};
use super::reply::Reading;
use crate::call::{Meta, Request, Response};
use crate::error::RpcError;
use crate::handler::handler_fn;
use crate::messages::Messages;
use crate::outbound::Outbound;
use crate::peer::{Breaker, Chooser, PeerSource, Peers, Pending};
use crate::shape::Shape;
use crate::until::within;
use crate::upstream::{Links, Open, Upstream};

/// Calls to another service over gRPC, of all five shapes, over HTTP/2: in clear text, or [over TLS](Self::tls).
///
/// As a component it opens nothing at its start: a connection comes with the first call, and is kept for the next ones. While a
/// peer cannot be reached it is degraded, until a connection comes about again. Its stop lets no further call in, waits for
/// open ones to the end of their answers, and cuts them off shortly before its time is up, or when it is forced.
///
/// There may be several [peers](Self::peer) that answer the same calls, also such that [come and go](Self::peers_from); a [`Chooser`] says
/// which of them is asked, and a [`Breaker`] when one that fails is left alone. A call of one message that a peer has not taken in, since it cannot be reached or drains, goes on to
/// the next one; a stream that has begun does not.
///
/// A call goes to `/service/procedure`, with its shape as `rpc-shape`. What is left of its deadline goes with it as `grpc-timeout`, and
/// holds for the messages of the answer too. An error is what the upstream names in `omnirelay-status`, and only when it names none
/// what its status says. Dropping a call, or the messages of its answer, gives it up at the upstream too; so does an error among
/// the messages that are sent.
///
/// ```
/// use dispatcher::{Dispatcher, GrpcOutbound, Outbound};
///
/// let billing = GrpcOutbound::new("billing", "127.0.0.1:9091")?;
/// let (dispatcher, registrations) = Dispatcher::builder("shop")
///     .outbound(Outbound::from(billing).key("eu"))
///     .build()?;
/// assert_eq!(registrations[0].name, "billing:eu:unary");
/// assert_eq!(registrations[0].aliases.len(), 4);
/// # let _ = dispatcher;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct GrpcOutbound {
    service: String,
    peers: Vec<Authority>,
    source: Option<Arc<dyn PeerSource>>,
    chooser: Chooser,
    breaker: Breaker,
    links: Links,
    tls: Option<ClientTls>,
    terms: Terms,
}

/// What holds for each call.
#[derive(Clone, Copy, Debug)]
struct Terms {
    message_bytes: usize,
    timeout: Duration,
    compression: Option<CompressionEncoding>,
}

/// A text that is no address of an upstream. The text itself is not shown: it may have a password in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrpcAddressError {
    /// It is no host with a port.
    #[error("the upstream is no host with a port, such as \"127.0.0.1:9090\"")]
    Unreadable,
    /// It has a user or a password, which would not be sent.
    #[error("the upstream's address has a user or a password; drop it")]
    Credentials,
}

impl GrpcOutbound {
    /// The way to `service` at `address`, `host:port`. Nothing is looked up or opened.
    ///
    /// # Errors
    ///
    /// [`GrpcAddressError`].
    pub fn new(service: impl Into<String>, address: &str) -> Result<Self, GrpcAddressError> {
        let peers = vec![authority(address)?];
        Ok(Self::to(service.into(), peers))
    }

    /// The way to `service` at the places that `source` says, and no others.
    #[must_use]
    pub fn discovering(service: impl Into<String>, source: impl PeerSource) -> Self {
        Self::to(service.into(), Vec::new()).peers_from(source)
    }

    fn to(service: String, peers: Vec<Authority>) -> Self {
        Self {
            service,
            peers,
            source: None,
            chooser: Chooser::default(),
            breaker: Breaker::default(),
            links: Links {
                http2: true,
                connect_timeout: Duration::from_secs(5),
                idle_timeout: Duration::from_secs(90),
            },
            tls: None,
            terms: Terms {
                message_bytes: MESSAGE_BYTES,
                timeout: Duration::from_secs(30),
                compression: None,
            },
        }
    }

    /// Adds a further peer that answers the same calls. Each has a connection of its own, once a call is made at it.
    ///
    /// # Errors
    ///
    /// [`GrpcAddressError`].
    pub fn peer(mut self, address: &str) -> Result<Self, GrpcAddressError> {
        self.peers.push(authority(address)?);
        Ok(self)
    }

    /// Calls over TLS alone, all peers alike. Its start fails for good, with a [`TlsError`](lifecycle_adapters::tls::TlsError), when a
    /// file is not in order.
    #[must_use]
    pub fn tls(mut self, tls: ClientTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Asks at the places that `source` says, too, as they come and go. Who stays keeps its circuit and its calls; who goes gets no
    /// further ones, and those that it has finish; who comes back is as new. While there is nobody at all, the outbound is degraded and
    /// calls are [`Code::Unavailable`](crate::Code::Unavailable). Of several sources the last one counts.
    #[must_use]
    pub fn peers_from(mut self, source: impl PeerSource) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// Sets which peer is asked: unset, one after the other.
    #[must_use]
    pub fn chooser(mut self, chooser: Chooser) -> Self {
        self.chooser = chooser;
        self
    }

    /// Sets when a peer that fails is left alone. It holds for the only one, too: its calls then fail at once.
    #[must_use]
    pub fn breaker(mut self, breaker: Breaker) -> Self {
        self.breaker = breaker;
        self
    }

    /// Sets how long it may take to open a connection (5 s), with the look-up of its name, and over TLS with the handshake.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.links.connect_timeout = timeout;
        self
    }

    /// Sets how long a connection is kept without a call (90 s).
    #[must_use]
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.links.idle_timeout = timeout;
        self
    }

    /// Sets how long a call of one message each way may take that has no deadline (30 s). Streams may take any time.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.terms.timeout = timeout;
        self
    }

    /// Compresses messages with gzip, and takes such from the upstream, which must know how to read them: else it says
    /// `UNIMPLEMENTED`. See [`GrpcInbound::gzip`](crate::GrpcInbound::gzip) for what that costs.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.terms.compression = Some(CompressionEncoding::Gzip);
        self
    }

    /// Sets how large a message of the upstream's may be (4 MiB), in bytes, once it is unpacked.
    #[must_use]
    pub fn message_bytes(mut self, bytes: usize) -> Self {
        self.terms.message_bytes = bytes;
        self
    }
}

impl From<GrpcOutbound> for Outbound {
    fn from(outbound: GrpcOutbound) -> Self {
        let scheme = match outbound.tls {
            Some(_) => Scheme::HTTPS,
            None => Scheme::HTTP,
        };
        let service = outbound.service.trim().to_owned();
        let peers = Peers::new(outbound.peers, outbound.chooser, outbound.breaker);
        let peers = Arc::new(peers);
        let mut upstream = Upstream::new(outbound.links, outbound.tls);
        if let Some(source) = outbound.source {
            upstream = upstream.following(discovery::following(&service, source, &peers));
        }
        let upstream = Arc::new(upstream);
        let calls = Arc::new(Calls {
            scheme,
            service,
            peers,
            terms: outbound.terms,
            upstream: Arc::clone(&upstream),
        });
        let by_shape = Self::by_shape(outbound.service, Shape::ALL, upstream, |shape| {
            let calls = Arc::clone(&calls);
            handler_fn(move |request| Arc::clone(&calls).call(shape, request))
        });
        by_shape.issue("grpc", move || calls.issue())
    }
}

/// Carries calls to the upstream.
struct Calls {
    scheme: Scheme,
    service: String,
    peers: Arc<Peers<Authority>>,
    terms: Terms,
    upstream: Arc<Upstream<Body>>,
}

impl Calls {
    fn issue(&self) -> Option<&'static str> {
        if self.upstream.admit().is_err() {
            return Some("not-started");
        }
        let is_available = self.peers.is_any_available();
        (!is_available).then_some("no-available-peers")
    }

    async fn call(
        self: Arc<Self>,
        shape: Shape,
        mut request: Request,
    ) -> Result<Response, RpcError> {
        let open = self.upstream.admit()?;
        let is_short = !shape.streams_requests() && !shape.streams_responses();
        if is_short && request.meta.deadline.is_none() {
            request.meta.limit(Instant::now(), self.terms.timeout);
        }
        let deadline = request.meta.deadline;
        let Request { meta, messages } = request;
        let mut sending = within(deadline, Sending::of(shape, messages)).await?;
        let (again, meta) = (sending.is_repeatable(), Arc::new(meta));
        let attempt = |peer, pending| {
            let (calls, meta) = (Arc::clone(&self), Arc::clone(&meta));
            let (messages, held) = (sending.next(), (Arc::clone(&open), pending));
            async move { calls.attempt(shape, peer, &meta, messages, held).await }
        };
        self.peers.call(deadline, again, attempt).await
    }

    async fn attempt(
        &self,
        shape: Shape,
        peer: Authority,
        meta: &Meta,
        messages: Messages,
        held: (Arc<Open<Body>>, Pending<Authority>),
    ) -> Result<Response, RpcError> {
        let broken = Broken::default();
        let messages = outgoing::body(messages, self.terms.compression, &broken);
        let (scheme, service) = (&self.scheme, &self.service);
        let mut request = outgoing::request(scheme, &peer, service, shape, meta, messages)?;
        outgoing::announce(self.terms.compression, request.headers_mut());
        let answer = held.0.send(request).await.map_err(|it| broken.or(it))?;
        held.1.answered();
        let reading = Reading {
            shape,
            message_bytes: self.terms.message_bytes,
            compression: self.terms.compression,
            deadline: meta.deadline,
            broken,
            held,
        };
        reading.read(answer).await
    }
}

/// The messages of a call, for as many attempts as they can be sent in.
enum Sending {
    One(Bytes),
    Stream(Messages),
}

impl Sending {
    async fn of(shape: Shape, messages: Messages) -> Result<Self, RpcError> {
        match shape.streams_requests() {
            true => Ok(Self::Stream(messages)),
            false => messages.into_one().await.map(Self::One),
        }
    }

    fn is_repeatable(&self) -> bool {
        matches!(self, Self::One(_))
    }

    fn next(&mut self) -> Messages {
        match self {
            Self::One(message) => Messages::one(message.clone()),
            Self::Stream(messages) => std::mem::replace(messages, Messages::none()),
        }
    }
}

/// The place that `address` is.
///
/// # Errors
///
/// [`GrpcAddressError`].
pub(super) fn authority(address: &str) -> Result<Authority, GrpcAddressError> {
    let authority: Result<Authority, _> = address.trim().parse();
    let authority = authority.map_err(|_| GrpcAddressError::Unreadable)?;
    if authority.as_str().contains('@') {
        return Err(GrpcAddressError::Credentials);
    }
    if authority.host().is_empty() || authority.port_u16().is_none() {
        return Err(GrpcAddressError::Unreadable);
    }
    Ok(authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_host_with_a_port_is_refused_without_showing_it() {
        for (address, expected) in [
            ("", GrpcAddressError::Unreadable),
            ("host", GrpcAddressError::Unreadable),
            (":80", GrpcAddressError::Unreadable),
            ("host:", GrpcAddressError::Unreadable),
            ("host:99999", GrpcAddressError::Unreadable),
            ("http://host:80", GrpcAddressError::Unreadable),
            ("root:hunter2@host:80", GrpcAddressError::Credentials),
        ] {
            let error = GrpcOutbound::new("billing", address).unwrap_err();
            assert_eq!(error, expected, "{address}");
            assert!(!error.to_string().contains("hunter2"));
        }
        for address in ["host:80", " 127.0.0.1:80 ", "[::1]:80"] {
            GrpcOutbound::new("billing", address).expect(address);
        }
    }
}
