//! [`StoreOptions`]: what a host may say about where the leases are.

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::leadership::memory::MemoryStore;
use crate::leadership::password::Password;
use crate::leadership::store::{LeaseStore, Reach};

/// Where the leases are, as a host says it: `kind = "memory"`, `kind = "sqlite"` with a `path`, or `kind = "etcd"` with
/// `endpoints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum StoreOptions {
    /// In the memory of this process: the default, for a node that is alone.
    #[default]
    Memory,
    /// In a file, for the processes of one machine.
    Sqlite {
        /// The file; its folder must be there.
        path: PathBuf,
    },
    /// In etcd, for many machines.
    Etcd(EtcdOptions),
}

/// How to reach etcd.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct EtcdOptions {
    /// Its members, as `http://host:port` or `https://host:port`; another one is asked when one does not answer.
    pub endpoints: Vec<String>,
    /// What the keys begin with. Default: `mesh/leadership/`.
    pub prefix: String,
    /// A file with the certificates of the authorities that may vouch for etcd (PEM). Needed for `https`.
    pub ca: Option<PathBuf>,
    /// A file with the certificate by which this node is known to etcd (PEM), and with `key` its private key.
    pub certificate: Option<PathBuf>,
    /// See `certificate`.
    pub key: Option<PathBuf>,
    /// The name by which etcd knows this node, where it asks for names; it needs a password.
    pub user: Option<String>,
    /// A file with the password of `user`, which nobody else may read. It is read again when etcd does not take what was in it.
    pub password_file: Option<PathBuf>,
    /// The password of `user`, where it is in no file. It is no part of what is written down or read.
    #[serde(skip)]
    pub password: Option<Password>,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self {
            endpoints: Vec::new(),
            prefix: "mesh/leadership/".to_owned(),
            ca: None,
            certificate: None,
            key: None,
            user: None,
            password_file: None,
            password: None,
        }
    }
}

impl StoreOptions {
    /// How far the promise of this store goes.
    #[must_use]
    pub const fn reach(&self) -> Reach {
        match self {
            Self::Memory => Reach::Process,
            Self::Sqlite { .. } => Reach::Machine,
            Self::Etcd(_) => Reach::Cluster,
        }
    }

    /// Refuses a store that does not reach as far as the nodes are apart that shall not lead at the same time.
    ///
    /// # Errors
    ///
    /// [`StoreFault::Reach`].
    pub fn check_reach(&self, needed: Reach) -> Result<(), StoreFault> {
        if self.reach() >= needed {
            return Ok(());
        }
        Err(StoreFault::Reach {
            kind: self.kind(),
            needed,
        })
    }

    /// The store. It is not connected to before it is used; files of certificates and passwords are read now, so that what is wrong with
    /// them is known, and again with each connection.
    ///
    /// # Errors
    ///
    /// [`StoreFault`] when this program has no such store, or what is said about it cannot be.
    pub fn open(&self) -> Result<Arc<dyn LeaseStore>, StoreFault> {
        match self {
            Self::Memory => Ok(Arc::new(MemoryStore::new())),
            #[cfg(feature = "sqlite")]
            Self::Sqlite { path } => Ok(Arc::new(crate::leadership::SqliteStore::new(path))),
            #[cfg(feature = "etcd")]
            Self::Etcd(options) => Ok(Arc::new(crate::leadership::EtcdStore::new(options)?)),
            #[cfg(not(all(feature = "sqlite", feature = "etcd")))]
            other => Err(StoreFault::NotBuiltIn { kind: other.kind() }),
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite { .. } => "sqlite",
            Self::Etcd(_) => "etcd",
        }
    }
}

/// What a host says about its store cannot be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreFault {
    /// The program was built without it.
    #[error(
        "this program was built without the lease store `{kind}`; build it with the feature `{kind}`, or choose another"
    )]
    NotBuiltIn {
        /// Which.
        kind: &'static str,
    },
    /// It does not reach far enough.
    #[error("the lease store `{kind}` is too near: {}; choose {}", too_near(*needed), far_enough(*needed))]
    Reach {
        /// Which.
        kind: &'static str,
        /// How far it would have to reach.
        needed: Reach,
    },
    /// An option is wrong.
    #[error("the lease store: `{option}` {rule}")]
    Option {
        /// The option's key.
        option: &'static str,
        /// What is wrong with it.
        rule: String,
    },
}

const fn too_near(needed: Reach) -> &'static str {
    match needed {
        Reach::Process => "it reaches nobody",
        Reach::Machine => "each process would lead for itself",
        Reach::Cluster => "each machine would lead for itself",
    }
}

const fn far_enough(needed: Reach) -> &'static str {
    match needed {
        Reach::Process => "`memory`",
        Reach::Machine => "`sqlite` or `etcd`",
        Reach::Cluster => "`etcd`",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_too_near_is_refused_with_one_that_is_not() {
        let sqlite = StoreOptions::Sqlite {
            path: "leases".into(),
        };
        assert!(sqlite.check_reach(Reach::Machine).is_ok());
        let fault = sqlite.check_reach(Reach::Cluster).unwrap_err();
        let expected = "the lease store `sqlite` is too near: each machine would lead for itself; choose `etcd`";
        assert_eq!(fault.to_string(), expected);
    }

    #[test]
    fn a_store_is_configured_by_its_kind() {
        let parse = toml::from_str::<StoreOptions>;
        assert_eq!(parse("kind = \"memory\"").unwrap(), StoreOptions::Memory);
        let sqlite = parse("kind = \"sqlite\"\npath = \"leases\"").unwrap();
        assert_eq!(sqlite.reach(), Reach::Machine);
        let etcd = parse("kind = \"etcd\"\nendpoints = [\"http://127.0.0.1:2379\"]").unwrap();
        assert_eq!(etcd.reach(), Reach::Cluster);
        assert!(parse("kind = \"etcd\"\nendpoint = \"x\"").is_err());
    }
}
