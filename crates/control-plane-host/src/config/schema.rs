//! Every key there is: what may stand there, what holds when nothing does, and what it is for.

use host_config::Initial::Is;
use host_config::Kind::{Flag, Labels, Text};
use host_config::Node::{Each, Leaf, Table};
use host_config::sections::defaults::{DEFAULTS, KILL_TIMEOUT};
use host_config::sections::log::LOG;
use host_config::sections::policies::POLICIES;
use host_config::sections::traces::TRACES;
use host_config::sections::{diagnostics, gossip};
use host_config::{Group, Initial, Names, Schema, WithoutAFile, key};

use crate::config::leadership::LEADERSHIP;
use crate::host::COMPONENTS;

/// The configuration of the host.
pub(crate) const SCHEMA: Schema = Schema {
    title: "Configuration of the control-plane host",
    introduction: INTRODUCTION,
    prefix: "CONTROL_PLANE_HOST__",
    without_a_file: WithoutAFile {
        is: "the defaults",
        document: "",
    },
    document: DOCUMENT,
};

const INTRODUCTION: &str = "\
# Configuration of the control-plane host

Every key of the file that `control-plane-host --config FILE` reads, in TOML. This page is the output of
`control-plane-host config schema --markdown`, and a test compares the two; `control-plane-host config schema` prints the same as a
JSON schema for editors. How the sources go together is told in [control-plane-host.md](control-plane-host.md#configuration).

Durations are written `250ms`, `10s`, `1m30s`; where *never* is allowed, that is `\"never\"`. Without a file everything is as it is
by default, on loopback.
";

const DOCUMENT: Group = Group {
    title: "Outside of sections",
    text: "",
    always: true,
    keys: &[&[
        key(
            "components",
            Each(COMPONENT_NAMES, &COMPONENT),
            "policies of single components",
        ),
        DEFAULTS,
        key(
            "diagnostics",
            Table(&DIAGNOSTICS),
            "probes, metrics, the snapshot and operations",
        ),
        key("gossip", Table(&GOSSIP), "who else there is"),
        key(
            "grpc",
            Table(&GRPC),
            "what happens here, for programs that speak gRPC",
        ),
        key("http", Table(&HTTP), "control requests"),
        key(
            "insecure",
            Leaf(Flag, Is("false")),
            "allows addresses that other machines can reach where nothing asks for credentials, and gossip that is not sealed",
        ),
        KILL_TIMEOUT,
        key("leadership", Table(&LEADERSHIP), "who leads what"),
        LOG,
        key(
            "service-name",
            Leaf(Text, Is("\"control-plane-host\"")),
            "what the host is called in its own log lines, and in spans",
        ),
        TRACES,
    ]],
};

const COMPONENT_NAMES: Names = Names::Among {
    what: "component",
    known: &COMPONENTS,
};

const COMPONENT: Group = Group {
    title: "`[components.NAME]`",
    text: "The policies of one component: `diagnostics`, `mesh-gossip`, `mesh-leadership`, `control-plane:http` or `control-plane:grpc`, in \
           any case of letters; the last two are written in quotes, and in a variable as `CONTROL_PLANE_HTTP` and `CONTROL_PLANE_GRPC`.",
    always: true,
    keys: &[POLICIES],
};

const DIAGNOSTICS: Group = Group {
    title: "`[diagnostics]`",
    text: "The component `diagnostics`: probes, metrics, the snapshot of the orchestrator and operations. Who may ask is said for the \
           control listener, too.",
    always: true,
    keys: &[
        diagnostics::KEYS,
        &[diagnostics::address("\"127.0.0.1:9180\"")],
    ],
};

const HTTP: Group = Group {
    title: "`[http]`",
    text: "The component `control-plane:http`: control requests, and what the diagnostics answer.",
    always: true,
    keys: &[&[
        diagnostics::address("\"127.0.0.1:9181\""),
        diagnostics::HOSTS,
        diagnostics::SOCKET,
    ]],
};

const GRPC: Group = Group {
    title: "`[grpc]`",
    text: "The component `control-plane:grpc`: what happens to the components, health and reflection. It asks for the same tokens as the \
           diagnostics; health and reflection are open.",
    always: true,
    keys: &[&[
        diagnostics::address("\"127.0.0.1:9182\""),
        key(
            "enabled",
            Leaf(Flag, Is("false")),
            "whether there is such a listener",
        ),
        diagnostics::SOCKET,
    ]],
};

const GOSSIP: Group = Group {
    title: "`[gossip]`",
    text: "The component `mesh-gossip`: finds other nodes, tells them of this one and whether it takes new work, and knows who is alive. \
           With `keys-file`, or `keys-env`, what travels is authenticated and encrypted.",
    always: true,
    keys: &[
        gossip::KEYS,
        &[
            gossip::bind("\"127.0.0.1:17421\""),
            key(
                "endpoint",
                Leaf(Text, Initial::Unset),
                "a URL that is told to other nodes; unset, that of the control listener, unless its port is 0 or it listens everywhere",
            ),
            key("labels", Leaf(Labels, Is("{}")), "told to other nodes"),
            gossip::role("\"worker\""),
        ],
    ],
};

#[cfg(test)]
mod tests {
    use mesh::gossip::Options;

    use super::*;

    #[test]
    fn the_table_of_keys_makes_sense() {
        assert_eq!(SCHEMA.mistakes(), Vec::<String>::new());
    }

    #[test]
    fn the_keys_of_gossip_are_its_options() {
        let mut options = Options {
            node_id: Some("a".into()),
            endpoint: Some("http://a".into()),
            keys_env: Some("KEYS".into()),
            keys_file: Some("keys".into()),
            ..Options::default()
        };
        options.advertise = Some(options.bind);
        let table = toml::Table::try_from(options).expect("a table");
        let options = table.keys().map(String::as_str);
        let mut options: Vec<_> = options.filter(|it| *it != "insecure").collect();
        options.push("enabled");
        options.sort_unstable();
        let keys = SCHEMA.keys();
        let keys = keys.iter().filter_map(|it| it.strip_prefix("gossip."));
        assert_eq!(keys.collect::<Vec<_>>(), options);
    }

    #[test]
    fn the_keys_of_leadership_are_its_options() {
        let options = mesh::leadership::Options {
            node_id: Some("a".into()),
            ..mesh::leadership::Options::default()
        };
        let table = toml::Table::try_from(options).expect("a table");
        let keys = SCHEMA.keys();
        let keys = keys.iter().filter_map(|it| it.strip_prefix("leadership."));
        let of_options =
            |it: &&str| !it.starts_with("store.") && !["enabled", "diagnostics"].contains(it);
        let mut keys: Vec<_> = keys
            .filter(of_options)
            .map(|it| it.trim_end_matches(".*.ids"))
            .collect();
        keys.sort_unstable();
        assert_eq!(keys, table.keys().map(String::as_str).collect::<Vec<_>>());
    }
}
