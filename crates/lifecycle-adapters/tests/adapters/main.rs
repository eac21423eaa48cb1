//! The components of this crate over real sockets, under an orchestrator.

#[cfg(feature = "tls")]
mod certificates;
mod client;
mod draining;
#[cfg(feature = "tonic")]
mod grpc;
mod interval;
mod limits;
mod losing;
mod scope;
mod starting;
mod stopping;
mod support;
#[cfg(feature = "tls")]
mod tls;
