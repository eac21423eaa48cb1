//! The command line.

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use lifecycle_runtime::ExitStatus;

use crate::config::{Config, Key, Sources};

/// What the program shall do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Run the host.
    Run(Box<Config>),
    /// Print a text on standard output, and succeed.
    Print(String),
}

/// Why the program does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For standard error.
    pub text: String,
    /// The exit code: [`ExitStatus::Usage`] or [`ExitStatus::Configuration`].
    pub status: ExitStatus,
}

/// Runs the control-plane host: gossip membership, probes, metrics and control endpoints.
///
/// Without any configuration it runs on embedded defaults, on loopback, and prints the addresses that it has bound.
/// Flags win over the environment (CONTROL_PLANE_HOST__SECTION__KEY), which wins over the file.
#[derive(Debug, Parser)]
#[command(name = "control-plane-host", version)]
struct Arguments {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look at the configuration instead of running it.
    #[command(subcommand)]
    Config(Inspect),
}

#[derive(Clone, Copy, Debug, Subcommand)]
enum Inspect {
    /// Report every fault; exit code 78 if there is one.
    Check,
    /// Print every value with its origin.
    Show,
}

#[derive(Debug, Args)]
struct Options {
    /// Read this TOML file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Listen for probes and metrics here.
    #[arg(long, value_name = "ADDRESS", global = true)]
    diagnostics: Option<String>,
    /// Listen for control requests here.
    #[arg(long, value_name = "ADDRESS", global = true)]
    http: Option<String>,
    /// Gossip on this UDP address.
    #[arg(long, value_name = "ADDRESS", global = true)]
    gossip: Option<String>,
    /// Do not gossip.
    #[arg(long, global = true, conflicts_with_all = ["gossip", "seed"])]
    no_gossip: bool,
    /// Ask this node first; may be given more than once.
    #[arg(long, value_name = "HOST:PORT", global = true)]
    seed: Vec<String>,
    /// The name of this node.
    #[arg(long, value_name = "NAME", global = true)]
    node_id: Option<String>,
    /// The cluster that this node belongs to.
    #[arg(long, value_name = "NAME", global = true)]
    cluster_id: Option<String>,
    /// Allow addresses that other machines can reach, without credentials.
    #[arg(long, global = true)]
    insecure: bool,
    /// The form of log lines: text or json.
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    /// Which log lines are written, such as info,lifecycle=debug.
    #[arg(long, value_name = "FILTER", global = true)]
    log_filter: Option<String>,
    /// Set any key, as in --set gossip.role=gateway; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE", global = true, value_parser = assignment)]
    set: Vec<(Key, String)>,
}

fn assignment(text: &str) -> Result<(Key, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let parsed = Key::parse(key.trim()).ok_or_else(|| format!("{key:?} is not a key"))?;
    Ok((parsed, value.trim().to_owned()))
}

/// Reads the command line and every source of the configuration; opens nothing but that file.
///
/// # Errors
///
/// [`Refusal`] when the command line makes no sense (64) or the configuration has faults (78), with all of them.
pub fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Action, Refusal> {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return answer(&error),
    };
    let sources = Sources {
        flags: arguments.options.flags(),
        file: arguments.options.config,
        environment: environment.into_iter().collect(),
        machine: machine(),
    };
    let loaded = Config::load(&sources).map_err(|error| Refusal {
        text: format!("error: {error}\n"),
        status: ExitStatus::Configuration,
    })?;
    Ok(match arguments.command {
        None => Action::Run(Box::new(loaded.config)),
        Some(Command::Config(Inspect::Check)) => {
            Action::Print("the configuration is good\n".to_owned())
        }
        Some(Command::Config(Inspect::Show)) => Action::Print(loaded.show()),
    })
}

/// Help and version are answers, everything else is a refusal.
fn answer(error: &clap::Error) -> Result<Action, Refusal> {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Action::Print(text)),
        _ => Err(Refusal {
            text,
            status: ExitStatus::Usage,
        }),
    }
}

impl Options {
    /// The flags that were given, as settings.
    fn flags(&self) -> Vec<(String, Key, String)> {
        let seeds = (!self.seed.is_empty()).then(|| self.seed.join(","));
        let yes = |it: bool, value: &str| it.then(|| value.to_owned());
        let named = [
            (
                "--diagnostics",
                &["diagnostics", "address"][..],
                self.diagnostics.clone(),
            ),
            ("--http", &["http", "address"], self.http.clone()),
            ("--gossip", &["gossip", "bind"], self.gossip.clone()),
            (
                "--no-gossip",
                &["gossip", "enabled"],
                yes(self.no_gossip, "false"),
            ),
            ("--seed", &["gossip", "seeds"], seeds),
            ("--node-id", &["gossip", "node-id"], self.node_id.clone()),
            (
                "--cluster-id",
                &["gossip", "cluster-id"],
                self.cluster_id.clone(),
            ),
            ("--insecure", &["insecure"], yes(self.insecure, "true")),
            ("--log-format", &["log", "format"], self.log_format.clone()),
            ("--log-filter", &["log", "filter"], self.log_filter.clone()),
        ];
        let named = named
            .into_iter()
            .filter_map(|(flag, key, value)| Some((flag.to_owned(), Key::of(key), value?)));
        let set = self.set.iter();
        let set = set.map(|(key, value)| ("--set".to_owned(), key.clone(), value.clone()));
        named.chain(set).collect()
    }
}

/// The name of this machine, where it is to be had.
fn machine() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
