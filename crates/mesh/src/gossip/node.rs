//! One generation of gossip: a bound socket, the protocol's loop on it, and what is read from and written to that.
//!
//! The only place, with the transport, that names the protocol's library.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use chitchat::{
    Chitchat, ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, ListenerHandle,
    NodeState, spawn_chitchat,
};
use lifecycle_core::BoxError;
use tokio::net::UdpSocket;
use tokio::sync::{Mutex, Notify, watch};

use crate::gossip::error::{LoopEnded, StartError};
use crate::gossip::metadata::Metadata;
use crate::gossip::options::Options;
use crate::gossip::roster::{Change, Key, Moment, Roster, Sighting};
use crate::gossip::seal::Seal;
use crate::gossip::traffic::Wire;
use crate::gossip::transport::Bound;

/// The key under which a node says what it is.
const ABOUT: &str = "node";
/// The key that a node sets when it goes; its value is the reason.
const GOODBYE: &str = "goodbye";

/// How many peers are told directly that this node goes, or says something else about itself. They tell the others, as with any other news.
const TOLD_DIRECTLY: usize = 8;
/// How long a peer has to answer before it is asked again: a datagram may have been lost.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// When the library's failure detector takes a node for dead, in mean heartbeat intervals; its own default.
const PHI_THRESHOLD: f64 = 8.0;
/// How many heartbeat intervals it averages.
const SAMPLES: usize = 1_000;

/// A running node.
pub(crate) struct Node {
    handle: ChitchatHandle,
    wire: Arc<Wire>,
    /// Which incarnation it is.
    pub(crate) generation: u64,
    /// Its name while it runs.
    pub(crate) node_id: String,
    /// Where it listens.
    pub(crate) bound: SocketAddr,
    /// Where peers reach it.
    pub(crate) advertised: SocketAddr,
}

impl Node {
    /// Begins to gossip on `socket`. Does not wait for any peer, nor for a name to be resolved.
    ///
    /// What it says about itself is `about`, under its own name.
    pub(crate) async fn launch(
        options: &Options,
        about: Metadata,
        generation: u64,
        socket: UdpSocket,
        wire: Arc<Wire>,
        open: watch::Receiver<()>,
    ) -> Result<Self, StartError> {
        let address = options.bind;
        let bound = socket
            .local_addr()
            .map_err(|source| StartError::Bind { address, source })?;
        let node_id = options.node_id_on(bound.port());
        let advertised = options.advertised(bound);
        let about = about.named(&node_id).encode();
        let id = ChitchatId::new(node_id.clone(), generation, advertised);

        wire.reset();
        let seal = options.keys.clone().map(|keys| {
            let memory = options.dead_node_grace.into();
            let cluster_id = options.cluster_id.clone();
            Seal::new(keys, cluster_id, memory, node_id.clone(), generation)
        });
        let cluster_id = options.cluster_id.clone();
        let transport = Bound::new(socket, cluster_id, seal, Arc::clone(&wire), open);
        let config = protocol(options, id, bound);
        let handle = spawn_chitchat(config, vec![(ABOUT.to_owned(), about)], &transport)
            .await
            .map_err(|source| StartError::Protocol {
                address: bound,
                source: source.into(),
            })?;
        Ok(Self {
            handle,
            wire,
            generation,
            node_id,
            bound,
            advertised,
        })
    }

    /// What reads the members; outlives the node without keeping its socket open.
    pub(crate) async fn observer(&self) -> Observer {
        let chitchat = self.handle.chitchat();
        let news = Arc::new(Notify::new());
        let rung = Arc::clone(&news);
        let guard = chitchat.lock().await;
        // Called under the library's lock: it may only leave a note.
        let subscription = guard.subscribe_event("", move |_| rung.notify_one());
        drop(guard);
        Observer {
            chitchat,
            news,
            _subscription: subscription,
        }
    }

    /// Completes when the loop has ended, for whatever reason; never while it runs.
    pub(crate) fn ended(&self) -> impl Future<Output = LoopEnded> + Send + use<> {
        let termination = self.handle.termination_watcher();
        async move {
            let reason = match termination.await {
                Ok(()) => "it was closed from inside".to_owned(),
                Err(error) => error.to_string(),
            };
            LoopEnded { reason }
        }
    }

    /// Exchanges what both know with `address` soon; whoever is there becomes known.
    pub(crate) fn ask(&self, address: SocketAddr) {
        let reachable = address.is_ipv4() == self.bound.is_ipv4();
        if reachable && address != self.advertised {
            // Refused only when the loop has ended; that is reported elsewhere.
            let _ = self.handle.gossip(address);
        }
    }

    /// Exchanges with `peers` soon what is new; it comes to the others with the rounds.
    pub(crate) fn tell(&self, peers: Vec<SocketAddr>) {
        let told = peers.into_iter().take(TOLD_DIRECTLY);
        told.for_each(|it| self.ask(it));
    }

