//! Gossip as a component: finds the other nodes of a cluster, tells them what this one is, and knows who is alive.
//!
//! A host registers it and hands the [`Members`] to whoever asks:
//!
//! ```
//! use mesh::gossip::{self, Options};
//!
//! let options = Options { seeds: vec!["127.0.0.1:17422".into()], ..Options::default() };
//! let (registration, members) = gossip::registration(options)?;
//! # let _ = (registration, members);
//! # Ok::<(), gossip::InvalidOptions>(())
//! ```
//!
//! With [`Options::keys_file`], [`Options::keys_env`] or [`Options::keys`] every datagram between nodes is encrypted and authenticated, and taken in once; without them
//! [`Options::check`] keeps gossip on loopback. Whoever holds a key is believed, so nothing that is learned here may grant
//! authority: that is for leases.
//!
//! A member is *alive* while its heartbeat rises, *suspect* once it has been silent for the suspicion interval, and has
//! *left* when it said goodbye or was silent for the leave interval. Later it is forgotten. Time is always this node's
//! own: a foreign clock is never believed. Who has just started greets others beside its rounds, so that it is soon known to all.
//!
//! Metrics: `mesh_gossip_members{status}`, `mesh_gossip_messages_total{direction,outcome}`, `mesh_gossip_opened_total{key}`
//! and `mesh_gossip_rtt_ms`.

mod account;
mod error;
#[cfg(fuzzing)]
pub mod fuzzing;
mod greeting;
mod key_file;
mod keys;
mod membership;
mod metadata;
mod node;
mod options;
mod refusal;
mod replay;
mod roster;
mod seal;
mod traffic;
mod transport;

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use lifecycle_core::{BoxError, Criticality, Lifecycle, Registration, StartContext, StopContext};
use lifecycle_runtime::StatusWatch;
use metrics::Unit;
use tokio::net::UdpSocket;
use tokio::sync::watch;

use crate::gossip::account::Account;
pub use crate::gossip::error::{
    InvalidKeys, InvalidMetadata, InvalidOptions, KeyFault, KeyFileError, OptionFault, StartError,
};
use crate::gossip::greeting::Greetings;
pub use crate::gossip::keys::{KeyRing, KeyText, Keys};
pub use crate::gossip::membership::{Members, Membership, Peer, Status, View};
pub use crate::gossip::metadata::{Metadata, Service};
use crate::gossip::node::{Node, Observer, named_seeds, resolve};
pub use crate::gossip::options::Options;
pub use crate::gossip::roster::{Change, ChangeKind};
use crate::gossip::roster::{Limits, Roster};
pub use crate::gossip::traffic::Traffic;
use crate::gossip::traffic::Wire;

/// The name under which gossip is registered.
pub const NAME: &str = "mesh-gossip";

/// How long a stop tries to say goodbye, unless its context grants less.
const GOODBYE_LIMIT: Duration = Duration::from_secs(1);

/// The members are looked at four times a gossip round, so that what is seen is hardly older than what is known.
const LOOKS_PER_ROUND: u32 = 4;
const LONGEST_LOOK: Duration = Duration::from_millis(250);

/// How often the names among the seeds are resolved and asked. A restarted seed has a new address behind the old name.
const SEED_INTERVAL: Duration = Duration::from_secs(10);
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);

/// A registration of gossip as [`NAME`], and the handle to what it learns.
///
/// It depends on nothing and is degradable: without it a host goes on alone.
///
/// # Errors
///
/// [`InvalidOptions`] with every fault that can be found at once.
pub fn registration(options: Options) -> Result<(Registration, Members), InvalidOptions> {
    let gossip = Gossip::new(options)?;
    let members = gossip.members();
    Ok((gossip.registration(), members))
}

