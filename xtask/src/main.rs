//! The project's own commands: the layer boundary, the gate, and shortcuts to the model checker.
//!
//! It is outside the layers: it reads every crate and no crate depends on it. Run it as
//! `cargo xtask <command>`.

mod check_deps;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "cargo xtask", about = "The project's own commands")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Proves the layering of the workspace from its dependency graph
    CheckDeps(check_deps::Args),
}

fn main() -> Result<ExitCode> {
    match Cli::parse().command {
        Command::CheckDeps(args) => check_deps::run(&args),
    }
}
