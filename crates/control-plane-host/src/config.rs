//! The configuration: defaults, file, environment and flags to checked values, once.
//!
//! The document is walked against a table of every key there is, so that a report names **all** faults with their place,
//! and the nearest key where one is unknown; only then it becomes typed values. What is wrong is left out of what
//! follows, so that one fault hides no other.
//!
//! Without any source the defaults run on one machine, on loopback.

mod check;
mod document;
mod fault;
mod layers;
mod schema;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use diagnostics::{Credentials, TokenFileError};
use lifecycle_core::{Defaults, HealthCheck, Nanos, Registration, Restart, Retry};
use lifecycle_runtime::{LogConfig, LogFormat};
use mesh::gossip;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use crate::config::fault::{ConfigError, Fault, Place};
use crate::config::layers::Layers;
pub use crate::config::layers::{Key, Setting};

/// What the host is told, checked.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// What the host is called in its own log lines. Default: `control-plane-host`.
    pub service_name: String,
    /// Allows addresses that other machines can reach, although nothing there asks for credentials. Default: no.
    pub insecure: bool,
    /// How long after it was asked to stop the service manager kills the process, if that is known: then a stop that may
    /// take longer is refused before anything starts. Default: unset.
    pub kill_timeout: Option<Nanos>,
    /// Log output, on standard error.
    pub log: Log,
    /// The listener of probes, metrics, snapshot and operations, and who may ask. Default address: `127.0.0.1:9180`.
    pub diagnostics: Diagnostics,
    /// The control listener. Default address: `127.0.0.1:9181`.
    pub http: Listener,
    /// Gossip membership.
    pub gossip: Gossip,
    /// What holds for every component that does not say otherwise, and for the host as a whole.
    pub defaults: Defaults,
    /// Policies of single components, by name.
    pub components: BTreeMap<String, Policies>,
}

/// Log output.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Log {
    /// Lines for people or for programs. Default: `text`.
    pub format: Format,
    /// Which lines are written, as `level` or `target=level`, separated by commas. Default: `info`.
    pub filter: String,
    /// Whether `RUST_LOG` overrides the filter: not when a flag or a variable of ours has set it.
    #[serde(skip)]
    pub filter_is_final: bool,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For people; in colours on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// A TCP listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Listener {
    /// The address; port 0 takes any free one.
    pub address: SocketAddr,
    /// Names beside those of loopback by which clients may address it. Default: none.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// The listener of probes, metrics, snapshot and operations, and who may ask: here, and at the control listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Diagnostics {
    /// The address; port 0 takes any free one.
    pub address: SocketAddr,
    /// Names beside those of loopback by which clients may address it. Default: none.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// A file of bearer tokens, one a line as `name scope[,scope] token`, which is read again when it changes. Default: none;
    /// then everybody on this machine may do everything.
    #[serde(default)]
    pub tokens: Option<PathBuf>,
    /// Whether who shows no token may read the metrics. Default: yes.
    #[serde(default = "yes")]
    pub open_metrics: bool,
}

const fn yes() -> bool {
    true
}

/// Gossip membership.
///
/// As configuration, the options stand beside `enabled`, without `insecure`: that is said once for the whole host.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(try_from = "Table", into = "Table")]
pub struct Gossip {
    /// Whether there is gossip at all. Default: yes.
    pub enabled: bool,
    /// How it is done.
    pub options: gossip::Options,
}

/// The policies of one component; what is unset comes from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Policies {
    /// Attempts and limits of start.
    pub start: Retry,
    /// Attempts and limits of stop.
    pub stop: Retry,
    /// What follows when it is lost.
    pub restart: Restart,
    /// How its health is asked for; unset: it is not.
    pub health_check: Option<HealthCheck>,
    /// How long its drain may take, if it takes part in one.
    pub drain_timeout: Option<Nanos>,
    /// How long dispose may take.
    pub dispose_timeout: Option<Nanos>,
    /// How long a cancelled call may take to end by itself.
    pub abort_grace: Option<Nanos>,
}

/// Where a configuration comes from; later sources win over earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Variables of the environment; those with [`PREFIX`] count.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags: how the flag is called, which key it sets, and to what.
    pub flags: Vec<(String, Key, String)>,
    /// The name of this machine, for the default name of the node.
    pub machine: Option<String>,
}

/// What variables of the environment begin with. The rest is the key in upper case, with `_` for `-` and `__` between
/// its parts: `CONTROL_PLANE_HOST__GOSSIP__NODE_ID`.
pub const PREFIX: &str = "CONTROL_PLANE_HOST__";

