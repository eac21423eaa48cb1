//! Five processes and one file: who leads, and what they write, while they are killed and paused.

use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Candidate, assert_one_at_a_time, pause, since_boot, written};

struct Place {
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder for files"),
        }
    }

    fn resource(&self) -> PathBuf {
        self.folder.path().join("resource.db")
    }

    fn leases(&self) -> PathBuf {
        self.folder.path().join("leases.db")
    }

    fn start(&self, node: &str) -> Candidate {
        let leases = self.leases().display().to_string();
        Candidate::start(node, &self.resource(), "sqlite", &leases)
    }
}

/// Which of `candidates` writes next.
#[track_caller]
fn next_writer(candidates: &[Candidate]) -> usize {
    let until = std::time::Instant::now() + Duration::from_secs(60);
    while std::time::Instant::now() < until {
        for (index, candidate) in candidates.iter().enumerate() {
            if candidate.told().iter().any(|it| it.what == "writes") {
                return index;
            }
        }
        std::thread::yield_now();
    }
    panic!("nobody writes");
}

#[test]
fn five_processes_that_are_killed_at_random_write_one_after_the_other() {
    let seed = std::process::id();
    eprintln!("seed: {seed}");
    let place = Place::new();
    let mut candidates: Vec<Candidate> = (0..5)
        .map(|it| place.start(&format!("node-{it}")))
        .collect();
    let mut random = u64::from(seed);
    let mut slowest = 0;
    for round in 0..3 {
        let leader = next_writer(&candidates);
        // Somewhere within the time between two renewals.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let moment = since_boot() + i64::from((random >> 33) as u32 % 1_400);
        while since_boot() < moment {
            std::thread::yield_now();
        }
        let leader = candidates.remove(leader);
        let killed = since_boot();
        leader.signal("KILL");
        drop(leader);
        candidates.push(place.start(&format!("late-{round}")));
        let next = next_writer(&candidates);
        slowest = slowest.max(since_boot() - killed);
        // It is asked for again at the beginning of the next round.
        candidates[next].signal("TERM");
        let stopped = candidates.remove(next);
        assert_eq!(stopped.ends(), Some(0));
    }
    eprintln!("slowest fail-over after a kill: {slowest} ms");
    assert!(slowest < 6_000, "{slowest} ms");
    let tenures = assert_one_at_a_time(&place.resource());
    assert!(tenures >= 6, "{tenures}");
}

#[test]
fn a_leader_that_stops_hands_over_at_once() {
    let place = Place::new();
    let first = place.start("first");
    first.tells("writes");
    let second = place.start("second");
    second.tells("observed");
    let began = since_boot();
    first.signal("TERM");
    let took = second.tells("elected").at - began;
    eprintln!("hand-over: {took} ms");
    assert_eq!(first.ends(), Some(0));
    second.tells("writes");
    assert!(took < 3_000, "{took} ms");
    assert_one_at_a_time(&place.resource());
}

#[test]
fn a_leader_that_is_paused_beyond_its_lease_ends_when_it_wakes_up_and_writes_nothing_more() {
    let place = Place::new();
    let first = place.start("first");
    let old = first.tells("writes").token;
    let second = place.start("second");
    second.tells("observed");
    let paused = since_boot();
    pause(&first, &[&place.leases(), &place.resource()]);
    let elected = second.tells("elected").at - paused;
    eprintln!("fail-over after a pause: {elected} ms");
    let new = second.tells("writes").token;
    assert!(new > old);
    let woke = since_boot();
    first.signal("CONT");
    assert_eq!(
        first.ends(),
        Some(71),
        "what is stale is not stopped, but ended"
    );
    eprintln!(
        "a stale leader ended {} ms after it woke up",
        since_boot() - woke
    );
    assert_one_at_a_time(&place.resource());
    assert_eq!(written(&place.resource()).last().map(|it| it.0), Some(new));
}
