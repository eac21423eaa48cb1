//! [`Discovered`]: the peers of an outbound, by what other nodes say.

use std::collections::BTreeMap;
use std::time::Duration;

use dispatcher::PeerSource;
use futures_core::stream::BoxStream;
use futures_util::stream;
use mesh::gossip::{Members, Membership as _, Status, View};
use tokio::time::{Instant, timeout_at};

/// How many places an outbound has at most: each call looks at all of them.
const MOST_PLACES: usize = 256;

/// The places at which other nodes offer a service over gRPC.
///
/// Chosen are nodes that are alive, and not cordoned. Only when there is none of these, suspects are: that all fall silent at once is
/// rather said of this node's own gossip than of their calls, and who really does not answer is left alone by its circuit. This node
/// is never a peer of itself.
///
/// While gossip is down, everything stays as it was. After its restart it knows nobody, and finds the others within a round or two: for
/// some time a node that it does not know yet stays what it was.
#[derive(Clone, Debug)]
pub(crate) struct Discovered {
    members: Members,
    service: String,
    patience: Duration,
}

impl Discovered {
    /// Those of `service`. After a restart of gossip nodes are waited for as long as `patience`.
    pub(crate) fn new(members: Members, service: &str, patience: Duration) -> Self {
        Self {
            members,
            service: service.trim().to_owned(),
            patience,
        }
    }
}

impl PeerSource for Discovered {
    fn places(&self) -> BoxStream<'static, Vec<String>> {
        let mut views = self.members.subscribe();
        // What there is comes first.
        views.mark_changed();
        let known = Known::new(self.service.clone(), self.patience);
        let places = stream::unfold((views, known), async |(mut views, mut known)| {
            loop {
                match known.patient_until {
                    // It has passed: what is known now is all there is.
                    Some(until) => timeout_at(until, views.changed()).await.unwrap_or(Ok(())),
                    None => views.changed().await,
                }
                .ok()?;
                let view = views.borrow_and_update().clone();
                if let Some(places) = known.take_in(Instant::now(), &view) {
                    return Some((places, (views, known)));
                }
            }
        });
        Box::pin(places)
    }
}

/// What is known of those who offer a service: no clock, no waiting.
struct Known {
    service: String,
    patience: Duration,
    /// Which start of gossip it is known from.
    generation: Option<u64>,
    /// Until when a node that is not known yet stays what it was before that start.
    patient_until: Option<Instant>,
    offers: BTreeMap<String, Offer>,
    told: Option<Vec<String>>,
}

#[derive(Clone)]
struct Offer {
    is_suspect: bool,
    places: Vec<String>,
}

impl Known {
    fn new(service: String, patience: Duration) -> Self {
        Self {
            service,
            patience,
            generation: None,
            patient_until: None,
            offers: BTreeMap::new(),
            told: None,
        }
    }

    /// Takes in what gossip knows at `now`; gives the places when they are others than before.
    fn take_in(&mut self, now: Instant, view: &View) -> Option<Vec<String>> {
        self.patient_until = self.patient_until.filter(|it| now < *it);
        // Without an address gossip is down, and what it knew is old.
        if view.address.is_some() {
            self.renew(now, view);
        }
        let places = self.places();
        if self.told.as_ref() == Some(&places) {
            return None;
        }
        self.told = Some(places.clone());
        Some(places)
    }

    fn renew(&mut self, now: Instant, view: &View) {
        let local = view.peer(&view.local_node_id).map(|it| it.generation);
        if self.generation.is_some() && self.generation != local {
            self.patient_until = Some(now + self.patience);
        }
        self.generation = local;
        let mut offers = self.offers_in(view);
        if self.patient_until.is_some() {
            let before = std::mem::take(&mut self.offers).into_iter();
            offers.extend(before.filter(|(node, _)| view.peer(node).is_none()));
        }
        self.offers = offers;
    }

    fn offers_in(&self, view: &View) -> BTreeMap<String, Offer> {
        let others = view.peers.iter();
        let others = others.filter(|it| it.node_id != view.local_node_id);
        let open = others.filter(|it| it.status != Status::Left && !it.metadata.cordoned);
        let offers = open.filter_map(|it| {
            let service = it.metadata.services.get(&self.service)?;
            let offer = Offer {
                is_suspect: it.status == Status::Suspect,
                places: service.grpc.clone(),
            };
            Some((it.node_id.clone(), offer))
        });
        offers.filter(|(_, it)| !it.places.is_empty()).collect()
    }

