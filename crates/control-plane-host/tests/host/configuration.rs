//! Bad input: where it is, which rule it breaks, what to do.

use std::ffi::OsString;
use std::io::Write as _;

use control_plane_host::config::Config;
use control_plane_host::host;
use host_config::{ConfigError, Flag, Key, Loaded, Sources};
use lifecycle_core::{Backoff, HealthCheck, Jitter, Nanos, RestartWhen, Retry};
use lifecycle_runtime::Orchestrator;
use tempfile::NamedTempFile;

use crate::support::command;

/// Loads `text` as a file.
fn load(text: &str) -> Result<Loaded<Config>, ConfigError> {
    let (file, sources) = file(text);
    let loaded = Config::load(&sources);
    drop(file);
    loaded
}

fn file(text: &str) -> (NamedTempFile, Sources) {
    let mut file = tempfile::Builder::new()
        .prefix("host")
        .suffix(".toml")
        .tempfile()
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let sources = Sources {
        file: Some(file.path().to_owned()),
        ..Sources::default()
    };
    (file, sources)
}

fn variable(name: &str, value: &str) -> (OsString, OsString) {
    (format!("CONTROL_PLANE_HOST__{name}").into(), value.into())
}

fn flag(name: &str, key: &str, value: &str) -> Flag {
    Flag {
        name: name.to_owned(),
        key: Key::parse(key).unwrap(),
        value: value.to_owned(),
    }
}

/// Text, and for each fault in order its line and what its message holds.
type Case = (&'static str, &'static [(usize, &'static [&'static str])]);

