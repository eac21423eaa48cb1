//! [`Logging`]: a span and a line for each call.

use std::time::Duration;

use tower::{Layer, Service as _};
use tracing::{Level, Span, field};

use super::call::{Call, shortened};
use super::spanned::within_span;
use super::watch::{End, Watch};
use crate::code::Code;
use crate::handler::{Handler, around};
use crate::shape::Shape;

/// A span and a line for each call, with `tracing`, under the target `rpc`.
///
/// The line `call.ended` is written when the call has ended: with the last message of a stream, with an error, or when nobody
/// waits any more. It has `procedure` as registered (`unknown` when there is none), `called` where the caller has used another
/// name, `outbound` for calls that go elsewhere, `shape`, `caller`, `transport`, `encoding`, `code` (`OK` for success), `reason` of
/// an error, `messages` of a stream, and `duration_ms`. It is an error for `UNKNOWN`, `INTERNAL` and `DATA_LOSS`; a warning for `UNAVAILABLE`,
/// `RESOURCE_EXHAUSTED` and `DEADLINE_EXCEEDED`; and an info for success and for what is the caller's own doing, unless it is
/// [`quiet`](Self::quiet).
///
/// The span `call`, of level info unless it is quiet, is around all that the call does. Neither has values of headers, messages, keys, or the
/// texts of errors, which may quote them; of names that callers choose there are 128 characters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logging {
    is_quiet: bool,
}

impl Logging {
    /// The layer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the lines of success, and of what is the caller's own doing, at level debug, as the span is: where there are many calls,
    /// what is left is what somebody should look at, and the rest costs next to nothing.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.is_quiet = true;
        self
    }
}

impl Layer<Handler> for Logging {
    type Service = Handler;

    fn layer(&self, inner: Handler) -> Handler {
        let is_quiet = self.is_quiet;
        around(inner, move |inner, request| {
            let call = Call::new(&request.meta);
            let span = call.span(is_quiet);
            let watch = Watch::new(&request.meta, {
                let span = span.clone();
                move |end| call.ended(&span, &end, is_quiet)
            });
            let calling = span.in_scope(|| inner.call(request));
            watch.over(within_span(span, calling))
        })
    }
}

/// The span of a call; its level is part of what `tracing` makes at compile time.
macro_rules! span {
    ($level:expr, $call:expr) => {
        tracing::span!(
            target: "rpc",
            $level,
            "call",
            procedure = $call.procedure,
            outbound = $call.outbound,
            shape = $call.shape.map(Shape::as_str),
            caller = $call.caller,
            code = field::Empty,
        )
    };
}

/// The line of a call, likewise.
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

impl Call {
    fn span(&self, is_quiet: bool) -> Span {
        match is_quiet {
            true => span!(Level::DEBUG, self),
            false => span!(Level::INFO, self),
        }
    }

    fn ended(self, span: &Span, end: &End, is_quiet: bool) {
        span.record("code", end.code());
        match level(end.code, is_quiet) {
            Level::ERROR => line!(Level::ERROR, self, end),
            Level::WARN => line!(Level::WARN, self, end),
            Level::INFO => line!(Level::INFO, self, end),
            _ => line!(Level::DEBUG, self, end),
        }
    }
}

/// How much what became of a call matters to who looks after this side of it.
fn level(code: Option<Code>, is_quiet: bool) -> Level {
    match code {
        Some(Code::Unknown | Code::Internal | Code::DataLoss) => Level::ERROR,
        Some(Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded) => Level::WARN,
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
        ) => match is_quiet {
            true => Level::DEBUG,
            false => Level::INFO,
        },
    }
}

/// In milliseconds, to a thousandth.
fn millis(lasted: Duration) -> f64 {
    (lasted.as_secs_f64() * 1e6).round() / 1e3
}
