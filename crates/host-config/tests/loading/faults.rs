//! Broken files, and every word that is said of them.

use host_config::load;

use crate::greeter::{Greeter, file, loaded};

/// Each kind of fault, with what is said of it.
const BROKEN: &[(&str, &[&str])] = &[
    // The document.
    (
        "greeting = ",
        &[
            "FILE:1: this is no TOML: string values must be quoted, expected literal string; mend this line; what follows from it may be reported too",
        ],
    ),
    (
        "greeting = 'a'\ngreeting = 'b'",
        &[
            "FILE:2: this is no TOML: duplicate key; mend this line; what follows from it may be reported too",
        ],
    ),
    // Keys.
    (
        "greting = 'a'",
        &["FILE:1: greting: there is no such key; did you mean \"greeting\"?"],
    ),
    (
        "[kinds]\nanything_else = 1",
        &[
            "FILE:2: kinds.anything_else: there is no such key; remove it, or use one of flag, labels, limit, some, time",
        ],
    ),
    (
        "log = 'loud'",
        &["FILE:1: log: expected a table; write it as a section, [log]"],
    ),
    (
        "doors = 3",
        &[
            "FILE:1: doors: expected named tables; write it as sections with a name each, [doors.NAME]",
        ],
    ),
    (
        "doors.a = 3",
        &["FILE:1: doors.a: expected a table; write it as a section, [doors.a]"],
    ),
    (
        "[parts.bel.start]\nmax-attempts = 2\n[parts.\"The:Bell\"]\n[parts.lmp]",
        &[
            "FILE:1: parts.bel: this host has no such part; remove it, or use one of the:bell, lamp",
            "FILE:4: parts.lmp: this host has no such part; did you mean \"lamp\"?",
        ],
    ),
    (
        "[parts.\"The:Bell\".start]\nmax-attempts = 2\n[parts.lamp]\n[parts.\" the:bell\"]\n[doors]",
        &[
            "FILE:4: parts.\" the:bell\": the same name is written \"The:Bell\" at FILE:1; write it in one way, so that all of it counts",
        ],
    ),
    (
        "[doors.a]\nwidth = 2\n[doors.b]",
        &[
            "FILE:1: doors.a.address: doors.a has no address; say address: where it is",
            "FILE:3: doors.b.address: doors.b has no address; say address: where it is",
        ],
    ),
    (
        "[doors.a]\naddress = '127.0.0.1:0'\n[doors.a.tls]\nkey = 'k.pem'",
        &[
            "FILE:4: doors.a.tls.certificate: doors.a.tls has no certificate; say certificate: the file with the certificate, and those between it and its CA",
        ],
    ),
    // Values.
    (
        "greeting = 3",
        &["FILE:1: greeting: expected a text, found 3; write it like \"name\""],
    ),
    (
        "greeting = { a = 1 }",
        &["FILE:1: greeting: expected a text, found a table; write it like \"name\""],
    ),
    (
        "kinds.flag = 'yes'",
        &["FILE:1: kinds.flag: expected true or false, found \"yes\"; write it like true"],
    ),
    (
        "[diagnostics]\naddress = 'localhost:1'\nhosts = 'a'",
        &[
            "FILE:2: diagnostics.address: \"localhost:1\" is not an IP address with a port; write it like \"127.0.0.1:8080\" or \"[::1]:8080\"; port 0 takes any free one",
            "FILE:3: diagnostics.hosts: expected a list of texts, found \"a\"; write it like [\"a\", \"b\"]",
        ],
    ),
    (
        "kill-timeout = '2 parsecs'\n[kinds]\ntime = '0s'\nlimit = 'soon'\nlabels = { a = 1 }",
        &[
            "FILE:1: kill-timeout: \"2 parsecs\" is not a duration; write a number with a unit, such as \"250ms\", \"10s\" or \"1m30s\"",
            "FILE:3: kinds.time: \"0s\" is out of range; use a positive duration of at most 365 days",
            "FILE:4: kinds.limit: \"soon\" is not a duration; write a number with a unit, such as \"250ms\", \"10s\" or \"1m30s\"",
            "FILE:5: kinds.labels: expected a table of texts, found a table; write it like { zone = \"z1\" }",
        ],
    ),
    (
        "[doors.a]\naddress = '127.0.0.1:0'\nwidth = 0\ncriticality = 'high'\n[doors.b]\naddress = '127.0.0.1:0'\nwidth = 'wide'",
        &[
            "FILE:3: doors.a.width: 0 is out of range; use a whole number from 1 to 4294967295",
            "FILE:4: doors.a.criticality: \"high\" is not a choice; use one of essential, degradable, optional",
            "FILE:7: doors.b.width: expected a whole number, found \"wide\"; write it like 3",
        ],
    ),
    (
        "kinds.some = []",
        &["FILE:1: kinds.some: the list is empty; leave it out, or use some of small, large"],
    ),
    (
        "kinds.some = ['small', 'small']",
        &["FILE:1: kinds.some: \"small\" is there twice; name it once"],
    ),
    (
        "log.filter = 'info=loud=er'",
        &[
            "FILE:1: log.filter: \"info=loud=er\" is not a filter: error parsing level filter: expected one of \"off\", \"error\", \"warn\", \"info\", \"debug\", \"trace\", or a number 0-5; write it like \"info\" or \"info,lifecycle=debug\"",
        ],
    ),
    (
        "parts.lamp.start.backoff = { fixd = '1s' }",
        &[
            "FILE:1: parts.lamp.start.backoff: this is no back-off: unknown variant `fixd`, expected one of `none`, `fixed`, `exponential`; use \"none\", { fixed = \"1s\" } or { exponential = { initial = \"100ms\", factor = 2.0, cap = \"30s\" } }",
        ],
    ),
    // What values say together.
    (
        "[diagnostics]\naddress = '127.0.0.1:7'\n[doors.a]\naddress = '0.0.0.0:7'",
        &[
            "FILE:4: doors.a.address: 0.0.0.0:7 can be reached from other machines, and nothing there asks for credentials; use a loopback address, lock it, or set `insecure = true` on a network that you trust",
            "FILE:4: doors.a.address: the port is that of diagnostics.address too (127.0.0.1:7, 0.0.0.0:7); give each listener a port of its own",
        ],
    ),
    (
        "[defaults]\nforce-timeout = '0s'\n[parts.\"the:bell\".stop]\nmax-attempts = 0\n[doors.a]\naddress = '127.0.0.1:0'\nrestart = { when = 'never', budget = 3 }",
        &[
            "FILE:2: defaults.force-timeout: force-timeout is 0; use a positive duration, or \"never\" where it is allowed",
            "FILE:4: parts.\"the:bell\".stop.max-attempts: max-attempts is 0; it counts the first attempt, so use 1 for no retry",
            "FILE:7: doors.a.restart.when: a back-off or a budget is set although when is \"never\"; drop it, or restart on failure",
        ],
    ),
    (
        "[gossip]\nregion = 'here'\ngossip-interval = '5s'",
        &["FILE:3: gossip.suspicion-interval: is too short; make it longer"],
    ),
];

