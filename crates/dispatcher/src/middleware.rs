//! Layers that most services want: around a dispatcher, a procedure, or an outbound.
//!
//! Each is a value with its settings, for [`DispatcherBuilder::layer`](crate::DispatcherBuilder::layer),
//! [`Procedure::layer`](crate::Procedure::layer) and [`Outbound::layer`](crate::Outbound::layer). A call lasts as long as its answer:
//! one that is answered with a stream lasts to the end of that. A call that nobody waits for any more has ended, too.
//!
//! They run from the outside in. What tells of calls belongs outside of what refuses them, and a retry outside of what shall see each
//! attempt. The program puts them on by its configuration, in this order:
//!
//! ```
//! use std::num::NonZeroU32;
//! use std::time::Duration;
//!
//! use dispatcher::middleware::{
//!     ConcurrencyLimit, Deadlines, Logging, Metrics, RateLimit, Retries, Tracing,
//! };
//! use dispatcher::{Dispatcher, HttpOutbound, Outbound};
//!
//! let billing = HttpOutbound::new("billing", "http://127.0.0.1:8081/")?;
//! let billing = Outbound::from(billing)
//!     .layer(Metrics::new()) // a call and all its attempts
//!     .layer(Retries::new())
//!     .layer(Tracing::new()); // each attempt
//! let builder = Dispatcher::builder("pets")
//!     .layer(Tracing::new())
//!     .layer(Logging::new())
//!     .layer(Metrics::new())
//!     .layer(Deadlines::new().unless_set(Duration::from_secs(30)))
//!     .layer(ConcurrencyLimit::new(100))
//!     .layer(RateLimit::per_second(NonZeroU32::new(500).unwrap()))
//!     .outbound(billing);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A panic in a call needs no layer: a dispatcher catches it, outside of all of them, and these here see it go by.

mod call;
mod concurrency_limit;
mod deadlines;
mod logging;
mod metrics;
mod rate_limit;
mod retries;
mod spanned;
mod trace_context;
mod tracing;
mod watch;

pub use self::tracing::Tracing;
pub use concurrency_limit::ConcurrencyLimit;
pub use deadlines::Deadlines;
pub use logging::Logging;
pub use metrics::Metrics;
pub use rate_limit::RateLimit;
pub use retries::Retries;
