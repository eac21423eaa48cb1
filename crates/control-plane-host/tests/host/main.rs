//! The control-plane host: its configuration, its wiring, and the program as a process.

mod access;
#[path = "../../../lifecycle-adapters/tests/adapters/certificates.rs"]
mod certificates;
mod configuration;
mod draining;
mod leadership;
mod processes;
mod recovery;
mod shipped;
mod sockets;
mod support;
mod wiring;
