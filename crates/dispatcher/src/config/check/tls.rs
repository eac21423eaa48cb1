//! Certificates and keys, which are read before anything is started.

use host_config::Key;
use host_config::sections::tls::{self, Presented};

use super::Checker;
use crate::config::presented;

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
            tls::blame(self.report, &section, "client-ca", &error);
        }
        for (name, way) in &config.outbounds {
            if let Some(tls) = &way.tls {
                tls.check(self.report, &Key::of(&["outbounds", name, "tls"]));
            }
        }
    }

    fn check_presented(&mut self, section: &Key, tls: &Presented) {
        if let Err(error) = presented(tls).check() {
            tls::blame(self.report, section, "client-ca", &error);
        }
    }
}
