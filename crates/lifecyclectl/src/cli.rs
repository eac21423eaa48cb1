//! The command line.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use jiff::SignedDuration;
use lifecycle_adapters::tls::{ClientTls, Pem};

use crate::client::Token;
use crate::endpoint::Endpoint;
use crate::failure::Failure;
use crate::graph::Format;
use crate::screen::Output;
use crate::{events, leaders, node, operate, plan, rolling, status, timeline, tree, wait};

/// Asks a host why it is not up, what waits for what, and what would happen; and does it.
///
/// Exit codes: 0 done, 1 failed or not ready, 2 timed out, 3 not found, 4 refused, 64 usage, 130 interrupted.
/// Interrupting never cancels what a host has begun.
#[derive(Debug, Parser)]
#[command(name = "lifecyclectl", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where the host answers: HOST:PORT, http://HOST:PORT or https://HOST:PORT.
    #[arg(
        short = 'u',
        long,
        visible_alias = "url",
        value_name = "URL",
        env = "LIFECYCLECTL_ENDPOINT",
        default_value = "http://127.0.0.1:9180",
        global = true
    )]
    pub(crate) endpoint: Endpoint,
    /// What the host lets us in by; others can read the command line, so better by file or environment.
    #[arg(
        long,
        value_name = "TOKEN",
        env = "LIFECYCLECTL_TOKEN",
        hide_env_values = true,
        global = true
    )]
    token: Option<String>,
    /// Read the token from this file.
    #[arg(long, value_name = "FILE", conflicts_with = "token", global = true)]
    token_file: Option<PathBuf>,
    /// Over https, trust hosts with a certificate of these authorities; a file in the form PEM.
    #[arg(long, value_name = "FILE", env = "LIFECYCLECTL_CA", global = true)]
    ca: Option<PathBuf>,
    /// Over https, show this certificate, with those between it and its authority.
    #[arg(long, value_name = "FILE", env = "LIFECYCLECTL_CERT", global = true)]
    cert: Option<PathBuf>,
    /// The private key of that certificate.
    #[arg(long, value_name = "FILE", env = "LIFECYCLECTL_KEY", global = true)]
    key: Option<PathBuf>,
    /// How long a request, or a wait, may take [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = duration, global = true)]
    pub(crate) timeout: Option<Duration>,
    /// For people, or the host's document unchanged.
    #[arg(
        short,
        long,
        value_enum,
        value_name = "FORM",
        default_value = "table",
        global = true
    )]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Is it ready, and if not, why; what is in trouble.
    Status(status::Args),
    /// What depends on what.
    Tree(tree::Args),
    /// Why a component is in its state, the root cause first.
    Why {
        /// The component.
        name: String,
    },
    /// What has happened.
    Events(events::Args),
    /// The graph with its states, for other programs.
    Graph {
        /// In which form [default: dot].
        #[arg(long, value_enum)]
        format: Option<Format>,
    },
    /// How a start or a stop was spent.
    Timeline(timeline::Args),
    /// The components that a start or a stop was as long as.
    Chain(timeline::Args),
    /// Who took longest.
    Blame(timeline::Args),
    /// What an operation would do.
    Plan(plan::Args),
    /// Stop a component, with what follows it, and start it again.
    Restart(operate::Args),
    /// Stop a component; it stays down.
    Stop(operate::Args),
    /// Start a component that was stopped, or has failed for good.
    Start(operate::Args),
    /// Take no new work: the node is unready, and nothing else changes.
    Cordon(node::Args),
    /// Take the cordon back.
    Uncordon(node::Args),
    /// Refuse new work, finish what is in flight.
    Drain(node::DrainArgs),
    /// Take work again after a drain.
    Resume(node::Args),
    /// Give the drain under way up.
    Cancel(node::Args),
    /// End the drain under way: what is in flight is given up.
    Force(node::Args),
    /// Wait until the host is ready, stopped or drained.
    Wait(wait::Args),
    /// Restart hosts one after another, and stop at the first regression.
    RollingRestart(Box<rolling::Args>),
    /// The nodes that the host knows.
    Peers,
    /// Who leads which scope.
    Leaders(leaders::Args),
    /// Show which log lines the host writes, or say which.
    Logging {
        /// Such as info,lifecycle=debug.
        filter: Option<String>,
    },
    /// Print what a shell needs to complete our words.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// The original's spellings; exit codes 0, 1 and 2.
    #[command(subcommand)]
    Mesh(Mesh),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Mesh {
    /// The node: its state, and drains.
    #[command(subcommand)]
    Upgrade(Upgrade),
    /// The nodes that the host knows.
    #[command(subcommand)]
    Peers(Peers),
    /// Who leads which scope.
    #[command(subcommand)]
    Leaders(Leaders),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Upgrade {
    /// State, reason, time and participants.
    Status {
        /// As --output json.
        #[arg(long)]
        json: bool,
    },
    /// As `drain`.
    Drain(node::DrainArgs),
    /// As `resume`.
    Resume(node::Args),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Peers {
    /// As `peers`.
    List {
        /// As --output.
        #[arg(long, value_enum)]
        format: Option<Output>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Leaders {
    /// As `leaders`.
    Status(leaders::Args),
}

impl Cli {
    /// The form of the answer; the original's spellings have flags of their own for it.
    pub(crate) fn output(&self) -> Output {
        match &self.command {
            Command::Mesh(Mesh::Upgrade(Upgrade::Status { json: true })) => Output::Json,
            Command::Mesh(Mesh::Peers(Peers::List {
                format: Some(format),
            })) => *format,
            _ => self.global.output,
        }
    }
}

impl Global {
    /// # Errors
    ///
    /// When the file cannot be read, or holds none. No message quotes a token.
    pub(crate) fn token(&self) -> Result<Option<Token>, Failure> {
        let text = match &self.token_file {
            Some(file) => Some(read(file)?),
            None => self.token.clone().filter(|it| !it.is_empty()),
        };
        let token = text.as_deref().map(Token::new).transpose();
        token.map_err(|it| Failure::usage(it, "it is one line of printable ASCII"))
    }
}

impl Global {
    /// Whom to trust over TLS, and what to show; `None` when nobody is named. Opens nothing.
    ///
    /// # Errors
    ///
    /// When there is a certificate without a key, or a key without a certificate.
    pub(crate) fn tls(&self) -> Result<Option<ClientTls>, Failure> {
        let tls = self
            .ca
            .as_ref()
            .map(|it| ClientTls::trusting(Pem::file(it)));
        match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Ok(tls.map(|it| it.identity(Pem::file(cert), Pem::file(key))))
            }
            (None, None) => Ok(tls),
            (Some(_), None) | (None, Some(_)) => Err(Failure::usage(
                "--cert and --key go together",
                "name both files, or neither; LIFECYCLECTL_CERT and LIFECYCLECTL_KEY count too",
            )),
        }
    }
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| {
        let what = format!("the token cannot be read from {}: {error}", file.display());
        Failure::usage(what, "--token-file names a file with one line")
    })
}

/// A length with its unit: a bare number could mean anything.
///
/// # Errors
///
/// When it is none, negative, or has no unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "write it with its unit, as 500ms, 10s or 1m30s".to_owned();
    let length: SignedDuration = text.parse().map_err(|_| wrong())?;
    length.try_into().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m30s"), Ok(Duration::from_secs(90)));
        for text in ["10", "", "-1s", "soon"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
