//! [`Metrics`]: how many calls, how long, and how many at the moment.

use std::sync::{Arc, OnceLock};

use metrics::{Counter, Gauge, Histogram, Label, Unit};
use tower::{Layer, Service as _};

use super::watch::{End, Watch};
use crate::code::Code;
use crate::handler::{Handler, around};
use crate::route::{Route, RouteKind, UNKNOWN};

/// How many calls there are, how long they last, and how many there are at the moment, by the façade `metrics`.
///
/// | calls that come in | calls that go elsewhere | what it is |
/// |---|---|---|
/// | `omnirelay_rpc_requests_total` | `omnirelay_rpc_outbound_requests_total` | ended calls, with the label `code`: its name, or `OK` |
/// | `omnirelay_rpc_request_duration_seconds` | `omnirelay_rpc_outbound_request_duration_seconds` | histogram of how long they lasted |
/// | `omnirelay_rpc_requests_in_flight` | `omnirelay_rpc_outbound_requests_in_flight` | calls that have not ended |
///
/// Each has the labels `shape`, and `procedure` as registered or `outbound` as the component is named: what callers write makes
/// no new series, and calls that find no procedure are all `unknown`. A call ends once, with its stream if there is one, when it fails or panics, and when it is dropped.
///
/// The process's recorder must be there before the first call: what is counted earlier is lost, and stays lost for that procedure.
#[derive(Clone, Debug, Default)]
pub struct Metrics(());

impl Metrics {
    /// The layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Layer<Handler> for Metrics {
    type Service = Handler;

    fn layer(&self, inner: Handler) -> Handler {
        let known = Arc::new(OnceLock::new());
        around(inner, move |inner, request| {
            let meters = Meters::of(request.meta.route.as_ref(), &known);
            meters.in_flight.increment(1.0);
            let watch = Watch::new(&request.meta, move |end| meters.ended(&end));
            watch.over(inner.call(request))
        })
    }
}

/// The series of a route. Those of its codes are made when they first occur.
struct Meters {
    route: Option<Route>,
    in_flight: Gauge,
    duration: Histogram,
    ok: OnceLock<Counter>,
    errors: [OnceLock<Counter>; Code::ALL.len()],
}

impl Meters {
    /// Those of `route`. A layer is around one procedure, or one shape of an outbound, so that they are looked up once.
    fn of(route: Option<&Route>, known: &OnceLock<Arc<Self>>) -> Arc<Self> {
        let meters = known.get_or_init(|| Arc::new(Self::new(route.cloned())));
        if meters.route.as_ref() == route {
            return Arc::clone(meters);
        }
        Arc::new(Self::new(route.cloned()))
    }

    fn new(route: Option<Route>) -> Self {
        describe();
        let labels = labels(route.as_ref());
        let (in_flight, duration) = match outbound(route.as_ref()) {
            false => (
                metrics::gauge!("omnirelay_rpc_requests_in_flight", labels.clone()),
                metrics::histogram!("omnirelay_rpc_request_duration_seconds", labels),
            ),
            true => (
                metrics::gauge!("omnirelay_rpc_outbound_requests_in_flight", labels.clone()),
                metrics::histogram!("omnirelay_rpc_outbound_request_duration_seconds", labels),
            ),
        };
        Self {
            route,
            in_flight,
            duration,
            ok: OnceLock::new(),
            errors: Default::default(),
        }
    }

    fn ended(&self, end: &End) {
        self.in_flight.decrement(1.0);
        self.duration.record(end.lasted.as_secs_f64());
        let counter = end.code.map_or(&self.ok, |it| &self.errors[it as usize]);
        counter.get_or_init(|| self.counter(end)).increment(1);
    }

    fn counter(&self, end: &End) -> Counter {
        let mut labels = labels(self.route.as_ref());
        labels.push(Label::from_static_parts("code", end.code()));
        match outbound(self.route.as_ref()) {
            false => metrics::counter!("omnirelay_rpc_requests_total", labels),
            true => metrics::counter!("omnirelay_rpc_outbound_requests_total", labels),
        }
    }
}

/// Whether a call goes elsewhere.
fn outbound(route: Option<&Route>) -> bool {
    route.is_some_and(|it| it.kind == RouteKind::Outbound)
}

pub(super) fn labels(route: Option<&Route>) -> Vec<Label> {
    let (kind, name, shape) = match route {
        Some(route) => {
            let kind = match route.kind {
                RouteKind::Procedure | RouteKind::Unknown => "procedure",
                RouteKind::Outbound => "outbound",
            };
            (kind, route.name.as_ref(), route.shape.as_str())
        }
        // It was made to a bare handler, which no dispatcher is around.
        None => ("procedure", UNKNOWN, UNKNOWN),
    };
    vec![
        Label::new(kind, name.to_owned()),
        Label::from_static_parts("shape", shape),
    ]
}

fn describe() {
    use metrics::{describe_counter, describe_gauge, describe_histogram};
    describe_counter!(
        "omnirelay_rpc_requests_total",
        "Calls of procedures that have ended, by what became of them."
    );
    describe_histogram!(
        "omnirelay_rpc_request_duration_seconds",
        Unit::Seconds,
        "How long calls of procedures have lasted, streams to their end."
    );
    describe_gauge!(
        "omnirelay_rpc_requests_in_flight",
        "Calls of procedures that have not ended."
    );
    describe_counter!(
        "omnirelay_rpc_outbound_requests_total",
        "Calls to others that have ended, by what became of them."
    );
    describe_histogram!(
        "omnirelay_rpc_outbound_request_duration_seconds",
        Unit::Seconds,
        "How long calls to others have lasted, streams to their end."
    );
    describe_gauge!(
        "omnirelay_rpc_outbound_requests_in_flight",
        "Calls to others that have not ended."
    );
}
