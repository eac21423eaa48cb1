//! [`Traces`]: where the spans of a host go, beside its log.

use std::fmt;
use std::time::Duration;

use tracing_subscriber::{Layer, Registry};

/// Takes in the spans of a host, and hands them on to whoever collects them.
///
/// It is no component: the spans of the stop itself, and of the last component that is stopped, are among those that it takes in,
/// and what it still has is handed on when everything else is over.
pub trait Traces: fmt::Debug + Send + Sync {
    /// What spans are told to. It is asked for once, before anything is built, and must not block, now or when it is told of a span.
    /// The filter of the log does not hold for it.
    fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync>;

    /// How long [`flush`](Self::flush) may take; the end of the host is later by no more than that.
    fn flush_timeout(&self) -> Duration;

    /// Hands on what is left, as the last thing that a host does but write its log. Blocks.
    fn flush(&self);
}
