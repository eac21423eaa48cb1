//! Clients and upstreams that do what they should not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dispatcher::{
    Code, Dispatcher, HttpInbound, HttpOutbound, Messages, Procedure, Request, Response, Shape,
};
use lifecycle_adapters::Limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::kit::{Source, echo};
use crate::rig::{Listener, Rig, any_port, hanging, within};

/// A unary procedure that counts its calls.
fn counted() -> (Procedure, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let procedure = Procedure::unary("count", move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(Response::message("counted")))
    });
    (procedure, calls)
}

#[tokio::test]
async fn a_head_that_is_too_large_reaches_no_procedure() {
    let (procedure, calls) = counted();
    let rig = Rig::started([procedure]).await;
    let one = format!("X-Filler: {}\r\n", "x".repeat(33 * 1_024));
    let many = "X-Filler: x\r\n".repeat(101);
    for filler in [one, many] {
        let head = format!("Rpc-Procedure: count\r\n{filler}");
        assert_eq!(rig.ask(&head, "").await.status, 431);
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert_eq!(rig.ask("Rpc-Procedure: count\r\n", "").await.status, 200);
}

#[tokio::test]
async fn who_asks_before_sending_too_much_is_refused_before() {
    let (procedure, calls) = counted();
    let rig = Rig::started([procedure]).await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: count\r\nExpect: 100-continue\r\n\
                Connection: close\r\nContent-Length: 1048577\r\n\r\n";
    let answer = rig.write(head.as_bytes()).await;
    assert_eq!(
        (answer.status, answer.code()),
        (429, Code::ResourceExhausted)
    );
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn who_goes_away_in_the_middle_of_a_message_calls_nothing() {
    let (procedure, calls) = counted();
    let rig = Rig::started([procedure]).await;
    for text in [
        "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: count\r\nContent-Length: 5\r\n\r\nab",
        "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: count\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        "POST / HTTP/1.1\r\nHost: x\r\nRpc-Proc",
    ] {
        let mut stream = TcpStream::connect(rig.address()).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut heard = Vec::new();
        let _ = within(stream.read_to_end(&mut heard)).await;
        let heard = String::from_utf8_lossy(&heard);
        assert!(!heard.contains("counted"), "{heard}");
    }
    assert_eq!(calls.load(Ordering::Relaxed), 0);
    assert_eq!(rig.ask("Rpc-Procedure: count\r\n", "").await.status, 200);
    within(rig.dispatcher.stop())
        .await
        .expect("nothing is open");
}

#[tokio::test]
async fn who_closes_its_side_of_the_connection_after_its_call_has_given_it_up() {
    let (entered, dropped) = (Arc::default(), Arc::default());
    let rig = Rig::started([hanging(&entered, &dropped)]).await;
    let text = "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: hang\r\nContent-Length: 0\r\n\r\n";
    let mut stream = TcpStream::connect(rig.address()).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    within(entered.notified()).await;
    stream.shutdown().await.unwrap();
    within(dropped.notified()).await;
    within(rig.dispatcher.stop())
        .await
        .expect("nothing is open");
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_nobody_else_is_harmed() {
    let rig = Rig::started([echo("echo")]).await;
    for text in [
        "\0\0\0\0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: x\r\nBad Header: x\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense",
    ] {
        let heard = Listener::ask(&rig, text).await.rest().await;
        assert!(!heard.contains(" 200 "), "{heard}");
    }
    assert_eq!(rig.ask("Rpc-Procedure: echo\r\n", "x").await.body, "x");
}

#[tokio::test]
async fn who_does_not_read_a_stream_holds_it_up_and_is_disconnected() {
    let made = Arc::new(AtomicUsize::new(0));
    let source = Source::new();
    let (counter, watched) = (Arc::clone(&made), source.procedure("watch"));
    let endless = Procedure::server_stream("endless", move |_| {
        let counter = Arc::clone(&counter);
        let messages = futures_util::stream::repeat_with(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            Ok(vec![b'x'; 16 * 1_024].into())
        });
        std::future::ready(Ok(Response::new(Messages::stream(messages))))
    });
    let limits = Limits {
        stall: Duration::from_millis(100),
        ..Limits::default()
    };
    let builder = Dispatcher::builder("pets")
        .procedure(endless)
        .procedure(watched);
    let inbound = HttpInbound::new(any_port()).limits(limits);
    let rig = Rig::of(builder, inbound).await;
    let silent = Listener::get(&rig, "watch", "").await;
    let client = Listener::get(&rig, "endless", "").await;
    // It drains when the stream has ended, which no reader does here.
    let handle = rig.handle.clone();
    let draining = tokio::spawn(async move { handle.drain().await });
    source.end();
    silent.rest().await;
    within(draining)
        .await
        .unwrap()
        .expect("it was disconnected");
    let made = made.load(Ordering::Relaxed) * 16 * 1_024;
    assert!(made < 64 << 20, "no more is made than sockets hold: {made}");
    drop(client);
}

/// A server that says `text` to each connection, and no more.
async fn saying(text: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        let mut kept = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            let mut head = [0; 4_096];
            let read = stream.read(&mut head).await;
            assert_ne!(read.expect("a request"), 0);
            stream.write_all(text.as_bytes()).await.expect("it reads");
            kept.push(stream);
        }
    });
    url
}

