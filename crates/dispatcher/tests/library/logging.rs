//! The span and the line of a call.

use std::sync::Arc;
use std::time::Duration;

use dispatcher::middleware::{Logging, Metrics};
use dispatcher::{
    Code, Dispatcher, HttpInbound, Messages, Meta, Outbound, Procedure, Relay, Request, Response,
    RpcError, Shape,
};
use lifecycle_core::component;
use tokio::sync::Notify;

use crate::kit::{Source, built, echo, texts};
use crate::log;
use crate::metrics::Series;
use crate::rig::{Listener, Rig, any_port, hanging, within};

/// A dispatcher of this procedure whose calls are logged, and which has logged nothing yet.
fn logging(procedure: Procedure) -> Dispatcher {
    log::capture();
    let builder = Dispatcher::builder("pets").layer(Logging::new());
    built(builder.procedure(procedure)).0
}

/// The only line that was written, and no span.
#[track_caller]
fn line() -> String {
    let written = log::take().into_iter();
    let mut lines: Vec<_> = written.filter(|it| !it.starts_with("span")).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

fn failing(code: Code) -> Procedure {
    Procedure::unary("fail", move |_| {
        let error = RpcError::new(code, "secret of the pet").with_reason("pets.broken");
        std::future::ready(Err(error))
    })
}

#[tokio::test(start_paused = true)]
async fn a_call_is_one_span_and_one_line_with_what_is_known_of_it() {
    let slow = Procedure::unary("say::*", async |request: Request| {
        tracing::info!(target: "rpc", event = "inside");
        tokio::time::sleep(Duration::from_micros(2_000)).await;
        Ok(Response::message(request.into_message().await?))
    });
    let dispatcher = logging(slow);
    let mut request = Request::new("say::hello", "");
    request.meta.caller = Some("shop".to_owned());
    request.meta.encoding = Some("json".to_owned());
    request.meta.transport = Some("pigeon");
    dispatcher.call(Shape::Unary, request).await.unwrap();
    assert_eq!(
        log::take(),
        [
            "span call procedure=say::* shape=unary caller=shop",
            "INFO event=inside in=call",
            "span records code=OK",
            "INFO event=call.ended procedure=say::* called=say::hello shape=unary caller=shop transport=pigeon encoding=json \
             code=OK duration_ms=2.0",
        ]
    );
}

#[tokio::test]
async fn headers_keys_messages_and_texts_of_errors_are_never_logged_and_names_are_shortened() {
    let dispatcher = logging(failing(Code::NotFound));
    let mut request = Request::new("fail", "secret message");
    let meta = &mut request.meta;
    meta.headers
        .append("authorization", "secret token")
        .unwrap();
    meta.shard_key = Some("secret shard".to_owned());
    meta.routing_key = Some("secret route".to_owned());
    meta.caller = Some("x".repeat(10_000));
    let answer = dispatcher.call(Shape::Unary, request).await;
    answer.expect_err("it fails");
    let written = log::take();
    assert_eq!(written.len(), 3);
    for line in written {
        assert!(!line.contains("secret") && line.len() < 400, "{line}");
    }
}

#[tokio::test]
async fn the_level_says_whether_somebody_should_look() {
    for code in Code::ALL {
        let dispatcher = logging(failing(code));
        let answer = dispatcher
            .call(Shape::Unary, Request::new("fail", ""))
            .await;
        answer.expect_err("it fails");
        let level = match code {
            Code::Unknown | Code::Internal | Code::DataLoss => "ERROR",
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => "WARN",
            _ => "INFO",
        };
        let line = line();
        assert!(line.starts_with(level), "{line}");
        assert!(
            line.contains(&format!("code={code} reason=pets.broken")),
            "{line}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn the_line_of_a_stream_is_written_when_it_ends() {
    let source = Source::new();
    let dispatcher = logging(source.procedure("count"));
    let called = dispatcher.call(Shape::ServerStream, Request::new("count", ""));
    let mut messages = called.await.unwrap().messages;
    source.send("a");
    source.send("b");
    assert_eq!(messages.next().await.unwrap().unwrap(), "a");
    tokio::time::advance(Duration::from_secs(3)).await;
    assert_eq!(log::take(), ["span call procedure=count shape=stream"]);
    source.end();
    assert_eq!(texts(messages).await.unwrap(), "b");
    let line = line();
    assert!(
        line.contains("code=OK messages=2 duration_ms=3000"),
        "{line}"
    );
}

#[tokio::test]
async fn a_stream_that_breaks_off_and_one_that_nobody_reads_on_have_ended_too() {
    let source = Source::new();
    let dispatcher = logging(source.procedure("count"));
    let called = dispatcher.call(Shape::ServerStream, Request::new("count", ""));
    let messages = called.await.unwrap().messages;
    source.send("a");
    source.fail(RpcError::new(Code::DataLoss, "gone"));
    texts(messages).await.expect_err("it breaks off");
    let broken = line();
    assert!(
        broken.starts_with("ERROR") && broken.contains("code=DATA_LOSS messages=1"),
        "{broken}"
    );

    let source = Source::new();
    let dispatcher = logging(source.procedure("count"));
    let called = dispatcher.call(Shape::ServerStream, Request::new("count", ""));
    drop(called.await.unwrap());
    let left = line();
    assert!(
        left.starts_with("INFO") && left.contains("code=CANCELLED messages=0"),
        "{left}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_was_cancelled_or_came_to_its_deadline() {
    for (deadline, code) in [(None, "CANCELLED"), (Some(1), "DEADLINE_EXCEEDED")] {
        let dispatcher = logging(Procedure::unary("hang", async |_| {
            std::future::pending().await
        }));
        let mut request = Request::new("hang", "");
        let now = tokio::time::Instant::now();
        request.meta.deadline = deadline.map(|it| (now + Duration::from_secs(it)).into_std());
        let called = dispatcher.call(Shape::Unary, request);
        let limited = tokio::time::timeout(Duration::from_secs(1), called).await;
        limited.expect_err("it hangs");
        let line = line();
        assert!(line.contains(&format!("code={code} ")), "{line}");
    }
}

#[tokio::test]
async fn a_panic_is_an_internal_error_at_the_beginning_and_in_a_stream() {
    let panicking = Procedure::unary("panic", async |_| panic!("at once"));
    let dispatcher = logging(panicking);
    let answer = dispatcher
        .call(Shape::Unary, Request::new("panic", ""))
        .await;
    assert_eq!(answer.unwrap_err().code, Code::Internal);
    let at_once = line();
    assert!(
        at_once.starts_with("ERROR") && at_once.contains("code=INTERNAL"),
        "{at_once}"
    );

    let later = Procedure::server_stream("panic", async |_| {
        let messages = futures_util::stream::poll_fn(|_| panic!("later"));
        Ok(Response::new(Messages::stream(messages)))
    });
    let dispatcher = logging(later);
    let called = dispatcher.call(Shape::ServerStream, Request::new("panic", ""));
    let error = texts(called.await.unwrap().messages).await.unwrap_err();
    assert_eq!(error.code, Code::Internal);
    let later = line();
    assert!(
        later.starts_with("ERROR") && later.contains("code=INTERNAL"),
        "{later}"
    );
}

#[tokio::test]
async fn an_answer_of_another_shape_is_logged_as_what_the_caller_is_told() {
    let wrong = Procedure::unary("wrong", async |_| Ok(Response::empty()));
    let dispatcher = logging(wrong);
    let answer = dispatcher
        .call(Shape::Unary, Request::new("wrong", ""))
        .await;
    assert_eq!(answer.unwrap_err().code, Code::Internal);
    assert!(line().contains("code=INTERNAL"));
}

#[tokio::test]
async fn calls_that_go_elsewhere_name_their_outbound() {
    log::capture();
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let carrier = dispatcher::handler_fn(async |_| Ok(Response::message("back")));
    let plants = Outbound::new("plants", [Shape::Unary], idle, carrier).layer(Logging::new());
    let builder = Dispatcher::builder("pets")
        .outbound(plants)
        .procedure(Relay::to("plants").procedure(Shape::Unary, "grow::*"))
        .procedure(echo("echo"));
    let (dispatcher, _) = built(builder);
    let request = Request {
        meta: Meta::new("grow::roses"),
        messages: Messages::one(""),
    };
    dispatcher.call(Shape::Unary, request).await.unwrap();
    let line = line();
    let expected = "procedure=grow::roses outbound=plants:default:unary shape=unary code=OK";
    assert!(line.contains(expected), "{line}");
}

#[tokio::test]
async fn over_http_deadlines_and_clients_that_go_away_end_calls_too() {
    log::capture();
    let (series, _guard) = Series::here();
    let (source, entered, dropped) = (Source::new(), Arc::default(), Arc::new(Notify::new()));
    let builder = Dispatcher::builder("pets")
        .layer(Logging::new())
        .layer(Metrics::new())
        .procedure(source.procedure("count"))
        .procedure(hanging(&entered, &dropped));
    let rig = Rig::of(builder, HttpInbound::new(any_port())).await;

    let head = "Rpc-Procedure: hang\r\nRpc-Caller: shop\r\nRpc-Ttl-Ms: 50\r\n";
    let answer = rig.ask(head, "").await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    within(dropped.notified()).await;
    let late = line();
    assert!(late.starts_with("WARN"), "{late}");
    let said = "procedure=hang shape=unary caller=shop transport=http code=DEADLINE_EXCEEDED";
    assert!(late.contains(said), "{late}");

    let mut listener = Listener::get(&rig, "count", "").await;
    source.send("a");
    listener.hear("data: ").await;
    drop(listener);
    within(source.dropped()).await;
    let left = line();
    assert!(
        left.contains("transport=http code=CANCELLED messages=1"),
        "{left}"
    );
    assert_eq!(
        series.of("omnirelay_rpc_requests_"),
        "in_flight{procedure=count,shape=stream} 0\n\
         in_flight{procedure=hang,shape=unary} 0\n\
         total{procedure=count,shape=stream,code=CANCELLED} 1\n\
         total{procedure=hang,shape=unary,code=DEADLINE_EXCEEDED} 1"
    );
}

#[tokio::test]
async fn a_quiet_one_writes_what_nobody_need_look_at_at_debug() {
    for code in Code::ALL {
        log::capture();
        let builder = Dispatcher::builder("pets").layer(Logging::new().quiet());
        let (dispatcher, _) = built(builder.procedure(failing(code)));
        let called = dispatcher.call(Shape::Unary, Request::new("fail", ""));
        called.await.expect_err("it fails");
        let level = match code {
            Code::Unknown | Code::Internal | Code::DataLoss => "ERROR",
            Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded => "WARN",
            _ => "DEBUG",
        };
        let line = line();
        assert!(line.starts_with(level), "{line}");
    }
}

#[tokio::test]
async fn a_call_that_finds_nothing_is_a_line_with_what_it_was_called() {
    let dispatcher = logging(echo("echo"));
    let called = dispatcher.call(Shape::Unary, Request::new("other", ""));
    called.await.expect_err("there is none");
    let line = line();
    assert!(
        line.starts_with(
            "INFO event=call.ended procedure=unknown called=other shape=unary code=UNIMPLEMENTED \
             reason=dispatcher.procedure.unknown"
        ),
        "{line}"
    );
}
