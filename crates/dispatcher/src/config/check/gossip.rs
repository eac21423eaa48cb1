//! Gossip, and what needs it.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use host_config::sections::gossip;
use host_config::{Flaw, Key};
use mesh::gossip::{InvalidMetadata, Metadata, Service};

use super::Checker;
use crate::config::Protocol;
use crate::config::gossip::Gossip;
use crate::offered::Advertised;

const WITHOUT: &str = "there is no gossip";

impl Checker<'_, '_> {
    pub(super) fn check_gossip(&mut self) {
        match self.config.gossip() {
            Some(gossip) => {
                self.check_options(gossip);
                self.check_offer();
            }
            None => self.check_without_gossip(),
        }
    }

    /// Blames what makes no sense alone.
    fn check_without_gossip(&mut self) {
        let section = Key::of(&["gossip"]).to_string();
        if self
            .report
            .faults()
            .iter()
            .any(|it| it.key.starts_with(&section))
        {
            return;
        }
        let inbounds = self.config.grpc_inbounds.iter();
        let inbounds = inbounds.filter(|(_, it)| it.advertise.is_some());
        let inbounds = inbounds.map(|(name, _)| Key::of(&["grpc-inbounds", name, "advertise"]));
        let outbounds = self.config.outbounds.iter();
        let over_grpc = outbounds.filter(|(_, it)| it.protocol == Protocol::Grpc);
        let outbounds = over_grpc.filter(|(_, it)| it.peers_from.is_some());
        let outbounds = outbounds.map(|(name, _)| Key::of(&["outbounds", name, "peers-from"]));
        for key in inbounds.chain(outbounds).collect::<Vec<_>>() {
            self.blame(&key, WITHOUT, "add a section [gossip], or drop it");
        }
    }

    fn check_options(&mut self, gossip: &Gossip) {
        let Err(invalid) = gossip.options(self.config.insecure).check_with_keys() else {
            return;
        };
        let flaws = invalid.faults.into_iter();
        let flaws = flaws.map(|it| (it.option, Flaw::new(it.rule, it.remedy)));
        gossip::blame(self.report, flaws);
    }

    /// Checks what other nodes would be told.
    fn check_offer(&mut self) {
        let mut places = Vec::new();
        for (name, inbound) in &self.config.grpc_inbounds {
            let section = Key::of(&["grpc-inbounds", name]);
            let key = section.join("advertise");
            let advertised = inbound.advertise.as_deref().map(Advertised::parse);
            match advertised {
                Some(Some(it)) => places.push(it.at(1)),
                Some(None) => self.blame(
                    &key,
                    "this is no place that other nodes can call",
                    "write a name or an IP address and a port, IPv6 in brackets; port 0 stands for the one that was taken",
                ),
                None if inbound.address.ip().is_unspecified() => {
                    let ip = inbound.address.ip();
                    self.blame(
                        &key,
                        format!("{section} does not say it, and other nodes cannot call {ip}"),
                        "say the `host:port` under which they reach it",
                    );
                }
                None => {
                    let port = inbound.address.port().max(1);
                    places.push(SocketAddr::new(inbound.address.ip(), port).to_string());
                }
            }
        }
        let service = (
            self.config.service.trim().to_owned(),
            Service::over_grpc(places),
        );
        let about = Metadata {
            services: BTreeMap::from([service]),
            ..Metadata::default()
        };
        match about.check() {
            Ok(()) => {}
            // That it has none is a fault of its own.
            Err(InvalidMetadata::Name { .. }) if self.config.service.trim().is_empty() => {}
            Err(fault @ InvalidMetadata::Name { .. }) => {
                self.blame_split(&Key::of(&["service"]), &fault.to_string());
            }
            Err(fault) => self.blame_split(&Key::of(&["grpc-inbounds"]), &fault.to_string()),
        }
    }
}
