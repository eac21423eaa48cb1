//! Bad input: where it is, which rule it breaks, what to do; and what good input comes to.

use std::io::{BufRead as _, BufReader};
use std::process::{Output, Stdio};

use crate::kit::{Program, curl, file, path, program, run};

/// What `config check` says of `text`, without the name of the file.
fn faults_of(text: &str) -> String {
    let file = file(text);
    let output = program(&["config", "check", "--config", path(&file)]).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(78), "{output:?}");
    assert_eq!(output.stdout, b"");
    text_of(&output.stderr).replace(path(&file), "FILE")
}

fn text_of(output: &[u8]) -> String {
    String::from_utf8(output.to_vec()).expect("text")
}

fn ask(arguments: &[&str]) -> Output {
    program(arguments).output().expect("it runs")
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let noun = if expected.len() == 1 {
        "fault"
    } else {
        "faults"
    };
    let count = expected.len();
    let head = format!("error: the configuration has {count} {noun}; nothing was started\n");
    let lines = expected.iter().map(|it| format!("  {it}\n"));
    assert_eq!(faults_of(text), head + &lines.collect::<String>());
}

/// An inbound that is in order.
const INBOUND: &str = "[http-inbounds.0]\naddress = '127.0.0.1:0'\n";

/// Broken files, each with what is said of it.
const BROKEN: &[(&str, &[&str])] = &[
    (
        "echo = ",
        &[
            "FILE:1: this is no TOML: string values must be quoted, expected literal string; mend this line; what follows from it may be reported too",
        ],
    ),
    (
        "echo = true",
        &[
            "FILE:1: there is no inbound, so that no call can come in; add a section [http-inbounds.0] or [grpc-inbounds.0] with an address",
        ],
    ),
    (
        "[http-inbound.0]\naddress = '127.0.0.1:0'",
        &["FILE:1: http-inbound: there is no such key; did you mean \"http-inbounds\"?"],
    ),
    (
        "[http-inbounds.0]\nbody_bytes = 5\nkeep-alive = '2 parsecs'",
        &[
            "FILE:1: http-inbounds.0.address: http-inbounds.0 has no address; say address: where it listens; port 0 takes any free one",
            "FILE:2: http-inbounds.0.body_bytes: there is no such key; did you mean \"body-bytes\"?",
            "FILE:3: http-inbounds.0.keep-alive: \"2 parsecs\" is not a duration; write a number with a unit, such as \"250ms\", \"10s\" or \"1m30s\"",
        ],
    ),
    (
        "[http-inbounds.0]\naddress = '0.0.0.0:80'\n[grpc-inbounds.0]\naddress = 'localhost:81'",
        &[
            "FILE:2: http-inbounds.0.address: 0.0.0.0:80 can be reached from other machines, and nothing there asks for credentials; use a loopback address, ask clients for certificates by `tls.client-ca`, or set `insecure = true` on a network that you trust",
            "FILE:4: grpc-inbounds.0.address: \"localhost:81\" is not an IP address with a port; write it like \"127.0.0.1:8080\" or \"[::1]:8080\"; port 0 takes any free one",
        ],
    ),
    (
        "[http-inbounds.a]\naddress = '127.0.0.1:7000'\n[http-inbounds.A]\naddress = '127.0.0.1:7000'",
        &[
            "FILE:1: http-inbounds.a: http-inbounds.A is \"http-inbound:a\" too; rename one of them; case does not count",
            "FILE:2: http-inbounds.a.address: the port is that of http-inbounds.A.address too (127.0.0.1:7000, 127.0.0.1:7000); give each listener a port of its own",
        ],
    ),
    (
        "http-inbounds.0.address = '127.0.0.1:0'\n[outbounds.a]\nprotocol = 'http'\naddress = 'ftp://a/'\nchooser = 'fewest-pending'\nshapes = ['unary', 'duplex']\n[outbounds.b]\nprotocol = 'grpc'\naddress = 'b'",
        &[
            "FILE:4: outbounds.a.address: the upstream's scheme is \"ftp\"; only \"http\" and \"https\" can be called",
            "FILE:5: outbounds.a.chooser: an outbound over HTTP has one upstream, no circuit, and no compression; drop it, or use protocol = \"grpc\"",
            "FILE:6: outbounds.a.shapes: there are no duplex calls over HTTP; drop it, or use protocol = \"grpc\"",
            "FILE:9: outbounds.b.address: the upstream is no host with a port, such as \"127.0.0.1:9090\"",
        ],
    ),
    (
        "http-inbounds.0.address = '127.0.0.1:0'\n[outbounds.a]\nprotocol = 'htpp'\n[outbounds.b]\naddress = 'b:1'\n[relays.c]\nunary = ['x']",
        &[
            "FILE:2: outbounds.a.address: outbounds.a has no address; say address: where it leads: a URL `http://host:port/path` or `https://host:port/path` for `http` and `http2`, `host:port` for `grpc`; or peers-from, for `grpc`",
            "FILE:3: outbounds.a.protocol: \"htpp\" is not a choice; use one of http, http2, grpc",
            "FILE:4: outbounds.b.protocol: outbounds.b has no protocol; say protocol: HTTP/1.1, HTTP/2, or gRPC",
        ],
    ),
    (
        "echo = true\nhttp-inbounds.0.address = '127.0.0.1:0'\n[outbounds.billing]\nprotocol = 'http'\naddress = 'http://a/'\n[relays.biling]\nunary = ['Echo', ' ']\nduplex = ['x']\n[relays.none]\nservice = 'billing'",
        &[
            "FILE:7: relays.biling.unary: a relay needs the outbound \"biling:default:unary\", which there is not; did you mean \"billing:default:unary\"?",
            "FILE:7: relays.biling.unary: the unary procedure \"Echo\" is that of echo too; drop one of them",
            "FILE:7: relays.biling.unary: a procedure has no name; name it, or drop it",
            "FILE:8: relays.biling.duplex: a relay needs the outbound \"biling:default:duplex\", which there is not; did you mean \"billing:default:unary\"?",
            "FILE:9: relays.none: the relay has no procedure; name some, such as unary = [\"name::*\"]",
        ],
    ),
    (
        "http-inbounds.0.address = '127.0.0.1:0'\n[http-inbounds.0.start]\nmax-attempts = 0\n[defaults.stop]\nattempt-timeout = '10s'\ntotal = '5s'",
        &[
            "FILE:3: http-inbounds.0.start.max-attempts: max-attempts is 0; it counts the first attempt, so use 1 for no retry",
            "FILE:6: defaults.stop.total: total (5s) is shorter than attempt-timeout (10s); raise total or lower attempt-timeout",
        ],
    ),
    (
        "http-inbounds.0.address = '127.0.0.1:0'\n[grpc-inbounds.0]\naddress = '127.0.0.1:0'\nadvertise = 'a:1'\n[outbounds.a]\nprotocol = 'grpc'\npeers-from = 'gossip'\n[outbounds.b]\nprotocol = 'http'\naddress = 'http://b/'\npeers-from = 'gossip'\n[outbounds.c]\nprotocol = 'grpc'\npeers-from = 'dns'",
        &[
            "FILE:4: grpc-inbounds.0.advertise: there is no gossip; add a section [gossip], or drop it",
            "FILE:7: outbounds.a.peers-from: there is no gossip; add a section [gossip], or drop it",
            "FILE:11: outbounds.b.peers-from: an outbound over HTTP has one upstream, no circuit, and no compression; drop it, or use protocol = \"grpc\"",
            "FILE:14: outbounds.c.peers-from: \"dns\" is not a choice; use one of gossip",
        ],
    ),
    (
        "insecure = true\n[grpc-inbounds.a]\naddress = '0.0.0.0:0'\n[grpc-inbounds.b]\naddress = '127.0.0.1:0'\nadvertise = '0.0.0.0:1'\n[gossip]\nbind = '0.0.0.0:17422'\nseeds = ['a']\ngossip-interval = '1ms'\nrole = ' '\nnode-id = 'a'",
        &[
            "FILE:2: grpc-inbounds.a.advertise: grpc-inbounds.a does not say it, and other nodes cannot call 0.0.0.0; say the `host:port` under which they reach it",
            "FILE:6: grpc-inbounds.b.advertise: this is no place that other nodes can call; write a name or an IP address and a port, IPv6 in brackets; port 0 stands for the one that was taken",
            "FILE:8: gossip.advertise: is unset, and peers cannot send to 0.0.0.0; set the address at which peers reach this node",
            "FILE:9: gossip.seeds: holds \"a\", which is not `host:port`; write a name or an IP address and a port from 1 to 65535, IPv6 in brackets",
            "FILE:10: gossip.gossip-interval: is 1ms; choose from 10ms to 60s; 1s suits most networks",
            "FILE:11: gossip.role: is blank; use 1 to 128 bytes of printable characters",
        ],
    ),
    (
        "http-inbounds.0.address = '127.0.0.1:0'\n[diagnostics]\naddress = '0.0.0.0:9182'\ntokens = '/nowhere/tokens'\nopen-metrics = 'no'",
        &[
            "FILE:3: diagnostics.address: 0.0.0.0:9182 can be reached from other machines, and tokens travel there in clear text; serve it over TLS (diagnostics.tls), use a loopback address, or set `insecure = true` on a network that you trust",
            "FILE:4: diagnostics.tokens: cannot read the tokens in /nowhere/tokens: No such file or directory (os error 2)",
            "FILE:5: diagnostics.open-metrics: expected true or false, found \"no\"; write it like true",
        ],
    ),
    (
        "http-inbounds.0.address = '127.0.0.1:0'\n[diagnostics]\ntokens-env = 'SET_BY_NOBODY'\nclient-scopes = { a = 'mesh.read' }",
        &[
            "FILE:3: diagnostics.tokens-env: the variable SET_BY_NOBODY, which shall have tokens, is not set; set it to `name scope token`",
            "FILE:4: diagnostics.client-scopes: certificates are good for something, and no client is asked for one; name the CA of clients by diagnostics.tls.client-ca",
        ],
    ),
    (
        "http-inbounds.0.address = '127.0.0.1:0'\n[diagnostics]\ntokens = '/nowhere/tokens'\ntokens-env = 'A'\n[diagnostics.tls]\ncertificate = '/nowhere/a'\nkey = '/nowhere/b'\nclient-ca = '/nowhere/c'",
        &[
            "FILE:3: diagnostics.tokens: cannot read the tokens in /nowhere/tokens: No such file or directory (os error 2)",
            "FILE:4: diagnostics.tokens-env: the tokens are in a file already (diagnostics.tokens); name a file or a variable, not both",
            "FILE:6: diagnostics.client-scopes: clients may show certificates, and none is good for anything; say what names in them are good for, as in `\"*\" = \"mesh.read\"`",
            "FILE:6: diagnostics.tls.certificate: the certificate (/nowhere/a) cannot be read: No such file or directory (os error 2); name a file that is there and that this process may read",
            "FILE:7: diagnostics.tls.key: the key (/nowhere/b) cannot be read: No such file or directory (os error 2); name a file that is there and that this process may read",
            "FILE:8: diagnostics.tls.client-ca: the CA (/nowhere/c) cannot be read: No such file or directory (os error 2); name a file that is there and that this process may read",
        ],
    ),
    (
        "grpc-inbounds.0.address = '127.0.0.1:0'\n[gossip]\nbind = '192.0.2.1:1'\nnode-id = 'a'",
        &[
            "FILE:3: gossip.bind: 192.0.2.1:1 can be reached from other machines, while there are no keys to seal gossip with: whoever reaches the port can invent members and dismiss real ones; give every node the same file of keys (`keys-file`), bind to a loopback address, or set `insecure = true` on a network that you trust",
        ],
    ),
    (
        "grpc-inbounds.0.address = '127.0.0.1:0'\n[gossip]\nkeys-env = 'SET_BY_NOBODY'",
        &[
            "FILE:3: gossip.keys-env: names the variable SET_BY_NOBODY, which is not set; set it to `id:key`; `openssl rand -hex 32` makes a key",
        ],
    ),
    (
        "service = ''\nhttp-inbounds = '127.0.0.1:80'\ndiagnostics = 'here'\n[log]\nformat = 'xml'",
        &[
            "FILE:1: service: the service has no name; give it one",
            "FILE:2: http-inbounds: expected named tables; write it as sections with a name each, [http-inbounds.NAME]",
            "FILE:3: diagnostics: expected a table; write it as a section, [diagnostics]",
            "FILE:5: log.format: \"xml\" is not a choice; use one of text, json",
        ],
    ),
    (
        "http-inbounds.0.address = '127.0.0.1:0'\n[middleware.deadlines]\ndefault = '1m'\nlongest = '30s'\n[middleware.rate-limit]\n[middleware.logging]\nenabled = 'yes'\n[middleware.metric]\n[middleware.tracing]\nsampled-percent = 101",
        &[
            "FILE:3: middleware.deadlines.default: the default (60s) is longer than the longest (30s); lower the one, or raise the other",
            "FILE:5: middleware.rate-limit.calls: middleware.rate-limit has no calls; say calls: how many may begin in that time",
            "FILE:7: middleware.logging.enabled: expected true or false, found \"yes\"; write it like true",
            "FILE:8: middleware.metric: there is no such key; did you mean \"metrics\"?",
            "FILE:10: middleware.tracing.sampled-percent: 101 is out of range; use a whole number from 0 to 100",
        ],
    ),
    (
        "http-inbounds.0.address = '127.0.0.1:0'\n[outbounds.a]\nprotocol = 'http'\naddress = 'http://a/'\n[outbounds.a.retries]\nattempts = 0\nbackoff = { exponential = { initial = '2s', factor = 0.5, cap = '1s' } }\ncodes = ['UNAVAILABLE']\n[outbounds.a.concurrency-limit]\ncalls = 0\n[relays.a]\nunary = ['x']\ndeadlines = { default = '2s', longest = '1s' }",
        &[
            "FILE:6: outbounds.a.retries.attempts: 0 is out of range; use a whole number from 1 to 4294967295",
            "FILE:7: outbounds.a.retries.backoff: back-off factor is 0.5; use a number of at least 1",
            "FILE:7: outbounds.a.retries.backoff: back-off cap (1s) is below its initial delay (2s); raise the cap or lower the initial delay",
            "FILE:8: outbounds.a.retries.codes: \"UNAVAILABLE\" is not a choice; use one of UNKNOWN, CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, NOT_FOUND, ALREADY_EXISTS, PERMISSION_DENIED, RESOURCE_EXHAUSTED, FAILED_PRECONDITION, ABORTED, OUT_OF_RANGE, UNIMPLEMENTED, INTERNAL, DATA_LOSS",
            "FILE:10: outbounds.a.concurrency-limit.calls: 0 is out of range; use a whole number from 1 to 4294967295",
            "FILE:13: relays.a.deadlines.default: the default (2s) is longer than the longest (1s); lower the one, or raise the other",
        ],
    ),
];