/// Gossip as a component. One value can be started and stopped any number of times.
///
/// - `start` returns when the port is bound and the first round is under way; it waits for no peer. A port that cannot
///   be bound is a [`StartError`], and leaves the value startable. Starting what runs does nothing; what a start that was
///   dropped half-way has left behind is ended first, because no task watches over it.
/// - Each start is a new incarnation with an empty view: members join it again within a round or two.
/// - What it says about itself is what [`Members::announce`] has said last, in this start or before. With
///   [`following`](Self::following) it also tells whether the orchestrator takes new work.
/// - When the gossip loop ends unasked, by a panic or a broken socket, the component is lost.
/// - `stop` tells up to eight peers goodbye, which takes as long as they need to answer: at most a second, at most half of
///   the time that is left, nothing when the stop is forced. Then the loop is ended and the port released.
/// - `dispose` ends without a goodbye whatever is still there.
pub struct Gossip {
    options: Options,
    wire: Arc<Wire>,
    members: Members,
    account: Option<Account>,
    /// The running node. Kept until its port is free, so that `dispose` can finish what `stop` began.
    node: Mutex<Option<Arc<Node>>>,
    /// Every open socket holds a receiver.
    port: watch::Sender<()>,
    /// The task that reports the end of the loop holds a receiver.
    watch: watch::Sender<()>,
    /// The last start, in nanoseconds since 1970.
    generation: AtomicU64,
}

impl Gossip {
    /// Gossip as `options` say; nothing is opened before it is started.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`] with every fault that can be found at once.
    pub fn new(mut options: Options) -> Result<Self, InvalidOptions> {
        options.keys = options.check_with_keys()?;
        let wire = Arc::new(Wire::default());
        let local_node_id = options.node_id_on(options.bind.port());
        // Whatever is announced must fit under any name that the node may get.
        let said = options.metadata(options.longest_node_id());
        let members = Members::new(View::empty(local_node_id), said, Arc::clone(&wire));
        Ok(Self {
            options,
            wire,
            members,
            account: None,
            node: Mutex::new(None),
            port: watch::channel(()).0,
            watch: watch::channel(()).0,
            generation: AtomicU64::new(0),
        })
    }

    /// The members as this node sees them. The handle can be kept and used at any time.
    #[must_use]
    pub fn members(&self) -> Members {
        self.members.clone()
    }

    /// Tells the others whether the orchestrator with this status takes new work: it is cordoned as long as it does not run,
    /// is cordoned or drained, or stops. It is told while gossip runs, from the start on.
    ///
    /// A node that is unready for another reason is not cordoned: whether its calls fail is for those to see who make them, and
    /// what makes one node unready may make all of them so.
    ///
    /// `describe` says more at each change of that status, such as where the host listens by then. It is called under a lock: it
    /// must be quick, and must not use [`Members`]. What it says that breaks a bound is logged, and not told.
    #[must_use]
    pub fn following(
        mut self,
        status: StatusWatch,
        describe: impl Fn(&mut Metadata) + Send + Sync + 'static,
    ) -> Self {
        self.account = Some(Account::new(status, describe));
        self
    }

    /// It under [`NAME`]: without dependencies, and degradable, since without it a host goes on alone.
    #[must_use]
    pub fn registration(self) -> Registration {
        Registration::new(NAME, self).criticality(Criticality::Degradable)
    }

    async fn bind(&self) -> Result<UdpSocket, StartError> {
        let address = self.options.bind;
        let bound = UdpSocket::bind(address).await;
        bound.map_err(|source| StartError::Bind { address, source })
    }

    async fn launch(&self) -> Result<Arc<Node>, StartError> {
        describe();
        let socket = self.bind().await?;
        let about = self.members.said().borrow().clone();
        let node = Node::launch(
            &self.options,
            about,
            self.next_generation(),
            socket,
            Arc::clone(&self.wire),
            self.port.subscribe(),
        );
        let node = node.await?;
        Ok(self.enter(node))
    }

    /// Makes `node` the running one, whose view is taken.
    fn enter(&self, node: Node) -> Arc<Node> {
        let node = Arc::new(node);
        let mut slot = self.slot();
        self.members.open(node.generation);
        *slot = Some(Arc::clone(&node));
        node
    }

    /// Nothing runs any more, and the view says so.
    fn leave(&self) {
        let mut slot = self.slot();
        self.members.close();
        slot.take();
    }

    /// The time of this start, and later than any start of this value: peers take the greater one for the newer.
    fn next_generation(&self) -> u64 {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = since_1970.map_or(0, |it| u64::try_from(it.as_nanos()).unwrap_or(u64::MAX));
        let last = self.generation.load(Ordering::Relaxed);
        let generation = now.max(last.saturating_add(1));
        self.generation.store(generation, Ordering::Relaxed);
        generation
    }

    fn is_open(&self) -> bool {
        self.port.receiver_count() > 0
    }

    /// Whether a generation would notice the end of what runs.
    fn is_watched(&self) -> bool {
        self.watch.receiver_count() > 0
    }

