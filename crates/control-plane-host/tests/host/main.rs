//! The control-plane host: its configuration, its wiring, and the program as a process.

mod configuration;
mod processes;
mod recovery;
mod support;
mod wiring;
