//! The program's configuration: its keys, what they come to, and what they must not say together.
//!
//! Where the control-plane host has a table of policies by component, parts have theirs in their own sections: here components
//! come from the configuration, and a name that is made of three keys is easily misspelled.

mod check;
mod gossip;
mod middleware;
mod schema;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;

use diagnostics::{Access, AccessError, Credentials};
use dispatcher::{Breaker, Chooser, DEFAULT_KEY, Gate, Shape};
use host_config::sections::diagnostics::{Diagnostics, Secret};
use host_config::sections::log::Log;
use host_config::sections::policies::Policies;
use host_config::sections::tls::{Presented, Trusted};
use host_config::sections::traces::{About, Traces, TracesFault};
use host_config::{Configuration, Key, Layers, Report, Schema, Sources};
use lifecycle_adapters::Limits;
use lifecycle_adapters::otlp;
use lifecycle_adapters::tls::ServerTls;
use lifecycle_core::{Criticality, Defaults, Nanos, Registration};
use serde::{Deserialize, Deserializer};

use crate::config::check::Checker;
use crate::config::gossip::Gossip;
pub(crate) use crate::config::middleware::Bounds;
use crate::config::middleware::{Attempts, Middleware};
use crate::config::schema::SCHEMA;
pub(crate) use crate::config::tls::{optionally, presented};

/// What the program is told, checked.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Config {
    pub(crate) service: String,
    pub(crate) echo: bool,
    #[serde(with = "GateName")]
    pub(crate) gate: Gate,
    pub(crate) insecure: bool,
    pub(crate) kill_timeout: Option<Nanos>,
    pub(crate) log: Log,
    pub(crate) diagnostics: Listener,
    pub(crate) middleware: Middleware,
    /// Also when it is switched off.
    gossip: Option<Gossip>,
    pub(crate) http_inbounds: BTreeMap<String, HttpPlace>,
    pub(crate) grpc_inbounds: BTreeMap<String, GrpcPlace>,
    pub(crate) outbounds: BTreeMap<String, Way>,
    pub(crate) relays: BTreeMap<String, Passing>,
    /// Also when it is switched off.
    traces: Option<Traces>,
    /// The name of this machine.
    #[serde(skip)]
    machine: Option<String>,
    pub(crate) defaults: Defaults,
}

/// The diagnostics, which are a component.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Listener {
    #[serde(flatten)]
    pub(crate) serving: Diagnostics,
    #[serde(flatten)]
    pub(crate) policies: Policies,
}

/// An HTTP inbound.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct HttpPlace {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Option<String>,
    pub(crate) body_bytes: usize,
    pub(crate) body_timeout: Nanos,
    pub(crate) keep_alive: Nanos,
    pub(crate) limits: LimitsOfListener,
    pub(crate) tls: Option<Presented>,
    pub(crate) criticality: Criticality,
    #[serde(flatten)]
    pub(crate) policies: Policies,
}

/// A gRPC inbound.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct GrpcPlace {
    pub(crate) address: SocketAddr,
    pub(crate) socket: Option<String>,
    pub(crate) compression: Compression,
    pub(crate) advertise: Option<String>,
    pub(crate) message_bytes: usize,
    pub(crate) message_timeout: Nanos,
    pub(crate) limits: LimitsOfListener,
    pub(crate) tls: Option<Presented>,
    pub(crate) criticality: Criticality,
    #[serde(flatten)]
    pub(crate) policies: Policies,
}

/// What clients may take of a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct LimitsOfListener {
    connections: usize,
    head: Nanos,
    head_bytes: u32,
    streams: u32,
    ping_interval: Nanos,
    ping_timeout: Nanos,
    stall: Nanos,
}

/// An outbound.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Way {
    pub(crate) service: String,
    pub(crate) key: String,
    pub(crate) protocol: Protocol,
    /// Unset, there is who says where.
    pub(crate) address: Option<String>,
    #[serde(default)]
    pub(crate) peers: Vec<String>,
    pub(crate) peers_from: Option<PeersFrom>,
    #[serde(default, deserialize_with = "chooser")]
    pub(crate) chooser: Chooser,
    pub(crate) breaker: Option<BreakerTerms>,
    #[serde(default)]
    pub(crate) compression: Compression,
    #[serde(deserialize_with = "shapes")]
    pub(crate) shapes: Vec<Shape>,
    pub(crate) connect_timeout: Nanos,
    pub(crate) idle_timeout: Nanos,
    pub(crate) timeout: Nanos,
    pub(crate) message_bytes: usize,
    pub(crate) tls: Option<Trusted>,
    pub(crate) retries: Option<Attempts>,
    #[serde(flatten)]
    pub(crate) bounds: Bounds,
    pub(crate) criticality: Criticality,
    #[serde(flatten)]
    pub(crate) policies: Policies,
}

