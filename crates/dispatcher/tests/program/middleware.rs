//! What stands around calls, by configuration alone.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use crate::kit::{Program, curl, file, path, program, run, started};

/// The program with this file, and the URLs of its only HTTP inbound and of its diagnostics.
fn with(text: &str) -> (Program, String, String) {
    let file = file(&format!(
        "diagnostics.address = '127.0.0.1:0'\nhttp-inbounds.0.address = '127.0.0.1:0'\n{text}"
    ));
    let (program, urls) = run(&["--config", path(&file)], 2);
    let [(_, http), (_, diagnostics)] = urls.try_into().expect("two");
    (program, http, diagnostics)
}

const ECHO: [&str; 4] = ["-H", "Rpc-Procedure: echo", "-d", "hello"];

#[test]
fn calls_are_counted_without_being_asked_for_and_what_is_unknown_is_one_series() {
    let (_program, http, diagnostics) = started();
    assert_eq!(curl(&http, &ECHO), "hello\n200 1.1");
    for procedure in ["a", "b"] {
        let header = format!("Rpc-Procedure: {procedure}");
        let answer = curl(&http, &["-H", &header, "-d", ""]);
        assert!(answer.ends_with("\n501 1.1"), "{answer}");
    }
    let metrics = curl(&format!("{diagnostics}/metrics"), &[]);
    for line in [
        r#"omnirelay_rpc_requests_total{procedure="echo",shape="unary",code="OK"} 1"#,
        r#"omnirelay_rpc_requests_total{procedure="unknown",shape="unary",code="UNIMPLEMENTED"} 2"#,
        r#"omnirelay_http_requests_started_total{protocol="HTTP/1.1"} 3"#,
        r#"omnirelay_http_requests_completed_total{protocol="HTTP/1.1",shape="unary",status="501"} 2"#,
        r#"omnirelay_http_request_duration_seconds_count{protocol="HTTP/1.1",shape="unary"} 3"#,
    ] {
        assert!(
            metrics.contains(&format!("{line}\n")),
            "{line} in {metrics}"
        );
    }

    let (_program, http, diagnostics) = with("echo = true\nmiddleware.metrics.enabled = false");
    assert_eq!(curl(&http, &ECHO), "hello\n200 1.1");
    let metrics = curl(&format!("{diagnostics}/metrics"), &[]);
    assert!(!metrics.contains("omnirelay_rpc_"), "{metrics}");
}

