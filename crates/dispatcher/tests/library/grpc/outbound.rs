//! Calls to another service, mostly to our own inbound.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dispatcher::{
    Code, Dispatcher, GrpcOutbound, Messages, Meta, Procedure, Request, Response, RpcError, Shape,
};
use futures_util::{StreamExt as _, stream};
use lifecycle_adapters::HttpServer;
use lifecycle_core::Registration;
use lifecycle_core::engine::ComponentState;
use lifecycle_runtime::{Handle, Orchestrator};
use lifecycle_testkit::conformance::{Check, Suite};
use tokio::sync::{Notify, oneshot};
use tower::ServiceExt as _;

use super::{Dropped, Rig, held, of_every_shape};
use crate::kit::{built, echo, stream as stream_of, texts};

/// A dispatcher with a way to `pets`.
struct Caller {
    dispatcher: Dispatcher,
    handle: Handle,
}

impl Caller {
    async fn of(address: impl ToString) -> Self {
        Self::with(address, |it| it).await
    }

    async fn with(
        address: impl ToString,
        configure: impl FnOnce(GrpcOutbound) -> GrpcOutbound,
    ) -> Self {
        let outbound = GrpcOutbound::new("pets", &address.to_string()).expect("an address");
        let caller = Self::unstarted(configure(outbound));
        caller.dispatcher.start().await.expect("nothing can fail");
        caller
    }

    fn unstarted(outbound: GrpcOutbound) -> Self {
        let (dispatcher, registrations) = built(Dispatcher::builder("shop").outbound(outbound));
        let mut builder = Orchestrator::builder();
        builder.registrations(registrations);
        let handle = builder.build().expect("a sound setup").spawn();
        let dispatcher = dispatcher.driven_by(handle.clone());
        Self { dispatcher, handle }
    }

    async fn call(&self, shape: Shape, request: Request) -> Result<Response, RpcError> {
        let way = self
            .dispatcher
            .outbound("pets", None, shape)
            .expect("a way");
        let called = tokio::time::timeout(Duration::from_secs(20), way.oneshot(request)).await;
        called.expect("within the deadline")
    }

    async fn unary(&self, procedure: &str, message: &'static str) -> Result<Bytes, RpcError> {
        let request = Request::new(procedure, message);
        self.call(Shape::Unary, request).await?.into_message().await
    }
}

fn streamed(procedure: &str, messages: Messages) -> Request {
    Request {
        meta: Meta::new(procedure),
        messages,
    }
}

#[tokio::test]
async fn each_shape_is_carried() {
    let rig = Rig::started(of_every_shape()).await;
    let caller = Caller::of(rig.address()).await;
    for (shape, request, expected) in [
        (Shape::Unary, Request::new("echo", "a b"), "a b"),
        (Shape::Oneway, Request::new("note", "a b"), ""),
        (Shape::ServerStream, Request::new("split", "a b"), "a b"),
        (
            Shape::ClientStream,
            streamed("join", stream_of(&["a", "b"])),
            "a b",
        ),
        (
            Shape::Duplex,
            streamed("mirror", stream_of(&["a", "b"])),
            "a b",
        ),
    ] {
        let response = caller.call(shape, request).await.unwrap();
        assert_eq!(response.messages.is_stream(), shape.streams_responses());
        assert_eq!(texts(response.messages).await.unwrap(), expected, "{shape}");
    }
    caller.dispatcher.stop().await.unwrap();
}

