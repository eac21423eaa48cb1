//! Spans to a collector, of calls that go through the program.

use std::process::Command;

use crate::collector::{Answer, Collector, Got};
use crate::kit::{Program, curl, file, path, program, run};

/// OTLP's numbers for kinds of spans.
const SERVER: i32 = 2;
const CLIENT: i32 = 3;

/// A trace that somebody else has begun, and the hop that calls.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// A relay to an echo service, both of which tell `collector` of their calls; the URL of the relay.
fn relay_and_echo(collector: &Collector, of_relay: &str) -> (Vec<Program>, String) {
    let traces = format!(
        "[traces]\nendpoint = '{}'\ndelay = '10ms'\n",
        collector.endpoint()
    );
    let echo = file(&format!(
        "service = 'echo'\necho = true\ndiagnostics.address = '127.0.0.1:0'\n\
         http-inbounds.0.address = '127.0.0.1:0'\ngrpc-inbounds.0.address = '127.0.0.1:0'\n{traces}"
    ));
    let (echo, urls) = run(&["--config", path(&echo)], 3);
    let url = |name: &str| {
        let mut named = urls.iter().filter(|(it, _)| it == name);
        named.next().expect("it listens").1.clone()
    };
    let (http, grpc) = (url("http-inbound:0"), url("grpc-inbound:0"));
    let grpc = grpc.split("//").nth(1).expect("a URL");
    let relay = file(&format!(
        "service = 'front'\ndiagnostics.address = '127.0.0.1:0'\nhttp-inbounds.0.address = '127.0.0.1:0'\n\
         [outbounds.echo]\nprotocol = 'http'\naddress = '{http}'\n\
         [outbounds.far]\nprotocol = 'grpc'\nservice = 'echo'\nkey = 'far'\naddress = '{grpc}'\n\
         [relays.echo]\nunary = ['echo', 'missing']\n\
         [relays.far]\nservice = 'echo'\nkey = 'far'\nstream = ['count']\n\
         {of_relay}{traces}"
    ));
    let (relay, urls) = run(&["--config", path(&relay)], 2);
    let mut inbound = urls.into_iter().filter(|(it, _)| it == "http-inbound:0");
    let url = inbound.next().expect("it listens").1;
    (vec![echo, relay], url)
}

fn calls(spans: &[Got]) -> Vec<&Got> {
    spans.iter().filter(|it| it.scope == "rpc").collect()
}

/// Waits for so many spans of calls, and gives those of `service` and `kind`.
#[track_caller]
fn wait_for_calls(collector: &Collector, count: usize) -> Vec<Got> {
    let spans = collector.wait_for(|it| calls(it).len() >= count);
    calls(&spans).into_iter().cloned().collect()
}

#[track_caller]
fn only<'a>(spans: &'a [Got], service: &str, kind: i32) -> &'a Got {
    let is_it = |it: &&Got| it.resource["service.name"] == service && it.kind == kind;
    let found: Vec<_> = spans.iter().filter(is_it).collect();
    assert_eq!(found.len(), 1, "{service} {kind}: {spans:#?}");
    found[0]
}

#[test]
fn a_call_through_two_dispatchers_is_one_trace_from_its_caller_on() {
    let collector = Collector::begin(Answer::Taken);
    let (_programs, url) = relay_and_echo(&collector, "");
    let parent = format!("traceparent: 00-{TRACE}-{CALLER}-01");
    let call = ["-H", "Rpc-Procedure: echo", "-H", &parent, "-d", "hello"];
    assert_eq!(curl(&url, &call), "hello\n200 1.1");

    let spans = wait_for_calls(&collector, 3);
    let came = only(&spans, "front", SERVER);
    let went = only(&spans, "front", CLIENT);
    let answered = only(&spans, "echo", SERVER);
    assert_eq!(came.parent, CALLER);
    assert_eq!(went.parent, came.id);
    assert_eq!(answered.parent, went.id);
    for span in [came, went, answered] {
        assert_eq!(span.trace, TRACE);
        assert_eq!(span.name, "echo");
        assert_eq!(span.attribute("rpc.method"), "echo");
        assert_eq!(span.attribute("rpc.system.name"), "http");
        assert_eq!(span.attribute("rpc.response.status_code"), "OK");
        assert_eq!(span.attribute("omnirelay.shape"), "unary");
        assert_eq!((span.attribute("error.type"), &span.error), ("", &None));
    }
    assert_eq!(went.attribute("peer.service"), "echo");
}

