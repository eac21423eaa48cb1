//! `tls` of a listener: the files that it presents, and whose clients it lets in.

use std::path::PathBuf;

use lifecycle_core::Nanos;
use serde::Deserialize;

use crate::kind::Kind::{Text, Time};
use crate::schema::Initial::{Is, Required, Unset};
use crate::schema::Node::Leaf;
use crate::schema::{Entry, key};

/// The keys of what a listener presents.
pub const PRESENTED: &[Entry] = &[
    CERTIFICATE,
    key(
        "client-ca",
        Leaf(Text, Unset),
        "the file with the CAs whose clients are let in, and nobody else; unset, clients are not asked for a certificate",
    ),
    KEY,
    RELOAD_INTERVAL,
];

/// `certificate`: what a listener presents.
pub const CERTIFICATE: Entry = key(
    "certificate",
    Leaf(Text, Required("\"\"")),
    "the file with the certificate, and those between it and its CA",
);

/// `key`: the private key of the certificate.
pub const KEY: Entry = key(
    "key",
    Leaf(Text, Required("\"\"")),
    "the file with its private key, not encrypted",
);

/// `reload-interval`: how often files of TLS are read again.
pub const RELOAD_INTERVAL: Entry = key(
    "reload-interval",
    Leaf(Time, Is("\"5m\"")),
    "how often the files are read again; new connections get what is new",
);

/// What a listener presents: files in the form PEM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Presented {
    /// The certificate, and those between it and its CA.
    pub certificate: PathBuf,
    /// Its private key, not encrypted.
    pub key: PathBuf,
    /// The CAs whose clients are let in; unset, clients are not asked for a certificate.
    pub client_ca: Option<PathBuf>,
    /// How often the files are read again.
    pub reload_interval: Nanos,
}

impl Presented {
    /// Whether clients must have a certificate.
    #[must_use]
    pub const fn asks_clients(&self) -> bool {
        self.client_ca.is_some()
    }
}