#[tokio::test]
async fn what_was_sent_arrives_and_what_was_answered_comes_back() {
    let seen: Arc<Mutex<Vec<Meta>>> = Arc::default();
    let told = Arc::clone(&seen);
    let note = Procedure::unary("fütter / alle", move |request: Request| {
        told.lock().unwrap().push(request.meta);
        let mut response = Response::message("done");
        response.headers.append("x-own", "1").unwrap();
        response.encoding = Some("text".to_owned());
        std::future::ready(Ok(response))
    });
    let rig = Rig::started([note]).await;
    let caller = Caller::of(rig.address()).await;
    let mut request = Request::new("fütter / alle", "x");
    request.meta.caller = Some("shop".to_owned());
    request.meta.shard_key = Some("s".to_owned());
    request.meta.encoding = Some("json".to_owned());
    request.meta.headers.append("x-tenant", "blue").unwrap();
    request.meta.limit(Instant::now(), Duration::from_mins(10));
    let response = caller.call(Shape::Unary, request).await.unwrap();
    assert_eq!(response.headers.first("x-own"), Some("1"));
    assert_eq!(response.encoding.as_deref(), Some("text"));
    let meta = seen.lock().unwrap().remove(0);
    assert_eq!(meta.service.as_deref(), Some("pets"));
    assert_eq!(meta.caller.as_deref(), Some("shop"));
    assert_eq!(meta.shard_key.as_deref(), Some("s"));
    assert_eq!(meta.encoding.as_deref(), Some("json"));
    assert_eq!(meta.headers.first("x-tenant"), Some("blue"));
    let left = meta.time_left(Instant::now()).expect("a deadline");
    assert!(left > Duration::from_mins(9) && left <= Duration::from_mins(10));
}

#[tokio::test]
async fn errors_come_back_whole_by_their_names() {
    let failing = |code: Code| {
        let error = RpcError::new(code, format!("it is {code}: ü"))
            .with_reason("pets.broken")
            .with_metadata("x-pet", "7");
        let fail = move |_| std::future::ready(Err(error.clone()));
        Procedure::unary(code.as_str(), fail)
    };
    let rig = Rig::started(Code::ALL.map(failing)).await;
    let caller = Caller::of(rig.address()).await;
    for code in Code::ALL {
        let error = caller.unary(code.as_str(), "").await.unwrap_err();
        let expected = RpcError::new(code, format!("it is {code}: ü"))
            .with_reason("pets.broken")
            .with_metadata("x-pet", "7");
        assert_eq!(error, expected);
    }
}

#[tokio::test]
async fn an_error_after_messages_comes_after_them() {
    let tear = async |_| {
        let torn = RpcError::new(Code::DataLoss, "torn").with_reason("pets.torn");
        let messages = stream::iter([Ok(Bytes::from("a")), Err(torn)]);
        Ok(Response::new(Messages::stream(messages)))
    };
    let rig = Rig::started([Procedure::server_stream("tear", tear)]).await;
    let caller = Caller::of(rig.address()).await;
    let response = caller
        .call(Shape::ServerStream, Request::new("tear", ""))
        .await;
    let mut messages = response.unwrap().messages;
    assert_eq!(messages.next().await.unwrap().unwrap(), "a");
    let error = messages.next().await.unwrap().unwrap_err();
    assert_eq!(
        error,
        RpcError::new(Code::DataLoss, "torn").with_reason("pets.torn")
    );
    assert_eq!(messages.next().await, None);
}

/// A procedure that never answers, and tells when it has begun and when it is dropped.
fn hanging(shape: Shape, entered: &Arc<Notify>, dropped: &Arc<Notify>) -> Procedure {
    let (entered, dropped) = (Arc::clone(entered), Arc::clone(dropped));
    let hang = move |_| {
        let guard = Dropped(Arc::clone(&dropped));
        entered.notify_one();
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    };
    Procedure::new(shape, "hang", dispatcher::handler_fn(hang))
}

#[tokio::test]
async fn at_its_deadline_a_call_is_given_up_here_and_there() {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let rig = Rig::started([hanging(Shape::Unary, &entered, &dropped)]).await;
    let caller = Caller::of(rig.address()).await;
    let mut request = Request::new("hang", "");
    request
        .meta
        .limit(Instant::now(), Duration::from_millis(500));
    let error = caller.call(Shape::Unary, request).await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded);
    dropped.notified().await;
    let short = |it: GrpcOutbound| it.timeout(Duration::from_millis(500));
    let caller = Caller::with(rig.address(), short).await;
    let error = caller.unary("hang", "").await.unwrap_err();
    assert_eq!(error.code, Code::DeadlineExceeded, "without one of its own");
    dropped.notified().await;
}

