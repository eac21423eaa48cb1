//! Rules that no single value can break.

use std::net::SocketAddr;

use diagnostics::TokenFileError;
use host_config::sections::{gossip, policies};
use host_config::{Flaw, Key, Report};
use mesh::leadership::{OptionFault, Reach, StoreFault};

use crate::config::{Config, StoreKind};

/// The keys of leadership that are compared with each other.
const TIMES: [&str; 4] = [
    "clock-margin",
    "gate-margin",
    "lease-duration",
    "renewal-lead-time",
];

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
        self.check_exposure();
        self.check_tokens();
        self.report.check_ports(&self.listeners());
        self.check_gossip();
        self.check_leadership();
        self.check_store();
        self.check_policies();
    }

    fn check_exposure(&mut self) {
        let is_guarded = self.config.diagnostics.tokens.is_some() || self.config.insecure;
        if is_guarded {
            return;
        }
        for (section, address) in self.listeners() {
            let guard = "name a file of tokens (diagnostics.tokens)";
            self.report.check_exposure(&section, address, guard);
        }
    }

    /// What is wrong with a token is named where it is, and a file that cannot be used where it is named.
    fn check_tokens(&mut self) {
        let key = Key::of(&["diagnostics", "tokens"]);
        match self.config.credentials() {
            Ok(_) => {}
            Err(TokenFileError::Faulty { path, faults }) => {
                let lines = faults.into_iter().map(|it| (it.line, it.rule));
                self.report.blame_lines(&key, &path, lines);
            }
            Err(error) => self.report.blame_error(&key, &error),
        }
    }

    fn listeners(&self) -> [(Key, SocketAddr); 2] {
        [
            (Key::of(&["diagnostics"]), self.config.diagnostics.address),
            (Key::of(&["http"]), self.config.http.address),
        ]
    }

    fn check_gossip(&mut self) {
        if !self.config.gossip.enabled {
            return;
        }
        if let Err(invalid) = self.config.gossip_options().check() {
            let flaws = invalid.faults.into_iter();
            let flaws = flaws.map(|it| (it.option, Flaw::new(it.rule, it.remedy)));
            gossip::blame(self.report, flaws);
        }
    }

    fn check_leadership(&mut self) {
        if !self.config.leadership.enabled {
            return;
        }
        let Err(invalid) = self.config.leadership_options().check() else {
            return;
        };
        let section = Key::of(&["leadership"]);
        let unread = self.report.is_blamed(&section, &TIMES);
        for OptionFault {
            option,
            rule,
            remedy,
        } in invalid.faults
        {
            let is_time = TIMES.contains(&option);
            // What could not be read is its default here: what it is compared with is not to blame.
            if unread && is_time {
                continue;
            }
            let compared: &[&str] = if is_time { &TIMES } else { &[] };
            let compared: Vec<_> = compared.iter().map(|it| section.join(it)).collect();
            let flaw = Flaw::new(rule, remedy);
            self.report
                .blame_one_of(&section.join(option), &compared, flaw);
        }
    }

    /// Files of certificates are read for that; nothing is connected to.
    fn check_store(&mut self) {
        let store = &self.config.leadership.store;
        let section = Key::of(&["leadership", "store"]);
        if !self.config.leadership.enabled || self.report.is_blamed(&section, &["kind"]) {
            return;
        }
        for (name, kind) in store.strangers() {
            let rule = format!("says nothing about the store `{}`", store.kind.as_str());
            let remedy = format!("remove it, or set `kind = \"{kind}\"`");
            self.report
                .blame(&section.join(name), Flaw::new(rule, remedy));
        }
        if store.kind == StoreKind::Sqlite && store.path.is_none() {
            let flaw = Flaw::new("is unset", "name a file in a folder that is there");
            let kind = section.join("kind");
            self.report
                .blame_one_of(&section.join("path"), &[kind], flaw);
        }
        let options = store.options();
        let suits = options.check_reach(self.needed_reach());
        match suits.and_then(|()| options.open().map(drop)) {
            Ok(()) => {}
            Err(StoreFault::Option { option, rule }) => {
                let remedy = match option {
                    "endpoints" => "name its members, as `https://host:port`",
                    _ => "name files that can be read: `ca` alone, or with `certificate` and `key`",
                };
                let flaw = Flaw::new(rule, remedy);
                let kind = section.join("kind");
                self.report
                    .blame_one_of(&section.join(option), &[kind], flaw);
            }
            Err(fault) => {
                let sentence = format!("{fault}, or set `leadership.enabled = false`");
                let bind = Key::of(&["gossip", "bind"]);
                let flaw = Flaw::split(&sentence);
                self.report
                    .blame_one_of(&section.join("kind"), &[bind], flaw);
            }
        }
    }

    /// How far apart the nodes are that must not lead at the same time: as far as gossip goes.
    fn needed_reach(&self) -> Reach {
        let gossip = &self.config.gossip;
        let is_blamed = self.report.is_blamed(&Key::of(&["gossip"]), &["bind"]);
        let is_far = !gossip.options.bind.ip().to_canonical().is_loopback();
        match gossip.enabled && is_far && !is_blamed {
            true => Reach::Cluster,
            false => Reach::Process,
        }
    }

    fn check_policies(&mut self) {
        let sections = self.config.components.iter();
        let sections = sections.map(|(name, it)| (Key::of(&["components", name]), it));
        policies::check(self.report, &self.config.defaults, sections);
    }
}
