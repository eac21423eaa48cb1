//! [`TlsError`].

use std::fmt;
use std::io;

use lifecycle_core::ComponentError;

/// TLS that cannot be set up. Trying again does not mend it: a start that fails by it is not repeated.
#[derive(Debug, thiserror::Error)]
#[error("TLS cannot be set up")]
pub struct TlsError {
    /// Every fault that can be found; never empty.
    pub faults: Vec<TlsFault>,
    /// The same as a text, and that it is permanent.
    #[source]
    source: ComponentError,
}

impl TlsError {
    pub(super) fn new(faults: Vec<TlsFault>) -> Self {
        let said: Vec<_> = faults.iter().map(TlsFault::to_string).collect();
        let source = ComponentError::permanent(said.join("; and "));
        Self { faults, source }
    }
}

/// Whether `error` is about TLS itself, and not about what is beneath it: one side does not trust the other, or does not speak TLS.
/// To try again does not help.
#[must_use]
pub fn is_refusal(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|it| it.is::<rustls::Error>())
}

/// One thing that is wrong with what TLS needs: what, where it is, and after a semicolon what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {part} ({place}) {flaw}")]
pub struct TlsFault {
    /// What it is about.
    pub part: TlsPart,
    /// The file, or the text that was given.
    pub place: String,
    /// What is wrong with it.
    pub flaw: TlsFlaw,
}

/// What of TLS a fault is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsPart {
    /// The certificate that is presented, with those between it and its CA.
    Certificate,
    /// The key of that certificate.
    Key,
    /// The CA that the certificates of the other side must come from.
    Ca,
    /// The name that a server must prove.
    ServerName,
}

impl fmt::Display for TlsPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "key",
            Self::Ca => "CA",
            Self::ServerName => "server name",
        })
    }
}

/// What is wrong with a part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFlaw {
    /// The file is not there, or may not be read.
    #[error("cannot be read: {0}; name a file that is there and that this process may read")]
    Unreadable(String),
    /// There is no certificate in it, where one is needed.
    #[error("has no certificate in it; name a file in the form PEM, with BEGIN CERTIFICATE")]
    NoCertificate,
    /// There is no private key in it, where one is needed.
    #[error(
        "has no private key in it; name a file in the form PEM, with a key that is not encrypted"
    )]
    NoKey,
    /// It is broken off, or has something between its lines that is not PEM.
    #[error("is damaged PEM; write it again")]
    Damaged,
    /// It is PEM, and what is in it cannot be used.
    #[error("cannot be used: {0}; make it anew")]
    Unusable(String),
    /// The key is that of another certificate.
    #[error("does not belong to the certificate; name the key that the certificate was made for")]
    OtherKey,
    /// It is neither a DNS name nor an IP address.
    #[error("is no name that a certificate can have; write a DNS name or an IP address")]
    NoName,
}