#[tokio::test]
async fn a_call_that_is_dropped_is_given_up_at_the_upstream() {
    for shape in [Shape::Unary, Shape::ServerStream] {
        let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let rig = Rig::started([hanging(shape, &entered, &dropped)]).await;
        let caller = Caller::of(rig.address()).await;
        let call =
            tokio::spawn(
                async move { caller.call(shape, Request::new("hang", "")).await.map(drop) },
            );
        entered.notified().await;
        call.abort();
        dropped.notified().await;
    }
}

#[tokio::test]
async fn messages_of_an_answer_that_are_dropped_are_given_up_at_the_upstream() {
    let dropped = Arc::new(Notify::new());
    let told = Arc::clone(&dropped);
    let drip = move |_| {
        let guard = Dropped(Arc::clone(&told));
        let first = stream::iter([Ok(Bytes::from("a"))]);
        let rest = stream::pending().map(move |it| {
            let _guard = &guard;
            it
        });
        std::future::ready(Ok(Response::new(Messages::stream(first.chain(rest)))))
    };
    let rig = Rig::started([Procedure::server_stream("drip", drip)]).await;
    let caller = Caller::of(rig.address()).await;
    let response = caller
        .call(Shape::ServerStream, Request::new("drip", ""))
        .await;
    let mut messages = response.unwrap().messages;
    assert_eq!(messages.next().await.unwrap().unwrap(), "a");
    drop(messages);
    dropped.notified().await;
}

#[tokio::test]
async fn an_error_among_the_messages_breaks_the_call_off_and_is_what_the_caller_gets() {
    let (send, ended) = oneshot::channel();
    let send = Arc::new(Mutex::new(Some(send)));
    let read = move |mut request: Request| {
        let send = send.lock().unwrap().take().expect("one call");
        let reading = tokio::spawn(async move {
            let first = request.messages.next().await;
            let _ = send.send((first, request.messages.next().await));
        });
        async move {
            let _ = reading.await;
            std::future::pending().await
        }
    };
    let rig = Rig::started([Procedure::client_stream("read", read)]).await;
    let caller = Caller::of(rig.address()).await;
    let torn = RpcError::new(Code::DataLoss, "torn").with_reason("shop.torn");
    let messages = stream::iter([Ok(Bytes::from("a")), Err(torn.clone())]);
    let request = streamed("read", Messages::stream(messages));
    let error = caller.call(Shape::ClientStream, request).await.unwrap_err();
    assert_eq!(error, torn);
    let (first, last): (_, Option<Result<Bytes, RpcError>>) = ended.await.unwrap();
    if let Some(first) = first {
        // A reset may overtake what was sent before it.
        assert!(first.is_err() || first.unwrap() == "a" && last.is_some_and(|it| it.is_err()));
    }
}

#[tokio::test]
async fn before_its_start_and_after_its_stop_a_call_is_a_failed_precondition() {
    let rig = Rig::started([echo("echo")]).await;
    let address = rig.address().to_string();
    let caller = Caller::unstarted(GrpcOutbound::new("pets", &address).unwrap());
    let refused = caller.unary("echo", "x").await.unwrap_err();
    assert_eq!(refused.code, Code::FailedPrecondition);
    for _ in 0..2 {
        caller.dispatcher.start().await.unwrap();
        assert_eq!(caller.unary("echo", "x").await.unwrap(), "x");
        caller.dispatcher.stop().await.unwrap();
        let refused = caller.unary("echo", "x").await.unwrap_err();
        assert_eq!(refused.code, Code::FailedPrecondition);
    }
}

