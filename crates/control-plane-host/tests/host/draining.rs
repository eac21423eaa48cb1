//! What a signal does: drain, then stop; and what is answered meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Answer, DEADLINE, Process, connect, get, get_until, try_get};

/// A client of HTTP/2 that has asked for the peers, and takes nothing of the answer but its head until it is told to.
struct Reluctant(TcpStream);

const SETTINGS: u8 = 4;
const HEADERS: u8 = 1;
const WINDOW_UPDATE: u8 = 8;

impl Reluctant {
    /// Returns when the request is in flight for certain.
    fn ask(address: SocketAddr) -> Self {
        let mut client = Self(connect(address));
        client
            .0
            .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            .unwrap();
        // The initial window of a stream is none.
        client.send(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
        let mut head = vec![0x82, 0x86];
        for (name, value) in [(4, "/control/peers"), (1, "localhost")] {
            head.extend([name, u8::try_from(value.len()).unwrap()]);
            head.extend(value.bytes());
        }
        let ends_head_and_stream = 0x4 | 0x1;
        client.send(HEADERS, ends_head_and_stream, 1, &head);
        while client.receive().0 != HEADERS {}
        client
    }

    /// Takes the rest of the answer, and everything until the server closes.
    fn take(mut self) -> String {
        self.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0xff, 0xff]);
        let mut rest = Vec::new();
        self.0.read_to_end(&mut rest).expect("an orderly end");
        String::from_utf8_lossy(&rest).into_owned()
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u8, payload: &[u8]) {
        let length = u8::try_from(payload.len()).expect("a short frame");
        let head = [0, 0, length, kind, flags, 0, 0, 0, stream];
        self.0.write_all(&[&head[..], payload].concat()).unwrap();
    }

    /// The kind of the next frame, and what is in it.
    fn receive(&mut self) -> (u8, Vec<u8>) {
        let mut head = [0; 9];
        self.0.read_exact(&mut head).expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).expect("a whole frame");
        (head[3], payload)
    }
}

fn issues(answer: &Answer) -> Vec<String> {
    let body = answer.json();
    let issues = body["issues"].as_array().cloned().unwrap_or_default();
    issues
        .iter()
        .map(|it| it.as_str().unwrap().to_owned())
        .collect()
}

fn json_host(further: &[&str]) -> Process {
    Process::anywhere(&[&["--log-format", "json"], further].concat())
}

#[test]
fn museum_25_and_26_a_signal_settles_drains_and_stops_and_the_probes_answer_to_the_end() {
    let mut host = json_host(&["--set", "defaults.settle=3s"]);
    let (diagnostics, http) = (
        host.address("diagnostics"),
        host.address("control-plane:http"),
    );
    assert_eq!(get(diagnostics, "/readyz").status, 200);
    let open = Reluctant::ask(http);

    host.terminate();
    let unready = get_until(diagnostics, "/readyz", |it| it.status == 503);
    assert_eq!(issues(&unready)[0], "orchestrator:stopping");
    // It settles: who has not heard yet is still served.
    assert_eq!(get(http, "/control/peers").status, 200);
    assert_eq!(get(http, "/readyz").status, 503);
    assert_eq!(get(diagnostics, "/livez").status, 200);

    host.logged_all(&["component.draining", "control-plane:http"]);
    // The line tells the decision, and the listener is asked right after it.
    get_until(http, "/control/peers", |it| it.status == 503);
    let probing = thread::spawn(move || {
        let mut answers = Vec::new();
        while let Some(status) = try_get(diagnostics, "/livez") {
            answers.push(status);
        }
        answers
    });
    let rest = open.take();
    assert!(rest.contains("schemaVersion"), "{rest}");
    assert_eq!(host.exit().code(), Some(0));
    let answers = probing.join().unwrap();
    assert!(
        !answers.is_empty() && answers.iter().all(|it| *it == 200),
        "{answers:?}"
    );

    let log = host.whole_log();
    let mut from = 0;
    for parts in [
        ["orchestrator.stopping", "stop-requested"],
        ["component.draining", "control-plane:http"],
        ["component.drained", "control-plane:http"],
        ["component.stopping", "control-plane:http"],
        ["component.stopped", "control-plane:http"],
        ["component.stopped", "mesh-gossip"],
        ["component.stopping", "\"diagnostics\""],
        ["component.stopped", "\"diagnostics\""],
        ["orchestrator.stopped", "stop-requested"],
    ] {
        let lines: Vec<&str> = log.lines().skip(from).collect();
        let found = lines
            .iter()
            .position(|it| parts.iter().all(|part| it.contains(part)));
        from += 1 + found.unwrap_or_else(|| panic!("{parts:?} in this order in\n{log}"));
    }
}

#[test]
fn contract_58_and_59_a_draining_listener_refuses_what_is_new_and_finishes_what_is_open() {
    let mut host = json_host(&[]);
    let http = host.address("control-plane:http");
    let open = Reluctant::ask(http);
    let mut kept = connect(http);
    let ask = b"GET /control/peers HTTP/1.1\r\nHost: localhost\r\n\r\n";
    kept.write_all(ask).unwrap();
    let mut first = [0; 12];
    kept.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    host.terminate();
    host.logged_all(&["component.draining", "control-plane:http"]);
    let refused = get_until(http, "/control/peers", |it| it.status == 503);
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(refused.header("connection"), Some("close"));
    // Also who was here already.
    kept.write_all(ask).unwrap();
    let mut rest = String::new();
    kept.read_to_string(&mut rest).expect("an orderly end");
    assert!(rest.contains("HTTP/1.1 503"), "{rest}");

    for path in [
        "/livez",
        "/healthz",
        "/startupz",
        "/metrics",
        "/control/lifecycle",
    ] {
        assert_eq!(get(http, path).status, 200, "{path}");
    }
    let unready = get(http, "/readyz");
    assert_eq!(unready.status, 503);
    assert!(
        issues(&unready).contains(&"node:draining".to_owned()),
        "{unready:?}"
    );

    assert!(open.take().contains("schemaVersion"));
    assert_eq!(host.exit().code(), Some(0));
}

#[test]
fn museum_28_a_drain_that_hangs_says_on_whom_and_a_second_signal_forces_it() {
    let mut host = json_host(&[]);
    let (diagnostics, http) = (
        host.address("diagnostics"),
        host.address("control-plane:http"),
    );
    let open = Reluctant::ask(http);
    host.terminate();
    let counted = |it: &Answer| it.json()["node"]["blockedBy"][0]["inFlight"] == 1;
    let node = get_until(diagnostics, "/control/lifecycle", counted).json()["node"].clone();
    assert_eq!(node["drain"], "draining");
    assert!(node["deadline"].is_string());
    assert_eq!(node["blockedBy"][0]["component"], "control-plane:http");
    assert_eq!(node["blockedBy"][0]["progress"], "1 request in flight");
    let line = "lifecycle_drain_in_flight{component=\"control-plane:http\"} 1";
    let scraped = get(diagnostics, "/metrics").body;
    assert!(scraped.contains(line), "{scraped}");

    let begin = Instant::now();
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
    assert!(begin.elapsed() < DEADLINE / 2, "{:?}", begin.elapsed());
    drop(open);
}

#[test]
fn museum_27_an_idle_host_drains_and_stops_at_once() {
    let mut host = json_host(&[]);
    let http = host.address("control-plane:http");
    // A connection without a request is nothing to wait for.
    let idle = connect(http);
    let begin = Instant::now();
    host.terminate();
    assert_eq!(host.exit().code(), Some(0));
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    drop(idle);
}
