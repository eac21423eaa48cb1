//! The file of leases on disks that are full or must not be written, and in the hands of others.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;

use crate::disk::Disk;
use crate::process::{Candidate, Start, assert_one_at_a_time, since_boot, written};

/// SQLite finds nothing wrong with the file.
#[track_caller]
pub(crate) fn assert_sound(leases: &Path) {
    let connection = Connection::open(leases).expect("it is there");
    let check = "PRAGMA integrity_check";
    let found: String = connection
        .query_row(check, [], |row| row.get(0))
        .expect("it can be read");
    assert_eq!(found, "ok");
}

fn wait(milliseconds: i64) {
    let until = since_boot() + milliseconds;
    while since_boot() < until {
        std::thread::park_timeout(Duration::from_millis(20));
    }
}

#[test]
fn on_a_full_disk_a_leader_goes_in_time_nobody_follows_and_both_go_on_when_there_is_room() {
    let disk = Disk::of(512);
    let (leases, resource) = (
        disk.path().join("leases.db"),
        disk.beside().join("resource.db"),
    );
    let enter = disk.enter();
    let start = |node| {
        let candidate = Start::new(node, &resource).entering(&enter);
        candidate.sqlite(&leases)
    };
    let first = start("first");
    let old = first.tells("writes").token;
    let second = start("second");
    second.tells("observed");
    assert_eq!(first.tells("elected").token, old);

    disk.fill();
    let filled = since_boot();
    let expired = first.tells("expired");
    assert_eq!(expired.token, old);
    let took = expired.at - filled;
    assert!(took < 4_000, "beyond its lease: {took} ms");
    assert!(first.complains("disk is full").contains("leases.db"));
    second.complains("disk is full");
    // The lease is over in the file, too, and nobody can write that it is theirs.
    wait(1_500);
    for candidate in [&first, &second] {
        let told = candidate.told();
        assert!(told.iter().all(|it| it.what != "elected"), "{told:?}");
    }
    let last = written(&resource).last().expect("it has written").2;
    assert!(last <= expired.at, "{last} {expired:?}");

    disk.make_room();
    let freed = since_boot();
    let leads = |it: &Candidate| it.told().into_iter().find(|it| it.what == "writes");
    let next = loop {
        if let Some(line) = leads(&first).or_else(|| leads(&second)) {
            break line;
        }
        assert!(since_boot() < freed + 10_000, "nobody leads again");
        wait(20);
    };
    assert!(next.token > old);
    eprintln!(
        "full: the leader went after {took} ms; room: another tenure after {} ms",
        next.at - freed
    );
    for candidate in [first, second] {
        candidate.signal("TERM");
        assert_eq!(candidate.ends(), Some(0));
    }
    assert_one_at_a_time(&resource);
    let copy = disk.beside().join("copy");
    fs::create_dir(&copy).expect("a folder");
    assert!(disk.run("cp leases.db* ../copy/"));
    assert_sound(&copy.join("leases.db"));
}

struct Place(TempDir);

impl Place {
    /// A folder with a file of leases in order, which nobody holds.
    fn new() -> Self {
        let place = Self(tempfile::tempdir().expect("a folder"));
        let candidate = place.start("before", &[]);
        candidate.tells("writes");
        candidate.signal("TERM");
        assert_eq!(candidate.ends(), Some(0));
        place
    }

    fn leases(&self) -> PathBuf {
        self.0.path().join("leases.db")
    }

    fn start(&self, node: &str, by: &[String]) -> Candidate {
        let resource = self.0.path().join("resource.db");
        let candidate = Start::new(node, &resource).entering(by);
        candidate.sqlite(&self.leases())
    }

    /// It stops well, and leaves a file that is in order.
    #[track_caller]
    fn is_left_by(&self, candidate: Candidate) {
        candidate.signal("TERM");
        assert_eq!(candidate.ends(), Some(0));
        assert_sound(&self.leases());
    }
}

/// It says what is wrong, leads nothing, and stops well.
#[track_caller]
fn is_left_outside(candidate: Candidate, reason: &str) {
    candidate.complains(reason);
    let told = candidate.told();
    assert!(told.iter().all(|it| it.what != "elected"), "{told:?}");
    candidate.signal("TERM");
    assert_eq!(candidate.ends(), Some(0));
}

#[test]
fn a_file_or_a_folder_on_a_disk_that_must_not_be_written_gives_no_lease_and_says_why() {
    let disk = Disk::of(512);
    let resource = disk.beside().join("resource.db");
    let leases = disk.path().join("leases.db");
    let enter = disk.enter();
    let start = |node, leases: &Path| {
        let candidate = Start::new(node, &resource).entering(&enter);
        candidate.sqlite(leases)
    };
    let before = start("before", &leases);
    before.tells("writes");
    before.signal("TERM");
    assert_eq!(before.ends(), Some(0));
    assert!(disk.run("mount -o remount,ro ."));
    is_left_outside(start("file", &leases), "unable to open database file");
    let absent = disk.path().join("others.db");
    is_left_outside(start("folder", &absent), "unable to open database file");
    assert!(disk.run("mount -o remount,rw ."));
    let after = start("after", &leases);
    assert!(after.tells("writes").token > 1);
    assert_one_at_a_time(&resource);
}

#[test]
fn a_file_that_only_another_user_may_use_gives_no_lease_until_it_is_ours_again() {
    let place = Place::new();
    // The superuser without the right to pass over permissions is as everybody else; others need no more than a file
    // that is closed to them.
    let mode = |mode| {
        let permissions = fs::Permissions::from_mode(mode);
        fs::set_permissions(place.leases(), permissions).expect("ours");
    };
    let is_superuser = chown(place.leases(), Some(65_534), None).is_ok();
    mode(if is_superuser { 0o600 } else { 0o000 });
    let rights = "-dac_override,-dac_read_search";
    let dropped = [
        "setpriv",
        &format!("--bounding-set={rights}"),
        &format!("--inh-caps={rights}"),
    ];
    let dropped = dropped.map(str::to_owned);
    let by = if is_superuser { &dropped[..] } else { &[] };
    let candidate = place.start("stranger", by);
    candidate.complains("unable to open database file");
    if is_superuser {
        chown(place.leases(), Some(0), None).expect("the superuser's");
    }
    mode(0o600);
    assert!(candidate.tells("writes").token > 1);
    place.is_left_by(candidate);
}

#[test]
fn a_folder_in_place_of_the_file_ends_the_tenure_in_time_and_a_new_file_begins_another() {
    let place = Place::new();
    let leader = place.start("leader", &[]);
    let old = leader.tells("elected").token;
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", place.leases().display());
        fs::remove_file(path).expect("it is there while it is used");
    }
    fs::create_dir(place.leases()).expect("a folder");
    leader.complains("unable to open database file");
    assert_eq!(leader.tells("expired").token, old);
    fs::remove_dir(place.leases()).expect("it is empty");
    // Its tokens begin anew; that is why nobody should do this.
    assert!(leader.tells("elected").token < old);
    place.is_left_by(leader);
}

#[test]
fn a_file_that_is_deleted_while_it_is_used_ends_the_tenure_at_the_next_renewal() {
    let place = Place::new();
    let leader = place.start("leader", &[]);
    let old = leader.tells("elected").token;
    for suffix in ["", "-wal", "-shm"] {
        let path = format!("{}{suffix}", place.leases().display());
        fs::remove_file(path).expect("it is there while it is used");
    }
    assert_eq!(leader.tells("lost").token, old);
    assert!(leader.tells("elected").token < old);
    place.is_left_by(leader);
}
