//! What a drained server refuses, and what it does not.

use std::net::SocketAddr;

use axum::body::Body;
use hyper::{Request, StatusCode};
use lifecycle_core::Report;
use tokio_util::sync::CancellationToken;

use crate::client::{Client, Http2, get, request};
use crate::support::{Rig, within};

#[tokio::test]
async fn a_drain_refuses_new_requests_and_ends_with_the_last_one_in_flight() {
    let (rig, address) = Rig::started().await;
    let mut before = Client::connect(address).await;
    before.ask("/held").await;
    let mut kept_alive = Client::connect(address).await;
    assert_eq!(kept_alive.get("/").await.status, 200);
    rig.hold.holds(1).await;

    let drain = rig.drain(&CancellationToken::new());
    within(rig.scope.reported(Report::InFlight(1))).await;
    let mut new = Client::connect(address).await;
    for client in [&mut kept_alive, &mut new] {
        let refused = client.get("/").await;
        assert_eq!(refused.status, 503);
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(refused.header("connection"), Some("close"));
    }
    assert_eq!(kept_alive.rest().await, "");
    assert_eq!(get(address, "/healthz").await.status, 200);
    assert!(!drain.is_finished());

    rig.hold.let_one_through();
    let answer = before.answer().await;
    assert_eq!(answer.body, "let through");
    assert_eq!(answer.header("connection"), Some("close"));
    within(drain).await.unwrap().expect("it is drained");
    let progress = |it: &str| Report::Progress(it.into());
    let told = [
        Report::InFlight(1),
        progress("1 request in flight"),
        Report::InFlight(0),
        progress("0 requests in flight"),
    ];
    assert_eq!(rig.scope.reports(), told);
    assert_eq!(get(address, "/").await.status, 503, "it stays drained");
    rig.stop().await;
}

/// A server on a socket that outlives it, with a client whose connection stays open.
async fn on_a_socket_that_stays() -> (Rig, SocketAddr, Client) {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let opened = socket.local_addr().unwrap();
    let (rig, address) = Rig::started_with(|it| it.socket(socket)).await;
    assert_eq!(address, opened);
    let mut kept_alive = Client::connect(address).await;
    assert_eq!(kept_alive.get("/").await.status, 200);
    (rig, address, kept_alive)
}

#[tokio::test]
async fn on_a_socket_that_stays_a_drain_refuses_nobody_and_who_comes_waits_for_the_next_start() {
    let (rig, address, mut kept_alive) = on_a_socket_that_stays().await;
    let drain = rig.drain(&CancellationToken::new());
    within(rig.until_draining()).await;
    let last = kept_alive.get("/").await;
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close"))
    );
    let mut waiting = Client::connect(address).await;
    waiting.ask("/").await;
    within(drain).await.unwrap().expect("it is drained");
    rig.stop().await;
    let mut later = Client::connect(address).await;
    later.ask("/").await;
    rig.start().await;
    for client in [&mut waiting, &mut later] {
        assert_eq!(within(client.answer()).await.status, 200);
    }
    rig.stop().await;
}

#[tokio::test]
async fn on_a_socket_that_stays_who_waits_is_taken_in_when_the_drain_is_taken_back() {
    let (rig, address, kept_alive) = on_a_socket_that_stays().await;
    let drain = rig.drain(&CancellationToken::new());
    within(drain).await.unwrap().expect("it is drained");
    let mut waiting = Client::connect(address).await;
    waiting.ask("/").await;
    // One that has nothing to say is closed, so that its client comes back.
    assert_eq!(within(kept_alive.rest()).await, "");
    rig.resume().await;
    assert_eq!(within(waiting.answer()).await.status, 200);
    rig.stop().await;
}

#[tokio::test]
async fn on_a_socket_that_stays_a_stop_without_a_drain_answers_what_comes_by_open_connections() {
    let (rig, _, mut kept_alive) = on_a_socket_that_stays().await;
    let handle = rig.handle.clone();
    let stop = tokio::spawn(async move { handle.stop_now().await });
    within(rig.until_draining()).await;
    let last = kept_alive.get("/").await;
    assert_eq!(
        (last.status, last.header("connection")),
        (200, Some("close"))
    );
    within(stop).await.unwrap().expect("the stop is clean");
}

