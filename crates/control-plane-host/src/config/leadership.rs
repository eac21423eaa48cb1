//! `[leadership]`: its keys, and what they come to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use host_config::Initial::{Is, Unset};
use host_config::Kind::{Flag, OneOf, Text, Texts, Time};
use host_config::Node::{Each, Leaf, Table};
use host_config::sections::diagnostics::Secret;
use host_config::{Group, Names, Sources, key};
use mesh::leadership::{EtcdOptions, Options, Password, StoreOptions};
use serde::Deserialize;

/// Who leads what.
///
/// As configuration, the options stand beside `enabled`; shards are tables by namespace.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Leadership {
    /// Whether this node stands for anything. Default: yes.
    pub enabled: bool,
    /// Whether the listeners show who leads; without leadership they show nobody. Default: yes.
    pub diagnostics: bool,
    /// Where the leases are.
    pub store: Store,
    /// Shards to stand for, by namespace. Default: none.
    #[serde(default)]
    pub shards: BTreeMap<String, Shards>,
    /// How it is done; its shards are those above.
    #[serde(flatten)]
    pub options: Options,
}

/// The shards of one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Shards {
    /// Their names within it.
    pub ids: Vec<String>,
}

/// Where the leases are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Store {
    /// What keeps them. Default: memory.
    pub kind: StoreKind,
    /// The file of SQLite. Default: unset.
    pub path: Option<PathBuf>,
    /// The members of etcd. Default: none.
    pub endpoints: Vec<String>,
    /// What the keys in etcd begin with. Default: `mesh/leadership/`.
    pub prefix: String,
    /// The certificates of the authorities that may vouch for etcd. Default: unset.
    pub ca: Option<PathBuf>,
    /// The certificate by which etcd knows this node. Default: unset.
    pub certificate: Option<PathBuf>,
    /// The private key of it. Default: unset.
    pub key: Option<PathBuf>,
    /// The name by which etcd knows this node. Default: unset.
    pub user: Option<String>,
    /// The file with the password of that. Default: unset.
    pub password_file: Option<PathBuf>,
    /// The variable of the environment with the password. Default: unset.
    pub password_env: Option<String>,
    /// What is in that variable; unset when it is, or none is named.
    #[serde(skip)]
    pub variable: Option<Secret>,
}

/// What keeps leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreKind {
    /// This process, for a node that is alone.
    Memory,
    /// A file, for the processes of one machine.
    Sqlite,
    /// etcd, for many machines.
    Etcd,
}

impl Leadership {
    /// The options as leadership takes them; the name of the node may be missing.
    pub(crate) fn options(&self) -> Options {
        let shards = self
            .shards
            .iter()
            .map(|(namespace, it)| mesh::leadership::Shards {
                namespace: namespace.clone(),
                ids: it.ids.clone(),
            });
        Options {
            shards: shards.collect(),
            ..self.options.clone()
        }
    }
}

impl Store {
    /// The store as leadership takes it. Without a path a file has none, which is a fault of the configuration.
    pub(crate) fn options(&self) -> StoreOptions {
        match self.kind {
            StoreKind::Memory => StoreOptions::Memory,
            StoreKind::Sqlite => StoreOptions::Sqlite {
                path: self.path.clone().unwrap_or_default(),
            },
            StoreKind::Etcd => StoreOptions::Etcd(EtcdOptions {
                endpoints: self.endpoints.clone(),
                prefix: self.prefix.clone(),
                ca: self.ca.clone(),
                certificate: self.certificate.clone(),
                key: self.key.clone(),
                user: self.user.clone(),
                password_file: self.password_file.clone(),
                password: self.password(),
            }),
        }
    }

    /// Takes in the variable that has the password, if one is named.
    pub(crate) fn settle(&mut self, sources: &Sources) {
        self.variable = Secret::of_variable(self.password_env.as_deref(), sources);
    }

