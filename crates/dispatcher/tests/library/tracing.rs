//! The hops of a trace.

use std::sync::{Arc, Mutex};

use dispatcher::middleware::{Logging, Retries, Tracing};
use dispatcher::{
    Code, Dispatcher, DispatcherBuilder, Handler, Outbound, Procedure, Relay, Request, Response,
    RpcError, Shape,
};
use lifecycle_core::{Backoff, Jitter, component};

use crate::kit::{Source, built, echo, texts};
use crate::log;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn traced() -> DispatcherBuilder {
    Dispatcher::builder("pets").layer(Tracing::new().service("pets"))
}

fn request(procedure: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::new(procedure, "");
    for (name, value) in headers {
        request
            .meta
            .headers
            .append(*name, *value)
            .expect("a header");
    }
    request
}

/// A handler that keeps the headers about the trace of each call.
fn keeping(kept: &Arc<Mutex<Vec<String>>>) -> Handler {
    let kept = Arc::clone(kept);
    dispatcher::handler_fn(move |request: Request| {
        let about = ["traceparent", "tracestate"];
        let headers = request.meta.headers;
        let told = headers.iter().filter(|(name, _)| about.contains(name));
        let told = told.map(|(name, value)| format!("{name}: {value}"));
        kept.lock().unwrap().extend(told);
        std::future::ready(Ok(Response::message("")))
    })
}

/// The way to `plants`, which keeps what it is told.
fn plants(kept: &Arc<Mutex<Vec<String>>>) -> Outbound {
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    Outbound::new("plants", [Shape::Unary], idle, keeping(kept))
}

/// The value of `name` in a line of the log.
#[track_caller]
fn field<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, rest) = line
        .split_once(&format!(" {name}="))
        .unwrap_or_else(|| panic!("no {name} in {line}"));
    rest.split(' ').next().expect("a value")
}

#[tokio::test]
async fn a_call_goes_on_in_the_trace_of_its_caller_and_says_so_in_its_span() {
    log::capture();
    let kept = Arc::default();
    let say = Procedure::new(Shape::Unary, "say::*", keeping(&kept));
    let (dispatcher, _) = built(traced().procedure(say));
    let mut call = request(
        "say::hello",
        &[("traceparent", PARENT), ("tracestate", "a=1")],
    );
    call.meta.transport = Some("pigeon");
    dispatcher.call(Shape::Unary, call).await.unwrap();
    let written = log::take();
    let span = field(&written[0], "span_id").to_owned();
    assert_ne!(span, "00f067aa0ba902b7");
    assert_eq!(
        written,
        [
            format!(
                "span hop trace_id={TRACE} span_id={span} parent_id=00f067aa0ba902b7 sampled=true service=pets procedure=say::* \
                 shape=unary transport=pigeon"
            ),
            "span records code=OK".to_owned(),
        ]
    );
    assert_eq!(
        kept.lock().unwrap()[..],
        [
            "tracestate: a=1".to_owned(),
            format!("traceparent: 00-{TRACE}-{span}-01")
        ]
    );
}

#[tokio::test]
async fn without_a_parent_or_with_a_broken_one_a_trace_begins_and_nothing_of_the_old_is_passed_on()
{
    log::capture();
    let kept = Arc::default();
    let say = Procedure::new(Shape::Unary, "say", keeping(&kept));
    let (dispatcher, _) = built(traced().procedure(say));
    let mut traces = Vec::new();
    for headers in [
        &[][..],
        &[("traceparent", "00-0-0-01"), ("tracestate", "a=1")],
        &[("traceparent", PARENT), ("traceparent", PARENT)],
    ] {
        let call = dispatcher.call(Shape::Unary, request("say", headers));
        call.await.unwrap();
        let written = log::take();
        assert!(!written[0].contains("parent_id"), "{written:?}");
        let (trace, span) = (
            field(&written[0], "trace_id"),
            field(&written[0], "span_id"),
        );
        let kept = std::mem::take(&mut *kept.lock().unwrap());
        assert_eq!(kept, [format!("traceparent: 00-{trace}-{span}-01")]);
        traces.push(trace.to_owned());
    }
    traces.push(TRACE.to_owned());
    traces.sort_unstable();
    traces.dedup();
    assert_eq!(traces.len(), 4, "each one is another");
}

#[tokio::test]
async fn a_share_of_new_traces_is_sampled_and_what_a_caller_has_chosen_stays() {
    for (percent, parent, flags) in [
        (0, None, "-00"),
        (100, None, "-01"),
        (255, None, "-01"),
        (0, Some(PARENT), "-01"),
    ] {
        let kept = Arc::default();
        let say = Procedure::new(Shape::Unary, "say", keeping(&kept));
        let layer = Tracing::new().sampled_percent(percent);
        let builder = Dispatcher::builder("pets").layer(layer).procedure(say);
        let (dispatcher, _) = built(builder);
        let parent = parent.map(|it| ("traceparent", it));
        let headers: Vec<_> = parent.into_iter().collect();
        let call = dispatcher.call(Shape::Unary, request("say", &headers));
        call.await.unwrap();
        let kept = kept.lock().unwrap();
        assert!(kept[0].ends_with(flags), "{percent}: {kept:?}");
    }
}

