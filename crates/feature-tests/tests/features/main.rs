//! The programs as processes: what an operator sees of them, does to them, and reads about them.

mod balancer;
mod broken_configurations;
mod command_line;
mod conformance;
mod ends;
mod exposition;
mod fleet;
mod golden;
mod hanging;
mod jobs;
mod leadership;
mod load;
mod metrics;
mod page;
mod pages;
mod planes;
mod process;
mod programs;
mod quickstart;
mod rolling;
mod runbook;
mod secrets;
mod shell;
mod sockets;
mod torture;
mod transcript;
