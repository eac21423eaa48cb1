//! Five processes and one file: who leads, and what they write, while they are killed and paused.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use crate::process::{Candidate, assert_one_at_a_time, pause, since_boot, written};
use crate::sqlite_disks::assert_sound;

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

/// Numbers from a seed, which is printed, and can be given by `LEADERSHIP_SEED`.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let given = std::env::var("LEADERSHIP_SEED").ok();
        let seed = given.and_then(|it| it.parse().ok());
        let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
        eprintln!("LEADERSHIP_SEED={seed}");
        Self(seed)
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % limit
    }

    fn wait(&mut self, most: u64) {
        let moment = since_boot() + self.below(most).cast_signed();
        while since_boot() < moment {
            std::thread::park_timeout(Duration::from_millis(1));
        }
    }
}

#[test]
fn processes_that_are_killed_in_the_middle_of_anything_leave_a_sound_file_and_one_holder_at_a_time()
{
    let (place, mut chance) = (Place::new(), Chance::new());
    let mut contenders: Vec<_> = (1..=5)
        .map(|it| Candidate::contending(it, &place.leases()))
        .collect();
    let mut told = Vec::new();
    for late in 0..40 {
        chance.wait(100);
        let victim = usize::try_from(chance.below(5)).expect("it is small");
        told.extend(contenders.swap_remove(victim).killed());
        contenders.push(Candidate::contending(100 + late, &place.leases()));
    }
    chance.wait(1_000);
    told.extend(contenders.into_iter().flat_map(Candidate::killed));

    let mut acquired = BTreeMap::new();
    for line in told.iter().filter(|it| it.what == "acquired") {
        let before = acquired.insert(line.token, line.at);
        assert_eq!(before, None, "{} was given twice", line.token);
    }
    for line in told.iter().filter(|it| it.what == "renewed") {
        // The time is from before it was renewed; that of who came next from after it was given the lease.
        if let Some((next, at)) = acquired.range(line.token + 1..).next() {
            assert!(line.at <= *at, "{line:?} overlaps {next} of {at}");
        }
    }
    assert!(acquired.len() > 50, "{}", acquired.len());
    eprintln!("{} leases, 45 processes killed", acquired.len());
    assert_sound(&place.leases());
}

#[test]
fn five_processes_that_are_killed_at_random_write_one_after_the_other() {
    let (place, mut chance) = (Place::new(), Chance::new());
    let mut candidates: Vec<Candidate> = (0..5)
        .map(|it| place.start(&format!("node-{it}")))
        .collect();
    let mut slowest = 0;
    for round in 0..3 {
        let leader = next_writer(&candidates);
        // Somewhere within the time between two renewals.
        chance.wait(1_400);
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
    let woken = first.wakes_up();
    woken.is_stale(old);
    eprintln!(
        "a stale leader was gone ({woken:?}) {} ms after it woke up",
        since_boot() - woke
    );
    assert_one_at_a_time(&place.resource());
    assert_eq!(written(&place.resource()).last().map(|it| it.0), Some(new));
}
