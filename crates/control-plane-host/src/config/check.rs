//! Rules that no single value can break.

use std::net::SocketAddr;

use diagnostics::TokenFileError;
use host_config::sections::{gossip, policies};
use host_config::{Flaw, Key, Report};

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
        self.check_exposure();
        self.check_tokens();
        self.report.check_ports(&self.listeners());
        self.check_gossip();
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

    fn check_policies(&mut self) {
        let sections = self.config.components.iter();
        let sections = sections.map(|(name, it)| (Key::of(&["components", name]), it));
        policies::check(self.report, &self.config.defaults, sections);
    }
}
