//! [`ServerTls`]: what a server presents.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};

use super::Alpn;
use super::acceptor::ServerAcceptor;
use super::error::{TlsError, TlsFlaw, TlsPart};
use super::live::{Files, Live};
use super::pem::Pem;
use super::reading::{Identity, Read, Reading, provider};

/// How often files are looked at unless told otherwise.
pub(super) const RELOAD_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What a server presents, and whether it asks for the certificates of its clients.
///
/// Files are read as the server starts, and again at an interval; new connections get what
/// was read last, and open ones go on with what they have. A file that is not in order when it is read again changes nothing: what
/// held before stays, and the component is degraded until the files are in order.
///
/// ```
/// use lifecycle_adapters::HttpServer;
/// use lifecycle_adapters::tls::{Pem, ServerTls};
///
/// let tls = ServerTls::new(Pem::file("server.pem"), Pem::file("server.key"))
///     .client_ca(Pem::file("clients.pem"));
/// let server = HttpServer::new(axum::Router::new()).tls(tls);
/// ```
#[derive(Clone, Debug)]
pub struct ServerTls {
    identity: Identity,
    clients: Clients,
    reload_interval: Duration,
}

/// Of whom a certificate is asked, by the CAs that it must come from.
#[derive(Clone, Debug)]
enum Clients {
    Unasked,
    Asked(Pem),
    Required(Pem),
}

impl ServerTls {
    /// Presents the first certificate of `certificate`, with those that follow as the way to its CA. `key` is its private key, in
    /// PKCS #8, SEC 1 or PKCS #1, not encrypted. Nothing is opened yet.
    #[must_use]
    pub fn new(certificate: Pem, key: Pem) -> Self {
        Self {
            identity: Identity { certificate, key },
            clients: Clients::Unasked,
            reload_interval: RELOAD_INTERVAL,
        }
    }

    /// Lets only clients in that have a certificate of one of the CAs in `ca`, for the use as a client. Unset, no client is asked.
    ///
    /// Who is asked shows the certificate at each connection: sessions from before are not taken up again, so that a certificate
    /// is good for nothing beyond its time.
    #[must_use]
    pub fn client_ca(mut self, ca: Pem) -> Self {
        self.clients = Clients::Required(ca);
        self
    }

    /// As [`client_ca`](Self::client_ca), and lets clients in that have none, too: what each may do is for the service to say, by
    /// [`PeerCertificate`]. A certificate that is not of these CAs, or not of this time, is refused all the same.
    ///
    /// The last call of either counts.
    #[must_use]
    pub fn optional_client_ca(mut self, ca: Pem) -> Self {
        self.clients = Clients::Asked(ca);
        self
    }

    /// Sets how often the files are read again (5 min); less than a millisecond counts as one. Files that were not in order are
    /// looked at after 10 s, if that is less.
    #[must_use]
    pub fn reload_interval(mut self, interval: Duration) -> Self {
        self.reload_interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Reads everything, and says what is wrong with it. Blocks while files are read.
    ///
    /// # Errors
    ///
    /// [`TlsError`] with all faults.
    pub fn check(&self) -> Result<(), TlsError> {
        self.read(&[]).map(drop)
    }

    /// Reads everything, and makes what shakes hands, for who brings an accept loop of their own; `alpn` is offered, best first.
    /// `owner` is who it is for, in log lines. `tell` is told when files that are read again are not in order, with what is wrong,
    /// and when they are in order again; it must not block.
    ///
    /// # Errors
    ///
    /// [`TlsError`] with all faults.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn acceptor(
        &self,
        alpn: &[Alpn],
        owner: &str,
        tell: impl Fn(Option<&str>) + Send + Sync + 'static,
    ) -> Result<ServerAcceptor, TlsError> {
        let files = Server {
            tls: self.clone(),
            alpn: alpn.to_vec(),
        };
        let live = Live::open(files, owner, tell).await?;
        Ok(ServerAcceptor::new(live))
    }

    fn read(&self, alpn: &[Alpn]) -> Result<Read<ServerConfig>, TlsError> {
        let mut reading = Reading::default();
        let identity = reading.identity(&self.identity);
        let verifier = self.verifier(&mut reading);
        reading.finish(|| {
            let builder = ServerConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .expect("the provider has both versions")
                .with_client_cert_verifier(verifier.expect("what is missing is a fault"));
            let mut config =
                builder.with_cert_resolver(identity.expect("what is missing is a fault"));
            config.alpn_protocols = alpn.iter().map(|it| it.name().to_vec()).collect();
            if !matches!(self.clients, Clients::Unasked) {
                // A session that is taken up again has the certificate from before, which nobody looks at any more.
                config.session_storage = Arc::new(NoServerSessionStorage {});
                config.send_tls13_tickets = 0;
            }
            config
        })
    }

    /// What looks at certificates of clients; `None` when there is none to be had.
    fn verifier(&self, reading: &mut Reading) -> Option<Arc<dyn ClientCertVerifier>> {
        let (ca, is_required) = match &self.clients {
            Clients::Unasked => return Some(WebPkiClientVerifier::no_client_auth()),
            Clients::Asked(ca) => (ca, false),
            Clients::Required(ca) => (ca, true),
        };
        let roots = Arc::new(reading.roots(ca)?);
        let mut builder = WebPkiClientVerifier::builder_with_provider(roots, provider());
        if !is_required {
            builder = builder.allow_unauthenticated();
        }
        match builder.build() {
            Ok(verifier) => Some(verifier),
            Err(error) => {
                reading.blame(TlsPart::Ca, ca, TlsFlaw::Unusable(error.to_string()));
                None
            }
        }
    }
}

/// The files of a server, with what it speaks.
#[derive(Clone, Debug)]
pub(super) struct Server {
    tls: ServerTls,
    alpn: Vec<Alpn>,
}

impl Files for Server {
    type Config = ServerConfig;

    fn read(&self) -> Result<Read<ServerConfig>, TlsError> {
        self.tls.read(&self.alpn)
    }

    fn interval(&self) -> Duration {
        self.tls.reload_interval
    }
}

/// The certificate that the client has proved to be its own; an extension of each request of a server that asks for one.
///
/// It comes from one of the [CAs of clients](ServerTls::client_ca), and its time had come and was not over at the handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate(Arc<[CertificateDer<'static>]>);

impl PeerCertificate {
    pub(super) fn of(chain: &[CertificateDer<'static>]) -> Self {
        Self(Arc::from(chain))
    }

    /// The certificate, in DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.0.first().map_or(&[], |it| it.as_ref())
    }

    /// The certificate and those that the client has sent with it, in DER.
    pub fn chain(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(AsRef::as_ref)
    }
}

impl fmt::Debug for PeerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerCertificate({} bytes)", self.der().len())
    }
}
