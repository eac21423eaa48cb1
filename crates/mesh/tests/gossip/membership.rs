//! Nodes find each other, know each other and lose each other: real sockets on loopback.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lifecycle_core::Nanos;
use mesh::gossip::{ChangeKind, Membership, Options, Status, View};
use tokio::net::UdpSocket;

use crate::nodes::{Node, impatient, options, pair, seeded};
use crate::support::DEADLINE;

#[tokio::test]
async fn two_nodes_find_each_other_through_a_seed_and_know_what_the_other_is() {
    let a = Node::start(options("a")).await;
    let b = Options {
        role: "gateway".into(),
        region: "north".into(),
        mesh_version: "1.2.3".into(),
        endpoint: Some("http://127.0.0.1:9181".into()),
        labels: BTreeMap::from([("zone".into(), "z1".into())]),
        ..options("b")
    };
    let b = Node::start(seeded(b, &a)).await;

    let peer = a.sees("b", Status::Alive).await;
    assert_eq!(peer.address, b.address());
    assert_eq!(peer.metadata.node_id, "b");
    assert_eq!(peer.metadata.role, "gateway");
    assert_eq!(peer.metadata.cluster_id, "local");
    assert_eq!(peer.metadata.region, "north");
    assert_eq!(peer.metadata.mesh_version, "1.2.3");
    assert_eq!(peer.metadata.metadata_version, 1);
    assert_eq!(
        peer.metadata.endpoint.as_deref(),
        Some("http://127.0.0.1:9181")
    );
    assert_eq!(peer.metadata.labels["zone"], "z1");
    assert!(peer.last_seen <= SystemTime::now());

    assert_eq!(b.sees("a", Status::Alive).await.metadata.role, "worker");
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn the_local_node_is_a_member_as_soon_as_its_start_returns() {
    let a = Node::start(options("a")).await;
    let view = a.members.view();
    assert_eq!(view.local_node_id, "a");
    assert_eq!(view.peer("a").map(|it| it.status), Some(Status::Alive));
    a.stop().await;
}

#[tokio::test]
async fn members_are_listed_by_name_and_learn_of_each_other_through_a_third() {
    let b = Node::start(options("b")).await;
    let a = Node::start(seeded(options("a"), &b)).await;
    let c = Node::start(seeded(options("c"), &b)).await;
    for node in [&a, &b, &c] {
        let all = |view: &View| {
            view.peers.iter().all(|it| it.status == Status::Alive) && view.peers.len() == 3
        };
        let view = node.until(all).await;
        let names: Vec<_> = view.peers.iter().map(|it| it.node_id.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
    }
    for node in [a, b, c] {
        node.stop().await;
    }
}

#[tokio::test]
async fn a_seed_may_be_a_name() {
    let a = Node::start(options("a")).await;
    let seeds = vec![format!("localhost:{}", a.address().port())];
    let b = Node::start(Options {
        seeds,
        ..options("b")
    })
    .await;
    a.sees("b", Status::Alive).await;
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn a_round_trip_is_measured() {
    let (a, b) = pair(options).await;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while a.members.view().peer("b").and_then(|it| it.rtt).is_none() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "no round trip in time"
        );
        tokio::task::yield_now().await;
    }
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn contract_b25_a_stopping_node_says_goodbye_and_is_seen_to_have_left_at_once() {
    // Silence alone would take a minute to show.
    let (a, b) = pair(options).await;
    b.stop().await;
    let seen = tokio::time::timeout(Duration::from_secs(5), a.sees("b", Status::Left)).await;
    seen.expect("the goodbye has arrived");
    a.stop().await;
}

#[tokio::test]
async fn contract_b25_a_goodbye_reaches_a_node_that_was_not_told_directly() {
    let a = Node::start(options("a")).await;
    let others = ["c", "d", "e"].map(|it| seeded(options(it), &a));
    let mut nodes = Vec::new();
    for other in others {
        nodes.push(Node::start(other).await);
    }
    let b = Node::start(seeded(options("b"), &a)).await;
    for node in &nodes {
        node.sees("b", Status::Alive).await;
    }
    b.stop().await;
    for node in nodes.iter().chain([&a]) {
        node.sees("b", Status::Left).await;
    }
    for node in nodes {
        node.stop().await;
    }
    a.stop().await;
}

#[tokio::test]
async fn contract_71_a_killed_node_becomes_suspect_then_left_and_is_forgotten() {
    let (a, b) = pair(impatient).await;
    let mut seen = Vec::new();
    let mut changes = a.members.subscribe();
    b.run.kill().await;
    let watched = tokio::time::timeout(DEADLINE, async {
        loop {
            let status = changes.borrow_and_update().peer("b").map(|it| it.status);
            if seen.last() != Some(&status) {
                seen.push(status);
            }
            if status.is_none() {
                return;
            }
            changes.changed().await.expect("the members are kept");
        }
    });
    watched
        .await
        .unwrap_or_else(|_| panic!("only {seen:?} in time"));
    let steps = [
        Some(Status::Alive),
        Some(Status::Suspect),
        Some(Status::Left),
        None,
    ];
    assert_eq!(seen, steps);
    a.stop().await;
}

#[tokio::test]
async fn each_step_of_a_member_is_told_once_and_in_order() {
    let a = Node::start(impatient("a")).await;
    let mut changes = a.members.changes();
    let b = Node::start(seeded(impatient("b"), &a)).await;
    a.sees("b", Status::Alive).await;
    b.run.kill().await;
    let mut seen = Vec::new();
    while seen.last() != Some(&ChangeKind::Forgotten) {
        let change = tokio::time::timeout(DEADLINE, changes.recv()).await;
        let change = change.expect("told in time").expect("none is lost");
        assert_eq!(&*change.node_id, "b");
        seen.push(change.kind);
    }
    let steps = [
        ChangeKind::Joined,
        ChangeKind::Suspected,
        ChangeKind::Vanished,
        ChangeKind::Forgotten,
    ];
    assert_eq!(seen, steps);
    a.stop().await;
}

#[tokio::test]
async fn a_node_that_comes_back_after_a_goodbye_is_a_new_incarnation() {
    let (a, b) = pair(options).await;
    let before = a.sees("b", Status::Alive).await;
    let gossip = Arc::clone(&b.gossip);
    b.stop().await;
    a.sees("b", Status::Left).await;

    let b = Node::of(gossip).await;
    let after = a.sees("b", Status::Alive).await;
    assert!(after.generation > before.generation);
    assert_eq!(after.address, b.address());
    let named_b = a
        .members
        .peers()
        .iter()
        .filter(|it| it.node_id == "b")
        .count();
    assert_eq!(
        named_b, 1,
        "the old incarnation is not shown beside the new one"
    );
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn a_node_that_crashed_and_restarted_replaces_its_old_incarnation() {
    let (a, b) = pair(options).await;
    let before = a.sees("b", Status::Alive).await;
    let gossip = Arc::clone(&b.gossip);
    b.run.kill().await;

    let b = Node::of(gossip).await;
    let reborn = |view: &View| {
        view.peer("b")
            .is_some_and(|it| it.generation > before.generation)
    };
    let view = a.until(reborn).await;
    assert_eq!(view.peer("b").map(|it| it.status), Some(Status::Alive));
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn contract_72_a_foreign_cluster_is_counted_and_neither_answered_nor_seen() {
    let a = Node::start(options("a")).await;
    let foreign = Options {
        cluster_id: "other".into(),
        ..options("b")
    };
    let b = Node::start(seeded(foreign, &a)).await;

    let deadline = tokio::time::Instant::now() + DEADLINE;
    while a.members.traffic().foreign < 3 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{:?}",
            a.members.traffic()
        );
        tokio::task::yield_now().await;
    }
    assert_eq!(a.members.traffic().sent, 0, "not answered");
    assert_eq!(b.members.traffic().received, 0, "not answered");
    for node in [&a, &b] {
        assert_eq!(node.members.peers().len(), 1, "each is alone");
    }
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn contract_72_what_is_no_gossip_is_counted_and_harms_nobody() {
    let a = Node::start(options("a")).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    // No bytes, wrong bytes, and the right beginning with a version of the protocol that does not exist.
    let datagrams: [&[u8]; 3] = [b"", b"hello", &[0x53, 0xb0, 0xff, 0x00]];
    for datagram in datagrams {
        stranger.send_to(datagram, a.address()).await.unwrap();
    }
    let b = Node::start(seeded(options("b"), &a)).await;
    a.sees("b", Status::Alive).await;
    assert_eq!(a.members.traffic().malformed, 3);
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn contract_b25_a_cluster_of_more_than_32_nodes_is_known_to_everybody() {
    const CLUSTER: usize = 34;
    // Slow rounds: all of it runs on one thread.
    let slow = |node_id: &str| Options {
        gossip_interval: Nanos::from_millis(250),
        ..options(node_id)
    };
    let first = Node::start(slow("n00")).await;
    let mut nodes = Vec::new();
    for index in 1..CLUSTER {
        nodes.push(Node::start(seeded(slow(&format!("n{index:02}")), &first)).await);
    }
    nodes.push(first);
    for node in &nodes {
        let all = |view: &View| {
            let alive = view.peers.iter().filter(|it| it.status == Status::Alive);
            alive.count() == CLUSTER
        };
        node.until(all).await;
    }
    for node in nodes {
        node.run.kill().await;
    }
}
