//! The HTTP surface over one orchestrator: probes, metrics, the lifecycle snapshot, and operations.
//!
//! [`Diagnostics`] is a component: it is up before any other and down after all of them, answers from a thread of its
//! own, and reads what it tells from the orchestrator's [`Handle`](lifecycle_runtime::Handle). A host can mount further
//! routes and say what else speaks against readiness, who may ask ([`Credentials`]), and give a listener of its own the same guard ([`server::guarded`]).
//!
//! This crate knows neither host: no procedure, no peer, no configuration file, environment or signal.
//!
//! ```
//! use diagnostics::Diagnostics;
//! use lifecycle_runtime::Orchestrator;
//!
//! let mut builder = Orchestrator::builder();
//! let diagnostics = Diagnostics::builder(builder.handle())
//!     .bind("127.0.0.1:0".parse()?)
//!     .build();
//! builder.register(diagnostics.registration());
//! let orchestrator = builder.build()?;
//! # let _ = orchestrator;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod audit;
mod component;
mod credentials;
mod dry_run;
mod events;
#[cfg(fuzzing)]
pub mod fuzzing;
mod graph;
mod guard;
mod health;
mod logging;
mod metrics;
mod mutation;
mod openapi;
mod operations;
mod pieces;
mod problem;
mod readiness;
mod router;
pub mod server;
mod snapshot;
mod thread;
mod timeline;
mod troubles;
mod upgrade;
mod why;

pub use component::{Diagnostics, DiagnosticsBuilder, NAME};
pub use credentials::{
    Accepted, Access, AccessError, CertificateScopes, Credentials, Refusal, Scope, ScopeError,
    Shown, Token, TokenError, TokenFault, TokenFileError, TokenVariableError,
};
pub use events::{Change, Names};
pub use metrics::{InstallError, install_recorder};
pub use openapi::Described;
pub use problem::Problem;
pub use readiness::{Issue, Severity};
pub use router::{answers, paths};
pub use snapshot::LastError;
