//! [`HttpServer`]: HTTP/1.1 and HTTP/2 as a component.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::body::{Body, Incoming};
use hyper::service::Service as HyperService;
use hyper::{Request, Response};
use hyper_util::service::TowerToHyperService;
use lifecycle_core::{BoxError, DrainContext, Lifecycle, StartContext, StopContext};
use tokio::net::{TcpListener, TcpSocket};
use tower_service::Service as TowerService;

use crate::error::BindError;
use crate::limits::Limits;
#[cfg(feature = "tls")]
use crate::server::About;
use crate::server::{Complaints, Exempt, Hyper, Intake, LINGER, Serve, Server, Terms};
#[cfg(feature = "tls")]
use crate::tls::{Alpn, ServerAcceptor, ServerTls, TlsError};
use crate::worker::Worker;

/// Where it listens unless told otherwise.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// How many connections may wait to be accepted; the system may allow less.
const QUEUE: u32 = 1_024;

/// Serves an axum router, or any other tower or hyper service, over HTTP/1.1 and over HTTP/2: in clear text, for clients that
/// begin with it, or with the feature `tls` over TLS.
///
/// - `start` returns when the port is open, or fails with a [`BindError`] that names the address and what the system said.
///   Starting what runs changes nothing.
/// - `drain` refuses new requests and returns as soon as none is in flight. Whoever is refused gets 503 with
///   `Retry-After: 1`, or for a gRPC call the status `Unavailable` with the same metadata, and the connection closes
///   afterwards, so that its client comes back elsewhere. `resume` takes requests in again.
/// - `stop` closes the port, lets requests in flight finish, and returns as soon as there are none. Connections without
///   one are closed at once; one that is half-way through a head, or whose client does not react to the end of HTTP/2, in
///   half a second. When the stop is forced, and shortly before its time is up, all that is left is cut off, and the log
///   says how many connections that were.
/// - Afterwards it can be started again.
/// - The end of the loop that accepts connections is a loss of the component. When the system refuses connections for a
///   time, as when files run out, the component is degraded until that is over.
///
/// A request is in flight until the body of its answer has ended. What became of an upgraded connection (WebSocket) is not
/// known here: who upgraded it watches over it, and ends it by the run token.
///
/// Each request carries a [`Peer`](crate::Peer); with the feature `axum` handlers may ask for `ConnectInfo<SocketAddr>`.
pub struct HttpServer {
    address: SocketAddr,
    /// Opened by somebody else, who may keep it open when we are gone.
    socket: Option<Arc<std::net::TcpListener>>,
    limits: Limits,
    exempt: Arc<Exempt>,
    #[cfg(feature = "tls")]
    tls: Option<ServerTls>,
    service: Arc<dyn Serve>,
    /// The last generation, also when it has ended.
    serving: Mutex<Option<Serving>>,
}

/// One generation.
#[derive(Clone)]
struct Serving {
    address: SocketAddr,
    intake: Arc<Intake>,
    #[cfg(feature = "tls")]
    tls: Option<ServerAcceptor>,
    worker: Worker,
}