const BAD: &[Case] = &[
    (
        "insecure = ",
        &[(1, &["this is no TOML", "mend this line"])],
    ),
    ("[log\nformat = 'text'", &[(1, &["this is no TOML", "]"])]),
    (
        "insecure = true\ninsecure = false",
        &[(2, &["this is no TOML", "duplicate key"])],
    ),
    (
        "[gossip]\n\ngosip-interval = '1s'",
        &[(
            3,
            &[
                "gossip.gosip-interval: there is no such key",
                "did you mean \"gossip-interval\"?",
            ],
        )],
    ),
    (
        "[gossip]\nnode_id = 'a'",
        &[(2, &["there is no such key", "did you mean \"node-id\"?"])],
    ),
    (
        "[gosip]\nseeds = []",
        &[(
            1,
            &["gosip: there is no such key", "did you mean \"gossip\"?"],
        )],
    ),
    (
        "[gossip]\ninsecure = true",
        &[(2, &["gossip.insecure: there is no such key"])],
    ),
    (
        "diagnostics = 'here'",
        &[(1, &["expected a table", "[diagnostics]"])],
    ),
    (
        "[http]\naddress = 'localhost:9181'",
        &[(
            2,
            &[
                "\"localhost:9181\" is not an IP address with a port",
                "127.0.0.1:8080",
            ],
        )],
    ),
    (
        "[http]\naddress = 9181",
        &[(2, &["expected an address, found 9181", "write it like"])],
    ),
    (
        "[http]\naddress = '0.0.0.0:9181'",
        &[(
            2,
            &["can be reached from other machines", "insecure = true"],
        )],
    ),
    (
        "[gossip]\nbind = '0.0.0.0:1'\nnode-id = 'a'\nadvertise = '192.0.2.1:0'",
        &[(
            2,
            &["gossip.bind: 0.0.0.0:1 can be reached", "insecure = true"],
        )],
    ),
    (
        "[gossip]\nadvertise = '192.0.2.1:17421'",
        &[(
            2,
            &[
                "gossip.advertise: 192.0.2.1:17421 sends peers where nobody listens",
                "or leave `advertise` unset",
            ],
        )],
    ),
    (
        "[gossip]\nbind = 17421\nadvertise = '192.0.2.1:17421'",
        &[(2, &["gossip.bind: expected an address"])],
    ),
    (
        "[diagnostics]\naddress = '127.0.0.1:7000'\n[http]\naddress = '127.0.0.1:7000'",
        &[(
            4,
            &[
                "the port is that of diagnostics.address too",
                "a port of its own",
            ],
        )],
    ),
    (
        "[http]\naddress = '127.0.0.1:9180'",
        &[(
            2,
            &["http.address: the port is that of diagnostics.address too"],
        )],
    ),
    (
        "service-name = 'x'\n[diagnostics]\naddress = '127.0.0.1:9181'",
        &[(
            3,
            &["diagnostics.address: the port is that of http.address too"],
        )],
    ),
    (
        "[gossip]\ncluster-id = 'x'\ndead-node-grace = '20s'\nregion = 'y'",
        &[(3, &["gossip.dead-node-grace: is 20s", "at least twice"])],
    ),
    (
        "[gossip]\ncluster-id = 'x'\nleave-interval = '10h'\nregion = 'y'",
        &[(3, &["gossip.dead-node-grace: is 900s", "at least twice"])],
    ),
    (
        "[gossip]\nseeds = ['a:1', 'no-port']",
        &[(2, &["holds \"no-port\"", "port from 1 to 65535"])],
    ),
    (
        "[gossip]\nseeds = 'a:1'",
        &[(2, &["expected a list of texts", "[\"a\", \"b\"]"])],
    ),
    (
        "[gossip]\nlabels = { zone = 1 }",
        &[(2, &["expected a table of texts", "zone"])],
    ),
    (
        "[gossip]\ngossip-interval = '2 parsecs'",
        &[(2, &["\"2 parsecs\" is not a duration", "\"250ms\""])],
    ),
    (
        "[gossip]\ngossip-interval = '9s'",
        &[(
            2,
            &[
                "gossip.suspicion-interval: is 5s, less than 3 gossip intervals",
                "make it longer",
            ],
        )],
    ),
    (
        "[defaults]\nshutdown-timeout = '99999999999d'",
        &[(2, &["defaults.shutdown-timeout", "365 days"])],
    ),
    (
        "[defaults]\nforce-timeout = '0s'",
        &[(2, &["force-timeout is 0", "use a positive duration"])],
    ),
    (
        "[defaults]\nseed = -1",
        &[(2, &["-1 is out of range", "from 0"])],
    ),
    (
        "[defaults.start]\nmax-attempts = 0",
        &[(
            2,
            &[
                "defaults.start.max-attempts: max-attempts is 0",
                "use 1 for no retry",
            ],
        )],
    ),
    (
        "[defaults.start]\nmax-attempts = 'many'",
        &[(2, &["expected a whole number, found \"many\""])],
    ),
    (
        "[defaults.stop]\nattempt-timeout = '10s'\ntotal = '5s'",
        &[(
            3,
            &[
                "total (5s) is shorter than attempt-timeout (10s)",
                "raise total",
            ],
        )],
    ),
    (
        "[defaults.start]\njitter = 'some'",
        &[(2, &["\"some\" is not a choice", "none, full, equal"])],
    ),
    (
        "[components.mesh-gosip.start]\nmax-attempts = 2",
        &[(
            1,
            &[
                "this host has no such component",
                "did you mean \"mesh-gossip\"?",
            ],
        )],
    ),
    (
        "[components.database.start]\nmax-attempts = 2",
        &[(
            1,
            &["this host has no such component", "control-plane:http"],
        )],
    ),
    (
        "[components.\"control-plane:http\".start]\nmax-attempts = 0",
        &[(
            2,
            &[
                "components.\"control-plane:http\".start.max-attempts",
                "use 1 for no retry",
            ],
        )],
    ),
    (
        "[components.diagnostics.start]\nmax-attempts = 3\nbackoff = { exponential = { initial = '9s', factor = 0.5, cap = '1s' } }",
        &[
            (3, &["back-off factor is 0.5", "at least 1"]),
            (
                3,
                &["cap (1s) is below its initial delay (9s)", "raise the cap"],
            ),
        ],
    ),
    (
        "[components.diagnostics.start]\nbackoff = { fixd = '1s' }",
        &[(2, &["this is no back-off", "fixd", "{ fixed = \"1s\" }"])],
    ),
    (
        "[defaults]\nsettle = '500d'\ndrain-timeout = '0s'\nawait-interval = '0s'",
        &[
            (2, &["defaults.settle: settle is", "365 days"]),
            (3, &["defaults.drain-timeout: drain-timeout is 0"]),
            (4, &["defaults.await-interval: await-interval is 0"]),
        ],
    ),
    (
        "[components.mesh-gossip.restart]\nwhen = 'sometimes'\nbudget = -1\nwindow = 60",
        &[
            (
                2,
                &["\"sometimes\" is not a choice", "never, on-failure, always"],
            ),
            (3, &["-1 is out of range"]),
            (4, &["expected a duration, found 60"]),
        ],
    ),
    (
        "[components.mesh-gossip.restart]\nbudget = 3\nwhen = 'never'\nstable-period = '0s'",
        &[
            (
                3,
                &["restart.when: a back-off or a budget is set", "drop it"],
            ),
            (4, &["restart.stable-period: stable-period is 0"]),
        ],
    ),
    (
        "[defaults.restart]\nwindow = '0s'\nbackoff = { exponential = { initial = '9s', factor = 2.0, cap = '1s' } }",
        &[
            (2, &["defaults.restart.window: window is 0"]),
            (3, &["defaults.restart.backoff", "raise the cap"]),
        ],
    ),
    (
        "[components.diagnostics.health-check]\nevery = '0s'\nmisses = 0\nmisses-allowed = 1",
        &[
            (
                2,
                &["components.diagnostics.health-check.every: every is 0"],
            ),
            (
                3,
                &[
                    "components.diagnostics.health-check.misses: misses is 0",
                    "use 1",
                ],
            ),
            (4, &["health-check.misses-allowed: there is no such key"]),
        ],
    ),
    (
        "[components.\"control-plane:http\"]\ndrain-timeout = 'soon'\nhealth-check = true",
        &[
            (2, &["\"soon\" is not a duration"]),
            (3, &["expected a table", "health-check"]),
        ],
    ),
    (
        "[components.diagnostics]\nretries = 1",
        &[(2, &["components.diagnostics.retries: there is no such key"])],
    ),
    (
        "[leadership]\nlease-duration = '1s'\nscopes = ['a b']",
        &[
            (
                2,
                &[
                    "leadership.renewal-lead-time: is 2600ms, not shorter than the lease",
                    "about two thirds",
                ],
            ),
            (3, &["leadership.scopes: holds \"a b\"", "without blanks"]),
        ],
    ),
    (
        "[leadership]\nlease-duration = 'soon'\nclock-margin = '9s'",
        &[(
            2,
            &["leadership.lease-duration: \"soon\" is not a duration"],
        )],
    ),
    (
        "[leadership.store]\nkind = 'sqlite'",
        &[(2, &["leadership.store.path: is unset", "name a file"])],
    ),
    (
        "[leadership.store]\nkind = 'memory'\npath = 'leases'\nendpoints = ['http://etcd:2379']",
        &[
            (
                3,
                &["says nothing about the store `memory`", "kind = \"sqlite\""],
            ),
            (
                4,
                &["says nothing about the store `memory`", "kind = \"etcd\""],
            ),
        ],
    ),
    (
        "insecure = true\n[gossip]\nbind = '0.0.0.0:1'\nadvertise = '192.0.2.1:1'\nnode-id = 'a'",
        &[(
            3,
            &[
                "leadership.store.kind: the lease store `memory` is too near: each machine would lead for itself",
                "choose `etcd`, or set `leadership.enabled = false`",
            ],
        )],
    ),
    (
        "insecure = true\n[gossip]\nbind = '0.0.0.0:1'\nadvertise = '192.0.2.1:1'\nnode-id = 'a'\n\
         [leadership.store]\nkind = 'sqlite'\npath = 'leases'",
        &[(
            7,
            &[
                "the lease store `sqlite` is too near",
                "`leadership.enabled = false`",
            ],
        )],
    ),
    (
        "[log]\nformat = 'xml'\nfilter = 'info=loud=er'",
        &[
            (2, &["\"xml\" is not a choice", "text, json"]),
            (3, &["is not a filter", "write it like \"info\""]),
        ],
    ),
];

