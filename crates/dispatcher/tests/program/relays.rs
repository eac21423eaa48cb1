//! A relay by configuration alone: two processes, the second of which passes calls on to the first.

use crate::kit::{Program, curl, file, path, run};

/// An echo service, with the URLs of its inbounds.
fn echo() -> (Program, String, String) {
    let arguments = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let diagnostics = ["--diagnostics", "127.0.0.1:0"];
    let (program, urls) = run(&[&arguments[..], &diagnostics].concat(), 3);
    let [http, grpc, _] = urls.try_into().expect("three");
    (program, http.1, grpc.1)
}

/// A relay of the service `front` to `outbound`, TOML, with the URL of its HTTP inbound.
fn relay(outbound: &str) -> (Program, String) {
    relay_of("front", "http", outbound)
}

/// A relay to `outbound`, with the URL of its inbound.
fn relay_of(service: &str, inbound: &str, outbound: &str) -> (Program, String) {
    let file = file(&format!(
        r#"
            service = "{service}"
            [diagnostics]
            address = "127.0.0.1:0"
            [{inbound}-inbounds.front]
            address = "127.0.0.1:0"
            [outbounds.echo]
            {outbound}
            [relays.echo]
            unary = ["echo"]
            oneway = ["swallow"]
            stream = ["c*"]
        "#
    ));
    let (program, urls) = run(&["--config", path(&file)], 2);
    let [url, _] = urls.try_into().expect("two");
    assert_eq!(url.0, format!("{inbound}-inbound:front"));
    (program, url.1)
}

/// Calls of three shapes are answered by the relay's upstream, and what it does not relay is not there.
fn relays(url: &str) {
    let call = ["-H", "Rpc-Procedure: echo", "-d", "hello"];
    assert_eq!(curl(url, &call), "hello\n200 1.1");
    let call = [&call[..], &["--http2-prior-knowledge"]].concat();
    assert_eq!(curl(url, &call), "hello\n200 2");
    let call = ["-H", "Rpc-Procedure: swallow", "-d", "hello"];
    assert_eq!(curl(url, &call), "\n202 1.1");
    let events = [
        "-H",
        "Accept: text/event-stream",
        "-H",
        "Rpc-Encoding: text",
    ];
    let call = ["-H", "Rpc-Procedure: count", "-d", "2"];
    let answer = curl(url, &[&events[..], &call].concat());
    assert_eq!(answer, "data: 1\n\ndata: 2\n\n\n200 1.1");
    let call = ["-H", "Rpc-Procedure: other", "-d", "hello"];
    let answer = curl(url, &call);
    assert!(answer.contains("of \\\"front\\\""), "{answer}");
    assert!(answer.ends_with("\n501 1.1"), "{answer}");
}

#[test]
fn a_relay_by_configuration_alone_passes_http_on_as_http() {
    let (_echo, http, _) = echo();
    for protocol in ["http", "http2"] {
        let outbound = format!("protocol = \"{protocol}\"\naddress = \"{http}\"");
        let (_relay, url) = relay(&outbound);
        relays(&url);
    }
}

#[test]
fn a_relay_by_configuration_alone_passes_http_on_as_grpc_and_ends_cleanly() {
    let (_echo, _, grpc) = echo();
    let address = grpc.strip_prefix("http://").expect("a URL");
    let outbound = format!("protocol = \"grpc\"\naddress = \"{address}\"");
    let (mut relay, url) = relay(&outbound);
    relays(&url);
    let introspection = curl(&format!("{url}/omnirelay/introspect"), &[]);
    assert!(
        introspection.contains("echo:default:unary"),
        "{introspection}"
    );
    relay.terminate();
    assert_eq!(relay.0.wait().expect("it ends").code(), Some(0));
}

#[test]
fn relays_by_configuration_alone_pass_http_on_as_grpc_and_that_as_http() {
    let (_echo, http, _) = echo();
    let outbound = format!("protocol = \"http\"\naddress = \"{http}\"");
    let (_middle, grpc) = relay_of("echo", "grpc", &outbound);
    let address = grpc.strip_prefix("http://").expect("a URL");
    let outbound = format!("protocol = \"grpc\"\naddress = \"{address}\"");
    let (_relay, url) = relay(&outbound);
    relays(&url);
}

#[test]
fn relays_by_configuration_alone_pass_grpc_on_as_grpc() {
    let (_echo, _, grpc) = echo();
    let outbound = |url: &str| {
        let address = url.strip_prefix("http://").expect("a URL");
        format!("protocol = \"grpc\"\naddress = \"{address}\"")
    };
    let (_middle, grpc) = relay_of("echo", "grpc", &outbound(&grpc));
    let (_relay, url) = relay(&outbound(&grpc));
    relays(&url);
}

#[test]
fn a_relay_whose_upstream_is_gone_says_so_and_stays() {
    let (echo, http, _) = echo();
    let outbound = format!("protocol = \"http\"\naddress = \"{http}\"\nconnect-timeout = \"2s\"");
    let (_relay, url) = relay(&outbound);
    drop(echo);
    let call = ["-H", "Rpc-Procedure: echo", "-d", "hello"];
    let answer = curl(&url, &call);
    assert!(
        answer.contains("dispatcher.outbound.unreachable"),
        "{answer}"
    );
    assert!(answer.ends_with("\n503 1.1"), "{answer}");
    let live = curl(&format!("{url}/healthz"), &[]);
    assert!(live.ends_with("\n200 1.1"), "{live}");
}
