//! [`GrpcInbound`] and [`GrpcOutbound`]: calls over gRPC.
//!
//! The path of a request is `/service/procedure`, and its messages are passed on as they are. What is offered is looked up for each
//! call, so that aliases, wildcards and late registrations are found too.

mod codec;
mod discovery;
#[cfg(fuzzing)]
pub(crate) mod fuzzing;
mod health;
mod incoming;
mod metadata;
mod names;
mod outbound;
mod outgoing;
mod reply;
mod service;
mod status;
mod timeout;

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use lifecycle_adapters::tls::ServerTls;
use lifecycle_adapters::{HttpServer, Limits};
use lifecycle_core::Component;

pub use self::outbound::{GrpcAddressError, GrpcOutbound};
use self::service::Calls;
use crate::inbound::Inbound;

/// How large a message may be, unless set: gRPC's own default.
const MESSAGE_BYTES: usize = 4 << 20;

/// How long a client may take to send the one message of a call that has one, unless set.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls over gRPC, of all five shapes, and `grpc.health.v1`.
///
/// It starts when its port is open, and drains and stops as [`HttpServer`] does: while it is drained, new calls get
/// `UNAVAILABLE` with `retry-after: 1`, their connection is asked to end, and open ones finish.
///
/// A call goes to the procedure that the path `/service/procedure` names, percent-encoded where it must be. The path does not say of
/// which shape that is: the metadata `rpc-shape` may. Unless there is a procedure of that name and shape, the best find is called, and
/// of equals the widest shape, since it carries what the others do. A one-way call is answered with one empty message.
///
/// The deadline of a call is the earliest of `grpc-timeout`, `rpc-ttl-ms` and `rpc-deadline`. When it has passed, the handler or
/// what is left of its messages is dropped, and the caller gets [`Code::DeadlineExceeded`](crate::Code::DeadlineExceeded). A call that
/// its client gives up is dropped at once; messages that it had not sent to their end are an error, not an end.
///
/// Errors are gRPC's statuses of the same name, with the trailers `omnirelay-status`, `omnirelay-error-code` and
/// `omnirelay-error-message`, and their metadata beside them.
///
/// Health is serving while the host is ready, whichever service is asked for; probes are answered while drained, too, and watches
/// are told of each change. It needs to know the orchestrator: [`driven_by`](crate::Dispatcher::driven_by).
#[derive(Clone, Debug)]
pub struct GrpcInbound {
    address: SocketAddr,
    socket: Option<Arc<TcpListener>>,
    limits: Limits,
    terms: Terms,
    tls: Option<ServerTls>,
    port: GrpcPort,
}

/// What holds for each call.
#[derive(Clone, Copy, Debug)]
struct Terms {
    message_bytes: usize,
    message_timeout: Duration,
    gzip: bool,
}

/// Where a [`GrpcInbound`] listens.
#[derive(Clone, Debug, Default)]
pub struct GrpcPort(Arc<OnceLock<Arc<HttpServer>>>);

impl GrpcPort {
    /// The address, with the port that was taken; `None` while it does not listen.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.get()?.local_addr()
    }
}

impl GrpcInbound {
    /// An inbound on `address`; port 0 takes any free one, another at each start.
    #[must_use]
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            socket: None,
            limits: Limits::default(),
            terms: Terms {
                message_bytes: MESSAGE_BYTES,
                message_timeout: MESSAGE_TIMEOUT,
                gzip: false,
            },
            tls: None,
            port: GrpcPort::default(),
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

    /// Sets how large a message that comes in may be (4 MiB), in bytes; a larger one is refused with `RESOURCE_EXHAUSTED`.
    #[must_use]
    pub fn message_bytes(mut self, bytes: usize) -> Self {
        self.terms.message_bytes = bytes;
        self
    }

    /// Sets how long a client may take to send the one message of a call that has one (30 s). Between the messages of a stream
    /// there is no limit but the call's deadline.
    #[must_use]
    pub fn message_timeout(mut self, timeout: Duration) -> Self {
        self.terms.message_timeout = timeout;
        self
    }

    /// Takes messages that are compressed with gzip, and compresses its own where the client says that it takes such. How large a
    /// message may be is said of what it is unpacked. It costs time of the threads that calls run on, and it tells who listens on
    /// the way, by their length, what messages have in common: leave it off where secrets stand beside what callers choose.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.terms.gzip = true;
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
    pub fn port(&self) -> GrpcPort {
        self.port.clone()
    }
}

impl From<GrpcInbound> for Inbound {
    fn from(inbound: GrpcInbound) -> Self {
        Self::grpc(move |dispatcher| {
            let server = HttpServer::new(Calls::new(dispatcher, inbound.terms))
                .bind(inbound.address)
                .limits(inbound.limits)
                .answer_while_draining_if(|it| health::is_probe(it.uri()));
            let server = match inbound.socket {
                Some(socket) => server.socket(socket),
                None => server,
            };
            let server = match inbound.tls {
                Some(tls) => server.tls(tls),
                None => server,
            };
            let server = inbound.port.0.get_or_init(|| Arc::new(server));
            Component::from(Arc::clone(server))
        })
    }
}
