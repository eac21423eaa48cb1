//! A host with a key of every kind.

use std::collections::BTreeMap;
use std::io::Write as _;

use host_config::Initial::{Is, Required, Unset};
use host_config::Node::{Each, Leaf, Table};
use host_config::sections::defaults::{DEFAULTS, KILL_TIMEOUT};
use host_config::sections::diagnostics::{self, Diagnostics};
use host_config::sections::gossip;
use host_config::sections::log::{LOG, Log};
use host_config::sections::policies::{self, POLICIES, Policies, criticality};
use host_config::sections::tls::{PRESENTED, Presented};
use host_config::{
    ConfigError, Configuration, Flaw, Group, Key, Kind, Layers, Loaded, Names, Report, Schema,
    Sources, WithoutAFile, key, load,
};
use lifecycle_core::{Criticality, Defaults, Nanos};
use serde::Deserialize;
use tempfile::NamedTempFile;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub(crate) struct Greeter {
    pub(crate) greeting: String,
    pub(crate) kill_timeout: Option<Nanos>,
    pub(crate) defaults: Defaults,
    pub(crate) diagnostics: Diagnostics,
    pub(crate) log: Log,
    pub(crate) gossip: Option<toml::Table>,
    #[expect(dead_code, reason = "that it is read is enough")]
    kinds: Kinds,
    pub(crate) doors: BTreeMap<String, Door>,
    pub(crate) parts: BTreeMap<String, Policies>,
    #[serde(skip)]
    pub(crate) machine: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[expect(dead_code, reason = "that they are read is enough")]
struct Kinds {
    limit: Option<String>,
    some: Option<Vec<String>>,
    flag: bool,
    labels: BTreeMap<String, String>,
    time: Nanos,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Door {
    pub(crate) address: String,
    pub(crate) width: u32,
    pub(crate) tls: Option<Presented>,
    pub(crate) criticality: Criticality,
    #[serde(flatten)]
    pub(crate) policies: Policies,
    #[serde(default)]
    pub(crate) locks: BTreeMap<String, Lock>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Lock {
    pub(crate) pins: u32,
}

pub(crate) const SCHEMA: Schema = Schema {
    title: "Configuration of the greeter",
    introduction: "# Configuration of the greeter\n",
    prefix: "GREETER__",
    without_a_file: WithoutAFile {
        is: "one door",
        document: "[doors.front]\naddress = '127.0.0.1:1'\n",
    },
    document: Group {
        title: "Outside of sections",
        text: "",
        always: true,
        keys: &[&[
            key("doors", Each(Names::Any, &DOOR), "where guests come in"),
            DEFAULTS,
            key("diagnostics", Table(&DIAGNOSTICS), "how it is"),
            key("gossip", Table(&GOSSIP), "who else greets"),
            key(
                "greeting",
                Leaf(Kind::Text, Is("\"hello\"")),
                "what is said",
            ),
            KILL_TIMEOUT,
            key("kinds", Table(&KINDS), "of everything something"),
            LOG,
            key(
                "parts",
                Each(
                    Names::Among {
                        what: "part",
                        known: &["the:bell", "lamp"],
                    },
                    &PART,
                ),
                "policies by part",
            ),
        ]],
    },
};

const DIAGNOSTICS: Group = Group {
    title: "`[diagnostics]`",
    text: "How it is.",
    always: true,
    keys: &[
        diagnostics::KEYS,
        &[diagnostics::address("\"127.0.0.1:9000\"")],
    ],
};

const GOSSIP: Group = Group {
    title: "`[gossip]`",
    text: "Who else greets.",
    always: false,
    keys: &[
        gossip::KEYS,
        &[gossip::bind("\"127.0.0.1:9001\""), gossip::role("\"host\"")],
    ],
};

const KINDS: Group = Group {
    title: "`[kinds]`",
    text: "",
    always: true,
    keys: &[&[
        key("flag", Leaf(Kind::Flag, Is("false")), "yes or no"),
        key("labels", Leaf(Kind::Labels, Is("{}")), "what you like"),
        key("limit", Leaf(Kind::Limit, Unset), "how long, if ever"),
        key(
            "some",
            Leaf(Kind::SomeOf(&["small", "large"]), Unset),
            "sizes",
        ),
        key("time", Leaf(Kind::Time, Is("\"1s\"")), "how long"),
    ]],
};

const DOOR: Group = Group {
    title: "`[doors.NAME]`",
    text: "A door.",
    always: true,
    keys: &[
        POLICIES,
        &[
            key(
                "address",
                Leaf(Kind::Address, Required("\"127.0.0.1:0\"")),
                "where it is",
            ),
            criticality("\"degradable\""),
            key("locks", Each(Names::Any, &LOCK), "what holds it"),
            key("tls", Table(&TLS), "what it presents"),
            key("width", Leaf(Kind::POSITIVE, Is("1")), "how wide it is"),
        ],
    ],
};

const LOCK: Group = Group {
    title: "`[doors.NAME.locks.NAME]`",
    text: "A lock.",
    always: true,
    keys: &[&[key("pins", Leaf(Kind::COUNT, Is("5")), "how many pins")]],
};

const TLS: Group = Group {
    title: "`[doors.NAME.tls]`",
    text: "",
    always: false,
    keys: &[PRESENTED],
};

const PART: Group = Group {
    title: "`[parts.NAME]`",
    text: "",
    always: true,
    keys: &[POLICIES],
};

impl Configuration for Greeter {
    const SCHEMA: &'static Schema = &SCHEMA;

    fn complete(layers: &mut Layers) {
        if layers.text(&Key::of(&["greeting"])) == Some("quiet") {
            layers.suppose(Key::of(&["kill-timeout"]), "1s");
        }
    }

    fn settle(&mut self, layers: &Layers, sources: &Sources) {
        self.log.settle(layers);
        self.machine.clone_from(&sources.machine);
    }

    fn check(&self, report: &mut Report<'_>) {
        let mut listeners = vec![(Key::of(&["diagnostics"]), self.diagnostics.address)];
        for (name, door) in &self.doors {
            let section = Key::of(&["doors", name]);
            let address = door.address.parse().expect("it was checked");
            report.check_exposure(&section, address, "lock it");
            listeners.push((section, address));
        }
        report.check_ports(&listeners);
        if let Some(gossip) = &self.gossip
            && gossip["suspicion-interval"] == gossip["gossip-interval"]
        {
            let flaw = Flaw::split("is too short; make it longer");
            gossip::blame(report, [("suspicion-interval", flaw)]);
        }
        let doors = self.doors.iter();
        let doors = doors.map(|(name, it)| (Key::of(&["doors", name]), &it.policies));
        let parts = self.parts.iter();
        let parts = parts.map(|(name, it)| (Key::of(&["parts", name]), it));
        policies::check(report, &self.defaults, doors.chain(parts));
    }
}

/// A file that is gone when this is.
pub(crate) fn file(text: &str) -> (NamedTempFile, Sources) {
    let mut file = NamedTempFile::new().expect("a file");
    file.write_all(text.as_bytes()).expect("it is written");
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    };
    (file, sources)
}

/// Loads `text` as a file.
pub(crate) fn loaded(text: &str) -> Result<Loaded<Greeter>, ConfigError> {
    let (_file, sources) = file(text);
    load(&sources)
}
