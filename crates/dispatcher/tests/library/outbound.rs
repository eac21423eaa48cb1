//! Calls to another service over HTTP, over real sockets.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dispatcher::{
    Code, Dispatcher, HttpInbound, HttpOutbound, Messages, Procedure, Request, Response, RpcError,
    Shape,
};
use futures_util::future::try_join_all;
use lifecycle_core::ComponentId;
use lifecycle_core::engine::{ComponentState, EventKind};
use lifecycle_runtime::Notice;
use lifecycle_testkit::conformance::{Check, Suite};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Barrier, Notify};

use crate::kit::{built, echo, telling};
use crate::rig::{Rig, any_port, hanging, held, within};

/// A dispatcher with a way to `pets` at `url`.
async fn caller(url: &str, configure: impl FnOnce(HttpOutbound) -> HttpOutbound) -> Rig {
    let outbound = configure(HttpOutbound::new("pets", url).expect("a URL"));
    let builder = Dispatcher::builder("shop").outbound(outbound);
    Rig::of(builder, HttpInbound::new(any_port())).await
}

async fn unary(rig: &Rig, procedure: &str, message: &'static str) -> Result<Response, RpcError> {
    rig.out("pets", Shape::Unary, Request::new(procedure, message))
        .await
}

/// A server that answers the first request of each connection with `answer` and closes; and how many connections it has had.
async fn answering(answer: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            counter.fetch_add(1, Ordering::Relaxed);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.expect("a head"));
            }
            stream.write_all(answer.as_bytes()).await.expect("it reads");
        }
    });
    (url, connections)
}

/// The outbound's place in the plan.
async fn id(rig: &Rig) -> ComponentId {
    let snapshot = rig.handle.snapshot().await.expect("it is driven");
    snapshot.plan.find("pets:default:unary").expect("there")
}

