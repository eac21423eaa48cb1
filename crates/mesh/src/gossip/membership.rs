//! Who is in the cluster, for everyone who wants to know.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use tokio::sync::{broadcast, watch};

use crate::gossip::error::InvalidMetadata;
use crate::gossip::metadata::Metadata;
use crate::gossip::roster::Change;
use crate::gossip::traffic::{Traffic, Wire};

/// How many steps of members a subscriber may be behind before it loses the oldest.
const MOST_CHANGES: usize = 256;

/// The members of a cluster as one node sees them.
///
/// The library that does the gossiping stays behind it, and tests can put a list in its place. It can be used at any
/// time: before the first start the view is empty, after a stop it is the last one, with the local node as left.
pub trait Membership: fmt::Debug + Send + Sync {
    /// The present view. Cheap: the view is shared, not copied.
    fn view(&self) -> Arc<View>;

    /// A receiver that wakes whenever a member joins, changes its status or what it says about itself, or is forgotten;
    /// not for a mere sign of life. A slow receiver misses steps in between, never the last one.
    fn subscribe(&self) -> watch::Receiver<Arc<View>>;

    /// The members of the present view, ordered by node id; the local node is one of them.
    fn peers(&self) -> Vec<Peer> {
        self.view().peers.clone()
    }
}

/// What one node knows of its cluster at one moment.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The name of the node whose view this is. With the default name and port 0 it ends in `-0` until the first start.
    pub local_node_id: String,
    /// Where it listens; `None` while it is stopped, when nothing below is kept up to date.
    pub address: Option<SocketAddr>,
    /// Every member, ordered by node id; one entry a name, for its newest incarnation.
    pub peers: Vec<Peer>,
}

impl View {
    pub(crate) fn empty(local_node_id: String) -> Self {
        Self {
            local_node_id,
            address: None,
            peers: Vec::new(),
        }
    }

    /// The member called `node_id`.
    #[must_use]
    pub fn peer(&self, node_id: &str) -> Option<&Peer> {
        let found = self
            .peers
            .binary_search_by(|it| it.node_id.as_str().cmp(node_id));
        found.ok().map(|index| &self.peers[index])
    }

    /// Where the others listen that are alive.
    pub(crate) fn live_peers(&self) -> Vec<SocketAddr> {
        let live = self.peers.iter().filter(|it| it.status == Status::Alive);
        let others = live.filter(|it| it.node_id != self.local_node_id);
        others.map(|it| it.address).collect()
    }

    /// The same view once the local node has stopped.
    pub(crate) fn stopped(&self) -> Self {
        let mut view = self.clone();
        view.address = None;
        if let Some(local) = view
            .peers
            .iter_mut()
            .find(|it| it.node_id == self.local_node_id)
        {
            local.status = Status::Left;
        }
        view
    }

    /// Whether subscribers should be woken for the step from `self` to `next`.
    fn differs_from(&self, next: &Self) -> bool {
        let same = |(old, new): (&Peer, &Peer)| {
            old.node_id == new.node_id
                && old.generation == new.generation
                && old.status == new.status
                && old.metadata == new.metadata
        };
        self.local_node_id != next.local_node_id
            || self.address != next.address
            || self.peers.len() != next.peers.len()
            || !self.peers.iter().zip(&next.peers).all(same)
    }
}

/// One member.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Its name.
    pub node_id: String,
    /// Whether it is there.
    pub status: Status,
    /// When this node last saw a sign of life of it, by this node's own clock. Serialised as RFC 3339.
    #[serde(serialize_with = "as_timestamp")]
    #[schemars(with = "String")]
    pub last_seen: SystemTime,
    /// How long it took to answer last; unknown for the local node and for members not asked yet. Serialised as
    /// milliseconds with at most three decimals.
    #[serde(
        rename = "rttMs",
        serialize_with = "as_millis",
        skip_serializing_if = "Option::is_none"
    )]
    #[schemars(with = "Option<f64>")]
    pub rtt: Option<Duration>,
    /// Where it listens.
    #[schemars(with = "String")]
    pub address: SocketAddr,
    /// Which incarnation it is: the time of its start in nanoseconds since 1970, by its own clock. Compare, do not read.
    /// Serialised as a decimal string: such times are above 2^53, where a number of JavaScript loses its last digits.
    #[serde(serialize_with = "as_decimal")]
    #[schemars(with = "String")]
    pub generation: u64,
    /// What it says about itself. Empty but for its name when that cannot be read.
    pub metadata: Metadata,
}

/// Whether a member is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema, Serialize)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "MemberStatus")]
pub enum Status {
    /// It gives signs of life.
    Alive,
    /// It has been silent for longer than the suspicion interval.
    Suspect,
    /// It said goodbye, or has been silent for longer than the leave interval.
    Left,
}

impl Status {
    /// Every status, in the order of declaration.
    pub const ALL: [Self; 3] = [Self::Alive, Self::Suspect, Self::Left];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Alive => "alive",
            Self::Suspect => "suspect",
            Self::Left => "left",
        }
    }
}

