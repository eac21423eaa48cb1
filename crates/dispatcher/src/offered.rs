//! What this node says to others that it offers.

use std::net::SocketAddr;

use dispatcher::GrpcPort;
use mesh::gossip::{Metadata, Service};

/// The service of this program, at the gRPC inbounds that listen.
pub(crate) struct Offered {
    service: String,
    /// Whether the others are on this machine, too.
    is_local: bool,
    inbounds: Vec<(GrpcPort, Option<Advertised>)>,
}

/// Where others reach an inbound, when that is not where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advertised {
    host: String,
    port: u16,
}

impl Offered {
    pub(crate) fn new(service: &str, is_local: bool) -> Self {
        Self {
            service: service.trim().to_owned(),
            is_local,
            inbounds: Vec::new(),
        }
    }

    /// Offers it at this inbound, too.
    pub(crate) fn add(&mut self, port: GrpcPort, advertised: Option<Advertised>) {
        self.inbounds.push((port, advertised));
    }

    /// Says it. An inbound that does not listen is left out, and so is one that others would look for on their own machine.
    pub(crate) fn describe(&self, about: &mut Metadata) {
        let places = self.inbounds.iter().filter_map(|(port, advertised)| {
            place(port.local_addr()?, advertised.as_ref(), self.is_local)
        });
        let service = Service::over_grpc(places);
        about.services.clear();
        if !service.grpc.is_empty() {
            about.services.insert(self.service.clone(), service);
        }
    }
}

/// Where others reach what listens at `bound`.
fn place(bound: SocketAddr, advertised: Option<&Advertised>, is_local: bool) -> Option<String> {
    match advertised {
        Some(advertised) => Some(advertised.at(bound.port())),
        None if bound.ip().to_canonical().is_loopback() && !is_local => None,
        None => Some(bound.to_string()),
    }
}

impl Advertised {
    /// Reads a `host:port`; port 0 stands for the one that was taken.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.trim().rsplit_once(':')?;
        let advertised = Self {
            host: host.to_owned(),
            port: port.parse().ok()?,
        };
        let about = Metadata {
            services: [("any".to_owned(), Service::over_grpc([advertised.at(1)]))].into(),
            ..Metadata::default()
        };
        about.check().is_ok().then_some(advertised)
    }

    /// The place, when `taken` is the port of the inbound.
    pub(crate) fn at(&self, taken: u16) -> String {
        let port = match self.port {
            0 => taken,
            port => port,
        };
        format!("{}:{port}", self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_where_it_listens_or_what_is_advertised_and_nobody_is_sent_to_his_own_machine() {
        let at = |bound: &str, advertised: Option<&str>, is_local| {
            let advertised = advertised.map(|it| Advertised::parse(it).expect("a place"));
            let bound = bound.parse().expect("an address");
            place(bound, advertised.as_ref(), is_local)
        };
        let loopback = "127.0.0.1:5000";
        assert_eq!(at(loopback, None, true).as_deref(), Some(loopback));
        assert_eq!(at(loopback, None, false), None);
        assert_eq!(at("10.0.0.1:1", None, false).as_deref(), Some("10.0.0.1:1"));
        let named = at(loopback, Some("a.example:0"), false);
        assert_eq!(named.as_deref(), Some("a.example:5000"));
        let named = at("[::]:1", Some("[2001:db8::1]:443"), false);
        assert_eq!(named.as_deref(), Some("[2001:db8::1]:443"));
    }

    #[test]
    fn what_nobody_could_call_is_not_advertised() {
        for text in [
            "",
            "a",
            "a:",
            "a:x",
            ":1",
            "0.0.0.0:1",
            "http://a:1",
            "::1:1",
        ] {
            assert_eq!(Advertised::parse(text), None, "{text}");
        }
    }

    #[test]
    fn an_inbound_that_does_not_listen_is_not_offered() {
        let mut offered = Offered::new(" pets ", true);
        offered.add(GrpcPort::default(), Advertised::parse("a:1"));
        let mut about = Metadata::default();
        about.services.insert("old".into(), Service::default());
        offered.describe(&mut about);
        assert!(about.services.is_empty());
    }
}
