//! Calls to others that are tried again.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dispatcher::middleware::Retries;
use dispatcher::{
    Code, DEFAULT_KEY, Dispatcher, HttpInbound, HttpOutbound, Messages, Meta, Outbound, Procedure,
    Request, Response, RpcError, Shape,
};
use futures_util::FutureExt as _;
use lifecycle_core::{Backoff, Jitter, component};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::kit::{built, stream};
use crate::metrics::Series;
use crate::rig::{Rig, any_port};

/// A way to a service that answers as it is told, and notes when it was asked, in milliseconds, and with which message.
struct Flaky {
    dispatcher: Dispatcher,
    asked: Arc<Mutex<Vec<(u128, String)>>>,
}

impl Flaky {
    /// Answers with these errors, one after the other, and then with success.
    fn new(retries: Retries, errors: impl IntoIterator<Item = RpcError>) -> Self {
        let errors: Vec<_> = errors.into_iter().collect();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (begun, noted) = (Instant::now(), Arc::clone(&asked));
        let carrier = dispatcher::handler_fn(move |request: Request| {
            let (noted, errors) = (Arc::clone(&noted), errors.clone());
            async move {
                let message = match request.messages.is_stream() {
                    true => "a stream".to_owned(),
                    false => String::from_utf8_lossy(&request.into_message().await?).into_owned(),
                };
                let mut noted = noted.lock().unwrap();
                noted.push((begun.elapsed().as_millis(), message));
                match errors.get(noted.len() - 1) {
                    Some(error) => Err(error.clone()),
                    None => Ok(Response::message("back")),
                }
            }
        });
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        let plants = Outbound::new("plants", Shape::ALL, idle, carrier).layer(retries);
        let (dispatcher, _) = built(Dispatcher::builder("pets").outbound(plants));
        Self { dispatcher, asked }
    }

    async fn call(&self, shape: Shape, request: Request) -> Result<Response, RpcError> {
        let way = self.dispatcher.outbound("plants", Some(DEFAULT_KEY), shape);
        way.unwrap().oneshot(request).await
    }

    async fn unary(&self) -> Result<Response, RpcError> {
        self.call(Shape::Unary, Request::new("grow", "roses")).await
    }

    /// When it was asked, in milliseconds.
    fn times(&self) -> Vec<u128> {
        let asked = self.asked.lock().unwrap();
        asked.iter().map(|(at, _)| *at).collect()
    }

