//! [`Members`]: the members of etcd, and which of them is asked.
//!
//! One client each, and one of them asked at a time: the library's own balancing goes on to ask a member that is dead.

use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use etcd_client::{Certificate, Client, ConnectOptions, Error, Identity, TlsOptions};
use tokio::sync::OnceCell;

use crate::leadership::config::{EtcdOptions, StoreFault};

/// A member that does not accept a connection by then is left for another.
const CONNECT: Duration = Duration::from_millis(500);

/// A connection on which nothing comes back is closed.
const PING: Duration = Duration::from_secs(2);

pub(super) struct Members {
    members: Vec<Member>,
    /// Which is asked, modulo their number.
    current: AtomicUsize,
    options: ConnectOptions,
}

struct Member {
    endpoint: String,
    client: OnceCell<Client>,
}

impl Members {
    pub(super) fn new(options: &EtcdOptions) -> Result<Self, StoreFault> {
        if options.endpoints.is_empty() {
            return Err(fault("endpoints", "are missing"));
        }
        for endpoint in &options.endpoints {
            let is_url = endpoint.starts_with("http://") || endpoint.starts_with("https://");
            if !is_url {
                let rule = format!(
                    "holds {endpoint:?}, which is not `http://host:port` or `https://host:port`"
                );
                return Err(fault("endpoints", rule));
            }
            if endpoint.starts_with("http://") && options.ca.is_some() {
                return Err(fault(
                    "ca",
                    format!("says nothing about {endpoint}, which is not `https`"),
                ));
            }
        }
        let connect = ConnectOptions::new()
            .with_connect_timeout(CONNECT)
            .with_keep_alive(PING, PING)
            .with_require_leader(true);
        let members = options.endpoints.iter().map(|it| Member {
            endpoint: it.clone(),
            client: OnceCell::new(),
        });
        Ok(Self {
            members: members.collect(),
            current: AtomicUsize::new(0),
            options: match tls(options)? {
                Some(tls) => connect.with_tls(tls),
                None => connect,
            },
        })
    }

    /// The right to ask one member once.
    pub(super) fn turn(&self) -> Turn<'_> {
        let current = self.current.load(Ordering::Relaxed);
        Turn {
            members: self,
            current,
            has_answered: false,
        }
    }
}

/// One question to one member. Dropped without an answer, it makes another member the next to be asked.
pub(super) struct Turn<'a> {
    members: &'a Members,
    current: usize,
    has_answered: bool,
}

impl Turn<'_> {
    pub(super) async fn client(&self) -> Result<Client, Error> {
        let member = &self.members.members[self.current % self.members.members.len()];
        let options = self.members.options.clone();
        let client = member
            .client
            .get_or_try_init(|| Client::connect([&member.endpoint], Some(options)));
        client.await.cloned()
    }

    pub(super) fn answered(mut self) {
        self.has_answered = true;
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if !self.has_answered {
            // Unless somebody else has left it already.
            let _ = self.members.current.compare_exchange(
                self.current,
                self.current.wrapping_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            );
        }
    }
}

fn tls(options: &EtcdOptions) -> Result<Option<TlsOptions>, StoreFault> {
    let Some(ca) = &options.ca else {
        if options.certificate.is_some() || options.key.is_some() {
            return Err(fault(
                "ca",
                "is missing, while there is a certificate or a key",
            ));
        }
        return Ok(None);
    };
    let tls = TlsOptions::new().ca_certificate(Certificate::from_pem(read("ca", ca)?));
    match (&options.certificate, &options.key) {
        (Some(certificate), Some(key)) => {
            let identity = Identity::from_pem(read("certificate", certificate)?, read("key", key)?);
            Ok(Some(tls.identity(identity)))
        }
        (None, None) => Ok(Some(tls)),
        (Some(_), None) => Err(fault("key", "is missing, while there is a certificate")),
        (None, Some(_)) => Err(fault("certificate", "is missing, while there is a key")),
    }
}

fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, StoreFault> {
    fs::read(path).map_err(|error| fault(option, format!("{}: {error}", path.display())))
}

fn fault(option: &'static str, rule: impl Into<String>) -> StoreFault {
    StoreFault::Option {
        option,
        rule: rule.into(),
    }
}

impl fmt::Debug for Members {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoints = self.members.iter().map(|it| &it.endpoint);
        f.debug_list().entries(endpoints).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(options: &EtcdOptions) -> String {
        Members::new(options).unwrap_err().to_string()
    }

    fn at(endpoint: &str) -> EtcdOptions {
        EtcdOptions {
            endpoints: vec![endpoint.to_owned()],
            ..EtcdOptions::default()
        }
    }

    #[test]
    fn what_cannot_be_reached_is_refused_before_anything_is_connected_to() {
        assert_eq!(
            refused(&EtcdOptions::default()),
            "the lease store: `endpoints` are missing"
        );
        assert!(refused(&at("localhost:2379")).contains("http://host:port"));
        let half = EtcdOptions {
            key: Some("key.pem".into()),
            ..at("https://localhost:2379")
        };
        assert!(refused(&half).contains("`ca` is missing"));
        let absent = EtcdOptions {
            ca: Some("/nowhere/ca.pem".into()),
            ..at("https://localhost:2379")
        };
        assert!(refused(&absent).contains("/nowhere/ca.pem"));
    }

    #[test]
    fn a_member_that_does_not_answer_is_not_the_next_to_be_asked() {
        let mut options = at("http://a:1");
        options.endpoints.push("http://b:1".to_owned());
        let members = Members::new(&options).unwrap();
        let (one, other) = (members.turn(), members.turn());
        drop(one);
        drop(other);
        let current = || members.current.load(Ordering::Relaxed);
        assert_eq!(current(), 1, "two failures of one member are one step");
        members.turn().answered();
        assert_eq!(current(), 1);
    }
}
