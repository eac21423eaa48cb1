//! Several peers that answer the same calls.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dispatcher::{
    Breaker, Chooser, Code, Dispatcher, GrpcInbound, GrpcOutbound, Procedure, Request, Response,
    RpcError, Shape,
};
use lifecycle_runtime::Orchestrator;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use super::{Rig, held};
use crate::kit::{built, stream};

/// A procedure that says who answers.
fn who(name: &'static str) -> Procedure {
    Procedure::unary("who", move |_| {
        std::future::ready(Ok(Response::message(name)))
    })
}

/// An address where nobody listens now.
fn vacant() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}

struct Caller(Dispatcher);

impl Caller {
    async fn of(
        peers: &[SocketAddr],
        configure: impl FnOnce(GrpcOutbound) -> GrpcOutbound,
    ) -> Self {
        let mut peers = peers.iter().map(ToString::to_string);
        let first = GrpcOutbound::new("pets", &peers.next().expect("a peer"));
        let outbound = peers.fold(first.unwrap(), |outbound, it| outbound.peer(&it).unwrap());
        let (dispatcher, registrations) =
            built(Dispatcher::builder("shop").outbound(configure(outbound)));
        assert_eq!(
            dispatcher.outbound_issues()[0],
            "grpc:pets:unary:default:not-started"
        );
        let mut builder = Orchestrator::builder();
        builder.registrations(registrations);
        let dispatcher = dispatcher.driven_by(builder.build().unwrap().spawn());
        dispatcher.start().await.expect("nothing can fail");
        assert_eq!(dispatcher.outbound_issues(), [""; 0]);
        Self(dispatcher)
    }

    async fn call(&self, procedure: &str) -> Result<Bytes, RpcError> {
        let way = self.0.outbound("pets", None, Shape::Unary).unwrap();
        let request = Request::new(procedure, "");
        let called = tokio::time::timeout(Duration::from_secs(20), way.oneshot(request)).await;
        called.expect("within the deadline")?.into_message().await
    }

    /// Who answers so many calls.
    async fn who(&self, calls: usize) -> String {
        let mut answers = Vec::new();
        for _ in 0..calls {
            let answer = self.call("who").await.expect("an answer");
            answers.push(String::from_utf8_lossy(&answer).into_owned());
        }
        answers.join(" ")
    }
}

fn at(address: SocketAddr) -> impl FnOnce(GrpcInbound) -> GrpcInbound {
    move |_| GrpcInbound::new(address)
}

#[tokio::test]
async fn with_a_dead_peer_no_call_fails_and_it_is_asked_again_when_it_is_back() {
    let (a, vacant) = (Rig::started([who("a")]).await, vacant());
    let breaker = Breaker {
        failures: NonZeroU32::MIN,
        first_pause: Duration::ZERO,
        longest_pause: Duration::ZERO,
    };
    let caller = Caller::of(&[a.address(), vacant], |it| it.breaker(breaker)).await;
    assert_eq!(caller.who(4).await, "a a a a");
    let b = Rig::started_with([who("b")], at(vacant)).await;
    let both = caller.who(4).await;
    assert!(both == "a b a b" || both == "b a b a", "{both}");

    // One that drains hands its calls over, and so does one that has gone.
    b.handle.drain().await.unwrap();
    assert_eq!(caller.who(4).await, "a a a a");
    b.dispatcher.stop().await.unwrap();
    assert_eq!(caller.who(4).await, "a a a a");
    caller.0.stop().await.unwrap();
}

#[tokio::test]
async fn contract_60_a_peer_that_does_not_answer_is_left_alone_and_named_among_the_issues() {
    let breaker = Breaker {
        failures: NonZeroU32::MIN.saturating_add(1),
        first_pause: Duration::from_hours(1),
        longest_pause: Duration::from_hours(1),
    };
    let caller = Caller::of(&[vacant()], |it| it.breaker(breaker)).await;
    let mut reasons = Vec::new();
    for _ in 0..4 {
        let error = caller.call("who").await.unwrap_err();
        assert_eq!(error.code, Code::Unavailable);
        reasons.extend(error.reason);
    }
    let (unreachable, none) = (
        "dispatcher.outbound.unreachable",
        "dispatcher.outbound.no_available_peers",
    );
    assert_eq!(reasons, [unreachable, unreachable, none, none]);
    let issues = caller.0.outbound_issues();
    assert_eq!(issues.len(), Shape::ALL.len(), "one for each shape");
    assert_eq!(issues[0], "grpc:pets:unary:default:no-available-peers");
}

#[tokio::test]
async fn the_peer_with_the_fewest_calls_in_flight_is_asked_streams_counted_to_their_end() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let endless =
        || Procedure::server_stream("drip", async |_| Ok(Response::new(stream(&["1", "2"]))));
    let a = Rig::started([who("a"), held(&entered, &go_on), endless()]).await;
    let b = Rig::started([who("b"), held(&entered, &go_on), endless()]).await;
    let peers = [a.address(), b.address()];
    let fewest = |it: GrpcOutbound| it.chooser(Chooser::FewestPending);
    let caller = Arc::new(Caller::of(&peers, fewest).await);
    let calling = Arc::clone(&caller);
    let call = tokio::spawn(async move { calling.call("held").await });
    entered.notified().await;
    assert_eq!(caller.who(3).await, "b b b", "a has one in flight");
    let way = caller
        .0
        .outbound("pets", None, Shape::ServerStream)
        .unwrap();
    let response = way.oneshot(Request::new("drip", "")).await.unwrap();
    let answers = caller.who(2).await;
    assert!(
        answers == "a b" || answers == "b a",
        "both have one: {answers}"
    );
    drop(response);
    assert_eq!(caller.who(3).await, "b b b");
    go_on.notify_one();
    assert_eq!(call.await.unwrap().unwrap(), "late");
}
