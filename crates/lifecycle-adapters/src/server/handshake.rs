//! [`handshake`]: what comes before the first byte of HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use crate::server::activity::{Activity, Order};
use crate::tls::{PeerCertificate, ServerAcceptor};

/// The stream in clear text; `None` when the client does not come to an end with it in time, does not speak TLS, or is not let in,
/// and when the server shall come to an end itself: who has not shaken hands has nothing in flight.
pub(super) async fn handshake<S>(
    tls: &ServerAcceptor,
    stream: S,
    peer: SocketAddr,
    activity: &Activity,
    limit: Duration,
) -> Option<(TlsStream<S>, Option<PeerCertificate>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let shaken = tokio::select! {
        biased;
        () = activity.ordered(Order::Finish) => return None,
        shaken = tokio::time::timeout(limit, tls.accept(stream)) => shaken,
    };
    match shaken {
        Ok(Ok(shaken)) => return Some(shaken),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a client did not come through its handshake");
        }
        Err(_) => tracing::debug!(%peer, ?limit, "a client did not end its handshake in time"),
    }
    None
}
