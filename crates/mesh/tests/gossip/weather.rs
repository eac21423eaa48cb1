//! Nodes on a network that loses datagrams or falls apart, all of them sealed.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::Nanos;
use mesh::gossip::{Membership, Options, Status, View};

use crate::network::{Network, sealed};
use crate::nodes::{Node, options};

fn sees_alive(view: &View, count: usize) -> bool {
    let alive = view.peers.iter().filter(|it| it.status == Status::Alive);
    alive.count() == count
}

async fn kill(nodes: Vec<Node>) {
    for node in nodes {
        node.run.kill().await;
    }
}

#[tokio::test]
async fn everybody_finds_everybody_although_three_of_ten_datagrams_are_lost() {
    const CLUSTER: usize = 8;
    let mut network = Network::losing(30);
    let mut nodes = Vec::new();
    for index in 0..CLUSTER {
        let options = sealed(options(&format!("n{index}")));
        nodes.push(network.start(options, 0).await);
    }
    for node in &nodes {
        node.until(|it| sees_alive(it, CLUSTER)).await;
    }
    assert!(network.lost() > 0);
    let one = nodes.pop().expect("it was started");
    one.stop().await;
    for node in &nodes {
        node.sees("n7", Status::Left).await;
    }
    kill(nodes).await;
}

#[tokio::test]
async fn each_side_of_a_cut_loses_the_other_and_finds_it_again_once_it_is_healed() {
    let patience = |node_id: &str| Options {
        suspicion_interval: Nanos::from_millis(400),
        leave_interval: Nanos::from_millis(800),
        ..sealed(options(node_id))
    };
    let mut network = Network::default();
    let mut nodes = Vec::new();
    for (node_id, side) in [("a", 0), ("b", 0), ("c", 1), ("d", 1)] {
        nodes.push(network.start(patience(node_id), side).await);
    }
    for node in &nodes {
        node.until(|it| sees_alive(it, 4)).await;
    }
    let generations = |view: &View| {
        view.peers
            .iter()
            .map(|it| it.generation)
            .collect::<Vec<_>>()
    };
    let before = generations(&nodes[0].members.view());

    network.cut();
    for (index, node) in nodes.iter().enumerate() {
        let (near, far) = if index < 2 {
            (["a", "b"], ["c", "d"])
        } else {
            (["c", "d"], ["a", "b"])
        };
        let has = move |view: &View, names: [&str; 2], status| {
            names
                .iter()
                .all(|it| view.peer(it).is_some_and(|it| it.status == status))
        };
        let apart =
            move |view: &View| has(view, near, Status::Alive) && has(view, far, Status::Left);
        node.until(apart).await;
    }

    network.heal();
    for node in &nodes {
        node.until(|it| sees_alive(it, 4)).await;
    }
    assert_eq!(
        generations(&nodes[0].members.view()),
        before,
        "nobody had to start again"
    );
    kill(nodes).await;
}

#[tokio::test]
async fn a_node_that_restarts_on_a_bad_network_is_a_new_incarnation() {
    let mut network = Network::losing(20);
    let a = network.start(sealed(options("a")), 0).await;
    let b = network.start(sealed(options("b")), 0).await;
    let before = a.sees("b", Status::Alive).await;
    b.run.kill().await;
    let b = network.start(sealed(options("b")), 0).await;
    let reborn = |view: &View| {
        view.peer("b")
            .is_some_and(|it| it.generation > before.generation && it.status == Status::Alive)
    };
    a.until(reborn).await;
    kill(vec![a, b]).await;
}

/// How long it takes until as many of `nodes` as `share` of a hundred see what is `wanted`.
async fn spread(
    nodes: &[Arc<Node>],
    share: usize,
    wanted: impl Fn(&View) -> bool + Clone + Send + Sync + 'static,
) -> Duration {
    let began = std::time::Instant::now();
    let mut seeing = tokio::task::JoinSet::new();
    for node in nodes {
        let (node, wanted) = (Arc::clone(node), wanted.clone());
        seeing.spawn(async move {
            node.until(wanted).await;
        });
    }
    for _ in 0..(nodes.len() * share).div_ceil(100) {
        seeing
            .join_next()
            .await
            .expect("as many as there are")
            .expect("it sees them");
    }
    began.elapsed()
}

#[expect(
    clippy::print_stdout,
    reason = "the times are what one wants to know of it"
)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contract_b25_64_sealed_nodes_know_each_other_and_within_two_seconds_a_newcomer() {
    const CLUSTER: usize = 64;
    let as_configured = |index: usize| Options {
        gossip_interval: Options::default().gossip_interval,
        ..sealed(options(&format!("n{index:02}")))
    };
    let first = Node::start(as_configured(0)).await;
    let seeds = vec![first.address().to_string()];
    let seeded = |index| Options {
        seeds: seeds.clone(),
        ..as_configured(index)
    };
    let mut nodes = vec![Arc::new(first)];
    for index in 1..CLUSTER {
        nodes.push(Arc::new(Node::start(seeded(index)).await));
        // Their rounds are not in step, as little as those of machines are.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    let all = spread(&nodes, 100, |it| sees_alive(it, CLUSTER)).await;
    println!("rounds of 1 s: {CLUSTER} sealed nodes knew each other {all:.1?} after the last");
    // All of it shares a few processors: the best of three is what the rounds and greetings can do.
    let mut best = Duration::MAX;
    for index in 0..3 {
        let newcomer = Node::start(seeded(CLUSTER + index)).await;
        let name = format!("n{}", CLUSTER + index);
        let known = move |it: &View| it.peer(&name).is_some_and(|it| it.status == Status::Alive);
        let most = spread(&nodes, 95, known).await;
        println!("95 % of them knew a newcomer after {most:.1?}");
        best = best.min(most);
        newcomer.run.kill().await;
    }
    assert!(best < Duration::from_secs(2), "{best:?}");
    for node in nodes {
        let node = Arc::into_inner(node).expect("nobody waits any more");
        node.run.kill().await;
    }
}

#[tokio::test]
async fn a_newcomer_learns_of_members_that_say_more_than_fits_into_a_datagram() {
    const CLUSTER: usize = 12;
    let mut dice = crate::network::Dice::default();
    let mut network = Network::default();
    let mut nodes = Vec::new();
    for index in 0..=CLUSTER {
        let mut talkative = sealed(options(&format!("n{index:02}")));
        // As little as text can be compressed.
        let digits =
            (0..7_800).map(|_| char::from(b'0' + u8::try_from(dice.throw() % 75).unwrap()));
        let note = digits.map(|it| if it == '\\' { '~' } else { it }).collect();
        talkative.labels.insert("note".to_owned(), note);
        nodes.push(network.start(talkative, 0).await);
        if index + 1 == CLUSTER {
            nodes[0].until(|it| sees_alive(it, CLUSTER)).await;
        }
    }
    for node in &nodes {
        node.until(|it| sees_alive(it, CLUSTER + 1)).await;
        assert_eq!(node.members.traffic().oversize_sent, 0);
    }
    kill(nodes).await;
}
