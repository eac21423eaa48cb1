//! [`Logging`]: a span and a line for each call.

use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream as _;
use tower::{Layer, Service as _};
use tracing::{Instrument as _, Level, Span, field};

use super::watch::{End, Watch};
use crate::call::{Meta, Response};
use crate::code::Code;
use crate::error::RpcError;
use crate::handler::{Handler, around};
use crate::messages::Messages;
use crate::route::RouteKind;
use crate::shape::Shape;

/// How much of a text that a caller has chosen is logged, in characters.
const TEXT: usize = 128;

/// A span and a line for each call, with `tracing`, under the target `rpc`.
///
/// The line `call.ended` is written when the call has ended: with the last message of a stream, with an error, or when nobody
/// waits any more. It has `procedure` as registered, `called` where the caller has used another name, `outbound` for calls that
/// go elsewhere, `shape`, `caller`, `transport`, `encoding`, `code` (`OK` for success), `reason` of an error, `messages` of a
/// stream, and `duration_ms`. It is an error for `UNKNOWN`, `INTERNAL` and `DATA_LOSS`; a warning for `UNAVAILABLE`,
/// `RESOURCE_EXHAUSTED` and `DEADLINE_EXCEEDED`; and an info for success and for what is the caller's own doing.
///
/// The span `call`, of level info, is around all that the call does. Neither has values of headers, messages, keys, or the
/// texts of errors, which may quote them; of names that callers choose there are 128 characters.
#[derive(Clone, Debug, Default)]
pub struct Logging(());

impl Logging {
    /// The layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl Layer<Handler> for Logging {
    type Service = Handler;

    fn layer(&self, inner: Handler) -> Handler {
        around(inner, |inner, request| {
            let call = Call::new(&request.meta);
            let span = call.span();
            let watch = Watch::new(&request.meta, {
                let span = span.clone();
                move |end| call.ended(&span, &end)
            });
            let calling = span.in_scope(|| inner.call(request));
            let calling = within_span(span.clone(), calling).instrument(span);
            watch.over(calling)
        })
    }
}

/// What comes of `calling`, where the messages of a stream come from within `span`, too.
async fn within_span(
    span: Span,
    calling: impl Future<Output = Result<Response, RpcError>>,
) -> Result<Response, RpcError> {
    let mut response = calling.await?;
    if response.messages.is_stream() {
        let mut messages = response.messages;
        let spanned = futures_util::stream::poll_fn(move |cx| {
            let _within = span.enter();
            Pin::new(&mut messages).poll_next(cx)
        });
        response.messages = Messages::stream(spanned);
    }
    Ok(response)
}

/// The line of a call; its level is part of what `tracing` makes at compile time.
macro_rules! line {
    ($level:expr, $call:expr, $end:expr) => {
        tracing::event!(
            target: "rpc",
            $level,
            event = "call.ended",
            procedure = $call.procedure,
            called = $call.called,
            outbound = $call.outbound,
            shape = $call.shape.map(Shape::as_str),
            caller = $call.caller,
            transport = $call.transport,
            encoding = $call.encoding,
            code = $end.code(),
            reason = $end.reason.as_deref().map(shortened),
            messages = $end.messages,
            duration_ms = millis($end.lasted),
            "a call has ended"
        )
    };
}

/// What a line says of a call from its beginning on.
struct Call {
    /// As registered; as called when it goes elsewhere, or when nobody has registered it.
    procedure: String,
    called: Option<String>,
    outbound: Option<String>,
    shape: Option<Shape>,
    caller: Option<String>,
    transport: Option<&'static str>,
    encoding: Option<String>,
}

impl Call {
    fn new(meta: &Meta) -> Self {
        let called = shortened(meta.procedure.trim());
        let route = meta.route.as_ref();
        let registered = route.filter(|it| it.kind == RouteKind::Procedure);
        let outbound = route.filter(|it| it.kind == RouteKind::Outbound);
        let procedure = registered.map_or_else(|| called.clone(), |it| it.name.as_ref().to_owned());
        Self {
            called: (called != procedure).then_some(called),
            procedure,
            outbound: outbound.map(|it| it.name.as_ref().to_owned()),
            shape: route.map(|it| it.shape),
            caller: meta.caller.as_deref().map(shortened),
            transport: meta.transport,
            encoding: meta.encoding.as_deref().map(shortened),
        }
    }

    fn span(&self) -> Span {
        tracing::info_span!(
            target: "rpc",
            "call",
            procedure = self.procedure,
            outbound = self.outbound,
            shape = self.shape.map(Shape::as_str),
            caller = self.caller,
            code = field::Empty,
        )
    }

    fn ended(self, span: &Span, end: &End) {
        span.record("code", end.code());
        match end.code {
            Some(Code::Unknown | Code::Internal | Code::DataLoss) => line!(Level::ERROR, self, end),
            Some(Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded) => {
                line!(Level::WARN, self, end);
            }
            None
            | Some(
                Code::Cancelled
                | Code::InvalidArgument
                | Code::NotFound
                | Code::AlreadyExists
                | Code::PermissionDenied
                | Code::FailedPrecondition
                | Code::Aborted
                | Code::OutOfRange
                | Code::Unimplemented,
            ) => line!(Level::INFO, self, end),
        }
    }
}

/// In milliseconds, to a thousandth.
fn millis(lasted: Duration) -> f64 {
    (lasted.as_secs_f64() * 1e6).round() / 1e3
}

fn shortened(text: &str) -> String {
    text.chars().take(TEXT).collect()
}
