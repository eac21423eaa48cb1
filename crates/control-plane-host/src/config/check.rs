//! Rules that no single value can break.

use std::net::SocketAddr;

use diagnostics::{AccessError, TokenFileError};
use host_config::sections::{gossip, policies, tls};
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
        self.check_access();
        self.check_credentials();
        self.check_tls();
        self.report.check_ports(&self.listeners());
        self.check_gossip();
        self.check_leadership();
        self.check_store();
        let traces = self.config.traces.as_ref();
        if let Some(traces) = traces.filter(|it| it.enabled) {
            traces.check(self.report, self.config.insecure);
        }
        self.check_policies();
    }

    fn check_access(&mut self) {
        let diagnostics = &self.config.diagnostics;
        diagnostics.check(self.report, &self.listeners(), self.config.insecure);
    }

    /// What is wrong with a token is named where it is, and a file that cannot be used where it is named.
    fn check_credentials(&mut self) {
        let key = |name| Key::of(&["diagnostics", name]);
        match self.config.credentials() {
            Ok(_) => {}
            Err(AccessError::File(TokenFileError::Faulty { path, faults })) => {
                let lines = faults.into_iter().map(|it| (it.line, it.rule));
                self.report.blame_lines(&key("tokens"), &path, lines);
            }
            Err(AccessError::File(error)) => self.report.blame_error(&key("tokens"), &error),
            Err(AccessError::Variable(error)) => {
                self.report.blame_error(&key("tokens-env"), &error);
            }
            Err(error) => self.report.blame_error(&key("client-scopes"), &error),
        }
    }

    /// Blames the keys that name the files. One that is to blame already names no file.
    fn check_tls(&mut self) {
        let Some(Err(error)) = self.config.tls().map(|it| it.check()) else {
            return;
        };
        let section = Key::of(&["diagnostics", "tls"]);
        tls::blame(self.report, &section, "client-ca", &error);
    }

    fn listeners(&self) -> Vec<(Key, SocketAddr)> {
        let grpc = &self.config.grpc;
        let grpc = grpc.enabled.then(|| (Key::of(&["grpc"]), grpc.address));
        let always = [
            (Key::of(&["diagnostics"]), self.config.diagnostics.address),
            (Key::of(&["http"]), self.config.http.address),
        ];
        always.into_iter().chain(grpc).collect()
    }

    fn check_gossip(&mut self) {
        if !self.config.gossip.enabled {
            return;
        }
        if let Err(invalid) = self.config.gossip_options().check_with_keys() {
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
        self.check_login();
        let options = store.options();
        let suits = options.check_reach(self.needed_reach());
        match suits.and_then(|()| options.open().map(drop)) {
            Ok(()) => {}
            Err(StoreFault::Option { option, rule }) => {
                // A variable that is not as it should be is to blame already.
                let login = ["user", "password-env"];
                if login.contains(&option) && self.report.is_blamed(&section, &login) {
                    return;
                }
                let remedy = match option {
                    "endpoints" => "name its members, as `https://host:port`",
                    "user" => {
                        "name both, or neither: the password by `password-file` or `password-env`"
                    }
                    "password-file" => {
                        "name one file with a password, that nobody else may read (chmod 600)"
                    }
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

    /// The variable with the password for etcd, and where that would travel to.
    fn check_login(&mut self) {
        let store = &self.config.leadership.store;
        let section = Key::of(&["leadership", "store"]);
        if store.kind != StoreKind::Etcd {
            return;
        }
        if let Some(name) = &store.password_env
            && store.password().is_none()
        {
            let state = match store.variable {
                Some(_) => "is blank",
                None => "is not set",
            };
            let rule = format!("the variable {name}, which shall have the password, {state}");
            let remedy = "set it for this process, or name a file by `password-file`";
            self.report
                .blame(&section.join("password-env"), Flaw::new(rule, remedy));
        }
        if let Some(endpoint) = store.exposed()
            && !self.config.insecure
        {
            let rule = format!("the password would travel to {endpoint} in clear text");
            let remedy = "use `https`, or set `insecure = true` on a network that you trust";
            self.report
                .blame(&section.join("endpoints"), Flaw::new(rule, remedy));
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
