//! What a client may not do.

use std::time::Duration;

use lifecycle_adapters::{HttpServer, Limits};

use crate::client::{Client, get};
use crate::support::Rig;

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
