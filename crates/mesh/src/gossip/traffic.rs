//! What passes over the wire: counts, round trips, and who has been told goodbye.
//!
//! The protocol's messages are opaque to us but for their kind, and its loop handles one at a time. Both together are
//! enough to know when a peer has learned something: see [`Farewell`].

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::Notify;

use crate::gossip::replay::Replays;

/// How many datagrams went each way, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Handed to the network.
    pub sent: u64,
    /// Not sent: the network refused them.
    pub send_failed: u64,
    /// Received, and of this cluster.
    pub received: u64,
    /// Errors of the socket while it waited for datagrams.
    pub receive_failed: u64,
    /// Received, but not in the protocol that this version speaks, or not sealed where it has to be; not answered.
    pub malformed: u64,
    /// Received from a node of another cluster; not answered. Where gossip is sealed, those are [`forged`](Self::forged).
    pub foreign: u64,
    /// Received, and sealed with a key that this node does not have; not answered.
    pub unknown_key: u64,
    /// Received, and not sealed with the key that it names and for this cluster, or changed since; not answered.
    pub forged: u64,
    /// Received a second time, or from an earlier start of a node that has been started again since; not answered.
    pub replayed: u64,
    /// Received, and larger than any datagram that a node sends; not answered.
    pub oversize_received: u64,
    /// Not sent: larger than a datagram can be.
    pub oversize_sent: u64,
}

/// One count of [`Traffic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Sent,
    SendFailed,
    Received,
    ReceiveFailed,
    Malformed,
    Foreign,
    UnknownKey,
    Forged,
    Replayed,
    OversizeReceived,
    OversizeSent,
}

impl Outcome {
    pub(crate) const COUNT: usize = 11;

    /// Direction and outcome, as metrics name them.
    const fn labels(self) -> (&'static str, &'static str) {
        match self {
            Self::Sent => ("outbound", "ok"),
            Self::SendFailed => ("outbound", "failed"),
            Self::Received => ("inbound", "ok"),
            Self::ReceiveFailed => ("inbound", "failed"),
            Self::Malformed => ("inbound", "malformed"),
            Self::Foreign => ("inbound", "foreign"),
            Self::UnknownKey => ("inbound", "unknown-key"),
            Self::Forged => ("inbound", "forged"),
            Self::Replayed => ("inbound", "replayed"),
            Self::OversizeReceived => ("inbound", "oversize"),
            Self::OversizeSent => ("outbound", "oversize"),
        }
    }
}

/// What the socket, which belongs to the protocol's loop, shares with the component.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    counts: [AtomicU64; Outcome::COUNT],
    exchanges: Mutex<Exchanges>,
    replays: Mutex<Replays>,
    /// Wakes whoever says goodbye, once everybody knows.
    told: Notify,
}

#[derive(Debug, Default)]
struct Exchanges {
    /// When each peer was asked and has not yet answered.
    asked: HashMap<SocketAddr, Instant>,
    /// How long each peer took to answer last.
    round_trips: HashMap<SocketAddr, Duration>,
    farewell: Option<Farewell>,
}

/// Who is still to be told goodbye.
///
/// An exchange is: we ask (*syn*), the peer answers with what it knows (*syn-ack*), we tell what it lacks (*ack*). The
/// loop does one thing at a time, so an ack to a peer that follows a syn to it is composed after that syn was sent. Asking
/// after the goodbye was written, and then seeing an ack go out, therefore means that the goodbye went out with it.
#[derive(Debug)]
struct Farewell {
    /// The peers, and whether each has been asked since the goodbye was written.
    untold: HashMap<SocketAddr, bool>,
}

