//! Server streams as server-sent events: in, out, and passed on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dispatcher::{
    Code, Dispatcher, HttpInbound, HttpOutbound, Messages, Outbound, Procedure, Request, Response,
    RpcError, Shape,
};
use lifecycle_core::Retry;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;

use crate::kit::{Source, echo};
use crate::rig::{Listener, Rig, any_port, within};

const SHAPES: &[Shape] = &[Shape::ServerStream];

fn gone() -> RpcError {
    RpcError::new(Code::NotFound, "it is\ngone")
        .with_reason("pets.gone")
        .with_metadata("pet", "Blacky")
}

/// The event of it.
const GONE: &str = "event: error\ndata: {\"message\":\"it is\\ngone\",\"status\":\"NOT_FOUND\",\
                    \"code\":\"pets.gone\",\"metadata\":{\"pet\":\"Blacky\"}}\n\n";

#[tokio::test]
async fn a_stream_is_answered_with_an_event_a_message_as_they_come() {
    let source = Source::new();
    let rig = Rig::started([source.procedure("watch")]).await;
    let mut client = Listener::get(&rig, "WATCH", "Rpc-Encoding: json\r\n").await;
    let head = client.hear("\r\n\r\n").await.to_lowercase();
    assert!(head.starts_with("http/1.1 200"), "{head}");
    for header in [
        "content-type: text/event-stream",
        "cache-control: no-cache",
        "x-accel-buffering: no",
        "rpc-encoding: json",
        "rpc-transport: http",
        "x-mood: good",
        "transfer-encoding: chunked",
    ] {
        assert!(head.lines().any(|it| it == header), "{header} in {head}");
    }
    source.send("{\n}");
    client.hear("data: {\ndata: }\n\n").await;
    source.send("a\rb");
    client.hear("data: YQ1i\nencoding: base64\n\n").await;
    source.end();
    assert!(client.rest().await.ends_with("\r\n0\r\n\r\n"));
}

#[tokio::test]
async fn an_error_is_the_last_event() {
    let source = Source::new();
    let rig = Rig::started([source.procedure("watch")]).await;
    let mut client = Listener::get(&rig, "watch", "Rpc-Encoding: text\r\n").await;
    source.send("a");
    source.fail(gone());
    source.send("b");
    client.hear("data: a\n\n").await;
    let rest = client.rest().await;
    assert!(rest.contains(GONE), "{rest}");
    assert!(!rest.contains("data: b"), "{rest}");
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
    within(source.dropped()).await;
}

#[tokio::test]
async fn a_panic_in_a_stream_is_told_without_its_text() {
    let panicking = Procedure::server_stream("panic", async |_| {
        let mut said = false;
        let messages = futures_util::stream::poll_fn(move |_| {
            assert!(!std::mem::replace(&mut said, true), "hunter2");
            std::task::Poll::Ready(Some(Ok("a".into())))
        });
        Ok(Response::new(Messages::stream(messages)))
    });
    let rig = Rig::started([panicking]).await;
    let mut client = Listener::get(&rig, "panic", "Rpc-Encoding: text\r\n").await;
    client.hear("data: a\n\n").await;
    let rest = client.rest().await;
    assert!(rest.contains("event: error\n"), "{rest}");
    assert!(rest.contains("\"status\":\"INTERNAL\""), "{rest}");
    assert!(!rest.contains("hunter2"), "{rest}");
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "it ends in order: {rest}");
}

#[tokio::test]
async fn a_stream_ends_at_its_deadline_also_when_its_messages_never_do() {
    let endless = Procedure::server_stream("endless", async |_| {
        let messages = futures_util::stream::repeat_with(|| Ok("a".into()));
        Ok(Response::new(Messages::stream(messages)))
    });
    let source = Source::new();
    let rig = Rig::started([endless, source.procedure("silent")]).await;
    for procedure in ["endless", "silent"] {
        let client = Listener::get(&rig, procedure, "Rpc-Ttl-Ms: 50\r\n").await;
        let heard = client.rest().await;
        assert!(
            heard.contains("\"status\":\"DEADLINE_EXCEEDED\""),
            "{procedure}"
        );
        assert!(heard.ends_with("\r\n0\r\n\r\n"), "{procedure}");
    }
    within(source.dropped()).await;
}

