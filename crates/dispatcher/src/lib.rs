//! An RPC dispatcher whose every moving part is an orchestrated component.
//!
//! What it promises about starting and stopping is written down in `tests/parity`, as traces to be read by people; the
//! dispatcher itself is built to satisfy them. It will contain no sequencing of its own: no order, no retry, no shutdown.
//! It knows no configuration file, no signal, and not the other host.

#![cfg_attr(not(test), deny(clippy::unwrap_used))]