#[tokio::test]
async fn an_upstream_that_is_not_there_is_unavailable_and_found_when_it_is_back() {
    let rig = Rig::started_with([echo("echo")], |it| it).await;
    let address = rig.address();
    let caller = Caller::of(address).await;
    assert_eq!(caller.unary("echo", "x").await.unwrap(), "x");
    rig.dispatcher.stop().await.unwrap();
    let error = caller.unary("echo", "x").await.unwrap_err();
    assert_eq!(error.code, Code::Unavailable);
    assert_eq!(
        error.reason.as_deref(),
        Some("dispatcher.outbound.unreachable")
    );
    let health = || async {
        let snapshot = caller.handle.snapshot().await.unwrap();
        let row = snapshot.component(snapshot.plan.find("pets:default:unary").unwrap());
        assert_eq!(row.state, ComponentState::Running);
        format!("{row:?}").contains("cannot be reached: ")
    };
    assert!(health().await, "it is degraded");
    let again = Rig::started_with([echo("echo")], move |_| {
        dispatcher::GrpcInbound::new(address)
    });
    let _again = again.await;
    assert_eq!(caller.unary("echo", "x").await.unwrap(), "x");
    assert!(!health().await, "it is well again");
}

#[tokio::test]
async fn a_stop_waits_for_open_calls_and_for_their_answers_and_a_forced_one_cuts_them_off() {
    for forced in [false, true] {
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let rig = Rig::started([held(&entered, &go_on)]).await;
        let caller = Arc::new(Caller::of(rig.address()).await);
        let calling = Arc::clone(&caller);
        let call = tokio::spawn(async move { calling.unary("held", "").await });
        entered.notified().await;
        if forced {
            let report = caller.handle.force().await.expect("it still succeeds");
            assert!(report.forced && report.is_clean());
            assert_eq!(call.await.unwrap().unwrap_err().code, Code::Unavailable);
            continue;
        }
        let stopping = Arc::clone(&caller);
        let stopping = tokio::spawn(async move { stopping.dispatcher.stop().await });
        while caller.unary("nothing", "").await.unwrap_err().code != Code::FailedPrecondition {}
        assert!(!stopping.is_finished(), "a call is open");
        go_on.notify_one();
        assert_eq!(call.await.unwrap().unwrap(), "late");
        stopping.await.unwrap().expect("all calls were answered");
    }
}

#[tokio::test]
async fn a_message_of_the_upstream_that_is_too_large_is_resource_exhausted() {
    let rig = Rig::started(of_every_shape()).await;
    let caller = Caller::with(rig.address(), |it| it.message_bytes(10)).await;
    assert!(caller.unary("echo", "0123456789").await.is_ok());
    let error = caller.unary("echo", "0123456789a").await.unwrap_err();
    assert_eq!(error.code, Code::ResourceExhausted);
}

/// A server that gives every request this answer, which may not be gRPC.
async fn answering(
    headers: &'static [(&'static str, &'static str)],
    status: u16,
) -> (Handle, std::net::SocketAddr) {
    let answer = move |_: http::Request<hyper::body::Incoming>| {
        let mut answer = http::Response::builder().status(status);
        for (name, value) in headers {
            answer = answer.header(*name, *value);
        }
        let body = http_body_util::Empty::<Bytes>::new();
        std::future::ready(Ok::<_, Infallible>(answer.body(body).unwrap()))
    };
    let server = HttpServer::new(tower::service_fn(answer)).bind("127.0.0.1:0".parse().unwrap());
    let server = Arc::new(server);
    let mut builder = Orchestrator::builder();
    builder.register(Registration::new("server", Arc::clone(&server)));
    let handle = builder.build().unwrap().spawn();
    handle.start().await.unwrap();
    (handle, server.local_addr().unwrap())
}

