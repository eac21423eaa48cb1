//! TLS of inbounds and outbounds: its keys, and what is read from them.

use std::path::PathBuf;

use host_config::Initial::{Required, Unset};
use host_config::Kind::Text;
use host_config::Node::{Leaf, Table};
use host_config::sections::tls::{PRESENTED, Presented, RELOAD_INTERVAL};
use host_config::{Entry, Group, key};
use lifecycle_adapters::tls::{ClientTls, Pem, ServerTls};
use lifecycle_core::Nanos;
use serde::Deserialize;

pub(crate) const INBOUND_TLS: Entry = key(
    "tls",
    Table(&INBOUND),
    "calls come in over TLS alone; without the section, in clear text",
);

pub(crate) const OUTBOUND_TLS: Entry = key(
    "tls",
    Table(&OUTBOUND),
    "calls are made over TLS alone: for `https` addresses, which need it, and for `grpc`",
);

const INBOUND: Group = Group {
    title: "`[http-inbounds.NAME.tls]`, `[grpc-inbounds.NAME.tls]`",
    text: "What an inbound presents. Files are in the form PEM; their paths are as the process sees them.",
    always: false,
    keys: &[PRESENTED],
};

const OUTBOUND: Group = Group {
    title: "`[outbounds.NAME.tls]`",
    text: "Whom an outbound trusts, and what it presents.",
    always: false,
    keys: &[&[
        key(
            "ca",
            Leaf(Text, Required("\"\"")),
            "the file with the CAs that the upstream's certificate may come from; those of the system are trusted only when their file is named",
        ),
        key(
            "certificate",
            Leaf(Text, Unset),
            "the file with the certificate that is presented to an upstream that asks for one",
        ),
        key(
            "key",
            Leaf(Text, Unset),
            "the file with its private key, not encrypted",
        ),
        RELOAD_INTERVAL,
        key(
            "server-name",
            Leaf(Text, Unset),
            "the name that the upstream's certificate must have; unset, the host that is called",
        ),
    ]],
};

/// Whom an outbound trusts.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Trusted {
    ca: PathBuf,
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    server_name: Option<String>,
    reload_interval: Nanos,
}

/// What an inbound presents; opens nothing.
pub(crate) fn presented(tls: &Presented) -> ServerTls {
    asking(tls, ServerTls::client_ca)
}

/// What a listener presents that lets in who has no certificate, too; opens nothing.
pub(crate) fn optionally(tls: &Presented) -> ServerTls {
    asking(tls, ServerTls::optional_client_ca)
}

fn asking(tls: &Presented, ask: fn(ServerTls, Pem) -> ServerTls) -> ServerTls {
    let settings = ServerTls::new(Pem::file(&tls.certificate), Pem::file(&tls.key))
        .reload_interval(tls.reload_interval.into());
    match &tls.client_ca {
        Some(ca) => ask(settings, Pem::file(ca)),
        None => settings,
    }
}

impl Trusted {
    /// Opens nothing.
    pub(crate) fn settings(&self) -> ClientTls {
        let mut tls =
            ClientTls::trusting(Pem::file(&self.ca)).reload_interval(self.reload_interval.into());
        if let (Some(certificate), Some(key)) = (&self.certificate, &self.key) {
            tls = tls.identity(Pem::file(certificate), Pem::file(key));
        }
        match &self.server_name {
            Some(name) => tls.server_name(name),
            None => tls,
        }
    }
}
