//! Who leads, as clients see it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{DEADLINE, Process, connect, get, get_until, post};
use crate::wiring::{ask, config, driven, within};

const LEADERS: &str = "/control/leaders";
const EVENTS: &str = "/control/events/leadership";

/// A reader of events.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(address: SocketAddr, path: &str) -> Self {
        let mut stream = connect(address);
        write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\n\r\n").unwrap();
        Self(BufReader::new(stream))
    }

    /// The next event, as its name and data; `None` at the end of the stream.
    fn next(&mut self) -> Option<(String, Value)> {
        let mut name = String::new();
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).expect("an orderly end") == 0 {
                return None;
            }
            if let Some(it) = line.strip_prefix("event: ") {
                it.trim().clone_into(&mut name);
            }
            if let Some(it) = line.strip_prefix("data: ") {
                return Some((name, serde_json::from_str(it).expect("JSON")));
            }
        }
    }

    /// The first change of this kind from here on.
    #[track_caller]
    fn change(&mut self, kind: &str) -> Value {
        loop {
            let (name, data) = self.next().expect("the stream goes on");
            if name == "change" && data["kind"] == kind {
                return data;
            }
        }
    }
}

/// The keys of a document, by alphabet: clients know them.
fn keys(document: &Value) -> String {
    let keys = document.as_object().expect("an object").keys();
    let mut keys: Vec<_> = keys.map(String::as_str).collect();
    keys.sort_unstable();
    keys.join(" ")
}

