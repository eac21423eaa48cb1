//! Gossip over real sockets on loopback, driven as an orchestrator drives it.

mod announcements;
mod lifecycle;
mod membership;
mod metrics;
mod network;
mod nodes;
mod relay;
mod seals;
mod support;
mod weather;