#[test]
fn every_fault_of_a_broken_file_is_told_with_its_line_and_its_remedy() {
    for (text, expected) in BROKEN {
        check(text, expected);
    }
}

#[test]
fn a_service_that_gossip_cannot_tell_of_is_a_fault_and_an_empty_section_is_gossip() {
    let text = format!("service = '{}'\n{INBOUND}[gossip]\n", "x".repeat(129));
    check(
        &text,
        &[&format!(
            "FILE:1: service: the name of the service \"{}\" has 129 bytes, more than 128; use 1 to 128 bytes of printable characters",
            "x".repeat(129)
        )],
    );
    let file = file(&format!("{INBOUND}[gossip]\n"));
    let shown = ask(&["config", "show", "--config", path(&file)]);
    let shown = text_of(&shown.stdout).replace(path(&file), "FILE");
    let line = |key: &str| {
        let line = shown.lines().find(|it| it.starts_with(key));
        line.unwrap_or_else(|| panic!("{key} in {shown}"))
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(line("gossip.enabled"), "gossip.enabled = true # FILE:3");
    let bind = "gossip.bind = \"127.0.0.1:17422\" # default";
    assert_eq!(line("gossip.bind"), bind);
}

#[test]
fn contract_10_a_key_occurs_once_for_a_service_and_a_shape_in_the_configuration() {
    let outbounds = "[outbounds.billing]\nprotocol = 'http'\naddress = 'http://a/'\n[outbounds.other]\nservice = ' Billing'\n\
                     key = ' DEFAULT '\nprotocol = 'grpc'\naddress = 'a:1'\n";
    let text = format!("{INBOUND}{outbounds}");
    check(
        &text,
        &[
            "FILE:8: outbounds.other.key: outbounds.billing is \"Billing:DEFAULT:unary\" too; give one of them another key",
        ],
    );
    // Other shapes of the same key are another matter.
    let apart = format!("{text}shapes = ['duplex']\n");
    let file = file(&apart);
    let good = ask(&["config", "check", "--config", path(&file)]);
    assert_eq!(
        text_of(&good.stdout),
        "the configuration is good\n",
        "{good:?}"
    );
}

#[test]
fn faults_of_variables_and_flags_are_told_by_their_names_and_a_missing_file_is_one() {
    let mut command = program(&[
        "config",
        "check",
        "--http",
        "here",
        "--set",
        "outbounds.a.time=1s",
    ]);
    let output = command
        .env("DISPATCHER__HTTP_INBOUNDS__0__BODY_BYTES", "none")
        .output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        text_of(&output.stderr),
        "error: the configuration has 3 faults; nothing was started\n  \
         environment DISPATCHER__HTTP_INBOUNDS__0__BODY_BYTES: http-inbounds.0.body-bytes: expected a whole number, found \"none\"; \
         write it like 3\n  \
         flag --http: http-inbounds.0.address: \"here\" is not an IP address with a port; write it like \"127.0.0.1:8080\" or \
         \"[::1]:8080\"; port 0 takes any free one\n  \
         flag --set: outbounds.a.time: there is no such key; did you mean \"timeout\"?\n"
    );
    let output = ask(&["--config", "/nowhere/a.toml"]);
    assert_eq!(output.status.code(), Some(78));
    let said = text_of(&output.stderr);
    assert!(
        said.contains("flag --config: cannot read /nowhere/a.toml"),
        "{said}"
    );
}