    fn running(&self) -> Option<Arc<Node>> {
        self.slot().clone()
    }

    /// Ends without a goodbye whatever is there, and returns when the port is free. Dropped half-way, it can be repeated.
    async fn release(&self) {
        self.close(std::future::ready(())).await;
        // Also a socket of a start that was dropped half-way; its loop ends by itself.
        self.port.closed().await;
    }

    /// Runs the tasks that watch over `node` in the generation of `cx`.
    fn watch_over(&self, node: &Arc<Node>, watcher: Watcher, cx: &StartContext) {
        let run = cx.run_token();
        let stopped = run.clone();
        cx.spawn("members", async move {
            stopped.run_until_cancelled(watcher.run()).await;
        });
        if let Some(account) = self.account.clone() {
            let (members, stopped) = (self.members(), run.clone());
            cx.spawn("account", async move {
                stopped.run_until_cancelled(account.keep(members)).await;
            });
        }
        if let Some(keys) = self.options.keys.clone().filter(Keys::can_change) {
            let stopped = run.clone();
            cx.spawn("keys", async move {
                stopped.run_until_cancelled(keys.follow()).await;
            });
        }
        let (ended, stopped, watch) = (node.ended(), run.clone(), self.watch.subscribe());
        cx.spawn("loop", async move {
            let _watch = watch;
            tokio::select! {
                // First: an end that follows from the stop is none that nobody asked for.
                biased;
                () = stopped.cancelled() => Ok(()),
                ended = ended => Err(ended),
            }
        });
        let names = named_seeds(&self.options);
        if !names.is_empty() {
            let seeds = ask_seeds(Arc::downgrade(node), names);
            cx.spawn("seeds", async move {
                run.run_until_cancelled(seeds).await;
            });
        }
    }

    /// Ends the node, at once when `forced` completes; then nothing of it is left. Dropped half-way, it can be repeated.
    async fn close(&self, forced: impl Future<Output = ()>) {
        let Some(node) = self.running() else {
            return;
        };
        node.end(forced).await;
        self.port.closed().await;
        self.leave();
        if let Some(node) = Arc::into_inner(node) {
            node.join().await;
        }
    }

    async fn say_goodbye(&self, node: &Node, cx: &StopContext) {
        let half = cx.remaining().map_or(GOODBYE_LIMIT, |it| it / 2);
        let limit = GOODBYE_LIMIT.min(half);
        let told = tokio::select! {
            // First what needs no time: where there is no peer, all have been told.
            biased;
            told = tokio::time::timeout(limit, node.say_goodbye(self.members.view().live_peers())) => told.is_ok(),
            () = cx.forced() => false,
        };
        if !told {
            tracing::warn!(
                "gossip stops before every peer has taken the goodbye; they will miss this node instead"
            );
        }
    }

    fn limits(&self) -> Limits {
        let interval = Duration::from(self.options.gossip_interval);
        Limits {
            suspicion: self.options.suspicion_interval.into(),
            leave: self.options.leave_interval.into(),
            look: (interval / LOOKS_PER_ROUND).min(LONGEST_LOOK),
        }
    }

    fn slot(&self) -> MutexGuard<'_, Option<Arc<Node>>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lifecycle for Gossip {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        if self.is_open() && self.is_watched() {
            tracing::debug!("gossip runs already");
            return Ok(());
        }
        let token = cx.token();
        let released = token.run_until_cancelled(self.release()).await;
        released.ok_or("the port of an earlier start is still open")?;
        if let Some(account) = &self.account {
            account.give(&self.members);
        }
        let node = self.launch().await?;
        let watcher = Watcher::new(self, &node).await;
        tracing::info!(
            address = %node.bound,
            advertised = %node.advertised,
            node_id = node.node_id,
            cluster_id = self.options.cluster_id,
            sealed = self.options.keys.is_some(),
            "gossip is listening"
        );
        self.watch_over(&node, watcher, cx);
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        if let Some(node) = self.running()
            && self.is_open()
        {
            self.say_goodbye(&node, cx).await;
        }
        self.close(cx.forced()).await;
        tracing::info!("gossip has stopped");
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        self.release().await;
        Ok(())
    }
}

impl fmt::Debug for Gossip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gossip")
            .field("options", &self.options)
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}

