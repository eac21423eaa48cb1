//! The configuration: its keys, what they come to, and what they must not say together.
//!
//! Without any source the defaults run on one machine, on loopback.

mod check;
mod leadership;
mod schema;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use diagnostics::{Access, AccessError, Credentials};
use host_config::sections::diagnostics::{Diagnostics, Secret};
use host_config::sections::log::Log;
use host_config::sections::policies::Policies;
use host_config::sections::traces::{About, Traces, TracesFault};
use host_config::{ConfigError, Configuration, Layers, Loaded, Report, Schema, Sources, load};
use lifecycle_adapters::otlp;
use lifecycle_adapters::tls::{Pem, ServerTls};
use lifecycle_core::{Defaults, Nanos, Registration};
use mesh::gossip;
use serde::Deserialize;

use crate::config::check::Checker;
pub use crate::config::leadership::{Leadership, Shards, Store, StoreKind};
use crate::config::schema::SCHEMA;

/// What the host is told, checked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
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
    /// The control listener of gRPC.
    pub grpc: Grpc,
    /// Who leads what.
    pub leadership: Leadership,
    /// What holds for every component that does not say otherwise, and for the host as a whole.
    pub defaults: Defaults,
    /// Policies of single components, by name.
    pub components: BTreeMap<String, Policies>,
    /// Spans to a collector. Default: none.
    pub traces: Option<Traces>,
}

/// A TCP listener.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Listener {
    /// The address; port 0 takes any free one.
    pub address: SocketAddr,
    /// Names beside those of loopback by which clients may address it. Default: none.
    pub hosts: Vec<String>,
    /// The name of a socket that is taken instead of opening one. Default: none.
    pub socket: Option<String>,
}

/// The control listener of gRPC.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Grpc {
    /// The address; port 0 takes any free one. Default: `127.0.0.1:9182`.
    pub address: SocketAddr,
    /// Whether there is such a listener. Default: no.
    pub enabled: bool,
    /// The name of a socket that is taken instead of opening one. Default: none.
    pub socket: Option<String>,
}

/// Gossip membership.
///
/// As configuration, the options stand beside `enabled`, without `insecure`: that is said once for the whole host.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Gossip {
    /// Whether there is gossip at all. Default: yes.
    pub enabled: bool,
    /// How it is done.
    #[serde(flatten)]
    pub options: gossip::Options,
}

impl Gossip {
    /// Takes in the name of this machine, for the name of the node, and the variable that has the keys, if one is named.
    fn settle(&mut self, sources: &Sources) {
        let options = &mut self.options;
        options.host.clone_from(&sources.machine);
        let variable = options.keys_env.as_ref();
        let keys = variable.and_then(|it| sources.variable(it));
        options.keys_text = keys.map(gossip::KeyText::new);
    }
}

impl Configuration for Config {
    const SCHEMA: &'static Schema = &SCHEMA;

    fn settle(&mut self, layers: &Layers, sources: &Sources) {
        self.log.settle(layers);
        self.diagnostics.settle(sources);
        self.leadership.store.settle(sources);
        self.gossip.options.host.clone_from(&sources.machine);
        if let Some(traces) = &mut self.traces {
            traces.settle(sources);
        }
        self.gossip.settle(sources);
    }

    fn check(&self, report: &mut Report<'_>) {
        Checker::of(self, report).check();
    }
}

impl Config {
    /// Reads and checks all sources. Reads one file at most, and the tokens and certificates that it names; opens
    /// nothing else.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] with every fault of every source.
    pub fn load(sources: &Sources) -> Result<Loaded<Self>, ConfigError> {
        load(sources)
    }

    /// The options of gossip, with what they take from the rest of the configuration.
    #[must_use]
    pub fn gossip_options(&self) -> gossip::Options {
        let mut options = self.gossip.options.clone();
        options.insecure = self.insecure;
        let reachable = self.http.address.port() != 0 && !self.http.address.ip().is_unspecified();
        if options.endpoint.is_none() && reachable {
            options.endpoint = Some(format!("{}://{}", self.scheme(), self.http.address));
        }
        options
    }

    /// The options of leadership, with what they take from the rest of the configuration.
    #[must_use]
    pub fn leadership_options(&self) -> mesh::leadership::Options {
        let gossip = &self.gossip.options;
        let mut options = self.leadership.options();
        options
            .node_id
            .get_or_insert_with(|| gossip.node_id_on(gossip.bind.port()));
        options
    }

    /// Who may ask at both listeners. Reads the file of tokens, if one is named.
    ///
    /// # Errors
    ///
    /// [`AccessError`] as for [`Access::credentials`].
    pub fn credentials(&self) -> Result<Credentials, AccessError> {
        let told = &self.diagnostics;
        let variable = told.tokens_env.as_deref();
        let value = told.variable.as_ref().map(Secret::reveal);
        let access = Access {
            file: told.tokens.as_deref(),
            variable: variable.map(|name| (name, value)),
            certificates: &told.client_scopes,
            everybody: self.insecure,
        };
        access.credentials()
    }

    /// What both listeners present, unless they serve in clear text. Opens nothing.
    #[must_use]
    pub fn tls(&self) -> Option<ServerTls> {
        let told = self.diagnostics.tls.as_ref()?;
        let tls = ServerTls::new(Pem::file(&told.certificate), Pem::file(&told.key))
            .reload_interval(told.reload_interval.into());
        Some(match &told.client_ca {
            Some(ca) => tls.optional_client_ca(Pem::file(ca)),
            None => tls,
        })
    }

    /// Where spans go, if anywhere. Reads the file of headers, if one is named.
    ///
    /// # Errors
    ///
    /// [`TracesFault`] as for [`Traces::settings`].
    pub fn traces(&self) -> Result<Option<otlp::Settings>, TracesFault> {
        let Some(traces) = self.traces.as_ref().filter(|it| it.enabled) else {
            return Ok(None);
        };
        let gossip = &self.gossip.options;
        let node = gossip.known_node_id().filter(|_| self.gossip.enabled);
        let about = About {
            service: &self.service_name,
            version: env!("CARGO_PKG_VERSION"),
            instance: About::instance(node, gossip.host.as_deref()),
        };
        traces.settings(&about).map(Some)
    }

    /// What is spoken at both listeners: `http` or `https`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        match self.diagnostics.tls {
            Some(_) => "https",
            None => "http",
        }
    }

    /// The registration with the policies that are configured for its name.
    #[must_use]
    pub fn apply_policies(&self, registration: Registration) -> Registration {
        let mut named = self.components.iter();
        let named = named.find(|(name, _)| name.trim().eq_ignore_ascii_case(&registration.name));
        match named {
            Some((_, policies)) => policies.apply(registration),
            None => registration,
        }
    }
}

impl Default for Config {
    /// What holds when nobody says anything.
    fn default() -> Self {
        let loaded = Self::load(&Sources::default());
        loaded.expect("the defaults have no fault").config
    }
}
