//! [`Diagnostics`]: the surface as a component.

use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use axum::Router;
use axum::routing::MethodRouter;
use lifecycle_adapters::tls::{Alpn, ServerAcceptor, ServerTls, TlsError};
use lifecycle_core::{
    BoxError, CheckContext, Lifecycle, Registration, Reporter, StartContext, StopContext,
};
use lifecycle_runtime::Handle;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

use crate::credentials::Credentials;
use crate::events;
use crate::openapi::Described;
use crate::operations::Ledger;
use crate::readiness::{Issue, Provider};
use crate::router::{self, Shared, Surface};
use crate::server::{self, Limits, Options};
use crate::thread::Thread;
use crate::timeline::Timelines;
use crate::troubles::Troubles;

/// The name under which diagnostics are registered.
pub const NAME: &str = "diagnostics";

/// The address unless one is given.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);

/// How many components have metrics of their own, unless set.
const LISTED_COMPONENTS: usize = 200;

/// The HTTP surface of one orchestrator, as a component of it. Cheap to clone; clones are the same component.
///
/// - `start` opens the port, or fails with an error that names the address; then it answers from a thread of its own,
///   whatever becomes of the others' threads. Starting what runs only watches over it in the new generation; what is
///   still closing is waited for, until the attempt shall end.
/// - It is ordered before everything else, so that it answers from before the first start of another component until
///   after the last one is disposed.
/// - `stop` closes the port, answers what is open within the drain limit, and cuts off the rest; a forced stop does so at
///   once. Afterwards port and thread are free, and the component can be started again.
/// - `check` asks itself for `/livez` over a connection of its own, as a load balancer would.
/// - With [TLS](DiagnosticsBuilder::tls) its files are read at each start, which fails with a [`TlsError`], for good, when they are not
///   in order. They are read again while it runs; while they are not in order then, what held before goes on to hold, and the
///   component is degraded.
/// - Only what waits can be cut off. A mounted handler that blocks the thread holds up every answer, the stop and the next
///   start, until it returns; nothing but the limits of the orchestrator bounds how long they wait for it.
///
/// Routes: `/livez`, `/healthz`, `/readyz`, `/startupz`, `/metrics`, those below `/control/lifecycle` and
/// `/control/upgrade`, and what the host mounts. Who may ask what is said by [`credentials`](DiagnosticsBuilder::credentials).
#[derive(Clone)]
pub struct Diagnostics {
    shared: Arc<Inner>,
}

struct Inner {
    options: Options,
    surface: Shared,
    extra: Router,
    address: watch::Sender<Option<SocketAddr>>,
    /// The serving thread; kept until it is gone.
    thread: Mutex<Option<Arc<Thread>>>,
}

/// Collects what a host wants of its diagnostics.
#[must_use]
pub struct DiagnosticsBuilder {
    options: Options,
    handle: Handle,
    recorder: Option<PrometheusHandle>,
    listed_components: usize,
    event_streams: usize,
    providers: Vec<Provider>,
    extra: Router,
    mounted: Vec<Described>,
}

impl Diagnostics {
    /// Begins with the orchestrator that shall be shown; on `127.0.0.1:9180` unless said otherwise.
    pub fn builder(handle: Handle) -> DiagnosticsBuilder {
        DiagnosticsBuilder {
            options: Options::new(DEFAULT_ADDRESS),
            handle,
            recorder: None,
            listed_components: LISTED_COMPONENTS,
            event_streams: events::STREAMS,
            providers: Vec::new(),
            extra: Router::new(),
            mounted: Vec::new(),
        }
    }

    /// A registration as [`NAME`]: essential, and ordered before everything else.
    #[must_use]
    pub fn registration(&self) -> Registration {
        Registration::new(NAME, self.clone()).before_all()
    }

    /// The routes of this crate, for a further listener of the same host; without those that were mounted here.
    ///
    /// What they tell about single components is kept up to date while this component runs.
    pub fn routes(&self) -> Router {
        router::routes(Arc::clone(&self.shared.surface))
    }