#[test]
fn every_value_is_shown_with_its_origin() {
    let text = format!(
        "{INBOUND}[outbounds.eu-billing]\nprotocol = 'http'\naddress = 'http://a/'\nretries = {{}}\n"
    );
    let file = file(&text);
    let mut command = program(&[
        "config",
        "show",
        "--config",
        path(&file),
        "--set",
        "gate=open",
        "--set",
        "middleware.rate-limit.calls=9",
    ]);
    let output = command
        .env("DISPATCHER__OUTBOUNDS__EU_BILLING__TIMEOUT", "5s")
        .output();
    let shown = text_of(&output.expect("it runs").stdout);
    let lines: Vec<_> = shown
        .lines()
        .map(|it| it.split_once("  #").expect("an origin"))
        .collect();
    let line = |key: &str| {
        let mut lines = lines.iter().filter(|(it, _)| it.starts_with(key));
        let (value, origin) = lines.next().unwrap_or_else(|| panic!("{key} in {shown}"));
        format!(
            "{} #{}",
            value.trim_end(),
            origin.replace(path(&file), "FILE")
        )
    };
    for expected in [
        "echo = false # default",
        "gate = \"open\" # flag --set",
        "defaults.shutdown-timeout = \"45s\" # default",
        "http-inbounds.0.address = \"127.0.0.1:0\" # FILE:2",
        "http-inbounds.0.limits.streams = 256 # default",
        "middleware.logging.quiet = true # default",
        "middleware.rate-limit.calls = 9 # flag --set",
        "middleware.rate-limit.per = \"second\" # default",
        "outbounds.eu-billing.retries.attempts = 3 # default",
        "outbounds.eu-billing.idle-timeout = \"5s\" # default",
        "outbounds.eu-billing.protocol = \"http\" # FILE:4",
        "outbounds.eu-billing.service = \"eu-billing\" # default",
        "outbounds.eu-billing.timeout = \"5s\" # environment DISPATCHER__OUTBOUNDS__EU_BILLING__TIMEOUT",
    ] {
        let key = expected.split_once('=').expect("a value").0;
        assert_eq!(line(key), expected);
    }
    // What is shown is a configuration.
    let again = crate::kit::file(&shown);
    let good = ask(&["config", "check", "--config", path(&again)]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
}

#[test]
fn the_reference_page_and_the_schema_are_those_of_the_program() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs");
    for (arguments, file) in [
        (
            &["config", "schema", "--markdown"][..],
            "dispatcher-configuration.md",
        ),
        (&["config", "schema"], "schemas/dispatcher.schema.json"),
    ] {
        let written = std::fs::read_to_string(format!("{docs}/{file}")).expect("it is there");
        assert!(
            text_of(&ask(arguments).stdout) == written,
            "write it anew: dispatcher {} > docs/{file}",
            arguments.join(" ")
        );
    }
    let schema = text_of(&ask(&["config", "schema"]).stdout);
    let schema: serde_json::Value = serde_json::from_str(&schema).expect("JSON");
    let outbound = &schema["properties"]["outbounds"]["additionalProperties"];
    assert_eq!(outbound["required"], serde_json::json!(["protocol"]));
    let chooser = &outbound["properties"]["chooser"]["enum"][0];
    assert_eq!(chooser, "round-robin");
    assert_eq!(schema["properties"]["service"]["default"], "dispatcher");
}

