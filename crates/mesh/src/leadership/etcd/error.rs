//! [`EtcdError`]: why etcd does not do what it is asked for, and what to do about it.

use std::error::Error as _;

use etcd_client::Error;
use lifecycle_core::BoxError;

use crate::leadership::config::{EtcdOptions, StoreFault};

/// Why etcd does not do what it is asked for. Nothing has changed in it but what a call without an answer may have done; none of
/// these has a secret.
///
/// It is the source of [`LeaseError::Unavailable`](crate::leadership::LeaseError::Unavailable), and is told by its words in what makes leadership degraded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EtcdError {
    /// It takes neither this name nor this password; which of both it does not tell.
    #[error(
        "etcd does not take the user {user:?} with its password; see both, or set it by `etcdctl user passwd {user}`"
    )]
    Login {
        /// The name.
        user: String,
    },
    /// It wants to know who asks.
    #[error("etcd asks for a user; name it by `user`, and its password by `password-file`")]
    NoUser,
    /// It asks nobody who they are.
    #[error(
        "etcd knows no users, for its authentication is off; take `user` out, or enable it by `etcdctl auth enable`"
    )]
    NoAuthentication,
    /// Users or roles have changed since this node has logged in. It does so again.
    #[error("etcd's users have changed since this node has logged in; it logs in again")]
    OldLogin,
    /// It knows who asks, and does not let them.
    #[error(
        "etcd does not let this node use its keys; grant a role of its user `readwrite` on what begins with {prefix:?}"
    )]
    Forbidden {
        /// What the keys begin with.
        prefix: String,
    },
    /// The other side has no certificate that this node trusts.
    #[error(
        "the certificate of etcd is not trusted ({reason}); see `ca`, and that `endpoints` have a name that is in the certificate"
    )]
    Untrusted {
        /// What is wrong with it.
        reason: String,
    },
    /// It does not take the certificate of this node, or misses one.
    #[error(
        "etcd does not take the certificate of this node ({reason}); see `certificate` and `key`"
    )]
    CertificateRefused {
        /// How it says so.
        reason: String,
    },
    /// A file that was in order when the store was opened is so no more.
    #[error("{0}")]
    Options(StoreFault),
    /// Something else.
    #[error("{0}")]
    Other(BoxError),
}

/// Whether anything was answered on a connection before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    New,
    Proven,
}

impl EtcdError {
    pub(super) fn of(error: Error, options: &EtcdOptions, age: Age) -> Self {
        let said = words(&error);
        let refused = refusal(&said, options).or_else(|| silence(&said, options, age));
        refused.unwrap_or_else(|| Self::Other(error.into()))
    }

    /// Whether a connection that is made anew may do better, by what is in files by then, or by a new login.
    pub(super) fn ends_the_connection(&self) -> bool {
        match self {
            Self::Login { .. }
            | Self::NoUser
            | Self::NoAuthentication
            | Self::OldLogin
            | Self::Untrusted { .. }
            | Self::CertificateRefused { .. } => true,
            Self::Forbidden { .. } | Self::Options(_) | Self::Other(_) => false,
        }
    }
}

/// What etcd and TLS say: the libraries between pass on their words alone.
fn refusal(said: &str, options: &EtcdOptions) -> Option<EtcdError> {
    let user = || options.user.clone().unwrap_or_default();
    let after = |words: &str| {
        let (_, rest) = said.split_once(words)?;
        let end = rest.find(['\n', '"']).unwrap_or(rest.len());
        Some(rest[..end].trim_start_matches(": ").to_owned())
    };
    let has = |words: &str| said.contains(words);
    if has("etcdserver: authentication failed") {
        Some(EtcdError::Login { user: user() })
    } else if has("etcdserver: user name is empty") {
        Some(EtcdError::NoUser)
    } else if has("etcdserver: authentication is not enabled") {
        Some(EtcdError::NoAuthentication)
    } else if has("etcdserver: revision of auth store is old") {
        Some(EtcdError::OldLogin)
    } else if has("etcdserver: permission denied") {
        Some(EtcdError::Forbidden {
            prefix: options.prefix.clone(),
        })
    } else if let Some(reason) = after("invalid peer certificate") {
        Some(EtcdError::Untrusted { reason })
    } else {
        let reason = after("received fatal alert")?;
        Some(EtcdError::CertificateRefused { reason })
    }
}

/// A server of TLS 1.3 refuses a certificate after the handshake, and what it says may come too late to be read.
fn silence(said: &str, options: &EtcdOptions, age: Age) -> Option<EtcdError> {
    let ends = ["connection closed", "broken pipe", "connection reset"];
    let said = said.to_lowercase();
    let is_refused =
        age == Age::New && options.ca.is_some() && ends.iter().any(|it| said.contains(it));
    is_refused.then(|| EtcdError::CertificateRefused {
        reason: "it closes the connection without an answer".to_owned(),
    })
}

/// The words of an error and of what caused it, one a line.
fn words(error: &Error) -> String {
    let mut words = vec![error.to_string()];
    let mut cause = match error {
        Error::GRpcStatus(status) => status.source(),
        Error::TransportError(error) => error.source(),
        _ => None,
    };
    while let Some(error) = cause {
        words.push(error.to_string());
        cause = error.source();
    }
    words.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_etcd_and_tls_say_is_told_with_what_to_do() {
        let options = EtcdOptions {
            user: Some("plane".to_owned()),
            ..EtcdOptions::default()
        };
        for (said, told) in [
            (
                "message: \"etcdserver: authentication failed, invalid user ID or password\"",
                "does not take the user \"plane\" with its password; see both",
            ),
            ("etcdserver: user name is empty", "asks for a user; name it"),
            (
                "etcdserver: authentication is not enabled",
                "take `user` out",
            ),
            ("etcdserver: revision of auth store is old", "logs in again"),
            (
                "etcdserver: permission denied",
                "`readwrite` on what begins with \"mesh/leadership/\"",
            ),
            (
                "transport error\ninvalid peer certificate: UnknownIssuer\nmore",
                "is not trusted (UnknownIssuer); see `ca`",
            ),
            (
                "error: \"received fatal alert: BadCertificate\" }",
                "of this node (BadCertificate); see `certificate`",
            ),
        ] {
            let error = refusal(said, &options).expect(said).to_string();
            assert!(error.contains(told), "{told} in {error}");
        }
        assert!(refusal("tcp connect error", &options).is_none());
        let encrypted = EtcdOptions {
            ca: Some("ca.pem".into()),
            ..options.clone()
        };
        let closed = "hyper::Error(Canceled, \"connection closed\")";
        assert!(silence(closed, &encrypted, Age::New).is_some());
        assert!(silence(closed, &encrypted, Age::Proven).is_none());
        assert!(silence(closed, &options, Age::New).is_none());
    }
}
