//! For tests of component lifecycles: of your components, and of what you build from them.
//!
//! - [`Scripted`] components do, call by call, what they are told ([`Act`]), and keep a [`Record`] of it.
//! - [`simulate`] runs a test on paused time with a deadline in virtual time, and says what was pending when it passes.
//! - A [`FaultPlan`] makes faults from a seed, for scripted components and for yours ([`Faulty`]), so that a run that failed
//!   can be replayed.
//! - An [`Oracle`] follows the events of an orchestrator and names every promise that was broken.
//! - [`conformance`] tries your component on what the [`Lifecycle`](lifecycle_core::Lifecycle) contract asks of it.
//! - A [`LeakGuard`] counts tasks, and what was acquired and not disposed.
//!
//! It is for tests alone: it switches tokio's `test-util` on, and it panics where a test should fail. It knows no
//! transport.
//!
//! ```
//! use lifecycle_core::engine::ComponentState;
//! use lifecycle_testkit::{Act, Oracle, Scripted, launch, simulate, story, until_state};
//!
//! simulate(async {
//!     let db = Scripted::new("db").starts([Act::fail(), Act::succeed()]).attempts(2);
//!     let api = Scripted::new("api");
//!     let records = [db.record(), api.record()];
//!     let handle = launch([db.registration(), api.registration().depends_on(["db"])]);
//!     let oracle = Oracle::watch(&handle);
//!
//!     handle.start().await.expect("the second attempt succeeds");
//!     until_state(&handle, "api", ComponentState::Running).await;
//!     handle.stop().await.expect("everything stops");
//!
//!     assert_eq!(
//!         story(&records),
//!         "start db, start db failed, start db, started db, start api, started api, \
//!          stop api, stopped api, dispose api, disposed api, stop db, stopped db, dispose db, disposed db"
//!     );
//!     records.iter().for_each(|it| it.assert_no_leak());
//!     oracle.assert_ok().await;
//! });
//! ```

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod act;
pub mod conformance;
mod fault;
mod faulty;
mod hook;
mod leak;
mod oracle;
mod player;
mod record;
mod scripted;
mod simulation;
mod trace;

pub use act::{Act, TaskAct};
pub use fault::{Fault, FaultPlan, FaultProfile, ReplayNote};
pub use faulty::Faulty;
pub use hook::Hook;
pub use leak::{LeakGuard, Leaks, assert_no_leaks};
pub use oracle::{LiveOracle, Oracle, Rule, Violation};
pub use record::{Moment, Note, Record, story};
pub use scripted::Scripted;
pub use simulation::{Simulation, advance, launch, simulate, until_event, until_state, watch};
pub use trace::Trace;
