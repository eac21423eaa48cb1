//! Component lifecycles, carried out: the tokio executor around `lifecycle-core`.
//!
//! It runs starts and stops as tasks, keeps time, owns the tasks that components spawn, and turns every transition into
//! a log line, a metric, a status and an event. It makes no decision about order, retries or restarts: those are the
//! engine's. It knows no transport.
//!
//! [`Host::main`] is what a service's `main` calls. [`Orchestrator`] is for those who own their runtime themselves:
//!
//! ```
//! use lifecycle_core::{Registration, component};
//! use lifecycle_runtime::Orchestrator;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut builder = Orchestrator::builder();
//! builder.register(Registration::new("pool", component::from_fn(async |_| Ok(()), async |_| Ok(()))));
//! let orchestrator = builder.build()?;
//! let handle = orchestrator.spawn();
//! # let _ = handle;
//! # Ok(())
//! # }
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod attempt;
mod blocked;
mod builder;
mod clock;
mod crew;
mod driver;
mod error;
mod events;
mod executor;
mod handle;
pub mod host;
mod isolated;
mod leaving;
mod observe;
mod orchestrator;
mod request;
mod scope;
mod spans;
mod status;
mod user_future;

pub use blocked::Blocked;
pub use builder::OrchestratorBuilder;
pub use clock::Clock;
pub use error::{
    AddError, DriverGone, GateError, NodeError, OperationError, StartError, StopError,
    WaitReadyError,
};
pub use events::{Notice, Subscription};
pub use handle::Handle;
pub use host::{
    ExitStatus, Host, HostConfig, LogConfig, LogFilter, LogFilterError, LogFormat, Traces,
};
pub use orchestrator::Orchestrator;
pub use request::{Order, TaskCounts, UnknownGate};
pub use status::{Abandoned, Status, StatusWatch};
