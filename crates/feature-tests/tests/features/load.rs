//! Calls that go on and on while something happens to who answers them: by `wrk` and by `h2load`, which count what fails.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};
use std::{env, fs};

/// How many calls `h2load` makes before it tells what became of them, and begins anew: five seconds' worth.
const BATCH: u64 = 1_000;

/// By how many connections of `h2load`, each of which makes a call [every so often](RATE).
const CONNECTIONS: u64 = 8;

/// How many calls a second a connection makes.
const RATE: u64 = 25;

/// How long a message is, which is answered with itself.
const MESSAGE: usize = 1_024;

/// What a load generator has seen.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Told {
    pub(crate) calls: u64,
    /// Not answered, or not as it should be.
    pub(crate) failed: u64,
    /// What 99 of 100 calls were answered within.
    pub(crate) p99: Duration,
}

/// Calls over HTTP/1.1 by `wrk`, over connections that stay open.
pub(crate) struct Wrk(Child);

impl Wrk {
    /// How many connections there are, and so how many calls may be under way at the end.
    pub(crate) const CONNECTIONS: u64 = 16;

    /// Calls the echo service for so long, or until the [end](Self::end).
    pub(crate) fn start(inbound: SocketAddr, longest: Duration) -> Self {
        Self::run("echo.lua", inbound, "/", longest)
    }

    /// Asks for a path as often.
    pub(crate) fn ask(listener: SocketAddr, path: &str, longest: Duration) -> Self {
        Self::run("ask.lua", listener, path, longest)
    }

    fn run(script: &str, at: SocketAddr, path: &str, longest: Duration) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/features/load");
        // What both scripts have in common is found by its name.
        let script = folder.join(script);
        let connections = Self::CONNECTIONS;
        let child = Command::new("wrk")
            .args(["--threads", "1", "--latency", "--timeout", "10s"])
            .args(["--connections", &connections.to_string()])
            .args(["--duration", &format!("{}s", longest.as_secs())])
            .arg("--script")
            .arg(script)
            .arg(format!("http://{at}{path}"))
            .env("LUA_PATH", folder.join("?.lua"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("wrk is installed: `cargo xtask ci --stage tools` does so");
        Self(child)
    }

    /// Ends the calls.
    #[track_caller]
    pub(crate) fn end(self) -> Told {
        // It tells what it has seen so far.
        let id = self.0.id().to_string();
        let sent = Command::new("kill").args(["-INT", &id]).status();
        assert!(sent.expect("kill is there").success());
        self.told()
    }

    /// Waits until the time is over.
    #[track_caller]
    pub(crate) fn told(mut self) -> Told {
        let mut text = String::new();
        let output = self.0.stdout.as_mut().expect("it is piped");
        output.read_to_string(&mut text).expect("a text");
        let line = text.lines().find_map(|it| it.strip_prefix("told "));
        let numbers = line.map(|it| it.split(' ').filter_map(|it| it.parse().ok()).collect());
        let numbers: Vec<u64> = numbers.unwrap_or_default();
        let [calls, failed, p99] = numbers[..] else {
            panic!("wrk has told nothing that is known: {text}");
        };
        Told {
            calls,
            failed,
            p99: Duration::from_micros(p99),
        }
    }
}

impl Drop for Wrk {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What `h2load` speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    Http,
    /// Unary calls, over HTTP/2.
    Grpc,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }

    /// What a call carries, and its answer too.
    fn body(self) -> Vec<u8> {
        let mut body = match self {
            Self::Http => Vec::new(),
            // Not compressed, and its length.
            Self::Grpc => vec![0, 0, 0, 4, 0],
        };
        body.resize(body.len() + MESSAGE, b'x');
        body
    }
}

/// Calls by `h2load` at a constant rate, in batches.
pub(crate) struct H2load {
    ended: Arc<AtomicBool>,
    batches: Option<JoinHandle<Vec<Batch>>>,
}

/// Some calls, and when each began and how long it took.
struct Batch {
    failed: u64,
    times: Vec<(Duration, Duration)>,
}

/// What all batches have seen.
pub(crate) struct Calls(Vec<Batch>);

impl H2load {
    /// Calls the echo service until the [end](Self::end); what it writes is in `folder`.
    pub(crate) fn start(inbound: SocketAddr, protocol: Protocol, folder: &Path) -> Self {
        let body = folder.join(protocol.name());
        fs::write(&body, protocol.body()).expect("it is written");
        let log = body.with_extension("log");
        let ended = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&ended);
        let batches = thread::spawn(move || {
            let mut batches = Vec::new();
            while !ends.load(Ordering::Relaxed) {
                batches.push(Batch::run(inbound, protocol, &body, &log));
            }
            batches
        });
        Self {
            ended,
            batches: Some(batches),
        }
    }

    /// Waits for the end of the batch under way, the last one.
    pub(crate) fn end(mut self) -> Calls {
        self.ended.store(true, Ordering::Relaxed);
        let batches = self.batches.take().expect("it ends once");
        Calls(batches.join().expect("h2load tells what it has seen"))
    }
}