/// Waits until `node` is said to lead.
#[track_caller]
fn led_by(address: SocketAddr, node: &str) -> Value {
    let answer = get_until(address, LEADERS, |it| {
        it.status == 200 && it.json()["leaders"][0]["leaderId"] == node
    });
    answer.json()["leaders"][0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contract_68_leaders_are_shown_by_both_listeners_and_narrowed_without_regard_to_case() {
    let mut config = config();
    config.gossip.options.node_id = Some("plane-1".into());
    config.leadership.options.scopes = vec!["global-control".into(), "reports".into()];
    let (handle, ports) = driven(&config);
    within(handle.start()).await.expect("everything starts");
    for address in [ports.http().unwrap(), ports.diagnostics().unwrap()] {
        let check = move || {
            let row = led_by(address, "plane-1");
            assert_eq!(row["scope"], "global-control");
            assert_eq!(
                (&row["scopeKind"], &row["isLocal"]),
                (&json!("global"), &json!(true))
            );
            assert_eq!((&row["term"], &row["fenceToken"]), (&json!(1), &json!("1")));
            let expected =
                "expiresAt fenceToken isLocal issue issuedAt labels leaderId scope scopeKind term";
            assert_eq!(keys(&row), expected);
            let document = get(address, LEADERS).json();
            assert_eq!(
                keys(&document),
                "generatedAt leaders localNodeId schemaVersion"
            );
            assert_eq!(
                (&document["schemaVersion"], &document["localNodeId"]),
                (&json!("v1"), &json!("plane-1"))
            );
            assert_eq!(document["leaders"].as_array().unwrap().len(), 2);
            let narrowed = get(address, "/control/leaders?scope=REPORTS").json();
            assert_eq!(narrowed["leaders"].as_array().unwrap().len(), 1);
            assert_eq!(narrowed["leaders"][0]["scope"], "reports");
            let none = get(address, "/control/leaders?scope=other").json();
            assert_eq!(none["leaders"], json!([]));
            assert_eq!(get(address, "/control/leaders?scoop=other").status, 400);
        };
        tokio::task::spawn_blocking(check).await.unwrap();
    }
    within(handle.stop()).await.expect("the stop is clean");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contract_77_without_gossip_somebody_leads_and_without_leadership_nobody_is_shown() {
    let mut config = config();
    config.gossip.enabled = false;
    config.leadership.options.node_id = Some("alone".into());
    let (handle, ports) = driven(&config);
    within(handle.start()).await.expect("everything starts");
    let http = ports.http().unwrap();
    tokio::task::spawn_blocking(move || led_by(http, "alone"))
        .await
        .unwrap();
    within(handle.stop()).await.expect("the stop is clean");

    config.leadership.enabled = false;
    let (handle, ports) = driven(&config);
    within(handle.start()).await.expect("everything starts");
    let http = ports.http().unwrap();
    let document = ask(http, LEADERS).await.json();
    assert_eq!(
        (&document["localNodeId"], &document["leaders"]),
        (&Value::Null, &json!([]))
    );
    let read = move || Events::of(http, EVENTS).next().unwrap();
    let (name, data) = tokio::task::spawn_blocking(read).await.unwrap();
    assert_eq!((name.as_str(), &data["leaders"]), ("snapshot", &json!([])));
    within(handle.stop()).await.expect("the stop is clean");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contract_75_and_78_a_stream_begins_with_a_snapshot_sees_the_step_down_of_a_stop_and_ends()
{
    let (handle, ports) = driven(&config());
    within(handle.start()).await.expect("everything starts");
    let (http, diagnostics) = (ports.http().unwrap(), ports.diagnostics().unwrap());
    let begin = move || {
        let mut streams = [http, diagnostics].map(|it| Events::of(it, EVENTS));
        for stream in &mut streams {
            let (name, data) = stream.next().unwrap();
            assert_eq!(
                (name.as_str(), &data["kind"]),
                ("snapshot", &json!("snapshot"))
            );
            if data["leaders"][0]["leaderId"].is_null() {
                stream.change("elected");
            }
        }
        streams
    };
    let [of_http, mut of_diagnostics] = tokio::task::spawn_blocking(begin).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let change = of_diagnostics.change("stepped-down");
        while of_diagnostics.next().is_some() {}
        // What is a part of what stops ends its streams at the begin of that.
        let mut rest = String::new();
        let mut of_http = of_http.0;
        of_http.read_to_string(&mut rest).expect("an orderly end");
        change
    });
    within(handle.stop()).await.expect("the stop is clean");
    let change = within(read).await.unwrap();
    assert_eq!(
        (&change["reason"], &change["scope"]),
        (&json!("shutdown"), &json!("global-control"))
    );
}

#[test]
fn contract_b23_a_cordon_makes_the_leader_step_down_and_its_end_lets_it_lead_again() {
    let mut host = Process::anywhere(&["--node-id", "first"]);
    let http = host.address("control-plane:http");
    led_by(http, "first");
    let mut events = Events::of(http, EVENTS);
    let (name, _) = events.next().unwrap();
    assert_eq!(name, "snapshot");
    assert_eq!(post(http, "/control/upgrade/cordon", "{}").status, 200);
    let change = events.change("stepped-down");
    assert_eq!(
        (&change["leaderId"], &change["reason"]),
        (&json!("first"), &json!("cordoned"))
    );
    assert_eq!(
        get(http, LEADERS).json()["leaders"][0]["leaderId"],
        Value::Null
    );
    assert_eq!(post(http, "/control/upgrade/uncordon", "{}").status, 200);
    let elected = events.change("elected");
    assert_eq!(elected["term"], 2);
    let expected =
        "correlationId expiresAt fenceToken kind leaderId occurredAt reason scope scopeKind term";
    assert_eq!(keys(&elected), expected);
}

#[test]
fn a_stream_on_the_control_listener_does_not_hold_up_a_drain() {
    let mut host = Process::anywhere(&[]);
    let http = host.address("control-plane:http");
    let mut events = Events::of(http, EVENTS);
    events.next().expect("a snapshot");
    let begin = Instant::now();
    host.terminate();
    while events.next().is_some() {}
    assert_eq!(host.exit().code(), Some(0));
    assert!(begin.elapsed() < DEADLINE / 3, "{:?}", begin.elapsed());
}

#[test]
fn streams_are_limited_and_one_that_is_closed_makes_room() {
    let mut host = Process::anywhere(&[]);
    let (http, diagnostics) = (
        host.address("control-plane:http"),
        host.address("diagnostics"),
    );
    let mut open: Vec<_> = (0..32).map(|_| Events::of(http, EVENTS)).collect();
    for stream in &mut open {
        stream.next().expect("a snapshot");
    }
    let refused = get(diagnostics, EVENTS);
    assert_eq!(refused.status, 503, "they are those of both listeners");
    assert_eq!(refused.header("retry-after"), Some("5"));
    drop(open);
    let begin = Instant::now();
    while Events::of(diagnostics, EVENTS).next().is_none() {
        assert!(begin.elapsed() < DEADLINE, "no room is made");
    }
}

#[cfg(feature = "sqlite")]
#[test]
#[expect(clippy::print_stdout, reason = "how long it takes is worth being read")]
fn two_hosts_share_a_file_and_the_stop_of_one_lets_the_other_lead_in_less_than_five_seconds() {
    let folder = tempfile::tempdir().unwrap();
    let path = format!(
        "leadership.store.path={}",
        folder.path().join("leases").display()
    );
    let shared = [
        "--no-gossip",
        "--set",
        "leadership.store.kind=sqlite",
        "--set",
        &path,
    ];
    let host = |name| {
        let own = ["--set", name];
        let any = ["--diagnostics", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        Process::start(&[&any[..], &shared, &own].concat(), &[])
    };
    let mut first = host("leadership.node-id=first");
    let one = first.address("control-plane:http");
    let row = led_by(one, "first");
    assert_eq!(row["term"], 1);
    let mut second = host("leadership.node-id=second");
    let two = second.address("control-plane:http");
    assert_eq!(led_by(two, "first")["isLocal"], false);

    let mut events = Events::of(first.address("diagnostics"), EVENTS);
    let begin = Instant::now();
    first.terminate();
    let change = events.change("stepped-down");
    let (gave_up, reason) = (begin.elapsed(), change["reason"].clone());
    let row = led_by(two, "second");
    let led = begin.elapsed();
    println!("the leader gave up after {gave_up:?} ({reason}); another leads after {led:?}");
    assert_eq!((&row["term"], &row["isLocal"]), (&json!(2), &json!(true)));
    assert!(led.as_secs() < 5, "{led:?}");
    assert_eq!(first.exit().code(), Some(0));
    second.terminate();
    assert_eq!(second.exit().code(), Some(0));
}