    /// The password that is in the variable; what is blank is none.
    pub(crate) fn password(&self) -> Option<Password> {
        self.variable
            .as_ref()
            .and_then(|it| Password::new(it.reveal()))
    }

    /// Whether a password would travel to another machine in clear text: to which.
    pub(crate) fn exposed(&self) -> Option<&str> {
        self.user.as_ref()?;
        let endpoints = self.endpoints.iter().map(String::as_str);
        let mut exposed = endpoints.filter(|it| {
            let host = it.strip_prefix("http://").and_then(host_of);
            host.is_some_and(|it| !is_loopback(it))
        });
        exposed.next()
    }

    /// The keys that were set although they say nothing about this kind of store, each with the kind that it is for.
    pub(crate) fn strangers(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let set = [
            ("path", StoreKind::Sqlite, self.path.is_some()),
            ("endpoints", StoreKind::Etcd, !self.endpoints.is_empty()),
            ("ca", StoreKind::Etcd, self.ca.is_some()),
            ("certificate", StoreKind::Etcd, self.certificate.is_some()),
            ("key", StoreKind::Etcd, self.key.is_some()),
            ("user", StoreKind::Etcd, self.user.is_some()),
            (
                "password-file",
                StoreKind::Etcd,
                self.password_file.is_some(),
            ),
            ("password-env", StoreKind::Etcd, self.password_env.is_some()),
        ];
        let kind = self.kind;
        let strangers = set
            .into_iter()
            .filter(move |(_, of, is_set)| *is_set && *of != kind);
        strangers.map(|(name, of, _)| (name, of.as_str()))
    }
}

/// The host of `host:port`, without the brackets of an address.
fn host_of(authority: &str) -> Option<&str> {
    let (host, _) = authority.rsplit_once(':')?;
    Some(host.trim_start_matches('[').trim_end_matches(']'))
}

fn is_loopback(host: &str) -> bool {
    let address = host.parse::<IpAddr>();
    host.eq_ignore_ascii_case("localhost")
        || address.is_ok_and(|it| it.to_canonical().is_loopback())
}

impl StoreKind {
    /// The name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Etcd => "etcd",
        }
    }
}

/// The keys of the section.
pub(crate) const LEADERSHIP: Group = Group {
    title: "`[leadership]`",
    text: "The component `mesh-leadership`: one node at a time leads a scope. What the times mean together is told in \
           [leadership.md](leadership.md#scopes-and-options).",
    always: true,
    keys: &[&[
        key(
            "clock-margin",
            Leaf(Time, Is("\"250ms\"")),
            "a leader takes its lease to end so much earlier than the store does",
        ),
        key(
            "diagnostics",
            Leaf(Flag, Is("true")),
            "whether the listeners show who leads; otherwise they show nobody, and do not wait for leadership",
        ),
        key(
            "election-backoff",
            Leaf(Time, Is("\"500ms\"")),
            "how long a node that gave up or lost a lease lets others go first, and how long it waits before it asks a silent store again",
        ),
        key(
            "enabled",
            Leaf(Flag, Is("true")),
            "whether this node stands for anything",
        ),
        key(
            "evaluation-interval",
            Leaf(Time, Is("\"750ms\"")),
            "how often a follower looks, where nothing tells it sooner",
        ),
        key(
            "gate-margin",
            Leaf(Time, Is("\"1s\"")),
            "what runs only while this node leads is stopped so long before its lease would end",
        ),
        key(
            "lease-duration",
            Leaf(Time, Is("\"4s\"")),
            "how long a lease lasts unless it is renewed, 500 ms to 10 min; etcd counts whole seconds",
        ),
        key(
            "max-election-window",
            Leaf(Time, Is("\"5s\"")),
            "a scope that has no leader for longer makes the component degraded",
        ),
        key(
            "node-id",
            Leaf(Text, Unset),
            "its name among those who may lead; unset, that of gossip with the port that is configured",
        ),
        key(
            "renewal-lead-time",
            Leaf(Time, Is("\"2600ms\"")),
            "a leader renews when so much of its lease is left",
        ),
        key(
            "scopes",
            Leaf(Texts, Is("[]")),
            "what it stands for: `global-control`, `shard/NAMESPACE/ID` or any other name without blanks; none, and no shards, \
             means `global-control`",
        ),
        key(
            "shards",
            Each(Names::Any, &SHARDS),
            "more scopes, by namespace",
        ),
        key("store", Table(&STORE), "where the leases are"),
        key(
            "store-timeout",
            Leaf(Time, Is("\"1s\"")),
            "how long a store may take to answer",
        ),
    ]],
};