#[tokio::test]
async fn a_silent_stream_says_that_it_is_still_there() {
    let source = Source::new();
    let builder = Dispatcher::builder("pets").procedure(source.procedure("watch"));
    let inbound = HttpInbound::new(any_port()).keep_alive(Duration::from_millis(10));
    let rig = Rig::of(builder, inbound).await;
    let mut client = Listener::get(&rig, "watch", "Rpc-Encoding: text\r\n").await;
    client.hear(": keep-alive\n\n").await;
    client.hear(": keep-alive\n\n").await;
    source.send("a");
    client.hear("data: a\n\n").await;
    client.hear(": keep-alive\n\n").await;
}

#[tokio::test]
async fn who_goes_away_gives_the_stream_up() {
    let source = Source::new();
    let rig = Rig::started([source.procedure("watch")]).await;
    let mut client = Listener::get(&rig, "watch", "").await;
    client.hear("\r\n\r\n").await;
    drop(client);
    within(source.dropped()).await;
}

#[tokio::test]
async fn a_stream_can_be_asked_for_with_a_message() {
    let source = Source::new();
    let rig = Rig::started([source.procedure("watch"), echo("watch")]).await;
    let post = |accept: &str| {
        format!(
            "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: watch\r\nRpc-Encoding: text\r\n{accept}\
             Connection: close\r\nContent-Length: 4\r\n\r\ncats"
        )
    };
    let one = rig.write(post("").as_bytes()).await;
    assert_eq!((one.status, &*one.body), (200, "cats"));
    let accept = "Accept: application/json;q=0.1, Text/Event-Stream;q=0.9\r\n";
    let mut client = Listener::ask(&rig, &post(accept)).await;
    client.hear("data: cats\n\n").await;
    source.end();
    client.rest().await;
}

#[tokio::test]
async fn who_asks_for_a_stream_in_the_wrong_way_is_told_so() {
    let failing = Procedure::server_stream("failing", async |_| Err(gone()));
    let rig = Rig::started([failing, echo("echo")]).await;
    let get = async |head: &str| {
        let text = format!("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}\r\n");
        rig.write(text.as_bytes()).await
    };
    let answer = get("Rpc-Procedure: failing\r\nAccept: */*\r\n").await;
    assert_eq!(answer.status, 406);
    assert_eq!(answer.header("rpc-status"), Some("INVALID_ARGUMENT"));
    let accept = "Accept: text/event-stream\r\n";
    for head in ["", accept] {
        let answer = get(head).await;
        assert_eq!((answer.status, answer.code()), (400, Code::InvalidArgument));
    }
    let answer = get(&format!("{accept}Rpc-Procedure: echo\r\n")).await;
    assert_eq!((answer.status, answer.code()), (501, Code::Unimplemented));
    let answer = get(&format!("{accept}Rpc-Procedure: failing\r\n")).await;
    assert_eq!((answer.status, answer.code()), (404, Code::NotFound));
}

