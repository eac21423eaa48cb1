//! A small HTTP/1.1 listener for probes, in clear text or over TLS: bounded in connections, time and body size, and in how long it takes to close.
//!
//! Public is what a host says about it, and [`guarded`] for a further listener of the host's own that shall let in and
//! refuse the same.
//!
//! `axum::serve` has no limit on connections or on the time for a request's head, and no deadline for draining, so that
//! one slow client could hold up a stop for ever; hence the accept loop here, on hyper's connections.
//!
//! Invariants:
//!
//! 1. When `Bound::serve` completes or is dropped, no task of it is alive and its port is free.
//! 2. It completes within the drain limit after it was asked to drain, and at once after it was asked to abort.

mod impatient;

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lifecycle_adapters::tls::{PeerCertificate, ServerAcceptor, ServerTls};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::credentials::Credentials;
use crate::guard::{self, Guard};

use impatient::Impatient;

/// How long the loop rests when the system refuses a connection, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the end of an answer without an end of its own may take to be sent.
const FAREWELL: Duration = Duration::from_millis(100);

/// What a client may take of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many connections are open at most; further ones wait in the system's queue. Default: 256.
    pub connections: usize,
    /// How long a connection may take to send the head of a request, also between two requests. Over TLS it has as long once
    /// more, before that, to shake hands. Default: 10 s.
    pub head: Duration,
    /// How long a request may take until its answer begins. Default: 30 s.
    pub request: Duration,
    /// The largest body of a request in bytes. Default: 64 KiB.
    pub body: usize,
    /// How long open requests may take once the server shall close; then they are cut off. Default: 2 s.
    pub drain: Duration,
    /// How long a client may take nothing of what it is sent; then it is cut off. Default: 30 s.
    pub stall: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 256,
            head: Duration::from_secs(10),
            request: Duration::from_secs(30),
            body: 64 * 1024,
            drain: Duration::from_secs(2),
            stall: Duration::from_secs(30),
        }
    }
}

/// What a server listens on, and what it lets in.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address; port 0 takes any free one.
    pub bind: SocketAddr,
    /// A socket at that address that somebody else has opened, to be used in place of one of its own. Default: none.
    pub socket: Option<Arc<std::net::TcpListener>>,
    /// What a client may take.
    pub limits: Limits,
    /// Names that the `Host` header may carry, beside those of loopback. On loopback every other name is refused: a web
    /// page whose name was made to resolve to this machine must not reach us. Elsewhere an empty list lets all in.
    pub hosts: Vec<String>,
    /// What is presented over TLS, and of whom certificates are asked. Default: nothing, all is served in clear text.
    ///
    /// Certificates of clients should be [optional](ServerTls::optional_client_ca): who asks for a probe has none.
    pub tls: Option<ServerTls>,
    /// Who may ask. Default: everybody on loopback, and elsewhere nobody; the probes are open in any case.
    pub credentials: Credentials,
    /// Whether `/metrics` is open to all, as the probes are. Default: yes.
    pub metrics_are_open: bool,
}

impl Options {
    /// Listens on `bind`, with the default limits.
    #[must_use]
    pub fn new(bind: SocketAddr) -> Self {
        Self {
            bind,
            socket: None,
            limits: Limits::default(),
            hosts: Vec::new(),
            tls: None,
            credentials: Credentials::default(),
            metrics_are_open: true,
        }
    }

    /// Whether tokens travel where others can read them: to other machines, in clear text.
    pub(crate) fn exposes_tokens(&self) -> bool {
        let is_open = !guard::is_loopback(self.bind.ip()) && self.tls.is_none();
        is_open && self.credentials.has_tokens()
    }
}

/// A port could not be opened: another process has it, or the address is not this machine's. Nothing is left open.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}/tcp")]
pub struct BindError {
    /// The address that was asked for.
    pub address: SocketAddr,
    /// What the system said.
    #[source]
    pub source: io::Error,
}

/// An open port, and what it will serve. From now on clients can connect; they are answered by [`serve`](Self::serve).
#[derive(Debug)]
pub(crate) struct Bound {
    listener: std::net::TcpListener,
    address: SocketAddr,
    limits: Limits,
    tls: Option<ServerAcceptor>,
    router: Router,
}

