//! Certificates and keys, which are read before anything is started.

use host_config::Key;
use host_config::sections::tls::Presented;
use lifecycle_adapters::tls::{TlsError, TlsPart};

use super::Checker;
use crate::config::{Trusted, presented};

impl Checker<'_, '_> {
    pub(super) fn check_tls(&mut self) {
        let config = self.config;
        let http = config.http_inbounds.iter();
        let http = http.map(|(name, it)| (Key::of(&["http-inbounds", name]), &it.tls));
        let grpc = config.grpc_inbounds.iter();
        let grpc = grpc.map(|(name, it)| (Key::of(&["grpc-inbounds", name]), &it.tls));
        for (section, tls) in http.chain(grpc) {
            if let Some(tls) = tls {
                self.check_presented(&section.join("tls"), tls);
            }
        }
        if let Some(Err(error)) = config.diagnostics_tls().map(|it| it.check()) {
            let section = Key::of(&["diagnostics", "tls"]);
            self.blame_files(&section, "client-ca", &error);
        }
        for (name, way) in &config.outbounds {
            if let Some(tls) = &way.tls {
                self.check_trusted(&Key::of(&["outbounds", name, "tls"]), tls);
            }
        }
    }

    fn check_presented(&mut self, section: &Key, tls: &Presented) {
        if let Err(error) = presented(tls).check() {
            self.blame_files(section, "client-ca", &error);
        }
    }

    fn check_trusted(&mut self, section: &Key, tls: &Trusted) {
        let missing = match (&tls.certificate, &tls.key) {
            (Some(_), None) => Some("key"),
            (None, Some(_)) => Some("certificate"),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some(name) = missing.filter(|it| !self.is_blamed(section, &[it])) {
            let rule = "a certificate and its key go together";
            self.blame(&section.join(name), rule, "name both files, or neither");
        }
        if let Err(error) = tls.settings().check() {
            self.blame_files(section, "ca", &error);
        }
    }

    /// Blames the keys that name the files. One that is to blame already names no file.
    fn blame_files(&mut self, section: &Key, ca: &str, error: &TlsError) {
        for fault in &error.faults {
            let name = match fault.part {
                TlsPart::Key => "key",
                TlsPart::Ca => ca,
                TlsPart::ServerName => "server-name",
                // And whatever may come to be a part of it.
                _ => "certificate",
            };
            if !self.is_blamed(section, &[name]) {
                self.blame_split(&section.join(name), &fault.to_string());
            }
        }
    }
}