const SHARDS: Group = Group {
    title: "`[leadership.shards.NAMESPACE]`",
    text: "Shards of one namespace: each is the scope `shard/NAMESPACE/ID`.",
    always: true,
    keys: &[&[key(
        "ids",
        Leaf(Texts, Is("[]")),
        "the names of the shards within it",
    )]],
};

const STORE: Group = Group {
    title: "`[leadership.store]`",
    text: "Who shares a store shares its leaders. One that does not reach as far as gossip is refused.",
    always: true,
    keys: &[&[
        key(
            "ca",
            Leaf(Text, Unset),
            "etcd: a file with the certificates of the authorities that may vouch for it (PEM); needed for `https`",
        ),
        key(
            "certificate",
            Leaf(Text, Unset),
            "etcd: a file with the certificate by which it knows this node (PEM)",
        ),
        key(
            "endpoints",
            Leaf(Texts, Is("[]")),
            "etcd: its members, as `http://host:port` or `https://host:port`",
        ),
        key(
            "key",
            Leaf(Text, Unset),
            "etcd: a file with the private key of the certificate (PEM)",
        ),
        key(
            "kind",
            Leaf(OneOf(&["memory", "sqlite", "etcd"]), Is("\"memory\"")),
            "what keeps them: this process alone; a file, for the processes of one machine; etcd, for many machines, in a program \
             that was built with the feature `etcd`",
        ),
        key(
            "password-env",
            Leaf(Text, Unset),
            "etcd: the name of a variable of the environment with the password of `user`; it is read once, and instead of a file",
        ),
        key(
            "password-file",
            Leaf(Text, Unset),
            "etcd: a file with the password of `user`, which nobody else may read (chmod 600); it is read again when etcd does not take what was in it",
        ),
        key(
            "path",
            Leaf(Text, Unset),
            "SQLite: the file, on a local disk, in a folder that is there",
        ),
        key(
            "prefix",
            Leaf(Text, Is("\"mesh/leadership/\"")),
            "etcd: what the keys begin with",
        ),
        key(
            "user",
            Leaf(Text, Unset),
            "etcd: the name by which it knows this node, where it asks for names (`etcdctl auth enable`); it needs a password",
        ),
    ]],
};

#[cfg(test)]
mod tests {
    use crate::config::Config;

    use super::*;

    #[test]
    fn the_defaults_of_the_table_are_those_of_leadership() {
        let leadership = Config::load(&Sources::default())
            .expect("no fault")
            .config
            .leadership;
        assert_eq!(leadership.options, Options::default());
        assert_eq!(leadership.store.options(), StoreOptions::default());
        assert_eq!(leadership.store.prefix, EtcdOptions::default().prefix);
    }

    #[test]
    fn a_password_stays_on_the_machine_or_travels_encrypted() {
        let at = |endpoint: &str| {
            let mut store = Config::default().leadership.store;
            store.endpoints = vec!["http://localhost:1".to_owned(), endpoint.to_owned()];
            store.user = Some("plane".to_owned());
            store.exposed().map(str::to_owned)
        };
        for near in ["http://127.0.0.1:1", "http://[::1]:1", "https://etcd:1"] {
            assert_eq!(at(near), None, "{near}");
        }
        for far in ["http://etcd:1", "http://192.0.2.1:1"] {
            assert_eq!(at(far).as_deref(), Some(far));
        }
    }
}
