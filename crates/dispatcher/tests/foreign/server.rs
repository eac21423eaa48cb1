//! Our outbound asks grpcio.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dispatcher::{
    Code, Dispatcher, GrpcOutbound, Messages, Meta, Request, Response, RpcError, Shape,
};
use futures_util::stream;
use lifecycle_adapters::tls::{ClientTls, Pem};
use lifecycle_runtime::Orchestrator;
use tower::ServiceExt as _;

use crate::{Files, python};

/// The server; killed when the test is over.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn started() -> (Server, String) {
    started_with(&[])
}

fn started_with(arguments: &[&str]) -> (Server, String) {
    let mut command = python("server.py");
    let child = command
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut server = Server(child.expect("it runs"));
    let output = server.0.stdout.take().expect("it is piped");
    let address = BufReader::new(output).lines().next().expect("a line");
    (server, address.expect("text"))
}

/// A dispatcher with ways to `pets` and to the server's health.
async fn caller(address: &str) -> Dispatcher {
    caller_with(address, |it| it).await
}

async fn caller_with(
    address: &str,
    configure: impl Fn(GrpcOutbound) -> GrpcOutbound,
) -> Dispatcher {
    let outbound = |service| configure(GrpcOutbound::new(service, address).unwrap());
    let (pets, health) = (outbound("pets"), outbound("grpc.health.v1.Health"));
    let builder = Dispatcher::builder("shop").outbound(pets).outbound(health);
    let (dispatcher, registrations) = builder.build().unwrap();
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations);
    let dispatcher = dispatcher.driven_by(builder.build().unwrap().spawn());
    dispatcher.start().await.unwrap();
    dispatcher
}

async fn call(caller: &Dispatcher, shape: Shape, request: Request) -> Result<Response, RpcError> {
    let way = caller.outbound("pets", None, shape).unwrap();
    let called = tokio::time::timeout(Duration::from_secs(20), way.oneshot(request)).await;
    called.expect("within the deadline")
}

async fn unary(caller: &Dispatcher, procedure: &str, text: &str) -> Result<Bytes, RpcError> {
    let request = Request::new(procedure, Bytes::from(text.to_owned()));
    let response = call(caller, Shape::Unary, request).await?;
    response.into_message().await
}

fn words(words: &'static [&'static str]) -> Messages {
    let words = words.iter().map(|it| Ok(Bytes::from(*it)));
    Messages::stream(stream::iter(words))
}

async fn texts(mut messages: Messages) -> Vec<String> {
    let mut texts = Vec::new();
    while let Some(message) = messages.next().await {
        let message = message.expect("no error").to_vec();
        texts.push(String::from_utf8(message).expect("text"));
    }
    texts
}

#[tokio::test]
async fn grpcio_answers_calls_of_every_shape() {
    let (_server, address) = started();
    let caller = caller(&address).await;
    let streamed = |procedure, messages| Request {
        meta: Meta::new(procedure),
        messages,
    };
    for (shape, request, expected) in [
        (Shape::Unary, Request::new("echo", "a b"), &["a b"][..]),
        (Shape::Oneway, Request::new("echo", "a b"), &[]),
        (
            Shape::ServerStream,
            Request::new("split", "a b"),
            &["a", "b"],
        ),
        (
            Shape::ClientStream,
            streamed("join", words(&["a", "b"])),
            &["a b"],
        ),
        (
            Shape::Duplex,
            streamed("mirror", words(&["a", "b"])),
            &["a", "b"],
        ),
    ] {
        let response = call(&caller, shape, request).await.unwrap();
        assert_eq!(texts(response.messages).await, expected, "{shape}");
    }
    caller.stop().await.unwrap();
}

#[tokio::test]
async fn grpcio_answers_over_tls_who_has_a_certificate_of_its_authority() {
    let (ours, strangers) = (Files::new(), Files::new());
    let (_server, address) = started_with(&[ours.folder()]);
    let file = |files: &Files, name: &str| Pem::file(format!("{}/{name}", files.folder()));
    let identity = |files: &Files| (file(files, "certificate.pem"), file(files, "key.pem"));
    let trusting = ClientTls::trusting(file(&ours, "ca.pem"));
    let (certificate, key) = identity(&ours);
    let mine = trusting.clone().identity(certificate, key);
    let caller = caller_with(&address, |it| it.tls(mine.clone())).await;
    assert_eq!(unary(&caller, "echo", "a b").await.unwrap(), "a b");
    caller.stop().await.unwrap();

    let (certificate, key) = identity(&strangers);
    let foreign = trusting.clone().identity(certificate, key);
    for tls in [trusting, foreign] {
        let caller = caller_with(&address, |it| it.tls(tls.clone())).await;
        let error = unary(&caller, "echo", "").await.expect_err("not let in");
        assert_eq!(error.code, Code::Unavailable);
    }
}

#[tokio::test]
async fn metadata_goes_there_and_comes_back_before_and_after_the_message() {
    let (_server, address) = started();
    let caller = caller(&address).await;
    let mut request = Request::new("echo", "x");
    request.meta.caller = Some("shop".to_owned());
    let response = call(&caller, Shape::Unary, request).await.unwrap();
    assert_eq!(response.headers.first("x-caller"), Some("shop"));
    assert_eq!(response.headers.first("x-after"), Some("1"));
}

#[tokio::test]
async fn what_is_left_of_a_deadline_is_what_grpcio_sees() {
    let (_server, address) = started();
    let caller = caller(&address).await;
    let mut request = Request::new("left", "");
    request
        .meta
        .limit(Instant::now(), Duration::from_secs(1_000));
    let response = call(&caller, Shape::Unary, request).await.unwrap();
    let left = texts(response.messages).await.concat();
    let left: u64 = left.parse().expect("seconds");
    assert!((970..=1_000).contains(&left), "{left}");
}

#[tokio::test]
async fn statuses_of_grpcio_are_our_codes_with_their_metadata() {
    let (_server, address) = started();
    let caller = caller(&address).await;
    for code in Code::ALL {
        let error = unary(&caller, "fail", code.as_str()).await.unwrap_err();
        assert_eq!(error.code, code);
        assert_eq!(error.message, format!("it is {code}: ü"));
        assert_eq!(error.metadata.get("x-pet").map(String::as_str), Some("7"));
        let details = error.metadata.get("status-details-bin");
        assert_eq!(details.map(|it| it.trim_end_matches('=')), Some("CAU"));
    }
    let error = unary(&caller, "fail", "UNAUTHENTICATED").await.unwrap_err();
    assert_eq!(error.code, Code::PermissionDenied);
    let error = unary(&caller, "nothing", "").await.unwrap_err();
    assert_eq!(error.code, Code::Unimplemented);
}

#[tokio::test]
async fn what_we_drop_grpcio_sees_cancelled() {
    let (_server, address) = started();
    let caller = caller(&address).await;
    let response = call(&caller, Shape::ServerStream, Request::new("hang", "")).await;
    let mut messages = response.unwrap().messages;
    assert_eq!(messages.next().await.unwrap().unwrap(), "begun");
    drop(messages);
    assert_eq!(unary(&caller, "cancelled", "").await.unwrap(), "True");
}

#[tokio::test]
async fn any_service_can_be_called_as_it_is_such_as_health() {
    let (_server, address) = started();
    let caller = caller(&address).await;
    let way = caller.outbound("grpc.health.v1.Health", None, Shape::Unary);
    let answer = way.unwrap().oneshot(Request::new("Check", "")).await;
    // A message whose first field is 1: serving.
    assert_eq!(
        answer.unwrap().into_message().await.unwrap(),
        &b"\x08\x01"[..]
    );
}