    fn attempts(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn unavailable() -> RpcError {
    RpcError::new(Code::Unavailable, "not now")
}

fn forever(error: &RpcError) -> Vec<RpcError> {
    vec![error.clone(); 1_000]
}

/// Waits of 100 ms, then 200 ms and so on, to the millisecond.
fn exact() -> Retries {
    let backoff = Backoff::Exponential {
        initial: Duration::from_millis(100).into(),
        factor: 2.0,
        cap: Duration::from_millis(300).into(),
    };
    Retries::new().backoff(backoff, Jitter::None)
}

fn attempts(attempts: u32) -> NonZeroU32 {
    NonZeroU32::new(attempts).expect("not 0")
}

#[tokio::test(start_paused = true)]
async fn what_is_unavailable_is_tried_again_with_the_same_message_and_growing_waits() {
    let flaky = Flaky::new(exact().attempts(attempts(5)), vec![unavailable(); 4]);
    let answer = flaky.unary().await.unwrap();
    assert_eq!(answer.into_message().await.unwrap(), "back");
    assert_eq!(flaky.times(), [0, 100, 300, 600, 900]);
    let asked = flaky.asked.lock().unwrap();
    assert!(asked.iter().all(|(_, message)| message == "roses"));
}

#[tokio::test(start_paused = true)]
async fn the_last_attempts_error_is_told_and_one_way_calls_are_repeated_too() {
    for shape in [Shape::Unary, Shape::Oneway] {
        let flaky = Flaky::new(exact(), forever(&unavailable().with_reason("plants.frost")));
        let called = flaky.call(shape, Request::new("grow", "roses"));
        let error = called.await.unwrap_err();
        assert_eq!(error.reason.as_deref(), Some("plants.frost"));
        assert_eq!(flaky.times(), [0, 100, 300]);
    }
}

#[tokio::test(start_paused = true)]
async fn by_default_there_are_three_attempts_and_the_waits_are_spread() {
    let mut seen = Vec::new();
    for _ in 0..20 {
        let flaky = Flaky::new(Retries::new(), forever(&unavailable()));
        flaky.unary().await.expect_err("it is down");
        let times = flaky.times();
        assert_eq!(times.len(), 3);
        // A timer is a millisecond late at most.
        assert!(times[1] <= 51 && times[2] - times[1] <= 101, "{times:?}");
        seen.push(times);
    }
    seen.dedup();
    assert!(seen.len() > 10, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn no_other_code_is_tried_again_unless_somebody_says_so() {
    for code in Code::ALL {
        let error = RpcError::new(code, "");
        let flaky = Flaky::new(exact(), forever(&error));
        assert_eq!(flaky.unary().await.unwrap_err(), error);
        let expected = if code == Code::Unavailable { 3 } else { 1 };
        assert_eq!(flaky.attempts(), expected, "{code}");
    }
    let error = RpcError::new(Code::Aborted, "overtaken");
    let flaky = Flaky::new(exact().code(Code::Aborted), [error]);
    flaky.unary().await.expect("the second time");
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_done_is_repeated_only_where_that_does_no_harm() {
    let broken = unavailable().with_reason("dispatcher.outbound.interrupted");
    let flaky = Flaky::new(exact(), [broken.clone()]);
    flaky.unary().await.expect_err("it may have been done");
    assert_eq!(flaky.attempts(), 1);
    let flaky = Flaky::new(exact().repeatable(), [broken]);
    flaky.unary().await.expect("the second time");
    let refused = unavailable().with_reason("dispatcher.outbound.unreachable");
    let flaky = Flaky::new(exact(), [refused]);
    flaky.unary().await.expect("the second time");
}

#[tokio::test(start_paused = true)]
async fn streams_are_not_repeated() {
    for shape in [Shape::ServerStream, Shape::ClientStream, Shape::Duplex] {
        let messages = match shape.streams_requests() {
            true => stream(&["a", "b"]),
            false => Messages::one("a"),
        };
        let meta = Meta::new("grow");
        let flaky = Flaky::new(exact(), [unavailable()]);
        let called = flaky.call(shape, Request { meta, messages });
        called.await.expect_err("it is not repeated");
        assert_eq!(flaky.attempts(), 1, "{shape}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_tried_at_the_deadline_or_after_it_and_the_error_is_told_at_once() {
    let (series, _guard) = Series::here();
    for (left, times) in [(301, vec![0, 100, 300]), (300, vec![0, 100]), (50, vec![0])] {
        let flaky = Flaky::new(exact().attempts(attempts(9)), forever(&unavailable()));
        let mut request = Request::new("grow", "roses");
        let begun = Instant::now();
        request.meta.deadline = Some((begun + Duration::from_millis(left)).into_std());
        let called = flaky.call(Shape::Unary, request);
        assert_eq!(called.await.unwrap_err(), unavailable());
        assert_eq!(flaky.times(), times);
        assert_eq!(begun.elapsed().as_millis(), *times.last().unwrap());
    }
    assert_eq!(
        series.of("omnirelay_rpc_retries_total{outbound=plants:default:unary,shape=unary,"),
        "outcome=deadline} 3\noutcome=made} 3"
    );
}

#[tokio::test(start_paused = true)]
async fn the_other_sides_wish_comes_on_top_of_the_wait_and_a_long_one_is_not_waited_for() {
    let hint = |seconds| unavailable().with_retry_after(Duration::from_secs(seconds));
    let flaky = Flaky::new(exact(), [hint(1), unavailable()]);
    flaky.unary().await.unwrap();
    assert_eq!(flaky.times(), [0, 1_100, 1_300]);
    let flaky = Flaky::new(exact(), forever(&hint(11)));
    assert_eq!(flaky.unary().await.unwrap_err(), hint(11));
    assert_eq!(flaky.times(), [0]);
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_all_calls_together_have_the_budgets_reserve() {
    let (series, _guard) = Series::here();
    // One a second, counted over ten.
    let flaky = Flaky::new(exact().budget(20, 1), forever(&unavailable()));
    for _ in 0..100 {
        flaky.unary().await.expect_err("it is down");
    }
    assert_eq!(flaky.attempts(), 100 + 10);
    let made = series.of("omnirelay_rpc_retries_total");
    let prefix = "{outbound=plants:default:unary,shape=unary,outcome=";
    assert_eq!(made, format!("{prefix}budget}} 95\n{prefix}made}} 10"));
    tokio::time::advance(Duration::from_secs(20)).await;
    flaky.unary().await.expect_err("it is down");
    assert_eq!(flaky.attempts(), 111 + 2);
}

#[tokio::test(start_paused = true)]
async fn successes_are_worth_retries_for_a_while() {
    let succeeding = |count| std::iter::repeat_n(Ok(()), count);
    let outage = std::iter::repeat_n(Err(unavailable()), 1_000);
    let told: Vec<_> = succeeding(50).chain(outage).collect();
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let carrier = dispatcher::handler_fn(move |_| {
        let mut asked = counted.lock().unwrap();
        *asked += 1;
        let answer = told[*asked - 1].clone();
        std::future::ready(answer.map(|()| Response::message("back")))
    });
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let plants = Outbound::new("plants", [Shape::Unary], idle, carrier);
    let plants = plants.layer(exact().budget(20, 0));
    let (dispatcher, _) = built(Dispatcher::builder("pets").outbound(plants));
    let call = || {
        let way = dispatcher.outbound("plants", None, Shape::Unary).unwrap();
        way.oneshot(Request::new("grow", ""))
    };
    for _ in 0..50 {
        call().await.expect("it is well");
    }
    for _ in 0..50 {
        call().await.expect_err("it is down");
    }
    // A fifth of fifty.
    assert_eq!(*asked.lock().unwrap(), 50 + 50 + 10);
}

#[tokio::test]
async fn over_http_a_call_that_was_refused_is_made_again_and_one_that_was_cut_off_is_not() {
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let shy = Procedure::unary("shy", move |request: Request| {
        let mut asked = counted.lock().unwrap();
        *asked += 1;
        let first = *asked == 1;
        async move {
            let message = request.into_message().await?;
            match first {
                true => Err(unavailable()),
                false => Ok(Response::message(message)),
            }
        }
    });
    let upstream = Rig::started([shy]).await;
    let cut = TcpListener::bind(any_port()).await.expect("a free port");
    let url = format!("http://{}/", cut.local_addr().expect("it is bound"));
    let at_once = || Retries::new().backoff(Backoff::None, Jitter::None);
    let way = |service, url: &str| {
        let outbound = HttpOutbound::new(service, url).expect("a URL");
        Outbound::from(outbound).layer(at_once())
    };
    let builder = Dispatcher::builder("shop")
        .outbound(way("pets", &upstream.url()))
        .outbound(way("cut", &url));
    let rig = Rig::of(builder, HttpInbound::new(any_port())).await;

    let answer = rig.out("pets", Shape::Unary, Request::new("shy", "again"));
    let answer = answer.await.unwrap().into_message().await.unwrap();
    assert_eq!(
        (answer.as_ref(), *asked.lock().unwrap()),
        (&b"again"[..], 2)
    );

    let cutting = async {
        let (mut stream, _) = cut.accept().await.expect("it accepts");
        stream.read_u8().await.expect("a request");
    };
    let called = rig.out("cut", Shape::Unary, Request::new("any", ""));
    let (error, ()) = tokio::join!(called, cutting);
    let reason = error.unwrap_err().reason;
    assert_eq!(reason.as_deref(), Some("dispatcher.outbound.interrupted"));
    assert!(cut.accept().now_or_never().is_none(), "it was repeated");
}