/// What holds for every connection.
#[derive(Clone, Debug)]
struct Terms {
    limits: Limits,
    /// Unset, it is served in clear text.
    tls: Option<ServerAcceptor>,
    closing: Closing,
}

/// Ends a server: two tokens, of which either closes the port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Closing {
    /// Cancelled when open requests shall be answered and nothing else.
    pub(crate) drain: CancellationToken,
    /// Cancelled when they shall be cut off.
    pub(crate) abort: CancellationToken,
}

/// What a handler is told of the connection that its request came by, as an extension of the request. There is none on a
/// listener of the host's own.
#[derive(Clone, Debug)]
pub struct Line {
    closing: Closing,
    endless: Arc<AtomicBool>,
}

impl Line {
    /// Says that an answer on this connection has no end of its own: it ends by itself once [`closes`](Self::closes), and
    /// nobody waits for a client that does not take it.
    pub fn is_endless(&self) {
        self.endless.store(true, Ordering::Relaxed);
    }

    /// Completes when the server shall close.
    ///
    /// # Cancel safety
    ///
    /// Safe: dropping the future observes no longer.
    pub async fn closes(&self) {
        self.closing.begun().await;
    }
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    /// How many connections had to be cut off.
    pub(crate) cut_off: usize,
}

/// Puts before `router` what stands before the routes of this crate: the checks of the `Host` and `Origin` headers, of
/// credentials, a limit on bodies and on the time until an answer begins, and refusals (404, 405 and the rest) as problem
/// documents.
///
/// Who only reads (`GET` and `HEAD`, and a dry run) needs [`Scope::Read`](crate::Scope::Read), who does anything else
/// [`Scope::Operate`](crate::Scope::Operate); for the paths of probes nothing is needed, whoever mounts them.
///
/// For a listener of the host's own: of the limits [`request`](Limits::request) and [`body`](Limits::body) are kept here; the
/// others are the listener's business, and so is TLS. A [`PeerCertificate`] among the extensions of a request is believed, as
/// those servers write it there that have asked for one.
pub fn guarded(router: Router, options: &Options) -> Router {
    guard::wrap(router, Guard::new(options))
}

/// Opens the port for `router`, [`guarded`] by `options`, and served over `tls` if there is one.
///
/// # Errors
///
/// [`BindError`] names the address.
pub(crate) fn bind(
    options: &Options,
    tls: Option<ServerAcceptor>,
    router: Router,
) -> Result<Bound, BindError> {
    let address = options.bind;
    let wrap = |source| BindError { address, source };
    let listener = match &options.socket {
        Some(socket) => socket.try_clone(),
        None => std::net::TcpListener::bind(address),
    };
    let listener = listener.map_err(wrap)?;
    listener.set_nonblocking(true).map_err(wrap)?;
    let address = listener.local_addr().map_err(wrap)?;
    Ok(Bound {
        listener,
        address,
        limits: options.limits,
        tls,
        router: guarded(router, options),
    })
}

impl Bound {
    /// Where it listens, with the port that was taken.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What shakes hands with clients, if it is served over TLS.
    pub(crate) const fn tls(&self) -> Option<&ServerAcceptor> {
        self.tls.as_ref()
    }

    /// Answers until `closing` says otherwise; then closes the port at once and idle connections too, and waits for open
    /// requests as long as the drain limit allows.
    ///
    /// # Errors
    ///
    /// When the runtime refuses the socket; the port is closed then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the port and cuts off every connection.
    pub(crate) async fn serve(self, closing: &Closing) -> io::Result<Served> {
        let listener = TcpListener::from_std(self.listener)?;
        let service = TowerToHyperService::new(self.router);
        let terms = Terms {
            limits: self.limits,
            tls: self.tls,
            closing: closing.clone(),
        };
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                () = closing.begun() => break,
                Some(ended) = connections.join_next() => note(ended),
                accepted = listener.accept(), if connections.len() < self.limits.connections => match accepted {
                    Ok((stream, peer)) => {
                        connections.spawn(connection(stream, peer, service.clone(), terms.clone()));
                    }
                    Err(error) => rest(&error).await,
                },
            }
        }
        drop(listener);
        Ok(close(connections, self.limits.drain, closing).await)
    }
}

