//! The program, asked by `curl`.

mod access;
#[path = "../../../lifecycle-adapters/tests/adapters/certificates.rs"]
mod certificates;
#[expect(dead_code, reason = "other tests ask more of it")]
#[path = "../../../lifecycle-adapters/tests/adapters/collector.rs"]
mod collector;
mod configuration;
mod drain;
mod kit;
mod middleware;
mod peers;
mod relays;
mod shipped;
mod tls;
mod traces;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use crate::kit::{PORTS, curl, program, started};

#[test]
fn it_echoes_to_curl_over_both_versions_and_ends_cleanly_on_sigterm() {
    let (mut program, url, _) = started();
    let call = ["-H", "Rpc-Procedure: echo", "-d", "hello"];
    assert_eq!(curl(&url, &call), "hello\n200 1.1");
    let call = [&call[..], &["--http2-prior-knowledge"]].concat();
    assert_eq!(curl(&url, &call), "hello\n200 2");
    let call = ["-H", "Rpc-Procedure: swallow", "-d", "hello"];
    assert_eq!(curl(&url, &call), "\n202 1.1");
    let call = ["-H", "Rpc-Procedure: nothing", "-d", ""];
    let answer = curl(&url, &call);
    assert!(answer.contains("\"status\":\"UNIMPLEMENTED\""), "{answer}");
    assert!(answer.ends_with("\n501 1.1"), "{answer}");

    program.terminate();
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
}

#[test]
fn it_counts_to_curl_by_events() {
    let (_program, url, _) = started();
    let events = [
        "-H",
        "Rpc-Procedure: count",
        "-H",
        "Accept: text/event-stream",
    ];
    let three = "data: 1\n\ndata: 2\n\ndata: 3\n\n";
    let posted = [&events[..], &["-d", "3"]].concat();
    assert_eq!(curl(&url, &posted), format!("{three}\n200 1.1"));
    let posted = [&posted[..], &["--http2-prior-knowledge"]].concat();
    assert_eq!(curl(&url, &posted), format!("{three}\n200 2"));
    let got = curl(&url, &events);
    assert!(got.starts_with(three), "{got}");
    assert!(got.ends_with("data: 10\n\n\n200 1.1"), "{got}");
    let refused = curl(&url, &[&events[..], &["-d", "many"]].concat());
    assert!(refused.ends_with("\n400 1.1"), "{refused}");
    let refused = curl(&url, &["-H", "Rpc-Procedure: count"]);
    assert!(refused.ends_with("\n406 1.1"), "{refused}");
}

#[test]
fn what_it_refuses_it_refuses_to_curl_with_status_and_reason() {
    let (_program, url, _) = started();
    let large = format!("{}/large-message", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&large, vec![b'x'; (1 << 20) + 1]).expect("a file");
    let (large, filler) = (
        format!("@{large}"),
        format!("X-Filler: {}", "x".repeat(40_000)),
    );
    const ECHO: &str = "Rpc-Procedure: echo";
    for (arguments, said, status) in [
        (&["-d", "x"][..], "dispatcher.procedure.missing", 400),
        (
            &["-d", "x", "-H", "Rpc-Procedure: other"],
            "dispatcher.procedure.unknown",
            501,
        ),
        (
            &["-d", "x", "-H", ECHO, "-H", "Rpc-Ttl-Ms: soon"],
            "dispatcher.http.header_invalid",
            400,
        ),
        (
            &["-d", "x", "-H", ECHO, "-H", ECHO],
            "dispatcher.http.header_invalid",
            400,
        ),
        (
            &["-d", "x", "-H", ECHO, "-H", "Rpc-Ttl-Ms: 0"],
            "DEADLINE_EXCEEDED",
            504,
        ),
        (
            &["--data-binary", &large, "-H", ECHO],
            "larger than 1048576 bytes",
            429,
        ),
        (&["-X", "PUT", "-H", ECHO], "calls are made with POST", 405),
        (&["-d", "x", "-H", ECHO, "-H", &filler], "", 431),
    ] {
        let answer = curl(&url, arguments);
        assert!(answer.contains(said), "{said}: {answer}");
        assert!(answer.ends_with(&format!("\n{status} 1.1")), "{answer}");
    }
    assert_eq!(curl(&url, &["-H", ECHO, "-d", "x"]), "x\n200 1.1");
}

#[test]
fn on_sigterm_an_open_call_finishes_while_curl_is_refused() {
    let (mut program, url, _) = started();
    let address = url.strip_prefix("http://").expect("a URL");
    let mut open = TcpStream::connect(address).expect("it listens");
    let head = "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: echo\r\nContent-Length: 5\r\n\r\nhe";
    open.write_all(head.as_bytes()).expect("it reads");
    // Another call has been answered since: so this one has begun.
    let call = ["-H", "Rpc-Procedure: echo", "-d", "x"];
    while !curl(&format!("{url}/healthz"), &[]).contains("\"activeRequests\": 1") {}
    program.terminate();
    let refused = loop {
        let answer = curl(&url, &[&call[..], &["-D", "-"]].concat());
        if !answer.ends_with("200 1.1") {
            break answer.to_lowercase();
        }
    };
    for said in ["retry-after: 1\r\n", "connection: close\r\n", "\n503 1.1"] {
        assert!(refused.contains(said), "{said} in {refused}");
    }
    let ready = curl(&format!("{url}/readyz"), &[]);
    assert!(ready.contains("http-inbound:draining"), "{ready}");
    open.write_all(b"llo").expect("it reads on");
    let mut answer = String::new();
    open.read_to_string(&mut answer).expect("it answers");
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
}

#[test]
fn a_port_in_use_ends_it_with_70_and_wrong_usage_with_64() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    for flag in PORTS {
        let others = PORTS.into_iter().filter(|it| *it != flag);
        let free = others.flat_map(|it| [it, "127.0.0.1:0"]);
        let arguments: Vec<&str> = [flag, &address].into_iter().chain(free).collect();
        let output = program(&arguments).output().expect("it runs");
        assert_eq!(output.status.code(), Some(70));
        assert_eq!(output.stdout, b"");
    }
    let output = program(&["--htpp", "x"]).output().expect("it runs");
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn contract_59_it_tells_curl_how_it_is_on_its_inbound_and_on_its_diagnostics() {
    let (_program, http, diagnostics) = started();
    let health = |mode: &str| {
        format!(
            "{{\n  \"status\": \"ok\",\n  \"mode\": \"{mode}\",\n  \"issues\": [],\n  \"activeRequests\": 0,\n  \
             \"draining\": false\n}}\n200 1.1"
        )
    };
    assert_eq!(curl(&format!("{http}/healthz"), &[]), health("live"));
    assert_eq!(curl(&format!("{http}/readyz"), &[]), health("ready"));
    let document = curl(&format!("{http}/omnirelay/introspect"), &[]);
    assert!(document.contains("\"name\": \"swallow\""), "{document}");
    assert!(document.contains("\"status\": \"running\""), "{document}");

    let ready = curl(&format!("{diagnostics}/readyz"), &[]);
    assert!(ready.ends_with("\n200 1.1"), "{ready}");
    let lifecycle = curl(&format!("{diagnostics}/control/lifecycle"), &[]);
    assert!(lifecycle.contains("http-inbound:0"), "{lifecycle}");
    let metrics = curl(&format!("{diagnostics}/metrics"), &[]);
    assert!(metrics.contains("lifecycle_"), "{metrics}");
}
