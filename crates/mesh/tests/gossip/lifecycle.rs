//! Gossip as a component: what start and stop promise about ports, tasks and repeated use.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifecycle_core::{BoxError, Criticality, Failure, Nanos};
use mesh::gossip::{self, Gossip, Membership, Options, Status};

use crate::support::{DEADLINE, Run};

fn options(bind: &str) -> Options {
    Options {
        bind: bind.parse().unwrap(),
        gossip_interval: Nanos::from_millis(25),
        ..Options::default()
    }
}

fn gossip(options: Options) -> Arc<Gossip> {
    Arc::new(Gossip::new(options).expect("valid options"))
}

/// A port that is free now.
fn free_address() -> SocketAddr {
    let probe = UdpSocket::bind("127.0.0.1:0").expect("loopback has free ports");
    probe.local_addr().expect("it is bound")
}

fn is_free(address: SocketAddr) -> bool {
    UdpSocket::bind(address).is_ok()
}

fn message(error: &BoxError) -> String {
    Failure::from_error(&**error).message
}

fn alive_tasks() -> usize {
    tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks()
}

#[test]
fn contract_47_gossip_is_registered_as_mesh_gossip_without_dependencies() {
    let (registration, members) = gossip::registration(Options::default()).expect("valid defaults");
    assert_eq!(registration.name, "mesh-gossip");
    assert!(registration.dependencies.is_empty());
    assert_eq!(registration.criticality, Criticality::Degradable);
    assert_eq!(members.view().local_node_id, "mesh-local-17421");
    assert!(members.peers().is_empty());
}

#[test]
fn invalid_options_make_no_component() {
    let exposed = Options {
        node_id: Some("a".into()),
        ..options("192.0.2.1:1")
    };
    let error = gossip::registration(exposed).expect_err("not loopback");
    assert_eq!(error.faults[0].option, "bind");
}

#[tokio::test]
async fn contract_b21_a_start_returns_when_the_port_is_open() {
    let address = free_address();
    let gossip = gossip(options(&address.to_string()));
    let run = Run::start(&gossip).await.expect("starts");
    assert!(!is_free(address));
    assert_eq!(gossip.members().view().address, Some(address));
    run.stop().await.expect("stops");
    assert!(is_free(address));
}

#[tokio::test]
async fn contract_b21_a_taken_port_is_a_start_failure_and_the_value_can_be_started_afterwards() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let gossip = gossip(options(&address.to_string()));
    for _ in 0..2 {
        let Err(error) = Run::start(&gossip).await else {
            panic!("the port is taken");
        };
        let message = message(&error);
        assert!(message.contains(&address.to_string()), "{message}");
        assert!(message.contains("in use"), "{message}");
        assert_eq!(gossip.members().view().address, None);
    }
    drop(taken);
    let run = Run::start(&gossip).await.expect("the port is free now");
    run.stop().await.expect("stops");
}

#[tokio::test]
async fn contract_73_starting_what_is_started_does_nothing() {
    let gossip = gossip(options("127.0.0.1:0"));
    let run = Run::start(&gossip).await.expect("starts");
    let before = gossip.members().view();
    let tasks = alive_tasks();
    run.start_again().await.expect("nothing to do");
    let after = gossip.members().view();
    assert_eq!(after.address, before.address);
    assert_eq!(after.peers[0].generation, before.peers[0].generation);
    assert_eq!(alive_tasks(), tasks);
    run.stop().await.expect("stops");
}

#[tokio::test]
async fn contract_73_a_start_after_a_failed_one_does_start() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let gossip = gossip(options(&address.to_string()));
    assert!(Run::start(&gossip).await.is_err());
    drop(taken);
    let run = Run::start(&gossip).await.expect("starts");
    assert!(!is_free(address), "it did not merely say so");
    run.stop().await.expect("stops");
}

#[tokio::test]
async fn ten_cycles_leave_no_port_and_no_task_behind() {
    let address = free_address();
    let gossip = gossip(options(&address.to_string()));
    let mut generation = 0;
    for _ in 0..10 {
        let run = Run::start(&gossip).await.expect("starts");
        let local = gossip.members().peers()[0].clone();
        assert_eq!(local.status, Status::Alive);
        assert!(local.generation > generation);
        generation = local.generation;
        run.stop().await.expect("stops");
        assert!(is_free(address));
        assert_eq!(alive_tasks(), 0);
    }
}

#[tokio::test]
async fn what_is_disposed_without_a_stop_leaves_no_port_and_no_task_behind() {
    let address = free_address();
    let gossip = gossip(options(&address.to_string()));
    for _ in 0..10 {
        let run = Run::start(&gossip).await.expect("starts");
        run.kill().await;
        assert!(is_free(address));
        assert_eq!(alive_tasks(), 0);
    }
}

#[tokio::test]
async fn a_stopped_node_keeps_its_last_view_and_has_left_it() {
    let gossip = gossip(options("127.0.0.1:0"));
    let members = gossip.members();
    assert_eq!(members.view().local_node_id, "mesh-local-0");
    let run = Run::start(&gossip).await.expect("starts");
    let node_id = members.view().local_node_id.clone();
    let port = members.view().address.expect("it listens").port();
    assert_eq!(node_id, format!("mesh-local-{port}"));

    run.stop().await.expect("stops");
    let view = members.view();
    assert_eq!(view.address, None);
    assert_eq!(view.peer(&node_id).map(|it| it.status), Some(Status::Left));
}

/// A node whose only peer has just died, so that nobody takes its goodbye.
async fn bereaved() -> Run<Gossip> {
    let a = gossip(options("127.0.0.1:0"));
    let kept = Run::start(&a).await.expect("starts");
    let seeds = vec![a.members().view().address.expect("it listens").to_string()];
    let b = gossip(Options {
        seeds,
        ..options("127.0.0.1:0")
    });
    let doomed = Run::start(&b).await.expect("starts");
    let mut changes = a.members().subscribe();
    let joined = changes.wait_for(|it| it.peers.len() == 2);
    tokio::time::timeout(DEADLINE, joined)
        .await
        .expect("joins in time")
        .unwrap();
    doomed.kill().await;
    kept
}

#[tokio::test]
async fn a_stop_does_not_wait_long_for_a_peer_that_cannot_take_the_goodbye() {
    let run = bereaved().await;
    let began = Instant::now();
    run.stop().await.expect("stops");
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn a_forced_stop_does_not_wait_for_the_goodbye_at_all() {
    let run = bereaved().await;
    let began = Instant::now();
    run.stop_by_force().await.expect("stops");
    assert!(
        began.elapsed() < Duration::from_millis(900),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(alive_tasks(), 0);
}
