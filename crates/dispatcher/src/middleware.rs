//! Layers that most services want: around a dispatcher, a procedure, or an outbound.
//!
//! Each is a value with its settings, for [`DispatcherBuilder::layer`](crate::DispatcherBuilder::layer),
//! [`Procedure::layer`](crate::Procedure::layer) and [`Outbound::layer`](crate::Outbound::layer). A call lasts as long as its answer:
//! one that is answered with a stream lasts to the end of that. A call that nobody waits for any more has ended, too.
//!
//! They run from the outside in. What tells of calls belongs outside of what refuses them, and a retry outside of what shall see each
//! attempt:
//!
//! ```
//! use dispatcher::Dispatcher;
//! use dispatcher::middleware::{Logging, Metrics};
//!
//! let builder = Dispatcher::builder("pets").layer(Logging::new()).layer(Metrics::new());
//! ```
//!
//! A panic in a call needs no layer: a dispatcher catches it, outside of all of them, and these here see it go by.

mod concurrency_limit;
mod deadlines;
mod logging;
mod metrics;
mod rate_limit;
mod retries;
mod watch;

pub use concurrency_limit::ConcurrencyLimit;
pub use deadlines::Deadlines;
pub use logging::Logging;
pub use metrics::Metrics;
pub use rate_limit::RateLimit;
pub use retries::Retries;
