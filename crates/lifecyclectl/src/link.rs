//! [`Trust`]: whom we trust, and what a connection to a host is made of.

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use lifecycle_adapters::tls::{Alpn, ClientConnector, ClientTls, TlsError, is_refusal};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::client::{Silence, silence};
use crate::endpoint::Endpoint;
use crate::failure::Failure;

/// Whom we trust over TLS, and what we show. By default nobody: a program that trusted whomever the system trusts would give a
/// token to who has a certificate for any name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust(Option<ClientConnector>);

/// What HTTP is spoken over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Trust {
    /// Reads the files of `tls`, if there is one.
    ///
    /// # Errors
    ///
    /// When they are not in order.
    pub(crate) async fn of(tls: Option<&ClientTls>) -> Result<Self, Failure> {
        let Some(tls) = tls else {
            return Ok(Self::default());
        };
        // Read once: nobody lives long enough here to see another.
        let connector = tls.connector(Alpn::Http1, "lifecyclectl", |_| ()).await;
        let connector = connector.map_err(|it| unusable(&it))?;
        Ok(Self(Some(connector)))
    }

    /// # Errors
    ///
    /// When TLS is spoken at `endpoint`, and nobody is trusted.
    pub(crate) fn check(&self, endpoint: &Endpoint) -> Result<(), Failure> {
        match endpoint.is_encrypted() && self.0.is_none() {
            true => Err(Failure::usage(
                format!("{endpoint} needs an authority to be trusted by"),
                "--ca FILE or LIFECYCLECTL_CA; the system's is often /etc/ssl/certs/ca-certificates.crt",
            )),
            false => Ok(()),
        }
    }

    /// Connects to the host at `endpoint`; the connection ends with what is given.
    ///
    /// # Errors
    ///
    /// When nobody is there, or nobody who is trusted.
    pub(crate) async fn connect(
        &self,
        endpoint: &Endpoint,
    ) -> Result<SendRequest<Full<Bytes>>, Silence> {
        let unreachable = |it: std::io::Error| Silence::NoConnection(it.to_string());
        let place = (endpoint.host(), endpoint.port());
        let stream = TcpStream::connect(place).await.map_err(unreachable)?;
        // A request is written whole: waiting for more to send would only delay it.
        let _ = stream.set_nodelay(true);
        let stream: Box<dyn Stream> = match &self.0 {
            Some(tls) if endpoint.is_encrypted() => {
                let shaken = tls.connect(endpoint.host(), stream).await;
                let shaken = shaken.map_err(|it| match is_refusal(&it) {
                    true => Silence::Untrusted(it.to_string()),
                    false => Silence::Broken(it.to_string()),
                });
                Box::new(shaken?)
            }
            _ => Box::new(stream),
        };
        let (requests, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|it| silence(&it))?;
        // What goes wrong with it is told to whoever waits for the answer.
        tokio::spawn(connection);
        Ok(requests)
    }
}

fn unusable(error: &TlsError) -> Failure {
    let faults: Vec<_> = error.faults.iter().map(ToString::to_string).collect();
    match &*faults {
        [fault] => {
            let (what, remedy) = fault.split_once("; ").unwrap_or((fault, ""));
            Failure::usage(what, remedy)
        }
        _ => Failure::usage(faults.join("; and "), ""),
    }
}