impl Closing {
    /// Both tokens alive.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    async fn begun(&self) {
        tokio::select! {
            () = self.drain.cancelled() => {}
            () = self.abort.cancelled() => {}
        }
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    router: TowerToHyperService<Router>,
    terms: Terms,
) {
    // Answers are small and whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let stream = Impatient::new(stream, terms.limits.stall);
    let Some(tls) = &terms.tls else {
        return speak(stream, peer, None, router, &terms).await;
    };
    let shaken = tokio::select! {
        biased;
        // Nothing of it is under way.
        () = terms.closing.begun() => None,
        shaken = tls.accept_within(terms.limits.head, stream, peer) => shaken,
    };
    if let Some((stream, certificate)) = shaken {
        speak(stream, peer, certificate, router, &terms).await;
    }
}

/// Speaks HTTP over `stream` until it ends, or the server closes.
async fn speak<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    peer: SocketAddr,
    certificate: Option<PeerCertificate>,
    router: TowerToHyperService<Router>,
    terms: &Terms,
) {
    let line = Line {
        closing: terms.closing.clone(),
        endless: Arc::default(),
    };
    let endless = Arc::clone(&line.endless);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let extensions = request.extensions_mut();
        extensions.insert(line.clone());
        extensions.insert(ConnectInfo(peer));
        if let Some(certificate) = &certificate {
            extensions.insert(certificate.clone());
        }
        router.call(request)
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(terms.limits.head)
        .serve_connection(TokioIo::new(stream), service);
    let mut serving = pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = terms.closing.drain.cancelled() => {
            serving.as_mut().graceful_shutdown();
            if endless.load(Ordering::Relaxed) {
                // Its end is under way; whoever does not take it is not waited for.
                let _ = tokio::time::timeout(FAREWELL, serving).await;
                return;
            }
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Keeps invariants 1 and 2.
async fn close(mut connections: JoinSet<()>, limit: Duration, closing: &Closing) -> Served {
    let all_ended = async {
        while let Some(ended) = connections.join_next().await {
            note(ended);
        }
    };
    tokio::select! {
        biased;
        () = closing.abort.cancelled() => {}
        _ = tokio::time::timeout(limit, all_ended) => {}
    }
    let cut_off = connections.len();
    connections.shutdown().await;
    Served { cut_off }
}

fn note(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!("a handler panicked; its connection was closed");
    }
}

async fn rest(error: &io::Error) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    // These are about one client, who is gone already.
    if matches!(
        error.kind(),
        ConnectionAborted | ConnectionReset | Interrupted
    ) {
        return;
    }
    tracing::warn!(%error, "a connection cannot be accepted");
    tokio::time::sleep(ACCEPT_PAUSE).await;
}

#[cfg(test)]
mod tests {
    use lifecycle_adapters::tls::Pem;

    use super::*;
    use crate::{CertificateScopes, Scope, Token};

    #[test]
    fn only_tokens_in_clear_text_beyond_loopback_are_exposed() {
        let token = Token::new("alice", Scope::Read, "0123456789abcdef").unwrap();
        let exposes = |bind: &str, credentials: &Credentials, tls: Option<ServerTls>| {
            let mut options = Options::new(bind.parse().unwrap());
            (options.credentials, options.tls) = (credentials.clone(), tls);
            options.exposes_tokens()
        };
        let (beyond, tokens) = ("192.0.2.1:9180", Credentials::tokens([token]));
        let tls = ServerTls::new(Pem::file("a"), Pem::file("b"));
        assert!(exposes(beyond, &tokens, None));
        assert!(!exposes(beyond, &tokens, Some(tls)));
        assert!(!exposes("127.0.0.1:9180", &tokens, None));
        let certificates = Credentials::default().certificates(CertificateScopes::default());
        assert!(!exposes(beyond, &certificates, None));
    }
}
