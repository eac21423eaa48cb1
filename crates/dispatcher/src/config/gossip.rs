//! The section `[gossip]`: its keys, and what they come to.

use lifecycle_core::Criticality;
use mesh::gossip::Options;
use serde::Deserialize;
use toml::Table;

use crate::config::Policies;
use crate::config::kind::Kind;
use crate::config::policies::{ABORT_GRACE, DISPOSE, DRAIN, HEALTH, RESTARTS, START, STOP};
use crate::config::schema::{CRITICALITY, Group, Initial, Node, key};
use Initial::{Is, Unset};
use Kind::{Address, Duration, Flag, Text as Word, Texts};
use Node::Leaf;

/// Gossip membership.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Table")]
pub(crate) struct Gossip {
    pub(crate) enabled: bool,
    pub(crate) criticality: Criticality,
    pub(crate) policies: Policies,
    options: Options,
}

impl Gossip {
    /// How it is done. That an address may be exposed is said once for the whole program.
    pub(crate) fn options(&self, insecure: bool) -> Options {
        Options {
            insecure,
            ..self.options.clone()
        }
    }
}

/// The keys that are not options of gossip.
#[derive(Deserialize)]
struct Own {
    enabled: bool,
    criticality: Criticality,
    #[serde(flatten)]
    policies: Policies,
}

impl TryFrom<Table> for Gossip {
    type Error = toml::de::Error;

    fn try_from(table: Table) -> Result<Self, Self::Error> {
        let (options, own) = table
            .into_iter()
            .partition::<Table, _>(|(name, _)| OPTIONS.contains(&name.as_str()));
        let own = Own::deserialize(own)?;
        Ok(Self {
            enabled: own.enabled,
            criticality: own.criticality,
            policies: own.policies,
            options: Options::deserialize(options)?,
        })
    }
}

/// The keys that are options of gossip.
const OPTIONS: &[&str] = &[
    "advertise",
    "bind",
    "cluster-id",
    "dead-node-grace",
    "gossip-interval",
    "leave-interval",
    "mesh-version",
    "node-id",
    "region",
    "role",
    "seeds",
    "suspicion-interval",
];

pub(crate) const GOSSIP: Group = Group {
    title: "`[gossip]`",
    text: "The component `mesh-gossip`: finds other nodes, tells them which service is offered here and whether it takes new calls, and \
           knows who is alive. It is off unless the section is there, be it empty. What travels is neither authenticated nor encrypted.",
    always: false,
    entries: &[
        ABORT_GRACE,
        key(
            "advertise",
            Leaf(Address, Unset),
            "where other nodes reach it; port 0 stands for the port that was taken; unset, where it listens",
        ),
        key(
            "bind",
            Leaf(Address, Is("\"127.0.0.1:17422\"")),
            "where it listens, UDP; port 0 takes any free one",
        ),
        key(
            "cluster-id",
            Leaf(Word, Is("\"local\"")),
            "which cluster it belongs to; nodes of another one are counted, and never answered",
        ),
        key(
            "criticality",
            Leaf(CRITICALITY, Is("\"degradable\"")),
            "what its failure means for the host",
        ),
        key(
            "dead-node-grace",
            Leaf(Duration, Is("\"15m\"")),
            "how long a silent node is remembered at all; at least twice the leave interval",
        ),
        DISPOSE,
        DRAIN,
        key("enabled", Leaf(Flag, Is("true")), "whether there is gossip"),
        key(
            "gossip-interval",
            Leaf(Duration, Is("\"1s\"")),
            "the time between two rounds, 10 ms to 60 s",
        ),
        HEALTH,
        key(
            "leave-interval",
            Leaf(Duration, Is("\"11s\"")),
            "a node that is silent for longer has left; longer than the suspicion interval",
        ),
        key(
            "mesh-version",
            Leaf(Word, Is("\"dev\"")),
            "told to other nodes",
        ),
        key(
            "node-id",
            Leaf(Word, Unset),
            "its name, unique in the cluster and the same after a restart; unset, `mesh-local-PORT`",
        ),
        key("region", Leaf(Word, Is("\"local\"")), "told to other nodes"),
        RESTARTS,
        key(
            "role",
            Leaf(Word, Is("\"dispatcher\"")),
            "told to other nodes",
        ),
        key(
            "seeds",
            Leaf(Texts, Is("[]")),
            "nodes to ask first, as `host:port`; names are resolved again from time to time",
        ),
        START,
        STOP,
        key(
            "suspicion-interval",
            Leaf(Duration, Is("\"5s\"")),
            "a node that is silent for longer is suspect; at least three rounds",
        ),
    ],
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn loaded(flags: &[(&str, &str)]) -> Config {
        let flag = |(key, value): &(&str, &str)| {
            let key = crate::config::Key::parse(key).expect("a key");
            ("--set".to_owned(), key, (*value).to_owned())
        };
        let sources = Sources {
            flags: flags.iter().map(flag).collect(),
            ..Sources::default()
        };
        Config::load(&sources).expect("no fault").config
    }

    #[test]
    fn there_is_none_unless_the_section_is_there_and_its_defaults_are_those_of_gossip() {
        assert!(loaded(&[]).gossip.is_none());
        let config = loaded(&[("gossip.enabled", "true")]);
        let gossip = config.gossip().expect("it is there");
        let expected = Options {
            bind: "127.0.0.1:17422".parse().expect("an address"),
            role: "dispatcher".to_owned(),
            ..Options::default()
        };
        assert_eq!(gossip.options(false), expected);
        assert_eq!(gossip.criticality, Criticality::Degradable);
        let off = loaded(&[("gossip.enabled", "false"), ("gossip.node-id", "a")]);
        assert!(off.gossip().is_none());
        assert!(off.parts().iter().all(|it| it.section.0[0] != "gossip"));
    }

    #[test]
    fn every_option_of_the_section_reaches_gossip() {
        let config = loaded(&[
            ("gossip.advertise", "127.0.0.1:7"),
            ("gossip.bind", "127.0.0.1:0"),
            ("gossip.cluster-id", "c"),
            ("gossip.dead-node-grace", "9s"),
            ("gossip.gossip-interval", "1s"),
            ("gossip.leave-interval", "4s"),
            ("gossip.mesh-version", "v"),
            ("gossip.node-id", "n"),
            ("gossip.region", "r"),
            ("gossip.role", "o"),
            ("gossip.seeds", "a:1,b:2"),
            ("gossip.suspicion-interval", "3s"),
            ("gossip.restart.budget", "9"),
            ("gossip.criticality", "essential"),
        ]);
        let gossip = config.gossip().expect("it is there");
        let options = gossip.options(true);
        let expected: Options = toml::from_str(
            "advertise = '127.0.0.1:7'\nbind = '127.0.0.1:0'\ncluster-id = 'c'\ndead-node-grace = '9s'\n\
             gossip-interval = '1s'\nleave-interval = '4s'\nmesh-version = 'v'\nnode-id = 'n'\nregion = 'r'\n\
             role = 'o'\nseeds = ['a:1', 'b:2']\nsuspicion-interval = '3s'\ninsecure = true",
        )
        .expect("options");
        assert_eq!(options, expected);
        assert_eq!(gossip.criticality, Criticality::Essential);
        assert_eq!(gossip.policies.restart.budget, Some(9));
    }
}
