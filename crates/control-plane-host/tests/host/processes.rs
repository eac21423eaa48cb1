//! The program as operators run it.

use std::io::Write as _;
use std::net::{TcpListener, UdpSocket};
use std::time::Instant;

use serde_json::Value;

use crate::support::{Process, assert_tcp_free, assert_udp_free, connect, get, wait_for_peer};

#[test]
fn it_runs_on_defaults_prints_its_addresses_and_ends_cleanly_on_sigterm() {
    let mut host = Process::start(
        &["--gossip", "127.0.0.1:0"],
        &[
            ("CONTROL_PLANE_HOST__DIAGNOSTICS__ADDRESS", "127.0.0.1:0"),
            ("CONTROL_PLANE_HOST__HTTP__ADDRESS", "127.0.0.1:0"),
        ],
    );
    let diagnostics = host.address("diagnostics");
    let http = host.address("control-plane:http");
    let gossip = host.address("mesh-gossip");
    for address in [diagnostics, http] {
        for path in ["/livez", "/healthz", "/readyz", "/startupz", "/metrics"] {
            assert_eq!(get(address, path).status, 200, "{path} on {address}");
        }
        let snapshot = get(address, "/control/lifecycle").json();
        assert_eq!(snapshot["orchestrator"]["state"], "running");
        assert_eq!(snapshot["counts"]["running"], 4);
    }
    for address in [diagnostics, http] {
        for path in ["/control/peers", "/omnirelay/control/peers"] {
            let peers = get(address, path).json();
            assert_eq!(peers["schemaVersion"], "v1");
            assert_eq!(peers["peers"][0]["nodeId"], peers["localNodeId"]);
            assert_eq!(peers["peers"][0]["status"], "alive");
        }
        let described = get(address, "/openapi.json").json();
        for path in ["/control/peers", "/control/leaders", "/livez"] {
            assert!(described["paths"][path]["get"].is_object(), "{path}");
        }
    }

    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
    assert_tcp_free(diagnostics);
    assert_tcp_free(http);
    assert_udp_free(gossip);
}

#[test]
fn two_hosts_find_each_other_and_one_sees_the_other_leave() {
    let fast = ["--set", "gossip.gossip-interval=100ms"];
    let mut first = Process::anywhere(&[&fast[..], &["--node-id", "first"]].concat());
    let seed = first.address("mesh-gossip").to_string();
    let flags = ["--node-id", "second", "--seed", &seed];
    let mut second = Process::anywhere(&[&fast[..], &flags].concat());
    let (one, two) = (
        first.address("control-plane:http"),
        second.address("control-plane:http"),
    );
    wait_for_peer(one, "second", "alive");
    wait_for_peer(two, "first", "alive");

    second.terminate();
    assert_eq!(second.exit().code(), Some(0));
    wait_for_peer(one, "second", "left");
    first.terminate();
    assert_eq!(first.exit().code(), Some(0));
}

#[test]
fn contract_b21_a_port_in_use_ends_the_program_with_70_after_a_rollback() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut host = Process::start(
        &[
            "--diagnostics",
            "127.0.0.1:0",
            "--gossip",
            "127.0.0.1:0",
            "--http",
            &address,
        ],
        &[],
    );
    let line = host.logged("diagnostics are listening");
    let (_, diagnostics) = line.rsplit_once("address=").unwrap();
    let (diagnostics, _) = diagnostics.split_once(' ').unwrap_or((diagnostics, ""));
    let diagnostics = diagnostics.trim().parse().unwrap();
    assert_eq!(host.exit().code(), Some(70));
    assert_tcp_free(diagnostics);
    let log = host.whole_log();
    let parts = [
        "control-plane:http start failed",
        "orchestrator stopping",
        "mesh-gossip stopped",
        "diagnostics stopped",
        "orchestrator stopped",
        "error: start: \"control-plane:http\" failed to start: cannot listen on",
        "host failed",
    ];
    let mut from = 0;
    for part in parts {
        let found = log[from..].find(part);
        from += found.unwrap_or_else(|| panic!("{part} in this order in\n{log}"));
    }
    assert!(log.contains(&format!(
        "cannot listen on {address}/tcp: Address already in use"
    )));
}

#[test]
fn a_host_waits_for_the_port_of_gossip_as_long_as_its_policies_say() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let ports = ["--diagnostics", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    let start = |policies: &[&str]| {
        let mut flags = vec!["--gossip", &address];
        flags.extend(policies.iter().flat_map(|it| ["--set", it]));
        Process::start(&[&ports[..], &flags].concat(), &[])
    };
    let mut strict = start(&["components.mesh-gossip.restart.when=never"]);
    assert_eq!(strict.exit().code(), Some(70));
    let log = strict.whole_log();
    let waits_in_vain =
        |it: &str| it.contains("control-plane:http faulted") && it.contains(&address);
    assert!(log.lines().any(waits_in_vain), "{log}");

    let start_policy = "components.mesh-gossip.start";
    let mut patient = start(&[
        &format!("{start_policy}.max-attempts=1000"),
        &format!("{start_policy}.backoff={{ fixed = \"50ms\" }}"),
    ]);
    patient.logged("mesh-gossip start failed");
    drop(taken);
    patient.address("control-plane:http");
    patient.terminate();
    assert_eq!(patient.exit().code(), Some(0));
}

#[test]
fn a_second_sigterm_stops_by_force_what_a_slow_client_holds_up() {
    let mut host = Process::anywhere(&[]);
    let http = host.address("control-plane:http");
    let mut slow = connect(http);
    slow.write_all(b"GET /livez HT").unwrap();
    // An answer on another connection says that this one is taken.
    assert_eq!(get(http, "/livez").status, 200);

    let begin = Instant::now();
    host.terminate();
    host.logged("control-plane:http stopping");
    host.terminate();
    host.logged("stopping by force");
    assert_eq!(host.exit().code(), Some(0));
    let took = begin.elapsed();
    let log = host.whole_log();
    assert!(log.contains("force-requested"), "{log}");
    assert!(log.contains("cut off connections"), "{log}");
    assert!(took < crate::support::DEADLINE, "{took:?}");
    drop(slow);
}

#[test]
fn contract_46_host_and_components_log_starting_started_stopping_stopped() {
    let mut host = Process::anywhere(&["--log-format", "json", "--set", "service-name=plane"]);
    host.address("control-plane:http");
    host.terminate();
    let log = host.whole_log();
    let lines: Vec<Value> = log
        .lines()
        .map(|it| serde_json::from_str(it).expect("a JSON line"))
        .collect();
    let fields = || lines.iter().map(|it| &it["fields"]);

    let host = fields().filter(|it| it["service"] == "plane");
    let events: Vec<_> = host.map(|it| it["event"].as_str().unwrap()).collect();
    assert_eq!(
        events,
        [
            "host.starting",
            "host.started",
            "host.stopping",
            "host.stopped"
        ]
    );
    for component in ["diagnostics", "mesh-gossip", "control-plane:http"] {
        let of_component = fields().filter(|it| it["component"] == component);
        let events = of_component.filter_map(|it| it["event"].as_str());
        let of_drain = ["component.draining", "component.drained"];
        let events: Vec<_> = events.filter(|it| !of_drain.contains(it)).collect();
        assert_eq!(
            events,
            [
                "component.starting",
                "component.started",
                "component.stopping",
                "component.stopped"
            ],
            "{component}"
        );
    }
}
