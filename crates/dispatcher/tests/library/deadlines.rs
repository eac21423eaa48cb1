//! Deadlines that a service sets.

use std::sync::Arc;
use std::time::Duration;

use dispatcher::middleware::Deadlines;
use dispatcher::{
    Code, Dispatcher, Outbound, Procedure, Relay, Request, Response, RpcError, Shape,
};
use lifecycle_core::component;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::kit::{Source, built};
use crate::rig::hanging;

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn limiting(deadlines: Deadlines, procedure: Procedure) -> Dispatcher {
    let builder = Dispatcher::builder("pets").layer(deadlines);
    built(builder.procedure(procedure)).0
}

/// A call whose caller waits for `time`.
fn waiting(procedure: &str, time: Option<Duration>) -> Request {
    let mut request = Request::new(procedure, "");
    request.meta.deadline = time.map(|it| (Instant::now() + it).into_std());
    request
}

/// Answers with how many seconds are left, or with nothing.
async fn tell(request: Request) -> Result<Response, RpcError> {
    let left = request.meta.time_left(Instant::now().into_std());
    let left = left.map(|it| it.as_secs().to_string());
    Ok(Response::message(left.unwrap_or_default()))
}

#[tokio::test(start_paused = true)]
async fn who_does_not_say_gets_the_default_and_nobody_more_than_the_limit() {
    let both = Deadlines::new().unless_set(seconds(5)).at_most(seconds(60));
    let crossed = Deadlines::new()
        .unless_set(seconds(90))
        .at_most(seconds(60));
    for (deadlines, wanted, left) in [
        (both, None, "5"),
        (both, Some(seconds(30)), "30"),
        (both, Some(seconds(2)), "2"),
        (both, Some(seconds(3600)), "60"),
        (crossed, None, "60"),
        (Deadlines::new().at_most(seconds(60)), None, "60"),
        (
            Deadlines::new().unless_set(seconds(5)),
            Some(seconds(90)),
            "90",
        ),
        (Deadlines::new(), None, ""),
    ] {
        let dispatcher = limiting(deadlines, Procedure::unary("tell", tell));
        let called = dispatcher.call(Shape::Unary, waiting("tell", wanted));
        let told = called.await.unwrap().into_message().await.unwrap();
        assert_eq!(told, left, "{deadlines:?} {wanted:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_goes_with_a_call_that_is_passed_on() {
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let plants = Outbound::new("plants", [Shape::Unary], idle, dispatcher::handler_fn(tell));
    let builder = Dispatcher::builder("pets")
        .layer(Deadlines::new().unless_set(seconds(7)))
        .outbound(plants)
        .procedure(Relay::to("plants").procedure(Shape::Unary, "*"));
    let (dispatcher, _) = built(builder);
    let called = dispatcher.call(Shape::Unary, waiting("tell", None));
    assert_eq!(called.await.unwrap().into_message().await.unwrap(), "7");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_lasts_longer_is_dropped_and_told_so() {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let deadlines = Deadlines::new().unless_set(seconds(5));
    let dispatcher = limiting(deadlines, hanging(&entered, &dropped));
    let begun = Instant::now();
    let called = dispatcher.call(Shape::Unary, waiting("hang", None));
    assert_eq!(called.await.unwrap_err().code, Code::DeadlineExceeded);
    assert_eq!(begun.elapsed(), seconds(5));
    dropped.notified().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_too_late_is_not_begun() {
    let never = Procedure::unary("never", async |_| panic!("it was begun"));
    let dispatcher = limiting(Deadlines::new(), never);
    let called = dispatcher.call(Shape::Unary, waiting("never", Some(Duration::ZERO)));
    assert_eq!(called.await.unwrap_err().code, Code::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn of_a_stream_only_the_beginning_is_limited() {
    let deadlines = Deadlines::new().unless_set(seconds(5)).at_most(seconds(5));
    let slow = Procedure::server_stream("hang", async |_| std::future::pending().await);
    let dispatcher = limiting(deadlines, slow);
    let called = dispatcher.call(Shape::ServerStream, waiting("hang", None));
    assert_eq!(called.await.unwrap_err().code, Code::DeadlineExceeded);

    for wanted in [None, Some(seconds(3600))] {
        let source = Source::new();
        let dispatcher = limiting(deadlines, source.procedure("count"));
        let called = dispatcher.call(Shape::ServerStream, waiting("count", wanted));
        let mut messages = called.await.unwrap().messages;
        tokio::time::advance(seconds(600)).await;
        source.send("a");
        assert_eq!(messages.next().await.unwrap().unwrap(), "a");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_when_its_caller_says_or_when_it_has_lasted_long_enough() {
    for (deadlines, wanted, end) in [
        (Deadlines::new(), Some(seconds(20)), 20),
        (Deadlines::new().streams_at_most(seconds(60)), None, 60),
        (
            Deadlines::new().streams_at_most(seconds(60)),
            Some(seconds(20)),
            20,
        ),
        (
            Deadlines::new().streams_at_most(seconds(60)),
            Some(seconds(90)),
            60,
        ),
    ] {
        let source = Source::new();
        let dispatcher = limiting(deadlines, source.procedure("count"));
        let begun = Instant::now();
        let called = dispatcher.call(Shape::ServerStream, waiting("count", wanted));
        let mut messages = called.await.unwrap().messages;
        let error = messages.next().await.unwrap().unwrap_err();
        assert_eq!(error.code, Code::DeadlineExceeded);
        assert_eq!(begun.elapsed(), seconds(end));
        source.dropped().await;
    }
}
