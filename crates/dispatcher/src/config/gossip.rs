//! The section `[gossip]`: its keys, and what they come to.

use host_config::sections::gossip::{KEYS, bind, role};
use host_config::sections::policies::{POLICIES, Policies, criticality};
use host_config::{Group, Sources};
use lifecycle_core::Criticality;
use mesh::gossip::{KeyText, Options};
use serde::Deserialize;

pub(crate) const GOSSIP: Group = Group {
    title: "`[gossip]`",
    text: "The component `mesh-gossip`: finds other nodes, tells them which service is offered here and whether it takes new calls, and \
           knows who is alive. It is off unless the section is there, be it empty. With `keys-file`, or `keys-env`, what travels is \
           authenticated and encrypted.",
    always: false,
    keys: &[
        KEYS,
        POLICIES,
        &[
            bind("\"127.0.0.1:17422\""),
            criticality("\"degradable\""),
            role("\"dispatcher\""),
        ],
    ],
};

/// Gossip membership.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Gossip {
    pub(crate) enabled: bool,
    pub(crate) criticality: Criticality,
    #[serde(flatten)]
    pub(crate) policies: Policies,
    /// The keys that are options of gossip.
    #[serde(flatten)]
    options: Options,
}

impl Gossip {
    /// Takes in the name of this machine, for the name of the node, and the variable that has the keys, if one is named.
    pub(crate) fn settle(&mut self, sources: &Sources) {
        self.options.host.clone_from(&sources.machine);
        let variable = self.options.keys_env.as_ref();
        let keys = variable.and_then(|it| sources.variable(it));
        self.options.keys_text = keys.map(KeyText::new);
    }

    /// How it is done. That an address may be exposed is said once for the whole program.
    pub(crate) fn options(&self, insecure: bool) -> Options {
        Options {
            insecure,
            ..self.options.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use host_config::{Flag, Key};

    use super::*;
    use crate::config::Config;

    fn loaded(flags: &[(&str, &str)]) -> Config {
        let flag = |(key, value): &(&str, &str)| Flag {
            name: "--set".to_owned(),
            key: Key::parse(key).expect("a key"),
            value: (*value).to_owned(),
        };
        let sources = Sources {
            flags: flags.iter().map(flag).collect(),
            ..Sources::default()
        };
        host_config::load::<Config>(&sources)
            .expect("no fault")
            .config
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
        assert!(
            off.parts()
                .iter()
                .all(|it| it.section.parts()[0] != "gossip")
        );
    }

    #[test]
    fn every_option_of_the_section_reaches_gossip() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("keys");
        std::fs::write(&file, format!("1:{}", "00112233".repeat(8))).expect("written");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, mode).expect("closed");
        let keys = file.to_str().expect("text");
        let config = loaded(&[
            ("gossip.advertise", "127.0.0.1:7"),
            ("gossip.bind", "127.0.0.1:0"),
            ("gossip.cluster-id", "c"),
            ("gossip.dead-node-grace", "9s"),
            ("gossip.gossip-interval", "1s"),
            ("gossip.keys-file", keys),
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
        let expected: Options = toml::from_str(&format!(
            "advertise = '127.0.0.1:7'\nbind = '127.0.0.1:0'\ncluster-id = 'c'\ndead-node-grace = '9s'\n\
             gossip-interval = '1s'\nleave-interval = '4s'\nmesh-version = 'v'\nnode-id = 'n'\nregion = 'r'\n\
             role = 'o'\nseeds = ['a:1', 'b:2']\nsuspicion-interval = '3s'\ninsecure = true\nkeys-file = '{keys}'",
        ))
        .expect("options");
        assert_eq!(options, expected);
        assert_eq!(gossip.criticality, Criticality::Essential);
        assert_eq!(gossip.policies.restart.budget, Some(9));
    }

    #[test]
    fn keys_of_gossip_may_be_in_a_variable() {
        let flag = Flag {
            name: "--set".to_owned(),
            key: Key::parse("gossip.keys-env").expect("a key"),
            value: "MESH_KEYS".to_owned(),
        };
        let keys = format!("1:{}", "00112233".repeat(8));
        let sources = Sources {
            flags: vec![flag],
            environment: vec![("MESH_KEYS".into(), keys.into())],
            ..Sources::default()
        };
        let loaded = host_config::load::<Config>(&sources).expect("no fault");
        let options = loaded.config.gossip().expect("it is there").options(false);
        let keys = options.check_with_keys().expect("no fault");
        assert_eq!(keys.expect("keys").ring().ids().collect::<Vec<_>>(), [1]);
    }
}
