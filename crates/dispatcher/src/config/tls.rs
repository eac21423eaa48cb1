//! TLS of inbounds and outbounds: its keys, and what is read from them.

use std::path::PathBuf;

use lifecycle_adapters::tls::{ClientTls, Pem, ServerTls};
use lifecycle_core::Nanos;
use serde::Deserialize;

use crate::config::kind::Kind;
use crate::config::schema::{Entry, Group, Initial, Node, key};
use Initial::{Is, Required, Unset};
use Kind::{Text, Time};
use Node::{Leaf, Table};

pub(crate) const INBOUND_TLS: Entry = key(
    "tls",
    Table(&PRESENTED),
    "calls come in over TLS alone; without the section, in clear text",
);

pub(crate) const OUTBOUND_TLS: Entry = key(
    "tls",
    Table(&TRUSTED),
    "calls are made over TLS alone: for `https` addresses, which need it, and for `grpc`",
);

const RELOAD_INTERVAL: Entry = key(
    "reload-interval",
    Leaf(Time, Is("\"5m\"")),
    "how often the files are read again; new connections get what is new",
);

const PRESENTED: Group = Group {
    title: "`[http-inbounds.NAME.tls]`, `[grpc-inbounds.NAME.tls]`",
    text: "What an inbound presents. Files are in the form PEM; their paths are as the process sees them.",
    always: false,
    entries: &[
        key(
            "certificate",
            Leaf(Text, Required("\"\"")),
            "the file with the certificate, and those between it and its CA",
        ),
        key(
            "client-ca",
            Leaf(Text, Unset),
            "the file with the CAs whose clients are let in, and nobody else; unset, clients are not asked for a certificate",
        ),
        key(
            "key",
            Leaf(Text, Required("\"\"")),
            "the file with its private key, not encrypted",
        ),
        RELOAD_INTERVAL,
    ],
};

const TRUSTED: Group = Group {
    title: "`[outbounds.NAME.tls]`",
    text: "Whom an outbound trusts, and what it presents.",
    always: false,
    entries: &[
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
    ],
};

/// What an inbound presents.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Presented {
    certificate: PathBuf,
    key: PathBuf,
    client_ca: Option<PathBuf>,
    reload_interval: Nanos,
}

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

impl Presented {
    /// Whether clients must have a certificate.
    pub(crate) fn asks_clients(&self) -> bool {
        self.client_ca.is_some()
    }

    /// Opens nothing.
    pub(crate) fn settings(&self) -> ServerTls {
        let tls = ServerTls::new(Pem::file(&self.certificate), Pem::file(&self.key))
            .reload_interval(self.reload_interval.into());
        match &self.client_ca {
            Some(ca) => tls.client_ca(Pem::file(ca)),
            None => tls,
        }
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
