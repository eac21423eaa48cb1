//! The dispatcher as a library: calls, layers, and what it registers.

mod abuse;
mod calls;
#[path = "../../../lifecycle-adapters/tests/adapters/certificates.rs"]
mod certificates;
mod deadlines;
mod grpc;
mod http;
mod kit;
mod layers;
mod lifecycle;
mod limits;
mod log;
mod logging;
mod metrics;
mod outbound;
mod probes;
mod relay;
mod retries;
mod rig;
mod streams;
mod tls;
mod tracing;
mod typed;
mod wiring;
