//! Who is alive, suspect or gone, decided from heartbeats: no socket, no clock.
//!
//! A heartbeat is a number that a node raises and everybody passes on. So hearing one says nothing; only that it has *risen*
//! since the last look does, and that moment is measured by our own clock: a peer's clock is never believed.
//!
//! The protocol's library has a failure detector of its own, which steers whom it gossips with. It does not decide here:
//! it takes every new node for dead until it has two intervals to reckon with, and its limit shrinks with the traffic of
//! a small cluster to a fraction of what an operator configured.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::gossip::membership::{Peer, Status};
use crate::gossip::metadata::Metadata;
use crate::gossip::options::check_name;

/// One moment by two clocks: one to reckon with, one to show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) instant: Instant,
    pub(crate) time: SystemTime,
}

impl Moment {
    pub(crate) fn now() -> Self {
        Self {
            instant: Instant::now(),
            time: SystemTime::now(),
        }
    }
}

/// The lengths of time that decide.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) suspicion: Duration,
    pub(crate) leave: Duration,
    /// How often the roster is shown what there is.
    pub(crate) look: Duration,
}

/// One incarnation of one node. Ordered by name, then by start.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) node_id: Arc<str>,
    pub(crate) generation: u64,
    pub(crate) address: SocketAddr,
}

/// What the protocol has about one incarnation at one moment.
#[derive(Clone, Debug)]
pub(crate) struct Sighting<'a> {
    pub(crate) key: Key,
    pub(crate) local: bool,
    pub(crate) heartbeat: u64,
    pub(crate) said_goodbye: bool,
    /// What it says about itself, and the version of that; `None` until it has arrived.
    pub(crate) document: Option<(u64, &'a str)>,
}

/// A step of one member other than the local node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The member's name.
    pub node_id: Arc<str>,
    /// What became of it.
    pub kind: ChangeKind,
}

/// What became of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ChangeKind {
    /// It is alive for the first time, or again after a restart.
    Joined,
    /// It has fallen silent.
    Suspected,
    /// It is alive again without having restarted.
    Recovered,
    /// It said goodbye.
    SaidGoodbye,
    /// It has been silent for too long.
    Vanished,
    /// It has left long ago; nothing is known of it any more.
    Forgotten,
}

/// Every incarnation that the protocol still remembers.
#[derive(Debug)]
pub(crate) struct Roster {
    limits: Limits,
    last_look: Option<Instant>,
    incarnations: BTreeMap<Key, Incarnation>,
    /// What each member was at the last look, with its generation.
    shown: BTreeMap<Arc<str>, (u64, Status)>,
}

#[derive(Debug)]
struct Incarnation {
    local: bool,
    heartbeat: u64,
    said_goodbye: bool,
    last_rise: Moment,
    /// The last moment at which it was certainly alive; `None`: known from hearsay alone.
    proof: Option<Instant>,
    metadata: Option<Metadata>,
    /// `None` until it is a member.
    status: Option<Status>,
}

