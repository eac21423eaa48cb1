//! Nodes for tests: real sockets on loopback.

use std::net::SocketAddr;
use std::sync::Arc;

use lifecycle_core::Nanos;
use mesh::gossip::{Gossip, Members, Membership, Options, Peer, Status, View};

use crate::support::{DEADLINE, Run};

/// A node of a test: fast rounds, a free port, and silence judged so late that no test waits for it.
pub(crate) fn options(node_id: &str) -> Options {
    Options {
        node_id: Some(node_id.to_owned()),
        bind: "127.0.0.1:0".parse().unwrap(),
        gossip_interval: Nanos::from_millis(25),
        suspicion_interval: Nanos::from_secs(30),
        leave_interval: Nanos::from_secs(60),
        ..Options::default()
    }
}

/// As [`options`], but silence is judged within a second.
pub(crate) fn impatient(node_id: &str) -> Options {
    Options {
        suspicion_interval: Nanos::from_millis(400),
        leave_interval: Nanos::from_millis(800),
        dead_node_grace: Nanos::from_millis(1_600),
        ..options(node_id)
    }
}

pub(crate) fn seeded(options: Options, seed: &Node) -> Options {
    let seeds = vec![seed.address().to_string()];
    Options { seeds, ..options }
}

pub(crate) struct Node {
    pub(crate) gossip: Arc<Gossip>,
    pub(crate) members: Members,
    pub(crate) run: Run<Gossip>,
}

impl Node {
    pub(crate) async fn start(options: Options) -> Self {
        let gossip = Arc::new(Gossip::new(options).expect("valid options"));
        Self::of(gossip).await
    }

    pub(crate) async fn of(gossip: Arc<Gossip>) -> Self {
        let run = Run::start(&gossip).await.expect("gossip starts");
        let members = gossip.members();
        Self {
            gossip,
            members,
            run,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.members.view().address.expect("it is running")
    }

    /// Waits until the view is as `expected`.
    #[track_caller]
    pub(crate) fn until(
        &self,
        expected: impl Fn(&View) -> bool,
    ) -> impl Future<Output = Arc<View>> {
        let caller = std::panic::Location::caller();
        let mut changes = self.members.subscribe();
        async move {
            let seen = async {
                let view = changes.wait_for(|it| expected(it)).await;
                Arc::clone(&view.expect("the members are kept"))
            };
            if let Ok(view) = tokio::time::timeout(DEADLINE, seen).await {
                return view;
            }
            panic!("{caller}: not seen in time: {:#?}", changes.borrow());
        }
    }

    /// Waits until `node_id` has `status`.
    #[track_caller]
    pub(crate) fn sees(&self, node_id: &str, status: Status) -> impl Future<Output = Peer> {
        let seen = self.until(move |view| view.peer(node_id).is_some_and(|it| it.status == status));
        async move { seen.await.peer(node_id).expect("it was just seen").clone() }
    }

    pub(crate) async fn stop(self) {
        self.run.stop().await.expect("gossip stops");
    }
}

pub(crate) async fn pair(options: impl Fn(&str) -> Options) -> (Node, Node) {
    let a = Node::start(options("a")).await;
    let b = Node::start(seeded(options("b"), &a)).await;
    a.sees("b", Status::Alive).await;
    b.sees("a", Status::Alive).await;
    (a, b)
}
