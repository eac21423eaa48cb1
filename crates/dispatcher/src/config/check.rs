//! Rules that no single value can break.

mod gossip;
mod tls;
mod tokens;

use std::collections::HashMap;

use dispatcher::{HttpUrlError, Shape};
use lifecycle_core::{GraphFault, Plan, Registration, component};
use lifecycle_runtime::Orchestrator;

use crate::config::fault::{Fault, Place};
use crate::config::kind::{Flaw, nearest};
use crate::config::layers::Layers;
use crate::config::middleware::Attempts;
use crate::config::{Config, Key, Protocol, Way, outbound};
use crate::host::Nowhere;
use crate::{echo, host};

/// Adds every fault of the whole.
pub(crate) fn check(config: &Config, layers: &Layers, faults: &mut Vec<Fault>) {
    let mut checker = Checker {
        config,
        layers,
        faults,
    };
    checker.check_blanks();
    checker.check_inbounds();
    checker.check_exposure();
    checker.check_ports();
    checker.check_gossip();
    for (name, way) in &config.outbounds {
        checker.check_outbound(&Key::of(&["outbounds", name]), way);
    }
    checker.check_tls();
    checker.check_tokens();
    checker.check_names();
    checker.check_relays();
    checker.check_middleware();
    checker.check_policies();
    if checker.faults.is_empty() {
        checker.check_whole();
    }
}

/// The keys that make the names of outbounds.
const NAMING: [&str; 4] = ["service", "key", "protocol", "shapes"];

struct Checker<'a> {
    config: &'a Config,
    layers: &'a Layers,
    faults: &'a mut Vec<Fault>,
}