/// What the metrics mean.
fn describe() {
    metrics::describe_gauge!(
        "mesh_gossip_members",
        "Members of the cluster as this node sees them, by status."
    );
    metrics::describe_counter!(
        "mesh_gossip_messages_total",
        "Datagrams of gossip, by direction and by what became of them."
    );
    metrics::describe_counter!(
        "mesh_gossip_opened_total",
        "Sealed datagrams that were opened, by the id of the key."
    );
    metrics::describe_histogram!(
        "mesh_gossip_rtt_ms",
        Unit::Milliseconds,
        "How long peers take to answer."
    );
}

/// Looks at the members while the node runs, and publishes what it sees.
struct Watcher {
    node: Weak<Node>,
    observer: Observer,
    roster: Roster,
    members: Members,
    said: watch::Receiver<Metadata>,
    wire: Arc<Wire>,
    look: Duration,
    greetings: Greetings,
    generation: u64,
    local_node_id: String,
    address: SocketAddr,
}

impl Watcher {
    /// Looks for the first time, so that the local node is a member when its start returns.
    async fn new(gossip: &Gossip, node: &Arc<Node>) -> Self {
        let limits = gossip.limits();
        let mut said = gossip.members.said();
        // What was announced since the launch is said again; the same is no news.
        said.mark_changed();
        let mut watcher = Self {
            node: Arc::downgrade(node),
            observer: node.observer().await,
            roster: Roster::new(limits),
            members: gossip.members(),
            said,
            wire: Arc::clone(&gossip.wire),
            look: limits.look,
            // Two to a look: others tell two heartbeats apart that were spread with one look between them.
            greetings: Greetings::new(limits.look / 2),
            generation: node.generation,
            local_node_id: node.node_id.clone(),
            address: node.bound,
        };
        watcher.look().await;
        watcher
    }

    async fn run(mut self) {
        loop {
            tokio::select! {
                () = self.observer.news() => {}
                () = tokio::time::sleep(self.look) => {}
                () = self.greetings.due() => self.greet(),
                // Never an error: the other end is in `members`.
                _ = self.said.changed() => self.say().await,
            }
            self.look().await;
        }
    }

    /// Says what this node has to say, and brings it to some of the others at once.
    async fn say(&mut self) {
        let about = self.said.borrow_and_update().clone();
        self.observer.say(&about.named(&self.local_node_id)).await;
        if let Some(node) = self.node.upgrade() {
            node.tell(self.members.view().live_peers());
        }
    }

    /// Greets some of those that are known, so that this node is soon known to all.
    fn greet(&mut self) {
        let greeted = self.greetings.make(self.roster.addresses());
        if let Some(node) = self.node.upgrade() {
            node.tell(greeted);
        }
    }

    async fn look(&mut self) {
        let changes = self.observer.look(&mut self.roster).await;
        let peers = self.roster.peers(|it| self.wire.round_trip(it));
        let addresses: HashSet<SocketAddr> = peers.iter().map(|it| it.address).collect();
        let view = View {
            local_node_id: self.local_node_id.clone(),
            address: Some(self.address),
            peers,
        };
        if self.members.publish(self.generation, view).is_err() {
            // The stop was faster, and has said the last word.
            return;
        }
        self.wire.keep_only(&addresses);
        for change in changes {
            log(&change);
            self.members.tell(change);
        }
    }
}

/// Resolves the seeds that are names and gossips with whoever is behind them, again and again: a node that has lost
/// everybody finds back this way.
async fn ask_seeds(node: Weak<Node>, names: Vec<String>) {
    let mut missing: HashSet<&str> = HashSet::new();
    loop {
        for name in &names {
            match resolve(name, RESOLVE_LIMIT).await {
                Ok(addresses) => {
                    missing.remove(name.as_str());
                    let Some(node) = node.upgrade() else {
                        return;
                    };
                    addresses.into_iter().for_each(|it| node.ask(it));
                }
                Err(error) if missing.insert(name) => {
                    tracing::warn!(
                        seed = name,
                        error,
                        "a seed cannot be resolved; trying again until it can"
                    );
                }
                Err(_) => {}
            }
        }
        tokio::time::sleep(SEED_INTERVAL).await;
    }
}

