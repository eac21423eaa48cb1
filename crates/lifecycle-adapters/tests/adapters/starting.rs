//! What a start opens, and for whom.

use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;

use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::routing::get as route_get;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use lifecycle_adapters::{BindError, HttpServer, Peer};
use lifecycle_core::{Defaults, Lifecycle as _, StartContext};
use tokio::net::TcpListener;

use crate::client::{Client, Http2, get, request};
use crate::scope::TestScope;
use crate::support::{Rig, any_port, assert_closed, drive, within};

#[tokio::test]
async fn a_taken_port_is_a_failed_start_that_names_the_address_and_what_the_system_said() {
    let taken = TcpListener::bind(any_port()).await.unwrap();
    let address = taken.local_addr().unwrap();
    let server = HttpServer::new(Router::new()).bind(address);
    let cx = StartContext::new(TestScope::new());
    let error = server.start(&cx).await.expect_err("the port is taken");
    assert_eq!(error.to_string(), format!("cannot listen on {address}/tcp"));
    let error = error.downcast::<BindError>().expect("a typed error");
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.source().is_some());
    assert_eq!(server.local_addr(), None);

    let handle = drive(server, Defaults::default());
    let failed = within(handle.start()).await.expect_err("still taken");
    assert!(format!("{failed:?}").contains(&address.to_string()));
    drop(taken);
    within(handle.start()).await.expect("the port is free");
    within(handle.stop()).await.expect("the stop is clean");
}

#[tokio::test]
async fn what_was_stopped_can_be_started_and_serves_again() {
    let (rig, first) = Rig::started().await;
    for _ in 0..3 {
        let address = rig.server.local_addr().expect("it listens");
        assert_eq!(get(address, "/").await.body, "hello");
        rig.stop().await;
        assert_eq!(rig.server.local_addr(), None);
        rig.start().await;
    }
    rig.stop().await;
    assert_closed(first).await;
}

#[tokio::test]
async fn contract_73_starting_what_listens_changes_nothing() {
    let server = HttpServer::new(Router::new().route("/", route_get(async || "hello")));
    let server = server.bind(any_port());
    let scope = TestScope::new();
    let cx = StartContext::new(scope.clone());
    server.start(&cx).await.expect("the port is free");
    let address = server.local_addr().expect("it listens");
    let mut kept = Client::connect(address).await;
    assert_eq!(kept.get("/").await.status, 200);
    server.start(&cx).await.expect("it runs");
    assert_eq!(server.local_addr(), Some(address));
    assert_eq!(kept.get("/").await.status, 200, "nobody is cut off");
    scope.run.cancel();
    within(server.dispose()).await.expect("nothing is left");
}

#[tokio::test]
async fn a_handler_is_told_where_its_request_comes_from() {
    let whence = async |ConnectInfo(address): ConnectInfo<SocketAddr>,
                        Extension(Peer(peer)): Extension<Peer>| {
        assert_eq!(address, peer);
        peer.to_string()
    };
    let router = Router::new().route("/whence", route_get(whence));
    let server = std::sync::Arc::new(HttpServer::new(router).bind(any_port()));
    let handle = drive(std::sync::Arc::clone(&server), Defaults::default());
    within(handle.start()).await.expect("the start succeeds");

    let address = server.local_addr().expect("it listens");
    let mut client = Client::connect(address).await;
    let answer = client.get("/whence").await;
    let own = client.into_stream().local_addr().unwrap();
    assert_eq!(answer.body, own.to_string());
    within(handle.stop()).await.expect("the stop is clean");
}

#[tokio::test]
async fn http_2_is_spoken_to_who_begins_with_it() {
    let (rig, address) = Rig::started().await;
    let mut http2 = Http2::connect(address).await;
    let answer = within(http2.requests.send_request(request("/"))).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.version(), Version::HTTP_2);
    let body = within(to_bytes(Body::new(answer.into_body()), 1_024)).await;
    assert_eq!(body.unwrap(), "hello");
    rig.stop().await;
}

#[tokio::test]
async fn a_hyper_service_is_served_as_well() {
    let greet = service_fn(async |_: Request<Incoming>| {
        Ok::<_, Infallible>(Response::new("greetings".to_owned()))
    });
    let server = std::sync::Arc::new(HttpServer::from_hyper(greet).bind(any_port()));
    let handle = drive(std::sync::Arc::clone(&server), Defaults::default());
    within(handle.start()).await.expect("the start succeeds");
    let address = server.local_addr().expect("it listens");
    assert_eq!(get(address, "/").await.body, "greetings");
    within(handle.stop()).await.expect("the stop is clean");
}

#[tokio::test]
async fn a_panic_of_a_handler_ends_its_own_connection_and_no_more() {
    let (rig, address) = Rig::started().await;
    let mut other = Client::connect(address).await;
    assert_eq!(other.get("/").await.status, 200);
    let mut unlucky = Client::connect(address).await;
    unlucky.ask("/panic").await;
    assert_eq!(unlucky.rest().await, "");
    let mut http2 = Http2::connect(address).await;
    let reset = within(http2.requests.send_request(request("/panic"))).await;
    reset.expect_err("its request is reset");
    let answer = within(http2.requests.send_request(request("/"))).await;
    assert_eq!(answer.expect("the connection goes on").status(), 200);
    assert_eq!(other.get("/").await.status, 200);
    rig.stop().await;
}
