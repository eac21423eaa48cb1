//! `grpc.health.v1`, by tonic's client of it.

use std::sync::Arc;

use dispatcher::GrpcInbound;
use tokio::sync::Notify;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::{Rig, held};
use crate::kit::{built, echo};

async fn client(address: std::net::SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::new(format!("http://{address}")).expect("an address");
    HealthClient::new(endpoint.connect().await.expect("it listens"))
}

fn about(service: &str) -> HealthCheckRequest {
    let service = service.to_owned();
    HealthCheckRequest { service }
}

#[tokio::test]
async fn contract_59_health_answers_while_draining_and_watches_are_told_of_each_change() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let rig = Rig::started([held(&entered, &go_on)]).await;
    let mut health = client(rig.address()).await;
    let serving = health.check(about("whatever")).await.unwrap();
    assert_eq!(serving.into_inner().status(), ServingStatus::Serving);
    let watch = health.watch(about("")).await.unwrap();
    let mut watch = watch.into_inner();
    let mut next = async move || watch.message().await.unwrap().map(|it| it.status());
    assert_eq!(next().await, Some(ServingStatus::Serving));

    let calls = rig.client().await;
    let call = tokio::spawn(async move { calls.unary("/pets/held", "").await });
    entered.notified().await;
    let draining = rig.handle.clone();
    let draining = tokio::spawn(async move { draining.drain().await });
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    let mut other = client(rig.address()).await;
    let answer = other.check(about("")).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::NotServing);
    go_on.notify_one();
    assert_eq!(call.await.unwrap().unwrap(), "late");
    draining
        .await
        .unwrap()
        .expect("a watch does not hold it up");

    rig.handle.resume().await.unwrap();
    assert_eq!(next().await, Some(ServingStatus::Serving));
    rig.dispatcher.stop().await.expect("nor a stop");
    assert_eq!(next().await, Some(ServingStatus::NotServing));
    assert_eq!(next().await, None, "it ends well");
}

#[tokio::test]
async fn without_an_orchestrator_to_ask_it_is_not_serving() {
    let inbound = GrpcInbound::new("127.0.0.1:0".parse().unwrap());
    let port = inbound.port();
    let builder = dispatcher::Dispatcher::builder("pets").procedure(echo("echo"));
    let (_unconnected, registrations) = built(builder.inbound(inbound));
    let mut builder = lifecycle_runtime::Orchestrator::builder();
    builder.registrations(registrations);
    let handle = builder.build().unwrap().spawn();
    handle.start().await.unwrap();
    let mut health = client(port.local_addr().unwrap()).await;
    let answer = health.check(about("")).await.unwrap();
    assert_eq!(answer.into_inner().status(), ServingStatus::NotServing);
    handle.stop().await.unwrap();
}