fn log(change: &Change) {
    let node_id = &*change.node_id;
    match change.kind {
        ChangeKind::Joined => tracing::info!(node_id, "a member joined"),
        ChangeKind::Suspected => {
            tracing::warn!(node_id, "a member is suspect: it has fallen silent");
        }
        ChangeKind::Recovered => tracing::info!(node_id, "a member recovered"),
        ChangeKind::SaidGoodbye => tracing::info!(node_id, "a member left: it said goodbye"),
        ChangeKind::Vanished => {
            tracing::warn!(node_id, "a member left: it was silent for too long");
        }
        ChangeKind::Forgotten => tracing::debug!(node_id, "a member that left is forgotten"),
    }
}

#[cfg(test)]
#[path = "../tests/gossip/support.rs"]
#[expect(
    dead_code,
    reason = "shared with the integration tests, which use all of it"
)]
mod support;

#[cfg(test)]
mod tests {
    use lifecycle_core::engine::{ComponentState, EventKind};
    use lifecycle_core::{Backoff, Component, Nanos, Restart, component};
    use lifecycle_runtime::{Handle, Notice, Orchestrator, Subscription};

    use super::support::{DEADLINE, Run, Series};
    use super::*;

    /// Waits for the first task that fails, and says which and how.
    async fn loss(run: &Run<Gossip>) -> String {
        let mut tasks = std::mem::take(&mut *run.scope.tasks.lock().unwrap());
        let found = tokio::time::timeout(DEADLINE, async {
            while let Some(ended) = tasks.join_next().await {
                if let (name, Err(error)) = ended.expect("no task panics") {
                    return format!("{name}: {error}");
                }
            }
            "every task ended well".to_owned()
        });
        let found = found.await.expect("a task fails in time");
        *run.scope.tasks.lock().unwrap() = tasks;
        found
    }

    fn local() -> Gossip {
        let bind = "127.0.0.1:0".parse().unwrap();
        let options = Options {
            bind,
            ..Options::default()
        };
        Gossip::new(options).expect("valid options")
    }

    #[tokio::test]
    async fn a_loop_that_ends_unasked_is_a_loss_and_the_value_can_be_started_again() {
        let gossip = Arc::new(local());
        let run = Run::start(&gossip).await.expect("starts");
        let node = gossip.running().expect("a running node");
        node.end(std::future::pending()).await;
        drop(node);
        let loss = loss(&run).await;
        assert!(loss.starts_with("loop: the gossip loop ended"), "{loss}");
        run.stop().await.expect("stops");

        let run = Run::start(&gossip).await.expect("starts again");
        run.stop().await.expect("stops");
    }

    #[tokio::test]
    async fn a_loop_that_is_aborted_or_panics_is_a_loss_too() {
        let gossip = Arc::new(local());
        let run = Run::start(&gossip).await.expect("starts");
        let node = gossip.running().expect("a running node");
        node.kill();
        drop(node);
        let loss = loss(&run).await;
        assert!(loss.contains("panicked"), "{loss}");
        run.stop().await.expect("stops");
    }

    fn idle() -> Component {
        component::from_fn(async |_| Ok(()), async |_| Ok(()))
    }

    /// Waits until `name` runs in its incarnation `generation`.
    async fn running(events: &mut Subscription, handle: &Handle, name: &str, generation: u32) {
        let plan = handle.plan().expect("it is built");
        let id = plan.find(name).expect("it is registered");
        let reached = async {
            while let Some(notice) = events.next().await {
                if let Notice::Event(event) = notice
                    && let EventKind::Transition { key, to, .. } = event.kind
                    && (key.component, key.generation, to)
                        == (id, generation, ComponentState::Running)
                {
                    return;
                }
            }
            panic!("nobody drives it");
        };
        let in_time = tokio::time::timeout(DEADLINE, reached).await;
        in_time.unwrap_or_else(|_| panic!("{name} never ran as {generation}"));
    }

