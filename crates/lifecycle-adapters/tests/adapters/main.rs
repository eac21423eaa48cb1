//! The components of this crate over real sockets, under an orchestrator.

#[cfg(feature = "tls")]
mod certificates;
mod client;
#[cfg(feature = "otlp")]
#[expect(dead_code, reason = "other tests ask more of it")]
mod collector;
mod draining;
#[cfg(feature = "tonic")]
mod grpc;
mod interval;
mod limits;
mod losing;
#[cfg(feature = "otlp")]
mod otlp;
mod scope;
mod starting;
mod stopping;
mod support;
#[cfg(feature = "tls")]
mod tls;
