//! Parts of the host are broken while it runs, and come back.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};

use control_plane_host::config::Config;
use control_plane_host::host;
use host_config::sections::policies::Policies;
use lifecycle_core::engine::{ComponentState, EventKind};
use lifecycle_core::{
    Backoff, Component, Criticality, Jitter, Nanos, Registration, Restart, component,
};
use lifecycle_runtime::{Handle, Notice, Orchestrator};
use serde_json::Value;
use tracing::Dispatch;
use tracing::subscriber::{DefaultGuard, NoSubscriber, set_default};

use crate::sockets::{BETWEEN_ERRORS, BrokenUdp, break_listener, free_udp_address};
use crate::support::{DEADLINE, Process, get, get_until, wait_for_peer};

/// Long enough to be looked at while it lasts.
const DELAY: &str = "2s";

fn free_tcp_address() -> SocketAddr {
    let probe = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    probe.local_addr().expect("it is bound")
}

/// A host with a JSON log in which every transition stands, and whose `component` comes back after [`DELAY`].
fn host(component: &str, flags: &[&str]) -> Process {
    let restart = |key, value: &str| format!("components.\"{component}\".restart.{key}={value}");
    let backoff = restart("backoff", &format!("{{ fixed = \"{DELAY}\" }}"));
    let jitter = restart("jitter", "none");
    let log = [
        "--log-format",
        "json",
        "--log-filter",
        "info,lifecycle=debug",
    ];
    let ours = ["--set", &backoff, "--set", &jitter];
    let any = "127.0.0.1:0";
    let ports = ["--diagnostics", any];
    Process::start(&[&ports[..], &log, &ours, flags].concat(), &[])
}

/// The rows of the snapshot as (name, generation).
fn generations(address: SocketAddr) -> Vec<(String, u64)> {
    let document = get(address, "/control/lifecycle").json();
    let rows = document["components"].as_array().expect("rows").iter();
    let row = |it: &Value| {
        let name = it["name"].as_str().expect("a name").to_owned();
        (name, it["generation"].as_u64().expect("a number"))
    };
    rows.map(row).collect()
}

#[track_caller]
fn assert_generations(address: SocketAddr, expected: [(&str, u64); 4]) {
    let expected = expected.map(|(name, generation)| (name.to_owned(), generation));
    assert_eq!(generations(address), expected);
}

#[track_caller]
fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|it| it == *line), "{line} in\n{text}");
    }
}

/// The events of `component` from its loss on.
fn story(log: &str, component: &str) -> Vec<String> {
    let fields = log.lines().filter_map(|it| {
        let line: Value = serde_json::from_str(it).expect("a JSON line");
        let fields = line["fields"].clone();
        (fields["component"] == component).then_some(fields)
    });
    let events = fields.filter_map(|it| {
        let event = it["event"].as_str()?.strip_prefix("component.")?;
        Some(format!("{event} {}", it["generation"]))
    });
    let lost = |it: &String| it.starts_with("lost") || it.starts_with("dependency_lost");
    events.skip_while(|it| !lost(it)).collect()
}

