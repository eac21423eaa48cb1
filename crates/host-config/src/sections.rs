//! Sections that hosts have in common: their keys, what they come to as plain values, and their checks.
//!
//! A host puts the keys that it has into groups of its own, with defaults where hosts differ, and flattens the values into its own
//! types. What is said of all sections of a kind is said once, here.

pub mod defaults;
pub mod diagnostics;
pub mod gossip;
pub mod log;
pub mod policies;
pub mod tls;
pub mod traces;