    /// Reads the files of TLS again now, instead of at the next interval. Nothing, while it does not run or serves in clear text.
    ///
    /// # Errors
    ///
    /// [`TlsError`] with all that is wrong with them; what held before goes on to hold, and the component is degraded.
    ///
    /// # Cancel safety
    ///
    /// Safe: the files are read all the same.
    pub async fn reload_tls(&self) -> Result<(), TlsError> {
        let thread = self.shared.running().filter(|it| it.is_serving());
        match thread.as_ref().and_then(|it| it.tls.as_ref()) {
            Some(tls) => tls.reload().await,
            None => Ok(()),
        }
    }

    /// Where it listens: `None` while it does not. Wakes at each change.
    #[must_use]
    pub fn address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.shared.address.subscribe()
    }
}

impl DiagnosticsBuilder {
    /// Listens on `address`; port 0 takes any free one.
    pub const fn bind(mut self, address: SocketAddr) -> Self {
        self.options.bind = address;
        self
    }

    /// Listens on a socket that somebody else has opened, instead of opening a port. It stays open when this has gone, and whoever
    /// connects while the component does not run waits.
    pub fn socket(mut self, socket: impl Into<Arc<TcpListener>>) -> Self {
        self.options.socket = Some(socket.into());
        self
    }

    /// Sets what a client may take.
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.options.limits = limits;
        self
    }

    /// Lets requests in that are addressed to one of `hosts`; see [`Options::hosts`].
    pub fn allow_hosts(mut self, hosts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.options.hosts.extend(hosts.into_iter().map(Into::into));
        self
    }

    /// Lets in who shows what `credentials` want to see. Unless set, everybody on loopback, and else nobody; see
    /// [`Credentials`]. Holds for what is [mounted](Self::route) here, too: reading needs [`Scope::Read`](crate::Scope::Read),
    /// other methods [`Scope::Operate`](crate::Scope::Operate).
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.options.credentials = credentials;
        self
    }

    /// Serves over TLS alone; see [`Options::tls`]. A client has as long to shake hands as for a head ([`Limits::head`]).
    pub fn tls(mut self, tls: ServerTls) -> Self {
        self.options.tls = Some(tls);
        self
    }

    /// Shows metrics only to who may read; unless set they are open to all, as the probes are.
    pub const fn close_metrics(mut self) -> Self {
        self.options.metrics_are_open = false;
        self
    }

    /// Shows what `recorder` has collected, and tidies it up every five seconds.
    pub fn metrics(mut self, recorder: PrometheusHandle) -> Self {
        self.recorder = Some(recorder);
        self
    }

    /// Sets up to how many components have metrics of their own (200); with more they are counted by their label `group`,
    /// and only failing ones have their own.
    pub const fn listed_components(mut self, count: usize) -> Self {
        self.listed_components = count;
        self
    }

    /// Sets how many event streams may be open at once (32), on all listeners together; further ones are refused.
    pub const fn event_streams(mut self, count: usize) -> Self {
        self.event_streams = count;
        self
    }

    /// Adds to readiness what `provider` says. It is called for every probe, on the thread that answers all of them: it
    /// must neither block nor take long.
    pub fn issues(mut self, provider: impl Fn() -> Vec<Issue> + Send + Sync + 'static) -> Self {
        self.providers.push(Arc::new(provider));
        self
    }

    /// Mounts a route. Its handlers run on the thread of the probes: they must not block it.
    ///
    /// # Panics
    ///
    /// When `path` is taken.
    pub fn route(mut self, path: &str, handlers: MethodRouter) -> Self {
        self.extra = self.extra.route(path, handlers);
        self
    }

    /// Mounts the routes of `router`, as [`route`](Self::route).
    ///
    /// # Panics
    ///
    /// When one of its paths is taken, or it has a fallback: what nobody knows is refused by the server.
    pub fn merge(mut self, router: Router) -> Self {
        self.extra = self.extra.merge(router);
        self
    }

    /// Describes routes that were mounted, in `/openapi.json`.
    pub fn describe(mut self, routes: impl IntoIterator<Item = Described>) -> Self {
        self.mounted.extend(routes);
        self
    }

    /// Makes the component; nothing is opened before it is started.
    #[must_use]
    pub fn build(self) -> Diagnostics {
        let surface = Surface {
            operations: Ledger::new(self.handle.clone()),
            handle: self.handle,
            troubles: Troubles::default(),
            timelines: Timelines::default(),
            providers: self.providers,
            mounted: self.mounted,
            recorder: self.recorder,
            listed_components: self.listed_components,
            instance: instance(),
            streams: Arc::new(Semaphore::new(self.event_streams)),
        };
        Diagnostics {
            shared: Arc::new(Inner {
                options: self.options,
                surface: Arc::new(surface),
                extra: self.extra,
                address: watch::channel(None).0,
                thread: Mutex::new(None),
            }),
        }
    }
}

