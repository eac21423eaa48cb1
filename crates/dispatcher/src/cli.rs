//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use lifecycle_runtime::ExitStatus;

use crate::config::{self, Config, Key, Sources};

/// What the program shall do.
#[derive(Debug)]
pub(crate) enum Action {
    /// Run the dispatcher.
    Run(Box<Config>),
    /// Print a text on standard output, and succeed.
    Print(String),
}

/// Why the program does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// For standard error.
    pub(crate) text: String,
    /// The exit code: [`ExitStatus::Usage`] or [`ExitStatus::Configuration`].
    pub(crate) status: ExitStatus,
}

/// Answers calls over HTTP and gRPC, and passes calls on to others.
///
/// Without a file it is an echo service on loopback: procedures `echo` (unary), `swallow` (one-way), `count` and `split` (server
/// streams), and over gRPC `join` (client stream) and `mirror` (duplex). It prints the addresses that it has bound. Flags win over
/// the environment (DISPATCHER__SECTION__KEY), which wins over the file.
#[derive(Debug, Parser)]
#[command(name = "dispatcher", version)]
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
    /// Print the JSON schema of the file.
    Schema {
        /// Print the reference page instead.
        #[arg(long)]
        markdown: bool,
    },
}

#[derive(Debug, Args)]
struct Options {
    /// Read this TOML file.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Take calls over HTTP here, by the inbound 0; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", global = true)]
    http: Option<String>,
    /// Take calls over gRPC here, by the inbound 0; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", global = true)]
    grpc: Option<String>,
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
    /// Set any key, as in --set outbounds.billing.timeout=5s; may be given more than once.
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
pub(crate) fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Action, Refusal> {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => return answer(&error),
    };
    if let Some(Command::Config(Inspect::Schema { markdown })) = arguments.command {
        return Ok(Action::Print(match markdown {
            true => config::page(),
            false => config::json_schema(),
        }));
    }
    let sources = Sources {
        flags: arguments.options.flags(),
        file: arguments.options.config,
        environment: environment.into_iter().collect(),
    };
    let loaded = Config::load(&sources).map_err(|error| Refusal {
        text: format!("error: {error}\n"),
        status: ExitStatus::Configuration,
    })?;
    Ok(match arguments.command {
        None => Action::Run(Box::new(loaded.config)),
        Some(Command::Config(Inspect::Show)) => Action::Print(loaded.show()),
        Some(Command::Config(_)) => Action::Print("the configuration is good\n".to_owned()),
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
        let insecure = self.insecure.then(|| "true".to_owned());
        let named = [
            (
                "--diagnostics",
                &["diagnostics", "address"][..],
                self.diagnostics.clone(),
            ),
            (
                "--http",
                &["http-inbounds", "0", "address"],
                self.http.clone(),
            ),
            (
                "--grpc",
                &["grpc-inbounds", "0", "address"],
                self.grpc.clone(),
            ),
            ("--insecure", &["insecure"], insecure),
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
