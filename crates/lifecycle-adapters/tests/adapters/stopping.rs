//! How a server stops.

use std::time::{Duration, Instant};

use lifecycle_core::{Defaults, Nanos, Retry};

use crate::client::{Client, Http2, get, request};
use crate::support::{LARGE, Rig, assert_closed, within};

/// Well below the time that a stop may take, and well above what it needs.
const AT_ONCE: Duration = Duration::from_secs(4);

#[tokio::test]
async fn museum_27_a_stop_ends_as_soon_as_the_last_request_in_flight_has() {
    let (rig, address) = Rig::started().await;
    let mut client = Client::connect(address).await;
    client.ask("/held").await;
    let mut http2 = Http2::connect(address).await;
    let call = http2.requests.send_request(request("/held"));
    rig.hold.holds(2).await;

    let handle = rig.handle.clone();
    let stop = tokio::spawn(async move { handle.stop_now().await });
    // The port is closed while both are in flight.
    within(async {
        while tokio::net::TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(!stop.is_finished());

    let begin = Instant::now();
    rig.hold.let_one_through();
    rig.hold.let_one_through();
    let answer = client.answer().await;
    assert_eq!(answer.body, "let through");
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(within(call).await.expect("an answer").status(), 200);
    within(stop).await.unwrap().expect("the stop is clean");
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    assert_closed(address).await;
}

#[tokio::test]
async fn museum_27_connections_without_a_request_hold_no_stop_up() {
    let (rig, address) = Rig::started().await;
    let unused = Client::connect(address).await;
    let mut kept_alive = Client::connect(address).await;
    assert_eq!(kept_alive.get("/").await.status, 200);
    let mut half_way = Client::connect(address).await;
    half_way.send("GET / HTTP/1.1\r\nHost: local").await;
    let mut http2 = Http2::connect(address).await;
    let answer = within(http2.requests.send_request(request("/"))).await;
    assert_eq!(answer.expect("an answer").status(), 200);
    // An HTTP/2 client that will react to nothing.
    let mut deaf = Client::connect(address).await;
    deaf.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;

    let begin = Instant::now();
    rig.stop().await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    for client in [unused, kept_alive, half_way] {
        assert_eq!(client.rest().await, "");
    }
    let orderly = within(http2.connection).await.unwrap();
    orderly.expect("HTTP/2 ends with a goodbye");
}

#[tokio::test]
async fn a_client_that_is_slow_to_read_is_waited_for() {
    let (rig, address) = Rig::started().await;
    let mut slow = Client::connect(address).await;
    slow.ask("/large").await;
    let mut half_way = Client::connect(address).await;
    half_way.send("GET / HTTP/1.1\r\nHost: local").await;
    // An answer on a third connection says that both have been heard.
    assert_eq!(get(address, "/").await.status, 200);

    let handle = rig.handle.clone();
    let stop = tokio::spawn(async move { handle.stop_now().await });
    // Whoever has nothing to do has been given up by then.
    assert_eq!(half_way.rest().await, "");
    assert!(!stop.is_finished());
    assert_eq!(slow.answer().await.body.len(), LARGE);
    within(stop).await.unwrap().expect("the stop is clean");
}

#[tokio::test]
async fn a_forced_stop_cuts_off_what_is_in_flight_and_is_clean() {
    let (rig, address) = Rig::started().await;
    let mut client = Client::connect(address).await;
    client.ask("/held").await;
    let mut http2 = Http2::connect(address).await;
    let call = http2.requests.send_request(request("/held"));
    rig.hold.holds(2).await;

    let forced = within(rig.handle.force()).await;
    forced.expect("what is cut off is stopped");
    assert_eq!(rig.hold.count(), 0, "both handlers are gone");
    assert_eq!(client.rest().await, "");
    within(call).await.expect_err("it was cut off");
    assert_closed(address).await;
    rig.start().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_stop_whose_time_is_nearly_up_cuts_off_and_is_clean() {
    let brief = Retry::none().with_attempt_timeout(Nanos::from_millis(300));
    let defaults = Defaults {
        stop: brief,
        ..Defaults::default()
    };
    let (rig, address) = Rig::started_by(defaults, |it| it).await;
    let mut client = Client::connect(address).await;
    client.ask("/held").await;
    rig.hold.holds(1).await;
    rig.stop().await;
    assert_eq!(rig.hold.count(), 0, "the handler is gone");
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_probe_that_never_ends_holds_no_stop_up() {
    let probe = |it: lifecycle_adapters::HttpServer| it.answer_while_draining(["/healthz/held"]);
    let (rig, address) = Rig::started_with(probe).await;
    let mut http2 = Http2::connect(address).await;
    let call = http2.requests.send_request(request("/healthz/held"));
    rig.hold.holds(1).await;
    let begin = Instant::now();
    rig.stop().await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    within(call).await.expect_err("it was cut off");
}
