//! `leaders --watch`, and both forms against a real control-plane host.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use control_plane_host::config::Config;
use control_plane_host::host;
use lifecycle_runtime::{Handle, Orchestrator};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::documents;
use crate::events::Following;
use crate::kit::{Run, command};
use crate::server::{DEADLINE, Reply, Server};

fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn change(kind: &str, token: &str, reason: Option<&str>) -> String {
    let data = json!({
        "kind": kind, "occurredAt": "2026-11-28T06:50:13.250Z", "scope": "global-control", "scopeKind": "global",
        "leaderId": "mesh-b", "term": 5, "fenceToken": token, "expiresAt": null, "reason": reason, "correlationId": null
    });
    event("change", &data)
}

#[test]
fn a_watch_shows_how_things_stand_and_each_change_but_renewals() {
    let server = Server::new();
    let mut snapshot = documents::leaders();
    snapshot["kind"] = json!("snapshot");
    let stream = [
        event("snapshot", &snapshot),
        change("elected", "9007199254740993", None),
        change("renewed", "9007199254740993", None),
        event("gap", &json!({ "kind": "gap", "missed": 3 })),
        change("stepped-down", "9007199254740993", Some("cordoned")),
    ];
    let text = stream.concat();
    server.on(
        "GET /control/events/leadership?scope=global-control",
        move |_| Reply::events(&text),
    );
    let mut watching = Following::begin(
        &server,
        "mesh leaders status --watch --scope global-control",
    );
    assert_eq!(watching.line(), "2 scopes, * is this node");
    let lines = std::iter::repeat_with(|| watching.line());
    let mut lines = lines.skip_while(|it| !it.starts_with("06:50"));
    let mut next = || lines.next().unwrap();
    assert_eq!(
        next(),
        "06:50:13.250 global-control: elected mesh-b (term 5, token 9007199254740993)"
    );
    assert_eq!(next(), "… 3 events missed; how things stand now:");
    assert!(next().ends_with("token 9007199254740993): cordoned"));
    // It opens the stream again when that ends.
    server.wait_for("GET /control/events/leadership?scope=global-control", 2);
    drop(lines);
    assert_eq!(watching.interrupt(), Some(130));
}

/// A control-plane host in this process, without gossip, that leads.
struct Host {
    runtime: Runtime,
    handle: Handle,
    address: SocketAddr,
}

impl Host {
    fn leading() -> Self {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut config = Config::default();
        config.diagnostics.address = any;
        config.http.address = any;
        config.gossip.enabled = false;
        config.leadership.options.node_id = Some("plane-1".to_owned());
        let mut builder = Orchestrator::builder();
        let ports = host::wire(&config, &mut builder).unwrap();
        let mut runtime = Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        let entered = runtime.enter();
        let handle = builder.build().unwrap().spawn();
        drop(entered);
        let started = runtime.block_on(timeout(DEADLINE, handle.start()));
        started.unwrap().unwrap();
        Self {
            address: ports.http().unwrap(),
            runtime,
            handle,
        }
    }

    fn run(&self, line: &str) -> Run {
        let mut command = command();
        command.env("LIFECYCLECTL_ENDPOINT", self.address.to_string());
        command
            .args(line.split_whitespace())
            .output()
            .unwrap()
            .into()
    }
}

#[test]
fn a_real_host_says_who_leads_and_a_watch_sees_it_step_down() {
    let host = Host::leading();
    let mut command = command();
    command.env("LIFECYCLECTL_ENDPOINT", host.address.to_string());
    command.args(["leaders", "--watch"]).stdout(Stdio::piped());
    let mut watching = Following::of(command.spawn().unwrap());
    assert_eq!(watching.line(), "1 scope, * is this node");
    let begin = std::time::Instant::now();
    let page = loop {
        let page = host
            .run("mesh leaders status --scope Global-Control")
            .ended(0)
            .stdout;
        if page.contains("plane-1 *") {
            break page;
        }
        assert!(begin.elapsed() < DEADLINE, "nobody leads: {page}");
    };
    assert!(
        page.contains("global-control  plane-1 *  1     1"),
        "{page}"
    );
    let none = host.run("leaders --scope other").ended(0).stdout;
    assert_eq!(none, "this host stands for no such scope\n");
    host.run("cordon --reason disk").ended(0);
    while !watching
        .line()
        .ends_with("stepped-down plane-1 (term 1, token 1): cordoned")
    {}
    assert_eq!(watching.interrupt(), Some(130));
    let stopped = host
        .runtime
        .block_on(timeout(Duration::from_secs(20), host.handle.stop()));
    stopped.unwrap().unwrap();
}
