//! How many calls are let in.

use std::num::NonZeroU32;
use std::time::Duration;

use dispatcher::middleware::{ConcurrencyLimit, RateLimit};
use dispatcher::{
    Code, Dispatcher, HttpInbound, HttpOutbound, Procedure, Request, Response, RpcError, Shape,
};
use futures_util::FutureExt as _;

use crate::kit::{Source, built, echo};
use crate::rig::{Rig, any_port};

fn number(number: u32) -> NonZeroU32 {
    NonZeroU32::new(number).expect("not 0")
}

async fn call(dispatcher: &Dispatcher, procedure: &str) -> Result<Response, RpcError> {
    let called = dispatcher.call(Shape::Unary, Request::new(procedure, ""));
    called.await
}

/// How many calls are let in, one after the other, until one is refused; and what that one is told.
async fn let_in(dispatcher: &Dispatcher, procedure: &str) -> (u32, RpcError) {
    for count in 0..1_000 {
        if let Err(refused) = call(dispatcher, procedure).await {
            return (count, refused);
        }
    }
    panic!("there is no limit");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_much_in_a_time_is_refused_with_when_to_try_again() {
    let limit = RateLimit::per_minute(number(2));
    let builder = Dispatcher::builder("pets").layer(limit);
    let (dispatcher, _) = built(builder.procedure(echo("echo")));
    let (count, refused) = let_in(&dispatcher, "echo").await;
    assert_eq!((count, refused.code), (2, Code::ResourceExhausted));
    assert_eq!(refused.reason.as_deref(), Some("dispatcher.limit.rate"));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(30)));
    tokio::time::advance(Duration::from_secs(29)).await;
    let refused = call(&dispatcher, "echo").await.unwrap_err();
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(let_in(&dispatcher, "echo").await.0, 1);
}

#[tokio::test(start_paused = true)]
async fn room_comes_back_evenly_and_no_more_than_a_burst_of_it() {
    let limit = RateLimit::per_second(number(10)).burst(number(3));
    let builder = Dispatcher::builder("pets").layer(limit);
    let (dispatcher, _) = built(builder.procedure(echo("echo")));
    assert_eq!(let_in(&dispatcher, "echo").await.0, 3);
    tokio::time::advance(Duration::from_millis(100)).await;
    assert_eq!(let_in(&dispatcher, "echo").await.0, 1);
    tokio::time::advance(Duration::from_secs(3600)).await;
    assert_eq!(let_in(&dispatcher, "echo").await.0, 3);
}

#[tokio::test(start_paused = true)]
async fn procedures_share_the_limit_around_their_dispatcher_and_have_their_own_beside_it() {
    let own = RateLimit::per_minute(number(2));
    let builder = Dispatcher::builder("pets")
        .layer(RateLimit::per_minute(number(5)))
        .procedure(echo("small").layer(own))
        .procedure(echo("large"));
    let (dispatcher, _) = built(builder);
    // The one that is refused inside has passed the limit outside.
    assert_eq!(let_in(&dispatcher, "small").await.0, 2);
    assert_eq!(let_in(&dispatcher, "large").await.0, 2);
}

#[tokio::test]
async fn over_http_a_refusal_is_429_with_a_header_that_says_when_and_callers_are_told() {
    let limited = echo("echo").layer(RateLimit::per_minute(number(1)));
    let upstream = Rig::started([limited]).await;
    let pets = HttpOutbound::new("pets", &upstream.url()).expect("a URL");
    let builder = Dispatcher::builder("shop").outbound(pets);
    let rig = Rig::of(builder, HttpInbound::new(any_port())).await;
    let first = rig.out("pets", Shape::Unary, Request::new("echo", "a"));
    first.await.expect("there is room");
    let second = rig.out("pets", Shape::Unary, Request::new("echo", "a"));
    let refused = second.await.unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted);
    let wait = refused.retry_after().expect("a hint").as_secs();
    assert!((1..=60).contains(&wait), "{wait}");
    let answer = upstream.ask("Rpc-Procedure: echo\r\n", "a").await;
    assert_eq!(
        (answer.status, answer.code()),
        (429, Code::ResourceExhausted)
    );
    let told = answer.header("retry-after").expect("a header");
    assert!((1..=60).contains(&told.parse().expect("seconds")), "{told}");
}