#[tokio::test]
async fn contract_58_an_open_stream_finishes_while_new_ones_are_refused() {
    let source = Source::new();
    let rig = Rig::started([source.procedure("watch")]).await;
    let mut client = Listener::get(&rig, "watch", "Rpc-Encoding: text\r\n").await;
    client.hear("\r\n\r\n").await;
    let handle = rig.handle.clone();
    let draining = tokio::spawn(async move { handle.drain().await });
    within(async { while rig.ask("", "").await.status != 503 {} }).await;
    let refused = Listener::get(&rig, "watch", "")
        .await
        .rest()
        .await
        .to_lowercase();
    assert!(refused.starts_with("http/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    source.send("a");
    client.hear("data: a\n\n").await;
    assert!(!draining.is_finished(), "a stream is open");
    source.end();
    client.rest().await;
    within(draining).await.unwrap().expect("it is drained");
}

#[tokio::test]
async fn contract_61_a_forced_stop_cuts_streams_off_and_succeeds() {
    let source = Source::new();
    let rig = Rig::started([source.procedure("watch")]).await;
    let mut client = Listener::get(&rig, "watch", "").await;
    client.hear("\r\n\r\n").await;
    let report = within(rig.handle.force()).await.expect("it still succeeds");
    assert!(report.is_clean());
    within(source.dropped()).await;
    let rest = client.rest().await;
    assert!(
        !rest.ends_with("0\r\n\r\n"),
        "it does not look whole: {rest}"
    );
}

/// A dispatcher with a way to `pets` at `url`.
async fn caller(url: &str, configure: impl FnOnce(HttpOutbound) -> HttpOutbound) -> Rig {
    let outbound = configure(HttpOutbound::new("pets", url).expect("a URL"));
    let builder = Dispatcher::builder("shop").outbound(outbound);
    Rig::of(builder, HttpInbound::new(any_port())).await
}

/// A request for a stream of texts.
fn watching(message: &'static str) -> Request {
    let mut request = Request::new("watch", message);
    request.meta.encoding = Some("text".to_owned());
    request
}

async fn next(response: &mut Response) -> Option<Result<String, RpcError>> {
    let next = within(response.messages.next()).await?;
    Some(next.map(|it| String::from_utf8_lossy(&it).into_owned()))
}

#[tokio::test]
async fn messages_come_one_by_one_over_both_versions_whatever_was_asked_with() {
    for (http2, message) in [(false, ""), (true, ""), (false, "cats"), (true, "cats")] {
        let source = Source::new();
        let upstream = Rig::started([source.procedure("watch")]).await;
        let with = |it: HttpOutbound| if http2 { it.http2() } else { it };
        let rig = caller(&upstream.url(), with).await;
        let called = rig
            .out("pets", Shape::ServerStream, watching(message))
            .await;
        let mut response = called.expect("it begins");
        assert_eq!(response.encoding.as_deref(), Some("text"));
        assert_eq!(response.headers.first("x-mood"), Some("good"));
        if !message.is_empty() {
            assert_eq!(next(&mut response).await, Some(Ok(message.to_owned())));
        }
        for text in ["a", "", "two\nlines", "ret\rurn"] {
            source.send(text);
            assert_eq!(next(&mut response).await, Some(Ok(text.to_owned())));
        }
        source.end();
        assert_eq!(next(&mut response).await, None);
        assert_eq!(next(&mut response).await, None);
    }
}

#[tokio::test]
async fn contract_65_an_error_comes_back_by_name_before_and_in_the_middle() {
    let failing = Procedure::server_stream("failing", async |_| Err(gone()));
    let source = Source::new();
    let upstream = Rig::started([failing, source.procedure("watch")]).await;
    let rig = caller(&upstream.url(), |it| it).await;
    let request = Request::new("failing", "");
    let refused = rig.out("pets", Shape::ServerStream, request).await;
    assert_eq!(refused.unwrap_err(), gone());
    let called = rig.out("pets", Shape::ServerStream, watching("")).await;
    let mut response = called.expect("it begins");
    source.send("a");
    source.fail(gone());
    assert_eq!(next(&mut response).await, Some(Ok("a".to_owned())));
    assert_eq!(next(&mut response).await, Some(Err(gone())));
    assert_eq!(next(&mut response).await, None);
}

#[tokio::test]
async fn a_stream_that_breaks_off_or_is_none_is_an_error() {
    const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
    const LARGE: &str = "data: a\n\ndata: 12345678901\n\n";
    for (body, code) in [
        (
            "Transfer-Encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n",
            Code::Unavailable,
        ),
        (
            "Connection: close\r\n\r\ndata: a\n\ndata: b\n",
            Code::Unavailable,
        ),
        (
            &*format!("Connection: close\r\n\r\n{LARGE}"),
            Code::ResourceExhausted,
        ),
        (
            "Connection: close\r\n\r\ndata: a\n\ndata: %\nencoding: base64\n\n",
            Code::Internal,
        ),
    ] {
        let url = answering(format!("{EVENTS}{body}")).await;
        let rig = caller(&url, |it| it.body_bytes(10)).await;
        let called = rig.out("pets", Shape::ServerStream, watching("")).await;
        let mut response = called.expect("it begins");
        assert_eq!(
            next(&mut response).await,
            Some(Ok("a".to_owned())),
            "{body}"
        );
        let error = next(&mut response).await.expect("an error").unwrap_err();
        assert_eq!(error.code, code, "{body}");
        assert_eq!(next(&mut response).await, None);
    }
    let one = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
    let rig = caller(&answering(one.to_owned()).await, |it| it).await;
    let error = rig.out("pets", Shape::ServerStream, watching("")).await;
    let error = error.unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert_eq!(
        error.reason.as_deref(),
        Some("dispatcher.http.stream_expected")
    );
}

/// A server that answers each connection with `answer` and closes it.
async fn answering(answer: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("it is bound"));
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.expect("it accepts");
            let mut head = [0; 4_096];
            let read = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await;
            assert_ne!(read.expect("a request"), 0);
            stream.write_all(answer.as_bytes()).await.expect("it reads");
        }
    });
    url
}

