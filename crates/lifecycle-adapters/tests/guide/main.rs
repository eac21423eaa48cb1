//! The examples of this crate as docs/guide.md shows them: excerpts, commands, and what they print and answer.

#[path = "../../../lifecycle-runtime/tests/guide/page.rs"]
mod page;
#[path = "../../../lifecycle-runtime/tests/guide/process.rs"]
mod process;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use page::Page;
use process::{Ended, Process};

/// The examples that have a test here.
const RUN: &[&str] = &["http_service", "drain"];

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends one request on a connection of its own; [`Request::answer`] waits for what comes of it.
struct Request(TcpStream);

impl Request {
    fn new(method: &str, address: &str, path: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
        let length = "Content-Length: 0\r\n\r\n";
        stream.write_all((head + length).as_bytes()).unwrap();
        Self(stream)
    }

    /// The status, and the body.
    fn answer(mut self) -> (u16, String) {
        let mut text = String::new();
        self.0.read_to_string(&mut text).unwrap();
        let status = text.split(' ').nth(1).and_then(|it| it.parse().ok());
        let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
        (status.expect("a status line"), body.expect("a whole head"))
    }
}

fn get(address: &str, path: &str) -> (u16, String) {
    Request::new("GET", address, path).answer()
}

fn post(address: &str, path: &str) -> (u16, String) {
    Request::new("POST", address, path).answer()
}

/// Asks until the answer has this status: what a log tells is about to be so, and not yet.
#[track_caller]
fn answers(address: &str, path: &str, status: u16) {
    let deadline = Instant::now() + PATIENCE;
    while get(address, path).0 != status {
        assert!(Instant::now() < deadline, "{path} never answers {status}");
        thread::yield_now();
    }
}

/// Starts an example, and waits until it serves.
fn started(example: &str) -> (Process, String) {
    let mut process = Process::of(example);
    let line = process.reaches("http://");
    let address = line.trim_start_matches("http://").trim_end_matches('/');
    (process, address.to_owned())
}

#[track_caller]
fn ends_as_shown(process: Process, example: &str) {
    let Ended { code, lines } = process.end();
    assert_eq!(code, Some(0), "{lines:#?}");
    Page::read().assert_shows(example, &lines);
}

#[test]
fn the_first_service_answers_and_stops_in_order() {
    let (mut process, address) = started("http_service");
    let (status, body) = get(&address, "/");
    assert_eq!(status, 200);
    assert!(body.starts_with("visit "), "{body}");
    process.terminate();
    ends_as_shown(process, "http_service");
}

#[test]
fn a_drain_by_an_operator_refuses_what_is_new_until_it_is_resumed() {
    let (_process, address) = started("drain");
    answers(&address, "/readyz", 200);
    assert_eq!(post(&address, "/drain"), (200, "drained\n".to_owned()));
    assert_eq!(get(&address, "/").0, 503);
    assert_eq!(get(&address, "/readyz").0, 503);
    assert_eq!(post(&address, "/resume"), (200, "active\n".to_owned()));
    assert_eq!(get(&address, "/readyz").0, 200);
    assert_eq!(get(&address, "/"), (200, "hello\n".to_owned()));
}

#[test]
fn a_service_that_is_asked_to_end_settles_drains_and_answers_what_is_in_flight() {
    let (mut process, address) = started("drain");
    answers(&address, "/readyz", 200);
    let slow = Request::new("GET", &address, "/slow");
    // Taken in after that one, so that the server has both.
    assert_eq!(get(&address, "/").0, 200);
    process.terminate();
    answers(&address, "/readyz", 503);
    assert_eq!(get(&address, "/").0, 200, "served while it settles");
    process.reaches("component.draining");
    answers(&address, "/", 503);
    assert_eq!(slow.answer(), (200, "done\n".to_owned()));
    ends_as_shown(process, "drain");
}

#[test]
fn the_examples_of_this_crate_in_the_guide_are_those_that_are_run_here() {
    let page = Page::read();
    assert_eq!(page.examples_of(env!("CARGO_PKG_NAME")), RUN);
    page.assert_excerpts_of(env!("CARGO_PKG_NAME"));
    page.assert_commands_of(env!("CARGO_PKG_NAME"));
}
