//! Ready-made components: what a service would otherwise write around `lifecycle-core` again.
//!
//! - [`HttpServer`] serves an axum router, or any other tower or hyper service, over HTTP/1.1 and HTTP/2.
//! - `GrpcServer` (feature `tonic`) does the same for tonic's routes.
//! - [`Interval`] runs an async closure once a period.
//!
//! The servers bind as they start, refuse new work while they are drained, and stop as soon as nothing is in flight. They
//! listen on loopback and limit what a client may take ([`Limits`]) unless told otherwise.
//!
//! With the feature `tls` they serve over TLS, ask clients for certificates if they are told to, and read the files again while they
//! run; the module `tls` has the other end too, for clients.
//!
//! With the feature `otlp` the spans of a host go to a collector, from a thread of its own.
//!
//! This crate knows no host, no configuration file, environment or signal, and no other component.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::{Router, routing::get};
//! use lifecycle_adapters::HttpServer;
//! use lifecycle_core::Registration;
//!
//! let router = Router::new()
//!     .route("/healthz", get(async || "up"))
//!     .route("/", get(async || "hello"));
//! let server = Arc::new(HttpServer::new(router).answer_while_draining(["/healthz"]));
//! let registration = Registration::new("http", Arc::clone(&server)).depends_on(["pool"]);
//! assert_eq!(server.local_addr(), None, "nothing is open before the start");
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod error;
#[cfg(feature = "tonic")]
mod grpc;
mod http;
mod interval;
mod limits;
#[cfg(feature = "otlp")]
pub mod otlp;
mod server;
#[cfg(feature = "tls")]
pub mod tls;
mod worker;

pub use error::BindError;
#[cfg(feature = "tonic")]
pub use grpc::GrpcServer;
pub use http::HttpServer;
pub use interval::{First, Interval, Tick};
pub use limits::Limits;
pub use server::Peer;