impl HttpServer {
    /// Serves a tower service, such as an `axum::Router`, on `127.0.0.1:8080` unless [told otherwise](Self::bind).
    ///
    /// The service is cloned for each connection and each request.
    #[must_use]
    pub fn new<S, B>(service: S) -> Self
    where
        S: TowerService<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        Self::from_hyper(TowerToHyperService::new(service))
    }

    /// As [`new`](Self::new), for a hyper service. It is cloned for each connection.
    #[must_use]
    pub fn from_hyper<S, B>(service: S) -> Self
    where
        S: HyperService<Request<Incoming>, Response = Response<B>> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: Body + Send + 'static,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        Self {
            address: DEFAULT_ADDRESS,
            socket: None,
            limits: Limits::default(),
            exempt: Arc::new(|_| false),
            #[cfg(feature = "tls")]
            tls: None,
            service: Arc::new(Hyper(service)),
            serving: Mutex::new(None),
        }
    }

    /// Listens on `address`; port 0 takes any free one, another at each start.
    #[must_use]
    pub fn bind(mut self, address: SocketAddr) -> Self {
        self.address = address;
        self
    }

    /// Listens on `socket`, which somebody else has opened, instead of opening a port: a service manager, which keeps it for the
    /// process that comes next.
    ///
    /// It stays open as long as this value is there, also while the component does not run, and nobody is refused: whoever connects
    /// meanwhile waits in its queue. So `drain` takes in no more connections instead of refusing their requests, on open ones it answers
    /// what comes within half a second, with the word that it is the last answer, and then closes those; probes have to be asked
    /// elsewhere meanwhile. `stop` without a drain before does the same.
    #[must_use]
    pub fn socket(mut self, socket: impl Into<Arc<std::net::TcpListener>>) -> Self {
        let socket = socket.into();
        self.address = socket.local_addr().unwrap_or(self.address);
        self.socket = Some(socket);
        self
    }

    /// Sets what a client may take.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Answers requests for exactly one of `paths` while it is drained too: probes. They are never counted as in flight, so
    /// that they hold up neither a drain nor a stop.
    ///
    /// Replaces what was said before.
    #[must_use]
    pub fn answer_while_draining(self, paths: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let paths: Vec<String> = paths.into_iter().map(Into::into).collect();
        self.answer_while_draining_if(move |it| paths.iter().any(|path| path == it.uri().path()))
    }

    /// As [`answer_while_draining`](Self::answer_while_draining), for requests that meet `condition`. It is asked for each
    /// request.
    #[must_use]
    pub fn answer_while_draining_if(
        mut self,
        condition: impl Fn(&Request<Incoming>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.exempt = Arc::new(condition);
        self
    }

    /// Serves over TLS alone. Files are read at each start, which fails with a [`TlsError`](crate::tls::TlsError), for good, when
    /// they are not in order.
    ///
    /// A client has as much time to shake hands as for a head ([`Limits::head`]). One that has not yet done so is a connection, but
    /// no work in flight: it holds up neither a drain nor a stop. When it fails, nobody else is affected, and a line at level debug
    /// says why.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Reads the files of TLS again now, instead of at the next interval. Nothing, while it does not run or serves in clear text.
    ///
    /// # Errors
    ///
    /// [`TlsError`](crate::tls::TlsError) with all that is wrong with them; what held before goes on to hold, and the component is
    /// degraded.
    ///
    /// # Cancel safety
    ///
    /// Safe: the files are read all the same.
    #[cfg(feature = "tls")]
    pub async fn reload_tls(&self) -> Result<(), TlsError> {
        let live = self.serving().filter(|it| it.worker.is_at_work());
        match live.and_then(|it| it.tls) {
            Some(tls) => tls.reload().await,
            None => Ok(()),
        }
    }

    /// Where it listens, with the port that was taken; `None` while it does not.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        let serving = self.serving()?;
        (!serving.worker.has_ended()).then_some(serving.address)
    }

    /// How many requests are in flight, without those that are answered while it is drained too; none while it does not listen.
    #[must_use]
    pub fn in_flight(&self) -> u64 {
        let serving = self.serving();
        serving.map_or(0, |it| it.intake.in_flight())
    }

    /// Whether it takes in no new requests, since it is being drained or has been; never while it does not listen.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        let listening = self.serving().filter(|it| !it.worker.has_ended());
        listening.is_some_and(|it| !it.intake.is_open())
    }

    fn open(&self) -> Result<(TcpListener, SocketAddr), BindError> {
        let address = self.address;
        let wrap = |source| BindError { address, source };
        let listener = match &self.socket {
            Some(socket) => share(socket).map_err(wrap)?,
            None => listen(address).map_err(wrap)?,
        };
        let address = listener.local_addr().map_err(wrap)?;
        Ok((listener, address))
    }

    #[cfg(feature = "tls")]
    async fn read_tls(
        &self,
        cx: &StartContext,
        complaints: &Arc<Complaints>,
    ) -> Result<Option<ServerAcceptor>, TlsError> {
        let Some(tls) = &self.tls else {
            return Ok(None);
        };
        let complaints = Arc::clone(complaints);
        let tell = move |fault: Option<&str>| match fault {
            Some(fault) => complaints.complain(About::Certificates, fault),
            None => complaints.withdraw(About::Certificates),
        };
        let (alpn, owner) = ([Alpn::Http2, Alpn::Http1], cx.component());
        let acceptor = tls.acceptor(&alpn, owner.as_str(), tell).await?;
        Ok(Some(acceptor))
    }

    fn serving(&self) -> Option<Serving> {
        self.slot().clone()
    }

    fn slot(&self) -> MutexGuard<'_, Option<Serving>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As [`TcpListener::bind`], which has room for 128: of a larger burst, some would have to wait for a second and try again.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Otherwise connections that were closed lately would keep the port taken after a restart.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(QUEUE)
}

