//! The UDP socket under the gossip protocol.
//!
//! The protocol ends its loop for good when `recv` returns an error, and answers nodes of other clusters. So the
//! socket is ours: it is bound before the protocol exists, swallows what passes, counts everything, and drops what is not
//! of this cluster before the protocol sees it. With keys it seals and opens every datagram.

#[cfg(fuzzing)]
pub(crate) mod fuzzing;

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chitchat::transport::{Socket, Transport};
use chitchat::{ChitchatMessage, Deserializable, Serializable};
use lifecycle_core::BoxFuture;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::gossip::refusal::{LogLimit, Refusal};
use crate::gossip::seal::Seal;
use crate::gossip::traffic::{Outcome, Wire};

/// The most bytes of a datagram over IPv4; over IPv6 it could be a little more.
const LARGEST_DATAGRAM: usize = 65_507;

/// How many errors in a row the socket may give before it is taken for broken; with the pause, about a second.
const MOST_FAILURES: u32 = 50;
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(20);

/// Hands a socket that is already bound to the protocol, once.
pub(crate) struct Bound {
    link: Mutex<Option<Box<Link>>>,
}

impl Bound {
    /// `open` is held until the socket is closed. Without a `seal` everything is sent and received as it is.
    pub(crate) fn new(
        socket: UdpSocket,
        cluster_id: String,
        seal: Option<Seal>,
        wire: Arc<Wire>,
        open: watch::Receiver<()>,
    ) -> Self {
        let gate = Gate {
            cluster_id,
            seal,
            wire,
            heard: None,
            log_limit: LogLimit::default(),
        };
        let link = Link {
            socket,
            _open: open,
            gate,
            // One more than the most, so that a larger one shows.
            incoming: vec![0; LARGEST_DATAGRAM + 1].into_boxed_slice(),
            outgoing: Vec::new(),
            failures: Failures::default(),
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
    gate: Gate,
    incoming: Box<[u8]>,
    outgoing: Vec<u8>,
    failures: Failures,
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
                        let admitted = self.gate.admit(from, &mut self.incoming[..length]);
                        if let Some(message) = admitted {
                            return Ok((from, message));
                        }
                    }
                    Err(error) => {
                        self.gate.wire.count(Outcome::ReceiveFailed);
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
        if let Err((outcome, error)) = self.gate.write(to, message, &mut self.outgoing) {
            self.gate.complain(outcome, to, self.outgoing.len(), &error);
            return;
        }
        // Before the send: the answer may be here before the send has returned.
        if matches!(message, ChitchatMessage::Syn { .. }) {
            self.gate.wire.asked(Instant::now(), to);
        }
        match self.socket.send_to(&self.outgoing, to).await {
            Ok(_) => {
                self.gate.wire.count(Outcome::Sent);
                if matches!(message, ChitchatMessage::Ack { .. }) {
                    self.gate.wire.told(to);
                }
            }
            Err(error) => {
                let bytes = self.outgoing.len();
                self.gate
                    .complain(Outcome::SendFailed, to, bytes, &error.to_string());
            }
        }
    }
}

/// Between bytes and messages: decides what may pass, either way.
struct Gate {
    cluster_id: String,
    seal: Option<Seal>,
    wire: Arc<Wire>,
    /// From where the last message came, and which start of its sender it was of. The protocol does one thing at a time: an answer
    /// goes out before the next message is read.
    heard: Option<(SocketAddr, NonZeroU64)>,
    log_limit: LogLimit,
}

impl Gate {
    /// Writes `message` as the whole content of `datagram`, or says why it cannot be sent.
    ///
    /// The protocol fills its messages up to the limit and knows nothing of a seal. It reckons with their last block as if that
    /// were not compressed, which leaves room enough as long as they are text.
    fn write(
        &mut self,
        to: SocketAddr,
        message: &ChitchatMessage,
        datagram: &mut Vec<u8>,
    ) -> Result<(), (Outcome, String)> {
        let heard = self.heard.filter(|(from, _)| *from == to);
        let answers = heard.filter(|_| is_answer(message));
        if let Some(seal) = &mut self.seal {
            let answers = answers.map(|(_, start)| start);
            let sealed = seal.seal(datagram, answers, |it| message.serialize(it));
            sealed.map_err(|_| (Outcome::SendFailed, "it cannot be sealed".to_owned()))?;
        } else {
            datagram.clear();
            message.serialize(datagram);
        }
        if datagram.len() > LARGEST_DATAGRAM {
            let rule = format!("a datagram has at most {LARGEST_DATAGRAM} bytes");
            return Err((Outcome::OversizeSent, rule));
        }
        Ok(())
    }

    fn complain(&mut self, outcome: Outcome, to: SocketAddr, bytes: usize, error: &str) {
        self.wire.count(outcome);
        if let Some(unlogged) = self.log_limit.due(Instant::now(), outcome) {
            tracing::warn!(%to, bytes, error, unlogged, "gossip could not be sent");
        }
    }

    /// Reads the datagram, unless it is none of ours.
    fn admit(&mut self, from: SocketAddr, datagram: &mut [u8]) -> Option<ChitchatMessage> {
        let now = Instant::now();
        match self.read(now, datagram) {
            Ok((message, start)) => {
                self.wire.count(Outcome::Received);
                self.heard = start.map(|it| (from, it));
                if matches!(message, ChitchatMessage::SynAck { .. }) {
                    self.wire.answered(now, from);
                }
                Some(message)
            }
            Err(refusal) => {
                let outcome = refusal.outcome();
                self.wire.count(outcome);
                if let Some(unlogged) = self.log_limit.due(now, outcome) {
                    tracing::warn!(%from, unlogged, "{refusal}");
                }
                None
            }
        }
    }

