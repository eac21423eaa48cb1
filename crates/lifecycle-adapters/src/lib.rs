//! Ready-made components: what a service would otherwise write around `lifecycle-core` again.
//!
//! - [`Interval`] runs an async closure once a period.
//!
//! This crate knows no host, no configuration file, environment or signal, and no other component.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]

mod interval;
mod worker;

pub use interval::{First, Interval, Tick};
