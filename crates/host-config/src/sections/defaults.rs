//! `[defaults]` and `kill-timeout`: what holds for every component that does not say otherwise, and for the host as a whole.
//!
//! The section comes to [`lifecycle_core::Defaults`].

use crate::kind::Kind::{self, Duration};
use crate::schema::Initial::{Is, Unset};
use crate::schema::Node::{Leaf, Table};
use crate::schema::{Entry, Group, key};
use crate::sections::policies::{RESTART, RETRY};

/// The section.
pub const DEFAULTS: Entry = key("defaults", Table(&GROUP), "what holds for every component");

/// `kill-timeout`: when the service manager kills the process.
pub const KILL_TIMEOUT: Entry = key(
    "kill-timeout",
    Leaf(Duration, Unset),
    "how long after it was asked to stop the service manager kills the process, if that is known: a stop that may take longer is refused before anything starts",
);

const GROUP: Group = Group {
    title: "`[defaults]`",
    text: "What holds for every component that does not say otherwise, and for the host as a whole.",
    always: true,
    keys: &[&[
        key(
            "abort-grace",
            Leaf(Duration, Is("\"500ms\"")),
            "how long a cancelled call may take to end by itself",
        ),
        key(
            "await-interval",
            Leaf(Duration, Is("\"5s\"")),
            "how often a stop under way says what it waits for",
        ),
        key(
            "dispose-timeout",
            Leaf(Duration, Is("\"5s\"")),
            "how long dispose may take",
        ),
        key(
            "drain-timeout",
            Leaf(Duration, Is("\"30s\"")),
            "how long the drain of one component may take",
        ),
        key(
            "force-timeout",
            Leaf(Duration, Is("\"1s\"")),
            "how long a forced shutdown may take",
        ),
        key(
            "restart",
            Table(&RESTART),
            "what follows when a component is lost",
        ),
        key(
            "seed",
            Leaf(Kind::Number(0, i64::MAX), Is("0")),
            "what jitter is derived from",
        ),
        key(
            "settle",
            Leaf(Duration, Is("\"0s\"")),
            "how long a shutdown waits between being unready and draining",
        ),
        key(
            "shutdown-timeout",
            Leaf(Duration, Is("\"45s\"")),
            "how long a whole shutdown may take",
        ),
        key("start", Table(&RETRY), "attempts and limits of starts"),
        key("stop", Table(&RETRY), "attempts and limits of stops"),
    ]],
};

#[cfg(test)]
mod tests {
    use lifecycle_core::Defaults;

    use super::*;

    #[test]
    fn the_keys_and_what_they_are_unless_set_are_those_of_the_core() {
        let values = GROUP.entries().into_iter().filter_map(|it| match it.node {
            Leaf(_, Is(text)) => Some(format!("{} = {text}\n", it.name)),
            Leaf(..) | Table(_) | crate::schema::Node::Each(..) => None,
        });
        let said: Defaults = toml::from_str(&values.collect::<String>()).expect("defaults");
        assert_eq!(said, Defaults::default());
        let table = toml::Table::try_from(Defaults::default()).expect("a table");
        let names: Vec<_> = GROUP.entries().into_iter().map(|it| it.name).collect();
        assert_eq!(table.keys().collect::<Vec<_>>(), names);
    }
}
