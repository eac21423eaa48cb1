//! `[gossip]`: the keys of membership, and which of them is to blame.
//!
//! What they come to is not said here: the options of gossip are read from them by the host, which has gossip.

use crate::fault::Flaw;
use crate::key::Key;
use crate::kind::Kind::{Address, Duration, Flag, Text, Texts};
use crate::report::Report;
use crate::schema::Initial::{Is, Unset};
use crate::schema::Node::Leaf;
use crate::schema::{Entry, key};

/// The keys of the section but [`bind`] and [`role`].
pub const KEYS: &[Entry] = &[
    key(
        "advertise",
        Leaf(Address, Unset),
        "where other nodes reach it; port 0 stands for the port that was taken; unset, where it listens",
    ),
    key(
        "cluster-id",
        Leaf(Text, Is("\"local\"")),
        "which cluster it belongs to; nodes of another one are counted, and never answered",
    ),
    key(
        "dead-node-grace",
        Leaf(Duration, Is("\"15m\"")),
        "how long a silent node is remembered at all; at least twice the leave interval",
    ),
    key("enabled", Leaf(Flag, Is("true")), "whether there is gossip"),
    key(
        "gossip-interval",
        Leaf(Duration, Is("\"1s\"")),
        "the time between two rounds, 10 ms to 60 s",
    ),
    key(
        "keys-env",
        Leaf(Text, Unset),
        "the name of a variable of the environment that has the keys of `keys-file`, one a line or with commas between them; instead of a file, and read once: another key needs a restart",
    ),
    key(
        "keys-file",
        Leaf(Text, Unset),
        "a file of keys that seal what travels, the same on every node: one a line as `id:key`, the key of 64 hexadecimal digits; the first seals, each opens; it is read again when it changes; unset, nothing is sealed, and gossip stays on loopback unless `insecure` is set",
    ),
    key(
        "leave-interval",
        Leaf(Duration, Is("\"11s\"")),
        "a node that is silent for longer has left; longer than the suspicion interval",
    ),
    key(
        "mesh-version",
        Leaf(Text, Is("\"dev\"")),
        "told to other nodes",
    ),
    key(
        "node-id",
        Leaf(Text, Unset),
        "its name, unique in the cluster and the same after a restart; unset, `mesh-MACHINE-PORT`",
    ),
    key("region", Leaf(Text, Is("\"local\"")), "told to other nodes"),
    key(
        "seeds",
        Leaf(Texts, Is("[]")),
        "nodes to ask first, as `host:port`; names are resolved again from time to time",
    ),
    key(
        "suspicion-interval",
        Leaf(Duration, Is("\"5s\"")),
        "a node that is silent for longer is suspect; at least three rounds",
    ),
];

/// `bind`: where it listens unless it is said, as TOML writes it.
#[must_use]
pub const fn bind(default: &'static str) -> Entry {
    key(
        "bind",
        Leaf(Address, Is(default)),
        "where it listens, UDP; port 0 takes any free one",
    )
}

/// `role`: what this node does in the cluster unless it is said, as TOML writes it.
#[must_use]
pub const fn role(default: &'static str) -> Entry {
    key("role", Leaf(Text, Is(default)), "told to other nodes")
}

/// The keys that are compared with each other.
const INTERVALS: [&str; 4] = [
    "gossip-interval",
    "suspicion-interval",
    "leave-interval",
    "dead-node-grace",
];

/// Blames keys of the section for what gossip says of its options: the name of each, and what is wrong with it.
pub fn blame<'a>(report: &mut Report<'_>, flaws: impl IntoIterator<Item = (&'a str, Flaw)>) {
    let section = Key::of(&["gossip"]);
    // What could not be read is its default here: what it is compared with is not to blame.
    let unread_interval = report.is_blamed(&section, &INTERVALS);
    let unread_bind = report.is_blamed(&section, &["bind"]);
    for (option, flaw) in flaws {
        let is_interval = INTERVALS.contains(&option);
        let compared: &[&str] = match option {
            "node-id" | "advertise" => &["bind"],
            _ if is_interval => &INTERVALS,
            _ => &[],
        };
        if !(unread_interval && is_interval || unread_bind && option == "advertise") {
            let compared: Vec<_> = compared.iter().map(|it| section.join(it)).collect();
            report.blame_one_of(&section.join(option), &compared, flaw);
        }
    }
}
