//! The UDP socket under the gossip protocol.
//!
//! The protocol ends its loop for good when `recv` returns an error, and answers nodes of other clusters. So the
//! socket is ours: it is bound before the protocol exists, swallows what passes, counts everything, and drops what is not
//! of this cluster before the protocol sees it.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable, Serializable};
use lifecycle_core::BoxFuture;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::gossip::traffic::{Outcome, Wire};

/// No UDP datagram is longer.
const LARGEST_DATAGRAM: usize = 65_535;

/// How many errors in a row the socket may give before it is taken for broken; with the pause, about a second.
const MOST_FAILURES: u32 = 50;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Hands a socket that is already bound to the protocol, once.
pub(crate) struct Bound {
    link: Mutex<Option<Box<Link>>>,
}

impl Bound {
    /// `open` is held until the socket is closed.
    pub(crate) fn new(
        socket: UdpSocket,
        cluster_id: String,
        wire: Arc<Wire>,
        open: watch::Receiver<()>,
    ) -> Self {
        let link = Link {
            socket,
            _open: open,
            wire,
            cluster_id,
            incoming: vec![0; LARGEST_DATAGRAM].into_boxed_slice(),
            outgoing: Vec::new(),
            failures: Failures::default(),
            warned: Warned::default(),
        };
        Self {
            link: Mutex::new(Some(Box::new(link))),
        }
    }
}

// The trait is declared through a macro; these are the signatures that it makes.
impl Transport for Bound {
    fn open<'a, 'f>(&'a self, _: SocketAddr) -> BoxFuture<'f, anyhow::Result<Box<dyn Socket>>>
    where
        'a: 'f,
        Self: 'f,
    {
        let mut slot = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        let link = slot.take();
        drop(slot);
        Box::pin(async move {
            let link = link.ok_or_else(|| anyhow::anyhow!("the socket was opened twice"))?;
            Ok(link as Box<dyn Socket>)
        })
    }
}

struct Link {
    // Dropped before `_open`: whoever sees that gone finds the port free.
    socket: UdpSocket,
    _open: watch::Receiver<()>,
    wire: Arc<Wire>,
    cluster_id: String,
    incoming: Box<[u8]>,
    outgoing: Vec<u8>,
    failures: Failures,
    warned: Warned,
}

impl Socket for Link {
    fn send<'a, 'f>(
        &'a mut self,
        to: SocketAddr,
        message: ChitchatMessage,
    ) -> BoxFuture<'f, anyhow::Result<()>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            self.send_message(to, &message).await;
            Ok(())
        })
    }

    // Called within `select!`: what is lost when the future is dropped is at most a pause.
    fn recv<'a, 'f>(&'a mut self) -> BoxFuture<'f, anyhow::Result<(SocketAddr, ChitchatMessage)>>
    where
        'a: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            loop {
                match self.socket.recv_from(&mut self.incoming).await {
                    Ok((length, from)) => {
                        self.failures.end();
                        if let Some(message) = self.admit(from, length) {
                            return Ok((from, message));
                        }
                    }
                    Err(error) => {
                        self.wire.count(Outcome::ReceiveFailed);
                        self.failures.add(error)?;
                        tokio::time::sleep(PAUSE_AFTER_FAILURE).await;
                    }
                }
            }
        })
    }
}

impl Link {
    /// Sends `message`, or counts that it could not be sent: the next round makes up for it.
    async fn send_message(&mut self, to: SocketAddr, message: &ChitchatMessage) {
        self.outgoing.clear();
        message.serialize(&mut self.outgoing);
        // Before the send: the answer may be here before the send has returned.
        if matches!(message, ChitchatMessage::Syn { .. }) {
            self.wire.asked(Instant::now(), to);
        }
        match self.socket.send_to(&self.outgoing, to).await {
            Ok(_) => {
                self.wire.count(Outcome::Sent);
                if matches!(message, ChitchatMessage::Ack { .. }) {
                    self.wire.told(to);
                }
            }
            Err(error) => {
                self.wire.count(Outcome::SendFailed);
                let bytes = self.outgoing.len();
                if first(&self.warned.send) {
                    tracing::warn!(%to, bytes, %error, "gossip could not be sent; further failures are only counted");
                }
            }
        }
    }

    /// Reads the datagram, unless it is none of ours.
    fn admit(&self, from: SocketAddr, length: usize) -> Option<ChitchatMessage> {
        let mut bytes = &self.incoming[..length];
        let message = match ChitchatMessage::deserialize(&mut bytes) {
            Ok(message) => message,
            Err(error) => {
                self.wire.count(Outcome::Malformed);
                if first(&self.warned.malformed) {
                    tracing::warn!(%from, %error, "a datagram is not gossip that this version reads; further ones are only counted");
                }
                return None;
            }
        };
        if self.is_foreign(&message) {
            self.wire.count(Outcome::Foreign);
            if first(&self.warned.foreign) {
                tracing::warn!(%from, "a node of another cluster gossips with this one; further messages are only counted");
            }
            return None;
        }
        self.wire.count(Outcome::Received);
        if matches!(message, ChitchatMessage::SynAck { .. }) {
            self.wire.answered(Instant::now(), from);
        }
        Some(message)
    }

    /// Whether it shows that its sender belongs to another cluster. Only the first message of an exchange says so, and
    /// without an answer to it there are no others.
    fn is_foreign(&self, message: &ChitchatMessage) -> bool {
        match message {
            ChitchatMessage::Syn { cluster_id, .. } => *cluster_id != self.cluster_id,
            ChitchatMessage::BadCluster => true,
            ChitchatMessage::SynAck { .. } | ChitchatMessage::Ack { .. } => false,
        }
    }
}

/// What has been warned of since the socket was bound: once is enough for each.
#[derive(Default)]
struct Warned {
    send: AtomicBool,
    malformed: AtomicBool,
    foreign: AtomicBool,
}

fn first(warned: &AtomicBool) -> bool {
    !warned.swap(true, Ordering::Relaxed)
}

/// Errors in a row. Which kinds pass is nobody's promise, so the count decides and not the kind.
#[derive(Default)]
struct Failures(u32);

impl Failures {
    fn end(&mut self) {
        self.0 = 0;
    }

    /// Takes in `error`; gives it back when there were too many.
    fn add(&mut self, error: io::Error) -> io::Result<()> {
        self.0 += 1;
        if self.0 >= MOST_FAILURES {
            return Err(error);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passing_errors_are_swallowed_and_a_broken_socket_is_given_up() {
        let mut failures = Failures::default();
        let error = || io::Error::other("no buffer space");
        for _ in 1..MOST_FAILURES {
            assert!(failures.add(error()).is_ok());
        }
        failures.end();
        for _ in 1..MOST_FAILURES {
            assert!(failures.add(error()).is_ok());
        }
        assert!(failures.add(error()).is_err());
    }

    #[test]
    fn a_warning_is_given_once() {
        let warned = Warned::default();
        assert!(first(&warned.foreign));
        assert!(!first(&warned.foreign));
        assert!(first(&warned.malformed));
    }
}
