//! Sealed gossip over real sockets: who stays out, and how keys change while nodes run.

use mesh::gossip::{Membership, Options, Status, Traffic};
use tokio::net::UdpSocket;

use crate::network::{Dice, NEW, Network, OLD, keys, sealed};
use crate::nodes::{Node, options, seeded};
use crate::support::DEADLINE;

/// Waits until what `node` has received is as `expected`.
async fn until(node: &Node, expected: impl Fn(Traffic) -> bool) {
    let reached = async {
        while !expected(node.members.traffic()) {
            tokio::task::yield_now().await;
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, reached).await;
    in_time.unwrap_or_else(|_| panic!("not in time: {:?}", node.members.traffic()));
}

fn with_keys(node_id: &str, ring: &str) -> Options {
    Options {
        keys: Some(keys(ring)),
        ..options(node_id)
    }
}

#[tokio::test]
async fn sealed_nodes_find_each_other() {
    let a = Node::start(sealed(options("a"))).await;
    let b = Node::start(seeded(sealed(options("b")), &a)).await;
    a.sees("b", Status::Alive).await;
    b.sees("a", Status::Alive).await;
    b.stop().await;
    a.sees("b", Status::Left).await;
    a.stop().await;
}

#[tokio::test]
async fn contract_72_who_has_another_key_another_cluster_or_none_stays_out_and_gets_no_answer() {
    let other = OLD.replace("00112233", "00112234");
    let cluster = Options {
        cluster_id: "other".into(),
        ..sealed(options("d"))
    };
    let strangers = [
        with_keys("b", NEW),
        with_keys("c", &other),
        cluster,
        options("e"),
    ];
    let counts: [fn(Traffic) -> u64; 4] = [
        |it| it.unknown_key,
        |it| it.forged,
        |it| it.forged,
        |it| it.malformed,
    ];
    for (stranger, count) in strangers.into_iter().zip(counts) {
        let a = Node::start(sealed(options("a"))).await;
        let b = Node::start(seeded(stranger, &a)).await;
        until(&a, |it| count(it) >= 3).await;
        assert_eq!(a.members.traffic().sent, 0, "not answered");
        assert_eq!(a.members.traffic().received, 0);
        for node in [&a, &b] {
            assert_eq!(node.members.peers().len(), 1, "each is alone");
        }
        b.stop().await;
        a.stop().await;
    }
}

#[tokio::test]
async fn a_key_is_replaced_without_a_member_or_a_datagram_lost() {
    let mut network = Network::default();
    let mut nodes = Vec::new();
    let mut rings = Vec::new();
    for node_id in ["a", "b", "c"] {
        let ring = keys(OLD);
        rings.push(ring.clone());
        let options = Options {
            keys: Some(ring),
            ..options(node_id)
        };
        nodes.push(network.start(options, 0).await);
    }
    let all = |view: &mesh::gossip::View| view.peers.len() == 3;
    for node in &nodes {
        node.until(all).await;
    }
    let mut views: Vec<_> = nodes.iter().map(|it| it.members.subscribe()).collect();
    views
        .iter_mut()
        .for_each(tokio::sync::watch::Receiver::mark_unchanged);
    for step in [
        format!("{OLD},{NEW}"),
        format!("{NEW},{OLD}"),
        NEW.to_owned(),
    ] {
        for ring in &rings {
            ring.replace(step.parse().unwrap());
            // One node after the other, with some rounds in between.
            for node in &nodes {
                let before = node.members.traffic().received;
                until(node, |it| it.received >= before + 6).await;
            }
        }
    }
    network.record();
    for node in &nodes {
        let before = node.members.traffic().received;
        until(node, |it| it.received >= before + 6).await;
        let traffic = node.members.traffic();
        assert_eq!((traffic.unknown_key, traffic.forged), (0, 0));
    }
    for view in &views {
        assert!(
            !view.has_changed().unwrap(),
            "no member changed: {:?}",
            view.borrow()
        );
    }
    let recorded = network.recorded();
    assert!(
        !recorded.is_empty() && recorded.iter().all(|it| it[3] == 2),
        "sealed with the new key"
    );
    for node in nodes {
        node.stop().await;
    }
}

#[tokio::test]
async fn what_was_recorded_of_an_earlier_start_is_refused_and_changes_nothing() {
    let mut network = Network::default();
    let a = network.start(sealed(options("a")), 0).await;
    network.record();
    let b = network.start(sealed(options("b")), 0).await;
    let before = a.sees("b", Status::Alive).await;
    until(&a, |it| it.received >= 12).await;
    b.stop().await;
    a.sees("b", Status::Left).await;
    let tape = network.recorded();
    assert!(tape.len() >= 12);

    let replay = async |refused: u64| {
        let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let before = a.members.traffic();
        for datagram in &tape {
            stranger.send_to(datagram, a.address()).await.unwrap();
        }
        until(&a, |it| it.replayed >= before.replayed + refused).await;
    };
    // What b sent was here before; what a itself sent it takes for its own, once.
    replay(6).await;
    assert_eq!(
        a.members.view().peer("b").map(|it| it.status),
        Some(Status::Left)
    );

    let b = network.start(sealed(options("b")), 0).await;
    let reborn = a.sees("b", Status::Alive).await;
    assert!(reborn.generation > before.generation);
    replay(6).await;
    let now = a.members.view().peer("b").cloned().expect("it is there");
    assert_eq!(
        (now.generation, now.status),
        (reborn.generation, Status::Alive)
    );
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn what_was_recorded_before_its_own_start_makes_nobody_a_member() {
    let mut network = Network::default();
    let a = network.start(sealed(options("a")), 0).await;
    network.record();
    let b = network.start(sealed(options("b")), 0).await;
    a.sees("b", Status::Alive).await;
    until(&a, |it| it.received >= 12).await;
    let tape = network.recorded();
    b.run.kill().await;
    a.run.kill().await;

    // As a process that was started again: nothing is remembered of anybody.
    let a = Node::start(sealed(options("a"))).await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for (sent, datagram) in (1..).zip(&tape) {
        stranger.send_to(datagram, a.address()).await.unwrap();
        until(&a, |it| it.received + it.replayed == sent).await;
        // Each heartbeat is seen to rise.
        tokio::time::sleep(options("a").gossip_interval.into()).await;
    }
    let traffic = a.members.traffic();
    assert!(traffic.received > 3 && traffic.replayed > 6, "{traffic:?}");
    assert_eq!(a.members.peers().len(), 1, "{:?}", a.members.peers());
    a.stop().await;
}

/// Makes hostile datagrams of good ones, the same in every run.
#[derive(Default)]
struct Vandal {
    dice: Dice,
    made: u64,
}

impl Vandal {
    fn pick(&mut self, most: usize) -> usize {
        usize::try_from(self.dice.throw() % most as u64).expect("it is small")
    }

    /// Random bytes, the beginning of one of these, or one with a bit changed; by turns.
    fn damaged(&mut self, tape: &[Vec<u8>]) -> Vec<u8> {
        let mut datagram = tape[self.pick(tape.len())].clone();
        self.made += 1;
        match self.made % 3 {
            0 => {
                let length = self.pick(1_400);
                datagram = (0..length)
                    .map(|_| u8::try_from(self.pick(256)).expect("a byte"))
                    .collect();
            }
            1 => datagram.truncate(self.pick(datagram.len())),
            _ => {
                let at = self.pick(datagram.len());
                datagram[at] ^= 1 << self.pick(8);
            }
        }
        datagram
    }
}

#[tokio::test]
async fn hostile_datagrams_to_a_node_without_a_seal_are_each_counted_once_and_stop_nobody() {
    const HOSTILE: u64 = 1_500;
    let mut network = Network::default();
    let a = network.start(options("a"), 0).await;
    network.record();
    let b = network.start(options("b"), 0).await;
    a.sees("b", Status::Alive).await;
    until(&a, |it| it.received >= 9).await;
    let tape = network.recorded();
    b.stop().await;

    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut vandal = Vandal::default();
    let total = |it: Traffic| it.received + it.malformed + it.foreign;
    let before = total(a.members.traffic());
    for sent in 1..=HOSTILE {
        let datagram = vandal.damaged(&tape);
        stranger.send_to(&datagram, a.address()).await.unwrap();
        until(&a, |it| total(it) >= before + sent).await;
    }
    assert!(a.members.traffic().malformed > HOSTILE / 3);
    // Whoever comes now is heard.
    let c = Node::start(seeded(options("c"), &a)).await;
    a.sees("c", Status::Alive).await;
    c.sees("a", Status::Alive).await;
    c.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn hostile_datagrams_change_nothing_and_stop_nobody() {
    const HOSTILE: u64 = 600;
    let mut network = Network::default();
    let a = network.start(sealed(options("a")), 0).await;
    network.record();
    let b = network.start(sealed(options("b")), 0).await;
    a.sees("b", Status::Alive).await;
    until(&a, |it| it.received >= 9).await;
    let tape = network.recorded();

    let mut view = a.members.subscribe();
    view.mark_unchanged();
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut vandal = Vandal::default();
    for sent in 1..=HOSTILE {
        let datagram = vandal.damaged(&tape);
        stranger.send_to(&datagram, a.address()).await.unwrap();
        // Each is waited for, so that the socket loses none.
        until(&a, |it| it.malformed + it.unknown_key + it.forged == sent).await;
    }
    assert!(!view.has_changed().unwrap(), "{:?}", view.borrow());
    let before = a.members.traffic().received;
    until(&a, |it| it.received >= before + 3).await;
    b.stop().await;
    a.stop().await;
}
