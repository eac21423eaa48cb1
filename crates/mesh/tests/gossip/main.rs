//! Gossip over real sockets on loopback, driven as an orchestrator drives it.

mod lifecycle;
mod membership;
mod metrics;
mod support;
