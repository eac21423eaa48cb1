//! Who may look.

use control_plane_host::grpc::v1::WatchRequest;
use diagnostics::{Credentials, Scope, Token};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;

use crate::stage::Stage;

const READER: &str = "0123456789abcdef";

fn with_token(token: &str) -> Request<WatchRequest> {
    let mut request = Request::new(WatchRequest::default());
    let shown = format!("Bearer {token}").parse().unwrap();
    request.metadata_mut().insert("authorization", shown);
    request
}

#[tokio::test]
async fn where_there_are_tokens_a_watcher_shows_one_and_a_probe_does_not() {
    let reader = Token::new("grafana", Scope::Read, READER).unwrap();
    let stage = Stage::start(|it| it.credentials = Credentials::tokens([reader])).await;
    let mut client = stage.lifecycle().await;
    let silent = client.watch(WatchRequest::default()).await.unwrap_err();
    assert_eq!(silent.code(), Code::Unauthenticated);
    let wrong = client
        .watch(with_token("fedcba9876543210"))
        .await
        .unwrap_err();
    assert_eq!(wrong.code(), Code::Unauthenticated);
    assert!(client.watch(with_token(READER)).await.is_ok());
    let mut health = stage.health().await;
    assert!(health.check(HealthCheckRequest::default()).await.is_ok());
    stage.stop().await;
}

#[tokio::test]
async fn a_listener_beyond_loopback_without_tokens_lets_nobody_look() {
    let stage = Stage::start(|it| it.address = "0.0.0.0:0".parse().unwrap()).await;
    let mut client = stage.lifecycle().await;
    let refused = client.watch(WatchRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    stage.stop().await;
}
