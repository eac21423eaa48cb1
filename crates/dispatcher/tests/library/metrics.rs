//! How calls are counted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dispatcher::middleware::Metrics;
use dispatcher::{
    Code, Dispatcher, Handler, Outbound, Procedure, Relay, Request, Response, RpcError, Shape,
};
use futures_util::FutureExt as _;
use lifecycle_core::component;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tokio::sync::Notify;
use tower::{Layer as _, ServiceExt as _};

use crate::kit::{Source, built, echo, texts};
use crate::rig::{Listener, Rig, hanging};

/// Keeps every series by its full name: counts, and sums of what was recorded.
#[derive(Clone, Default)]
pub(crate) struct Series(Arc<Mutex<BTreeMap<String, f64>>>);

struct One {
    name: String,
    all: Series,
}

impl Series {
    /// What this thread counts from now on goes here.
    pub(crate) fn here() -> (Self, impl Drop) {
        let series = Self::default();
        let leaked: &'static Self = Box::leak(Box::new(series.clone()));
        (series, metrics::set_default_local_recorder(leaked))
    }

    fn one(&self, key: &Key) -> Arc<One> {
        let labels = key
            .labels()
            .map(|it| format!("{}={}", it.key(), it.value()));
        let labels = labels.collect::<Vec<_>>().join(",");
        let name = format!("{}{{{labels}}}", key.name());
        self.add(&name, 0.0);
        let all = self.clone();
        Arc::new(One { name, all })
    }

    fn add(&self, name: &str, value: f64) {
        *self.0.lock().unwrap().entry(name.to_owned()).or_default() += value;
    }

    fn set(&self, name: &str, value: f64) {
        self.0.lock().unwrap().insert(name.to_owned(), value);
    }

    /// All series that begin with `prefix`, without it, in their order.
    pub(crate) fn of(&self, prefix: &str) -> String {
        let series = self.0.lock().unwrap();
        let found = series.iter().filter_map(|(name, value)| {
            let rest = name.strip_prefix(prefix)?;
            Some(format!("{rest} {value}"))
        });
        found.collect::<Vec<_>>().join("\n")
    }
}

impl CounterFn for One {
    fn increment(&self, value: u64) {
        self.all
            .add(&self.name, u32::try_from(value).unwrap().into());
    }

    fn absolute(&self, value: u64) {
        self.all
            .set(&self.name, u32::try_from(value).unwrap().into());
    }
}

impl GaugeFn for One {
    fn increment(&self, value: f64) {
        self.all.add(&self.name, value);
    }

    fn decrement(&self, value: f64) {
        self.all.add(&self.name, -value);
    }

    fn set(&self, value: f64) {
        self.all.set(&self.name, value);
    }
}

impl HistogramFn for One {
    fn record(&self, value: f64) {
        self.all.add(&self.name, value);
    }
}

impl Recorder for Series {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.one(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.one(key))
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.one(key))
    }
}

fn counting(procedures: impl IntoIterator<Item = Procedure>) -> Dispatcher {
    let builder = Dispatcher::builder("pets").layer(Metrics::new());
    let builder = procedures
        .into_iter()
        .fold(builder, |it, procedure| it.procedure(procedure));
    built(builder).0
}

#[tokio::test(start_paused = true)]
async fn a_call_is_counted_by_the_registered_name_its_shape_and_its_code() {
    let (series, _guard) = Series::here();
    let slow = Procedure::unary("slow::*", async |_| {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Err(RpcError::new(Code::NotFound, "no such pet"))
    });
    let dispatcher = counting([
        slow,
        echo("echo").alias("say"),
        Procedure::oneway("note", async |_| Ok(())),
    ]);
    for (shape, procedure) in [
        (Shape::Unary, "say"),
        (Shape::Unary, "ECHO"),
        (Shape::Unary, "slow::a"),
        (Shape::Unary, "slow::b"),
        (Shape::Oneway, "note"),
    ] {
        let _ = dispatcher.call(shape, Request::new(procedure, "")).await;
    }
    assert_eq!(
        series.of("omnirelay_rpc_"),
        "request_duration_seconds{procedure=echo,shape=unary} 0\n\
         request_duration_seconds{procedure=note,shape=oneway} 0\n\
         request_duration_seconds{procedure=slow::*,shape=unary} 4\n\
         requests_in_flight{procedure=echo,shape=unary} 0\n\
         requests_in_flight{procedure=note,shape=oneway} 0\n\
         requests_in_flight{procedure=slow::*,shape=unary} 0\n\
         requests_total{procedure=echo,shape=unary,code=OK} 2\n\
         requests_total{procedure=note,shape=oneway,code=OK} 1\n\
         requests_total{procedure=slow::*,shape=unary,code=NOT_FOUND} 2"
    );
}

