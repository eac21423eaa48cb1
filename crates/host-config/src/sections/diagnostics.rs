//! `[diagnostics]`: where probes, metrics and the snapshot are served, and who may ask.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;

use crate::fault::Flaw;
use crate::key::Key;
use crate::kind::Kind::{Address, Flag, Labels, Text, Texts};
use crate::load::Sources;
use crate::report::Report;
use crate::schema::Initial::{Is, Unset};
use crate::schema::Node::{Leaf, Table};
use crate::schema::{Entry, Group, key};
use crate::sections::tls::{CERTIFICATE, KEY, Presented, RELOAD_INTERVAL};

/// The keys of the section but [`address`].
pub const KEYS: &[Entry] = &[
    key(
        "client-scopes",
        Leaf(Labels, Is("{}")),
        "what client certificates are good for, by a name in them (common name, or alternative name of DNS, URI or mail): `mesh.read` or `mesh.operate`; `\"*\"` is every certificate of the CA",
    ),
    HOSTS,
    key(
        "open-metrics",
        Leaf(Flag, Is("true")),
        "whether metrics are given without a token",
    ),
    SOCKET,
    key(
        "tokens",
        Leaf(Text, Unset),
        "a file of bearer tokens, one a line as `name scope[,scope] token`, with the scopes `mesh.read` and `mesh.operate`; it is read again when it changes; unset, whoever reaches it on loopback may see and act",
    ),
    key(
        "tokens-env",
        Leaf(Text, Unset),
        "the name of a variable of the environment with such lines, or with `;` between them; it is read once, and instead of a file",
    ),
    key(
        "tls",
        Table(&TLS),
        "what is served over TLS alone; without the section, in clear text",
    ),
];

const TLS: Group = Group {
    title: "`[diagnostics.tls]`",
    text: "What the diagnostics present. Files are in the form PEM; their paths are as the process sees them.",
    always: false,
    keys: &[&[
        CERTIFICATE,
        key(
            "client-ca",
            Leaf(Text, Unset),
            "the file with the CAs whose clients may show a certificate, for what `client-scopes` says; who shows none is let in to the probes, and wherever a token lets in",
        ),
        KEY,
        RELOAD_INTERVAL,
    ]],
};

/// `hosts`: by which names a listener may be addressed.
pub const HOSTS: Entry = key(
    "hosts",
    Leaf(Texts, Is("[]")),
    "names beside those of loopback by which clients may address it",
);

/// `socket`: which socket of the service manager a listener takes.
pub const SOCKET: Entry = key(
    "socket",
    Leaf(Text, Unset),
    "the name (`FileDescriptorName`) of a socket that systemd has opened at this address, and that is taken: whoever connects while the process is restarted waits; unset, it opens one itself",
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
    /// The name of a socket that is taken instead of opening one.
    pub socket: Option<String>,
    /// A file of bearer tokens, one a line as `name scope[,scope] token`, which is read again when it changes. Unset, everybody on this
    /// machine may do everything.
    pub tokens: Option<PathBuf>,
    /// The name of a variable of the environment that has such lines.
    pub tokens_env: Option<String>,
    /// What is in that variable; unset when it is, or none is named.
    #[serde(skip)]
    pub variable: Option<Secret>,
    /// What is presented; unset, all is served in clear text.
    pub tls: Option<Presented>,
    /// What client certificates are good for, by a name in them; `*` is every certificate.
    pub client_scopes: BTreeMap<String, String>,
    /// Whether who shows no token may read the metrics.
    pub open_metrics: bool,
}

/// A text that is not shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// What the variable `name` has, if one is named and set.
    #[must_use]
    pub fn of_variable(name: Option<&str>, sources: &Sources) -> Option<Self> {
        sources.variable(name?).map(Self)
    }

    /// The text.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Diagnostics {
    /// Takes in the variable that has the tokens, if one is named.
    pub fn settle(&mut self, sources: &Sources) {
        self.variable = Secret::of_variable(self.tokens_env.as_deref(), sources);
    }

    /// Blames what does not go together, and addresses of `listeners` where nothing is asked for, or tokens can be read by others.
    pub fn check(
        &self,
        report: &mut Report<'_>,
        listeners: &[(Key, SocketAddr)],
        is_insecure: bool,
    ) {
        let section = Key::of(&["diagnostics"]);
        let asks_clients = self.tls.as_ref().is_some_and(Presented::asks_clients);
        let mut blame = |name: &str, rule: &str, remedy: &str| {
            report.blame(&section.join(name), Flaw::new(rule, remedy));
        };
        if self.tokens.is_some() && self.tokens_env.is_some() {
            let rule = "the tokens are in a file already (diagnostics.tokens)";
            blame("tokens-env", rule, "name a file or a variable, not both");
        }
        match (asks_clients, self.client_scopes.is_empty()) {
            (true, true) => blame(
                "client-scopes",
                "clients may show certificates, and none is good for anything",
                "say what names in them are good for, as in `\"*\" = \"mesh.read\"`",
            ),
            (false, false) => blame(
                "client-scopes",
                "certificates are good for something, and no client is asked for one",
                "name the CA of clients by diagnostics.tls.client-ca",
            ),
            (true, false) | (false, true) => {}
        }
        let has_tokens = self.tokens.is_some() || self.tokens_env.is_some();
        for (section, address) in listeners.iter().filter(|_| !is_insecure) {
            if !has_tokens && !asks_clients {
                let guard = "name a file of tokens (diagnostics.tokens)";
                report.check_exposure(section, *address, guard);
            } else if has_tokens && self.tls.is_none() {
                report.check_clear_text(section, *address);
            }
        }
    }
}
