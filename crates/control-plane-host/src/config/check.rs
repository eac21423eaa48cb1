//! Rules that no single value can break.

use std::net::SocketAddr;

use diagnostics::{AccessError, TokenFileError};
use host_config::sections::{gossip, policies};
use host_config::{Flaw, Key, Report};
use lifecycle_adapters::tls::TlsPart;

use crate::config::Config;

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
        for fault in &error.faults {
            let name = match fault.part {
                TlsPart::Key => "key",
                TlsPart::Ca => "client-ca",
                // And whatever may come to be a part of it.
                _ => "certificate",
            };
            if !self.report.is_blamed(&section, &[name]) {
                let flaw = Flaw::split(&fault.to_string());
                self.report.blame(&section.join(name), flaw);
            }
        }
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

    fn check_policies(&mut self) {
        let sections = self.config.components.iter();
        let sections = sections.map(|(name, it)| (Key::of(&["components", name]), it));
        policies::check(self.report, &self.config.defaults, sections);
    }
}
