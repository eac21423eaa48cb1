//! The operator's command line: what a host says about itself, and what it shall do.
//!
//! ```sh
//! lifecyclectl status
//! lifecyclectl why orders
//! lifecyclectl drain --reason 'a new disk' --wait
//! lifecyclectl rolling-restart a:9180 b:9180 --restart-command 'ssh {host} systemctl restart dispatcher'
//! ```
//!
//! It knows the documents of hosts and nothing of the orchestrator; docs/lifecyclectl.md shows every command.

mod answer;
mod cli;
mod client;
mod documents;
mod endpoint;
mod events;
mod exit;
mod failure;
mod follow;
mod graph;
mod leaders;
mod link;
mod logging;
mod node;
mod operate;
mod peers;
mod plan;
mod rolling;
mod screen;
mod session;
mod sse;
mod status;
mod stream;
mod text;
mod timeline;
mod tree;
mod wait;
mod why;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

use crate::cli::{Cli, Command, Leaders, Mesh, Peers, Upgrade};
use crate::client::{Client, REQUEST};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::link::Trust;
use crate::screen::{Screen, warn};
use crate::session::Session;
use crate::timeline::View;

fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return answer(&error).into(),
    };
    let exit = match run(&cli) {
        Ok(exit) => exit,
        Err(failure) => {
            let _ = write!(io::stderr(), "{}", failure.lines());
            failure.exit
        }
    };
    match cli.command {
        Command::Mesh(_) => exit.of_old().into(),
        _ => exit.into(),
    }
}

/// Help and version are answers, everything else is a refusal.
fn answer(error: &clap::Error) -> Exit {
    let _ = error.print();
    match error.use_stderr() {
        true => Exit::Usage,
        false => Exit::Done,
    }
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    let screen = Screen::new(cli.output());
    if let Command::Completions { shell } = cli.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "lifecyclectl", &mut script);
        screen.print(&String::from_utf8_lossy(&script))?;
        return Ok(Exit::Done);
    }
    let token = cli.global.token()?;
    let timeout = cli.global.timeout;
    let endpoint = cli.global.endpoint.clone();
    let tls = cli.global.tls()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|it| Failure::new(Exit::Failed, format!("no runtime: {it}"), ""))?;
    let trust = runtime.block_on(Trust::of(tls.as_ref()))?;
    let client = Client::new(endpoint, trust, token, timeout.unwrap_or(REQUEST))?;
    if client.exposes_token() {
        warn("warning: the token travels unencrypted to another machine");
    }
    let session = Session::new(client, screen, timeout);
    let exit = runtime.block_on(interruptible(&session, &cli.command));
    // A name that is still being resolved holds nobody up.
    runtime.shutdown_background();
    exit
}

async fn interruptible(session: &Session, command: &Command) -> Result<Exit, Failure> {
    tokio::select! {
        exit = carry_out(session, command) => exit,
        Ok(()) = tokio::signal::ctrl_c() => {
            warn(&session.interruption());
            Ok(Exit::Interrupted)
        }
    }
}

async fn carry_out(session: &Session, command: &Command) -> Result<Exit, Failure> {
    match command {
        Command::Status(args) => status::run(session, *args).await,
        Command::Tree(args) => tree::run(session, args).await,
        Command::Why { name } => why::run(session, name).await,
        Command::Events(args) => events::run(session, *args).await,
        Command::Graph { format } => graph::run(session, *format).await,
        Command::Timeline(args) => timeline::run(session, *args, View::Timeline).await,
        Command::Chain(args) => timeline::run(session, *args, View::Chain).await,
        Command::Blame(args) => timeline::run(session, *args, View::Blame).await,
        Command::Plan(args) => plan::run(session, args).await,
        Command::Restart(args) => operate::run(session, operate::Verb::Restart, args).await,
        Command::Stop(args) => operate::run(session, operate::Verb::Stop, args).await,
        Command::Start(args) => operate::run(session, operate::Verb::Start, args).await,
        Command::Cordon(args) => node::run(session, node::Verb::Cordon, args).await,
        Command::Uncordon(args) => node::run(session, node::Verb::Uncordon, args).await,
        Command::Drain(args) => node::drain(session, args).await,
        Command::Resume(args) => node::run(session, node::Verb::Resume, args).await,
        Command::Cancel(args) => node::run(session, node::Verb::Cancel, args).await,
        Command::Force(args) => node::run(session, node::Verb::Force, args).await,
        Command::Wait(args) => wait::run(session, *args).await,
        Command::RollingRestart(args) => rolling::run(session, args).await,
        Command::Peers => peers::run(session).await,
        Command::Leaders(args) => leaders::run(session, args).await,
        Command::Logging { filter } => logging::run(session, filter.as_deref()).await,
        // Printed without a host.
        Command::Completions { .. } => Ok(Exit::Done),
        Command::Mesh(mesh) => of_old(session, mesh).await,
    }
}

async fn of_old(session: &Session, mesh: &Mesh) -> Result<Exit, Failure> {
    match mesh {
        Mesh::Upgrade(Upgrade::Status { .. }) => node::status(session).await,
        Mesh::Upgrade(Upgrade::Drain(args)) => node::drain(session, args).await,
        Mesh::Upgrade(Upgrade::Resume(args)) => node::run(session, node::Verb::Resume, args).await,
        Mesh::Peers(Peers::List { .. }) => peers::run(session).await,
        Mesh::Leaders(Leaders::Status(args)) => leaders::run(session, args).await,
    }
}