impl Roster {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            last_look: None,
            incarnations: BTreeMap::new(),
            shown: BTreeMap::new(),
        }
    }

    /// Takes in everything that the protocol has at `now`, and says which members changed. The local node is never among
    /// the changes.
    pub(crate) fn observe<'a>(
        &mut self,
        now: Moment,
        sightings: impl Iterator<Item = Sighting<'a>>,
    ) -> Vec<Change> {
        self.forgive(self.blindness(now.instant));
        let mut sighted = BTreeMap::new();
        for sighting in sightings.filter(|it| check_name(&it.key.node_id).is_ok()) {
            let known = self.incarnations.remove(&sighting.key);
            let mut incarnation = known.unwrap_or_else(|| Incarnation::heard_of(&sighting, now));
            incarnation.take_in(&sighting, now, self.limits);
            incarnation.status = incarnation.judge(now.instant, self.limits);
            sighted.insert(sighting.key, incarnation);
        }
        self.incarnations = sighted;
        self.last_look = Some(now.instant);
        self.changes()
    }

    /// The members, ordered by name.
    pub(crate) fn peers(&self, round_trip: impl Fn(SocketAddr) -> Option<Duration>) -> Vec<Peer> {
        let members = self.members();
        let peers = members.into_iter().map(|(key, incarnation, status)| Peer {
            node_id: key.node_id.to_string(),
            status,
            last_seen: incarnation.last_rise.time,
            rtt: round_trip(key.address),
            address: key.address,
            generation: key.generation,
            metadata: incarnation.metadata.clone().unwrap_or_default(),
        });
        peers.collect()
    }

    /// Where whoever has been heard of may be reached, the local node and those that have left excepted.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let gone = |it: &Incarnation| it.said_goodbye || it.status == Some(Status::Left);
        let others = self
            .incarnations
            .iter()
            .filter(|(_, it)| !it.local && !gone(it));
        others.map(|(key, _)| key.address).collect()
    }

    /// How much longer than usual it is since the last look. While we did not look (a stalled process, a suspended
    /// machine), the silence was ours.
    fn blindness(&self, now: Instant) -> Duration {
        let Some(last_look) = self.last_look else {
            return Duration::ZERO;
        };
        let usual = self.limits.look * 2;
        now.saturating_duration_since(last_look)
            .saturating_sub(usual)
    }

    fn forgive(&mut self, silence: Duration) {
        for incarnation in self.incarnations.values_mut() {
            incarnation.last_rise.instant += silence;
            if let Some(proof) = &mut incarnation.proof {
                *proof += silence;
            }
        }
    }

    /// One incarnation a name: the newest that has ever been alive. The local node's name is the local node's.
    fn members(&self) -> Vec<(&Key, &Incarnation, Status)> {
        let mut members: Vec<(&Key, &Incarnation, Status)> = Vec::new();
        for (key, incarnation) in &self.incarnations {
            let Some(status) = incarnation.status else {
                continue;
            };
            match members.last_mut() {
                Some((last, incumbent, _)) if last.node_id == key.node_id => {
                    if !incumbent.local {
                        members.pop();
                        members.push((key, incarnation, status));
                    }
                }
                _ => members.push((key, incarnation, status)),
            }
        }
        members
    }

    fn changes(&mut self) -> Vec<Change> {
        let mut before = std::mem::take(&mut self.shown);
        let mut after = BTreeMap::new();
        let mut changes = Vec::new();
        for (key, incarnation, status) in self.members() {
            if incarnation.local {
                continue;
            }
            let old = before.remove(&key.node_id);
            after.insert(Arc::clone(&key.node_id), (key.generation, status));
            if let Some(kind) = incarnation.step(old, key.generation, status) {
                changes.push(Change {
                    node_id: Arc::clone(&key.node_id),
                    kind,
                });
            }
        }
        changes.extend(before.into_keys().map(|node_id| Change {
            node_id,
            kind: ChangeKind::Forgotten,
        }));
        self.shown = after;
        changes
    }
}

impl Incarnation {
    fn heard_of(sighting: &Sighting<'_>, now: Moment) -> Self {
        Self {
            local: sighting.local,
            heartbeat: sighting.heartbeat,
            said_goodbye: false,
            last_rise: now,
            proof: None,
            metadata: None,
            status: None,
        }
    }

    fn take_in(&mut self, sighting: &Sighting<'_>, now: Moment, limits: Limits) {
        // A goodbye is final: who comes back is a new incarnation.
        self.said_goodbye |= sighting.said_goodbye;
        if self.local || sighting.heartbeat > self.heartbeat {
            self.heartbeat = sighting.heartbeat;
            self.rise(now, limits);
        }
        self.read(sighting);
    }

    /// A member that had fallen silent needs two rises close to each other: a single one may be old news that some node
    /// was late to pass on.
    fn rise(&mut self, now: Moment, limits: Limits) {
        let since_last = now
            .instant
            .saturating_duration_since(self.last_rise.instant);
        let silent = matches!(self.status, Some(Status::Suspect | Status::Left));
        if !silent || since_last < limits.suspicion {
            self.proof = Some(now.instant);
        }
        self.last_rise = now;
    }

