//! Peers by gossip: processes that find each other, of which one goes and comes back while calls go on.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::kit::{Program, curl, file, path, program, run};

const DEADLINE: Duration = Duration::from_secs(30);

const GOSSIP: &str = r#"
    [gossip]
    bind = "127.0.0.1:0"
    gossip-interval = "50ms"
"#;

/// A node that echoes over gRPC, with the address of its gossip. When it is asked to stop, it settles as long as no test waits.
fn echoing(name: &str, seeds: &[&str]) -> (Program, String) {
    let file = file(&format!(
        r#"
            service = "echo"
            echo = true
            [defaults]
            settle = "40s"
            shutdown-timeout = "60s"
            [diagnostics]
            address = "127.0.0.1:0"
            [grpc-inbounds.0]
            address = "127.0.0.1:0"
            {GOSSIP}
            node-id = "{name}"
            seeds = {seeds:?}
        "#
    ));
    let (program, urls) = run(&["--config", path(&file)], 3);
    let (_, url) = urls
        .iter()
        .find(|it| it.0 == "mesh-gossip")
        .expect("it gossips");
    let address = url.strip_prefix("udp://").expect("over UDP");
    (program, address.to_owned())
}

/// A relay to every node that echoes, which tells what it sees of them.
struct Front {
    program: Program,
    url: String,
    log: Receiver<Value>,
}

impl Front {
    fn new(seeds: &[&str]) -> Self {
        let file = file(&format!(
            r#"
                service = "front"
                [diagnostics]
                address = "127.0.0.1:0"
                [http-inbounds.0]
                address = "127.0.0.1:0"
                [outbounds.echo]
                protocol = "grpc"
                peers-from = "gossip"
                [relays.echo]
                unary = ["echo"]
                {GOSSIP}
                node-id = "front"
                seeds = {seeds:?}
            "#
        ));
        let mut command = program(&["--config", path(&file), "--log-format", "json"]);
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut program = Program(child.expect("it runs"));
        let (told, log) = mpsc::channel();
        let lines = BufReader::new(program.0.stderr.take().expect("it is piped")).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Ok(line) = serde_json::from_str::<Value>(&line) else {
                    continue;
                };
                if told.send(line["fields"].clone()).is_err() {
                    return;
                }
            }
        });
        let mut lines = BufReader::new(program.0.stdout.take().expect("it is piped")).lines();
        let line = lines.next().expect("a line").expect("text");
        let url = line.strip_prefix("http-inbound:0 ").expect("its inbound");
        let url = url.to_owned();
        Self { program, url, log }
    }

    /// Waits until it says that a peer came or went, and says which.
    fn sees(&self, event: &str) -> String {
        let begin = Instant::now();
        while let Some(left) = DEADLINE.checked_sub(begin.elapsed()) {
            let Ok(line) = self.log.recv_timeout(left) else {
                break;
            };
            if line["event"] == event {
                return line["peer"].as_str().expect("a peer").to_owned();
            }
        }
        panic!("{event} never came");
    }

    fn call(&self) -> String {
        call(&self.url)
    }
}

fn call(url: &str) -> String {
    curl(url, &["-H", "Rpc-Procedure: echo", "-d", "hello"])
}

/// Calls on and on, until it is asked what became of them.
struct Caller {
    is_over: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    calling: thread::JoinHandle<Vec<String>>,
}

impl Caller {
    fn of(front: &Front) -> Self {
        let (is_over, url) = (Arc::new(AtomicBool::new(false)), front.url.clone());
        let (over, calls) = (Arc::clone(&is_over), Arc::new(AtomicUsize::new(0)));
        let made = Arc::clone(&calls);
        let calling = thread::spawn(move || {
            let mut failed = Vec::new();
            while !over.load(Ordering::Acquire) {
                let answer = call(&url);
                made.fetch_add(1, Ordering::AcqRel);
                if answer != "hello\n200 1.1" {
                    failed.push(answer);
                }
            }
            failed
        });
        Self {
            is_over,
            calls,
            calling,
        }
    }

    /// Waits until a call has ended that was begun after this moment; then those from before have ended, too.
    fn goes_on(&self) {
        let (before, begin) = (self.calls.load(Ordering::Acquire), Instant::now());
        while self.calls.load(Ordering::Acquire) < before + 2 {
            assert!(begin.elapsed() < DEADLINE, "no call ends");
            thread::yield_now();
        }
    }

    fn assert_answered(self) {
        self.is_over.store(true, Ordering::Release);
        let failed = self.calling.join().expect("it calls");
        assert_eq!(failed, [""; 0], "of {:?}", self.calls);
    }
}

/// Ends a node that settles by a second signal.
fn end(mut program: Program) {
    program.terminate();
    program.0.wait().expect("it ends");
}

#[test]
fn contract_b23_a_relay_finds_its_peers_leaves_one_that_stops_before_it_goes_and_finds_it_again() {
    let (a, seed) = echoing("a", &[]);
    let (mut b, other) = echoing("b", &[&seed]);
    let front = Front::new(&[&seed, &other]);
    let both = [front.sees("peer.added"), front.sees("peer.added")];
    assert_ne!(both[0], both[1]);
    let caller = Caller::of(&front);

    // It settles: it is still there, answers, and gets no more calls.
    b.terminate();
    let of_b = front.sees("peer.removed");
    assert!(both.contains(&of_b), "{of_b} of {both:?}");
    caller.goes_on();
    assert!(b.0.try_wait().expect("it is ours").is_none());
    end(b);

    let (b, _) = echoing("b", &[&seed]);
    let back = front.sees("peer.added");
    // The other one goes: from here on every answer is of the one that came back.
    a.terminate();
    let of_a = front.sees("peer.removed");
    assert!(both.contains(&of_a) && of_a != of_b, "{of_a}");
    caller.goes_on();
    end(a);
    caller.goes_on();
    caller.assert_answered();

    b.terminate();
    assert_eq!(front.sees("peer.removed"), back);
    let none = front.call();
    assert!(
        none.contains("dispatcher.outbound.no_available_peers"),
        "{none}"
    );
    assert!(none.ends_with("\n503 1.1"), "{none}");
    let ready = curl(&format!("{}/readyz", front.url), &[]);
    let issue = "grpc:echo:unary:default:no-available-peers";
    assert!(ready.contains(issue), "{ready}");
    end(b);
    let Front { mut program, .. } = front;
    program.terminate();
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
}
