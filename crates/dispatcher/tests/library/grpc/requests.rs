//! What of a request reaches a procedure, and what does not.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dispatcher::{Code, GrpcInbound, Procedure, Request, Response, RpcError};
use futures_util::{StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, oneshot};

use super::client::text;
use super::{Dropped, Rig, of_every_shape};
use crate::kit::echo;

#[tokio::test]
async fn each_shape_carries_as_many_messages_as_it_says() {
    let rig = Rig::started(of_every_shape()).await;
    let client = rig.client().await;
    for (procedure, sent, expected) in [
        ("echo", &["a b"][..], &["a b"][..]),
        ("note", &["a b"], &[""]),
        ("split", &["a b"], &["a", "b"]),
        ("join", &["a", "b"], &["a b"]),
        ("join", &[], &[""]),
        ("mirror", &["a", "b"], &["a", "b"]),
        ("mirror", &[], &[]),
    ] {
        let answer = client.call(&format!("/pets/{procedure}"), &[], sent).await;
        let answer = answer.unwrap();
        assert_eq!(answer.messages, expected, "{procedure}");
        assert_eq!(text(&answer.trailers, "omnirelay-status"), Some("OK"));
        assert_eq!(text(&answer.trailers, "omnirelay-transport"), Some("grpc"));
    }
    rig.dispatcher.stop().await.unwrap();
}

#[tokio::test]
async fn both_ways_of_a_duplex_call_go_on_at_the_same_time() {
    let rig = Rig::started(of_every_shape()).await;
    let (sender, receiver) = mpsc::unbounded_channel();
    let receiver = stream::unfold(receiver, async |mut it: mpsc::UnboundedReceiver<Bytes>| {
        Some((it.recv().await?, it))
    });
    let answer = rig.client().await.open("/pets/mirror", &[], receiver).await;
    let mut answers = answer.unwrap().into_inner();
    // Each is sent only when the one before has come back.
    for text in ["a", "b", "c"] {
        sender.send(Bytes::from(text)).unwrap();
        assert_eq!(answers.message().await.unwrap().unwrap(), text);
    }
    drop(sender);
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test]
async fn aliases_wildcards_and_what_is_registered_late_are_found_on_an_open_connection() {
    let rig = Rig::started([echo("echo").alias("say"), echo("v1::*")]).await;
    let client = rig.client().await;
    for path in [
        "/pets/echo",
        "/PETS/Say",
        "/pets/v1::any/thing",
        "/pets/%65cho",
    ] {
        assert_eq!(client.unary(path, "x").await.unwrap(), "x", "{path}");
    }
    let missing = client.unary("/pets/late", "x").await.unwrap_err();
    assert_eq!(missing.code(), tonic::Code::Unimplemented);
    rig.dispatcher.register(echo("late")).unwrap();
    assert_eq!(client.unary("/pets/late", "x").await.unwrap(), "x");
}

#[tokio::test]
async fn a_caller_may_say_which_shape_it_means() {
    let split = async |_| Ok(Response::new(crate::kit::stream(&["a", "b"])));
    let rig = Rig::started([echo("same"), Procedure::server_stream("same", split)]).await;
    let client = rig.client().await;
    for (metadata, expected) in [
        (&[][..], &["a", "b"][..]),
        (&[("rpc-shape", "unary")], &["x"]),
        (&[("rpc-shape", "stream")], &["a", "b"]),
        // There is none; the best find carries it.
        (&[("rpc-shape", "duplex")], &["a", "b"]),
    ] {
        let answer = client.call("/pets/same", metadata, &["x"]).await.unwrap();
        assert_eq!(answer.messages, expected);
    }
}

