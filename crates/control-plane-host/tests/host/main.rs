//! The control-plane host: its configuration, its wiring, and the program as a process.

mod access;
#[path = "../../../lifecycle-adapters/tests/adapters/certificates.rs"]
mod certificates;
#[path = "../../../lifecycle-adapters/tests/adapters/collector.rs"]
mod collector;
mod configuration;
mod draining;
mod leadership;
mod processes;
mod recovery;
mod shipped;
mod sockets;
mod support;
mod traces;
mod wiring;
