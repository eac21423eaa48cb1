//! Component lifecycles, decided: names, registrations, dependency graph, plan, policies, and the orchestrator itself as
//! a pure state machine.
//!
//! This crate knows no runtime, clock, socket, environment or log. A library that offers a component depends on it
//! alone; an executor carries out what its [`Engine`](engine::Engine) decides.
//!
//! ```
//! use lifecycle_core::{BoxError, Lifecycle, Registration, StartContext, StopContext};
//!
//! struct Pool;
//!
//! impl Lifecycle for Pool {
//!     async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> { Ok(()) }
//!     async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> { Ok(()) }
//! }
//!
//! let registration = Registration::new("pool", Pool).depends_on(["config"]);
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

pub mod component;
pub mod context;
mod defaults;
pub mod engine;
mod failure;
mod fault;
mod gate;
mod graph;
mod lifecycle;
mod name;
mod plan;
mod policy;
mod registration;
mod time;
mod topology;

pub use component::{Component, ServiceContext};
pub use context::{
    CheckContext, DrainContext, Report, Reporter, Scope, ScopeTask, StartContext, StopContext,
    TaskOutput, TaskRole,
};
pub use defaults::Defaults;
pub use failure::{BoxError, Class, ComponentError, Failure, FailureKind};
pub use fault::{BuildError, GraphFault};
pub use gate::{Gate, GateName};
pub use graph::Edge;
pub use lifecycle::{BoxFuture, ErasedLifecycle, Lifecycle};
pub use name::{ComponentName, NameError};
pub use plan::{Compiled, ComponentId, Extended, GateId, Plan, PlanWarning, WorstStop};
pub use policy::{
    Backoff, HealthCheck, Jitter, LONGEST_POLICY_DURATION, Policies, Restart, RestartPolicy,
    RestartWhen, Retry, RetryIf, RetryPolicy, Timeout,
};
pub use registration::{Criticality, Dependency, EdgeKind, OnLoss, Registration};
pub use time::{Nanos, ParseNanosError, Time};
