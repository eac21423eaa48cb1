//! [`handshake`]: what comes before the first byte of HTTP.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::server::activity::{Activity, Order};
use crate::tls::{PeerCertificate, ServerAcceptor, ServerStream};

/// The stream in clear text; `None` when the client does not come to an end with it in time, does not speak TLS, or is not let in,
/// and when the server shall come to an end itself: who has not shaken hands has nothing in flight.
pub(super) async fn handshake<S>(
    tls: &ServerAcceptor,
    stream: S,
    peer: SocketAddr,
    activity: &Activity,
    limit: Duration,
) -> Option<(ServerStream<S>, Option<PeerCertificate>)>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio::select! {
        biased;
        () = activity.ordered(Order::Finish) => None,
        shaken = tls.accept_within(limit, stream, peer) => shaken,
    }
}