    /// The message in the datagram; where that is sealed, also which start of its sender it is of.
    fn read(
        &self,
        now: Instant,
        datagram: &mut [u8],
    ) -> Result<(ChitchatMessage, Option<NonZeroU64>), Refusal> {
        if datagram.len() > LARGEST_DATAGRAM {
            return Err(Refusal::Oversize);
        }
        let Some(seal) = &self.seal else {
            return Ok((self.parse(datagram)?, None));
        };
        let opened = seal.open(now, &mut self.wire.replays(), datagram)?;
        self.wire.count_opened(opened.key_id);
        let message = self.parse(opened.message)?;
        if is_answer(&message) != opened.is_answer {
            let rule = "it is an answer, and does not say to what, or the other way round";
            return Err(Refusal::Malformed(rule.to_owned()));
        }
        Ok((message, opened.start))
    }

    fn parse(&self, mut bytes: &[u8]) -> Result<ChitchatMessage, Refusal> {
        let message = ChitchatMessage::deserialize(&mut bytes);
        let message = message.map_err(|it| Refusal::Malformed(it.to_string()))?;
        if self.is_foreign(&message) {
            return Err(Refusal::Foreign);
        }
        Ok(message)
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

/// Whether it is sent to whoever has just sent something, and only then. What members say is in these alone.
fn is_answer(message: &ChitchatMessage) -> bool {
    match message {
        ChitchatMessage::SynAck { .. } | ChitchatMessage::Ack { .. } => true,
        ChitchatMessage::Syn { .. } | ChitchatMessage::BadCluster => false,
    }
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
    use proptest::prelude::*;

    use super::*;
    use crate::gossip::keys::Keys;

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

    fn gate(sealed: bool) -> Gate {
        let ring = format!("1:{}", "00112233".repeat(8)).parse().unwrap();
        let memory = Duration::from_secs(900);
        let seal = Seal::new(Keys::new(ring), "c".into(), memory, "a".into(), 1);
        Gate {
            cluster_id: "c".into(),
            seal: sealed.then_some(seal),
            wire: Arc::default(),
            heard: None,
            log_limit: LogLimit::default(),
        }
    }

    fn nobody() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 1))
    }

    #[test]
    fn a_sealed_node_takes_nothing_plain_and_a_plain_one_nothing_sealed() {
        for sealed in [false, true] {
            let (mut sender, mut receiver) = (gate(sealed), gate(!sealed));
            let mut datagram = Vec::new();
            sender
                .write(nobody(), &ChitchatMessage::BadCluster, &mut datagram)
                .unwrap();
            assert_eq!(receiver.admit(nobody(), &mut datagram), None);
            assert_eq!(receiver.wire.traffic().malformed, 1);
        }
    }

    #[test]
    fn what_is_larger_than_a_datagram_is_refused_and_counted_either_way() {
        let mut gate = gate(true);
        let mut large = vec![0; LARGEST_DATAGRAM + 1];
        assert_eq!(gate.admit(nobody(), &mut large), None);
        assert_eq!(gate.wire.traffic().oversize_received, 1);

        // A digest of so many members that only the seal makes it too large: made from bytes, since only the library makes one.
        let digest = |members: u16| {
            let mut bytes = vec![0x53, 0xb0, 0, 0];
            bytes.extend(members.to_le_bytes());
            for member in 0..members {
                bytes.extend([4, 0]);
                bytes.extend(format!("{member:04}").bytes());
                bytes.extend([0; 8]);
                bytes.extend([4, 127, 0, 0, 1, 1, 0]);
                bytes.extend([0; 24]);
            }
            bytes.extend([1, 0, b'c']);
            bytes
        };
        let bytes = digest(1_455);
        assert!(
            bytes.len() <= LARGEST_DATAGRAM && bytes.len() + 60 > LARGEST_DATAGRAM,
            "{}",
            bytes.len()
        );
        let syn = ChitchatMessage::deserialize(&mut &bytes[..]).unwrap();
        let (outcome, _) = gate.write(nobody(), &syn, &mut Vec::new()).unwrap_err();
        assert_eq!(outcome, Outcome::OversizeSent);
        gate.seal = None;
        assert!(gate.write(nobody(), &syn, &mut Vec::new()).is_ok());
    }

    proptest! {
        #[test]
        fn whatever_arrives_is_counted_once_and_nothing_random_passes_a_seal(
            bytes in prop::collection::vec(any::<u8>(), 0..400),
            begin in 0_usize..3,
        ) {
            for sealed in [false, true] {
                let mut datagram = bytes.clone();
                let beginnings: [&[u8]; 3] = [b"", &[0x53, 0xb0, 0, 1], b"GS\x02\x01"];
                let beginning = beginnings[begin];
                let length = beginning.len().min(datagram.len());
                datagram[..length].copy_from_slice(&beginning[..length]);
                let mut gate = gate(sealed);
                let passed = gate.admit(nobody(), &mut datagram).is_some();
                let traffic = gate.wire.traffic();
                prop_assert_eq!(traffic.received, u64::from(passed));
                let refused = traffic.malformed + traffic.foreign + traffic.unknown_key + traffic.forged;
                prop_assert_eq!(refused, u64::from(!passed));
                prop_assert!(!(sealed && passed));
            }
        }
    }
}