impl Drop for H2load {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // What went wrong in there is told already.
        let _ = self.batches.take().map(JoinHandle::join);
    }
}

impl Batch {
    fn run(inbound: SocketAddr, protocol: Protocol, body: &Path, log: &PathBuf) -> Self {
        // It appends to the one of the last batch.
        let _ = fs::remove_file(log);
        let mut h2load = Command::new("h2load");
        h2load
            .args(["--requests", &BATCH.to_string()])
            .args(["--clients", &CONNECTIONS.to_string()])
            .args(["--rps", &RATE.to_string()])
            .args(["--max-concurrent-streams", "1", "--threads", "1"])
            .arg("--data")
            .arg(body)
            .arg("--log-file")
            .arg(log);
        match protocol {
            Protocol::Http => h2load
                .args(["--h1", "--header", "Rpc-Procedure: echo"])
                .arg(format!("http://{inbound}/")),
            Protocol::Grpc => h2load
                .args(["--header", "content-type: application/grpc"])
                .args(["--header", "te: trailers"])
                .arg(format!("http://{inbound}/echo/echo")),
        };
        let output = h2load.output();
        let output = output.expect("h2load is installed: `cargo xtask ci --stage tools` does so");
        let told = String::from_utf8_lossy(&output.stdout);
        let log = fs::read_to_string(log).expect("h2load has written it");
        Self {
            failed: failed(&told, protocol.body().len() as u64),
            times: log.lines().map(times).collect(),
        }
    }
}

impl Calls {
    pub(crate) fn all(&self) -> Told {
        self.told(|_| true)
    }

    /// Of those that began before `moment`.
    pub(crate) fn before(&self, moment: SystemTime) -> Told {
        let moment = since_epoch(moment);
        self.told(|it| it < moment)
    }

    /// Of those that began between two moments.
    pub(crate) fn between(&self, begin: SystemTime, end: SystemTime) -> Told {
        let (begin, end) = (since_epoch(begin), since_epoch(end));
        self.told(|it| begin <= it && it < end)
    }

    /// Failures are told for all, since no call is told apart that got an answer without a message.
    fn told(&self, counts: impl Fn(Duration) -> bool) -> Told {
        let times = self.0.iter().flat_map(|it| &it.times);
        let mut times: Vec<_> = times.filter(|it| counts(it.0)).map(|it| it.1).collect();
        times.sort_unstable();
        Told {
            calls: times.len() as u64,
            failed: self.0.iter().map(|it| it.failed).sum(),
            p99: times
                .get((times.len().saturating_sub(1)) * 99 / 100)
                .copied()
                .unwrap_or_default(),
        }
    }
}

fn since_epoch(moment: SystemTime) -> Duration {
    moment
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("it is later")
}

/// Of what `h2load` tells: how many calls did not succeed, or have no message in their answer. A gRPC call that fails is a 200 for it.
#[track_caller]
fn failed(told: &str, length: u64) -> u64 {
    let number = |text: &str| text.rsplit([' ', '(']).next()?.parse::<u64>().ok();
    let succeeded = told.split_once(" succeeded").and_then(|it| number(it.0));
    let traffic = told.split("traffic:").nth(1);
    let data = traffic.and_then(|it| number(it.split_once(") data")?.0));
    let (Some(succeeded), Some(data)) = (succeeded, data) else {
        panic!("h2load has told nothing that is known: {told}");
    };
    BATCH - succeeded.min(data / length)
}

/// Of a line `start, status, duration`, in microseconds and separated by tabs: the start and the duration.
fn times(line: &str) -> (Duration, Duration) {
    let fields = line.split_whitespace().map(str::parse);
    let fields: Vec<i64> = fields.collect::<Result<_, _>>().expect("numbers");
    let micros = |at: usize| Duration::from_micros(fields[at].unsigned_abs());
    (micros(0), micros(2))
}

#[test]
fn a_call_without_a_message_in_its_answer_has_failed() {
    let told = |succeeded: u64, data: u64| {
        format!(
            "requests: 1000 total, 1000 started, 1000 done, {succeeded} succeeded, 0 failed\n\
             traffic: 2.1MB (2200000) total, 20KB (20000) headers (space savings 0.00%), 2.0MB ({data}) data\n"
        )
    };
    assert_eq!(failed(&told(1_000, 1_024_000), 1_024), 0);
    assert_eq!(failed(&told(990, 1_024_000), 1_024), 10);
    assert_eq!(failed(&told(1_000, 1_023_000), 1_024), 1);
}