#[tokio::test]
async fn what_is_in_flight_and_whether_it_refuses_can_be_seen() {
    let (rig, address) = Rig::started().await;
    let mut client = Client::connect(address).await;
    client.ask("/held").await;
    rig.hold.holds(1).await;
    assert_eq!(
        (rig.server.in_flight(), rig.server.is_draining()),
        (1, false)
    );
    let drain = rig.drain(&CancellationToken::new());
    within(rig.scope.reported(Report::InFlight(1))).await;
    assert_eq!(
        (rig.server.in_flight(), rig.server.is_draining()),
        (1, true)
    );
    rig.hold.let_one_through();
    assert_eq!(client.answer().await.body, "let through");
    within(drain).await.unwrap().expect("it is drained");
    assert_eq!(
        (rig.server.in_flight(), rig.server.is_draining()),
        (0, true)
    );
    rig.stop().await;
    assert!(!rig.server.is_draining(), "it does not listen");
    rig.start().await;
    assert!(!rig.server.is_draining());
    rig.stop().await;
}

#[tokio::test]
async fn a_drain_without_requests_ends_at_once_and_a_resume_takes_in_again() {
    let (rig, address) = Rig::started().await;
    let mut idle = Client::connect(address).await;
    assert_eq!(idle.get("/").await.status, 200);
    let drain = rig.drain(&CancellationToken::new());
    within(drain).await.unwrap().expect("it is drained");
    assert_eq!(get(address, "/").await.status, 503);
    rig.resume().await;
    assert_eq!(get(address, "/").await.status, 200);
    assert_eq!(idle.get("/").await.status, 200, "the connection was kept");
    rig.stop().await;
    // The next generation begins undrained.
    let drain = rig.drain(&CancellationToken::new());
    within(drain).await.unwrap().expect("nothing runs");
    let address = rig.start().await;
    assert_eq!(get(address, "/").await.status, 200);
    rig.stop().await;
}

#[tokio::test]
async fn a_drain_whose_token_is_cancelled_gives_up_waiting_and_can_be_resumed() {
    let (rig, address) = Rig::started().await;
    let mut client = Client::connect(address).await;
    client.ask("/held").await;
    rig.hold.holds(1).await;
    let token = CancellationToken::new();
    let drain = rig.drain(&token);
    within(rig.scope.reported(Report::InFlight(1))).await;
    token.cancel();
    within(drain).await.unwrap().expect("it waits no longer");
    assert_eq!(rig.server.in_flight(), 1);
    rig.resume().await;
    assert_eq!(get(address, "/").await.status, 200);
    rig.hold.let_one_through();
    assert_eq!(client.answer().await.body, "let through");
    rig.stop().await;
}

#[tokio::test]
async fn a_probe_in_flight_holds_no_drain_up() {
    let probe = |it: lifecycle_adapters::HttpServer| {
        it.answer_while_draining_if(|it| it.uri().path().starts_with("/healthz"))
    };
    let (rig, address) = Rig::started_with(probe).await;
    let mut client = Client::connect(address).await;
    client.ask("/healthz/held").await;
    rig.hold.holds(1).await;
    let drain = rig.drain(&CancellationToken::new());
    within(drain).await.unwrap().expect("it is drained");
    rig.hold.let_one_through();
    assert_eq!(client.answer().await.status, 200);
    rig.stop().await;
}

#[tokio::test]
async fn over_http_2_a_refusal_says_goodbye_and_calls_in_flight_finish() {
    let (rig, address) = Rig::started().await;
    let mut http2 = Http2::connect(address).await;
    let call = http2.requests.send_request(request("/held"));
    rig.hold.holds(1).await;
    let drain = rig.drain(&CancellationToken::new());
    within(rig.scope.reported(Report::InFlight(1))).await;

    let refused = within(http2.requests.send_request(request("/"))).await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert!(!refused.headers().contains_key("connection"));
    rig.hold.let_one_through();
    assert_eq!(within(call).await.expect("an answer").status(), 200);
    within(drain).await.unwrap().expect("it is drained");
    let orderly = within(http2.connection).await.unwrap();
    orderly.expect("the connection ends with a goodbye");
    rig.stop().await;
}

#[tokio::test]
async fn a_grpc_call_is_refused_in_its_own_protocol() {
    let (rig, address) = Rig::started().await;
    let drain = rig.drain(&CancellationToken::new());
    within(drain).await.unwrap().expect("it is drained");
    let mut http2 = Http2::connect(address).await;
    let call = Request::post("http://localhost/pets.Shop/Buy")
        .header("content-type", "application/grpc+proto")
        .body(Body::empty());
    let refused = within(http2.requests.send_request(call.unwrap())).await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status(), StatusCode::OK);
    let headers = refused.headers();
    assert_eq!(headers["content-type"], "application/grpc+proto");
    assert_eq!(headers["grpc-status"], "14");
    assert_eq!(headers["retry-after"], "1");
    rig.stop().await;
}
