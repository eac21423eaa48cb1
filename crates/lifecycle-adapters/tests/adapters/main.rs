//! The components of this crate under an orchestrator.

mod interval;
mod support;