#[test]
fn each_fault_names_its_line_the_rule_and_the_remedy() {
    for (text, expected) in BAD {
        let Err(error) = load(text) else {
            panic!("nothing is said about\n{text}");
        };
        let report = error.to_string();
        assert_eq!(error.faults.len(), expected.len(), "{text}\n{report}");
        for (fault, (line, parts)) in error.faults.iter().zip(*expected) {
            let shown = fault.to_string();
            assert!(
                shown.contains(&format!(".toml:{line}: ")),
                "{text}\n{shown}"
            );
            for part in *parts {
                assert!(shown.contains(part), "{part:?} in\n{shown}");
            }
        }
    }
}

#[test]
fn all_faults_of_all_sources_are_in_one_report() {
    let text = "\
        [log]\n\
        formt = 'json'\n\
        [http]\n\
        address = 'nowhere'\n\
        [gossip]\n\
        seeds = ['no-port']\n\
        leave-interval = '2 parsecs'\n\
        [defaults.start]\n\
        attempt-timeout = '0s'\n\
        [components.mesh-gosip.start]\n\
        max-attempts = 2\n\
        [components.diagnostics.stop]\n\
        max-attempts = 0\n";
    let (_file, sources) = file(text);
    let sources = Sources {
        environment: vec![
            variable("GOSSIP__NODEID", "a"),
            variable("LOG__FORMAT", "xml"),
            ("UNRELATED".into(), "x".into()),
        ],
        flags: vec![flag("--diagnostics", "diagnostics.address", "0.0.0.0:1")],
        ..sources
    };
    let error = Config::load(&sources).expect_err("hardly anything is right");
    let lines = ["2", "4", "6", "7", "9", "10", "13"].map(|it| format!(".toml:{it}: "));
    let report = error.to_string();
    for place in lines.iter().map(String::as_str).chain([
        "environment CONTROL_PLANE_HOST__GOSSIP__NODEID: gossip.nodeid: there is no such key; did you mean \"node-id\"?",
        "environment CONTROL_PLANE_HOST__LOG__FORMAT: log.format: \"xml\" is not a choice",
        "flag --diagnostics: diagnostics.address: 0.0.0.0:1 can be reached",
    ]) {
        assert!(report.contains(place), "{place} in\n{report}");
    }
    assert_eq!(error.faults.len(), 10, "{report}");
    assert!(report.starts_with("the configuration has 10 faults; nothing was started"));
}

