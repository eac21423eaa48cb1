//! The command line of a host: the flags and subcommands that every one has.
//!
//! A program has a parser of its own with the flags that are its alone, flattens [`Common`] into it, and is a [`CommandLine`]; its
//! `main` is [`main`].

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use lifecycle_runtime::ExitStatus;

use crate::fault::ConfigError;
use crate::key::Key;
use crate::load::{Configuration, Flag, Sources, load};

/// The command line of a program.
pub trait CommandLine: Parser {
    /// What it configures.
    type Config: Configuration;

    /// What every host has.
    fn common(&self) -> &Common;

    /// The flags that are this program's alone, if they were given. Those that every host has win over them.
    fn own_flags(&self) -> Vec<Flag>;
}

/// Flags and subcommands that every host has.
#[derive(Clone, Debug, Args)]
pub struct Common {
    /// Read this TOML file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Serve probes, metrics and the snapshot here; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", global = true)]
    diagnostics: Option<String>,
    /// Allow addresses that other machines can reach, without credentials.
    #[arg(long, global = true)]
    insecure: bool,
    /// The form of log lines: text or json.
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    /// Which log lines are written, such as info,lifecycle=debug.
    #[arg(long, value_name = "FILTER", global = true)]
    log_filter: Option<String>,
    /// Set any key, as in --set defaults.shutdown-timeout=60s; may be given more than once.
    #[arg(long = "set", value_name = "KEY=VALUE", global = true, value_parser = assignment)]
    set: Vec<(Key, String)>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Clone, Copy, Debug, Subcommand)]
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
    /// Print the JSON schema of the file.
    Schema {
        /// Print the reference page instead.
        #[arg(long)]
        markdown: bool,
    },
}

/// What the program shall do.
#[derive(Clone, Debug)]
pub enum Action<C> {
    /// Run with this configuration.
    Run(Box<C>),
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

/// The program as a whole: what its command line and its environment say is run by `run`, or printed. What it returns is the
/// process's exit code.
pub fn main<L: CommandLine>(run: impl FnOnce(&L::Config) -> ExitCode) -> ExitCode {
    match read::<L>(env::args_os(), env::vars_os()) {
        Ok(Action::Run(config)) => run(&config),
        Ok(Action::Print(text)) => {
            // Whoever has closed the pipe does not want the rest.
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(Refusal { text, status }) => {
            let _ = write!(io::stderr(), "{text}");
            status.into()
        }
    }
}

/// Reads the command line and every source of the configuration.
///
/// # Errors
///
/// [`Refusal`] when the command line makes no sense (64) or the configuration has faults (78), with all of them.
pub fn read<L: CommandLine>(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Action<L::Config>, Refusal> {
    let line = match L::try_parse_from(arguments) {
        Ok(line) => line,
        Err(error) => return answer(&error),
    };
    let common = line.common();
    if let Some(Command::Config(Inspect::Schema { markdown })) = common.command {
        let schema = L::Config::SCHEMA;
        return Ok(Action::Print(match markdown {
            true => schema.page(),
            false => schema.json(),
        }));
    }
    let sources = Sources {
        file: common.config.clone(),
        environment: environment.into_iter().collect(),
        flags: line.own_flags().into_iter().chain(common.flags()).collect(),
        machine: machine(),
    };
    let loaded = load::<L::Config>(&sources)?;
    Ok(match common.command {
        None => Action::Run(Box::new(loaded.config)),
        Some(Command::Config(Inspect::Show)) => Action::Print(loaded.show()),
        Some(Command::Config(Inspect::Check | Inspect::Schema { .. })) => {
            Action::Print("the configuration is good\n".to_owned())
        }
    })
}

impl From<ConfigError> for Refusal {
    fn from(error: ConfigError) -> Self {
        Self {
            text: format!("error: {error}\n"),
            status: ExitStatus::Configuration,
        }
    }
}

/// Help and version are answers, everything else is a refusal.
fn answer<C>(error: &clap::Error) -> Result<Action<C>, Refusal> {
    let text = error.to_string();
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Ok(Action::Print(text)),
        _ => Err(Refusal {
            text,
            status: ExitStatus::Usage,
        }),
    }
}

impl Common {
    /// The flags that were given, those with `--set` last.
    fn flags(&self) -> Vec<Flag> {
        let insecure = self.insecure.then(|| "true".to_owned());
        let named = [
            given(
                "--diagnostics",
                &["diagnostics", "address"],
                &self.diagnostics,
            ),
            given("--insecure", &["insecure"], &insecure),
            given("--log-format", &["log", "format"], &self.log_format),
            given("--log-filter", &["log", "filter"], &self.log_filter),
        ];
        let set = self.set.iter().map(|(key, value)| Flag {
            name: "--set".to_owned(),
            key: key.clone(),
            value: value.clone(),
        });
        named.into_iter().flatten().chain(set).collect()
    }
}

/// A flag that sets the key of `parts`, if it was given.
#[must_use]
pub fn given(name: &str, parts: &[&str], value: &Option<String>) -> Option<Flag> {
    let value = value.as_ref()?;
    Some(Flag::new(name, parts, value))
}

fn assignment(text: &str) -> Result<(Key, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as KEY=VALUE")?;
    let parsed = Key::parse(key.trim()).ok_or_else(|| format!("{key:?} is not a key"))?;
    Ok((parsed, value.trim().to_owned()))
}

/// The name of this machine, where it is to be had.
fn machine() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim();
    (!name.is_empty()).then(|| name.to_owned())
}