#[test]
fn the_example_of_the_page_is_good_and_relays_what_it_says() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dispatcher.md");
    let page = std::fs::read_to_string(page).expect("the page is there");
    let (_, example) = page.split_once("```toml\n").expect("an example");
    let (example, _) = example.split_once("```").expect("its end");
    let file = file(example);
    let good = ask(&["config", "check", "--config", path(&file)]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    let flags = ["--http", "127.0.0.1:0", "--diagnostics", "127.0.0.1:0"];
    let (_program, urls) = run(&[&["--config", path(&file)], &flags[..]].concat(), 2);
    let document = curl(&format!("{}/omnirelay/introspect", urls[0].1), &[]);
    assert!(document.contains("\"name\": \"billing::*\""), "{document}");
    assert!(!document.contains("\"swallow\""), "{document}");
}

#[test]
fn contract_09_and_b16_what_the_file_says_of_outbounds_and_policies_is_what_runs() {
    let file = file(
        r#"
            [diagnostics]
            address = "127.0.0.1:0"
            [http-inbounds.0]
            address = "127.0.0.1:0"
            [outbounds.billing]
            protocol = "grpc"
            address = "127.0.0.1:1"
            key = "eu"
            shapes = ["oneway", "unary"]
            criticality = "optional"
        "#,
    );
    let (_program, urls) = run(&["--config", path(&file)], 2);
    let snapshot = curl(&format!("{}/control/lifecycle", urls[1].1), &[]);
    let (snapshot, _) = snapshot.rsplit_once('\n').expect("a status");
    let snapshot: serde_json::Value = serde_json::from_str(snapshot).expect("JSON");
    let components = snapshot["components"].as_array().expect("components");
    let mut named = components
        .iter()
        .filter(|it| it["name"] == "billing:eu:unary");
    let billing = named.next().unwrap_or_else(|| panic!("{snapshot:#}"));
    assert_eq!(billing["criticality"], "optional");
    assert_eq!(billing["state"], "running");
}

