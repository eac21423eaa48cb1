//! `[diagnostics]`: where probes, metrics and the snapshot are served, and who may ask.

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::kind::Kind::{Address, Flag, Text, Texts};
use crate::schema::Initial::{Is, Unset};
use crate::schema::Node::Leaf;
use crate::schema::{Entry, key};

/// The keys of the section but [`address`].
pub const KEYS: &[Entry] = &[
    HOSTS,
    key(
        "open-metrics",
        Leaf(Flag, Is("true")),
        "whether metrics are given without a token",
    ),
    key(
        "tokens",
        Leaf(Text, Unset),
        "a file of bearer tokens, one a line as `name scope[,scope] token`, with the scopes `mesh.read` and `mesh.operate`; it is read again when it changes; unset, whoever reaches it on loopback may see and act",
    ),
];

/// `hosts`: by which names a listener may be addressed.
pub const HOSTS: Entry = key(
    "hosts",
    Leaf(Texts, Is("[]")),
    "names beside those of loopback by which clients may address it",
);

/// `address`: where a listener is unless it is said, as TOML writes it.
#[must_use]
pub const fn address(default: &'static str) -> Entry {
    key(
        "address",
        Leaf(Address, Is(default)),
        "where it listens; port 0 takes any free one",
    )
}

/// The listener of probes, metrics, snapshot and operations, and who may ask.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Diagnostics {
    /// The address; port 0 takes any free one.
    pub address: SocketAddr,
    /// Names beside those of loopback by which clients may address it.
    pub hosts: Vec<String>,
    /// A file of bearer tokens, one a line as `name scope[,scope] token`, which is read again when it changes. Unset, everybody on this
    /// machine may do everything.
    pub tokens: Option<PathBuf>,
    /// Whether who shows no token may read the metrics.
    pub open_metrics: bool,
}