    /// In the order of the names of nodes.
    fn places(&self) -> Vec<String> {
        let is_any_alive = self.offers.values().any(|it| !it.is_suspect);
        let chosen = self.offers.values();
        let chosen = chosen.filter(|it| !(it.is_suspect && is_any_alive));
        let places = chosen.flat_map(|it| it.places.iter().cloned());
        places.take(MOST_PLACES).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use mesh::gossip::{Metadata, Peer, Service};

    use super::*;

    /// A node by its name, which offers `pets` at a place of its own.
    fn node(name: &str, status: Status) -> Peer {
        let services = [("pets".to_owned(), Service::over_grpc([format!("{name}:1")]))];
        Peer {
            node_id: name.to_owned(),
            status,
            last_seen: SystemTime::UNIX_EPOCH,
            rtt: None,
            address: "127.0.0.1:1".parse().expect("an address"),
            generation: 1,
            metadata: Metadata {
                services: services.into(),
                ..Metadata::default()
            },
        }
    }

    fn alive(name: &str) -> Peer {
        node(name, Status::Alive)
    }

    fn cordoned(name: &str) -> Peer {
        let mut peer = alive(name);
        peer.metadata.cordoned = true;
        peer
    }

    struct Run {
        known: Known,
        now: Instant,
        generation: u64,
    }

    impl Run {
        fn new() -> Self {
            Self {
                known: Known::new("pets".to_owned(), Duration::from_secs(10)),
                now: Instant::now(),
                generation: 1,
            }
        }

        /// The places when `me` sees these others; `None` when they are as before.
        fn sees(&mut self, others: &[Peer]) -> Option<String> {
            let mut local = alive("me");
            local.generation = self.generation;
            let mut peers = [others, &[local]].concat();
            peers.sort_by(|a, b| a.node_id.cmp(&b.node_id));
            let view = View {
                local_node_id: "me".to_owned(),
                address: Some("127.0.0.1:1".parse().expect("an address")),
                peers,
            };
            let places = self.known.take_in(self.now, &view)?;
            Some(places.join(" "))
        }
    }

    #[test]
    fn chosen_is_who_lives_offers_the_service_and_takes_new_calls() {
        let mut run = Run::new();
        let mut other = alive("d");
        other.metadata.services = [("cats".to_owned(), Service::over_grpc(["d:1"]))].into();
        let seen = [alive("b"), node("a", Status::Left), cordoned("c"), other];
        assert_eq!(run.sees(&seen).as_deref(), Some("b:1"));
        assert_eq!(
            run.sees(&[alive("b"), alive("c")]).as_deref(),
            Some("b:1 c:1")
        );
        assert_eq!(run.sees(&[alive("b"), alive("c")]), None, "no news");
        assert_eq!(
            run.sees(&[cordoned("b"), cordoned("c")]).as_deref(),
            Some("")
        );
    }

    #[test]
    fn suspects_are_chosen_only_when_nobody_else_is_there() {
        let mut run = Run::new();
        let (b, c) = (node("b", Status::Suspect), node("c", Status::Suspect));
        assert_eq!(run.sees(&[alive("a"), b.clone()]).as_deref(), Some("a:1"));
        assert_eq!(run.sees(&[cordoned("a"), b, c]).as_deref(), Some("b:1 c:1"));
    }

    #[test]
    fn after_a_restart_of_gossip_who_is_not_known_yet_stays_for_some_time() {
        let mut run = Run::new();
        run.sees(&[alive("a"), alive("b"), alive("c")]);
        run.generation = 2;
        assert_eq!(run.sees(&[]), None);
        assert_eq!(
            run.sees(&[alive("a"), cordoned("b")]).as_deref(),
            Some("a:1 c:1")
        );
        run.now += Duration::from_secs(10);
        assert_eq!(
            run.sees(&[alive("a"), cordoned("b")]).as_deref(),
            Some("a:1")
        );
        assert!(run.known.patient_until.is_none());
        assert_eq!(
            run.sees(&[]).as_deref(),
            Some(""),
            "that it forgets is news"
        );
    }

    #[test]
    fn while_gossip_is_down_everything_stays_as_it_was() {
        let mut run = Run::new();
        run.sees(&[alive("a")]);
        let down = View {
            local_node_id: "me".to_owned(),
            address: None,
            peers: Vec::new(),
        };
        assert_eq!(run.known.take_in(run.now, &down), None);
    }

    #[test]
    fn an_outbound_has_no_more_places_than_it_can_look_at() {
        let many: Vec<_> = (0..300).map(|it| alive(&format!("n{it:03}"))).collect();
        let places = Run::new().sees(&many).expect("they are news");
        assert_eq!(places.split(' ').count(), MOST_PLACES);
    }
}