/// Another descriptor of the same socket, for one generation.
fn share(socket: &std::net::TcpListener) -> io::Result<TcpListener> {
    let socket = socket.try_clone()?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

impl Lifecycle for HttpServer {
    const DRAINS: bool = true;

    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        if let Some(last) = self.serving() {
            if last.worker.is_at_work() {
                return Ok(());
            }
            last.worker.make_way(cx).await?;
        }
        let complaints = Arc::new(Complaints::new(cx.reporter()));
        #[cfg(feature = "tls")]
        let tls = self.read_tls(cx, &complaints).await?;
        let (listener, address) = self.open()?;
        #[cfg(feature = "tls")]
        if let Some(tls) = tls.clone() {
            let run = cx.run_token();
            cx.spawn("certificates", async move {
                run.run_until_cancelled(tls.watch()).await;
            });
        }
        let intake = Intake::new();
        let terms = Terms {
            limits: self.limits,
            intake: Arc::clone(&intake),
            exempt: Arc::clone(&self.exempt),
            port_stays: self.socket.is_some(),
            #[cfg(feature = "tls")]
            tls: tls.clone(),
        };
        let worker = Worker::spawn(cx, "accept", |cut| {
            let server = Server {
                listener,
                service: Arc::clone(&self.service),
                terms: Arc::new(terms),
                complaints,
                run: cx.run_token(),
                cut,
            };
            server.serve()
        });
        *self.slot() = Some(Serving {
            address,
            intake,
            #[cfg(feature = "tls")]
            tls,
            worker,
        });
        tracing::info!(component = cx.component().as_str(), %address, "listening");
        Ok(())
    }

    async fn drain(&self, cx: &DrainContext) -> Result<(), BoxError> {
        let Some(serving) = self.serving() else {
            return Ok(());
        };
        let emptied = async {
            if self.socket.is_some() {
                serving.intake.take_last_calls();
                tokio::time::sleep(LINGER).await;
            } else {
                serving.intake.close();
            }
            let tell = |in_flight| {
                cx.in_flight(in_flight);
                cx.progress(label(in_flight));
            };
            serving.intake.emptied(tell).await;
        };
        tokio::select! {
            biased;
            () = emptied => Ok(()),
            // Whether that is well is the orchestrator's to say: a drain that is forced gives up what is open, and one that is
            // out of time has failed.
            () = cx.cancelled() => Ok(()),
        }
    }

    async fn resume(&self, _cx: &DrainContext) -> Result<(), BoxError> {
        if let Some(serving) = self.serving() {
            serving.intake.open();
        }
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        let Some(serving) = self.serving() else {
            return Ok(());
        };
        let telling = async {
            let tell = |in_flight| cx.progress(label(in_flight));
            serving.intake.emptied(tell).await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = serving.worker.stop(cx) => {}
            () = telling => {}
        }
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        if let Some(serving) = self.serving() {
            serving.worker.cut_off().await;
        }
        Ok(())
    }
}

fn label(in_flight: u64) -> String {
    match in_flight {
        1 => "1 request in flight".to_owned(),
        _ => format!("{in_flight} requests in flight"),
    }
}

impl fmt::Debug for HttpServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpServer")
            .field("address", &self.address)
            .field("limits", &self.limits)
            .field("local_addr", &self.local_addr())
            .finish_non_exhaustive()
    }
}