#[test]
fn contract_46_and_b09_a_port_in_use_is_tried_as_often_as_the_file_says_and_each_failure_is_logged()
{
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let file = file(&format!(
        r#"
            [diagnostics]
            address = "127.0.0.1:0"
            [http-inbounds.0]
            address = "{address}"
            [http-inbounds.0.start]
            max-attempts = 3
            backoff = {{ fixed = "1ms" }}
        "#
    ));
    let output = ask(&["--config", path(&file), "--log-format", "json"]);
    assert_eq!(output.status.code(), Some(70));
    let said = text_of(&output.stderr);
    for (event, times) in [
        ("component.start_failed", 3),
        ("component.retry_scheduled", 2),
        ("component.faulted", 1),
        ("host.starting", 1),
        ("host.started", 0),
        ("host.stopping", 1),
        ("host.stopped", 1),
    ] {
        let event = format!("\"event\":\"{event}\"");
        assert_eq!(said.matches(&event).count(), times, "{event} in {said}");
    }
    let mut lines = said
        .lines()
        .filter(|it| it.contains("component.retry_scheduled"));
    let retry = lines.next().expect("a line");
    let retry: serde_json::Value = serde_json::from_str(retry).expect("JSON");
    assert_eq!(retry["fields"]["component"], "http-inbound:0");
    assert_eq!(retry["fields"]["attempt"], 1);
    assert!(said.contains("\"message\":\"host failed\""), "{said}");
}

#[test]
fn contract_46_the_host_logs_its_own_four_with_the_name_of_the_service() {
    let ports = ["--http", "--grpc", "--diagnostics"].map(|it| [it, "127.0.0.1:0"]);
    let options = ["--log-format", "json", "--set", "service=shop"];
    let mut command = program(&[&ports.concat()[..], &options].concat());
    let child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut shop = Program(child.expect("it runs"));
    let log = shop.0.stderr.take().expect("it is piped");
    let mut told = Vec::new();
    for line in BufReader::new(log).lines() {
        let line: serde_json::Value = serde_json::from_str(&line.expect("text")).expect("JSON");
        let fields = &line["fields"];
        if fields["service"] != "shop" {
            continue;
        }
        told.push(fields["event"].as_str().expect("an event").to_owned());
        if told.len() == 2 {
            shop.terminate();
        }
    }
    assert_eq!(
        told,
        [
            "host.starting",
            "host.started",
            "host.stopping",
            "host.stopped"
        ]
    );
    assert_eq!(shop.0.wait().expect("it ends").code(), Some(0));
}