#[cfg(not(feature = "etcd"))]
#[test]
fn etcd_in_a_program_that_has_it_not_is_a_fault_that_says_so() {
    let text = "[leadership.store]\nkind = 'etcd'\nendpoints = ['http://127.0.0.1:1']";
    let report = load(text).unwrap_err().to_string();
    for part in [
        ":2: leadership.store.kind: this program was built without the lease store `etcd`",
        "build it with the feature `etcd`",
    ] {
        assert!(report.contains(part), "{part} in\n{report}");
    }
    let (file, _) = file(text);
    let output = command(&["--config", file.path().to_str().unwrap()]).output();
    assert_eq!(output.unwrap().status.code(), Some(78));
}

#[cfg(feature = "etcd")]
#[test]
fn what_is_said_about_etcd_is_checked_before_anything_is_connected_to() {
    let at = |rest: &str| load(&format!("[leadership.store]\nkind = 'etcd'\n{rest}"));
    assert!(at("endpoints = ['http://127.0.0.1:1']").is_ok());
    let report = |rest: &str| at(rest).unwrap_err().to_string();
    assert!(report("").contains(":2: leadership.store.endpoints: are missing"));
    let half = report("endpoints = ['https://127.0.0.1:1']\nkey = 'key.pem'");
    assert!(half.contains("leadership.store.ca: is missing"), "{half}");
    let login = |rest: &str| report(&format!("endpoints = ['http://127.0.0.1:1']\n{rest}"));
    for (rest, said) in [
        (
            "user = 'plane'",
            ":4: leadership.store.user: has no password; name both, or neither",
        ),
        (
            "user = 'plane'\npassword-env = 'NOBODY'",
            ":5: leadership.store.password-env: the variable NOBODY, which shall have the password, is not set",
        ),
        (
            "user = 'plane'\npassword-file = '/nowhere/password'",
            ":5: leadership.store.password-file: /nowhere/password: No such file",
        ),
    ] {
        let report = login(rest);
        assert!(report.contains(said), "{said} in\n{report}");
        assert!(report.contains("has 1 fault"), "{report}");
    }
    let far = report("endpoints = ['http://etcd:1']\nuser = 'plane'\npassword-env = 'NOBODY'");
    let clear = ":3: leadership.store.endpoints: the password would travel to http://etcd:1 in clear text; use `https`";
    assert!(far.contains(clear), "{far}");
}

