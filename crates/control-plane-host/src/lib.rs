//! The control-plane service host: diagnostics, gossip membership and the control listener as components of one
//! orchestrator.
//!
//! The binary reads a [`Config`](config::Config) and hands it to [`host::run`]; [`host::wire`] is the wiring alone, for
//! tests and for programs that bring their own `main`. Order, retries and shutdown are the orchestrator's; the probes are
//! those of `diagnostics`, the members those of `mesh`. It knows no dispatcher.
//!
//! ```
//! use control_plane_host::{config::Config, host};
//! use lifecycle_runtime::Orchestrator;
//!
//! let mut builder = Orchestrator::builder();
//! host::wire(&Config::default(), &mut builder)?;
//! let orchestrator = builder.build()?;
//! assert!(orchestrator.plan().find("control-plane:http").is_some());
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod announce;
pub mod cli;
pub mod config;
pub mod grpc;
pub mod host;
mod leaders;
mod peers;