#[test]
fn contract_b07_gossip_whose_socket_breaks_comes_back_and_the_listener_goes_on() {
    let gossip = free_udp_address();
    let flags = ["--gossip", &gossip.to_string(), "--http", "127.0.0.1:0"];
    let mut host = host("mesh-gossip", &flags);
    let http = host.address("control-plane:http");
    let diagnostics = host.address("diagnostics");
    let broken = BrokenUdp::of(host.id(), gossip);
    let lost = |it: &str| it.contains("component.lost") && it.contains("mesh-gossip");
    while !host.logs_within(BETWEEN_ERRORS, lost) {
        broken.fail();
    }
    // Closed here too, or nobody could have the port again.
    drop(broken);

    let degraded = |it: &crate::support::Answer| it.body.contains("mesh-gossip:backing-off");
    let ready = get_until(diagnostics, "/readyz?verbose", degraded);
    assert_eq!(ready.status, 200);
    let body = ready.json();
    assert_eq!(body["degraded"], true);
    let details = body["details"].as_array().unwrap().iter();
    let mut listener = details.filter(|it| it["issue"] == "control-plane:http:degraded");
    let message = &listener.next().expect("it says so")["message"];
    assert_eq!(message, "goes on without mesh-gossip");
    let peers = get(http, "/control/peers").json();
    assert_eq!(peers["peers"][0]["status"], "left", "nobody sees us");

    host.logged_all(&["component.dependency_back", "control-plane:http"]);
    get_until(diagnostics, "/readyz", |it| it.json()["degraded"] == false);
    assert_generations(
        diagnostics,
        [
            ("control-plane:http", 1),
            ("diagnostics", 1),
            ("mesh-gossip", 2),
            ("mesh-leadership", 1),
        ],
    );
    assert_lines(
        &get(diagnostics, "/metrics").body,
        &[
            "lifecycle_restarts_total{component=\"mesh-gossip\",reason=\"lost\"} 1",
            "lifecycle_restarts_total{component=\"control-plane:http\",reason=\"dependency\"} 0",
            "lifecycle_component_state{component=\"mesh-gossip\",state=\"running\"} 1",
            "lifecycle_transitions_total{from=\"running\",to=\"faulted\",reason=\"lost\"} 1",
            "lifecycle_transitions_total{from=\"backing-off\",to=\"starting\",reason=\"restart-due\"} 1",
            "lifecycle_attempts_total{phase=\"start\",outcome=\"succeeded\"} 5",
            "lifecycle_backoff_seconds_sum 2",
            "lifecycle_backoff_seconds_count 1",
            "lifecycle_ready 1",
        ],
    );

    UdpSocket::bind(gossip).expect_err("it has its port again");
    let flags = ["--node-id", "second", "--seed", &gossip.to_string()];
    let second = Process::anywhere(&flags);
    wait_for_peer(http, "second", "alive");
    drop(second);

    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
    let log = host.whole_log();
    let of_gossip = story(&log, "mesh-gossip");
    let expected = [
        "lost 1",
        "faulted 1",
        "stopping 1",
        "disposed 1",
        "backing_off 1",
        "starting 2",
        "started 2",
    ];
    assert!(
        of_gossip.starts_with(&expected.map(str::to_owned)),
        "{of_gossip:?}"
    );
    let of_http = story(&log, "control-plane:http");
    let expected = ["dependency_lost 1", "dependency_back 1"];
    assert!(
        of_http.starts_with(&expected.map(str::to_owned)),
        "{of_http:?}"
    );
}

#[test]
fn contract_b07_a_control_listener_whose_port_breaks_comes_back_and_the_others_go_on() {
    let http = free_tcp_address();
    let flags = ["--gossip", "127.0.0.1:0", "--http", &http.to_string()];
    let mut host = host("control-plane:http", &flags);
    host.address("control-plane:http");
    let diagnostics = host.address("diagnostics");
    break_listener(host.id(), http);
    host.logged_all(&["component.lost", "no connection can be accepted any more"]);

    let backing_off = |it: &crate::support::Answer| it.body.contains("backing-off");
    let unready = get_until(diagnostics, "/readyz", backing_off);
    assert_eq!(unready.status, 503, "it is essential");
    assert_eq!(
        unready.json()["issues"][0],
        "control-plane:http:backing-off"
    );
    assert_eq!(get(diagnostics, "/livez").status, 200);

    host.logged_all(&[
        "component.started",
        "control-plane:http",
        "\"generation\":2",
    ]);
    get_until(http, "/readyz", |it| it.status == 200);
    assert_eq!(get(http, "/control/peers").status, 200);
    assert_generations(
        diagnostics,
        [
            ("control-plane:http", 2),
            ("diagnostics", 1),
            ("mesh-gossip", 1),
            ("mesh-leadership", 1),
        ],
    );
    assert_lines(
        &get(http, "/metrics").body,
        &[
            "lifecycle_restarts_total{component=\"control-plane:http\",reason=\"lost\"} 1",
            "lifecycle_restarts_total{component=\"mesh-gossip\",reason=\"lost\"} 0",
            "lifecycle_backoff_seconds_sum 2",
        ],
    );
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
    let story = story(&host.whole_log(), "control-plane:http");
    let expected = [
        "lost 1",
        "faulted 1",
        "stopping 1",
        "disposed 1",
        "backing_off 1",
        "starting 2",
        "started 2",
    ];
    assert!(story.starts_with(&expected.map(str::to_owned)), "{story:?}");
}

/// Keeps what is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn keep(&self) -> (DefaultGuard, Dispatch) {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::DEBUG)
            .with_writer(move || log.clone())
            .finish();
        // As long as there is one subscriber alone, what another test logs first is switched off for it, too: a second one
        // makes tracing ask both.
        let second = Dispatch::new(NoSubscriber::default());
        (set_default(subscriber), second)
    }

    /// The lines of the lifecycle about single components, in order.
    fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned();
        let ours = text.lines().filter(|it| it.contains("event=\"component."));
        ours.map(str::to_owned).collect()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn idle() -> Component {
    component::from_fn(async |_| Ok(()), async |_| Ok(()))
}

