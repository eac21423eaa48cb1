//! What a client may not do.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use axum::routing::get as route_get;
use diagnostics::server::Limits;
use lifecycle_core::Registration;

use crate::support::{Rig, assert_closed, connect, get, idle, receive, send};

#[test]
fn a_slow_client_cannot_hold_up_the_stop_beyond_its_limit() {
    let limits = Limits {
        drain: Duration::from_millis(200),
        ..Limits::default()
    };
    let never = route_get(async || std::future::pending::<()>().await);
    let rig = Rig::with(Vec::new(), |it| it.limits(limits).route("/never", never));
    let address = rig.start();
    let mut unfinished = connect(address);
    unfinished.write_all(b"GET /livez HT").unwrap();
    let mut unanswered = connect(address);
    write!(unanswered, "GET /never HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    // An answer on a third connection says that the first two are taken.
    assert_eq!(get(address, "/livez").status, 200);

    let begin = Instant::now();
    rig.stop();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(5), "{took:?}");
    for mut cut_off in [unfinished, unanswered] {
        let mut rest = Vec::new();
        // Closed or reset: either way it is over.
        let _ = cut_off.read_to_end(&mut rest);
        assert!(rest.is_empty());
    }
    assert_closed(address);
}

#[test]
fn museum_27_an_idle_connection_is_closed_at_once_by_the_stop() {
    let limits = Limits {
        drain: Duration::from_secs(600),
        ..Limits::default()
    };
    let rig = Rig::with(Vec::new(), |it| it.limits(limits));
    let address = rig.start();
    let mut idle = connect(address);
    write!(idle, "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    idle.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    rig.stop();
    let mut rest = String::new();
    idle.read_to_string(&mut rest).expect("an orderly end");
}

#[test]
fn connections_beyond_the_limit_wait_until_one_is_free() {
    let limits = Limits {
        connections: 2,
        head: Duration::from_millis(300),
        ..Limits::default()
    };
    let rig = Rig::with(Vec::new(), |it| it.limits(limits));
    let address = rig.start();
    let mut hogs = [connect(address), connect(address)];
    // Silent connections are closed when their time for a head is over; then this one has its turn.
    assert_eq!(get(address, "/livez").status, 200);
    let closed = hogs.iter_mut().filter_map(|it| {
        it.set_nonblocking(true).unwrap();
        it.read(&mut [0]).ok()
    });
    assert_ne!(closed.count(), 0, "it was answered beside both");
    rig.stop();
}

#[test]
fn a_request_that_takes_too_long_is_answered_504() {
    let limits = Limits {
        request: Duration::from_millis(50),
        ..Limits::default()
    };
    let never = route_get(async || std::future::pending::<()>().await);
    let rig = Rig::with(Vec::new(), |it| it.limits(limits).route("/never", never));
    let address = rig.start();
    assert_eq!(get(address, "/never").status, 504);
    rig.stop();
}

#[test]
fn what_is_not_there_is_refused_with_a_problem_document() {
    let rig = Rig::of(vec![Registration::new("worker", idle())]);
    let address = rig.start();
    let unknown = get(address, "/nowhere");
    assert_eq!(unknown.status, 404);
    assert_eq!(
        unknown.header("content-type"),
        Some("application/problem+json")
    );
    assert_eq!(unknown.json()["status"], 404);
    assert_eq!(unknown.json()["title"], "Not Found");

    let wrong = send(
        address,
        &format!("DELETE /livez HTTP/1.1\r\nHost: {address}"),
    );
    assert_eq!(wrong.status, 405);
    assert!(wrong.header("allow").is_some_and(|it| it.contains("GET")));
    assert_eq!(wrong.json()["status"], 405);
    rig.stop();
}

#[test]
fn a_name_that_was_rebound_to_this_machine_is_refused() {
    let rig = Rig::of(Vec::new());
    let address = rig.start();
    let port = address.port();
    for (host, status) in [
        ("evil.example".to_owned(), 421),
        (format!("evil.example:{port}"), 421),
        (format!("localhost:{port}"), 200),
        (format!("127.0.0.1:{port}"), 200),
    ] {
        let head = format!("GET /livez HTTP/1.1\r\nHost: {host}");
        assert_eq!(send(address, &head).status, status, "{host}");
    }
    assert_eq!(send(address, "GET /livez HTTP/1.0").status, 200);
    rig.stop();
}

#[test]
fn a_body_beyond_the_limit_is_refused() {
    let rig = Rig::of(Vec::new());
    let address = rig.start();
    let mut stream = connect(address);
    write!(
        stream,
        "GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 999999999\r\n\r\n"
    )
    .unwrap();
    assert_eq!(receive(&mut stream).status, 413);
    rig.stop();
}
