//! `events`.

use std::io::{BufRead as _, BufReader};
use std::process::Child;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use crate::kit::{run, spawn};
use crate::page::check;
use crate::server::{DEADLINE, Reply, Server};

const LINE: &str = "GET /control/lifecycle/events";

/// A run that goes on until the test ends.
pub(crate) struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Following {
    pub(crate) fn begin(server: &Server, line: &str) -> Self {
        let mut child = spawn(server, line);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        // It ends with the run.
        thread::spawn(move || stdout.lines().try_for_each(|it| sender.send(it.unwrap())));
        Self { child, lines }
    }

    /// The next line, within the deadline.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(DEADLINE).unwrap()
    }

    pub(crate) fn interrupt(&mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn snapshot(sequence: u64) -> String {
    format!("event: snapshot\nid: a1-{sequence}\ndata: {{\"sequence\":{sequence}}}\n\n")
}

fn change(sequence: u64, rest: &str) -> String {
    format!(
        "event: change\nid: a1-{sequence}\ndata: {{\"sequence\":{sequence},\"at\":\"2026-11-28T06:50:0{sequence}.250Z\",\"generation\":1,\"attempt\":1,{rest}}}\n\n"
    )
}

fn changes() -> String {
    [
        change(
            3,
            r#""kind":"transition","component":"db","from":"starting","to":"backing-off","reason":"failed","cause":null,"error":{"kind":"error","message":"db.internal:5432: Connection refused (os error 111), as it is so often"},"message":null"#,
        ),
        change(
            4,
            r#""kind":"transition","component":"orders","from":"starting","to":"waiting","reason":"dependencies-pending","cause":"db","error":null,"message":null"#,
        ),
        change(
            5,
            r#""kind":"progress","component":"http-inbound:0","from":null,"to":null,"reason":null,"cause":null,"error":null,"message":"letting calls in flight finish""#,
        ),
    ]
    .concat()
}

/// A host whose history begins with event 3, and whose last event is 5.
fn host() -> Server {
    let server = Server::new();
    server.on(LINE, |request| match request.header("last-event-id") {
        None => Reply::events(&snapshot(5)),
        Some("a1-0") => {
            let gap = "event: gap\ndata: {\"from\":1,\"to\":5,\"reason\":\"no-longer-kept\"}\n\n";
            Reply::events(&format!("retry: 1000\n\n{gap}{}", snapshot(5)))
        }
        Some("a1-2") => Reply::events(&changes()),
        Some("a1-3") => {
            let node = r#""kind":"node","component":null,"from":"active","to":"draining","reason":"operator","cause":null,"error":null,"message":null"#;
            Reply::events(&change(5, node))
        }
        Some("a1-4") => Reply::events(changes().split_inclusive("\n\n").last().unwrap()),
        Some(other) => panic!("{other} is not asked for"),
    });
    server
}

#[test]
fn the_last_events_are_shown_and_what_is_lost_is_said() {
    let server = host();
    check("events", &server, "events -n 3", 0);
    check("events-lost", &server, "events", 0);
    check("events-node", &server, "events -n 2", 0);
    check("events-last", &server, "events -n 1", 0);
    assert_eq!(run(&server, "events -n 0").ended(0).stdout, "");
}

#[test]
fn events_as_json_are_those_of_the_host_a_line_each() {
    let lines = run(&host(), "events -n 1 -o json").ended(0).stdout;
    let changes = changes();
    let data = changes.rsplit("data: ").next().unwrap().trim_end();
    assert_eq!(lines, format!("{data}\n"));
}

#[test]
fn what_is_followed_goes_on_over_a_connection_that_was_lost_without_losing_an_event() {
    let server = Server::new();
    let (first, stream) = Reply::stream();
    let (second, again) = Reply::stream();
    let mut streams = vec![again, stream];
    server.on(LINE, move |request| match request.header("last-event-id") {
        None => Reply::events(&snapshot(3)),
        Some("a1-2") => streams.pop().unwrap(),
        Some("a1-3") => streams.pop().unwrap(),
        Some(other) => panic!("{other} is not asked for"),
    });
    let mut following = Following::begin(&server, "events -f -n 1");
    let at = |sequence| {
        let text = format!(
            r#""kind":"transition","component":"c{sequence}","from":"starting","to":"running""#
        );
        change(sequence, &text)
    };
    let send = |stream: &Sender<String>, text: &str| stream.send(text.to_owned()).unwrap();
    send(&first, &at(3));
    assert_eq!(following.line(), "06:50:03.250 c3: starting → running");
    drop(first);
    // An event in two pieces is one event.
    let (one, other) = (&at(4)[..30], &at(4)[30..]);
    server.wait_for(LINE, 3);
    send(&second, one);
    send(&second, other);
    assert_eq!(following.line(), "06:50:04.250 c4: starting → running");
    assert_eq!(following.interrupt(), Some(130));
}

#[test]
fn a_new_process_of_the_host_is_announced_and_followed_from_its_beginning() {
    let server = Server::new();
    let (stream, reply) = Reply::stream();
    let mut reply = Some(reply);
    server.on(LINE, move |request| match request.header("last-event-id") {
        None => Reply::events(&snapshot(5)),
        Some(_) => reply.take().unwrap(),
    });
    let following = Following::begin(&server, "events -f");
    let text = r#""kind":"transition","component":"x","from":"created","to":"starting""#;
    let gap = "event: gap\ndata: {\"from\":null,\"to\":null,\"reason\":\"another-process\"}\n\n";
    let news = format!("{gap}{}{}", snapshot(0), change(1, text));
    stream.send(news.replace("a1-", "b2-")).unwrap();
    assert_eq!(following.line(), "… events are lost (another-process)");
    assert_eq!(following.line(), "… a new process: events count anew");
    assert_eq!(following.line(), "06:50:01.250 x: created → starting");
}

#[test]
fn a_host_without_the_stream_is_an_error_also_when_it_is_followed() {
    run(&Server::new(), "events -f").failed(3, "Not Found");
}
