//! Messages that are compressed.

use std::sync::{Arc, Mutex};

use dispatcher::{
    Code, Dispatcher, GrpcInbound, GrpcOutbound, Procedure, Request, Response, RpcError, Shape,
};
use lifecycle_runtime::Orchestrator;
use tower::ServiceExt as _;

use super::{Rig, of_every_shape};
use crate::kit::{built, echo, stream, texts};
use crate::rig::within;

/// The largest message that a compressing rig takes, in bytes.
const LARGEST: usize = 1 << 16;

async fn compressing_rig() -> Rig {
    let configure = |it: GrpcInbound| it.gzip().message_bytes(LARGEST);
    Rig::started_with(of_every_shape(), configure).await
}

#[tokio::test]
async fn compressed_messages_are_taken_and_answered_so_in_every_shape() {
    let rig = compressing_rig().await;
    let client = rig.client().await.compressing();
    for (procedure, messages, expected) in [
        ("echo", &["a b"][..], &["a b"][..]),
        ("note", &["a b"], &[""]),
        ("split", &["a b"], &["a", "b"]),
        ("join", &["a", "b"], &["a b"]),
        ("mirror", &["a", "b"], &["a", "b"]),
    ] {
        let path = format!("/pets/{procedure}");
        let answer = client.call(&path, &[], messages).await;
        let answer = answer.expect("it answers");
        assert_eq!(answer.messages, expected, "{procedure}");
        let compression = answer.metadata.get("grpc-encoding");
        assert_eq!(
            compression.expect("it is compressed"),
            "gzip",
            "{procedure}"
        );
    }
}

#[tokio::test]
async fn an_answer_is_compressed_for_who_takes_such_and_for_nobody_else() {
    let rig = compressing_rig().await;
    let plain = rig.client().await;
    let accepting = plain.clone().accepting_compressed();
    for (client, expected) in [(plain, None), (accepting, Some("gzip"))] {
        let answer = client.call("/pets/echo", &[], &["a"]).await.unwrap();
        let compression = answer.metadata.get("grpc-encoding");
        let compression = compression.map(|it| it.to_str().expect("text"));
        assert_eq!((compression, &*answer.messages[0]), (expected, "a"));
    }
}

#[tokio::test]
async fn a_message_that_is_small_until_it_is_unpacked_is_refused_in_every_shape() {
    let rig = compressing_rig().await;
    let client = rig.client().await.compressing();
    // A thousandth of it travels.
    let bomb = "0".repeat(LARGEST * 64);
    for procedure in ["echo", "note", "split", "join", "mirror"] {
        let path = format!("/pets/{procedure}");
        let refused = client.call(&path, &[], &[&bomb]).await;
        let status = refused.expect_err("it is too large");
        assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{procedure}");
    }
    let largest = "0".repeat(LARGEST);
    let answer = client.unary("/pets/echo", &largest).await;
    assert_eq!(answer.expect("it fits").len(), LARGEST);
}

#[tokio::test]
async fn an_inbound_that_was_not_told_to_takes_nothing_compressed() {
    let rig = Rig::started([echo("echo")]).await;
    let client = rig.client().await.compressing();
    let refused = client.call("/pets/echo", &[], &["a"]).await;
    let status = refused.expect_err("it is compressed");
    assert_eq!(status.code(), tonic::Code::Unimplemented);
}

/// A dispatcher with a way to `rig` that is configured so.
async fn caller(rig: &Rig, configure: impl FnOnce(GrpcOutbound) -> GrpcOutbound) -> Dispatcher {
    let outbound = GrpcOutbound::new("pets", &rig.address().to_string()).expect("an address");
    let builder = Dispatcher::builder("shop").outbound(configure(outbound));
    let (dispatcher, registrations) = built(builder);
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations);
    let handle = builder.build().expect("a sound setup").spawn();
    let dispatcher = dispatcher.driven_by(handle);
    dispatcher.start().await.expect("nothing can fail");
    dispatcher
}

async fn call(caller: &Dispatcher, shape: Shape, request: Request) -> Result<Response, RpcError> {
    let way = caller.outbound("pets", None, shape).expect("a way");
    within(way.oneshot(request)).await
}

#[tokio::test]
async fn an_outbound_compresses_what_goes_and_reads_what_comes() {
    let rig = compressing_rig().await;
    let caller = caller(&rig, GrpcOutbound::gzip).await;
    let answer = call(&caller, Shape::Unary, Request::new("echo", "a b")).await;
    assert_eq!(answer.unwrap().into_message().await.unwrap(), "a b");
    let mut request = Request::new("mirror", "");
    request.messages = stream(&["a", "b"]);
    let answer = call(&caller, Shape::Duplex, request).await.unwrap();
    assert_eq!(texts(answer.messages).await.unwrap(), "a b");
    // So it was compressed: who does not take that refuses it.
    let plain = Rig::started([echo("echo")]).await;
    let caller = self::caller(&plain, GrpcOutbound::gzip).await;
    let refused = call(&caller, Shape::Unary, Request::new("echo", "a")).await;
    assert_eq!(refused.unwrap_err().code, Code::Unimplemented);
}

#[tokio::test]
async fn an_outbound_refuses_an_answer_that_is_small_until_it_is_unpacked() {
    let bomb = "0".repeat(LARGEST * 16);
    let sent = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&sent);
    let swell = Procedure::unary("swell", move |_| {
        *counted.lock().unwrap() += 1;
        let answer = Response::message(bomb.clone());
        std::future::ready(Ok(answer))
    });
    let rig = Rig::started_with([swell], GrpcInbound::gzip).await;
    let caller = caller(&rig, |it| it.gzip().message_bytes(LARGEST)).await;
    let refused = call(&caller, Shape::Unary, Request::new("swell", "")).await;
    assert_eq!(refused.unwrap_err().code, Code::ResourceExhausted);
    assert_eq!(*sent.lock().unwrap(), 1);
}
