//! The control-plane host: its configuration, its wiring, and the program as a process.

mod access;
#[path = "../../../lifecycle-adapters/tests/adapters/certificates.rs"]
mod certificates;
mod cluster;
#[path = "../../../lifecycle-adapters/tests/adapters/collector.rs"]
mod collector;
mod configuration;
mod draining;
mod gossip;
mod leadership;
mod page;
mod processes;
mod recovery;
#[path = "../../../mesh/tests/gossip/relay.rs"]
mod relay;
mod shipped;
mod sockets;
mod support;
mod traces;
mod wiring;
