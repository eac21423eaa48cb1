//! What is told of the components.

use std::collections::BTreeMap;

use control_plane_host::grpc::v1::watch_response::Told;
use control_plane_host::grpc::v1::{Change, Position, Snapshot, WatchRequest, WatchResponse};
use lifecycle_core::{Criticality, Registration};
use tonic::{Code, Streaming};

use crate::stage::{Stage, in_time};

async fn next(stream: &mut Streaming<WatchResponse>) -> Told {
    let next = in_time(stream.message()).await.expect("it goes on");
    next.expect("it goes on").told.expect("something is told")
}

async fn snapshot(stream: &mut Streaming<WatchResponse>) -> Snapshot {
    match next(stream).await {
        Told::Snapshot(snapshot) => snapshot,
        other => panic!("no snapshot: {other:?}"),
    }
}

async fn change(stream: &mut Streaming<WatchResponse>) -> Change {
    match next(stream).await {
        Told::Change(change) => change,
        other => panic!("no change: {other:?}"),
    }
}

async fn watch(stage: &Stage, after: Option<Position>) -> Streaming<WatchResponse> {
    let mut client = stage.lifecycle().await;
    let answer = client.watch(WatchRequest { after }).await;
    answer.expect("it may be watched").into_inner()
}

#[tokio::test]
async fn a_watcher_sees_how_everything_stands_and_then_each_change() {
    let stage = Stage::start(|_| {}).await;
    let mut stream = watch(&stage, None).await;
    let first = snapshot(&mut stream).await;
    assert_eq!(
        (first.state.as_str(), first.ready, first.continues),
        ("running", true, false)
    );
    let rows: BTreeMap<_, _> = first
        .components
        .iter()
        .map(|it| (it.name.as_str(), it))
        .collect();
    assert_eq!(rows["pool"].state, "running");
    let edges = &rows["control-plane:grpc"].dependencies;
    assert_eq!(
        (edges[0].component.as_str(), edges[0].edge.as_str()),
        ("pool", "hard")
    );
    let position = first.position.expect("it has one");

    stage.handle.cordon().await.unwrap();
    let cordon = change(&mut stream).await;
    assert_eq!((cordon.kind.as_str(), cordon.component), ("node", None));
    assert_eq!(
        cordon.position.map(|it| it.sequence),
        Some(position.sequence + 1)
    );
    assert_eq!(
        cordon.position.map(|it| it.instance),
        Some(position.instance)
    );

    stage.handle.stop().await.unwrap();
    let stopping = change(&mut stream).await;
    assert_eq!(
        (stopping.kind.as_str(), stopping.to.as_deref()),
        ("orchestrator", Some("stopping"))
    );
}

#[tokio::test]
async fn a_watcher_that_comes_back_goes_on_where_it_left_off_and_is_told_of_a_gap() {
    let stage = Stage::start(|_| {}).await;
    let mut stream = watch(&stage, None).await;
    let position = snapshot(&mut stream).await.position.expect("it has one");
    drop(stream);
    stage.handle.cordon().await.unwrap();
    stage.handle.uncordon().await.unwrap();
    let mut stream = watch(&stage, Some(position)).await;
    for sequence in [position.sequence + 1, position.sequence + 2] {
        let told = change(&mut stream).await.position;
        assert_eq!(told.map(|it| it.sequence), Some(sequence));
    }

    let stranger = Position {
        instance: position.instance + 1,
        ..position
    };
    let mut stream = watch(&stage, Some(stranger)).await;
    let Told::Gap(gap) = next(&mut stream).await else {
        panic!("a gap comes first");
    };
    assert_eq!(
        (gap.from, gap.to, gap.reason.as_str()),
        (None, None, "another-process")
    );
    snapshot(&mut stream).await;
    stage.stop().await;
}

#[tokio::test]
async fn a_listener_that_stops_ends_what_is_watched_and_is_held_up_by_nobody() {
    let stage = Stage::start(|_| {}).await;
    let mut stream = watch(&stage, None).await;
    snapshot(&mut stream).await;
    let ((), ended) = tokio::join!(stage.stop(), async {
        loop {
            match in_time(stream.message()).await {
                Ok(told) => assert!(told.is_some(), "it says why it ends"),
                Err(status) => return status,
            }
        }
    });
    assert_eq!(ended.code(), Code::Unavailable);
    // And it can be started again, and watched.
    stage.handle.start().await.unwrap();
    let mut stream = watch(&stage, None).await;
    assert_eq!(snapshot(&mut stream).await.run, 2);
    stage.stop().await;
}

#[tokio::test]
async fn no_more_streams_than_allowed_are_open_and_who_goes_makes_room() {
    let stage = Stage::start(|it| it.streams = 2).await;
    let mut client = stage.lifecycle().await;
    let first = client.watch(WatchRequest::default()).await.unwrap();
    let _second = client.watch(WatchRequest::default()).await.unwrap();
    let refused = client.watch(WatchRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    drop(first);
    let again = async {
        while client.watch(WatchRequest::default()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    in_time(again).await;
    stage.stop().await;
}

#[tokio::test]
async fn the_listener_is_essential_takes_no_part_in_drains_and_goes_on_to_tell() {
    let stage = Stage::start(|_| {}).await;
    let registration: Registration = stage.grpc.clone().registration();
    assert_eq!(registration.name, "control-plane:grpc");
    assert_eq!(registration.criticality, Criticality::Essential);
    let plan = stage.handle.plan().unwrap();
    assert!(!plan.drains(plan.find("control-plane:grpc").unwrap()));
    stage.handle.drain().await.unwrap();
    let mut stream = watch(&stage, None).await;
    assert_eq!(snapshot(&mut stream).await.drain, "drained");
    stage.stop().await;
}
