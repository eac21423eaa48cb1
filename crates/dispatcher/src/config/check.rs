//! Rules that no single value can break.

mod credentials;
mod gossip;
mod tls;

use std::collections::HashMap;

use dispatcher::{HttpUrlError, Shape};
use host_config::sections::policies;
use host_config::{Flaw, Key, Place, Report, nearest};
use lifecycle_core::Plan;
use lifecycle_runtime::Orchestrator;

use crate::config::middleware::Attempts;
use crate::config::{Config, Protocol, Way, outbound};
use crate::host::Nowhere;
use crate::{echo, host};

/// The keys that make the names of outbounds.
const NAMING: [&str; 4] = ["service", "key", "protocol", "shapes"];

/// Finds what is wrong with the whole.
pub(super) struct Checker<'a, 'b> {
    config: &'a Config,
    report: &'a mut Report<'b>,
}

impl<'a, 'b> Checker<'a, 'b> {
    pub(super) const fn of(config: &'a Config, report: &'a mut Report<'b>) -> Self {
        Self { config, report }
    }

    /// Adds every fault to the report.
    pub(super) fn check(mut self) {
        self.check_blanks();
        self.check_inbounds();
        self.check_exposure();
        self.report.check_ports(&self.config.listeners());
        self.check_gossip();
        for (name, way) in &self.config.outbounds {
            self.check_outbound(&Key::of(&["outbounds", name]), way);
        }
        self.check_tls();
        self.check_credentials();
        self.check_names();
        self.check_relays();
        self.check_middleware();
        if let Some(traces) = self.config.traces() {
            traces.check(self.report, self.config.insecure);
        }
        self.check_policies();
        if self.report.is_empty() {
            self.check_whole();
        }
    }

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
        let mut faults = self.report.faults().iter();
        let is_blamed = faults.any(|it| it.key.contains("inbound") || it.key.is_empty());
        if is_empty && !is_blamed {
            self.blame(
                &Key::default(),
                "there is no inbound, so that no call can come in",
                "add a section [http-inbounds.0] or [grpc-inbounds.0] with an address",
            );
        }
    }

    fn check_exposure(&mut self) {
        let is_insecure = self.config.insecure;
        let (own, inbounds): (Vec<_>, Vec<_>) = self
            .config
            .listeners()
            .into_iter()
            .partition(|(section, _)| section.parts().len() == 1);
        let diagnostics = &self.config.diagnostics.serving;
        diagnostics.check(self.report, &own, is_insecure);
        for (section, address) in inbounds {
            if !is_insecure && !self.config.asks_clients(&section) {
                let guard = "ask clients for certificates by `tls.client-ca`";
                self.report.check_exposure(&section, address, guard);
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
            if self.report.layers().place(&key) != Place::Default {
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
            let is_outbound = part.section.parts()[0] == "outbounds";
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

    fn check_policies(&mut self) {
        let parts = self.config.parts().into_iter();
        let sections = parts.map(|it| (it.section, it.policies));
        policies::check(self.report, &self.config.defaults, sections);
    }

    /// Puts it together as it would run: what is found here was not foreseen above, and has no better place.
    fn check_whole(&mut self) {
        let nobody = Orchestrator::builder().handle().status();
        let registrations = match host::assemble(self.config, None, nobody) {
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
        self.report.is_blamed(section, names)
    }

    /// Blames with a sentence that has its remedy behind a semicolon.
    fn blame_split(&mut self, key: &Key, fault: &str) {
        self.report.blame(key, Flaw::split(fault));
    }

    fn blame(&mut self, key: &Key, rule: impl Into<String>, remedy: &str) {
        self.report.blame(key, Flaw::new(rule, remedy));
    }
}