    #[tokio::test]
    async fn contract_b07_a_loop_whose_task_is_aborted_is_started_again_and_its_edges_say_who_goes_with_it()
     {
        let gossip = Arc::new(local());
        let again = Restart::on_failure().with_backoff(Backoff::Fixed(Nanos::from_millis(10)));
        let mut builder = Orchestrator::builder();
        builder.registrations([
            Registration::new(NAME, Arc::clone(&gossip)).restart(again),
            Registration::new("listener", idle()).tolerates([NAME]),
            Registration::new("catalog", idle()).depends_on([NAME]),
        ]);
        let handle = builder.build().unwrap().spawn();
        handle.start().await.expect("starts");
        for round in 2..=4 {
            let mut events = handle.subscribe();
            let before = gossip.members().peers()[0].generation;
            gossip.running().expect("a running node").kill();
            running(&mut events, &handle, "catalog", round).await;
            let local = gossip.members().peers()[0].clone();
            assert_eq!(local.status, Status::Alive);
            assert!(local.generation > before, "peers take it for newer");
            let snapshot = handle.snapshot().await.unwrap();
            let row = |name| snapshot.component(snapshot.plan.find(name).unwrap());
            assert_eq!(row(NAME).generation, round);
            assert_eq!(row(NAME).restarts.lost, round - 1);
            assert_eq!(row("catalog").restarts.dependency, round - 1);
            assert_eq!(row("listener").generation, 1);
        }
        handle.stop().await.expect("stops");
        assert_closed(&gossip);
    }

    #[track_caller]
    fn assert_closed(gossip: &Gossip) {
        let view = gossip.members().view();
        assert_eq!(view.address, None);
        assert!(view.peers.iter().all(|it| it.status == Status::Left));
    }

    /// Starts a node as `start` does, up to its first look: what is left when the future of a start is dropped there.
    async fn begin(gossip: &Gossip) -> Watcher {
        let node = gossip.launch().await.expect("starts");
        Watcher::new(gossip, &node).await
    }

    #[tokio::test]
    async fn a_start_after_one_that_was_dropped_half_way_is_watched_over() {
        let gossip = Arc::new(local());
        drop(begin(&gossip).await);
        let run = Run::start(&gossip).await.expect("starts");
        let node = gossip.running().expect("a running node");
        node.kill();
        drop(node);
        let loss = loss(&run).await;
        assert!(loss.starts_with("loop: "), "{loss}");
        run.stop().await.expect("stops");
    }

    // A look is under way when the stop begins, and ends after it: what `members` does on another thread.
    #[tokio::test]
    async fn a_look_that_ends_after_the_stop_leaves_the_view_closed() {
        let gossip = Arc::new(local());
        let run = Run::start(&gossip).await.expect("starts");
        let node = gossip.running().expect("a running node");
        let mut late = Watcher::new(&gossip, &node).await;
        drop(node);
        run.stop().await.expect("stops");
        late.look().await;
        assert_closed(&gossip);
    }

    #[tokio::test]
    async fn a_look_that_ends_after_the_dispose_leaves_the_view_closed() {
        let gossip = local();
        let mut late = begin(&gossip).await;
        gossip.dispose().await.expect("disposes");
        late.look().await;
        assert_closed(&gossip);
    }

    #[tokio::test]
    async fn a_start_that_was_disposed_before_its_first_look_leaves_the_view_closed() {
        let gossip = local();
        let node = gossip.launch().await.expect("starts");
        gossip.dispose().await.expect("disposes");
        let first = Watcher::new(&gossip, &node).await;
        drop(first);
        assert_closed(&gossip);
    }

    #[tokio::test]
    async fn a_late_look_of_the_last_start_does_not_replace_the_view_of_the_next() {
        let gossip = local();
        let mut late = begin(&gossip).await;
        gossip.dispose().await.expect("disposes");
        let _next = begin(&gossip).await;
        let view = gossip.members().view();
        late.look().await;
        assert_eq!(gossip.members().view(), view);
        gossip.dispose().await.expect("disposes");
        assert_closed(&gossip);
    }

    #[tokio::test]
    async fn a_look_that_ends_after_the_stop_counts_nobody() {
        let series = Series::default();
        let _guard = metrics::set_default_local_recorder(&series);
        let gossip = local();
        let mut late = begin(&gossip).await;
        assert_eq!(series.gauge("mesh_gossip_members{status=alive}"), Some(1.0));
        gossip.dispose().await.expect("disposes");
        late.look().await;
        assert_eq!(series.gauge("mesh_gossip_members{status=alive}"), Some(0.0));
    }

    #[test]
    fn generations_rise_even_when_the_clock_does_not() {
        let gossip = local();
        gossip.generation.store(u64::MAX - 2, Ordering::Relaxed);
        assert_eq!(gossip.next_generation(), u64::MAX - 1);
        assert_eq!(gossip.next_generation(), u64::MAX);

        let gossip = local();
        let (first, second) = (gossip.next_generation(), gossip.next_generation());
        assert!(first > 1_700_000_000_000_000_000 && second > first);
    }
}
