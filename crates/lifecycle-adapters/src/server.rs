//! The accept loop under every server of this crate, and what it shares with its connections.
//!
//! Invariants:
//!
//! 1. The port is open before the loop is spawned, and closed when the loop has ended, however it ended.
//! 2. Once the run token is cancelled no connection is taken in, and the loop ends as soon as no request is in flight:
//!    a connection that has nothing to do holds it up for [`LINGER`](activity::LINGER) at most.
//! 3. Once it is cut off, it ends as soon as the handlers in flight have been dropped.
//! 4. On a port that outlives it, a connection that was taken in has its next request answered, if that comes within
//!    [`LINGER`](activity::LINGER); whoever comes later is left to the queue of the port.
//! 5. A connection, whatever it does, ends no other and not the loop. It shakes hands in its own task, within the time for a
//!    head, and counts from its first byte; until then it has nothing to do, in the sense of invariant 2.

mod activity;
mod complaints;
mod connection;
mod counted;
mod guarded;
#[cfg(feature = "tls")]
mod handshake;
mod intake;
mod refusal;
mod streams;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use lifecycle_core::BoxError;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{Id, JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::limits::Limits;
#[cfg(feature = "tls")]
use crate::tls::ServerAcceptor;

pub(crate) use activity::LINGER;
use activity::{Activity, Order};
pub(crate) use complaints::{About, Complaints};
pub(crate) use connection::{Hyper, Serve};
pub use guarded::Peer;
pub(crate) use intake::Intake;

/// How long the loop rests when the system refuses a connection, as it does when file descriptors run out.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Says which requests are answered while the server is drained.
pub(crate) type Exempt = dyn Fn(&Request<Incoming>) -> bool + Send + Sync;

/// What holds for every connection of one generation.
pub(crate) struct Terms {
    pub(crate) limits: Limits,
    pub(crate) intake: Arc<Intake>,
    pub(crate) exempt: Arc<Exempt>,
    /// Whether the port stays when this generation has gone, so that whoever connects can be left to the next one.
    pub(crate) port_stays: bool,
    /// Unset, it is served in clear text.
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<ServerAcceptor>,
}

/// Where connections come from.
pub(crate) trait Listen: Send {
    /// Waits for a connection. Dropping the future loses none.
    fn accept(&mut self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Listen for TcpListener {
    async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }
}

/// The port is broken, and no further try can succeed.
#[derive(Debug, thiserror::Error)]
#[error("no connection can be accepted any more")]
struct AcceptError(#[source] io::Error);

/// The loop of one generation.
pub(crate) struct Server<L> {
    pub(crate) listener: L,
    pub(crate) service: Arc<dyn Serve>,
    pub(crate) terms: Arc<Terms>,
    pub(crate) complaints: Arc<Complaints>,
    /// Cancelled when connections shall finish.
    pub(crate) run: CancellationToken,
    /// Cancelled when they shall be cut off.
    pub(crate) cut: CancellationToken,
}

impl<L: Listen> Server<L> {
    /// Serves until it is asked to end, and then until nothing is in flight.
    ///
    /// An error is one of the port itself: nobody can connect any more.
    pub(crate) async fn serve(mut self) -> Result<(), BoxError> {
        let mut connections = Connections::default();
        self.accept_until_asked(&mut connections).await?;
        if self.terms.port_stays && self.terms.intake.is_open() {
            // It is stopped without a drain before.
            self.terms.intake.take_last_calls();
            self.linger(&mut connections).await;
        }
        let Self { listener, cut, .. } = self;
        drop(listener);
        connections.finish(&cut).await;
        Ok(())
    }

    async fn accept_until_asked(&mut self, connections: &mut Connections) -> Result<(), BoxError> {
        let mut refused = false;
        loop {
            let has_room = connections.len() < self.terms.limits.connections;
            let accepted = tokio::select! {
                biased;
                () = self.run.cancelled() => return Ok(()),
                () = self.cut.cancelled() => return Ok(()),
                () = connections.next_ended() => continue,
                () = self.terms.intake.until_open(false), if self.terms.port_stays => {
                    self.hold_back(connections).await;
                    continue;
                }
                accepted = self.listener.accept(), if has_room => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.recovered(&mut refused);
                    connections.open(&*self.service, stream, peer, &self.terms);
                }
                Err(error) if is_about_one_client(&error) => {}
                Err(error) if is_fatal(&error) => return Err(AcceptError(error).into()),
                Err(error) => {
                    self.refused(&mut refused, &error);
                    let rest = tokio::time::sleep(ACCEPT_PAUSE);
                    let _ = self.run.run_until_cancelled(rest).await;
                }
            }
        }
    }

    /// Leaves whoever connects to the queue of the port, until the door is open again. Keeps invariant 4.
    async fn hold_back(&self, connections: &mut Connections) {
        let over = async {
            tokio::select! {
                () = self.terms.intake.until_open(true) => {}
                () = self.run.cancelled() => {}
                () = self.cut.cancelled() => {}
            }
        };
        let finishing = async {
            self.linger(connections).await;
            connections.order(Order::Finish);
            connections.all_ended().await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            biased;
            () = over => {}
            () = finishing => {}
        }
    }

    /// Gives connections the time to ask once more, unless there are none.
    async fn linger(&self, connections: &mut Connections) {
        tokio::select! {
            biased;
            () = self.cut.cancelled() => {}
            () = connections.all_ended() => {}
            () = tokio::time::sleep(LINGER) => {}
        }
    }

    /// Says so once, not each time: it may go on for long.
    fn refused(&self, refused: &mut bool, error: &io::Error) {
        if std::mem::replace(refused, true) {
            return;
        }
        tracing::warn!(%error, "connections cannot be accepted; it is tried again and again");
        let reason = format!("connections cannot be accepted: {error}");
        self.complaints.complain(About::Connections, reason);
    }

    fn recovered(&self, refused: &mut bool) {
        if std::mem::take(refused) {
            tracing::info!("connections are accepted again");
            self.complaints.withdraw(About::Connections);
        }
    }
}

impl<L> fmt::Debug for Server<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").finish_non_exhaustive()
    }
}

