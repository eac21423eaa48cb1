//! What breaks while the program runs comes back, and what does not depend on it goes on: the sockets of the running process
//! are broken from outside.

use std::net::{SocketAddr, UdpSocket};
use std::time::Instant;

use rustix::net::Shutdown;
use serde_json::Value;

use crate::support::{DEADLINE, Process, get};

const DIAGNOSTICS: &str = "diagnostics";
const GOSSIP: &str = "mesh-gossip";
const HTTP: &str = "control-plane:http";

/// A host whose restarts wait for 50 ms, logging JSON.
fn host() -> Process {
    let quick = "defaults.restart.backoff={ fixed = \"50ms\" }";
    Process::anywhere(&["--log-format", "json", "--set", quick])
}

/// Waits for `event` of `component`, in `generation`, and returns its fields.
#[track_caller]
fn logged(host: &mut Process, event: &str, component: &str, generation: u64) -> Value {
    let fields = |line: &str| -> Option<Value> {
        let mut line: Value = serde_json::from_str(line).ok()?;
        Some(line["fields"].take())
    };
    let wanted = |it: &Value| {
        it["event"] == event && it["component"] == component && it["generation"] == generation
    };
    let line = host.logged_as(|it| fields(it).as_ref().is_some_and(wanted));
    fields(&line).expect("it was found")
}

/// The generations of the three components, as diagnostics show them.
fn generations(diagnostics: SocketAddr) -> [u64; 3] {
    let snapshot = get(diagnostics, "/control/lifecycle").json();
    let components = snapshot["components"].as_array().expect("a list").clone();
    [DIAGNOSTICS, GOSSIP, HTTP].map(|name| {
        let row = components.iter().find(|it| it["name"] == name);
        row.expect("it is shown")["generation"]
            .as_u64()
            .expect("a number")
    })
}

#[track_caller]
fn assert_metric(diagnostics: SocketAddr, line: &str) {
    let text = get(diagnostics, "/metrics").body;
    assert!(text.lines().any(|it| it == line), "{line} in\n{text}");
}

#[test]
fn contract_b07_a_listener_whose_socket_breaks_is_started_again_and_the_others_go_on() {
    let mut host = host();
    let (diagnostics, http) = (host.address(DIAGNOSTICS), host.address(HTTP));
    assert_eq!(generations(diagnostics), [1, 1, 1]);

    let listener = host.socket(http, "tcp");
    rustix::net::shutdown(&listener, Shutdown::Both).expect("it listens");
    drop(listener);

    let lost = logged(&mut host, "component.lost", HTTP, 1);
    let detail = lost["detail"].as_str().expect("what follows");
    assert!(detail.starts_with("started again"), "{detail}");
    let error = lost["error"].as_str().expect("a reason");
    assert!(error.contains("no connection can be accepted"), "{error}");
    logged(&mut host, "component.started", HTTP, 2);
    assert_eq!(generations(diagnostics), [1, 1, 2]);
    assert_metric(
        diagnostics,
        "lifecycle_restarts_total{component=\"control-plane:http\",reason=\"lost\"} 1",
    );
    // The log may be a moment ahead.
    let begin = Instant::now();
    while get(diagnostics, "/readyz").status != 200 {
        assert!(begin.elapsed() < DEADLINE, "it never is ready again");
        std::thread::yield_now();
    }
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
}

#[test]
fn contract_b07_gossip_whose_socket_breaks_is_started_again_and_the_listener_goes_on_meanwhile() {
    let mut host = host();
    let (diagnostics, http) = (host.address(DIAGNOSTICS), host.address(HTTP));
    let gossip = host.address(GOSSIP);
    let gossip = UdpSocket::from(host.socket(gossip, "udp"));

    // Connected to a port where nobody is, its datagrams come back as errors.
    let nobody = {
        let gone = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        gone.local_addr().expect("it is bound")
    };
    gossip.connect(nobody).expect("a datagram socket");
    let begin = Instant::now();
    while generations(diagnostics)[1] == 1 {
        assert!(begin.elapsed() < DEADLINE, "it goes on as it is");
        // Whether this send or the program is told of the last one's error, is open.
        let _ = gossip.send(&[]);
        assert_eq!(get(http, "/control/peers").status, 200, "it tolerates");
    }
    drop(gossip);

    logged(&mut host, "component.lost", GOSSIP, 1);
    logged(&mut host, "component.dependency_lost", HTTP, 1);
    logged(&mut host, "component.started", GOSSIP, 2);
    logged(&mut host, "component.dependency_back", HTTP, 1);
    assert_eq!(generations(diagnostics), [1, 2, 1]);
    assert_metric(
        diagnostics,
        "lifecycle_restarts_total{component=\"mesh-gossip\",reason=\"lost\"} 1",
    );
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
}
