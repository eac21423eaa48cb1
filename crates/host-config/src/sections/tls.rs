//! `tls`: of a listener, the files that it presents, and whose clients it lets in; of a client, whom it trusts.

use std::path::PathBuf;

use lifecycle_adapters::tls::{ClientTls, Pem, TlsError, TlsPart};
use lifecycle_core::Nanos;
use serde::Deserialize;

use crate::fault::Flaw;
use crate::key::Key;
use crate::kind::Kind::{Text, Time};
use crate::report::Report;
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

/// The keys of whom a client trusts, and what it presents.
pub const TRUSTED: &[Entry] = &[
    key(
        "ca",
        Leaf(Text, Required("\"\"")),
        "the file with the CAs that the server's certificate may come from; those of the system are trusted only when their file is named",
    ),
    key(
        "certificate",
        Leaf(Text, Unset),
        "the file with the certificate that is presented to a server that asks for one",
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
        "the name that the server's certificate must have; unset, the host that is called",
    ),
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

/// Whom a client trusts, and what it presents: files in the form PEM.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Trusted {
    /// The CAs that the server's certificate may come from.
    pub ca: PathBuf,
    /// What is presented to a server that asks for a certificate.
    pub certificate: Option<PathBuf>,
    /// Its private key, not encrypted.
    pub key: Option<PathBuf>,
    /// The name that the server's certificate must have; unset, the host that is called.
    pub server_name: Option<String>,
    /// How often the files are read again.
    pub reload_interval: Nanos,
}

impl Trusted {
    /// What a client takes. Opens nothing.
    #[must_use]
    pub fn settings(&self) -> ClientTls {
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

    /// Reads the files, and blames the keys of `section` for what is wrong with them.
    pub fn check(&self, report: &mut Report<'_>, section: &Key) {
        let missing = match (&self.certificate, &self.key) {
            (Some(_), None) => Some("key"),
            (None, Some(_)) => Some("certificate"),
            (Some(_), Some(_)) | (None, None) => None,
        };
        if let Some(name) = missing.filter(|it| !report.is_blamed(section, &[it])) {
            let rule = "a certificate and its key go together";
            report.blame(
                &section.join(name),
                Flaw::new(rule, "name both files, or neither"),
            );
        }
        if let Err(error) = self.settings().check() {
            blame(report, section, "ca", &error);
        }
    }
}

/// Blames the keys of `section` that name the files, `ca` for the CAs. One that is to blame already names no file.
pub fn blame(report: &mut Report<'_>, section: &Key, ca: &str, error: &TlsError) {
    for fault in &error.faults {
        let name = match fault.part {
            TlsPart::Key => "key",
            TlsPart::Ca => ca,
            TlsPart::ServerName => "server-name",
            // And whatever may come to be a part of it.
            _ => "certificate",
        };
        if !report.is_blamed(section, &[name]) {
            report.blame(&section.join(name), Flaw::split(&fault.to_string()));
        }
    }
}
