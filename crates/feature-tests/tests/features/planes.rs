//! Three control-plane hosts with one store of leases are restarted one after the other, while they are asked all the time.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use regex::Regex;

use crate::conformance::PYTHON;
use crate::fleet::{Fleet, Past};
use crate::load::{Told, Wrk};
use crate::process::DEADLINE;

/// How long a host stays ready before the next one: enough for who waits for its leases.
const PAUSE: &str = "1500ms";

#[test]
fn contract_b27_leadership_moves_with_growing_fences_while_three_hosts_are_restarted_and_each_tells_what_it_did()
 {
    let folder = tempfile::tempdir().expect("a folder");
    let leases = folder.path().join("leases.db");
    let store = format!("leadership.store.path={}", leases.display());
    let fleet = Fleet::planes(
        3,
        &[
            "grpc.enabled=true",
            "leadership.store.kind=sqlite",
            &store,
            "log.filter=info",
        ],
    );
    let watch = Watch::start(fleet.addresses("control-plane:grpc"));
    let load: Vec<_> = fleet
        .addresses("control-plane:http")
        .map(|it| Wrk::ask(it, "/control/leaders", Duration::from_secs(100)))
        .collect();

    let mut roll = fleet.roll(&["--pause", PAUSE]);
    assert_eq!(roll.exit(), Some(0));
    let asked: Vec<Told> = load.into_iter().map(Wrk::end).collect();
    let facts = watch.end();
    let hosts = fleet.end();

    for told in asked {
        // A client that asks one host alone finds it closed while it is restarted, and drained before.
        assert!(told.calls > 1_000, "{told:?}");
    }
    assert!(
        facts.snapshots.iter().all(|it| *it >= 2),
        "each stream came back: {facts:?}"
    );
    let ends: Vec<_> = facts
        .ends
        .iter()
        .filter(|it| *it != "UNAVAILABLE")
        .collect();
    assert!(ends.is_empty(), "{ends:?}");
    nobody_led_beside_another(&facts.told);
    for processes in &hosts {
        let [first, second] = &processes[..] else {
            panic!("each was restarted once");
        };
        has_told(first, &["node.cordoned", "node.draining", "node.drained"]);
        has_told(second, &["node.draining", "node.drained"]);
        has_counted(first);
        has_counted(second);
        let drains = |it: &str| it.contains("phase=\"drain\"");
        // Before it was told to end.
        assert_eq!(first.metrics.sum("lifecycle_attempts_total", drains), 1);
    }
}

/// What a client is told that watches all of them, and that comes back whenever a stream ends.
struct Watch {
    python: Child,
    /// It ends with this.
    input: ChildStdin,
    facts: JoinHandle<Facts>,
}

#[derive(Debug, Default)]
struct Facts {
    /// How many streams have begun, by host.
    snapshots: [u32; 3],
    /// How those ended that did.
    ends: Vec<String>,
    told: Vec<LeaderEvent>,
}

/// An event of leadership, as a host tells it.
#[derive(Clone, Debug)]
struct LeaderEvent {
    host: usize,
    kind: String,
    leader: String,
    fence: u64,
    at: Duration,
}

impl Watch {
    /// Returns when each of them has told who leads.
    #[track_caller]
    fn start(listeners: impl Iterator<Item = std::net::SocketAddr>) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/features/planes/watch.py");
        let mut python = Command::new(PYTHON)
            .arg(script)
            .args(listeners.map(|it| it.to_string()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it is installed: `cargo xtask ci --stage tools` does so");
        let input = python.stdin.take().expect("it is piped");
        let output = python.stdout.take().expect("it is piped");
        let (all_told, first) = channel();
        let facts = thread::spawn(move || {
            let mut facts = Facts::default();
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                facts.add(&line);
                if facts.snapshots.iter().all(|it| *it > 0) {
                    // It is waited for once.
                    let _ = all_told.send(());
                }
            }
            facts
        });
        let told = first.recv_timeout(DEADLINE);
        told.expect("each tells who leads");
        Self {
            python,
            input,
            facts,
        }
    }

    fn end(self) -> Facts {
        let Self {
            mut python,
            input,
            facts,
        } = self;
        drop(input);
        let facts = facts.join().expect("lines that are known");
        assert!(python.wait().expect("it is ours").success());
        facts
    }
}

impl Facts {
    fn add(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let host: usize = words[0].parse().expect("a number");
        match words[1..] {
            ["snapshot"] => self.snapshots[host] += 1,
            ["ended", code] => self.ends.push(code.to_owned()),
            ["told", kind, leader, fence, at] => self.told.push(LeaderEvent {
                host,
                kind: kind.to_owned(),
                leader: leader.to_owned(),
                fence: fence.parse().expect("a number"),
                at: Duration::from_micros(at.parse().expect("a number")),
            }),
            _ => panic!("not a fact: {line}"),
        }
    }
}