/// The lines about calls that the program has written, once it has ended.
fn lines_of_calls(flags: &[&str]) -> Vec<serde_json::Value> {
    let two = ["calls=2", "per=minute"].map(|it| format!("middleware.rate-limit.{it}"));
    let options = ["--log-format", "json", "--set", &two[0], "--set", &two[1]];
    let ports = crate::kit::free_ports();
    let child = program(&[&ports[..], &options, flags].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut program = Program(child.expect("it runs"));
    let log = program.0.stderr.take().expect("it is piped");
    let log = std::thread::spawn(move || {
        let lines = BufReader::new(log).lines().map_while(Result::ok);
        let lines = lines.filter_map(|it| serde_json::from_str(&it).ok());
        let calls = lines.filter(|it: &serde_json::Value| it["target"] == "rpc");
        calls.collect::<Vec<_>>()
    });
    let output = program.0.stdout.take().expect("it is piped");
    let first = BufReader::new(output).lines().next().expect("a line");
    let first = first.expect("text");
    let (_, http) = first.split_once(' ').expect("a name and a URL");
    assert_eq!(curl(http, &ECHO), "hello\n200 1.1");
    let other = ["-H", "Rpc-Procedure: other", "-d", ""];
    assert!(curl(http, &other).ends_with("\n501 1.1"));
    assert!(curl(http, &ECHO).ends_with("\n429 1.1"));
    program.terminate();
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
    log.join().expect("it reads")
}

#[test]
fn what_went_well_is_logged_at_debug_unless_the_configuration_says_otherwise() {
    let told = |lines: &[serde_json::Value]| {
        let lines = lines.iter().map(|it| {
            let fields = &it["fields"];
            let text = |it: &serde_json::Value| it.as_str().unwrap_or_default().to_owned();
            let [level, procedure, code] = [&it["level"], &fields["procedure"], &fields["code"]];
            [level, procedure, code].map(text).join(" ")
        });
        lines.collect::<Vec<_>>()
    };
    const REFUSED: &str = "WARN echo RESOURCE_EXHAUSTED";
    assert_eq!(told(&lines_of_calls(&[])), [REFUSED]);
    let all = ["--set", "log.filter=info,rpc=debug"];
    assert_eq!(
        told(&lines_of_calls(&all)),
        ["DEBUG echo OK", "DEBUG unknown UNIMPLEMENTED", REFUSED]
    );
    let loud = ["--set", "middleware.logging.quiet=false"];
    assert_eq!(
        told(&lines_of_calls(&loud)),
        ["INFO echo OK", "INFO unknown UNIMPLEMENTED", REFUSED]
    );
    let off = ["--set", "middleware.logging.enabled=false"];
    assert_eq!(told(&lines_of_calls(&[&all[..], &off].concat())), [""; 0]);
}

#[test]
fn a_configured_rate_refuses_what_is_too_much_with_when_to_try_again() {
    let (_program, http, _) =
        with("echo = true\nmiddleware.rate-limit = { calls = 2, per = 'minute' }");
    for _ in 0..2 {
        assert_eq!(curl(&http, &ECHO), "hello\n200 1.1");
    }
    let refused = curl(&http, &[&ECHO[..], &["-D", "-"]].concat());
    assert!(refused.contains("dispatcher.limit.rate"), "{refused}");
    assert!(
        refused.to_lowercase().contains("retry-after: "),
        "{refused}"
    );
    assert!(refused.ends_with("\n429 1.1"), "{refused}");
}

#[test]
fn relays_and_outbounds_have_limits_of_their_own_and_the_rest_is_not_touched() {
    let (_echo, upstream, _) = started();
    let (_program, http, _) = with(&format!(
        r#"
            [outbounds.echo]
            protocol = "http"
            address = "{upstream}"
            rate-limit = {{ calls = 3, per = "minute" }}
            [relays.a]
            service = "echo"
            unary = ["e*"]
            oneway = ["swallow"]
            rate-limit = {{ calls = 2, per = "minute" }}
            [relays.b]
            service = "echo"
            stream = ["count"]
        "#
    ));
    let swallow = ["-H", "Rpc-Procedure: swallow", "-d", "hello"];
    let count = [
        "-H",
        "Rpc-Procedure: count",
        "-H",
        "Accept: text/event-stream",
        "-d",
        "1",
    ];
    assert_eq!(curl(&http, &ECHO), "hello\n200 1.1");
    assert_eq!(curl(&http, &swallow), "\n202 1.1");
    // Procedures of a relay share its limit, and its outbound has one that is wider.
    assert!(curl(&http, &ECHO).contains("dispatcher.limit.rate"));
    assert!(curl(&http, &count).ends_with("\n200 1.1"));
    let refused = curl(&http, &count);
    assert!(refused.contains("dispatcher.limit.rate"), "{refused}");
}

#[test]
fn a_configured_deadline_ends_a_call_whose_caller_would_wait() {
    let (_program, http, _) = with("echo = true\n[middleware.deadlines]\ndefault = '1ns'\n");
    let answer = curl(&http, &ECHO);
    assert!(answer.contains("DEADLINE_EXCEEDED"), "{answer}");
    assert!(answer.ends_with("\n504 1.1"), "{answer}");
}

#[test]
fn configured_retries_are_made_and_counted() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = nobody.local_addr().expect("it is bound");
    drop(nobody);
    let (_program, http, diagnostics) = with(&format!(
        r#"
            [outbounds.echo]
            protocol = "http"
            address = "http://{address}/"
            [outbounds.echo.retries]
            attempts = 4
            backoff = {{ fixed = "1ms" }}
            [relays.echo]
            unary = ["echo"]
        "#
    ));
    let answer = curl(&http, &ECHO);
    assert!(answer.ends_with("\n503 1.1"), "{answer}");
    let metrics = curl(&format!("{diagnostics}/metrics"), &[]);
    let way = r#"outbound="echo:default:unary",shape="unary""#;
    for line in [
        format!(r#"omnirelay_rpc_retries_total{{{way},outcome="made"}} 3"#),
        format!(r#"omnirelay_rpc_outbound_requests_total{{{way},code="UNAVAILABLE"}} 1"#),
    ] {
        assert!(metrics.contains(&line), "{line} in {metrics}");
    }
}

const PARENT: &str = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// What the next request on a socket says of its trace.
fn said_of_trace(socket: &std::net::TcpListener) -> Vec<String> {
    let (stream, _) = socket.accept().expect("a connection");
    let lines = BufReader::new(&stream).lines().map(|it| it.expect("text"));
    let head = lines.take_while(|it| !it.is_empty());
    let mut said: Vec<_> = head.filter(|it| it.starts_with("trace")).collect();
    said.sort_unstable();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    std::io::Write::write_all(&mut &stream, answer.as_bytes()).expect("it reads");
    said
}

#[test]
fn through_two_programs_a_call_stays_in_the_trace_of_its_caller_whatever_lies_between() {
    let upstream = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = upstream.local_addr().expect("it is bound");
    let relay = |protocol: &str, address: &str, inbound: &str, tracing: &str| {
        let file = file(&format!(
            r#"
                service = "plants"
                diagnostics.address = "127.0.0.1:0"
                {inbound}-inbounds.0.address = "127.0.0.1:0"
                {tracing}
                [outbounds.plants]
                protocol = "{protocol}"
                address = "{address}"
                [relays.plants]
                unary = ["grow"]
            "#
        ));
        let (program, urls) = run(&["--config", path(&file)], 2);
        (program, urls[0].1.clone())
    };
    for (tracing, is_kept) in [("", true), ("middleware.tracing.enabled = true", false)] {
        let (_inner, grpc) = relay("http", &format!("http://{address}/"), "grpc", tracing);
        let grpc = grpc.strip_prefix("http://").expect("a URL");
        let (_outer, http) = relay("grpc", grpc, "http", tracing);
        let call = [
            "-H",
            "Rpc-Procedure: grow",
            "-H",
            PARENT,
            "-H",
            "tracestate: a=1",
            "-d",
            "",
        ];
        let said = std::thread::scope(|scope| {
            let said = scope.spawn(|| said_of_trace(&upstream));
            assert_eq!(curl(&http, &call), "\n200 1.1");
            said.join().expect("it was called")
        });
        let [parent, state] = &said[..] else {
            panic!("{said:?}");
        };
        assert_eq!(state, "tracestate: a=1");
        let (trace, span) = parent.split_at(PARENT.len() - 19);
        assert_eq!(trace, PARENT.split_at(PARENT.len() - 19).0);
        assert!(span.ends_with("-01"), "{parent}");
        assert_eq!(parent == PARENT, is_kept, "{parent}");
    }
}