#[tokio::test]
async fn a_handler_can_say_when_to_try_again_too() {
    let busy = Procedure::unary("busy", async |_| {
        let error = RpcError::new(Code::Unavailable, "not now");
        Err(error.with_retry_after(Duration::from_millis(6_500)))
    });
    let upstream = Rig::started([busy]).await;
    let answer = upstream.ask("Rpc-Procedure: busy\r\n", "").await;
    assert_eq!(answer.header("retry-after"), Some("7"));
    assert_eq!(answer.status, 503);
}

/// A dispatcher with these procedures, of which there is one call at a time.
fn one_at_a_time(procedures: impl IntoIterator<Item = Procedure>) -> Dispatcher {
    let builder = Dispatcher::builder("pets").layer(ConcurrencyLimit::new(1));
    let builder = procedures
        .into_iter()
        .fold(builder, |it, procedure| it.procedure(procedure));
    built(builder).0
}

fn hang() -> Procedure {
    Procedure::unary("hang", async |_| std::future::pending().await)
}

#[tokio::test]
async fn a_call_too_many_does_not_wait_and_there_is_room_when_another_was_dropped() {
    let dispatcher = one_at_a_time([hang(), echo("echo")]);
    let mut hanging = Box::pin(call(&dispatcher, "hang"));
    assert!((&mut hanging).now_or_never().is_none());
    let refused = call(&dispatcher, "echo").now_or_never();
    let refused = refused.expect("it does not wait").unwrap_err();
    assert_eq!(refused.code, Code::ResourceExhausted);
    let reason = refused.reason.as_deref();
    assert_eq!(reason, Some("dispatcher.limit.concurrency"));
    assert_eq!(refused.retry_after(), Some(Duration::from_secs(1)));
    drop(hanging);
    call(&dispatcher, "echo").await.expect("there is room");
    call(&dispatcher, "echo")
        .await
        .expect("there is room again");
}

#[tokio::test]
async fn a_stream_has_its_place_to_its_end_or_until_it_is_given_up() {
    let source = Source::new();
    let dispatcher = one_at_a_time([source.procedure("count"), echo("echo")]);
    let called = dispatcher.call(Shape::ServerStream, Request::new("count", ""));
    let mut messages = called.await.unwrap().messages;
    source.send("a");
    assert_eq!(messages.next().await.unwrap().unwrap(), "a");
    call(&dispatcher, "echo").await.expect_err("it is open");
    source.end();
    assert_eq!(messages.next().await, None);
    call(&dispatcher, "echo").await.expect("it has ended");

    let source = Source::new();
    let dispatcher = one_at_a_time([source.procedure("count"), echo("echo")]);
    let called = dispatcher.call(Shape::ServerStream, Request::new("count", ""));
    let response = called.await.unwrap();
    call(&dispatcher, "echo").await.expect_err("it is open");
    drop(response);
    call(&dispatcher, "echo").await.expect("it was given up");
}

#[tokio::test]
async fn errors_and_panics_give_their_place_back() {
    let fail = Procedure::unary("fail", async |_| Err(RpcError::new(Code::Aborted, "")));
    let panic = Procedure::unary("panic", async |_| panic!("at once"));
    let dispatcher = one_at_a_time([fail, panic, echo("echo")]);
    for procedure in ["fail", "panic", "fail"] {
        let error = call(&dispatcher, procedure).await.unwrap_err();
        assert_ne!(error.code, Code::ResourceExhausted);
    }
    call(&dispatcher, "echo").await.expect("there is room");
}

#[tokio::test]
async fn without_any_room_nothing_is_let_in_and_a_limit_beyond_counting_is_none() {
    for (calls, expected) in [(0, false), (usize::MAX, true)] {
        let limited = echo("echo").layer(ConcurrencyLimit::new(calls));
        let (dispatcher, _) = built(Dispatcher::builder("pets").procedure(limited));
        assert_eq!(call(&dispatcher, "echo").await.is_ok(), expected);
    }
}
