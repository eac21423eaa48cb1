//! Health by gRPC's own protocol.

use tonic::{Code, Streaming};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::stage::{Stage, in_time};

const SERVED: [&str; 2] = ["", "controlplane.v1.LifecycleService"];

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest {
        service: service.to_owned(),
    }
}

async fn next(changes: &mut Streaming<HealthCheckResponse>) -> ServingStatus {
    let next = in_time(changes.message()).await.expect("it goes on");
    next.expect("it goes on").status()
}

#[tokio::test]
async fn it_is_serving_while_the_host_is_ready() {
    let stage = Stage::start(|_| {}).await;
    let mut client = stage.health().await;
    for service in SERVED {
        let answer = client.check(of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    stage.handle.cordon().await.unwrap();
    for service in SERVED {
        let answer = client.check(of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::NotServing, "{service:?}");
    }
    let unknown = client.check(of("elsewhere")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    stage.stop().await;
}

#[tokio::test]
async fn a_watcher_is_told_of_each_change_and_of_the_end() {
    let stage = Stage::start(|_| {}).await;
    let mut client = stage.health().await;
    let mut changes = client.watch(of("")).await.unwrap().into_inner();
    assert_eq!(next(&mut changes).await, ServingStatus::Serving);
    stage.handle.drain().await.unwrap();
    assert_eq!(next(&mut changes).await, ServingStatus::NotServing);
    stage.handle.resume().await.unwrap();
    assert_eq!(next(&mut changes).await, ServingStatus::Serving);
    let ((), ended) = tokio::join!(stage.stop(), async {
        loop {
            match in_time(changes.message()).await {
                Ok(told) => assert!(told.is_some(), "it says why it ends"),
                Err(status) => return status,
            }
        }
    });
    assert_eq!(ended.code(), Code::Unavailable);
}

#[tokio::test]
async fn who_watches_what_is_not_served_is_told_so_and_waits() {
    let stage = Stage::start(|_| {}).await;
    let mut client = stage.health().await;
    let mut changes = client.watch(of("elsewhere")).await.unwrap().into_inner();
    assert_eq!(next(&mut changes).await, ServingStatus::ServiceUnknown);
    stage.handle.cordon().await.unwrap();
    let mut known = client.watch(of("")).await.unwrap().into_inner();
    assert_eq!(next(&mut known).await, ServingStatus::NotServing);
    stage.stop().await;
}
