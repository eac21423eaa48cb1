//! What a client may not do.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::{Router, routing};
use hyper::body::{Body, Frame};
use lifecycle_adapters::{HttpServer, Limits};

use crate::client::{Client, get};
use crate::support::{Rig, any_port, within};

fn briefly(it: HttpServer) -> HttpServer {
    it.limits(Limits {
        head: Duration::from_millis(200),
        ..Limits::default()
    })
}

#[tokio::test]
async fn who_is_silent_or_slow_with_a_head_is_disconnected() {
    let (rig, address) = Rig::started_with(briefly).await;
    for beginning in [
        "",
        "PRI * HT",
        "PO",
        "GET / HTTP/1.1\r\nHost: localhost\r\nAccept: any",
    ] {
        let mut client = Client::connect(address).await;
        client.send(beginning).await;
        let rest = client.rest().await;
        assert!(!rest.contains(" 200 "), "{beginning:?}: {rest}");
    }
    let mut kept_alive = Client::connect(address).await;
    assert_eq!(kept_alive.get("/").await.status, 200);
    kept_alive.rest().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_slow_answer_is_not_a_slow_head() {
    let (rig, address) = Rig::started_with(briefly).await;
    let mut slow = Client::connect(address).await;
    slow.ask("/held").await;
    rig.hold.holds(1).await;
    // A silent connection that comes later is gone: so the limit has passed for both.
    Client::connect(address).await.rest().await;
    rig.hold.let_one_through();
    assert_eq!(slow.answer().await.body, "let through");
    rig.stop().await;
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_until_one_is_free() {
    let two = |it: HttpServer| {
        it.limits(Limits {
            connections: 2,
            ..Limits::default()
        })
    };
    let (rig, address) = Rig::started_with(two).await;
    let mut first = Client::connect(address).await;
    assert_eq!(first.get("/").await.status, 200);
    let mut second = Client::connect(address).await;
    assert_eq!(second.get("/").await.status, 200);
    let mut third = Client::connect(address).await;
    third.ask("/held").await;
    assert_eq!(second.get("/").await.status, 200);
    drop(first);
    // It has its turn now.
    rig.hold.holds(1).await;
    rig.hold.let_one_through();
    assert_eq!(third.answer().await.status, 200);
    rig.stop().await;
}

#[tokio::test]
async fn a_burst_of_connections_waits_in_the_queue() {
    let one = |it: HttpServer| {
        it.limits(Limits {
            connections: 1,
            ..Limits::default()
        })
    };
    let (rig, address) = Rig::started_with(one).await;
    let mut first = Client::connect(address).await;
    assert_eq!(first.get("/").await.status, 200);
    let mut waiting = Vec::new();
    for _ in 0..300 {
        waiting.push(Client::connect(address).await);
    }
    drop((first, waiting));
    assert_eq!(get(address, "/").await.status, 200);
    rig.stop().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let small = |it: HttpServer| {
        it.limits(Limits {
            head_bytes: 0,
            ..Limits::default()
        })
    };
    let (rig, address) = Rig::started_with(small).await;
    let mut client = Client::connect(address).await;
    let filler = "x".repeat(9 * 1_024);
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX-Filler: {filler}\r\n\r\n");
    client.send(&head).await;
    assert_eq!(client.answer().await.status, 431);
    assert_eq!(get(address, "/").await.status, 200);
    rig.stop().await;
}

/// A body without end.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        const PIECE: Bytes = Bytes::from_static(&[b'x'; 16 * 1_024]);
        Poll::Ready(Some(Ok(Frame::data(PIECE))))
    }
}

/// Answers without end.
pub(crate) fn endless() -> Router {
    Router::new().route("/", routing::get(async || axum::body::Body::new(Endless)))
}

#[tokio::test]
async fn who_reads_nothing_of_an_answer_is_disconnected() {
    let brief = Limits {
        stall: Duration::from_millis(50),
        ..Limits::default()
    };
    let make = |_| HttpServer::new(endless()).bind(any_port()).limits(brief);
    let (rig, address) = Rig::started_with(make).await;
    let mut client = Client::connect(address).await;
    client.ask("/").await;
    for count in [1, 0] {
        within(async {
            while rig.server.in_flight() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    rig.stop().await;
}