    fn read(&mut self, sighting: &Sighting<'_>) {
        let Some((version, document)) = sighting.document else {
            return;
        };
        let known = self.metadata.as_ref().map(|it| it.metadata_version);
        if known == Some(version) {
            return;
        }
        let node_id = &*sighting.key.node_id;
        let metadata = Metadata::decode(document, node_id, version).unwrap_or_else(|error| {
            tracing::warn!(node_id, %error, "what a member says about itself cannot be read");
            Metadata::unreadable(node_id, version)
        });
        self.metadata = Some(metadata);
    }

    fn judge(&self, now: Instant, limits: Limits) -> Option<Status> {
        // It becomes a member when it is known to live and known to be what.
        let (Some(proof), Some(_)) = (self.proof, &self.metadata) else {
            return None;
        };
        let silence = now.saturating_duration_since(proof);
        Some(match () {
            () if self.said_goodbye => Status::Left,
            () if silence <= limits.suspicion => Status::Alive,
            () if silence <= limits.leave => Status::Suspect,
            () => Status::Left,
        })
    }

    /// What the log calls the step from `old`, if it is one.
    fn step(&self, old: Option<(u64, Status)>, generation: u64, new: Status) -> Option<ChangeKind> {
        let same_incarnation = old.filter(|(before, _)| *before == generation);
        match (same_incarnation, new) {
            (Some((_, before)), after) if before == after => None,
            (None, Status::Alive) => Some(ChangeKind::Joined),
            (Some(_), Status::Alive) => Some(ChangeKind::Recovered),
            (_, Status::Suspect) => Some(ChangeKind::Suspected),
            (_, Status::Left) if self.said_goodbye => Some(ChangeKind::SaidGoodbye),
            (_, Status::Left) => Some(ChangeKind::Vanished),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"schema":"v1","node":{"role":"worker"}}"#;

    /// A roster with a clock of its own: a look a second, suspicion after 5 s, left after 11 s.
    struct Run {
        roster: Roster,
        now: Moment,
    }

    impl Run {
        fn new() -> Self {
            let limits = Limits {
                suspicion: Duration::from_secs(5),
                leave: Duration::from_secs(11),
                look: Duration::from_secs(1),
            };
            Self {
                roster: Roster::new(limits),
                now: Moment::now(),
            }
        }

        /// Passes a second, then looks; says what changed.
        fn look(&mut self, sightings: &[Sighting<'_>]) -> String {
            self.look_after(1, sightings)
        }

        fn look_after(&mut self, seconds: u64, sightings: &[Sighting<'_>]) -> String {
            self.now.instant += Duration::from_secs(seconds);
            self.now.time += Duration::from_secs(seconds);
            let changes = self.roster.observe(self.now, sightings.iter().cloned());
            let words = changes
                .iter()
                .map(|it| format!("{} {:?}", it.node_id, it.kind));
            words.collect::<Vec<_>>().join(", ")
        }

        /// Looks every second for `seconds`, while nothing is heard; says what changed and when.
        fn silence(&mut self, seconds: u64, sightings: &[Sighting<'_>]) -> Vec<(u64, String)> {
            let looks = (1..=seconds).map(|second| (second, self.look(sightings)));
            looks.filter(|(_, changes)| !changes.is_empty()).collect()
        }

        fn status(&self, node_id: &str) -> Option<Status> {
            let peers = self.roster.peers(|_| None);
            peers
                .iter()
                .find(|it| it.node_id == node_id)
                .map(|it| it.status)
        }
    }

    fn sighting(node_id: &str, generation: u64, heartbeat: u64) -> Sighting<'static> {
        Sighting {
            key: Key {
                node_id: node_id.into(),
                generation,
                address: "127.0.0.1:1".parse().unwrap(),
            },
            local: false,
            heartbeat,
            said_goodbye: false,
            document: Some((1, DOCUMENT)),
        }
    }

    fn joined(run: &mut Run, node_id: &str) {
        run.look(&[sighting(node_id, 1, 1)]);
        assert_eq!(
            run.look(&[sighting(node_id, 1, 2)]),
            format!("{node_id} Joined")
        );
    }

    #[test]
    fn hearsay_makes_no_member_and_a_rising_heartbeat_does() {
        let mut run = Run::new();
        assert_eq!(run.silence(20, &[sighting("b", 1, 900)]), []);
        assert_eq!(run.status("b"), None);
        assert_eq!(run.look(&[sighting("b", 1, 901)]), "b Joined");
        assert_eq!(run.status("b"), Some(Status::Alive));
    }

    #[test]
    fn a_node_joins_only_when_what_it_is_has_arrived() {
        let mut run = Run::new();
        let bare = |heartbeat| Sighting {
            document: None,
            ..sighting("b", 1, heartbeat)
        };
        run.look(&[bare(1)]);
        assert_eq!(run.look(&[bare(2)]), "");
        assert_eq!(run.look(&[sighting("b", 1, 3)]), "b Joined");
    }

    #[test]
    fn contract_71_a_silent_member_is_suspect_and_then_left() {
        let mut run = Run::new();
        joined(&mut run, "b");
        let changes = run.silence(30, &[sighting("b", 1, 2)]);
        assert_eq!(
            changes,
            [(6, "b Suspected".to_owned()), (12, "b Vanished".to_owned())]
        );
        assert_eq!(run.status("b"), Some(Status::Left));
    }

    #[test]
    fn a_suspect_recovers_by_two_signs_of_life_and_not_by_one_late_one() {
        let mut run = Run::new();
        joined(&mut run, "b");
        run.silence(6, &[sighting("b", 1, 2)]);
        assert_eq!(run.look(&[sighting("b", 1, 3)]), "");
        assert_eq!(run.status("b"), Some(Status::Suspect));
        assert_eq!(run.look(&[sighting("b", 1, 4)]), "b Recovered");
        assert_eq!(run.status("b"), Some(Status::Alive));
    }

    #[test]
    fn even_a_member_that_had_vanished_recovers() {
        let mut run = Run::new();
        joined(&mut run, "b");
        run.silence(20, &[sighting("b", 1, 2)]);
        run.look(&[sighting("b", 1, 3)]);
        assert_eq!(run.look(&[sighting("b", 1, 4)]), "b Recovered");
    }

    #[test]
    fn a_goodbye_counts_at_once_and_for_good() {
        let mut run = Run::new();
        joined(&mut run, "b");
        let goodbye = Sighting {
            said_goodbye: true,
            ..sighting("b", 1, 3)
        };
        assert_eq!(run.look(&[goodbye]), "b SaidGoodbye");
        assert_eq!(run.look(&[sighting("b", 1, 4)]), "");
        assert_eq!(run.look(&[sighting("b", 1, 5)]), "");
        assert_eq!(run.status("b"), Some(Status::Left));
    }

    #[test]
    fn a_new_incarnation_replaces_the_old_one_once_it_lives() {
        let mut run = Run::new();
        joined(&mut run, "b");
        let old = sighting("b", 1, 2);
        assert_eq!(run.look(&[old.clone(), sighting("b", 2, 1)]), "");
        assert_eq!(run.look(&[old.clone(), sighting("b", 2, 2)]), "b Joined");
        // The old one is never shown again, even when it seems to live.
        assert_eq!(run.look(&[sighting("b", 1, 50), sighting("b", 2, 3)]), "");
        let peers = run.roster.peers(|_| None);
        assert_eq!(
            peers.iter().map(|it| it.generation).collect::<Vec<_>>(),
            [2]
        );
    }

    #[test]
    fn a_member_that_the_protocol_drops_is_forgotten() {
        let mut run = Run::new();
        joined(&mut run, "b");
        assert_eq!(run.look(&[]), "b Forgotten");
        assert_eq!(run.status("b"), None);
    }

    #[test]
    fn contract_b25_the_time_last_seen_is_ours_and_only_a_rise_moves_it() {
        let mut run = Run::new();
        joined(&mut run, "b");
        let seen = run.now.time;
        run.silence(3, &[sighting("b", 1, 2)]);
        assert_eq!(run.roster.peers(|_| None)[0].last_seen, seen);
        run.look(&[sighting("b", 1, 3)]);
        assert_eq!(run.roster.peers(|_| None)[0].last_seen, run.now.time);
    }

    #[test]
    fn contract_b25_more_than_32_members_are_known() {
        let mut run = Run::new();
        let everyone = |heartbeat| {
            let nodes = (0..200).map(move |it| sighting(&format!("n{it:03}"), 1, heartbeat));
            nodes.collect::<Vec<_>>()
        };
        run.look(&everyone(1));
        run.look(&everyone(2));
        let peers = run.roster.peers(|_| None);
        assert_eq!(peers.len(), 200);
        assert!(peers.is_sorted_by(|a, b| a.node_id < b.node_id));
    }

    #[test]
    fn nobody_is_blamed_for_the_time_in_which_this_node_did_not_look() {
        let mut run = Run::new();
        joined(&mut run, "b");
        assert_eq!(run.look_after(3_600, &[sighting("b", 1, 2)]), "");
        assert_eq!(run.status("b"), Some(Status::Alive));
        assert_eq!(
            run.silence(5, &[sighting("b", 1, 2)]).len(),
            1,
            "from here on it counts"
        );
    }

    #[test]
    fn the_local_node_is_alive_from_the_first_look_and_its_name_is_its_own() {
        let mut run = Run::new();
        let local = Sighting {
            local: true,
            ..sighting("a", 5, 1)
        };
        assert_eq!(run.look(std::slice::from_ref(&local)), "");
        assert_eq!(run.status("a"), Some(Status::Alive));
        run.look(&[local.clone(), sighting("a", 9, 1)]);
        run.look(&[local, sighting("a", 9, 2)]);
        let peers = run.roster.peers(|_| None);
        assert_eq!(
            peers.iter().map(|it| it.generation).collect::<Vec<_>>(),
            [5]
        );
    }

    #[test]
    fn a_member_whose_document_cannot_be_read_is_shown_by_its_name() {
        let mut run = Run::new();
        let odd = |heartbeat| Sighting {
            document: Some((1, "?")),
            ..sighting("b", 1, heartbeat)
        };
        run.look(&[odd(1)]);
        assert_eq!(run.look(&[odd(2)]), "b Joined");
        assert_eq!(run.roster.peers(|_| None)[0].metadata.node_id, "b");
    }

    #[test]
    fn of_a_member_that_says_too_much_nothing_is_kept_but_its_name() {
        let mut run = Run::new();
        let services: Vec<_> = (0..65).map(|it| format!("\"s{it}\":{{}}")).collect();
        let services = services.join(",");
        let many = format!(r#"{{"schema":"v1","node":{{"role":"x","services":{{{services}}}}}}}"#);
        let large = format!(
            r#"{{"schema":"v1","node":{{"role":"{}"}}}}"#,
            "x".repeat(9_000)
        );
        for (node_id, document) in [("b", &many), ("c", &large)] {
            let loud = |heartbeat| Sighting {
                document: Some((1, document)),
                ..sighting(node_id, 1, heartbeat)
            };
            run.look(&[loud(1)]);
            run.look(&[loud(2)]);
            let kept = run.roster.peers(|_| None)[0].metadata.clone();
            assert_eq!(kept, Metadata::unreadable(node_id, 1));
        }
    }

    #[test]
    fn the_addresses_are_those_of_others_that_may_be_there_proven_or_not() {
        let mut run = Run::new();
        let at = |port: u16, it: Sighting<'static>| {
            let mut sighting = it;
            sighting.key.address.set_port(port);
            sighting
        };
        let local = Sighting {
            local: true,
            ..at(1, sighting("a", 1, 1))
        };
        let gone = Sighting {
            said_goodbye: true,
            ..at(2, sighting("b", 1, 1))
        };
        run.look(&[local, gone, at(3, sighting("c", 1, 1))]);
        let addresses = run.roster.addresses();
        assert_eq!(addresses, ["127.0.0.1:3".parse().unwrap()]);
    }

    #[test]
    fn a_name_that_breaks_the_rule_is_no_member() {
        let mut run = Run::new();
        run.look(&[sighting("a\nb", 1, 1)]);
        assert_eq!(run.look(&[sighting("a\nb", 1, 2)]), "");
    }
}