/// Another number in every process: the time of its making.
fn instance() -> u64 {
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_1970.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX))
}

impl Inner {
    async fn open(&self) -> Result<Arc<Thread>, BoxError> {
        let (faults, heard) = watch::channel(None);
        let tls = self.read_tls(faults).await?;
        let routes = router::routes(Arc::clone(&self.surface)).merge(self.extra.clone());
        let bound = server::bind(&self.options, tls, routes)?;
        let thread = Thread::serve(bound, Arc::clone(&self.surface), heard)?;
        let thread = Arc::new(thread);
        *self.slot() = Some(Arc::clone(&thread));
        Ok(thread)
    }

    async fn read_tls(
        &self,
        faults: watch::Sender<Option<String>>,
    ) -> Result<Option<ServerAcceptor>, TlsError> {
        let Some(tls) = &self.options.tls else {
            return Ok(None);
        };
        let tell = move |fault: Option<&str>| {
            faults.send_replace(fault.map(str::to_owned));
        };
        // The listener speaks nothing else.
        let acceptor = tls.acceptor(&[Alpn::Http1], NAME, tell).await?;
        Ok(Some(acceptor))
    }

    fn running(&self) -> Option<Arc<Thread>> {
        self.slot().clone()
    }

    /// Whether it answers that it is alive.
    async fn ask_itself(&self) -> Result<(), BoxError> {
        let thread = self.running().ok_or("nothing is open")?;
        let stream = TcpStream::connect(thread.address).await?;
        match &thread.tls {
            Some(tls) => ask_whether_alive(tls.knock(stream).await?).await,
            None => ask_whether_alive(stream).await,
        }
    }