impl Wire {
    /// Counts one datagram.
    pub(crate) fn count(&self, outcome: Outcome) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
        let (direction, outcome) = outcome.labels();
        metrics::counter!("mesh_gossip_messages_total", "direction" => direction, "outcome" => outcome)
            .increment(1);
    }

    pub(crate) fn traffic(&self) -> Traffic {
        let read = |outcome: Outcome| self.counts[outcome as usize].load(Ordering::Relaxed);
        Traffic {
            sent: read(Outcome::Sent),
            send_failed: read(Outcome::SendFailed),
            received: read(Outcome::Received),
            receive_failed: read(Outcome::ReceiveFailed),
            malformed: read(Outcome::Malformed),
            foreign: read(Outcome::Foreign),
            unknown_key: read(Outcome::UnknownKey),
            forged: read(Outcome::Forged),
            replayed: read(Outcome::Replayed),
            oversize_received: read(Outcome::OversizeReceived),
            oversize_sent: read(Outcome::OversizeSent),
        }
    }

    /// Counts one datagram that was opened with key `id`, so that it shows when a key is used no more.
    pub(crate) fn count_opened(&self, id: u8) {
        metrics::counter!("mesh_gossip_opened_total", "key" => id.to_string()).increment(1);
    }

    /// What has been heard from each sender. It outlives the socket: a restart forgets no replay.
    pub(crate) fn replays(&self) -> MutexGuard<'_, Replays> {
        self.replays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the exchanges of an earlier socket.
    pub(crate) fn reset(&self) {
        *self.exchanges() = Exchanges::default();
    }

    /// A syn went to `peer`.
    pub(crate) fn asked(&self, now: Instant, peer: SocketAddr) {
        let mut exchanges = self.exchanges();
        exchanges.asked.insert(peer, now);
        if let Some(farewell) = &mut exchanges.farewell
            && let Some(asked) = farewell.untold.get_mut(&peer)
        {
            *asked = true;
        }
    }

    /// A syn-ack came from `peer`.
    pub(crate) fn answered(&self, now: Instant, peer: SocketAddr) {
        let mut exchanges = self.exchanges();
        let Some(asked) = exchanges.asked.remove(&peer) else {
            return;
        };
        let round_trip = now.saturating_duration_since(asked);
        exchanges.round_trips.insert(peer, round_trip);
        metrics::histogram!("mesh_gossip_rtt_ms").record(round_trip.as_secs_f64() * 1e3);
    }

    /// An ack went to `peer`.
    pub(crate) fn told(&self, peer: SocketAddr) {
        let mut exchanges = self.exchanges();
        let Some(farewell) = &mut exchanges.farewell else {
            return;
        };
        if farewell.untold.get(&peer) == Some(&true) {
            farewell.untold.remove(&peer);
        }
        if farewell.untold.is_empty() {
            self.told.notify_one();
        }
    }

    /// How long `peer` took to answer last.
    pub(crate) fn round_trip(&self, peer: SocketAddr) -> Option<Duration> {
        self.exchanges().round_trips.get(&peer).copied()
    }

    /// Forgets every peer but `members`, so that the tables stay as small as the cluster.
    pub(crate) fn keep_only(&self, members: &HashSet<SocketAddr>) {
        let mut exchanges = self.exchanges();
        exchanges.asked.retain(|it, _| members.contains(it));
        exchanges.round_trips.retain(|it, _| members.contains(it));
    }

    /// Begins to watch who learns what has just been written.
    pub(crate) fn begin_farewell(&self, peers: &[SocketAddr]) {
        let untold = peers.iter().map(|&it| (it, false)).collect();
        self.exchanges().farewell = Some(Farewell { untold });
    }

    /// Who has not been told yet.
    pub(crate) fn untold(&self) -> Vec<SocketAddr> {
        let exchanges = self.exchanges();
        let farewell = exchanges.farewell.as_ref();
        farewell.map_or_else(Vec::new, |it| it.untold.keys().copied().collect())
    }

    /// Completes when everybody has been told; wakes at most one waiter.
    pub(crate) async fn all_told(&self) {
        self.told.notified().await;
    }

    fn exchanges(&self) -> MutexGuard<'_, Exchanges> {
        self.exchanges
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn every_outcome_has_its_own_count_and_labels() {
        let wire = Wire::default();
        let outcomes = [
            Outcome::Sent,
            Outcome::SendFailed,
            Outcome::Received,
            Outcome::ReceiveFailed,
            Outcome::Malformed,
            Outcome::Foreign,
            Outcome::UnknownKey,
            Outcome::Forged,
            Outcome::Replayed,
            Outcome::OversizeReceived,
            Outcome::OversizeSent,
        ];
        let labels: HashSet<_> = outcomes.iter().map(|it| it.labels()).collect();
        assert_eq!(labels.len(), Outcome::COUNT);
        for (times, outcome) in (1..).zip(outcomes) {
            (0..times).for_each(|_| wire.count(outcome));
        }
        let expected = Traffic {
            sent: 1,
            send_failed: 2,
            received: 3,
            receive_failed: 4,
            malformed: 5,
            foreign: 6,
            unknown_key: 7,
            forged: 8,
            replayed: 9,
            oversize_received: 10,
            oversize_sent: 11,
        };
        assert_eq!(wire.traffic(), expected);
    }

    #[test]
    fn a_round_trip_is_from_the_question_to_its_answer() {
        let wire = Wire::default();
        let now = Instant::now();
        wire.answered(now, address(1));
        assert_eq!(wire.round_trip(address(1)), None, "an answer to nothing");

        wire.asked(now, address(1));
        wire.answered(now + Duration::from_millis(3), address(1));
        assert_eq!(wire.round_trip(address(1)), Some(Duration::from_millis(3)));

        wire.keep_only(&HashSet::from([address(2)]));
        assert_eq!(wire.round_trip(address(1)), None);
    }

    #[test]
    fn a_peer_is_told_only_by_an_ack_that_follows_a_question_of_the_farewell() {
        let wire = Wire::default();
        let now = Instant::now();
        wire.asked(now, address(1));
        wire.begin_farewell(&[address(1), address(2)]);
        wire.told(address(1));
        assert_eq!(wire.untold().len(), 2, "that question was from before");

        wire.asked(now, address(1));
        wire.told(address(1));
        wire.told(address(3));
        assert_eq!(wire.untold(), [address(2)]);
    }

    #[tokio::test]
    async fn the_last_peer_told_wakes_whoever_waits() {
        let wire = Wire::default();
        wire.begin_farewell(&[address(1)]);
        wire.asked(Instant::now(), address(1));
        wire.told(address(1));
        wire.all_told().await;
        assert!(wire.untold().is_empty());
    }
}