/// Waits until the outbound is degraded, or not any more.
async fn is_degraded(rig: &Rig, expected: bool) {
    let id = id(rig).await;
    loop {
        let snapshot = rig.handle.snapshot().await.expect("it is driven");
        if snapshot.component(id).degraded.is_some() == expected {
            return;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_call_arrives_with_all_it_carries_over_both_versions() {
    let upstream = Rig::started([telling(), echo("echo")]).await;
    for http2 in [false, true] {
        let with = |it: HttpOutbound| if http2 { it.http2() } else { it };
        let rig = caller(&upstream.url(), with).await;
        let mut request = Request::new("tell", "");
        let meta = &mut request.meta;
        meta.caller = Some("shop".to_owned());
        meta.encoding = Some("json".to_owned());
        meta.shard_key = Some("s".to_owned());
        meta.routing_key = Some("r".to_owned());
        meta.routing_delegate = Some("d".to_owned());
        meta.headers.append("X-Tenant", "blue").expect("a header");
        meta.limit(Instant::now(), Duration::from_secs(9));
        let response = rig.out("pets", Shape::Unary, request).await.unwrap();
        assert_eq!(response.encoding.as_deref(), Some("text"));
        assert_eq!(response.headers.first("x-mood"), Some("good"));
        let told = response.into_message().await.unwrap();
        assert_eq!(
            told,
            r#"Some("shop") Some("json") Some("s") Some("r") Some("d") Some("blue") true"#
        );
        let echoed = unary(&rig, "echo", "hello").await.unwrap();
        assert_eq!(echoed.into_message().await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn a_one_way_call_is_done_when_it_has_arrived() {
    let arrived = Arc::new(Notify::new());
    let told = Arc::clone(&arrived);
    let swallow = Procedure::oneway("swallow", move |_| {
        told.notify_one();
        std::future::ready(Ok(()))
    });
    let upstream = Rig::started([swallow]).await;
    let rig = caller(&upstream.url(), |it| it).await;
    let request = Request::new("swallow", "x");
    let mut response = rig.out("pets", Shape::Oneway, request).await.unwrap();
    assert!(response.messages.next().await.is_none());
    within(arrived.notified()).await;
}

#[tokio::test]
async fn contract_65_errors_come_back_by_name_with_all_they_say() {
    let failing = |code: Code| {
        let error = RpcError::new(code, format!("it is\n{code}"))
            .with_reason("pets.at-fault")
            .with_metadata("pet", "Blacky ü");
        Procedure::unary(code.as_str(), move |_| {
            std::future::ready(Err(error.clone()))
        })
    };
    let upstream = Rig::started(Code::ALL.map(failing)).await;
    let rig = caller(&upstream.url(), |it| it).await;
    for code in Code::ALL {
        let error = unary(&rig, code.as_str(), "").await.unwrap_err();
        assert_eq!(error.code, code);
        assert_eq!(error.message, format!("it is\n{code}"));
        assert_eq!(error.reason.as_deref(), Some("pets.at-fault"));
        assert_eq!(error.metadata["pet"], "Blacky ü");
    }
}

#[tokio::test]
async fn contract_65_who_names_no_code_is_judged_by_the_status_and_who_does_is_not() {
    for (answer, code, message) in [
        (
            "HTTP/1.1 409 Conflict\r\nRpc-Status: AlreadyExists\r\nRpc-Error-Message: twice\r\nContent-Length: 0\r\n\r\n",
            Code::AlreadyExists,
            "twice",
        ),
        (
            "HTTP/1.1 500 Oh\r\nContent-Type: application/json\r\nContent-Length: 43\r\n\r\n{\"status\":\"DATA_LOSS\",\"metadata\":{\"a\":[1]}}",
            Code::DataLoss,
            "the upstream answered with status 500",
        ),
        (
            "HTTP/1.1 503 Oh\r\nRpc-Status: 3\r\nContent-Length: 0\r\n\r\n",
            Code::Unavailable,
            "the upstream answered with status 503",
        ),
        (
            "HTTP/1.1 404 Oh\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnope",
            Code::NotFound,
            "the upstream answered with status 404",
        ),
        (
            "HTTP/1.1 302 Oh\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
            Code::Unknown,
            "the upstream answered with status 302",
        ),
    ] {
        let (url, _) = answering(answer).await;
        let rig = caller(&url, |it| it).await;
        let error = unary(&rig, "any", "").await.unwrap_err();
        assert_eq!((error.code, &*error.message), (code, message));
    }
}

#[tokio::test]
async fn when_to_try_again_is_read_of_an_answer_without_a_document() {
    let draining = "HTTP/1.1 503 -\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n";
    let (url, _) = answering(draining).await;
    let rig = caller(&url, |it| it).await;
    let error = unary(&rig, "any", "").await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert_eq!(error.retry_after(), Some(Duration::from_secs(1)));
}

#[tokio::test]
async fn an_answer_that_is_too_large_or_breaks_off_is_an_error_of_its_own() {
    const SHORT: &str = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n01";
    const CHUNKS: &str =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n";
    const NOTHING: &str = "";
    const NO_HTTP: &str = "SSH-2.0-OpenSSH_9.6\r\n\r\n";
    for (answer, bytes, code) in [
        (SHORT, 11, Code::ResourceExhausted),
        (SHORT, 12, Code::Unavailable),
        (CHUNKS, 10, Code::ResourceExhausted),
        (NOTHING, 10, Code::Unavailable),
        (NO_HTTP, 10, Code::Unavailable),
    ] {
        let (url, _) = answering(answer).await;
        let rig = caller(&url, |it| it.body_bytes(bytes)).await;
        let answered = unary(&rig, "any", "").await;
        assert_eq!(answered.unwrap_err().code, code, "{answer}");
    }
}

#[tokio::test]
async fn an_upstream_that_is_gone_is_unavailable_and_degrades_until_it_is_back() {
    let upstream = Rig::started([echo("echo")]).await;
    let address = upstream.address();
    let rig = caller(&upstream.url(), |it| it).await;
    unary(&rig, "echo", "a").await.unwrap();

    upstream.dispatcher.stop().await.unwrap();
    let error = unary(&rig, "echo", "b").await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");
    let error = unary(&rig, "echo", "b").await.unwrap_err();
    assert_eq!(
        error.reason.as_deref(),
        Some("dispatcher.outbound.unreachable")
    );
    within(is_degraded(&rig, true)).await;

    let builder = Dispatcher::builder("pets").procedure(echo("echo"));
    let _back = Rig::of(builder, HttpInbound::new(address)).await;
    let echoed = unary(&rig, "echo", "c").await.unwrap();
    assert_eq!(echoed.into_message().await.unwrap(), "c");
    within(is_degraded(&rig, false)).await;
}

#[tokio::test]
async fn a_connection_that_takes_too_long_is_given_up() {
    // Nobody accepts: with a queue of one, the system leaves the third connection waiting.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(any_port()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let _first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    let short = Duration::from_millis(50);
    let rig = caller(&format!("http://{address}/"), |it| {
        it.connect_timeout(short)
    })
    .await;
    let error = unary(&rig, "echo", "").await.unwrap_err();
    assert_eq!(
        error.reason.as_deref(),
        Some("dispatcher.outbound.unreachable")
    );
}

#[tokio::test]
async fn at_its_deadline_a_call_is_given_up_and_so_is_the_upstreams() {
    for (http2, has_deadline) in [(false, true), (true, true), (false, false)] {
        let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let upstream = Rig::started([hanging(&entered, &dropped)]).await;
        let short = Duration::from_millis(50);
        let with = |it: HttpOutbound| if http2 { it.http2() } else { it };
        let rig = caller(&upstream.url(), |it| with(it).timeout(short)).await;
        let mut request = Request::new("hang", "");
        if has_deadline {
            request.meta.limit(Instant::now(), short);
        }
        let error = rig.out("pets", Shape::Unary, request).await.unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded);
        within(dropped.notified()).await;
    }
}

#[tokio::test]
async fn a_call_without_time_left_is_not_made() {
    let (url, connections) = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let rig = caller(&url, |it| it).await;
    let mut request = Request::new("any", "");
    request.meta.limit(Instant::now(), Duration::ZERO);
    let error = rig.out("pets", Shape::Unary, request).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded);
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_dropped_call_is_given_up_at_the_upstream_too() {
    for http2 in [false, true] {
        let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let upstream = Rig::started([hanging(&entered, &dropped)]).await;
        let with = |it: HttpOutbound| if http2 { it.http2() } else { it };
        let rig = caller(&upstream.url(), with).await;
        let calling = tokio::spawn(async move { unary(&rig, "hang", "").await });
        within(entered.notified()).await;
        calling.abort();
        within(dropped.notified()).await;
    }
}

#[tokio::test]
async fn a_line_of_its_own_cannot_be_smuggled_into_a_request() {
    let (url, connections) = answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
    let rig = caller(&url, |it| it).await;
    let mut request = Request::new("any", "");
    request.meta.caller = Some("a\r\nRpc-Procedure: other".to_owned());
    let error = rig.out("pets", Shape::Unary, request).await.unwrap_err();
    assert_eq!(error.code, Code::InvalidArgument);
    assert_eq!(
        error.reason.as_deref(),
        Some("dispatcher.http.header_invalid")
    );
    assert_eq!(connections.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_stream_is_not_taken_for_one_message() {
    let upstream = Rig::started([echo("echo")]).await;
    let rig = caller(&upstream.url(), |it| it).await;
    let mut request = Request::new("echo", "");
    request.messages = Messages::none();
    let error = rig.out("pets", Shape::Unary, request).await.unwrap_err();
    assert_eq!(error.code, Code::InvalidArgument);
}

#[tokio::test]
async fn connections_come_with_calls_and_are_kept() {
    let upstream = Rig::started([echo("echo")]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (connections, target) = (Arc::new(AtomicUsize::new(0)), upstream.address());
    let counter = Arc::clone(&connections);
    tokio::spawn(async move { forward(&listener, target, &counter).await });
    let rig = caller(&url, |it| it).await;
    assert_eq!(connections.load(Ordering::Relaxed), 0);
    for text in ["a", "b", "c"] {
        let echoed = unary(&rig, "echo", text).await.unwrap();
        assert_eq!(echoed.into_message().await.unwrap(), text);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn connections_of_many_calls_at_the_same_time_are_kept_too() {
    const CALLS: usize = 64;
    let barrier = Arc::new(Barrier::new(CALLS));
    let meet = Procedure::unary("meet", move |_| {
        let barrier = Arc::clone(&barrier);
        async move {
            barrier.wait().await;
            Ok(Response::message("met"))
        }
    });
    let upstream = Rig::started([meet]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    let rig = caller(&url, |it| it).await;
    let (connections, target) = (Arc::new(AtomicUsize::new(0)), upstream.address());
    let counter = Arc::clone(&connections);
    tokio::spawn(async move { forward(&listener, target, &counter).await });
    for _ in 0..4 {
        let calls = (0..CALLS).map(|_| unary(&rig, "meet", ""));
        within(try_join_all(calls)).await.expect("all meet");
    }
    // A connection may not be back yet when the next call begins, but most are.
    assert!(connections.load(Ordering::Relaxed) < 2 * CALLS);
}

/// Passes connections on to `target`, and counts them.
async fn forward(listener: &TcpListener, target: SocketAddr, counter: &AtomicUsize) {
    loop {
        let (mut near, _) = listener.accept().await.expect("it accepts");
        counter.fetch_add(1, Ordering::Relaxed);
        let mut far = TcpStream::connect(target).await.expect("it listens");
        tokio::spawn(async move { tokio::io::copy_bidirectional(&mut near, &mut far).await });
    }
}

#[tokio::test]
async fn before_its_start_and_after_its_stop_nothing_is_carried() {
    let upstream = Rig::started([echo("echo")]).await;
    let outbound = HttpOutbound::new("pets", &upstream.url()).expect("a URL");
    let (idle, _) = built(Dispatcher::builder("shop").outbound(outbound.clone()));
    let handler = idle.outbound("pets", None, Shape::Unary).unwrap();
    let refused = tower::ServiceExt::oneshot(handler, Request::new("echo", "")).await;
    assert_eq!(refused.unwrap_err().code, Code::FailedPrecondition);

    let rig = caller(&upstream.url(), |it| it).await;
    unary(&rig, "echo", "").await.unwrap();
    rig.dispatcher.stop().await.unwrap();
    let refused = unary(&rig, "echo", "").await.unwrap_err();
    assert_eq!(
        refused.reason.as_deref(),
        Some("dispatcher.outbound.not_started")
    );
    rig.dispatcher.start().await.unwrap();
    unary(&rig, "echo", "").await.expect("it carries again");
}

#[tokio::test]
async fn a_stop_waits_for_open_calls_and_a_forced_one_cuts_them_off() {
    for forced in [false, true] {
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let upstream = Rig::started([held(&entered, &go_on)]).await;
        let rig = Arc::new(caller(&upstream.url(), |it| it).await);
        let calling = Arc::clone(&rig);
        let calling = tokio::spawn(async move { unary(&calling, "held", "").await });
        within(entered.notified()).await;
        if forced {
            let report = within(rig.handle.force()).await.expect("it still succeeds");
            assert!(report.is_clean());
            let error = calling.await.unwrap().unwrap_err();
            assert_eq!(
                error.reason.as_deref(),
                Some("dispatcher.outbound.interrupted")
            );
            continue;
        }
        let outbound = id(&rig).await;
        let mut events = rig.handle.subscribe();
        let stopping = Arc::clone(&rig);
        let stopping = tokio::spawn(async move { stopping.dispatcher.stop().await });
        let is_stopping = |it: &EventKind| match it {
            EventKind::Transition { key, to, .. } => {
                key.component == outbound && *to == ComponentState::Stopping
            }
            _ => false,
        };
        while let Some(notice) = within(events.next()).await {
            if matches!(notice, Notice::Event(event) if is_stopping(&event.kind)) {
                break;
            }
        }
        assert!(!stopping.is_finished(), "a call is open");
        go_on.notify_one();
        within(stopping)
            .await
            .unwrap()
            .expect("all calls were answered");
        let answered = calling.await.unwrap().expect("it was waited for");
        assert_eq!(answered.into_message().await.unwrap(), "late");
    }
}

#[tokio::test]
async fn the_outbound_passes_the_conformance_suite() {
    let make = || {
        let outbound = HttpOutbound::new("pets", "http://127.0.0.1:9/").expect("a URL");
        let (_, mut registrations) = built(Dispatcher::builder("shop").outbound(outbound));
        registrations.remove(0).component
    };
    let report = Suite::of(make).named("pets:default:unary").run().await;
    report.assert_ok();
    assert_eq!(report.passed, Check::ALL);
}
