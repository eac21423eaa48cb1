//! [`ServerTls`]: what a server presents.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::error::{TlsError, TlsFlaw, TlsPart};
use super::live::{Files, Live};
use super::pem::Pem;
use super::reading::{Identity, Read, Reading, provider};

/// How often files are looked at unless told otherwise.
pub(super) const RELOAD_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// What a server presents, and whether it asks for the certificates of its clients.
///
/// HTTP/2 and HTTP/1.1 are offered by ALPN. Files are read as the server starts, and again at an interval; new connections get what
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
    client_ca: Option<Pem>,
    reload_interval: Duration,
}

impl ServerTls {
    /// Presents the first certificate of `certificate`, with those that follow as the way to its CA. `key` is its private key, in
    /// PKCS #8, SEC 1 or PKCS #1, not encrypted. Nothing is opened yet.
    #[must_use]
    pub fn new(certificate: Pem, key: Pem) -> Self {
        Self {
            identity: Identity { certificate, key },
            client_ca: None,
            reload_interval: RELOAD_INTERVAL,
        }
    }

    /// Lets only clients in that have a certificate of one of the CAs in `ca`, for the use as a client. Unset, no client is asked.
    #[must_use]
    pub fn client_ca(mut self, ca: Pem) -> Self {
        self.client_ca = Some(ca);
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
        self.read().map(drop)
    }
}

impl Files for ServerTls {
    type Config = ServerConfig;

    fn read(&self) -> Result<Read<ServerConfig>, TlsError> {
        let mut reading = Reading::default();
        let identity = reading.identity(&self.identity);
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has both versions");
        let builder = match &self.client_ca {
            None => Some(builder.with_no_client_auth()),
            Some(ca) => reading.roots(ca).and_then(|roots| {
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                match verifier.build() {
                    Ok(verifier) => Some(builder.with_client_cert_verifier(verifier)),
                    Err(error) => {
                        reading.blame(TlsPart::Ca, ca, TlsFlaw::Unusable(error.to_string()));
                        None
                    }
                }
            }),
        };
        reading.finish(|| {
            let (builder, identity) = builder.zip(identity).expect("what is missing is a fault");
            let mut config = builder.with_cert_resolver(identity);
            config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
            config
        })
    }

    fn interval(&self) -> Duration {
        self.reload_interval
    }
}

impl Live<ServerTls> {
    /// Shakes hands with a client; its certificate, if it was asked for one.
    pub(crate) async fn accept<S>(
        &self,
        stream: S,
    ) -> io::Result<(TlsStream<S>, Option<PeerCertificate>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = TlsAcceptor::from(self.config()).accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let certificate = chain.map(|it| PeerCertificate(Arc::from(it.to_vec())));
        Ok((stream, certificate))
    }
}

/// The certificate that the client has proved to be its own; an extension of each request of a server that asks for one.
///
/// It comes from one of the [CAs of clients](ServerTls::client_ca), and its time had come and was not over at the handshake.
#[derive(Clone, PartialEq, Eq)]
pub struct PeerCertificate(Arc<[CertificateDer<'static>]>);

impl PeerCertificate {
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
