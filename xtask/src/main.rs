//! The project's own commands: the layer boundary, the documents, the gate, and shortcuts to the
//! model checker.
//!
//! It is outside the layers: it reads every crate and no crate depends on it. Run it as
//! `cargo xtask <command>`.

mod bench;
mod check_deploy;
mod check_deps;
mod check_docs;
mod ci;
mod dist;
mod example;
mod footprint;
mod fuzz;
mod hosts;
mod hyperscale;
mod model;
mod process;
mod relay_cost;
mod semantics;
mod soak;
mod test;

use std::io::{self, Write};
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
    /// Measures starts, stops and restarts, beside bare tokio and the published peers
    Bench(bench::Args),
    /// Proves the layering of the workspace from its dependency graph
    CheckDeps(check_deps::Args),
    /// Holds units, manifests, alerts and the dashboard against the hosts, and against what reads them
    CheckDeploy(check_deploy::Args),
    /// Holds the documents against the tests, files and decisions that they name
    CheckDocs(check_docs::Args),
    /// Runs the whole gate: formatting, lints, boundary, documents, licences, advisories and tests
    Ci(ci::Args),
    /// Builds the programs as they are shipped, with licences, a list of parts and the operations kit
    Dist(dist::Args),
    /// Measures how large the shipped programs are, what they take when idle, and how fast they come and go
    Footprint(footprint::Args),
    /// Looks for inputs that break the parsers of what strangers send
    Fuzz(fuzz::Args),
    /// Tries hosts with up to a hundred thousand components, fifty hosts, and thousands of restarts
    Hyperscale(hyperscale::Args),
    /// Runs the tests and doctests as the gate does
    Test,
    /// Runs the model checker on the orchestrator
    Model(example::Args),
    /// Measures what a relayed request costs, beside nginx, `HAProxy` and Envoy
    RelayCost(relay_cost::Args),
    /// Prints the tables of the rules, or writes them with --write
    Semantics(example::Args),
    /// Runs hosts and an etcd for minutes or hours with a fault every few seconds, and looks for what is lost or grows
    Soak(soak::Args),
}

fn main() -> ExitCode {
    run(Cli::parse().command).unwrap_or_else(|error| {
        // Without a backtrace: what fails here is another program or a file. Nothing can be done
        // if nobody reads this.
        let _ = writeln!(io::stderr().lock(), "error: {error:#}");
        ExitCode::from(2)
    })
}

/// Fails when the command could not be carried out; that a check found something is in the code.
fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Bench(args) => bench::run(&args),
        Command::CheckDeps(args) => check_deps::run(&args),
        Command::CheckDeploy(args) => check_deploy::run(&args),
        Command::CheckDocs(args) => check_docs::run(&args),
        Command::Ci(args) => ci::run(&args),
        Command::Dist(args) => dist::run(&args),
        Command::Footprint(args) => footprint::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Hyperscale(args) => hyperscale::run(&args),
        Command::Test => test::run(),
        Command::Model(args) => model::run(&args),
        Command::RelayCost(args) => relay_cost::run(&args),
        Command::Semantics(args) => semantics::run(&args),
        Command::Soak(args) => soak::run(&args),
    }
}
