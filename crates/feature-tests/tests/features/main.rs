//! The programs as processes: what an operator sees of them, does to them, and reads about them.

mod command_line;
mod conformance;
mod exposition;
mod fleet;
mod golden;
mod hanging;
mod process;
mod programs;
mod runbook;
mod shell;
mod transcript;
