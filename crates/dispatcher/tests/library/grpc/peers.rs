//! Several peers that answer the same calls.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use dispatcher::{
    Breaker, Chooser, Code, Dispatcher, GrpcInbound, GrpcOutbound, PeerSource, Procedure, Request,
    Response, RpcError, Shape,
};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt as _, stream};
use lifecycle_runtime::{Handle, Orchestrator};
use tokio::sync::{Notify, watch};
use tokio::task;
use tower::ServiceExt as _;

use super::{Rig, held};
use crate::kit::{self, built};
use crate::rig::within;

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

struct Caller(Dispatcher, Handle);

impl Caller {
    async fn of(
        peers: &[SocketAddr],
        configure: impl FnOnce(GrpcOutbound) -> GrpcOutbound,
    ) -> Self {
        let mut peers = peers.iter().map(ToString::to_string);
        let first = GrpcOutbound::new("pets", &peers.next().expect("a peer"));
        let outbound = peers.fold(first.unwrap(), |outbound, it| outbound.peer(&it).unwrap());
        let caller = Self::by(configure(outbound)).await;
        assert_eq!(caller.0.outbound_issues(), [""; 0]);
        caller
    }

    async fn by(outbound: GrpcOutbound) -> Self {
        let (dispatcher, registrations) = built(Dispatcher::builder("shop").outbound(outbound));
        assert_eq!(
            dispatcher.outbound_issues()[0],
            "grpc:pets:unary:default:not-started"
        );
        let mut builder = Orchestrator::builder();
        builder.registrations(registrations);
        let handle = builder.build().unwrap().spawn();
        let dispatcher = dispatcher.driven_by(handle.clone());
        dispatcher.start().await.expect("nothing can fail");
        Self(dispatcher, handle)
    }

    /// Waits until so many calls are answered by those.
    async fn until(&self, answers: &[&str]) {
        within(async {
            loop {
                let answered = self.who(answers[0].split(' ').count()).await;
                if answers.contains(&answered.as_str()) {
                    return;
                }
            }
        })
        .await;
    }

    /// Waits until the outbound says this of its health.
    async fn says(&self, wanted: Option<&str>) {
        within(async {
            loop {
                let snapshot = self.1.snapshot().await.unwrap();
                let id = snapshot.plan.find("pets:default:unary").unwrap();
                let said = snapshot.component(id).degraded.clone();
                if said.as_deref() == wanted {
                    return;
                }
            }
        })
        .await;
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
    let endless = || {
        Procedure::server_stream("drip", async |_| {
            Ok(Response::new(kit::stream(&["1", "2"])))
        })
    };
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

const NONE: &str = "dispatcher.outbound.no_available_peers";

fn places(rigs: &[&Rig]) -> Vec<String> {
    rigs.iter().map(|it| it.address().to_string()).collect()
}

#[tokio::test]
async fn peers_of_a_source_come_and_go_while_calls_in_flight_finish_and_none_fails() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let a = Rig::started([who("a"), held(&entered, &go_on)]).await;
    let b = Rig::started([who("b")]).await;
    let (places_now, source) = watch::channel(places(&[&a]));
    let caller = Arc::new(Caller::by(GrpcOutbound::discovering("pets", source)).await);
    assert_eq!(caller.who(2).await, "a a", "from the first call on");

    let calling = Arc::clone(&caller);
    let call = tokio::spawn(async move { calling.call("held").await });
    entered.notified().await;
    places_now.send_replace(places(&[&b]));
    caller.until(&["b b b"]).await;
    assert_eq!(caller.who(3).await, "b b b", "a gets no further calls");
    go_on.notify_one();
    assert_eq!(call.await.unwrap().unwrap(), "late", "what it had finishes");

    places_now.send_replace(places(&[&b, &a]));
    caller.until(&["a b a b", "b a b a"]).await;
    b.dispatcher.stop().await.unwrap();
    places_now.send_replace(places(&[&a]));
    caller.until(&["a a"]).await;
    caller.0.stop().await.unwrap();
}

#[tokio::test]
async fn without_any_peer_calls_fail_at_once_and_the_outbound_says_so_until_there_is_one() {
    let a = Rig::started([who("a")]).await;
    let (places_now, source) = watch::channel(Vec::new());
    let caller = Caller::by(GrpcOutbound::discovering("pets", source)).await;
    let error = caller.call("who").await.unwrap_err();
    assert_eq!(
        (error.code, error.reason.as_deref()),
        (Code::Unavailable, Some(NONE))
    );
    let issues = caller.0.outbound_issues();
    assert_eq!(issues[0], "grpc:pets:unary:default:no-available-peers");
    caller.says(Some("no peer is known")).await;

    let nowhere = vec!["nowhere".to_owned(), a.address().to_string()];
    places_now.send_replace(nowhere);
    caller.says(None).await;
    assert_eq!(caller.who(2).await, "a a", "what is no place is left out");
    caller.0.stop().await.unwrap();
}

#[tokio::test]
async fn a_peer_that_cannot_be_reached_and_then_goes_is_not_held_against_the_outbound() {
    let (a, gone) = (Rig::started([who("a")]).await, vacant());
    let (places_now, source) = watch::channel(vec![gone.to_string()]);
    let outbound = GrpcOutbound::new("pets", &a.address().to_string()).unwrap();
    let caller = Caller::by(outbound.peers_from(source)).await;
    assert_eq!(caller.who(3).await, "a a a", "the fixed one answers");
    caller
        .says(Some(&format!("cannot be reached: {gone}")))
        .await;
    places_now.send_replace(Vec::new());
    caller.says(None).await;
    caller.0.stop().await.unwrap();
}

#[tokio::test]
async fn an_outbound_that_is_started_again_follows_its_source_again() {
    let (a, b) = (
        Rig::started([who("a")]).await,
        Rig::started([who("b")]).await,
    );
    let (places_now, source) = watch::channel(places(&[&a]));
    let caller = Caller::by(GrpcOutbound::discovering("pets", source)).await;
    assert_eq!(caller.who(1).await, "a");
    caller.0.stop().await.unwrap();
    places_now.send_replace(places(&[&b]));
    caller.0.start().await.unwrap();
    assert_eq!(caller.who(2).await, "b b", "from the first call on");
    drop(places_now);
    assert_eq!(caller.who(2).await, "b b", "the last places stay");
    caller.0.stop().await.unwrap();
    caller.0.start().await.unwrap();
    assert_eq!(caller.who(2).await, "b b");
}

/// A source that notes which tasks ask it.
#[derive(Clone, Debug, Default)]
struct Noting(Arc<Mutex<Vec<Option<task::Id>>>>);

impl PeerSource for Noting {
    fn places(&self) -> BoxStream<'static, Vec<String>> {
        let asked = Arc::clone(&self.0);
        let note = move || asked.lock().unwrap().push(task::try_id());
        note();
        let first = async move {
            note();
            vec!["127.0.0.1:1".to_owned()]
        };
        let forever = stream::pending();
        Box::pin(stream::once(first).chain(forever))
    }
}

// Whoever calls may do so on another thread before the task that follows the source has run.
#[tokio::test]
async fn what_a_source_says_at_once_is_taken_in_by_the_start_itself() {
    let source = Noting::default();
    let caller = Caller::by(GrpcOutbound::discovering("pets", source.clone())).await;
    let asked = source.0.lock().unwrap().clone();
    assert!(asked[0].is_some(), "it is started by a task");
    assert_eq!(asked, [asked[0], asked[0]]);
    caller.0.stop().await.unwrap();
}