async fn called(url: &str, shape: Shape) -> Result<Response, dispatcher::RpcError> {
    let pets = HttpOutbound::new("pets", url).expect("a URL");
    let builder = Dispatcher::builder("shop").outbound(pets);
    let rig = Rig::of(builder, HttpInbound::new(any_port())).await;
    let mut request = Request::new("any", "");
    request
        .meta
        .limit(Instant::now(), Duration::from_millis(200));
    rig.out("pets", shape, request).await
}

#[tokio::test]
async fn an_upstream_that_says_too_much_or_too_little_holds_no_call_up() {
    let filler = "x".repeat(128 * 1_024);
    for (text, code) in [
        (String::new(), Code::DeadlineExceeded),
        ("HTTP/1.1 200 OK\r\n".to_owned(), Code::DeadlineExceeded),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab".to_owned(),
            Code::DeadlineExceeded,
        ),
        (
            format!("HTTP/1.1 200 OK\r\nX-Filler: {filler}\r\n\r\n"),
            Code::Unavailable,
        ),
        (
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-Filler: x\r\n".repeat(101)),
            Code::Unavailable,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz".to_owned(),
            Code::Unavailable,
        ),
    ] {
        let url = saying(text.clone()).await;
        let error = called(&url, Shape::Unary).await.unwrap_err();
        assert_eq!(error.code, code, "{text:.60}");
    }
}

#[tokio::test]
async fn a_document_of_an_error_is_read_up_to_its_limit() {
    let large = "x".repeat(65 * 1_024);
    let body = format!("{{\"status\":\"NOT_FOUND\",\"message\":\"{large}\"}}");
    let text = format!(
        "HTTP/1.1 409 Oh\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let error = called(&saying(text).await, Shape::Unary).await.unwrap_err();
    assert_eq!(error.code, Code::Aborted);
    assert_eq!(error.message, "the upstream answered with status 409");
}

#[tokio::test]
async fn many_calls_at_the_same_time_go_through_and_leave_nothing_behind() {
    let upstream = Rig::started([echo("unary-echo")]).await;
    for http2 in [false, true] {
        let pets = HttpOutbound::new("pets", &upstream.url()).expect("a URL");
        let pets = if http2 { pets.http2() } else { pets };
        let builder = Dispatcher::builder("front")
            .outbound(pets)
            .procedure(dispatcher::Relay::to("pets").procedure(Shape::Unary, "unary-*"));
        let front = Arc::new(Rig::of(builder, HttpInbound::new(any_port())).await);
        let mut calls = tokio::task::JoinSet::new();
        for number in 0..200 {
            let front = Arc::clone(&front);
            calls.spawn(async move {
                let text = number.to_string();
                let answer = front.ask("Rpc-Procedure: unary-echo\r\n", &text).await;
                assert_eq!((answer.status, answer.body), (200, text));
            });
        }
        while let Some(ended) = within(calls.join_next()).await {
            ended.expect("each has its own answer");
        }
        let report = within(front.dispatcher.stop())
            .await
            .expect("nothing is open");
        assert!(report.is_clean(), "{report:?}");
    }
}
