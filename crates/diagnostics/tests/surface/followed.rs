//! Event streams over sockets.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use diagnostics::server::Limits;
use lifecycle_core::{Criticality, Registration};
use serde_json::Value;

use crate::support::{Rig, assert_closed, connect, get, idle};

fn degradable(name: &str) -> Registration {
    Registration::new(name, idle()).criticality(Criticality::Degradable)
}

/// A reader of one stream. It speaks HTTP/1.0, so that the body comes as it is.
struct Reader(BufReader<TcpStream>);

impl Reader {
    fn open(address: SocketAddr, headers: &str) -> Self {
        let mut stream = connect(address);
        let path = "/control/lifecycle/events";
        write!(stream, "GET {path} HTTP/1.0\r\n{headers}\r\n").unwrap();
        let mut reader = Self(BufReader::new(stream));
        assert_eq!(reader.line(), "HTTP/1.0 200 OK");
        let mut head = String::new();
        loop {
            let line = reader.line();
            if line.is_empty() {
                break;
            }
            head.push_str(&line);
            head.push('\n');
        }
        assert!(head.contains("content-type: text/event-stream\n"), "{head}");
        assert!(head.contains("cache-control: no-store\n"), "{head}");
        reader
    }

    #[track_caller]
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("within the deadline");
        line.trim_end().to_owned()
    }

    /// Kind, id and data of the next event.
    #[track_caller]
    fn event(&mut self) -> (String, Option<String>, Value) {
        let (mut kind, mut id) = (None, None);
        loop {
            let mut line = String::new();
            let read = self.0.read_line(&mut line).expect("within the deadline");
            assert_ne!(read, 0, "the stream has ended");
            let line = line.trim_end();
            if let Some(it) = line.strip_prefix("event: ") {
                kind = Some(it.to_owned());
            } else if let Some(it) = line.strip_prefix("id: ") {
                id = Some(it.to_owned());
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data = serde_json::from_str(data).expect("JSON");
                return (kind.expect("a kind"), id, data);
            }
        }
    }

    /// The next change of which `wanted` holds.
    #[track_caller]
    fn change(&mut self, wanted: impl Fn(&Value) -> bool) -> (String, Value) {
        loop {
            let (kind, id, data) = self.event();
            assert_eq!(kind, "change", "{data}");
            if wanted(&data) {
                return (id.expect("every change has one"), data);
            }
        }
    }

    fn rest(mut self) -> String {
        let mut rest = String::new();
        self.0.read_to_string(&mut rest).expect("an orderly end");
        rest
    }
}

#[test]
fn contract_b11_changes_can_be_watched_from_a_snapshot_on() {
    let rig = Rig::of(vec![degradable("pool")]);
    let address = rig.start();
    let mut reader = Reader::open(address, "");
    let (kind, id, snapshot) = reader.event();
    assert_eq!(kind, "snapshot");
    let sequence = snapshot["sequence"].as_u64().unwrap();
    assert!(id.unwrap().ends_with(&format!("-{sequence}")));
    assert_eq!(snapshot["components"][1]["name"], "pool");

    rig.run(rig.handle.restart("pool")).unwrap();
    let (id, first) = reader.change(|_| true);
    assert_eq!(first["sequence"], sequence + 1);
    assert!(id.ends_with(&format!("-{}", sequence + 1)));
    assert_eq!(
        (&first["kind"], &first["component"]),
        (&"operation".into(), &"pool".into())
    );
    let (_, runs) = reader.change(|it| it["to"] == "running");
    assert_eq!(runs["component"], "pool");
    assert_eq!(runs["from"], "starting");
    assert_eq!(runs["reason"], "succeeded");
    assert_eq!(runs["generation"], 2);
    assert!(runs["at"].as_str().unwrap().ends_with('Z'));
    rig.stop();
}

#[test]
fn a_reader_that_comes_back_goes_on_where_it_was() {
    let rig = Rig::of(vec![degradable("pool")]);
    let address = rig.start();
    let mut reader = Reader::open(address, "");
    let (_, id, _) = reader.event();
    drop(reader);
    rig.run(rig.handle.restart("pool")).unwrap();
    let header = format!("Last-Event-ID: {}\r\n", id.unwrap());
    let mut reader = Reader::open(address, &header);
    let (_, change) = reader.change(|_| true);
    assert_eq!(change["kind"], "operation");
    reader.change(|it| it["to"] == "running");
    rig.stop();
}

#[test]
fn streams_beyond_the_limit_are_refused_until_one_is_free() {
    let rig = Rig::with(vec![degradable("pool")], |it| it.event_streams(1));
    let address = rig.start();
    let mut reader = Reader::open(address, "");
    reader.event();
    let refused = get(address, "/control/lifecycle/events");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.header("retry-after"), Some("5"));
    let media_type = refused.header("content-type");
    assert_eq!(media_type, Some("application/problem+json"));
    assert_eq!(get(address, "/livez").status, 200);
    drop(reader);
    // The server notices that the client is gone when it has something to send.
    let begin = Instant::now();
    loop {
        rig.run(rig.handle.restart("pool")).unwrap();
        let mut probe = connect(address);
        write!(
            probe,
            "GET /control/lifecycle/events HTTP/1.0\r\nLast-Event-ID: x-1\r\n\r\n"
        )
        .unwrap();
        let mut status = [0; 12];
        probe.read_exact(&mut status).unwrap();
        if status.ends_with(b"200") {
            break;
        }
        assert!(
            begin.elapsed() < crate::support::DEADLINE,
            "it is not freed"
        );
    }
    rig.stop();
}

#[test]
fn the_stop_ends_streams_at_once_also_that_of_a_client_that_does_not_read() {
    let limits = Limits {
        drain: Duration::from_secs(600),
        ..Limits::default()
    };
    // More than sockets hold, so that what nobody reads stays with the server.
    let note = "x".repeat(200_000);
    let crowd = (0..200).map(|it| degradable(&format!("member-{it}")).label("note", &note));
    let rig = Rig::with(crowd.collect(), |it| it.limits(limits));
    let address = rig.start();
    let mut reader = Reader::open(address, "");
    reader.event();
    let _stuck = [Reader::open(address, ""), Reader::open(address, "")];
    for member in 0..200 {
        let restarted = rig.handle.restart(format!("member-{member}"));
        rig.run(restarted).expect("a stuck reader holds up nobody");
    }
    let begin = Instant::now();
    rig.stop();
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert_closed(address);
    reader.rest();
}
