//! [`ClientTls`]: whom a client trusts, and what it presents.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{TlsError, TlsFlaw, TlsPart};
use super::live::{Files, Live};
use super::pem::Pem;
use super::reading::{Identity, Read, Reading, provider};
use super::server::RELOAD_INTERVAL;

/// Whom a client trusts, and what it presents to servers that ask.
///
/// Files are read when a [connector](Self::connector) is made, and again at an interval, as those of a
/// [`ServerTls`](super::ServerTls) are.
#[derive(Clone, Debug)]
pub struct ClientTls {
    ca: Pem,
    identity: Option<Identity>,
    server_name: Option<String>,
    reload_interval: Duration,
}

/// What is spoken over TLS, and agreed on in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/1.1; to a client, a server that names nothing will do.
    Http1,
    /// HTTP/2; to a client, a server that does not name it is no use.
    Http2,
}

impl ClientTls {
    /// Trusts servers whose certificate comes from one of the CAs in `ca`, and has the name by which they are called. The roots of
    /// the system are a file as others are, where somebody wants them: `/etc/ssl/certs/ca-certificates.crt` on Debian.
    #[must_use]
    pub fn trusting(ca: Pem) -> Self {
        Self {
            ca,
            identity: None,
            server_name: None,
            reload_interval: RELOAD_INTERVAL,
        }
    }

    /// Presents `certificate` to servers that ask for one; `key` is its private key, not encrypted. Unset, there is none.
    #[must_use]
    pub fn identity(mut self, certificate: Pem, key: Pem) -> Self {
        self.identity = Some(Identity { certificate, key });
        self
    }

    /// Sets the name, or the IP address, that the server's certificate must have. Unset, the host that is called.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Sets how often the files are read again (5 min), as [`ServerTls::reload_interval`](super::ServerTls::reload_interval).
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
        self.read(Alpn::Http1).map(drop)
    }

    /// Reads everything, and makes what shakes hands. `owner` is who it is for, in log lines. `tell` is told when files that are read
    /// again are not in order, with what is wrong, and when they are in order again; it must not block.
    ///
    /// # Errors
    ///
    /// [`TlsError`] with all faults.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn connector(
        &self,
        alpn: Alpn,
        owner: &str,
        tell: impl Fn(Option<&str>) + Send + Sync + 'static,
    ) -> Result<ClientConnector, TlsError> {
        let files = Client {
            tls: self.clone(),
            alpn,
        };
        let live = Live::open(files, owner, tell).await?;
        Ok(ClientConnector {
            // One that cannot be used was a fault.
            server_name: self.fixed_name().and_then(Result::ok),
            alpn,
            live,
        })
    }

    fn fixed_name(&self) -> Option<Result<ServerName<'static>, String>> {
        let name = self.server_name.as_deref()?.trim();
        let parsed = ServerName::try_from(name.to_owned());
        Some(parsed.map_err(|_| name.to_owned()))
    }

    fn read(&self, alpn: Alpn) -> Result<Read<ClientConfig>, TlsError> {
        let mut reading = Reading::default();
        let roots = reading.roots(&self.ca);
        let identity = self.identity.as_ref().map(|it| reading.identity(it));
        if let Some(Err(name)) = self.fixed_name() {
            reading.blame(TlsPart::ServerName, &name, TlsFlaw::NoName);
        }
        reading.finish(|| {
            let builder = ClientConfig::builder_with_provider(provider())
                .with_safe_default_protocol_versions()
                .expect("the provider has both versions")
                .with_root_certificates(roots.expect("what is missing is a fault"));
            let mut config = match identity {
                None => builder.with_no_client_auth(),
                Some(identity) => {
                    let identity = identity.expect("what is missing is a fault");
                    builder.with_client_cert_resolver(identity)
                }
            };
            config.alpn_protocols = vec![alpn.name().to_vec()];
            config
        })
    }
}

impl Alpn {
    pub(super) fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
        }
    }
}

/// The files of a client, with what it speaks.
#[derive(Clone, Debug)]
struct Client {
    tls: ClientTls,
    alpn: Alpn,
}

impl Files for Client {
    type Config = ClientConfig;

    fn read(&self) -> Result<Read<ClientConfig>, TlsError> {
        self.tls.read(self.alpn)
    }

    fn interval(&self) -> Duration {
        self.tls.reload_interval
    }
}

/// Shakes hands with servers. Clones share what was read last.
#[derive(Clone, Debug)]
pub struct ClientConnector {
    server_name: Option<ServerName<'static>>,
    alpn: Alpn,
    live: Arc<Live<Client>>,
}

impl ClientConnector {
    /// Shakes hands with the server at the other end of `stream`, which was called by the name or address `host`. There is no time
    /// limit.
    ///
    /// # Errors
    ///
    /// When the server is not trusted, does not speak TLS or what was agreed on, or goes away. A server of TLS 1.3 that refuses the
    /// certificate of its client says so after the handshake, when it is read from.
    ///
    /// # Cancel safety
    ///
    /// Safe: the stream is closed.
    pub async fn connect<S>(&self, host: &str, stream: S) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => named(host)?,
        };
        let connector = TlsConnector::from(self.live.config());
        let stream = connector.connect(name, stream).await?;
        let agreed = stream.get_ref().1.alpn_protocol();
        if self.alpn == Alpn::Http2 && agreed != Some(self.alpn.name()) {
            return Err(io::Error::other(
                "the server does not speak HTTP/2 over TLS",
            ));
        }
        Ok(stream)
    }

    /// Looks at the files from time to time, at the interval that was set; never ends.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn watch(&self) {
        self.live.watch().await;
    }

    /// Reads the files again now. What was wrong before is told as it ends, and what is wrong now as it begins.
    ///
    /// # Errors
    ///
    /// [`TlsError`] with all faults; what held before goes on to hold.
    ///
    /// # Cancel safety
    ///
    /// Safe: the files are read all the same.
    pub async fn reload(&self) -> Result<(), TlsError> {
        self.live.reload().await
    }
}

/// An address of IPv6 stands in brackets where it is called.
fn named(host: &str) -> io::Result<ServerName<'static>> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    ServerName::try_from(host.to_owned()).map_err(io::Error::other)
}