/// The connections that are open. Dropping it cuts all of them off.
#[derive(Default)]
struct Connections {
    tasks: JoinSet<()>,
    activities: HashMap<Id, Arc<Activity>>,
}

impl Connections {
    fn len(&self) -> usize {
        self.tasks.len()
    }

    fn open(
        &mut self,
        service: &dyn Serve,
        stream: TcpStream,
        peer: SocketAddr,
        terms: &Arc<Terms>,
    ) {
        let activity = Arc::new(Activity::default());
        let connection = service.connection(stream, peer, Arc::clone(&activity), Arc::clone(terms));
        let id = self.tasks.spawn(connection).id();
        self.activities.insert(id, activity);
    }

    /// Waits for the end of one connection; for ever if there is none.
    async fn next_ended(&mut self) {
        let Some(ended) = self.tasks.join_next_with_id().await else {
            return std::future::pending().await;
        };
        let id = ended.as_ref().map_or_else(JoinError::id, |it| it.0);
        self.activities.remove(&id);
        if ended.is_err_and(|it| it.is_panic()) {
            tracing::error!("a handler panicked; its connection was closed");
        }
    }

    /// Lets every connection finish what it does, until they are cut off. Keeps invariants 2 and 3.
    async fn finish(mut self, cut: &CancellationToken) {
        self.order(Order::Finish);
        tokio::select! {
            biased;
            () = self.all_ended() => return,
            () = cut.cancelled() => {}
        }
        tracing::warn!(
            connections = self.len(),
            "connections that did not end in time are cut off"
        );
        self.order(Order::Cut);
        self.all_ended().await;
    }

    fn order(&self, order: Order) {
        self.activities.values().for_each(|it| it.order(order));
    }

    async fn all_ended(&mut self) {
        while self.len() > 0 {
            self.next_ended().await;
        }
    }
}

/// Whether the client is gone already, and nothing else is wrong.
fn is_about_one_client(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

/// Whether the port is broken, so that no further try can succeed. All else may pass: too many files, too little memory,
/// a network that is down.
fn is_fatal(error: &io::Error) -> bool {
    // EBADF has no kind of its own; EINVAL says that the socket does not listen (any more).
    const EBADF: i32 = 9;
    error.kind() == io::ErrorKind::InvalidInput || error.raw_os_error() == Some(EBADF)
}

#[cfg(test)]
mod tests;
