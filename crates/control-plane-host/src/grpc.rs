//! `control-plane:grpc`: what happens in this host, for programs that speak gRPC.
//!
//! | service | |
//! |---|---|
//! | [`controlplane.v1.LifecycleService`](v1) | a snapshot, then each change; whoever comes back goes on where they left off |
//! | [`controlplane.v1.LeadershipService`](v1) | who leads, then each event |
//! | `grpc.health.v1.Health` | serving while the host is ready; a watcher is told of each change as it happens |
//! | `grpc.reflection.v1.ServerReflection`, and `v1alpha` | what is served here |
//!
//! [`ControlGrpc`] is the component. It takes no part in drains: what it tells is wanted most while the node drains. When
//! it stops, streams end with `UNAVAILABLE`, so that nobody who watches holds up the stop.
//!
//! Health and reflection are open to all, as probes are. The rest asks for a token or a client certificate where there are [`Credentials`].

mod feed;
mod health;
mod leadership;
mod lifecycle;
pub mod v1;
mod wording;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::HeaderValue;
use diagnostics::{Accepted, Credentials, Refusal, Scope, Shown};
use lifecycle_adapters::tls::{PeerCertificate, ServerTls};
use lifecycle_adapters::{GrpcServer, Limits};
use lifecycle_core::{BoxError, Criticality, Lifecycle, Registration, StartContext, StopContext};
use lifecycle_runtime::Handle;
use mesh::leadership::Observer;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Status};
use tonic_reflection::server::Error as ReflectionError;

use crate::grpc::health::Readiness;
use crate::grpc::leadership::Leaderships;
use crate::grpc::lifecycle::Lifecycles;
use crate::grpc::v1::leadership_service_server::{self, LeadershipServiceServer};
use crate::grpc::v1::lifecycle_service_server::{self, LifecycleServiceServer};

/// The name under which it is registered.
pub const NAME: &str = "control-plane:grpc";

/// The most that a question may have, in bytes.
const QUESTION_BYTES: usize = 4096;

/// How long who shows a wrong token waits for the answer; so many streams may each try ten a second.
const WRONG_TOKEN: Duration = Duration::from_millis(100);

const REFLECTION: &str = "/grpc.reflection.";

/// The services of ours.
const SERVICES: [&str; 2] = [
    leadership_service_server::SERVICE_NAME,
    lifecycle_service_server::SERVICE_NAME,
];

/// What a host says about its gRPC listener.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 takes any free one. Default: `127.0.0.1:9182`, beside the control listener of HTTP. Not that
    /// of gossip, which the same number over TCP would only seem to be.
    pub address: SocketAddr,
    /// A socket at that address that somebody else has opened, to be used in place of one of its own. Default: none.
    pub socket: Option<Arc<TcpListener>>,
    /// Who may look. Default: everybody on loopback, nobody elsewhere.
    pub credentials: Credentials,
    /// Its certificate, and which CA vouches for those of clients. Default: none, so that it speaks in clear text.
    pub tls: Option<ServerTls>,
    /// Who leads; without it, nobody does. Default: none.
    pub leaders: Option<Observer>,
    /// How many streams of each service are open at once; further ones are refused. Default: 32.
    pub streams: usize,
    /// What a client may take. Default: 256 connections of 64 calls each, and for the rest that of [`Limits`].
    pub limits: Limits,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9182),
            socket: None,
            credentials: Credentials::default(),
            tls: None,
            leaders: None,
            streams: 32,
            limits: Limits {
                connections: 256,
                streams: 64,
                ..Limits::default()
            },
        }
    }
}

/// The control listener of gRPC as a component.
///
/// It starts and stops as a [`GrpcServer`] does: `start` returns when the port is open, and a port that is taken is a failed
/// start that can be repeated. It is no participant of drains.
pub struct ControlGrpc {
    server: GrpcServer,
    line: Arc<Line>,
}

impl ControlGrpc {
    /// A listener that tells of the orchestrator of `handle`; nothing is opened before it is started.
    ///
    /// # Errors
    ///
    /// When the descriptors of the protocols cannot be read, which is a fault of the build.
    pub fn new(handle: Handle, options: &Options) -> Result<Self, ReflectionError> {
        let line = Arc::new(Line::new(options));
        let readiness = Readiness::new(handle.status(), Arc::clone(&line));
        let lifecycles = Lifecycles::new(handle, Arc::clone(&line));
        let lifecycles = LifecycleServiceServer::new(lifecycles);
        let leaderships = Leaderships::new(options.leaders.clone(), Arc::clone(&line));
        let leaderships = LeadershipServiceServer::new(leaderships);
        let descriptors = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = Routes::new(lifecycles.max_decoding_message_size(QUESTION_BYTES))
            .add_service(leaderships.max_decoding_message_size(QUESTION_BYTES))
            .add_service(health::service(readiness))
            .add_service(descriptors().build_v1()?)
            .add_service(descriptors().build_v1alpha()?);
        let server = GrpcServer::new(routes)
            .bind(options.address)
            .limits(options.limits)
            // A client may keep such a call open as long as it likes; no stop waits for that.
            .answer_while_draining_if(|it| it.uri().path().starts_with(REFLECTION));
        let server = match &options.socket {
            Some(socket) => server.socket(Arc::clone(socket)),
            None => server,
        };
        let server = match &options.tls {
            Some(tls) => server.tls(tls.clone()),
            None => server,
        };
        Ok(Self { server, line })
    }

