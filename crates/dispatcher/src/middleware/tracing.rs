//! [`Tracing`]: a span for each hop of a trace.

use tower::util::rng::{HasherRng, Rng as _};
use tower::{Layer, Service as _};
use tracing::{Span, field};

use super::call::{Call, shortened};
use super::spanned::within_span;
use super::trace_context::{self, Place};
use super::watch::{End, Watch};
use crate::call::{Meta, Request};
use crate::handler::{Handler, around};
use crate::shape::Shape;

/// A span for each hop of a trace, with `tracing`, and the [trace context](https://www.w3.org/TR/trace-context/) that ties hops
/// together: `traceparent` and `tracestate` among the headers of a call.
///
/// A call that comes with a `traceparent` goes on in that trace; one that comes without, or with one that cannot be read, begins a
/// new trace, and what it has said is dropped. Whatever is inside of the layer, handlers and outbounds too, finds this hop in
/// `traceparent`: a call that is passed on, or that a handler makes with these headers, has it as its parent. `tracestate` is passed
/// on as it came, unless it is no list of at most 32 members and 512 bytes.
///
/// The span `hop`, of level info and under the target `rpc`, is around all that the call does, to the end of its stream. It has
/// `trace_id`, `span_id`, `parent_id` unless it is the first one, `sampled`, `service` when it was [set](Self::service), `procedure` as
/// registered (`unknown` when there is none), `outbound` for calls that go elsewhere, `shape`, `transport`, and at the end `code`
/// (`OK` for success) and the `reason` of an error. Around what tells of calls, it gives their lines the trace. Around a dispatcher
/// it is the hop that comes in, around an outbound the one that goes out: inside of retries, each attempt is one.
///
/// Nothing is sent to a collector from here: whoever listens to `tracing` may do so, and finds the ids in the fields. Ids are random, and nothing to grant rights by.
///
/// ```
/// use dispatcher::middleware::Tracing;
/// use dispatcher::{Dispatcher, HttpOutbound, Outbound};
///
/// let billing = HttpOutbound::new("billing", "http://127.0.0.1:8081/")?;
/// let builder = Dispatcher::builder("pets")
///     .layer(Tracing::new().service("pets"))
///     .outbound(Outbound::from(billing).layer(Tracing::new().service("pets")));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Tracing {
    service: Option<String>,
    transport: Option<&'static str>,
    sample_ratio: f64,
}

impl Tracing {
    /// The layer.
    #[must_use]
    pub fn new() -> Self {
        Self {
            service: None,
            transport: None,
            sample_ratio: 1.0,
        }
    }

    /// Says whose hops these are.
    #[must_use]
    pub fn service(mut self, service: impl Into<String>) -> Self {
        self.service = Some(service.into());
        self
    }

    /// Says what is spoken, for a layer around an outbound; unset, what the call has come by.
    #[must_use]
    pub const fn transport(mut self, transport: &'static str) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets how many of a hundred traces that begin here are said to be sampled (100; more is 100), which most others on the way
    /// take as their own choice. Those that began elsewhere stay what they are.
    #[must_use]
    pub fn sampled_percent(self, percent: u8) -> Self {
        self.sample_ratio(f64::from(percent) / 100.0)
    }

    /// The same as a ratio, from 0 to 1; what is beyond is the nearest of these.
    #[must_use]
    pub const fn sample_ratio(mut self, ratio: f64) -> Self {
        self.sample_ratio = ratio.clamp(0.0, 1.0);
        self
    }

    /// The place of a call that comes from `parent`.
    fn place(&self, parent: Option<Place>) -> Place {
        let mut chance = HasherRng::new();
        match parent {
            Some(parent) => parent.next(&mut chance),
            None => {
                let is_sampled = chance.next_f64() < self.sample_ratio;
                Place::first(is_sampled, &mut chance)
            }
        }
    }

    fn span(&self, meta: &Meta, place: Place, parent: Option<Place>) -> Span {
        let call = Call::new(meta);
        tracing::info_span!(
            target: "rpc",
            "hop",
            trace_id = place.trace_id(),
            span_id = place.span_id(),
            parent_id = parent.map(Place::span_id),
            sampled = place.is_sampled(),
            service = self.service,
            procedure = call.procedure,
            outbound = call.outbound,
            shape = call.shape.map(Shape::as_str),
            transport = self.transport.or(call.transport),
            code = field::Empty,
            reason = field::Empty,
        )
    }
}

impl Default for Tracing {
    fn default() -> Self {
        Self::new()
    }
}

impl Layer<Handler> for Tracing {
    type Service = Handler;

    fn layer(&self, inner: Handler) -> Handler {
        let hops = self.clone();
        around(inner, move |inner, mut request: Request| {
            let parent = trace_context::received(&mut request.meta.headers);
            let place = hops.place(parent);
            let span = hops.span(&request.meta, place, parent);
            trace_context::pass_on(place, &mut request.meta.headers);
            let watch = Watch::new(&request.meta, {
                let span = span.clone();
                move |end| ended(&span, &end)
            });
            let calling = span.in_scope(|| inner.call(request));
            watch.over(within_span(span, calling))
        })
    }
}

fn ended(span: &Span, end: &End) {
    span.record("code", end.code());
    if let Some(reason) = &end.reason {
        span.record("reason", shortened(reason));
    }
}