impl Config {
    /// Reads and checks all sources. Reads one file at most and the tokens that it names, and opens nothing else.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every fault of every source.
    pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
        let mut faults = Vec::new();
        let layers = Layers::collect(sources, &mut faults);
        let mut config = layers.assemble(&mut faults);
        config.gossip.options.host = sources.machine.clone();
        config.log.filter_is_final = layers.is_set_by_operator(&["log", "filter"]);
        check::check(&config, &layers, &mut faults);
        match ConfigError::of(faults) {
            Some(error) => Err(error),
            None => Ok(Loaded { config, layers }),
        }
    }

    /// The options of gossip, with what they take from the rest of the configuration.
    #[must_use]
    pub fn gossip_options(&self) -> gossip::Options {
        let mut options = self.gossip.options.clone();
        options.insecure = self.insecure;
        let reachable = self.http.address.port() != 0 && !self.http.address.ip().is_unspecified();
        if options.endpoint.is_none() && reachable {
            options.endpoint = Some(format!("http://{}", self.http.address));
        }
        options
    }

    /// Who may ask at both listeners. Reads the file of tokens, if one is named.
    ///
    /// # Errors
    ///
    /// [`TokenFileError`] as for [`Credentials::from_file`].
    pub fn credentials(&self) -> Result<Credentials, TokenFileError> {
        match &self.diagnostics.tokens {
            Some(path) => Credentials::from_file(path),
            None if self.insecure => Ok(Credentials::everybody()),
            None => Ok(Credentials::default()),
        }
    }

    /// The registration with the policies that are configured for its name.
    #[must_use]
    pub fn apply_policies(&self, mut registration: Registration) -> Registration {
        let mut named = self.components.iter();
        let named = named.find(|(name, _)| name.trim().eq_ignore_ascii_case(&registration.name));
        if let Some((_, policies)) = named {
            registration.start = policies.start.clone();
            registration.stop = policies.stop.clone();
            registration.restart = policies.restart.clone();
            registration.health_check = policies.health_check.clone();
            registration.drain_timeout = policies.drain_timeout;
            registration.dispose_timeout = policies.dispose_timeout;
            registration.abort_grace = policies.abort_grace;
        }
        registration
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            service_name: "control-plane-host".to_owned(),
            insecure: false,
            kill_timeout: None,
            log: Log::default(),
            diagnostics: Diagnostics::default(),
            http: Listener::on_loopback(9181),
            gossip: Gossip::default(),
            defaults: Defaults::default(),
            components: BTreeMap::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            format: Format::Text,
            filter: "info".to_owned(),
            filter_is_final: false,
        }
    }
}

impl Log {
    /// What the runtime's log set-up takes.
    #[must_use]
    pub fn settings(&self) -> LogConfig {
        let defaults = LogConfig::default();
        LogConfig {
            format: match self.format {
                Format::Text => LogFormat::Text,
                Format::Json => LogFormat::Json,
            },
            filter: self.filter.clone(),
            filter_variable: defaults.filter_variable.filter(|_| !self.filter_is_final),
        }
    }
}

impl Listener {
    const fn on_loopback(port: u16) -> Self {
        Self {
            address: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            hosts: Vec::new(),
        }
    }
}

impl Default for Diagnostics {
    fn default() -> Self {
        let Listener { address, hosts } = Listener::on_loopback(9180);
        Self {
            address,
            hosts,
            tokens: None,
            open_metrics: true,
        }
    }
}

impl Default for Gossip {
    fn default() -> Self {
        Self {
            enabled: true,
            options: gossip::Options::default(),
        }
    }
}

impl TryFrom<Table> for Gossip {
    type Error = toml::de::Error;

    fn try_from(mut table: Table) -> Result<Self, Self::Error> {
        let enabled = table.remove("enabled").and_then(|it| it.as_bool());
        Ok(Self {
            enabled: enabled.unwrap_or(true),
            options: gossip::Options::deserialize(table)?,
        })
    }
}

impl From<Gossip> for Table {
    fn from(gossip: Gossip) -> Self {
        let mut table = Self::try_from(gossip.options).unwrap_or_default();
        table.remove("insecure");
        table.insert("enabled".to_owned(), Value::Boolean(gossip.enabled));
        table
    }
}

/// A checked configuration, and where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values.
    pub config: Config,
    layers: Layers,
}

impl Loaded {
    /// Every value with its origin, one a line: TOML, with the origin as a comment.
    #[must_use]
    pub fn show(&self) -> String {
        self.layers.show(&self.config)
    }
}