/// A tenancy is what its own host tells of it, from the first word to the last, all by the same clock. Its begin may be told while
/// nobody listens, when a host is elected as soon as it is back.
#[track_caller]
fn nobody_led_beside_another(told: &[LeaderEvent]) {
    let mut leaders = BTreeMap::new();
    let mut tenancies = BTreeMap::new();
    for event in told.iter().filter(|it| it.fence > 0) {
        let leader = leaders.entry(event.fence).or_insert(&event.leader);
        assert_eq!(*leader, &event.leader, "one fence is one leader's");
        let is_own = event.leader == format!("plane-{}", event.host + 1);
        if is_own && event.kind != "observed" {
            let (first, last) = tenancies.entry(event.fence).or_insert((event.at, event.at));
            (*first, *last) = (event.at.min(*first), event.at.max(*last));
        }
    }
    assert!(leaders.len() >= 2, "it has moved: {told:?}");
    let tenancies: Vec<_> = tenancies.into_iter().collect();
    for pair in tenancies.windows(2) {
        let [(_, (_, last)), (_, (first, _))] = pair else {
            unreachable!("windows of two");
        };
        assert!(
            last <= first,
            "who leads later has a greater fence: {told:?}"
        );
    }
}

/// The log of a process from its start to its end, as the contract has it: for the node as it was operated, for each component the
/// steps of one generation.
#[track_caller]
fn has_told(past: &Past, node: &[&str]) {
    let lines: Vec<_> = past.log.lines().filter_map(Line::read).collect();
    let of_node = lines.iter().filter(|it| it.event.starts_with("node."));
    assert_eq!(
        of_node.map(|it| it.event).collect::<Vec<_>>(),
        node,
        "{}",
        past.log
    );
    let of_host = lines.iter().filter(|it| it.event.starts_with("host."));
    let of_host: Vec<_> = of_host.map(|it| it.event).collect();
    let host = [
        "host.starting",
        "host.started",
        "host.signal",
        "host.stopping",
        "host.stopped",
    ];
    assert_eq!(of_host, host);
    let stays = ["starting", "started", "stopping", "stopped"];
    let drains = [
        "starting", "started", "draining", "drained", "stopping", "stopped",
    ];
    for (component, steps) in [
        ("diagnostics", &stays[..]),
        ("mesh-gossip", &stays),
        ("mesh-leadership", &stays),
        ("control-plane:http", &drains),
        ("control-plane:grpc", &stays),
    ] {
        let own = lines.iter().filter(|it| it.component == Some(component));
        let own: Vec<_> = own
            .filter_map(|it| it.event.strip_prefix("component."))
            .collect();
        assert_eq!(own, steps, "{component} in\n{}", past.log);
    }
    let loud = lines.iter().filter(|it| it.level != "INFO");
    assert_eq!(loud.count(), 0, "{}", past.log);
}

/// What its metrics say of a process that ran until it was told to end, or a little longer: the same as the log.
#[track_caller]
fn has_counted(past: &Past) {
    for (name, label, count) in [
        ("lifecycle_transitions_total", "to=\"starting\"", 5),
        ("lifecycle_transitions_total", "to=\"running\"", 5),
        ("lifecycle_transitions_total", "to=\"backing-off\"", 0),
        ("lifecycle_transitions_total", "to=\"faulted\"", 0),
        ("lifecycle_attempts_total", "phase=\"start\"", 5),
        ("lifecycle_attempts_total", "outcome=\"failed\"", 0),
        ("lifecycle_attempts_total", "outcome=\"timed-out\"", 0),
        ("lifecycle_restarts_total", "", 0),
        ("lifecycle_abandoned_tasks_total", "", 0),
    ] {
        let counted = past.metrics.sum(name, |it| it.contains(label));
        assert_eq!(counted, count, "{name} with {label}");
    }
}

/// A line about the lifecycle.
struct Line<'a> {
    level: &'a str,
    event: &'a str,
    component: Option<&'a str>,
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let field = |name: &str| {
            let pattern = Regex::new(&format!(r#"\b{name}="([^"]+)""#)).expect("a pattern");
            let range = pattern.captures(line)?.get(1)?.range();
            Some(&line[range])
        };
        Some(Self {
            level: line.split_whitespace().nth(1)?,
            event: field("event")?,
            component: field("component"),
        })
    }
}