    /// Tells `peers` that this node goes; returns when those who are told directly have been sent it.
    ///
    /// Asks again and again until then: the caller sets the limit. Dropping it leaves the goodbye written, so that later
    /// rounds carry it.
    pub(crate) async fn say_goodbye(&self, mut peers: Vec<SocketAddr>) {
        let write = |it: &mut Chitchat| it.self_node_state().set(GOODBYE, "stopped");
        self.handle.with_chitchat(write).await;
        peers.truncate(TOLD_DIRECTLY);
        self.wire.begin_farewell(&peers);
        loop {
            let untold = self.wire.untold();
            if untold.is_empty() {
                return;
            }
            untold.into_iter().for_each(|it| self.ask(it));
            tokio::select! {
                () = self.wire.all_told() => {}
                () = tokio::time::sleep(ASK_AGAIN) => {}
            }
        }
    }

    /// Ends the loop: in order, or by force once `forced` completes. Returns when it has ended.
    pub(crate) async fn end(&self, forced: impl Future<Output = ()>) {
        // Refused when it has ended already.
        let _ = self.handle.initiate_shutdown();
        tokio::select! {
            _ = self.handle.termination_watcher() => {}
            () = forced => self.handle.abort(),
        }
    }

    #[cfg(test)]
    pub(crate) fn kill(&self) {
        self.handle.abort();
    }

    /// Waits for the last step of the loop's task, after [`end`](Self::end). How it ended has been told by then.
    pub(crate) async fn join(self) {
        let _ = self.handle.shutdown().await;
    }
}

/// Reads the members from the protocol.
pub(crate) struct Observer {
    chitchat: Arc<Mutex<Chitchat>>,
    news: Arc<Notify>,
    _subscription: ListenerHandle,
}

impl Observer {
    /// Shows `roster` everything that is known now.
    pub(crate) async fn look(&self, roster: &mut Roster) -> Vec<Change> {
        let chitchat = self.chitchat.lock().await;
        let local = chitchat.self_chitchat_id();
        let states = chitchat.node_states().values();
        roster.observe(Moment::now(), states.map(|it| sighting(it, local)))
    }

    /// Says `about` this node from now on. The same as before is no news.
    pub(crate) async fn say(&self, about: &Metadata) {
        let mut chitchat = self.chitchat.lock().await;
        chitchat.self_node_state().set(ABOUT, about.encode());
    }

    /// Completes when some node has said something new; not for a mere heartbeat.
    pub(crate) async fn news(&self) {
        self.news.notified().await;
    }
}

fn sighting<'a>(state: &'a NodeState, local: &ChitchatId) -> Sighting<'a> {
    let id = state.chitchat_id();
    let about = state.get_versioned(ABOUT).filter(|it| !it.is_deleted());
    Sighting {
        key: Key {
            node_id: Arc::clone(&id.node_id),
            generation: id.generation_id,
            address: id.gossip_advertise_addr,
        },
        local: id == local,
        heartbeat: state.heartbeat().into(),
        said_goodbye: state.contains_key(GOODBYE),
        document: about.map(|it| (it.version, it.value.as_str())),
    }
}

fn protocol(options: &Options, id: ChitchatId, bound: SocketAddr) -> ChitchatConfig {
    ChitchatConfig {
        chitchat_id: id,
        cluster_id: options.cluster_id.clone(),
        gossip_interval: options.gossip_interval.into(),
        listen_addr: bound,
        // Names are resolved by us: the library would keep a task for them that nobody can join.
        seed_nodes: literal_seeds(options),
        failure_detector_config: FailureDetectorConfig {
            phi_threshold: PHI_THRESHOLD,
            sampling_window_size: SAMPLES,
            max_interval: options.suspicion_interval.into(),
            initial_interval: options.gossip_interval.into(),
            dead_node_grace_period: options.dead_node_grace.into(),
        },
        marked_for_deletion_grace_period: options.dead_node_grace.into(),
        catchup_callback: None,
        extra_liveness_predicate: None,
    }
}

fn literal_seeds(options: &Options) -> Vec<String> {
    let literal = |it: &&String| it.parse::<SocketAddr>().is_ok();
    options.seeds.iter().filter(literal).cloned().collect()
}

/// The seeds that have to be resolved.
pub(crate) fn named_seeds(options: &Options) -> Vec<String> {
    let named = |it: &&String| it.parse::<SocketAddr>().is_err();
    options.seeds.iter().filter(named).cloned().collect()
}

/// The addresses behind `seed`, each once.
pub(crate) async fn resolve(seed: &str, limit: Duration) -> Result<HashSet<SocketAddr>, BoxError> {
    let found = tokio::time::timeout(limit, tokio::net::lookup_host(seed)).await??;
    Ok(found.collect())
}