#[cfg(feature = "etcd")]
#[test]
fn a_password_for_etcd_is_read_from_a_variable_and_shown_nowhere() {
    let mut sources = Sources::default();
    let set = |it: &str| format!("CONTROL_PLANE_HOST__LEADERSHIP__STORE__{it}");
    let values = [
        (set("KIND"), "etcd"),
        (set("ENDPOINTS"), "http://127.0.0.1:1"),
        (set("USER"), "plane"),
        (set("PASSWORD_ENV"), "ETCD_PASSWORD"),
        ("ETCD_PASSWORD".to_owned(), "correct horse"),
    ];
    sources.environment = values.map(|(name, it)| (name.into(), it.into())).into();
    let loaded = Config::load(&sources).expect("no fault");
    let shown = format!("{:?}{}", loaded.config, loaded.show());
    assert!(
        shown.contains("ETCD_PASSWORD") && !shown.contains("horse"),
        "{shown}"
    );
}

#[test]
fn leadership_takes_its_name_from_gossip_and_its_shards_from_tables() {
    let loaded = load(
        "[gossip]\nnode-id = 'a'\n\
         [leadership]\nscopes = ['reports']\nlease-duration = '6s'\n\
         [leadership.shards.shop]\nids = ['1', '2']\n",
    );
    let config = loaded.unwrap().config;
    let options = config.leadership_options();
    assert_eq!(options.node_id.as_deref(), Some("a"));
    let scopes = options.check().unwrap();
    let names: Vec<_> = scopes.iter().map(|it| it.as_str()).collect();
    assert_eq!(names, ["reports", "shard/shop/1", "shard/shop/2"]);
    let unnamed = load("").unwrap().config;
    let name = unnamed.leadership_options().node_id.unwrap();
    assert!(
        name.starts_with("mesh-") && name.ends_with("-17421"),
        "{name}"
    );
}

#[test]
fn what_is_configured_arrives_where_it_belongs() {
    let loaded = load(
        "service-name = 'plane'\n\
         [diagnostics]\naddress = '127.0.0.1:1'\n\
         [http]\nhosts = ['plane.local']\n\
         [gossip]\nnode-id = 'a'\ngossip-interval = '250ms'\nlabels = { zone = 'z1' }\n\
         [defaults]\nshutdown-timeout = '1m30s'\nstart = { max-attempts = 2 }\n\
         [components.\"Control-Plane:HTTP\".start]\n\
         max-attempts = 5\nbackoff = { fixed = '1s' }\nattempt-timeout = 'never'\n",
    );
    let config = loaded.unwrap().config;
    assert_eq!(config.service_name, "plane");
    assert_eq!(config.diagnostics.address.port(), 1);
    assert_eq!(config.http.address.port(), 9181, "the default");
    assert_eq!(config.http.hosts, ["plane.local"]);
    assert_eq!(config.gossip.options.labels["zone"], "z1");
    assert_eq!(config.defaults.shutdown_timeout, Nanos::from_secs(90));
    assert_eq!(config.defaults.start, Retry::attempts(2));
    let http = &config.components["Control-Plane:HTTP"].start;
    assert_eq!(http.max_attempts, Some(5));
    assert_eq!(http.backoff, Some(Backoff::Fixed(Nanos::from_secs(1))));
    let endpoint = config.gossip_options().endpoint;
    assert_eq!(endpoint.as_deref(), Some("http://127.0.0.1:9181"));
}

