//! The programs as processes: what an operator sees of them, does to them, and reads about them.

mod broken_configurations;
mod command_line;
mod conformance;
mod exposition;
mod fleet;
mod golden;
mod hanging;
mod jobs;
mod leadership;
mod page;
mod process;
mod programs;
mod quickstart;
mod runbook;
mod secrets;
mod shell;
mod transcript;
