//! The control-plane host: its configuration, its wiring, and the program as a process.

mod access;
mod configuration;
mod draining;
mod leadership;
mod processes;
mod recovery;
mod sockets;
mod support;
mod wiring;