#[tokio::test]
async fn a_stream_is_given_up_at_its_deadline_and_when_nobody_listens() {
    for http2 in [false, true] {
        let with = |it: HttpOutbound| if http2 { it.http2() } else { it };
        for has_deadline in [true, false] {
            let source = Source::new();
            let upstream = Rig::started([source.procedure("watch")]).await;
            let rig = caller(&upstream.url(), with).await;
            let mut request = watching("");
            if has_deadline {
                let short = Duration::from_millis(100);
                request.meta.limit(Instant::now(), short);
            }
            let called = rig.out("pets", Shape::ServerStream, request).await;
            let mut response = called.expect("it begins");
            source.send("a");
            assert_eq!(next(&mut response).await, Some(Ok("a".to_owned())));
            if has_deadline {
                let error = next(&mut response).await.expect("an error").unwrap_err();
                assert_eq!(error.code, Code::DeadlineExceeded);
            }
            drop(response);
            within(source.dropped()).await;
        }
    }
}

#[tokio::test]
async fn a_stream_without_a_deadline_has_its_time_to_begin_and_no_end() {
    let never = Procedure::server_stream("never", async |_| std::future::pending().await);
    let source = Source::new();
    let upstream = Rig::started([never, source.procedure("watch")]).await;
    let short = Duration::from_millis(100);
    let rig = caller(&upstream.url(), |it| it.timeout(short)).await;
    let called = rig.out("pets", Shape::ServerStream, watching("")).await;
    let mut response = called.expect("it begins");
    // It takes the time that the open stream would have had, too.
    let request = Request::new("never", "");
    let error = rig.out("pets", Shape::ServerStream, request).await;
    assert_eq!(error.unwrap_err().code, Code::DeadlineExceeded);
    source.send("late");
    assert_eq!(next(&mut response).await, Some(Ok("late".to_owned())));
}

