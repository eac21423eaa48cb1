//! Spans to a collector that speaks OTLP over gRPC.
//!
//! An [`Exporter`] is what a host takes as its [`Traces`]. Whoever opens and closes a span hands it to a bounded queue and goes on;
//! a thread of the exporter's own, with a runtime of its own, sends what is in the queue, in batches. What does not fit, and what
//! the collector does not take, is lost and counted: a collector that is slow, hangs, or is not there holds up nobody.
//!
//! | | at most |
//! |---|---|
//! | spans in memory | [`Settings::queue`] and twice [`Settings::batch`], each of 64 attributes of a kilobyte |
//! | one attempt to send | [`Settings::timeout`] |
//! | all attempts for one batch | a minute, and until the host ends |
//! | the end of the host | [`Settings::flush_timeout`] |
//!
//! Spans are those of `tracing`, of level info and more important. Their parents are those that `tracing` knows; a span with the
//! fields `trace_id` and `span_id`, and `parent_id` and `sampled` where there are any, is where these say, which may be in a trace
//! that others have begun. Targets below `lifecycle::lasting` are left out: what is around everything for as long as a
//! process runs is no operation.
//!
//! No variable of the environment is read.

mod account;
mod batch;
mod exporter;
mod finished;
mod headers;
mod layer;
mod link;
mod place;
mod settings;
mod worker;

pub use exporter::Exporter;
pub use finished::{Finished, Kind, Status, Value};
pub use headers::{Headers, HeadersError};
pub use settings::{Describe, Endpoint, EndpointError, Settings};

#[cfg(doc)]
use lifecycle_runtime::Traces;