#[test]
fn each_kind_of_fault_names_its_line_its_key_the_rule_and_the_remedy() {
    for (text, expected) in BROKEN {
        let (file, sources) = file(text);
        let Err(error) = load::<Greeter>(&sources) else {
            panic!("nothing is said of\n{text}");
        };
        let path = file.path().display().to_string();
        let said = error.faults.iter();
        let said: Vec<_> = said
            .map(|it| it.to_string().replace(&path, "FILE"))
            .collect();
        assert_eq!(said, *expected, "of\n{text}");
    }
}

#[test]
fn a_report_begins_with_the_number_of_faults_and_has_one_a_line() {
    let error = loaded("a = 1\nb = 2").expect_err("two unknown keys");
    let text = error.to_string();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("the configuration has 2 faults; nothing was started")
    );
    assert!(lines.all(|it| it.starts_with("  /")), "{text}");
    let error = loaded("a = 1").expect_err("an unknown key");
    assert!(
        error
            .to_string()
            .starts_with("the configuration has 1 fault;")
    );
}

#[test]
fn what_could_not_be_read_is_not_blamed_for_what_it_does_not_say() {
    let error = loaded("[gossip]\nsuspicion-interval = 5\ngossip-interval = '5s'");
    assert_eq!(error.expect_err("no duration").faults.len(), 1);
}