    /// Waits for the end of the thread, and forgets it. Dropped half-way, it can be repeated.
    async fn join(&self, thread: &Thread) {
        thread.join().await;
        self.slot().take();
        self.address.send_replace(None);
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Thread>>> {
        self.thread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lifecycle for Diagnostics {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        if let Some(thread) = self.shared.running() {
            if thread.is_serving() {
                watch_over(&thread, cx);
                return Ok(());
            }
            // A start that runs out of time is reported as just that: this says what it waited for.
            tracing::warn!("the last thread of diagnostics has not ended; the start waits for it");
            let joined = self.shared.join(&thread);
            let joined = cx.token().run_until_cancelled_owned(joined).await;
            joined.ok_or("the last thread of diagnostics has not ended")?;
        }
        let thread = self.shared.open().await?;
        self.shared.address.send_replace(Some(thread.address));
        tracing::info!(address = %thread.address, tls = thread.tls.is_some(), "diagnostics are listening");
        if self.shared.options.exposes_tokens() {
            tracing::warn!(
                "tokens reach the diagnostics in clear text, where others can read them"
            );
        }
        watch_over(&thread, cx);
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        let Some(thread) = self.shared.running() else {
            return Ok(());
        };
        thread.closing.drain.cancel();
        tokio::select! {
            biased;
            () = cx.forced() => thread.closing.abort.cancel(),
            () = thread.join() => {}
        }
        self.shared.join(&thread).await;
        Ok(())
    }

    async fn check(&self, _: &CheckContext) -> Result<(), BoxError> {
        self.shared.ask_itself().await
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        if let Some(thread) = self.shared.running() {
            thread.closing.abort.cancel();
            self.shared.join(&thread).await;
        }
        Ok(())
    }
}

async fn ask_whether_alive<S>(mut stream: S) -> Result<(), BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    // Of version 1.0, so that no name of this host has to be known.
    stream.write_all(b"GET /livez HTTP/1.0\r\n\r\n").await?;
    stream.flush().await?;
    let mut status_line = [0; 12];
    stream.read_exact(&mut status_line).await?;
    let is_well = status_line.ends_with(b" 200");
    is_well.then_some(()).ok_or_else(|| {
        let answer = String::from_utf8_lossy(&status_line);
        format!("/livez is answered with {answer:?}").into()
    })
}

/// Makes the end of `thread` a loss of the generation of `cx`, and what is wrong with its certificates a matter of its health.
fn watch_over(thread: &Thread, cx: &StartContext) {
    let (ended, run) = (thread.ended(), cx.run_token());
    let (faults, reporter) = (thread.faults.clone(), cx.reporter());
    cx.spawn("thread", async move {
        tokio::select! {
            // First: an end that follows from the stop is none that nobody asked for.
            biased;
            () = run.cancelled() => Ok(()),
            () = ended.cancelled() => Err("the diagnostics' thread ended"),
            never = pass_on(faults, &reporter) => match never {},
        }
    });
}

/// Says what is wrong, from now on and also what is already.
async fn pass_on(mut faults: watch::Receiver<Option<String>>, reporter: &Reporter) -> Infallible {
    let mut is_degraded = false;
    loop {
        let fault = faults.borrow_and_update().clone();
        match &fault {
            Some(fault) => reporter.degraded(fault.as_str()),
            None if is_degraded => reporter.healthy(),
            None => {}
        }
        is_degraded = fault.is_some();
        if faults.changed().await.is_err() {
            // Without TLS there is nobody who could say something.
            return std::future::pending().await;
        }
    }
}

impl fmt::Debug for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diagnostics")
            .field("options", &self.shared.options)
            .field("address", &*self.shared.address.borrow())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for DiagnosticsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DiagnosticsBuilder")
            .field("options", &self.options)
            .field("providers", &self.providers.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use lifecycle_adapters::tls::Pem;
    use lifecycle_core::{Retry, component};
    use lifecycle_runtime::Orchestrator;

    use super::*;

    /// How long a test waits for what must come.
    const DEADLINE: std::time::Duration = std::time::Duration::from_secs(20);

    #[tokio::test]
    async fn what_runs_is_watched_over_by_the_attempt_that_finds_it() {
        let mut builder = Orchestrator::builder();
        let any_port = "127.0.0.1:0".parse().unwrap();
        let diagnostics = Diagnostics::builder(builder.handle())
            .bind(any_port)
            .build();
        let (started, stopped) = (diagnostics.clone(), diagnostics.clone());
        let second_time = component::from_fn(
            move |cx| {
                let diagnostics = started.clone();
                async move {
                    diagnostics.start(&cx).await?;
                    let second = cx.attempt() == 2;
                    second.then_some(()).ok_or(BoxError::from("once more"))
                }
            },
            move |cx| {
                let diagnostics = stopped.clone();
                async move { diagnostics.stop(&cx).await }
            },
        );
        builder.register(Registration::new(NAME, second_time).start_retry(Retry::attempts(2)));
        let handle = builder.build().unwrap().spawn();
        handle.start().await.expect("the second attempt succeeds");

        let thread = diagnostics.shared.running().expect("a running thread");
        thread.closing.abort.cancel();
        let mut status = handle.status();
        let lost = status.wait_for(|it| !it.ready);
        let lost = tokio::time::timeout(DEADLINE, lost).await;
        lost.expect("the loss is noticed").unwrap();
    }
    #[tokio::test]
    async fn it_asks_itself_over_tls_when_it_serves_so() {
        let issued = rcgen::generate_simple_self_signed([String::from("node-1")]).unwrap();
        let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
        let mut builder = Orchestrator::builder();
        let diagnostics = Diagnostics::builder(builder.handle())
            .bind("127.0.0.1:0".parse().unwrap())
            .tls(ServerTls::new(Pem::text(certificate), Pem::text(key)))
            .build();
        builder.register(diagnostics.registration());
        let handle = builder.build().unwrap().spawn();
        handle.start().await.expect("it starts");
        let asked = tokio::time::timeout(DEADLINE, diagnostics.shared.ask_itself()).await;
        asked.expect("in time").expect("it is alive");
        handle.stop().await.expect("it stops");
        diagnostics
            .shared
            .ask_itself()
            .await
            .expect_err("it is not");
    }
}
