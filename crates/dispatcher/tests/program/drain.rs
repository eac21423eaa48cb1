//! A drain under load: `h2load` asks as fast as it can, and counts what becomes of each request.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use crate::kit::{curl, file, path, started};

/// How many requests there are. They take about two seconds, and the drain begins within the first of them.
const REQUESTS: u64 = 60_000;

/// How many of them may be open at the same time.
const CONNECTIONS: u64 = 8;
const STREAMS: u64 = 4;

/// A call that stays open until this is dropped, and with it the drain.
struct Held {
    curl: Child,
    /// Kept: else it would end with its next line.
    _output: BufReader<ChildStdout>,
}

impl Held {
    /// Returns when the call has been let in.
    fn at(url: &str) -> Self {
        let child = Command::new("curl")
            .args(["--silent", "--no-buffer", "--max-time", "60"])
            .args(["--limit-rate", "1k", "-H", "Rpc-Procedure: count"])
            .args(["-H", "Accept: text/event-stream", "-d", "1000000000", url])
            .stdout(Stdio::piped())
            .spawn();
        let mut curl = child.expect("curl is installed");
        let output = curl.stdout.take().expect("it is piped");
        let mut output = BufReader::new(output);
        let read = output.read_line(&mut String::new()).expect("text");
        assert!(read > 0, "the call is refused");
        Self {
            curl,
            _output: output,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.curl.kill();
        let _ = self.curl.wait();
    }
}

/// What `h2load` has counted.
#[derive(Debug)]
struct Counts {
    /// Requests that were begun.
    started: u64,
    /// Answers of 2xx.
    succeeded: u64,
    /// Answers of 5xx.
    refused: u64,
    /// Other answers.
    others: u64,
    /// Requests without an answer.
    errored: u64,
}

impl Counts {
    fn read(told: &str) -> Self {
        let before = |what: &str| {
            let (before, _) = told.split_once(what).unwrap_or_else(|| panic!("{told}"));
            let number = before.rsplit([' ', '\n']).next().expect("a word");
            number.parse::<u64>().unwrap_or_else(|_| panic!("{told}"))
        };
        Self {
            started: before(" started"),
            succeeded: before(" 2xx"),
            refused: before(" 5xx"),
            others: before(" 3xx") + before(" 4xx"),
            errored: before(" errored"),
        }
    }
}

/// Runs the load against the program, which is asked to stop meanwhile: what the load has counted, and what the program has.
fn drained_under(arguments: &[&str]) -> (Counts, u64) {
    let (mut program, url, diagnostics) = started();
    let held = Held::at(&url);
    let message = file("hello");
    let load = Command::new("h2load")
        .args(["--requests", &REQUESTS.to_string()])
        .args(["--clients", &CONNECTIONS.to_string()])
        .args(["--header", "Rpc-Procedure: echo", "--data", path(&message)])
        .args(arguments)
        .arg(&url)
        .stdout(Stdio::piped())
        .spawn();
    let load = load.expect("h2load is installed");
    is_under_load(&diagnostics);
    program.terminate();
    let output = load.wait_with_output().expect("it ends");
    let told = String::from_utf8(output.stdout).expect("text");
    let answered = answered(&diagnostics);
    let ready = curl(&format!("{url}/readyz"), &[]);
    assert!(
        ready.contains("\"draining\": true"),
        "the open call holds the drain: {ready}"
    );
    drop(held);
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
    (Counts::read(&told), answered)
}

/// Returns when the load is under way.
fn is_under_load(diagnostics: &str) {
    let until = Instant::now() + Duration::from_secs(20);
    while answered(diagnostics) < REQUESTS / 100 {
        assert!(Instant::now() < until, "the load does not come");
    }
}

/// How many calls of `echo` were answered without an error, by the program's own count.
fn answered(diagnostics: &str) -> u64 {
    let metrics = curl(&format!("{diagnostics}/metrics"), &[]);
    let is_meant = |it: &&str| {
        it.starts_with("omnirelay_rpc_requests_total{")
            && it.contains("procedure=\"echo\"")
            && it.contains("code=\"OK\"")
    };
    let counts = metrics.lines().filter(is_meant);
    let counts = counts.filter_map(|it| it.rsplit(' ').next());
    counts.map(|it| it.parse::<u64>().expect("a number")).sum()
}

#[test]
fn in_a_drain_under_load_every_request_over_http_1_is_answered_or_refused() {
    let (counts, answered) = drained_under(&["--h1"]);
    assert_eq!(counts.started, REQUESTS, "{counts:?}");
    assert_eq!(counts.succeeded + counts.refused, REQUESTS, "{counts:?}");
    assert_eq!((counts.others, counts.errored), (0, 0), "{counts:?}");
    assert_eq!(counts.succeeded, answered, "{counts:?}");
    assert!(counts.succeeded > 0 && counts.refused > 0, "{counts:?}");
}

#[test]
fn in_a_drain_under_load_a_request_over_http_2_without_an_answer_was_never_taken_in() {
    let streams = STREAMS.to_string();
    let (counts, answered) = drained_under(&["--max-concurrent-streams", &streams]);
    // Each call that was taken in was answered, and its answer has arrived.
    assert_eq!(counts.succeeded, answered, "{counts:?}");
    assert!(counts.succeeded > 0, "{counts:?}");
    // What was begun later is refused, or beyond the last stream that the end of its connection names: this client gives it up,
    // others may send it again.
    let left = counts.started - counts.succeeded;
    assert!((1..=CONNECTIONS * STREAMS).contains(&left), "{counts:?}");
    assert_eq!(counts.others, 0, "{counts:?}");
}