#[tokio::test]
async fn metadata_reaches_the_procedure_and_comes_back() {
    let seen: Arc<Mutex<Vec<dispatcher::Meta>>> = Arc::default();
    let told = Arc::clone(&seen);
    let procedure = Procedure::unary("note", move |request: Request| {
        let mut response = Response::message("");
        for (name, value) in [("x-own", "1"), ("x-own", "2"), ("grpc-status", "7")] {
            response.headers.append(name, value).unwrap();
        }
        told.lock().unwrap().push(request.meta);
        std::future::ready(Ok(response))
    });
    let rig = Rig::started([procedure.encoding("json")]).await;
    let metadata = [
        ("rpc-caller", "shop"),
        ("rpc-shard-key", "s"),
        ("rpc-routing-key", "r"),
        ("rpc-routing-delegate", "d"),
        ("x-tenant", "blue"),
        ("grpc-timeout", "1H"),
    ];
    let answer = rig
        .client()
        .await
        .call("/pets/note", &metadata, &["x"])
        .await;
    let answer = answer.unwrap();
    let own: Vec<_> = answer.metadata.get_all("x-own").iter().collect();
    assert_eq!(own, ["1", "2"]);
    assert_eq!(text(&answer.metadata, "rpc-encoding"), Some("json"));
    assert_eq!(text(&answer.trailers, "omnirelay-encoding"), Some("json"));
    let meta = seen.lock().unwrap().remove(0);
    assert_eq!(
        (meta.service.as_deref(), &*meta.procedure),
        (Some("pets"), "note")
    );
    assert_eq!(meta.caller.as_deref(), Some("shop"));
    assert_eq!(meta.shard_key.as_deref(), Some("s"));
    assert_eq!(meta.routing_key.as_deref(), Some("r"));
    assert_eq!(meta.routing_delegate.as_deref(), Some("d"));
    assert_eq!(meta.encoding.as_deref(), Some("json"));
    assert_eq!(meta.headers.first("x-tenant"), Some("blue"));
    assert_eq!(meta.headers.first("grpc-timeout"), None);
    let left = meta.time_left(Instant::now()).expect("a deadline");
    assert!(left > Duration::from_mins(59), "{left:?}");
}

#[tokio::test]
async fn as_many_messages_as_the_shape_has_or_it_is_refused() {
    let rig = Rig::started(of_every_shape()).await;
    let client = rig.client().await;
    for procedure in ["echo", "note", "split"] {
        for sent in [&[][..], &["a", "b"]] {
            let refused = client.call(&format!("/pets/{procedure}"), &[], sent).await;
            let refused = refused.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::InvalidArgument, "{procedure}");
        }
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_is_resource_exhausted_in_every_shape() {
    let rig = Rig::started_with(of_every_shape(), |it| it.message_bytes(10)).await;
    let client = rig.client().await;
    for procedure in ["echo", "note", "split", "join", "mirror"] {
        let path = format!("/pets/{procedure}");
        let exact = client.call(&path, &[], &["0123456789"]).await;
        assert!(exact.is_ok(), "{procedure}");
        let refused = client.call(&path, &[], &["0123456789a"]).await.unwrap_err();
        assert_eq!(
            refused.code(),
            tonic::Code::ResourceExhausted,
            "{procedure}"
        );
        let status = text(refused.metadata(), "omnirelay-status");
        assert_eq!(status, Some("RESOURCE_EXHAUSTED"));
    }
}

#[tokio::test]
async fn a_client_that_sends_no_message_is_not_waited_for_for_ever() {
    let short = |it: GrpcInbound| it.message_timeout(Duration::from_millis(50));
    let rig = Rig::started_with([echo("echo")], short).await;
    let client = rig.client().await;
    let answer = client.open("/pets/echo", &[], stream::pending()).await;
    let refused = answer.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::DeadlineExceeded);
}

#[tokio::test]
async fn at_its_deadline_a_call_is_given_up_and_its_handler_dropped() {
    let dropped = Arc::new(Notify::new());
    let told = Arc::clone(&dropped);
    let hang = move |_| {
        let guard = Dropped(Arc::clone(&told));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    };
    let rig = Rig::started([Procedure::unary("hang", hang)]).await;
    let client = rig.client().await;
    // Not by `grpc-timeout`: the client gives up by that itself.
    let late = [("rpc-deadline", "2026-01-01T00:00:00Z")];
    let late = client.call("/pets/hang", &late, &[""]).await;
    assert_eq!(late.unwrap_err().code(), tonic::Code::DeadlineExceeded);
    // Long enough for the handler to be called.
    let short = [("rpc-ttl-ms", "500")];
    let late = client.call("/pets/hang", &short, &[""]).await;
    assert_eq!(late.unwrap_err().code(), tonic::Code::DeadlineExceeded);
    dropped.notified().await;
}

