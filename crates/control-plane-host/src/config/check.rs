//! Rules that no single value can break.

use std::error::Error as _;
use std::iter;
use std::net::SocketAddr;

use diagnostics::TokenFileError;
use lifecycle_core::{GraphFault, Plan, Registration, component};
use mesh::gossip::OptionFault;

use crate::config::Config;
use crate::config::fault::{Fault, Place};
use crate::config::layers::{Key, Layers};
use crate::host::COMPONENTS;

/// The options of gossip that are compared with each other.
const INTERVALS: [&str; 4] = [
    "gossip-interval",
    "suspicion-interval",
    "leave-interval",
    "dead-node-grace",
];

/// Adds every fault of the whole.
pub(crate) fn check(config: &Config, layers: &Layers, faults: &mut Vec<Fault>) {
    let mut checker = Checker {
        config,
        layers,
        faults,
    };
    checker.check_exposure();
    checker.check_tokens();
    checker.check_ports();
    checker.check_gossip();
    checker.check_policies();
}

struct Checker<'a> {
    config: &'a Config,
    layers: &'a Layers,
    faults: &'a mut Vec<Fault>,
}

impl Checker<'_> {
    fn check_exposure(&mut self) {
        for (section, address) in self.listeners() {
            let is_guarded = self.config.diagnostics.tokens.is_some() || self.config.insecure;
            if !address.ip().to_canonical().is_loopback() && !is_guarded {
                self.blame(
                    &Key::of(&[section, "address"]),
                    format!(
                        "{address} can be reached from other machines, and nothing there asks for credentials"
                    ),
                    "use a loopback address, name a file of tokens (diagnostics.tokens), or set `insecure = true` on a network that you trust",
                );
            }
        }
    }

    /// What is wrong with the tokens is named where they are, and a file that cannot be used where it is named.
    fn check_tokens(&mut self) {
        let key = Key::of(&["diagnostics", "tokens"]);
        match self.config.credentials() {
            Ok(_) => {}
            Err(TokenFileError::Faulty { path, faults }) => {
                for fault in faults {
                    let place = Place::File {
                        path: path.clone(),
                        line: fault.line,
                    };
                    self.blame_at(place, &key, fault.rule, "");
                }
            }
            Err(error) => {
                let cause = error.source().map(|it| format!(": {it}"));
                let rule = format!("{error}{}", cause.unwrap_or_default());
                self.blame(&key, rule, "");
            }
        }
    }

    fn check_ports(&mut self) {
        let [(one, first), (other, second)] = self.listeners();
        let same_machine = first.ip() == second.ip()
            || first.ip().is_unspecified()
            || second.ip().is_unspecified();
        if first.port() == 0 || first.port() != second.port() || !same_machine {
            return;
        }
        let (one, other) = (Key::of(&[one, "address"]), Key::of(&[other, "address"]));
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

    fn listeners(&self) -> [(&'static str, SocketAddr); 2] {
        [
            ("diagnostics", self.config.diagnostics.address),
            ("http", self.config.http.address),
        ]
    }

    fn check_gossip(&mut self) {
        if !self.config.gossip.enabled {
            return;
        }
        let Err(invalid) = self.config.gossip_options().check() else {
            return;
        };
        let interval = |it: &OptionFault| INTERVALS.contains(&it.option);
        // What could not be read is its default here: what it is compared with is not to blame.
        let unread_interval = self.has_flawed(&INTERVALS);
        let unread_bind = self.has_flawed(&["bind"]);
        for fault in invalid.faults {
            let advertise = fault.option == "advertise";
            if !(unread_interval && interval(&fault) || unread_bind && advertise) {
                let key = Key::of(&["gossip", fault.option]);
                let place = self.place_of_option(&key, fault.option);
                self.blame_at(place, &key, fault.rule, &fault.remedy);
            }
        }
    }

    /// Where an option was set, or else what it is compared with.
    fn place_of_option(&self, key: &Key, option: &str) -> Place {
        let related: &[&str] = match option {
            "node-id" | "advertise" => &["bind"],
            interval if INTERVALS.contains(&interval) => &INTERVALS,
            _ => &[],
        };
        let related = related.iter().map(|it| Key::of(&["gossip", it]));
        let mut places = iter::once(key.clone())
            .chain(related)
            .map(|it| self.layers.place(&it));
        places
            .find(|it| *it != Place::Default)
            .unwrap_or(Place::Default)
    }

    /// Whether one of these keys of gossip was blamed already.
    fn has_flawed(&self, options: &[&str]) -> bool {
        let keys = options
            .iter()
            .map(|it| Key::of(&["gossip", it]).to_string());
        let keys = keys.collect::<Vec<_>>();
        self.faults.iter().any(|it| keys.contains(&it.key))
    }

    /// Asks the core itself, with components that do nothing.
    fn check_policies(&mut self) {
        let stub = |name| {
            let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
            self.config.apply_policies(Registration::new(name, idle))
        };
        let registrations = COMPONENTS.map(stub).into();
        let compiled = Plan::compile(registrations, self.config.defaults.clone());
        for fault in compiled.err().into_iter().flat_map(|it| it.faults) {
            self.blame_policy(&fault);
        }
    }

    fn blame_policy(&mut self, fault: &GraphFault) {
        let (section, phase, fault) = match fault {
            GraphFault::Defaults { phase, fault } => (Key::of(&["defaults"]), *phase, fault),
            GraphFault::Policy {
                component,
                phase,
                fault,
            } => (self.section_of(component.as_str()), *phase, fault),
            other => {
                self.blame(&Key::default(), other.to_string(), "");
                return;
            }
        };
        let phase_key = section.join(phase);
        let key = field_of(phase, fault).map_or(phase_key.clone(), |it| phase_key.join(it));
        let (rule, remedy) = fault.split_once("; ").unwrap_or((fault, ""));
        self.blame(&key, rule.to_owned(), remedy);
    }

    /// The section of a component, as it is spelled in the configuration.
    fn section_of(&self, component: &str) -> Key {
        let mut named = self.config.components.keys();
        let spelled = named.find(|it| it.trim().eq_ignore_ascii_case(component));
        Key::of(&["components", spelled.map_or(component, String::as_str)])
    }

    fn blame(&mut self, key: &Key, rule: impl Into<String>, remedy: &str) {
        let place = match self.layers.place(key) {
            Place::Default if *key != Key::default() => self.layers.place(&key.parent()),
            place => place,
        };
        self.blame_at(place, key, rule, remedy);
    }

    fn blame_at(&mut self, place: Place, key: &Key, rule: impl Into<String>, remedy: &str) {
        self.faults.push(Fault {
            place,
            key: key.to_string(),
            rule: rule.into(),
            remedy: remedy.to_owned(),
        });
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