/// What an outbound speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Protocol {
    Http,
    Http2,
    Grpc,
}

/// How messages of gRPC are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compression {
    #[default]
    None,
    Gzip,
}

/// Who says at which places an outbound's calls are answered.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PeersFrom {
    Gossip,
}

/// When a peer that fails is left alone.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct BreakerTerms {
    failures: NonZeroU32,
    first_pause: Nanos,
    longest_pause: Nanos,
}

/// A relay.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Passing {
    pub(crate) service: String,
    pub(crate) key: String,
    unary: Vec<String>,
    oneway: Vec<String>,
    stream: Vec<String>,
    client_stream: Vec<String>,
    duplex: Vec<String>,
    #[serde(flatten)]
    pub(crate) bounds: Bounds,
}

/// [`Gate`] as it is written.
#[derive(Deserialize)]
#[serde(remote = "Gate", rename_all = "kebab-case")]
enum GateName {
    Last,
    Open,
}

impl Configuration for Config {
    const SCHEMA: &'static Schema = &SCHEMA;

    fn complete(layers: &mut Layers) {
        complete_outbounds(layers);
        complete_relays(layers);
    }

    fn settle(&mut self, layers: &Layers, sources: &Sources) {
        self.log.settle(layers);
        self.diagnostics.serving.settle(sources);
        if let Some(gossip) = &mut self.gossip {
            gossip.settle(sources);
        }
        if let Some(traces) = &mut self.traces {
            traces.settle(sources);
        }
        self.machine.clone_from(&sources.machine);
    }

    fn check(&self, report: &mut Report<'_>) {
        Checker::of(self, report).check();
    }
}

impl Config {
    /// Gossip, unless there is none.
    pub(crate) fn gossip(&self) -> Option<&Gossip> {
        self.gossip.as_ref().filter(|it| it.enabled)
    }

    /// Where spans go, unless there are none.
    pub(crate) fn traces(&self) -> Option<&Traces> {
        self.traces.as_ref().filter(|it| it.enabled)
    }

    /// The same for an exporter. Reads the file of headers, if one is named.
    ///
    /// # Errors
    ///
    /// [`TracesFault`] as for [`Traces::settings`].
    pub(crate) fn exporting(&self) -> Result<Option<otlp::Settings>, TracesFault> {
        let Some(traces) = self.traces() else {
            return Ok(None);
        };
        let node = self
            .gossip()
            .and_then(|it| it.options(true).known_node_id());
        let about = About {
            service: self.service.trim(),
            version: env!("CARGO_PKG_VERSION"),
            instance: About::instance(node, self.machine.as_deref()),
        };
        traces.settings(&about).map(Some)
    }

    /// Every inbound's section and address, and that of the diagnostics.
    pub(crate) fn listeners(&self) -> Vec<(Key, SocketAddr)> {
        let diagnostics = (Key::of(&["diagnostics"]), self.diagnostics.serving.address);
        let http = self.http_inbounds.iter();
        let http = http.map(|(name, it)| (Key::of(&["http-inbounds", name]), it.address));
        let grpc = self.grpc_inbounds.iter();
        let grpc = grpc.map(|(name, it)| (Key::of(&["grpc-inbounds", name]), it.address));
        [diagnostics].into_iter().chain(http).chain(grpc).collect()
    }

