//! [`ServerAcceptor`]: shakes hands with clients.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::error::TlsError;
use super::live::Live;
use super::reading::provider;
use super::server::{PeerCertificate, Server};
use super::{ClientStream, ServerStream};

/// Shakes hands with clients. Clones share what was read last.
#[derive(Clone, Debug)]
pub struct ServerAcceptor {
    live: Arc<Live<Server>>,
}

impl ServerAcceptor {
    pub(super) fn new(live: Arc<Live<Server>>) -> Self {
        Self { live }
    }

    /// Shakes hands with the client at the other end of `stream`; gives its certificate too, if it was asked for one and has one.
    /// There is no time limit.
    ///
    /// # Errors
    ///
    /// When the client is not let in, does not speak TLS or what was agreed on, or goes away.
    ///
    /// # Cancel safety
    ///
    /// Safe: the stream is closed.
    pub async fn accept<S>(
        &self,
        stream: S,
    ) -> io::Result<(ServerStream<S>, Option<PeerCertificate>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = TlsAcceptor::from(self.live.config()).accept(stream).await?;
        let chain = stream.get_ref().1.peer_certificates();
        let certificate = chain.map(PeerCertificate::of);
        Ok((stream, certificate))
    }

    /// As [`accept`](Self::accept), in no more time than `limit`. `None` when that comes to nothing: then a line at level debug says
    /// why, with the address `peer` of the client.
    ///
    /// # Cancel safety
    ///
    /// Safe: the stream is closed.
    pub async fn accept_within<S>(
        &self,
        limit: Duration,
        stream: S,
        peer: SocketAddr,
    ) -> Option<(ServerStream<S>, Option<PeerCertificate>)>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match tokio::time::timeout(limit, self.accept(stream)).await {
            Ok(Ok(shaken)) => return Some(shaken),
            Ok(Err(error)) => {
                tracing::debug!(%peer, %error, "a client did not come through its handshake");
            }
            Err(_) => tracing::debug!(%peer, ?limit, "a client did not end its handshake in time"),
        }
        None
    }

    /// Shakes hands with this very server at the other end of `stream`, to see whether it answers: whatever certificate it presents
    /// will do, as long as it has the key. So nothing that is secret may be told to it. There is no time limit.
    ///
    /// # Errors
    ///
    /// When it does not come to an end with the handshake, as one does that [requires](super::ServerTls::client_ca) certificates.
    ///
    /// # Cancel safety
    ///
    /// Safe: the stream is closed.
    pub async fn knock<S>(&self, stream: S) -> io::Result<ClientStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let anybody = Arc::new(Anybody(provider()));
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .expect("the provider has both versions")
            .dangerous()
            .with_custom_certificate_verifier(anybody)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").expect("it is a name");
        let connector = TlsConnector::from(Arc::new(config));
        connector.connect(name, stream).await
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

/// Takes any certificate whose key the server has.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