/// Waits until `component` enters `state`, doing `meanwhile` again and again.
async fn entered(
    events: &mut lifecycle_runtime::Subscription,
    handle: &Handle,
    component: &str,
    state: ComponentState,
    meanwhile: impl Fn(),
) {
    let plan = handle.plan().expect("it is built");
    let id = plan.find(component).expect("it is registered");
    let entered = async {
        loop {
            match tokio::time::timeout(BETWEEN_ERRORS, events.next()).await {
                Err(_) => meanwhile(),
                Ok(Some(Notice::Event(event))) => {
                    if let EventKind::Transition { key, to, .. } = event.kind
                        && (key.component, to) == (id, state)
                    {
                        return;
                    }
                }
                Ok(other) => panic!("{other:?}"),
            }
        }
    };
    let in_time = tokio::time::timeout(DEADLINE, entered).await;
    in_time.unwrap_or_else(|_| panic!("{component} never was {state:?}"));
}

#[tokio::test]
async fn what_follows_gossip_goes_down_and_comes_back_with_it_and_what_tolerates_it_says_so() {
    let log = Log::default();
    let _guard = log.keep();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::default();
    config.diagnostics.address = any;
    config.http.address = any;
    config.gossip.options.bind = free_udp_address();
    let restart = Restart::on_failure()
        .with_backoff(Backoff::Fixed(Nanos::from_secs(1)))
        .with_jitter(Jitter::None);
    let policies = Policies {
        restart,
        ..Policies::default()
    };
    config.components.insert("mesh-gossip".into(), policies);
    let mut builder = Orchestrator::builder();
    let ports = host::wire(&config, &mut builder).expect("the wiring fits");
    let catalog = Registration::new("catalog", idle()).criticality(Criticality::Degradable);
    builder.register(catalog.depends_on(["mesh-gossip"]));
    let handle = builder.build().unwrap().spawn();
    handle.start().await.expect("everything starts");
    let mut events = handle.subscribe();

    let broken = BrokenUdp::of(std::process::id(), ports.gossip().expect("it listens"));
    let stopping = ComponentState::Stopping;
    entered(&mut events, &handle, "mesh-gossip", stopping, || {
        broken.fail();
    })
    .await;
    drop(broken);
    let running = ComponentState::Running;
    entered(&mut events, &handle, "catalog", running, || ()).await;

    let snapshot = handle.snapshot().await.unwrap();
    let row = |name| snapshot.component(snapshot.plan.find(name).unwrap());
    for (name, generation, lost, dependency) in [
        ("diagnostics", 1, 0, 0),
        ("control-plane:http", 1, 0, 0),
        ("mesh-gossip", 2, 1, 0),
        ("catalog", 2, 0, 1),
    ] {
        let restarts = row(name).restarts;
        assert_eq!(
            (row(name).generation, restarts.lost, restarts.dependency),
            (generation, lost, dependency),
            "{name}"
        );
        assert_eq!(row(name).state, running, "{name}");
    }
    let address = ports.diagnostics().expect("it listens");
    let scraped = tokio::task::spawn_blocking(move || get(address, "/metrics"));
    assert_lines(
        &scraped.await.unwrap().body,
        &[
            "lifecycle_restarts_total{component=\"mesh-gossip\",reason=\"lost\"} 1",
            "lifecycle_restarts_total{component=\"catalog\",reason=\"dependency\"} 1",
            "lifecycle_restarts_total{component=\"control-plane:http\",reason=\"dependency\"} 0",
        ],
    );

    let lines = log.lines();
    let mut rest = lines.iter();
    for (component, event) in [
        ("mesh-gossip", "component.lost"),
        ("mesh-gossip", "component.faulted"),
        ("control-plane:http", "component.dependency_lost"),
        ("catalog", "component.stopping"),
        ("catalog", "component.waiting"),
        ("mesh-gossip", "component.stopping"),
        ("mesh-gossip", "component.backing_off"),
        ("mesh-gossip", "component.starting"),
        ("mesh-gossip", "component.started"),
        ("control-plane:http", "component.dependency_back"),
        ("catalog", "component.starting"),
        ("catalog", "component.started"),
    ] {
        let wanted = |it: &String| {
            it.contains(&format!("component=\"{component}\""))
                && it.contains(&format!("event=\"{event}\""))
        };
        let found = rest.any(wanted);
        assert!(
            found,
            "{component} {event} in this order in\n{}",
            lines.join("\n")
        );
    }
    handle.stop().await.expect("the stop is clean");
}