#[tokio::test]
async fn a_stop_waits_for_open_streams_and_a_forced_one_cuts_them_off() {
    for (forced, http2) in [(false, false), (false, true), (true, false), (true, true)] {
        let source = Source::new();
        let upstream = Rig::started([source.procedure("watch")]).await;
        let with = |it: HttpOutbound| if http2 { it.http2() } else { it };
        let rig = Arc::new(caller(&upstream.url(), with).await);
        let called = rig.out("pets", Shape::ServerStream, watching("")).await;
        let mut response = called.expect("it begins");
        if forced {
            let report = within(rig.handle.force()).await.expect("it still succeeds");
            assert!(report.is_clean());
            let error = next(&mut response).await.expect("an error").unwrap_err();
            assert_eq!(
                error.reason.as_deref(),
                Some("dispatcher.outbound.interrupted")
            );
            within(source.dropped()).await;
            continue;
        }
        let stopping = Arc::clone(&rig);
        let stopping = tokio::spawn(async move { stopping.dispatcher.stop().await });
        within(async {
            let other = || rig.out("pets", Shape::ServerStream, Request::new("other", ""));
            let refused = Some("dispatcher.outbound.not_started");
            while other().await.unwrap_err().reason.as_deref() != refused {}
        })
        .await;
        source.send("a");
        assert_eq!(next(&mut response).await, Some(Ok("a".to_owned())));
        assert!(!stopping.is_finished(), "a stream is open");
        source.end();
        assert_eq!(next(&mut response).await, None);
        within(stopping).await.unwrap().expect("it ended by itself");
    }
}

#[tokio::test]
async fn a_stream_that_nobody_reads_holds_no_stop_up_beyond_its_time() {
    let source = Source::new();
    let upstream = Rig::started([source.procedure("watch")]).await;
    let pets = HttpOutbound::new("pets", &upstream.url()).expect("a URL");
    let limit = Retry::none().with_attempt_timeout(Duration::from_millis(400));
    let pets = Outbound::from(pets).stop_retry(limit);
    let builder = Dispatcher::builder("shop").outbound(pets);
    let rig = Rig::of(builder, HttpInbound::new(any_port())).await;
    let called = rig.out("pets", Shape::ServerStream, watching("")).await;
    let mut response = called.expect("it begins");
    let report = within(rig.dispatcher.stop()).await.expect("in time");
    assert!(report.is_clean(), "{report:?}");
    within(source.dropped()).await;
    let error = next(&mut response).await.expect("an error").unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
}

#[tokio::test]
async fn a_relay_passes_each_message_on_as_it_comes_and_the_error_too() {
    for message in ["", "cats"] {
        let source = Source::new();
        let upstream = Rig::started([source.procedure("stream-watch")]).await;
        let front = Rig::before(&upstream.url(), SHAPES).await;
        let post = format!(
            "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: stream-watch\r\nRpc-Encoding: text\r\n\
             Accept: text/event-stream\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{message}",
            message.len()
        );
        let mut client = Listener::ask(&front, &post).await;
        let head = client.hear("\r\n\r\n").await.to_lowercase();
        assert!(head.contains("content-type: text/event-stream"), "{head}");
        assert!(head.contains("x-mood: good"), "{head}");
        if !message.is_empty() {
            client.hear("data: cats\n\n").await;
        }
        // Each is heard before the next one is there.
        for text in ["a", "b", "c"] {
            source.send(text);
            client.hear(&format!("data: {text}\n\n")).await;
        }
        source.fail(gone());
        let rest = client.rest().await;
        assert!(rest.contains(GONE), "{rest}");
        assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
    }
}

#[tokio::test]
async fn a_relayed_stream_is_given_up_all_the_way_and_its_upstream_may_die() {
    let source = Source::new();
    let upstream = Rig::started([source.procedure("stream-watch")]).await;
    let front = Rig::before(&upstream.url(), SHAPES).await;
    let mut client = Listener::get(&front, "stream-watch", "").await;
    client.hear("\r\n\r\n").await;
    drop(client);
    within(source.dropped()).await;

    let source = Source::new();
    let upstream = Rig::started([source.procedure("stream-watch")]).await;
    let front = Rig::before(&upstream.url(), SHAPES).await;
    let mut client = Listener::get(&front, "stream-watch", "").await;
    client.hear("\r\n\r\n").await;
    within(upstream.handle.force()).await.expect("it stops");
    let rest = client.rest().await;
    assert!(rest.contains("\"status\":\"UNAVAILABLE\""), "{rest}");
    assert!(rest.contains("dispatcher.outbound.interrupted"), "{rest}");
    assert!(rest.ends_with("\r\n0\r\n\r\n"), "{rest}");
}
