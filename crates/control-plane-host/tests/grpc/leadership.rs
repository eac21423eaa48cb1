//! Who leads, over gRPC.

use control_plane_host::grpc::v1::subscribe_response::Told;
use control_plane_host::grpc::v1::{LeadershipEvent, SubscribeRequest, SubscribeResponse};
use mesh::leadership::{Leadership, Options, StoreOptions};
use tonic::{Code, Status, Streaming};

use crate::stage::{Stage, in_time};

/// A stage on which a node stands for two scopes, alone.
pub(crate) async fn led() -> Stage {
    let options = Options {
        node_id: Some("plane-1".to_owned()),
        scopes: vec!["global-control".to_owned(), "shard/shop/7".to_owned()],
        ..Options::default()
    };
    let store = StoreOptions::Memory.open().unwrap();
    let leadership = Leadership::new(&options, store).unwrap();
    let leaders = leadership.observer();
    let registrations = vec![leadership.registration()];
    Stage::start_with(|it| it.leaders = Some(leaders), registrations).await
}

async fn next(stream: &mut Streaming<SubscribeResponse>) -> Result<Told, Status> {
    let next = in_time(stream.message()).await?;
    Ok(next.and_then(|it| it.told).expect("it does not just end"))
}

/// The first event of this kind.
async fn event(stream: &mut Streaming<SubscribeResponse>, kind: &str) -> LeadershipEvent {
    loop {
        match next(stream).await.unwrap() {
            Told::Event(event) if event.kind == kind => return event,
            Told::Event(_) => {}
            told => panic!("{told:?}"),
        }
    }
}

#[tokio::test]
async fn contract_78_a_subscriber_over_grpc_first_gets_a_snapshot_and_sees_the_step_down_of_a_stop()
{
    let stage = led().await;
    let mut client = stage.leadership().await;
    let request = SubscribeRequest {
        scope: "SHARD/shop/7".to_owned(),
    };
    let mut stream = client.subscribe(request).await.unwrap().into_inner();
    let Told::Snapshot(snapshot) = next(&mut stream).await.unwrap() else {
        panic!("the first is a snapshot");
    };
    assert_eq!(snapshot.local_node_id.as_deref(), Some("plane-1"));
    let [row] = &snapshot.leaders[..] else {
        panic!("one scope is wanted: {snapshot:?}");
    };
    assert_eq!((&*row.scope, &*row.scope_kind), ("shard/shop/7", "shard"));
    assert_eq!(row.labels["namespace"], "shop");
    if row.leader_id.is_none() {
        let elected = event(&mut stream, "elected").await;
        assert_eq!(elected.leader_id.as_deref(), Some("plane-1"));
        assert_eq!(elected.term, Some(1));
        assert!(elected.fence_token.is_some() && elected.expires_at.is_some());
    }
    stage
        .handle
        .stop_component("mesh-leadership")
        .await
        .unwrap();
    let given_up = event(&mut stream, "stepped-down").await;
    assert_eq!(given_up.scope, "shard/shop/7");
    assert_eq!(given_up.reason.as_deref(), Some("shutdown"));
    stage.stop().await;
    assert_eq!(
        next(&mut stream).await.unwrap_err().code(),
        Code::Unavailable
    );
}

#[tokio::test]
async fn without_leadership_a_subscriber_is_told_so_and_waits_for_the_stop() {
    let stage = Stage::start(|_| {}).await;
    let mut client = stage.leadership().await;
    let request = SubscribeRequest::default();
    let mut stream = client.subscribe(request).await.unwrap().into_inner();
    let Told::Snapshot(snapshot) = next(&mut stream).await.unwrap() else {
        panic!("the first is a snapshot");
    };
    assert_eq!((snapshot.local_node_id, snapshot.leaders.len()), (None, 0));
    stage.stop().await;
    assert_eq!(
        next(&mut stream).await.unwrap_err().code(),
        Code::Unavailable
    );
}