#[tokio::test]
async fn hops_share_a_trace_from_the_caller_through_a_relay_to_each_attempt_at_its_upstream() {
    log::capture();
    let kept: Arc<Mutex<Vec<String>>> = Arc::default();
    let failing = Arc::new(Mutex::new(1));
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let inner = keeping(&kept);
    let carrier = dispatcher::handler_fn(move |request| {
        let (inner, failing) = (inner.clone(), Arc::clone(&failing));
        async move {
            let answer = tower::ServiceExt::oneshot(inner, request).await;
            let mut left = failing.lock().unwrap();
            match *left {
                0 => answer,
                _ => {
                    *left -= 1;
                    Err(RpcError::new(Code::Unavailable, "not now"))
                }
            }
        }
    });
    let plants = Outbound::new("plants", [Shape::Unary], idle, carrier)
        .layer(Retries::new().backoff(Backoff::None, Jitter::None))
        .layer(Tracing::new().service("pets"));
    let relay = Relay::to("plants").procedure(Shape::Unary, "grow::*");
    let (dispatcher, _) = built(traced().outbound(plants).procedure(relay));
    let call = request("grow::roses", &[("traceparent", PARENT)]);
    dispatcher.call(Shape::Unary, call).await.unwrap();

    let written = log::take();
    let hops: Vec<_> = written
        .iter()
        .filter(|it| it.starts_with("span hop"))
        .collect();
    let [came, first, second] = hops[..] else {
        panic!("{written:?}");
    };
    for hop in [came, first, second] {
        assert_eq!(field(hop, "trace_id"), TRACE);
    }
    for attempt in [first, second] {
        assert_eq!(field(attempt, "parent_id"), field(came, "span_id"));
        assert_eq!(field(attempt, "outbound"), "plants:default:unary");
        assert_eq!(field(attempt, "procedure"), "grow::roses");
    }
    assert_eq!(field(came, "procedure"), "grow::*");
    let sent = |hop: &str| format!("traceparent: 00-{TRACE}-{}-01", field(hop, "span_id"));
    assert_eq!(kept.lock().unwrap()[..], [sent(first), sent(second)]);
    assert_ne!(field(first, "span_id"), field(second, "span_id"));
}

#[tokio::test]
async fn without_the_layer_the_trace_of_a_caller_is_passed_on_as_it_came() {
    let kept = Arc::default();
    let relay = Relay::to("plants").procedure(Shape::Unary, "grow::*");
    let builder = Dispatcher::builder("pets").outbound(plants(&kept));
    let (dispatcher, _) = built(builder.procedure(relay));
    let headers = [("traceparent", PARENT), ("tracestate", "a=1")];
    let call = dispatcher.call(Shape::Unary, request("grow::roses", &headers));
    call.await.unwrap();
    let as_it_came = [
        format!("traceparent: {PARENT}"),
        "tracestate: a=1".to_owned(),
    ];
    assert_eq!(kept.lock().unwrap()[..], as_it_came);
}

#[tokio::test]
async fn the_span_of_a_stream_ends_with_it_and_holds_what_is_logged_of_it() {
    log::capture();
    let source = Source::new();
    let builder = traced().layer(Logging::new());
    let (dispatcher, _) = built(builder.procedure(source.procedure("count")));
    let called = dispatcher.call(Shape::ServerStream, request("count", &[]));
    let messages = called.await.unwrap().messages;
    source.send("a");
    assert!(
        !log::take().iter().any(|it| it.contains("code=")),
        "it has not ended"
    );
    source.fail(RpcError::new(Code::Aborted, "enough").with_reason("pets.enough"));
    texts(messages).await.expect_err("it fails");
    let written = log::take();
    assert!(
        written[1].starts_with("INFO event=call.ended") && written[1].ends_with(" in=hop"),
        "{written:?}"
    );
    assert_eq!(
        written[2..],
        [
            "span records code=ABORTED",
            "span records reason=pets.enough"
        ]
    );
}

#[tokio::test]
async fn a_stream_that_is_given_up_is_told_within_its_span() {
    log::capture();
    let source = Source::new();
    let builder = traced().layer(Logging::new());
    let (dispatcher, _) = built(builder.procedure(source.procedure("count")));
    let called = dispatcher.call(Shape::ServerStream, request("count", &[]));
    drop(called.await.unwrap());
    let written = log::take();
    let line = written.iter().find(|it| it.contains("event=call.ended"));
    let line = line.unwrap_or_else(|| panic!("{written:?}"));
    assert!(
        line.contains("code=CANCELLED") && line.ends_with(" in=hop"),
        "{line}"
    );
    assert_eq!(written.last().unwrap(), "span records code=CANCELLED");
}

#[tokio::test]
async fn a_call_that_finds_nothing_is_a_hop_too() {
    log::capture();
    let (dispatcher, _) = built(traced().procedure(echo("echo")));
    let call = dispatcher.call(Shape::Unary, request("other", &[("traceparent", PARENT)]));
    call.await.expect_err("there is none");
    let written = log::take();
    assert_eq!(field(&written[0], "trace_id"), TRACE);
    assert_eq!(field(&written[0], "procedure"), "unknown");
    assert_eq!(
        written[1..],
        [
            "span records code=UNIMPLEMENTED",
            "span records reason=dispatcher.procedure.unknown"
        ]
    );
}
