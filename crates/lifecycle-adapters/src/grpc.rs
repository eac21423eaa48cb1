//! [`GrpcServer`]: tonic's routes as a component.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use lifecycle_core::{BoxError, DrainContext, Lifecycle, StartContext, StopContext};
use tonic::service::Routes;
use tonic::transport::server::TcpConnectInfo;

use crate::http::HttpServer;
use crate::limits::Limits;
use crate::server::Peer;

/// Where it listens unless told otherwise.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);

/// Serves gRPC. In everything not said here it is an [`HttpServer`]: when it starts, drains and stops, and what it limits.
///
/// While it is drained, a call is refused with the status `Unavailable` and the metadata `retry-after: 1`, and its
/// connection is asked to end.
///
/// HTTP/1.1 is let in too, for routes that serve gRPC-Web. To serve gRPC and more on one port, give
/// [`Routes::into_axum_router`] with further routes to an [`HttpServer`]: it refuses each request in its own protocol.
///
/// ```
/// use lifecycle_adapters::GrpcServer;
/// use lifecycle_core::Registration;
/// use tonic::service::Routes;
///
/// # let (_, health) = tonic_health::server::health_reporter();
/// let server = GrpcServer::new(Routes::new(health))
///     .answer_while_draining(["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"]);
/// let registration = Registration::new("grpc", server);
/// ```
#[derive(Debug)]
pub struct GrpcServer {
    server: HttpServer,
}

impl GrpcServer {
    /// Serves `routes` on `127.0.0.1:9090` unless [told otherwise](Self::bind).
    #[must_use]
    pub fn new(routes: Routes) -> Self {
        let router = routes.prepare().into_axum_router();
        let service = WithAddress(TowerToHyperService::new(router));
        Self {
            server: HttpServer::from_hyper(service).bind(DEFAULT_ADDRESS),
        }
    }

    /// Listens on `address`; port 0 takes any free one, another at each start.
    #[must_use]
    pub fn bind(self, address: SocketAddr) -> Self {
        Self {
            server: self.server.bind(address),
        }
    }

    /// As [`HttpServer::socket`].
    #[must_use]
    pub fn socket(self, socket: impl Into<Arc<std::net::TcpListener>>) -> Self {
        Self {
            server: self.server.socket(socket),
        }
    }

    /// Sets what a client may take. How large a message may be is set at tonic's services.
    #[must_use]
    pub fn limits(self, limits: Limits) -> Self {
        Self {
            server: self.server.limits(limits),
        }
    }

    /// Answers calls of exactly one of `paths` (`/package.Service/Method`) while it is drained too: health. They are never
    /// counted as in flight, so that they hold up neither a drain nor a stop.
    ///
    /// Replaces what was said before.
    #[must_use]
    pub fn answer_while_draining(self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            server: self.server.answer_while_draining(paths),
        }
    }

    /// As [`answer_while_draining`](Self::answer_while_draining), for calls that meet `condition`. It is asked for each
    /// call.
    #[must_use]
    pub fn answer_while_draining_if(
        self,
        condition: impl Fn(&Request<Incoming>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            server: self.server.answer_while_draining_if(condition),
        }
    }

    /// As [`HttpServer::tls`].
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(self, tls: crate::tls::ServerTls) -> Self {
        Self {
            server: self.server.tls(tls),
        }
    }

    /// As [`HttpServer::reload_tls`].
    ///
    /// # Errors
    ///
    /// [`TlsError`](crate::tls::TlsError), as there.
    ///
    /// # Cancel safety
    ///
    /// Safe: the files are read all the same.
    #[cfg(feature = "tls")]
    pub async fn reload_tls(&self) -> Result<(), crate::tls::TlsError> {
        self.server.reload_tls().await
    }

    /// Where it listens, with the port that was taken; `None` while it does not.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.server.local_addr()
    }
}

impl Lifecycle for GrpcServer {
    const DRAINS: bool = true;

    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        self.server.start(cx).await
    }

    async fn drain(&self, cx: &DrainContext) -> Result<(), BoxError> {
        self.server.drain(cx).await
    }

    async fn resume(&self, cx: &DrainContext) -> Result<(), BoxError> {
        self.server.resume(cx).await
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        self.server.stop(cx).await
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.server.dispose().await
    }
}

/// Tells tonic where a call came from, for its `Request::remote_addr`.
#[derive(Clone)]
struct WithAddress<S>(S);

impl<S: Service<Request<Incoming>>> Service<Request<Incoming>> for WithAddress<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn call(&self, mut call: Request<Incoming>) -> S::Future {
        if let Some(&Peer(address)) = call.extensions().get() {
            call.extensions_mut().insert(TcpConnectInfo {
                local_addr: None,
                remote_addr: Some(address),
            });
        }
        self.0.call(call)
    }
}