#[test]
fn a_stream_over_two_protocols_is_one_trace_too_and_its_spans_last_to_its_end() {
    let collector = Collector::begin(Answer::Taken);
    let (_programs, url) = relay_and_echo(&collector, "");
    let call = [
        "-H",
        "Rpc-Procedure: count",
        "-H",
        "Accept: text/event-stream",
        "-d",
        "3",
    ];
    let answer = curl(&url, &call);
    assert!(answer.ends_with("200 1.1"), "{answer}");
    let spans = wait_for_calls(&collector, 3);
    let came = only(&spans, "front", SERVER);
    let went = only(&spans, "front", CLIENT);
    let answered = only(&spans, "echo", SERVER);
    assert_eq!(came.parent, "", "nobody has begun it before");
    assert_eq!((&went.parent, &answered.parent), (&came.id, &went.id));
    assert_eq!((&went.trace, &answered.trace), (&came.trace, &came.trace));
    assert_eq!(came.attribute("rpc.system.name"), "http");
    assert_eq!(went.attribute("rpc.system.name"), "grpc");
    assert_eq!(answered.attribute("rpc.system.name"), "grpc");
    assert!(came.began <= went.began && went.ended <= came.ended);
}

#[test]
fn a_call_that_fails_is_an_error_of_whose_it_is() {
    let collector = Collector::begin(Answer::Taken);
    let (_programs, url) = relay_and_echo(&collector, "");
    let call = ["-H", "Rpc-Procedure: missing", "-d", ""];
    assert!(!curl(&url, &call).contains("200"));
    let spans = wait_for_calls(&collector, 3);
    for span in &spans {
        assert_eq!(span.attribute("rpc.response.status_code"), "UNIMPLEMENTED");
        assert_eq!(span.attribute("error.type"), "UNIMPLEMENTED");
        assert!(span.error.is_some(), "{span:#?}");
    }
    // Callers choose no name of a span.
    let answered = only(&spans, "echo", SERVER);
    assert_eq!(answered.name, "unknown");
}

#[test]
fn a_trace_is_sampled_by_whoever_began_it_and_else_by_the_ratio() {
    let collector = Collector::begin(Answer::Taken);
    let (programs, url) = relay_and_echo(&collector, "");
    let unwanted = format!("traceparent: 00-{TRACE}-{CALLER}-00");
    let call = ["-H", "Rpc-Procedure: echo", "-H", &unwanted, "-d", "hello"];
    assert_eq!(curl(&url, &call), "hello\n200 1.1");
    stop(programs);
    let spans = collector.spans();
    assert!(calls(&spans).is_empty(), "{spans:#?}");
    assert!(
        spans.iter().any(|it| it.name == "stop"),
        "the orchestrator's always are"
    );

    let collector = Collector::begin(Answer::Taken);
    let never = "[middleware.tracing]\nsampled-percent = 0\n";
    let (programs, url) = relay_and_echo(&collector, never);
    let call = ["-H", "Rpc-Procedure: echo", "-d", "hello"];
    assert_eq!(curl(&url, &call), "hello\n200 1.1");
    let wanted = format!("traceparent: 00-{TRACE}-{CALLER}-01");
    let call = [&call[..], &["-H", &wanted]].concat();
    assert_eq!(curl(&url, &call), "hello\n200 1.1");
    stop(programs);
    let spans = collector.spans();
    let spans = calls(&spans);
    assert_eq!(spans.len(), 3, "{spans:#?}");
    assert!(spans.iter().all(|it| it.trace == TRACE));
}

fn stop(programs: Vec<Program>) {
    for mut program in programs {
        program.terminate();
        assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
    }
}

#[test]
fn without_the_section_traces_are_passed_on_as_they_come_and_there_is_no_thread_for_them() {
    let echo = "service = 'a'\necho = true\ndiagnostics.address = '127.0.0.1:0'\nhttp-inbounds.0.address = '127.0.0.1:0'\n";
    let threads = |config: &str| {
        let config = file(config);
        let (program, _) = run(&["--config", path(&config)], 2);
        let tasks = format!("cat /proc/{}/task/*/comm", program.0.id());
        let output = Command::new("sh").args(["-c", &tasks]).output();
        String::from_utf8(output.expect("it runs").stdout).expect("text")
    };
    let is_there = |text: &str| text.lines().any(|it| it == "traces");
    assert!(!is_there(&threads(echo)));
    let off = format!("{echo}[traces]\nenabled = false\nendpoint = 'http://127.0.0.1:1'\n");
    assert!(!is_there(&threads(&off)));
    let on = format!("{echo}[traces]\nendpoint = 'http://127.0.0.1:1'\n");
    assert!(is_there(&threads(&on)));
}

#[test]
fn what_is_wrong_with_the_section_is_said_with_its_line() {
    let config = file(
        "echo = true\nhttp-inbounds.0.address = '127.0.0.1:0'\n[traces]\nendpoint = 'collector:4317'\n",
    );
    let output = program(&["--config", path(&config)]).output();
    let output = output.expect("it runs");
    assert_eq!(output.status.code(), Some(78));
    let said = String::from_utf8_lossy(&output.stderr);
    let place = format!("{}:4: traces.endpoint: ", path(&config));
    assert!(
        said.contains(&place) && said.contains("write it like"),
        "{said}"
    );
}