#[tokio::test]
async fn at_its_deadline_an_answer_that_has_begun_ends_with_an_error() {
    let dropped = Arc::new(Notify::new());
    let told = Arc::clone(&dropped);
    let drip = move |_| {
        let guard = Dropped(Arc::clone(&told));
        let first = stream::iter([Ok(Bytes::from("a"))]);
        let rest = stream::pending().map(move |it| {
            let _guard = &guard;
            it
        });
        let messages = dispatcher::Messages::stream(first.chain(rest));
        std::future::ready(Ok(Response::new(messages)))
    };
    let rig = Rig::started([Procedure::server_stream("drip", drip)]).await;
    let client = rig.client().await;
    let timeout = [("grpc-timeout", "50m")];
    let answer = client
        .open("/pets/drip", &timeout, stream::iter([Bytes::new()]))
        .await;
    let mut messages = answer.unwrap().into_inner();
    assert_eq!(messages.message().await.unwrap().unwrap(), "a");
    let late = messages.message().await.unwrap_err();
    assert_eq!(late.code(), tonic::Code::DeadlineExceeded);
    dropped.notified().await;
}

#[tokio::test]
async fn who_gives_up_a_call_ends_its_handler_and_its_messages() {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begun, told) = (Arc::clone(&entered), Arc::clone(&dropped));
    let hang = move |_| {
        let guard = Dropped(Arc::clone(&told));
        begun.notify_one();
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    };
    let rig = Rig::started([Procedure::unary("hang", hang)]).await;
    let client = rig.client().await;
    let call = tokio::spawn(async move { client.unary("/pets/hang", "").await });
    entered.notified().await;
    call.abort();
    dropped.notified().await;
}

#[tokio::test]
async fn messages_that_were_broken_off_are_an_error_and_not_an_end() {
    let (send, ended) = oneshot::channel();
    let send = Arc::new(Mutex::new(Some(send)));
    let entered = Arc::new(Notify::new());
    let begun = Arc::clone(&entered);
    // It reads on although nobody waits for its answer any more.
    let read = move |mut request: Request| {
        let send = send.lock().unwrap().take();
        let begun = Arc::clone(&begun);
        let reading = tokio::spawn(async move {
            let first = request.messages.next().await;
            begun.notify_one();
            let last = request.messages.next().await;
            let _ = send.expect("one call").send((first, last));
        });
        async move {
            let _ = reading.await;
            Ok(Response::message(""))
        }
    };
    let rig = Rig::started([Procedure::client_stream("read", read)]).await;
    let client = rig.client().await;
    let messages = stream::iter([Bytes::from("a")]).chain(stream::pending());
    let call =
        tokio::spawn(async move { client.open("/pets/read", &[], messages).await.map(drop) });
    entered.notified().await;
    call.abort();
    let (first, last): (_, Option<Result<Bytes, RpcError>>) = ended.await.unwrap();
    assert_eq!(first, Some(Ok(Bytes::from("a"))));
    let error = last.expect("not its end").unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
}

#[tokio::test]
async fn what_contradicts_itself_or_cannot_be_read_is_refused() {
    let rig = Rig::started([echo("echo")]).await;
    let client = rig.client().await;
    for metadata in [
        ("rpc-procedure", "other"),
        ("rpc-service", "plants"),
        ("rpc-shape", "round"),
        ("grpc-timeout", "soon"),
    ] {
        let refused = client.call("/pets/echo", &[metadata], &["x"]).await;
        assert_eq!(refused.unwrap_err().code(), tonic::Code::InvalidArgument);
    }
    let refused = client.unary("/pets/", "x").await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
    assert_eq!(
        text(refused.metadata(), "omnirelay-error-code"),
        Some("dispatcher.procedure.missing")
    );
}

#[tokio::test]
async fn what_is_no_grpc_call_is_refused_in_http() {
    let rig = Rig::started([echo("echo")]).await;
    let mut connection = TcpStream::connect(rig.address()).await.unwrap();
    let head = "POST /pets/echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\n\
                Content-Length: 0\r\nConnection: close\r\n\r\n";
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
}