/// The members as a [`Gossip`](crate::gossip::Gossip) sees them; cloning is cheap, and it outlives the component.
#[derive(Clone)]
pub struct Members {
    shared: Arc<Shared>,
}

struct Shared {
    view: watch::Sender<Arc<View>>,
    changes: broadcast::Sender<Change>,
    /// What this node says about itself, whichever generation it is.
    said: watch::Sender<Metadata>,
    /// The generation whose view is taken; `None` while nothing runs. Held while a view is published, so that none is
    /// published behind its end.
    open: Mutex<Option<u64>>,
    wire: Arc<Wire>,
}

impl Members {
    pub(crate) fn new(view: View, said: Metadata, wire: Arc<Wire>) -> Self {
        let (view, _) = watch::channel(Arc::new(view));
        let (said, _) = watch::channel(said);
        Self {
            shared: Arc::new(Shared {
                view,
                changes: broadcast::channel(MOST_CHANGES).0,
                said,
                open: Mutex::new(None),
                wire,
            }),
        }
    }

    /// What has been sent and received since the component was made, over all its starts.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.shared.wire.traffic()
    }

    /// Every single step of the members from here on: who joined, was suspected, recovered, left, or is forgotten.
    ///
    /// By the time a step comes, the view shows it. Who reads too slowly is told how many of the oldest were lost, and finds where the
    /// members are now in the [`view`](Membership::view). A stop is no step; after the next start everybody joins again.
    #[must_use]
    pub fn changes(&self) -> broadcast::Receiver<Change> {
        self.shared.changes.subscribe()
    }

    /// Changes what this node says about itself, its name and its cluster excepted.
    ///
    /// It can be used at any time. While gossip runs, members are told at once; what was said last is also what the next start
    /// begins with. What is the same as before is no news.
    ///
    /// `change` is called under a lock: it must be quick, and must not use this handle.
    ///
    /// # Errors
    ///
    /// [`InvalidMetadata`] when it would break a bound; then everything is as before.
    pub fn announce(&self, change: impl FnOnce(&mut Metadata)) -> Result<(), InvalidMetadata> {
        let mut checked = Ok(());
        self.shared.said.send_if_modified(|said| {
            let mut next = said.clone();
            change(&mut next);
            next.node_id.clone_from(&said.node_id);
            next.cluster_id.clone_from(&said.cluster_id);
            next.metadata_version = said.metadata_version;
            checked = next.check();
            let is_news = checked.is_ok() && next != *said;
            if is_news {
                *said = next;
            }
            is_news
        });
        checked
    }

    /// What this node says about itself, and a wake-up when it says something else.
    pub(crate) fn said(&self) -> watch::Receiver<Metadata> {
        self.shared.said.subscribe()
    }

    /// From here on takes what `generation` sees, and nothing of any other.
    pub(crate) fn open(&self, generation: u64) {
        *self.gate() = Some(generation);
    }

    /// Tells of a step that the view shows already.
    pub(crate) fn tell(&self, change: Change) {
        // Refused when nobody listens.
        let _ = self.shared.changes.send(change);
    }

    /// Replaces the view by what `generation` sees; `Err`, and nothing changes, unless that one is open.
    ///
    /// Whoever looks may be overtaken by the stop, and its task is joined only later: the order is decided here.
    pub(crate) fn publish(&self, generation: u64, next: View) -> Result<(), Closed> {
        let open = self.gate();
        if *open != Some(generation) {
            return Err(Closed);
        }
        let members = count(&next.peers);
        self.replace(next);
        show(members);
        Ok(())
    }

    /// The local node has stopped: the view says so, until another generation is open. Does nothing when none was.
    pub(crate) fn close(&self) {
        let mut open = self.gate();
        if open.take().is_some() {
            self.replace(self.view().stopped());
            show(count(&[]));
        }
    }

    /// Wakes subscribers only when a member has changed.
    fn replace(&self, next: View) {
        self.shared.view.send_if_modified(|view| {
            let changed = view.differs_from(&next);
            *view = Arc::new(next);
            changed
        });
    }

    fn gate(&self) -> MutexGuard<'_, Option<u64>> {
        let open = self.shared.open.lock();
        open.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Membership for Members {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.shared.view.borrow())
    }

    fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.shared.view.subscribe()
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Members").field(&self.view()).finish()
    }
}

/// The generation that saw it has stopped, or another one has been started since.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Closed;

/// How many members there are of each status.
fn count(peers: &[Peer]) -> [(Status, u32); Status::ALL.len()] {
    Status::ALL.map(|status| {
        let members = peers.iter().filter(|it| it.status == status).count();
        (status, u32::try_from(members).unwrap_or(u32::MAX))
    })
}

fn show(members: [(Status, u32); Status::ALL.len()]) {
    for (status, count) in members {
        metrics::gauge!("mesh_gossip_members", "status" => status.as_str()).set(count);
    }
}

fn as_timestamp<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let timestamp = jiff::Timestamp::try_from(*time).map_err(serde::ser::Error::custom)?;
    serializer.collect_str(&format_args!("{timestamp:.3}"))
}

fn as_millis<S: Serializer>(rtt: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    // Rounded while whole: a product with fractions may end in digits that were never measured.
    let micros = rtt.map(|it| (it.as_secs_f64() * 1e6).round());
    micros.map(|it| it / 1e3).serialize(serializer)
}