    /// It under [`NAME`], and essential.
    ///
    /// A host that has leadership adds the edge to that: hard, and tolerated.
    #[must_use]
    pub fn registration(self: Arc<Self>) -> Registration {
        Registration::new(NAME, self).criticality(Criticality::Essential)
    }

    /// Where it listens, with the port that was taken; `None` while it does not.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.server.local_addr()
    }
}

impl Lifecycle for ControlGrpc {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        self.line.open(cx.run_token());
        self.server.start(cx).await
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        self.server.stop(cx).await
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.server.dispose().await
    }
}

impl fmt::Debug for ControlGrpc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ControlGrpc")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// What the services know of their listener.
#[derive(Debug)]
struct Line {
    credentials: Credentials,
    on_loopback: bool,
    /// Alive until the stop of this generation begins.
    run: Mutex<CancellationToken>,
    watchers: Arc<Semaphore>,
    probes: Arc<Semaphore>,
}

impl Line {
    fn new(options: &Options) -> Self {
        Self {
            credentials: options.credentials.clone(),
            on_loopback: options.address.ip().to_canonical().is_loopback(),
            run: Mutex::default(),
            watchers: Arc::new(Semaphore::new(options.streams)),
            probes: Arc::new(Semaphore::new(options.streams)),
        }
    }

    fn open(&self, run: CancellationToken) {
        *self.run() = run;
    }

    fn run(&self) -> MutexGuard<'_, CancellationToken> {
        self.run.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets an endless call begin, unless as many are open as may be. It has to end with the token.
    fn begin(&self, places: &Arc<Semaphore>) -> Result<Stay, Status> {
        let run = self.run().clone();
        if run.is_cancelled() {
            return Err(stopping());
        }
        let place = Arc::clone(places).try_acquire_owned();
        let place = place.map_err(|_| {
            Status::resource_exhausted("all streams are taken; close one, or try again later")
        })?;
        Ok(Stay { run, _place: place })
    }

    /// Whether who sent this may look.
    async fn admit<T>(&self, request: &Request<T>) -> Result<(), Status> {
        let token = request.metadata().get("authorization");
        // What is no header is no token either.
        let token = token.map(|it| {
            HeaderValue::from_bytes(it.as_bytes()).unwrap_or(HeaderValue::from_static(""))
        });
        let certificate = request.extensions().get::<PeerCertificate>();
        let shown = Shown {
            authorization: token.as_ref(),
            certificate: certificate.map(PeerCertificate::der),
        };
        let permitted = self
            .credentials
            .permit(shown, Scope::Read, self.on_loopback);
        let Err(refusal) = permitted else {
            return Ok(());
        };
        if refusal == Refusal::WrongToken {
            tokio::time::sleep(WRONG_TOKEN).await;
        }
        Err(refused(&refusal))
    }
}

/// The place of one endless call, until it is dropped.
#[derive(Debug)]
struct Stay {
    run: CancellationToken,
    _place: OwnedSemaphorePermit,
}

fn refused(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::NobodyMay => Status::permission_denied(
            "this listener can be reached from other machines and has no credentials: nobody may ask",
        ),
        Refusal::NothingShown(Accepted::Certificates) => {
            Status::unauthenticated("show a client certificate")
        }
        Refusal::NothingShown(Accepted::Tokens | Accepted::Both) => Status::unauthenticated(
            "show a token: `authorization: Bearer TOKEN` among the metadata",
        ),
        Refusal::WrongToken => Status::unauthenticated("the token is none of this host's"),
        Refusal::NamelessCertificate => {
            Status::permission_denied("the client certificate has no name that could be used")
        }
        Refusal::UnknownCertificate { who } => Status::permission_denied(format!(
            "{who:?} may do nothing here: no name in the client certificate has a scope"
        )),
        Refusal::NotAllowed { who, wanted } => {
            Status::permission_denied(format!("{who:?} may not do what needs {}", wanted.as_str()))
        }
    }
}

fn stopping() -> Status {
    Status::unavailable("the listener stops")
}