#[tokio::test]
async fn every_code_is_counted_under_its_own_name() {
    let (series, _guard) = Series::here();
    let fail = Procedure::unary("fail", async |request: Request| {
        let code = request.into_message().await?;
        let code = String::from_utf8_lossy(&code).parse().expect("a code");
        Err(RpcError::new(code, ""))
    });
    let dispatcher = counting([fail]);
    for code in Code::ALL {
        let called = dispatcher.call(Shape::Unary, Request::new("fail", code.as_str()));
        assert_eq!(called.await.unwrap_err().code, code);
        let name =
            format!("omnirelay_rpc_requests_total{{procedure=fail,shape=unary,code={code}}}");
        assert_eq!(series.of(&name), " 1");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_is_in_flight_to_the_end_of_its_stream() {
    let (series, _guard) = Series::here();
    let source = Source::new();
    let dispatcher = counting([source.procedure("count")]);
    let in_flight = || series.of("omnirelay_rpc_requests_in_flight{procedure=count,shape=stream}");
    let ended = || series.of("omnirelay_rpc_requests_total");
    let called = dispatcher.call(Shape::ServerStream, Request::new("count", ""));
    let messages = called.await.unwrap().messages;
    assert_eq!((&*in_flight(), &*ended()), (" 1", ""));
    tokio::time::advance(Duration::from_secs(5)).await;
    source.send("a");
    source.end();
    texts(messages).await.unwrap();
    assert_eq!(in_flight(), " 0");
    assert_eq!(ended(), "{procedure=count,shape=stream,code=OK} 1");
    let lasted = series.of("omnirelay_rpc_request_duration_seconds");
    assert_eq!(lasted, "{procedure=count,shape=stream} 5");
}

#[tokio::test]
async fn what_is_dropped_and_what_panics_is_in_flight_no_longer() {
    let (series, _guard) = Series::here();
    let source = Source::new();
    let dispatcher = counting([
        source.procedure("count"),
        Procedure::unary("hang", async |_| std::future::pending().await),
        Procedure::unary("panic", async |_| panic!("at once")),
    ]);
    let mut hanging = Box::pin(dispatcher.call(Shape::Unary, Request::new("hang", "")));
    assert!((&mut hanging).now_or_never().is_none());
    let in_flight = series.of("omnirelay_rpc_requests_in_flight{procedure=hang");
    assert_eq!(in_flight, ",shape=unary} 1");
    drop(hanging);
    let called = dispatcher.call(Shape::ServerStream, Request::new("count", ""));
    drop(called.await.unwrap());
    let called = dispatcher.call(Shape::Unary, Request::new("panic", ""));
    called.await.expect_err("it panics");
    assert_eq!(
        series.of("omnirelay_rpc_requests_"),
        "in_flight{procedure=count,shape=stream} 0\n\
         in_flight{procedure=hang,shape=unary} 0\n\
         in_flight{procedure=panic,shape=unary} 0\n\
         total{procedure=count,shape=stream,code=CANCELLED} 1\n\
         total{procedure=hang,shape=unary,code=CANCELLED} 1\n\
         total{procedure=panic,shape=unary,code=INTERNAL} 1"
    );
}

#[tokio::test(start_paused = true)]
async fn calls_to_others_are_series_of_their_own_by_outbound_whatever_they_call() {
    let (series, _guard) = Series::here();
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let carrier = dispatcher::handler_fn(async |_| Ok(Response::message("back")));
    let plants = Outbound::new("plants", [Shape::Unary], idle, carrier).layer(Metrics::new());
    let builder = Dispatcher::builder("pets")
        .outbound(plants)
        .procedure(Relay::to("plants").procedure(Shape::Unary, "grow::*"));
    let (dispatcher, _) = built(builder);
    for procedure in ["grow::roses", "grow::tulips"] {
        let called = dispatcher.call(Shape::Unary, Request::new(procedure, ""));
        called.await.unwrap();
    }
    assert_eq!(
        series.of("omnirelay_rpc_"),
        "outbound_request_duration_seconds{outbound=plants:default:unary,shape=unary} 0\n\
         outbound_requests_in_flight{outbound=plants:default:unary,shape=unary} 0\n\
         outbound_requests_total{outbound=plants:default:unary,shape=unary,code=OK} 2"
    );
}

#[tokio::test]
async fn around_a_bare_handler_callers_make_no_series_either() {
    let (series, _guard) = Series::here();
    let bare = dispatcher::handler_fn(async |_| Ok(Response::message("")));
    let counted: Handler = Metrics::new().layer(bare);
    for procedure in ["a", "b"] {
        let called = counted.clone().oneshot(Request::new(procedure, ""));
        called.await.unwrap();
    }
    let ended = series.of("omnirelay_rpc_requests_total");
    assert_eq!(ended, "{procedure=unknown,shape=unknown,code=OK} 2");
}

#[tokio::test]
async fn calls_that_find_nothing_are_counted_together_whatever_they_are_called() {
    let (series, _guard) = Series::here();
    let dispatcher = counting([echo("echo")]);
    for procedure in ["a", "b", "c", ""] {
        let called = dispatcher.call(Shape::Unary, Request::new(procedure, ""));
        called.await.expect_err("there is no such procedure");
    }
    assert_eq!(
        series.of("omnirelay_rpc_requests_"),
        "in_flight{procedure=unknown,shape=unary} 0\n\
         total{procedure=unknown,shape=unary,code=INVALID_ARGUMENT} 1\n\
         total{procedure=unknown,shape=unary,code=UNIMPLEMENTED} 3"
    );
}

/// What is counted of requests over HTTP, but how long they lasted.
fn of_http(series: &Series) -> String {
    let all = series.of("omnirelay_http_");
    let lines = all.lines().filter(|it| !it.starts_with("request_duration"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn requests_over_http_are_counted_by_protocol_shape_and_status_and_probes_are_not() {
    let (series, _guard) = Series::here();
    let swallow = Procedure::oneway("swallow", async |_| Ok(()));
    let rig = Rig::started([echo("echo"), swallow]).await;
    for head in [
        "Rpc-Procedure: echo\r\n",
        "Rpc-Procedure: Echo\r\n",
        "Rpc-Procedure: swallow\r\n",
        "Rpc-Procedure: a\r\n",
        "Rpc-Procedure: b\r\n",
        "",
        "Rpc-Ttl-Ms: soon\r\n",
    ] {
        rig.ask(head, "x").await;
    }
    for head in [
        "PURGE / HTTP/1.0\r\n",
        "GET /readyz HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nRpc-Procedure: x\r\n",
    ] {
        let head = format!("{head}Host: x\r\nConnection: close\r\n\r\n");
        rig.write(head.as_bytes()).await;
    }
    assert_eq!(
        of_http(&series),
        "requests_completed_total{protocol=HTTP/1.0,shape=none,status=405} 1\n\
         requests_completed_total{protocol=HTTP/1.1,shape=none,status=400} 1\n\
         requests_completed_total{protocol=HTTP/1.1,shape=none,status=406} 1\n\
         requests_completed_total{protocol=HTTP/1.1,shape=oneway,status=202} 1\n\
         requests_completed_total{protocol=HTTP/1.1,shape=unary,status=200} 2\n\
         requests_completed_total{protocol=HTTP/1.1,shape=unary,status=400} 1\n\
         requests_completed_total{protocol=HTTP/1.1,shape=unary,status=501} 2\n\
         requests_started_total{protocol=HTTP/1.0} 1\n\
         requests_started_total{protocol=HTTP/1.1} 8"
    );
    let lasted = series.of("omnirelay_http_request_duration_seconds");
    assert_eq!(lasted.lines().count(), 4, "{lasted}");
}

#[tokio::test]
async fn a_stream_over_http_is_complete_with_its_last_message_and_each_one_is_counted() {
    let (series, _guard) = Series::here();
    let source = Source::new();
    let rig = Rig::started([source.procedure("count")]).await;
    let mut listener = Listener::get(&rig, "count", "Rpc-Encoding: text\r\n").await;
    source.send("a");
    listener.hear("data: a\n\n").await;
    assert_eq!(
        of_http(&series),
        "requests_started_total{protocol=HTTP/1.1} 1\n\
         server_stream_response_messages_total{} 1"
    );
    source.send("b");
    source.fail(RpcError::new(Code::Aborted, "enough"));
    listener.rest().await;
    assert_eq!(
        of_http(&series),
        "requests_completed_total{protocol=HTTP/1.1,shape=stream,status=200} 1\n\
         requests_started_total{protocol=HTTP/1.1} 1\n\
         server_stream_response_messages_total{} 2"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_before_its_answer_is_a_request_with_status_499() {
    let (series, _guard) = Series::here();
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let rig = Rig::started([hanging(&entered, &dropped)]).await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: hang\r\nContent-Length: 0\r\n\r\n";
    let listener = Listener::ask(&rig, head).await;
    entered.notified().await;
    drop(listener);
    // What counts is dropped with the handler, before anybody else's turn.
    dropped.notified().await;
    assert_eq!(
        of_http(&series),
        "requests_completed_total{protocol=HTTP/1.1,shape=unary,status=499} 1\n\
         requests_started_total{protocol=HTTP/1.1} 1"
    );
}
