//! The programs as processes: what an operator sees of them, does to them, and reads about them.

mod command_line;
mod conformance;
mod exposition;
mod fleet;
mod golden;
mod hanging;
mod jobs;
mod page;
mod process;
mod programs;
mod quickstart;
mod runbook;
mod secrets;
mod shell;
mod torture;
mod transcript;