#[test]
fn what_follows_a_loss_a_drain_and_a_check_is_configured_by_file_variable_and_flag() {
    let text = "\
        [defaults]\n\
        settle = '5s'\n\
        restart = { budget = 9 }\n\
        [components.mesh-gossip.restart]\n\
        when = 'always'\nbackoff = { fixed = '1s' }\njitter = 'none'\n\
        [components.diagnostics.health-check]\n\
        every = '15s'\n";
    let (_file, sources) = file(text);
    let sources = Sources {
        environment: vec![
            variable("DEFAULTS__DRAIN_TIMEOUT", "20s"),
            variable("COMPONENTS__MESH_GOSSIP__RESTART__STABLE_PERIOD", "2m"),
            variable("COMPONENTS__DIAGNOSTICS__HEALTH_CHECK__MISSES", "1"),
        ],
        flags: vec![
            flag(
                "--set",
                "components.\"control-plane:http\".drain-timeout",
                "7s",
            ),
            flag("--set", "components.mesh-gossip.restart.window", "90s"),
        ],
        ..sources
    };
    let config = Config::load(&sources).unwrap().config;
    assert_eq!(config.defaults.settle, Nanos::from_secs(5));
    assert_eq!(config.defaults.drain_timeout, Nanos::from_secs(20));

    let mut builder = Orchestrator::builder();
    host::wire(&config, &mut builder).unwrap();
    let orchestrator = builder.build().unwrap();
    let plan = orchestrator.plan();
    let policies = |name| plan.policies(plan.find(name).unwrap());
    let gossip = &policies("mesh-gossip").restart;
    assert_eq!(gossip.when, RestartWhen::Always);
    assert_eq!(gossip.backoff, Backoff::Fixed(Nanos::from_secs(1)));
    assert_eq!((gossip.jitter, gossip.budget), (Jitter::None, 9));
    assert_eq!(gossip.window, Nanos::from_secs(90));
    assert_eq!(gossip.stable_period, Nanos::from_secs(120));
    let http = policies("control-plane:http");
    assert_eq!(http.drain_timeout, Nanos::from_secs(7));
    assert_eq!(
        (http.restart.when, http.restart.budget),
        (RestartWhen::OnFailure, 9)
    );
    assert_eq!(http.health_check, None);
    let check = HealthCheck::every(Nanos::from_secs(15)).with_misses(1);
    assert_eq!(policies("diagnostics").health_check, Some(check));
    assert_eq!(policies("mesh-gossip").drain_timeout, Nanos::from_secs(20));
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file_and_origins_are_shown() {
    let text = "[gossip]\nrole = 'file'\nregion = 'file'\ncluster-id = 'file'";
    let (_file, sources) = file(text);
    let sources = Sources {
        environment: vec![
            variable("GOSSIP__ROLE", "environment"),
            variable("GOSSIP__REGION", "environment"),
            variable("GOSSIP__SEEDS", "a:1, b:2"),
            variable("COMPONENTS__CONTROL_PLANE_HTTP__START__MAX_ATTEMPTS", "4"),
        ],
        flags: vec![flag("--set", "gossip.role", "flag")],
        ..sources
    };
    let loaded = Config::load(&sources).unwrap();
    let options = &loaded.config.gossip.options;
    assert_eq!(
        (&*options.role, &*options.region, &*options.cluster_id),
        ("flag", "environment", "file")
    );
    assert_eq!(options.seeds, ["a:1", "b:2"]);

    let shown = loaded.show();
    let squeezed: Vec<String> = shown
        .lines()
        .map(|it| it.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let has = |line: &str| assert!(squeezed.iter().any(|it| it == line), "{line} in\n{shown}");
    has("gossip.role = \"flag\" # flag --set");
    has("gossip.region = \"environment\" # environment CONTROL_PLANE_HOST__GOSSIP__REGION");
    has("http.address = \"127.0.0.1:9181\" # default");
    has(
        "components.\"control-plane:http\".start.max-attempts = 4 # environment CONTROL_PLANE_HOST__COMPONENTS__CONTROL_PLANE_HTTP__START__MAX_ATTEMPTS",
    );
    assert!(
        squeezed
            .iter()
            .any(|it| it.starts_with("gossip.cluster-id = \"file\"") && it.ends_with(".toml:4")),
        "{shown}"
    );
}

#[test]
fn what_is_shown_can_be_read_again() {
    let shown =
        load("[gossip]\nlabels = { zone = 'z1' }\n[components.diagnostics.stop]\ntotal = 'never'")
            .unwrap()
            .show();
    let again = load(&shown).unwrap();
    assert_eq!(again.config.gossip.options.labels["zone"], "z1");
    assert!(again.config.components["diagnostics"].stop.total.is_some());
}

#[test]
fn the_documented_example_is_good() {
    let page = include_str!("../../../../docs/control-plane-host.md");
    let (_, example) = page.split_once("```toml\n").expect("there is an example");
    let (example, _) = example.split_once("```").expect("it ends");
    let config = load(example).expect("it has no fault").config;
    assert_eq!(config.gossip.options.node_id.as_deref(), Some("plane-1"));
}

#[test]
fn the_program_says_78_for_configuration_and_64_for_usage_and_starts_nothing() {
    let (file, _) = file("[gossip]\nseed = []");
    let path = file.path().to_str().unwrap();
    for (arguments, code, said) in [
        (&["--config", path][..], 78, "did you mean \"seeds\"?"),
        (
            &["--config", path, "config", "check"],
            78,
            ":2: gossip.seed",
        ),
        (
            &["--config", "/does/not/exist.toml"],
            78,
            "cannot read /does/not/exist.toml",
        ),
        (&["--http", "nowhere"], 78, "flag --http: http.address"),
        (&["--frobnicate"], 64, "--frobnicate"),
        (&["config"], 64, "Usage"),
        (&["--set", "log"], 64, "KEY=VALUE"),
    ] {
        let output = command(arguments).output().unwrap();
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{errors}");
        assert!(errors.contains(said), "{said} in\n{errors}");
        assert!(!errors.contains("starting"), "{errors}");
    }
    for (arguments, said) in [
        (&["config", "check"][..], "the configuration is good"),
        (&["--no-gossip", "config", "show"], "gossip.enabled = false"),
        (&["--help"], "Usage"),
        (&["--version"], "control-plane-host"),
    ] {
        let output = command(arguments).output().unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(printed.contains(said), "{said} in\n{printed}");
    }
}

#[test]
fn the_reference_page_and_the_schema_are_those_of_the_program() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
    for (arguments, file) in [
        (
            &["config", "schema", "--markdown"][..],
            "control-plane-host-configuration.md",
        ),
        (
            &["config", "schema"],
            "schemas/control-plane-host.schema.json",
        ),
    ] {
        let output = command(arguments).output().unwrap();
        let written = std::fs::read_to_string(format!("{docs}/{file}")).unwrap();
        assert!(
            output.status.success() && output.stdout == written.as_bytes(),
            "write it anew: control-plane-host {} > docs/{file}",
            arguments.join(" ")
        );
    }
}

#[test]
fn an_empty_health_check_is_one_and_the_defaults_are_shown_beside_what_was_set() {
    let loaded = load("[components.diagnostics.health-check]\n[http]\nhosts = ['a']").unwrap();
    let check = loaded.config.components["diagnostics"].health_check.clone();
    assert_eq!(check, Some(HealthCheck::default()));
    let shown = loaded.show();
    for (key, origin) in [
        ("components.diagnostics.health-check.misses = 3 ", "default"),
        ("http.hosts = [\"a\"] ", ".toml:3"),
        ("defaults.shutdown-timeout = \"45s\" ", "default"),
    ] {
        let mut lines = shown.lines();
        let line = lines.find(|it| it.starts_with(key));
        assert!(
            line.is_some_and(|it| it.ends_with(origin)),
            "{key}\n{shown}"
        );
    }
}

#[test]
fn the_samples_on_the_page_of_this_host_are_good() {
    let page = include_str!("../../../../docs/control-plane-host.md");
    let samples: Vec<&str> = page.split("```toml\n").skip(1).collect();
    assert!(!samples.is_empty());
    for sample in samples {
        let (text, _) = sample.split_once("```").expect("an end");
        if let Err(error) = load(text) {
            panic!("{error}\nin\n{text}");
        }
    }
}
