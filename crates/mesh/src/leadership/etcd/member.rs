//! [`Members`]: the members of etcd, and which of them is asked.
//!
//! One client each, and one of them asked at a time: the library's own balancing goes on to ask a member that is dead.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{Client, Error};
use tokio::sync::OnceCell;

use crate::leadership::config::{EtcdOptions, StoreFault};
use crate::leadership::etcd::access::{Access, fault};
use crate::leadership::etcd::error::{Age, EtcdError};
use crate::leadership::etcd::expiry;

/// How often it is looked until when certificates are good, as it is done with those of listeners.
const LOOK: Duration = Duration::from_secs(5 * 60);

pub(super) struct Members {
    members: Vec<Member>,
    /// Which is asked, modulo their number.
    current: AtomicUsize,
    access: Access,
}

struct Member {
    endpoint: String,
    connection: Mutex<Connection>,
}

type Connection = Arc<Line>;

#[derive(Default)]
struct Line {
    /// Made by whoever comes first; the others wait for it.
    client: OnceCell<Client>,
    has_answered: AtomicBool,
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
            if endpoint.starts_with("https://") && options.ca.is_none() {
                return Err(fault(
                    "ca",
                    format!("is missing, while {endpoint} is `https`"),
                ));
            }
        }
        let members = options.endpoints.iter().map(|it| Member {
            endpoint: it.clone(),
            connection: Mutex::default(),
        });
        Ok(Self {
            members: members.collect(),
            current: AtomicUsize::new(0),
            access: Access::new(options)?,
        })
    }

    /// Shows until when certificates are good, also of files that no connection was made with yet; never ends.
    pub(super) async fn watch_expiry(&self) {
        loop {
            expiry::show(self.access.options());
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The right to ask one member once.
    pub(super) fn turn(&self) -> Turn<'_> {
        let current = self.current.load(Ordering::Relaxed);
        let member = &self.members[current % self.members.len()];
        Turn {
            members: self,
            current,
            member,
            connection: Arc::clone(&member.connection()),
            has_answered: false,
        }
    }
}

/// One question to one member. Dropped without an answer, it makes another member the next to be asked.
pub(super) struct Turn<'a> {
    members: &'a Members,
    current: usize,
    member: &'a Member,
    connection: Connection,
    has_answered: bool,
}

impl Turn<'_> {
    pub(super) async fn client(&self) -> Result<Client, EtcdError> {
        let client = &self.connection.client;
        let client = client.get_or_try_init(|| self.connect()).await;
        // What refuses a login has made no connection.
        client.cloned()
    }

    async fn connect(&self) -> Result<Client, EtcdError> {
        let access = &self.members.access;
        let options = access.read().map_err(EtcdError::Options)?;
        let connected = Client::connect([&self.member.endpoint], Some(options)).await;
        connected.map_err(|error| EtcdError::of(error, access.options(), Age::New))
    }

    /// What the failure means; a connection that is to blame for it is not used again.
    pub(super) fn failed(self, error: Error) -> EtcdError {
        let age = match self.connection.has_answered.load(Ordering::Relaxed) {
            true => Age::Proven,
            false => Age::New,
        };
        let error = EtcdError::of(error, self.members.access.options(), age);
        if error.ends_the_connection() {
            self.member.give_up(&self.connection);
        }
        error
    }

    pub(super) fn answered(mut self) {
        self.connection.has_answered.store(true, Ordering::Relaxed);
        self.has_answered = true;
    }
}

impl Member {
    fn connection(&self) -> MutexGuard<'_, Connection> {
        let connection = self.connection.lock();
        connection.unwrap_or_else(PoisonError::into_inner)
    }

    /// The next has a connection of its own, unless somebody has seen to that already.
    fn give_up(&self, used: &Connection) {
        let mut connection = self.connection();
        if Arc::ptr_eq(&connection, used) {
            *connection = Connection::default();
        }
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
        assert!(refused(&at("https://localhost:2379")).contains("`ca` is missing"));
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