    /// Who may ask the diagnostics. Reads the file of tokens, if one is named.
    ///
    /// # Errors
    ///
    /// [`AccessError`] as for [`Access::credentials`].
    pub(crate) fn credentials(&self) -> Result<Credentials, AccessError> {
        let told = &self.diagnostics.serving;
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

    /// What the diagnostics present, unless they serve in clear text. Opens nothing.
    pub(crate) fn diagnostics_tls(&self) -> Option<ServerTls> {
        self.diagnostics.serving.tls.as_ref().map(optionally)
    }

    /// Whether the listener of that section lets in only clients that have a certificate.
    pub(crate) fn asks_clients(&self, section: &Key) -> bool {
        let tls = match section.parts() {
            [kind, name] if kind == "http-inbounds" => &self.http_inbounds[name].tls,
            [kind, name] if kind == "grpc-inbounds" => &self.grpc_inbounds[name].tls,
            _ => &None,
        };
        tls.as_ref().is_some_and(Presented::asks_clients)
    }

    /// Every part that is a component: its section, its names, and what it says of itself.
    pub(crate) fn parts(&self) -> Vec<Part<'_>> {
        let part = |section: &[&str], names, policies, criticality| Part {
            section: Key::of(section),
            names,
            policies,
            criticality,
        };
        let mut parts = vec![part(
            &["diagnostics"],
            vec![diagnostics::NAME.to_owned()],
            &self.diagnostics.policies,
            None,
        )];
        if let Some(it) = self.gossip() {
            let names = vec![mesh::gossip::NAME.to_owned()];
            parts.push(part(&["gossip"], names, &it.policies, Some(it.criticality)));
        }
        for (name, it) in &self.http_inbounds {
            let (section, names) = (["http-inbounds", name], vec![http_inbound(name)]);
            parts.push(part(&section, names, &it.policies, Some(it.criticality)));
        }
        for (name, it) in &self.grpc_inbounds {
            let (section, names) = (["grpc-inbounds", name], vec![grpc_inbound(name)]);
            parts.push(part(&section, names, &it.policies, Some(it.criticality)));
        }
        for (name, it) in &self.outbounds {
            let (section, names) = (["outbounds", name], it.names());
            parts.push(part(&section, names, &it.policies, Some(it.criticality)));
        }
        parts
    }

    /// The registration with what its section says of it.
    pub(crate) fn apply_policies(&self, registration: Registration) -> Registration {
        let parts = self.parts();
        let mut named = parts
            .iter()
            .filter(|it| it.names.contains(&registration.name));
        match named.next() {
            Some(part) => part.apply(registration),
            None => registration,
        }
    }
}

/// A part that is a component.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    pub(crate) section: Key,
    /// The name of the component, and its aliases.
    pub(crate) names: Vec<String>,
    policies: &'a Policies,
    /// `None`: it is not for the configuration to say.
    criticality: Option<Criticality>,
}

impl Part<'_> {
    /// The registration with these policies.
    fn apply(&self, registration: Registration) -> Registration {
        let registration = self.policies.apply(registration);
        match self.criticality {
            Some(criticality) => registration.criticality(criticality),
            None => registration,
        }
    }
}

/// The component of an HTTP inbound.
pub(crate) fn http_inbound(name: &str) -> String {
    format!("http-inbound:{}", name.trim())
}

/// The component of a gRPC inbound.
pub(crate) fn grpc_inbound(name: &str) -> String {
    format!("grpc-inbound:{}", name.trim())
}

/// The name of an outbound for calls of one shape.
pub(crate) fn outbound(service: &str, key: &str, shape: Shape) -> String {
    let key = Some(key.trim()).filter(|it| !it.is_empty());
    format!("{}:{}:{shape}", service.trim(), key.unwrap_or(DEFAULT_KEY))
}

impl Way {
    /// The same with one place, which is `address`.
    pub(crate) fn at(&self, address: &str) -> Self {
        Self {
            address: Some(address.to_owned()),
            peers: Vec::new(),
            peers_from: None,
            ..self.clone()
        }
    }

    /// The names of its component, the first of which is that of the component.
    pub(crate) fn names(&self) -> Vec<String> {
        let carried = Shape::ALL.iter().filter(|it| self.shapes.contains(it));
        carried
            .map(|it| outbound(&self.service, &self.key, *it))
            .collect()
    }
}

impl Protocol {
    /// The shapes that it carries.
    pub(crate) const fn shapes(self) -> &'static [&'static str] {
        match self {
            Self::Http | Self::Http2 => schema::SHAPES.split_at(3).0,
            Self::Grpc => schema::SHAPES,
        }
    }

    /// What calls by it are said to go over.
    pub(crate) const fn transport(self) -> &'static str {
        match self {
            Self::Http | Self::Http2 => "http",
            Self::Grpc => "grpc",
        }
    }
}

impl Passing {
    /// The procedures of each shape.
    pub(crate) fn procedures(&self) -> [(Shape, &[String]); 5] {
        [
            (Shape::Unary, &self.unary),
            (Shape::Oneway, &self.oneway),
            (Shape::ServerStream, &self.stream),
            (Shape::ClientStream, &self.client_stream),
            (Shape::Duplex, &self.duplex),
        ]
    }
}