impl Checker<'_> {
    fn check_blanks(&mut self) {
        let config = self.config;
        let own = (Key::of(&["service"]), &config.service);
        let outbounds = config.outbounds.iter();
        let outbounds =
            outbounds.map(|(name, it)| (Key::of(&["outbounds", name, "service"]), &it.service));
        let relays = config.relays.iter();
        let relays = relays.map(|(name, it)| (Key::of(&["relays", name, "service"]), &it.service));
        for (key, service) in [own].into_iter().chain(outbounds).chain(relays) {
            if service.trim().is_empty() {
                self.blame(&key, "the service has no name", "give it one");
            }
        }
    }

    fn check_inbounds(&mut self) {
        let is_empty = self.config.http_inbounds.is_empty() && self.config.grpc_inbounds.is_empty();
        let is_blamed = self
            .faults
            .iter()
            .any(|it| it.key.contains("inbound") || it.key.is_empty());
        if is_empty && !is_blamed {
            self.blame(
                &Key::default(),
                "there is no inbound, so that no call can come in",
                "add a section [http-inbounds.0] or [grpc-inbounds.0] with an address",
            );
        }
    }

    fn check_exposure(&mut self) {
        if self.config.insecure {
            return;
        }
        for (section, address) in self.config.listeners() {
            let is_within_reach = !address.ip().to_canonical().is_loopback();
            if is_within_reach && !self.config.asks_clients(&section) {
                let remedy = match section.0.len() {
                    1 => {
                        "use a loopback address, name a file of tokens (diagnostics.tokens), or set `insecure = true` on a network that you trust"
                    }
                    _ => {
                        "use a loopback address, ask clients for certificates by `tls.client-ca`, or set `insecure = true` on a network that you trust"
                    }
                };
                self.blame(
                    &section.join("address"),
                    format!(
                        "{address} can be reached from other machines, and nothing there asks for credentials"
                    ),
                    remedy,
                );
            }
        }
    }

    fn check_ports(&mut self) {
        let listeners = self.config.listeners();
        for (place, (one, first)) in listeners.iter().enumerate() {
            for (other, second) in &listeners[place + 1..] {
                let same_machine = first.ip() == second.ip()
                    || first.ip().is_unspecified()
                    || second.ip().is_unspecified();
                if first.port() == 0 || first.port() != second.port() || !same_machine {
                    continue;
                }
                let (one, other) = (one.join("address"), other.join("address"));
                // Blamed is the one that somebody has set; of two, the later.
                let (blamed, taken_by) = match self.layers.place(&other) {
                    Place::Default => (one, other),
                    _ => (other, one),
                };
                self.blame(
                    &blamed,
                    format!("the port is that of {taken_by} too ({first}, {second})"),
                    "give each listener a port of its own",
                );
            }
        }
    }

    /// Without an address it leads nowhere, unless somebody says where.
    fn check_address(&mut self, section: &Key, way: &Way) {
        let is_led = way.address.is_some() || way.peers_from.is_some();
        if !is_led && !self.is_blamed(section, &["address", "peers-from"]) {
            self.blame(
                &section.join("address"),
                format!("{section} has no address"),
                "say address: where it leads: a URL `http://host:port/path` or `https://host:port/path` for `http` and `http2`, `host:port` for `grpc`; \
                 or peers-from, for `grpc`",
            );
        }
    }

    fn check_outbound(&mut self, section: &Key, way: &Way) {
        self.check_address(section, way);
        let is_unclear = self.is_blamed(section, &["protocol"]);
        if is_unclear {
            return;
        }
        let address = section.join("address");
        if !self.is_blamed(section, &["address"])
            && let Some(text) = &way.address
            && let Err(error) = host::outbound(&way.at(text), None)
        {
            match error {
                Nowhere::Http(HttpUrlError::Untrusting) => {
                    let rule = "the upstream's scheme is \"https\", and nothing says whom to trust";
                    let remedy = format!("add a section [{}] with a ca", section.join("tls"));
                    self.blame(&address, rule, &remedy);
                }
                other => self.blame_split(&address, &other.to_string()),
            }
        }
        if way.protocol == Protocol::Grpc {
            for peer in &way.peers {
                if let Err(error) = host::outbound(&way.at(peer), None) {
                    self.blame_split(&section.join("peers"), &error.to_string());
                }
            }
            return;
        }
        for name in ["peers", "peers-from", "chooser", "breaker", "compression"] {
            let key = section.join(name);
            if self.layers.place(&key) != Place::Default {
                self.blame(
                    &key,
                    "an outbound over HTTP has one upstream, no circuit, and no compression",
                    "drop it, or use protocol = \"grpc\"",
                );
            }
        }
        let carried = way.protocol.shapes();
        for shape in way.shapes.iter().map(|it| it.as_str()) {
            if !carried.contains(&shape) {
                self.blame(
                    &section.join("shapes"),
                    format!("there are no {shape} calls over HTTP"),
                    "drop it, or use protocol = \"grpc\"",
                );
            }
        }
    }

    /// Each name of a component belongs to one part.
    fn check_names(&mut self) {
        let mut owners: HashMap<String, Key> = HashMap::new();
        for part in self.config.parts() {
            if self.is_blamed(&part.section, &NAMING) {
                continue;
            }
            let taken = part.names.iter().find_map(|name| {
                let owner = owners.get(&name.to_ascii_lowercase())?;
                Some((name.clone(), owner.clone()))
            });
            let Some((name, owner)) = taken else {
                let names = part.names.iter().map(|it| it.to_ascii_lowercase());
                owners.extend(names.map(|it| (it, part.section.clone())));
                continue;
            };
            let is_outbound = part.section.0[0] == "outbounds";
            let (key, remedy) = match is_outbound {
                true => (part.section.join("key"), "give one of them another key"),
                false => (part.section, "rename one of them; case does not count"),
            };
            self.blame(&key, format!("{owner} is \"{name}\" too"), remedy);
        }
    }

    fn check_relays(&mut self) {
        let config = self.config;
        let known: Vec<_> = config.outbounds.values().flat_map(Way::names).collect();
        let outbounds = Key::of(&["outbounds"]);
        let mut sections = config.outbounds.keys().map(|it| outbounds.join(it));
        let is_unclear = sections.any(|it| self.is_blamed(&it, &NAMING));
        let mut offered: HashMap<(Shape, String), Key> = HashMap::new();
        if config.echo {
            let of_echo = echo::NAMES.into_iter();
            offered.extend(of_echo.map(|(shape, it)| ((shape, it.to_owned()), Key::of(&["echo"]))));
        }
        for (name, relay) in &config.relays {
            let section = Key::of(&["relays", name]);
            if relay.procedures().iter().all(|(_, it)| it.is_empty()) {
                let flawed = Shape::ALL.map(Shape::as_str);
                if !self.is_blamed(&section, &flawed) {
                    let remedy = "name some, such as unary = [\"name::*\"]";
                    self.blame(&section, "the relay has no procedure", remedy);
                }
            }
            for (shape, procedures) in relay.procedures() {
                let key = section.join(shape.as_str());
                let needed = outbound(&relay.service, &relay.key, shape);
                let is_there = known.iter().any(|it| it.eq_ignore_ascii_case(&needed));
                if !procedures.is_empty() && !is_there && !is_unclear {
                    self.blame_unknown(&key, &needed, &known);
                }
                for procedure in procedures {
                    self.check_procedure(&key, shape, procedure, &mut offered);
                }
            }
        }
    }

    fn check_middleware(&mut self) {
        let config = self.config;
        let all = [(Key::of(&["middleware"]), &config.middleware.bounds)];
        let relays = config.relays.iter();
        let relays = relays.map(|(name, it)| (Key::of(&["relays", name]), &it.bounds));
        for (section, bounds) in all.into_iter().chain(relays) {
            if let Some(fault) = bounds.fault_of_default() {
                self.blame_split(&section.join("deadlines").join("default"), &fault);
            }
        }
        for (name, way) in &config.outbounds {
            let backoff = Key::of(&["outbounds", name, "retries", "backoff"]);
            for fault in way.retries.iter().flat_map(Attempts::faults_of_backoff) {
                self.blame_split(&backoff, &fault);
            }
        }
    }

    fn blame_unknown(&mut self, key: &Key, needed: &str, known: &[String]) {
        let remedy = match nearest(known.iter().map(String::as_str), needed) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "add it under [outbounds]".to_owned(),
        };
        let rule = format!("a relay needs the outbound \"{needed}\", which there is not");
        self.blame(key, rule, &remedy);
    }

    fn check_procedure(
        &mut self,
        key: &Key,
        shape: Shape,
        procedure: &str,
        offered: &mut HashMap<(Shape, String), Key>,
    ) {
        let name = procedure.trim();
        if name.is_empty() {
            self.blame(key, "a procedure has no name", "name it, or drop it");
            return;
        }
        if let Some(owner) = offered.insert((shape, name.to_ascii_lowercase()), key.clone()) {
            let rule = format!("the {shape} procedure \"{name}\" is that of {owner} too");
            self.blame(key, rule, "drop one of them");
        }
    }

    /// Asks the core itself, with components that do nothing and have the names of sections.
    fn check_policies(&mut self) {
        let parts = self.config.parts();
        let stub = |section: String| {
            let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
            Registration::new(section, idle)
        };
        let stubs = parts
            .iter()
            .map(|it| it.apply(stub(it.section.to_string())));
        let compiled = Plan::compile(stubs.collect(), self.config.defaults.clone());
        for fault in compiled.err().into_iter().flat_map(|it| it.faults) {
            let (section, phase, fault) = match &fault {
                GraphFault::Defaults { phase, fault } => (Key::of(&["defaults"]), *phase, fault),
                GraphFault::Policy {
                    component,
                    phase,
                    fault,
                } => {
                    let is_named = |it: &Key| it.to_string() == component.as_str();
                    let mut sections = parts.iter().map(|it| it.section.clone());
                    let section = sections.find(is_named).unwrap_or_default();
                    (section, *phase, fault)
                }
                // Of names it is asked below, with the true ones.
                _ => continue,
            };
            let phase_key = section.join(phase);
            let key = field_of(phase, fault).map_or(phase_key.clone(), |it| phase_key.join(it));
            self.blame_split(&key, fault);
        }
    }

    /// Puts it together as it would run: what is found here was not foreseen above, and has no better place.
    fn check_whole(&mut self) {
        let nobody = Orchestrator::builder().handle().status();
        let registrations = match host::assemble(self.config, nobody) {
            Ok(assembled) => assembled.registrations,
            Err(error) => return self.blame(&Key::default(), error.to_string(), ""),
        };
        let compiled = Plan::compile(registrations, self.config.defaults.clone());
        for fault in compiled.err().into_iter().flat_map(|it| it.faults) {
            self.blame(&Key::default(), fault.to_string(), "");
        }
    }

    /// Whether one of these keys of the section was blamed already.
    fn is_blamed(&self, section: &Key, names: &[&str]) -> bool {
        let keys: Vec<_> = names
            .iter()
            .map(|it| section.join(it).to_string())
            .collect();
        self.faults.iter().any(|it| keys.contains(&it.key))
    }

    /// Blames with a sentence that has its remedy behind a semicolon.
    fn blame_split(&mut self, key: &Key, fault: &str) {
        let (rule, remedy) = fault.split_once("; ").unwrap_or((fault, ""));
        self.blame(key, rule, remedy);
    }

    fn blame(&mut self, key: &Key, rule: impl Into<String>, remedy: &str) {
        let place = match self.layers.place(key) {
            Place::Default if *key != Key::default() => self.layers.place(&key.parent()),
            place => place,
        };
        self.faults
            .push(Fault::new(place, key, Flaw::new(rule, remedy)));
    }
}

/// The field that a fault of a policy is about; its first words say so.
fn field_of(phase: &str, fault: &str) -> Option<&'static str> {
    let fields: &[(&str, &'static str)] = match phase {
        "start" | "stop" => &[
            ("max-attempts", "max-attempts"),
            ("attempt-timeout", "attempt-timeout"),
            ("total", "total"),
            ("back-off", "backoff"),
            ("a back-off", "backoff"),
        ],
        "restart" => &[
            ("window", "window"),
            ("stable-period", "stable-period"),
            ("back-off", "backoff"),
            ("a back-off or a budget", "when"),
        ],
        "health-check" => &[
            ("every", "every"),
            ("timeout", "timeout"),
            ("misses", "misses"),
        ],
        _ => &[],
    };
    let mut fields = fields.iter();
    let named = fields.find(|(begin, _)| fault.starts_with(begin));
    named.map(|(_, field)| *field)
}