#[tokio::test]
async fn what_is_no_grpc_or_no_answer_is_told_by_what_it_is() {
    const GRPC: (&str, &str) = ("content-type", "application/grpc");
    for (headers, status, code) in [
        (&[("content-type", "text/html")][..], 404, Code::NotFound),
        (&[], 503, Code::Unavailable),
        (&[], 200, Code::Unknown),
        (&[GRPC], 200, Code::Unknown),
        (&[GRPC, ("grpc-status", "0")], 200, Code::Internal),
        (&[GRPC, ("grpc-status", "16")], 200, Code::PermissionDenied),
        // By name, not by number.
        (
            &[
                GRPC,
                ("grpc-status", "2"),
                ("omnirelay-status", "NOT_FOUND"),
            ],
            200,
            Code::NotFound,
        ),
        (
            &[GRPC, ("grpc-status", "5"), ("grpc-status-details-bin", "*")],
            200,
            Code::NotFound,
        ),
    ] {
        let (handle, address) = answering(headers, status).await;
        let caller = Caller::of(address).await;
        let error = caller.unary("echo", "x").await.unwrap_err();
        assert_eq!(error.code, code, "{headers:?} {status} {error}");
        handle.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_call_that_is_passed_on_loses_nothing_in_between() {
    let back = Rig::started(of_every_shape()).await;
    let caller = Caller::of(back.address()).await;
    let relay = |shape| {
        let way = caller.dispatcher.outbound("pets", None, shape).unwrap();
        Procedure::new(shape, "*", way)
    };
    let front = Rig::started(Shape::ALL.map(relay)).await;
    let client = front.client().await;
    for (shape, procedure, sent, expected) in [
        ("unary", "echo", &["a b"][..], &["a b"][..]),
        ("oneway", "note", &["a b"], &[""]),
        ("stream", "split", &["a b"], &["a", "b"]),
        ("client-stream", "join", &["a", "b"], &["a b"]),
        ("duplex", "mirror", &["a", "b"], &["a", "b"]),
    ] {
        let path = format!("/pets/{procedure}");
        let answer = client.call(&path, &[("rpc-shape", shape)], sent).await;
        assert_eq!(answer.unwrap().messages, expected, "{procedure}");
        // Who does not say it goes through the widest, which carries them all.
        let answer = client.call(&path, &[], sent).await;
        assert_eq!(answer.unwrap().messages, expected, "{procedure}");
    }
    let missing = client.unary("/pets/nothing", "").await.unwrap_err();
    assert_eq!(missing.code(), tonic::Code::Unimplemented);
}

#[tokio::test]
async fn more_than_fits_into_the_windows_of_two_hops_passes_through() {
    let back = Rig::started(of_every_shape()).await;
    let caller = Caller::of(back.address()).await;
    let way = caller.dispatcher.outbound("pets", None, Shape::Duplex);
    let relay = Procedure::new(Shape::Duplex, "mirror", way.unwrap());
    let front = Rig::started([relay]).await;
    let client = front.client().await;
    let messages = (0..200_u8).map(|it| Bytes::from(vec![it; 100_000]));
    let answer = client
        .open("/pets/mirror", &[], stream::iter(messages))
        .await;
    let mut answers = answer.unwrap().into_inner();
    for number in 0..200_u8 {
        let message = answers
            .message()
            .await
            .unwrap()
            .expect("as many as were sent");
        assert_eq!((message.len(), message[99_999]), (100_000, number));
    }
    assert_eq!(answers.message().await.unwrap(), None);
}

#[tokio::test]
async fn the_outbound_passes_the_conformance_suite() {
    let make = || {
        let outbound = GrpcOutbound::new("pets", "127.0.0.1:1").unwrap();
        let (_, mut registrations) = built(Dispatcher::builder("shop").outbound(outbound));
        registrations.remove(0).component
    };
    let report = Suite::of(make).named("pets:default:unary").run().await;
    report.assert_ok();
    assert!(report.passed.contains(&Check::StartTwice));
}