impl LimitsOfListener {
    pub(crate) fn settings(&self) -> Limits {
        Limits {
            connections: self.connections,
            head: self.head.into(),
            head_bytes: self.head_bytes,
            streams: self.streams,
            ping_interval: self.ping_interval.into(),
            ping_timeout: self.ping_timeout.into(),
            stall: self.stall.into(),
        }
    }
}

impl BreakerTerms {
    pub(crate) fn settings(self) -> Breaker {
        Breaker {
            failures: self.failures,
            first_pause: self.first_pause.into(),
            longest_pause: self.longest_pause.into(),
        }
    }
}

/// Puts defaults that depend on what an outbound speaks, and on its name.
fn complete_outbounds(layers: &mut Layers) {
    let outbounds = Key::of(&["outbounds"]);
    for name in names_in(layers, &outbounds) {
        let section = outbounds.join(&name);
        let is_grpc = layers.text(&section.join("protocol")) == Some("grpc");
        let (protocol, idle, bytes) = match is_grpc {
            true => (Protocol::Grpc, "90s", 4_i64 << 20),
            false => (Protocol::Http, "5s", 1 << 20),
        };
        layers.suppose(section.join("idle-timeout"), idle);
        layers.suppose(section.join("message-bytes"), bytes);
        layers.suppose(section.join("shapes"), protocol.shapes().to_vec());
        if is_grpc {
            layers.suppose(section.join("peers"), Vec::<String>::new());
            layers.suppose(section.join("chooser"), "round-robin");
            layers.suppose(section.join("compression"), "none");
        }
        layers.suppose(section.join("service"), name);
    }
}

fn complete_relays(layers: &mut Layers) {
    let relays = Key::of(&["relays"]);
    for name in names_in(layers, &relays) {
        let key = relays.join(&name).join("service");
        layers.suppose(key, name);
    }
}

fn names_in(layers: &Layers, section: &Key) -> Vec<String> {
    layers.names(section).map(str::to_owned).collect()
}

fn chooser<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Chooser, D::Error> {
    Ok(match String::deserialize(deserializer)?.as_str() {
        "fewest-pending" => Chooser::FewestPending,
        "two-random-choices" => Chooser::TwoRandomChoices,
        _ => Chooser::RoundRobin,
    })
}

fn shapes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Shape>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    let is_named = |it: &Shape| names.iter().any(|name| name == it.as_str());
    Ok(Shape::ALL.into_iter().filter(is_named).collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use host_config::{Fault, load};

    use super::*;

    fn faults_of(text: &str) -> Vec<Fault> {
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), text).expect("it is written");
        let sources = Sources {
            file: Some(file.path().to_owned()),
            ..Sources::default()
        };
        load::<Config>(&sources).map_or_else(|it| it.faults, |_| Vec::new())
    }

    #[test]
    fn a_value_of_a_wrong_kind_is_one_fault_whatever_key_it_stands_at() {
        for key in SCHEMA.keys() {
            let key = key.replace('*', "a");
            for wrong in ["{ x = 1 }", "[[1]]", "1979-05-27"] {
                let faults = faults_of(&format!("{key} = {wrong}"));
                let blamed = faults.iter().filter(|it| it.key == key);
                assert_eq!(blamed.count(), 1, "{key} = {wrong}: {faults:?}");
            }
        }
    }

    #[test]
    fn a_limit_of_no_time_or_of_for_ever_is_a_fault() {
        for wrong in ["0s", "366d"] {
            let faults = faults_of(&format!(
                "[http-inbounds.0]\naddress = '127.0.0.1:0'\nkeep-alive = '{wrong}'"
            ));
            let said = faults.iter().map(|it| format!("{}: {}", it.key, it.rule));
            let expected = format!("http-inbounds.0.keep-alive: \"{wrong}\" is out of range");
            assert_eq!(said.collect::<Vec<_>>(), [expected]);
        }
    }

    #[test]
    fn an_empty_file_and_a_name_that_no_component_can_have_are_blamed_on_the_file() {
        let bad_name = "[http-inbounds.\"a\\nb\"]\naddress = '127.0.0.1:0'";
        for (text, said) in [("", "there is no inbound"), (bad_name, "name")] {
            let faults = faults_of(text);
            assert_eq!(faults.len(), 1, "{faults:?}");
            assert!(faults[0].rule.contains(said), "{faults:?}");
            let place = faults[0].place.to_string();
            assert!(place.ends_with(":1"), "{place}");
        }
    }
}
