//! What a node says about itself, and when the others know of it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lifecycle_core::{Defaults, Nanos};
use lifecycle_runtime::{Handle, Orchestrator};
use mesh::gossip::{Gossip, Members, Membership, Metadata, Options, Service, Status};

use crate::nodes::{Node, options, pair, seeded};
use crate::support::DEADLINE;

/// Waits until `node` knows that `about` holds of the member `b`, and says what it knows then.
async fn learns(node: &Node, about: impl Fn(&Metadata) -> bool) -> Metadata {
    let holds = |it: &mesh::gossip::View| it.peer("b").is_some_and(|it| about(&it.metadata));
    let view = node.until(holds).await;
    view.peer("b").expect("it was just seen").metadata.clone()
}

fn pets(place: &'static str) -> impl FnOnce(&mut Metadata) {
    move |about| {
        about
            .services
            .insert("pets".into(), Service::over_grpc([place]));
    }
}

#[tokio::test]
async fn what_a_node_announces_before_its_start_while_it_runs_and_after_a_restart_is_known_to_the_others()
 {
    let a = Node::start(options("a")).await;
    let gossip = Gossip::new(seeded(options("b"), &a)).expect("valid options");
    gossip
        .members()
        .announce(pets("127.0.0.1:1"))
        .expect("it fits");
    let b = Node::of(Arc::new(gossip)).await;
    let at = |place: &'static str| {
        move |it: &Metadata| it.services.get("pets") == Some(&Service::over_grpc([place]))
    };
    let first = learns(&a, at("127.0.0.1:1")).await;
    assert_eq!((first.role.as_str(), first.metadata_version), ("worker", 1));

    b.members.announce(pets("127.0.0.1:2")).expect("it fits");
    let second = learns(&a, at("127.0.0.1:2")).await;
    assert!(second.metadata_version > first.metadata_version);
    let local = b.members.view().peer("b").cloned().expect("it is a member");
    assert_eq!(local.metadata, second, "it sees itself as others do");

    let gossip = Arc::clone(&b.gossip);
    b.stop().await;
    a.sees("b", Status::Left).await;
    let b = Node::of(gossip).await;
    let peer = a.sees("b", Status::Alive).await;
    assert!(at("127.0.0.1:2")(&peer.metadata));
    b.stop().await;
    a.stop().await;
}

#[tokio::test]
async fn an_announcement_does_not_wait_for_the_next_round() {
    let slow = |node_id: &str| Options {
        gossip_interval: Nanos::from_secs(2),
        ..options(node_id)
    };
    let (a, b) = pair(slow).await;
    let began = Instant::now();
    // Two nodes have two rounds an interval, so that three would take longer.
    for place in ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"] {
        b.members.announce(pets(place)).expect("it fits");
        learns(&a, |it| {
            it.services.get("pets") == Some(&Service::over_grpc([place]))
        })
        .await;
    }
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    b.run.kill().await;
    a.run.kill().await;
}

/// The node `b` as a component of an orchestrator, which has been started.
async fn driven(seed: &Node) -> (Handle, Members) {
    let gossip = Gossip::new(seeded(options("b"), seed)).expect("valid options");
    let members = gossip.members();
    let mut builder = Orchestrator::builder();
    let gossip = gossip.following(builder.handle().status(), |about| {
        about.role = "told".into();
    });
    builder.register(gossip.registration());
    builder.defaults(Defaults {
        settle: Nanos::from_secs(60),
        shutdown_timeout: Nanos::from_secs(120),
        ..Defaults::default()
    });
    let handle = builder.build().expect("a sound setup").spawn();
    handle.start().await.expect("a free port");
    (handle, members)
}

#[tokio::test]
async fn contract_b23_the_others_know_when_a_node_is_cordoned_drained_resumed_and_stopping() {
    let a = Node::start(options("a")).await;
    let (handle, _) = driven(&a).await;
    let open = learns(&a, |it| !it.cordoned).await;
    assert_eq!(open.role, "told");
    handle.cordon().await.expect("it runs");
    learns(&a, |it| it.cordoned).await;
    handle.uncordon().await.expect("it is cordoned");
    learns(&a, |it| !it.cordoned).await;
    handle.drain().await.expect("nothing is in flight");
    learns(&a, |it| it.cordoned).await;
    handle.resume().await.expect("it is drained");
    learns(&a, |it| !it.cordoned).await;

    // It settles for a minute: what is seen is not its goodbye.
    let stopping = handle.clone();
    let stop = tokio::spawn(async move { stopping.stop().await });
    learns(&a, |it| it.cordoned).await;
    assert_eq!(
        a.members.view().peer("b").map(|it| it.status),
        Some(Status::Alive)
    );
    handle.force().await.expect("it ends");
    stop.await.expect("it ends").expect("it was joined");
    a.stop().await;
}

#[tokio::test]
async fn a_node_that_tells_of_its_orchestrator_does_not_keep_it_alive() {
    let a = Node::start(options("a")).await;
    let (handle, members) = driven(&a).await;
    let mut status = handle.status();
    handle.force().await.expect("it ends");
    drop(handle);
    let gone = async { while status.changed().await.is_ok() {} };
    let gone = tokio::time::timeout(DEADLINE, gone).await;
    gone.expect("nobody can ask the driver any more");
    assert_eq!(members.view().address, None);
    a.stop().await;
}