fn as_decimal<S: Serializer>(generation: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(node_id: &str, status: Status) -> Peer {
        Peer {
            node_id: node_id.to_owned(),
            status,
            last_seen: SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_700),
            rtt: Some(Duration::from_micros(250)),
            address: "127.0.0.1:1".parse().unwrap(),
            generation: 1,
            metadata: Metadata::default(),
        }
    }

    fn view(peers: Vec<Peer>) -> View {
        View {
            peers,
            ..View::empty("a".to_owned())
        }
    }

    fn nobody() -> Members {
        let said = Metadata {
            node_id: "a".into(),
            cluster_id: "local".into(),
            ..Metadata::default()
        };
        Members::new(view(Vec::new()), said, Arc::default())
    }

    #[test]
    fn what_is_announced_is_news_once_and_never_another_name() {
        let members = nobody();
        let mut said = members.said();
        let cordon = |it: &mut Metadata| {
            it.cordoned = true;
            (it.node_id, it.cluster_id, it.metadata_version) = ("b".into(), "c".into(), 9);
        };
        members.announce(cordon).unwrap();
        assert!(said.has_changed().unwrap());
        let now = said.borrow_and_update().clone();
        assert!(now.cordoned);
        let name = (
            now.node_id.as_str(),
            now.cluster_id.as_str(),
            now.metadata_version,
        );
        assert_eq!(name, ("a", "local", 0));
        members.announce(cordon).unwrap();
        assert!(!said.has_changed().unwrap());
    }

    #[test]
    fn an_announcement_that_is_too_large_names_the_bound_and_changes_nothing() {
        let members = nobody();
        members.announce(|it| it.cordoned = true).unwrap();
        let before = members.said().borrow().clone();
        let large = members.announce(|it| {
            it.cordoned = false;
            it.labels.insert("note".into(), "x".repeat(9_000));
        });
        let Err(InvalidMetadata::Size { bytes, most: 8192 }) = large else {
            panic!("{large:?}");
        };
        assert!(bytes > 9_000);
        assert_eq!(*members.said().borrow(), before);
    }

    #[test]
    fn a_peer_is_serialised_as_clients_expect_it() {
        let json = serde_json::to_value(peer("b", Status::Suspect)).unwrap();
        assert_eq!(json["nodeId"], "b");
        assert_eq!(json["status"], "suspect");
        assert_eq!(json["lastSeen"], "1970-01-01T00:00:01.500Z");
        assert_eq!(json["rttMs"], 0.25);
        assert_eq!(json["metadata"]["meshVersion"], "");
        let unasked = Peer {
            rtt: None,
            ..peer("b", Status::Alive)
        };
        let json = serde_json::to_value(unasked).unwrap();
        assert!(json.get("rttMs").is_none());
    }

    #[test]
    fn a_generation_is_serialised_with_every_digit_and_a_round_trip_to_the_microsecond() {
        let peer = Peer {
            rtt: Some(Duration::from_nanos(673_051)),
            generation: u64::MAX,
            ..peer("b", Status::Alive)
        };
        let json = serde_json::to_value(peer).unwrap();
        assert_eq!(json["generation"], "18446744073709551615");
        assert_eq!(json["rttMs"].to_string(), "0.673");
    }

    #[test]
    fn a_status_has_one_name_in_json_and_in_metrics() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
    }

    #[test]
    fn subscribers_sleep_through_signs_of_life_and_wake_for_a_status() {
        let members = nobody();
        members.open(1);
        members
            .publish(1, view(vec![peer("b", Status::Alive)]))
            .unwrap();
        let mut changes = members.subscribe();
        changes.mark_unchanged();

        let mut seen = peer("b", Status::Alive);
        seen.last_seen += Duration::from_secs(1);
        members.publish(1, view(vec![seen.clone()])).unwrap();
        assert!(!changes.has_changed().unwrap());
        assert_eq!(
            members.peers(),
            [seen],
            "the view is up to date all the same"
        );

        members
            .publish(1, view(vec![peer("b", Status::Left)]))
            .unwrap();
        assert!(changes.has_changed().unwrap());
    }

    #[test]
    fn only_the_generation_that_is_open_can_publish() {
        let members = nobody();
        let seen = || view(vec![peer("b", Status::Alive)]);
        assert_eq!(members.publish(1, seen()), Err(Closed), "before its start");

        members.open(1);
        assert_eq!(members.publish(1, seen()), Ok(()));
        members.close();
        assert_eq!(members.publish(1, seen()), Err(Closed), "after its stop");

        members.open(1);
        members.open(2);
        assert_eq!(members.publish(1, seen()), Err(Closed), "after the next");
        assert_eq!(members.publish(2, seen()), Ok(()));
    }

    #[test]
    fn a_member_is_found_by_its_name() {
        let view = view(vec![peer("a", Status::Alive), peer("c", Status::Left)]);
        assert_eq!(view.peer("c").map(|it| it.status), Some(Status::Left));
        assert_eq!(view.peer("b"), None);
    }
}
