//! The store in a file, by itself: what it keeps, and how it fails.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::Nanos;
use lifecycle_runtime::Orchestrator;
use mesh::leadership::{Claim, Leadership, Lease, LeaseError, LeaseStore, Options, SqliteStore};
use rusqlite::Connection;
use tempfile::TempDir;

use crate::kit::{global, options, within};

struct File {
    folder: TempDir,
}

impl File {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder for files"),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("leases.db")
    }

    /// A store of its own, as another process has one.
    fn store(&self) -> SqliteStore {
        SqliteStore::new(self.path())
    }
}

fn claim(holder: &str, ttl: Nanos) -> Claim {
    Claim {
        scope: global(),
        holder: holder.to_owned(),
        claimant: u64::from(holder.as_bytes()[0]),
        ttl,
    }
}

const LONG: Nanos = Nanos::from_secs(60);
const SHORT: Nanos = Nanos::from_millis(150);

async fn acquire(store: &SqliteStore, holder: &str) -> Result<Lease, LeaseError> {
    store.acquire(&claim(holder, LONG)).await
}

#[tokio::test]
async fn two_stores_of_one_file_give_a_scope_to_one_of_them() {
    let file = File::new();
    let (one, other) = (file.store(), file.store());
    let lease = acquire(&one, "a").await.expect("it is free");
    let Err(LeaseError::Held(incumbent)) = acquire(&other, "b").await else {
        panic!("it is held");
    };
    assert_eq!((incumbent.holder.as_str(), incumbent.term), ("a", 1));
    assert!(incumbent.remaining.expect("known") > Duration::from_secs(50));
    one.release(&lease).await.expect("released");
    assert_eq!(other.get(&global()).await.expect("asked"), None);
    assert_eq!(acquire(&other, "b").await.expect("it is free").term, 2);
}

#[tokio::test]
async fn a_lease_runs_out_in_real_time_and_terms_survive_a_new_start() {
    let file = File::new();
    let store = file.store();
    let lease = store.acquire(&claim("a", SHORT)).await.expect("it is free");
    store.renew(&lease).await.expect("in time");
    let other = file.store();
    let taken = within(async {
        loop {
            if let Ok(lease) = acquire(&other, "b").await {
                return lease;
            }
        }
    });
    assert_eq!(taken.await.term, 2);
    let late = store.renew(&lease).await;
    assert!(
        matches!(late, Err(LeaseError::NotCurrentLeader(Some(_)))),
        "{late:?}"
    );
}

#[tokio::test]
async fn calls_that_wait_together_are_carried_out_together() {
    let file = File::new();
    let store = file.store();
    let calls = (0..64).map(|it| {
        let (store, scope) = (store.clone(), format!("scope-{it}"));
        tokio::spawn(async move {
            let claim = Claim {
                scope: scope.parse().expect("a scope"),
                ..claim("a", LONG)
            };
            store.acquire(&claim).await
        })
    });
    for call in calls.collect::<Vec<_>>() {
        let lease = call.await.expect("no panic").expect("each is free");
        assert_eq!(lease.term, 1);
    }
}

/// Whether the store says that it cannot be asked, and how.
#[track_caller]
fn reason<T: std::fmt::Debug>(answer: Result<T, LeaseError>) -> String {
    match answer {
        Err(LeaseError::Unavailable(reason)) => reason.to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_named_and_opened_once_it_can() {
    let file = File::new();
    let folder = file.folder.path().join("later");
    let store = SqliteStore::new(folder.join("leases.db"));
    let reason = reason(acquire(&store, "a").await);
    assert!(reason.contains("later/leases.db"), "{reason}");
    fs::create_dir(folder).expect("made");
    acquire(&store, "a").await.expect("it is there now");
}

#[tokio::test]
async fn a_file_of_somebody_else_is_refused_and_left_as_it_is() {
    let file = File::new();
    let connection = Connection::open(file.path()).unwrap();
    connection.execute("CREATE TABLE other (x)", []).unwrap();
    let reason = reason(acquire(&file.store(), "a").await);
    assert!(reason.contains("not a file of leases"), "{reason}");
    fs::write(
        file.path(),
        "no database at all, and long enough to be read as one",
    )
    .unwrap();
    let reason = self::reason(acquire(&file.store(), "a").await);
    assert!(reason.contains("not a database"), "{reason}");
}

/// The superuser may write everywhere, so that a folder that vanished stands for what must not be written.
#[tokio::test]
async fn a_file_that_must_not_be_written_gives_no_lease() {
    let file = File::new();
    let lease = acquire(&file.store(), "a").await.expect("it is free");
    let read_only = Permissions::from_mode(0o444);
    fs::set_permissions(file.path(), read_only).expect("ours");
    let is_superuser = fs::OpenOptions::new().write(true).open(file.path()).is_ok();
    if is_superuser {
        // What SQLite needs beside the file cannot be made then.
        let gone = SqliteStore::new("/proc/leases.db");
        reason(acquire(&gone, "a").await);
    } else {
        reason(file.store().renew(&lease).await);
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_counts_and_not_the_one_that_is_gone() {
    let file = File::new();
    let store = file.store();
    let lease = acquire(&store, "a").await.expect("it is free");
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{suffix}", file.path().display()));
    }
    acquire(&file.store(), "b")
        .await
        .expect("the new file knows nobody");
    let lost = store.renew(&lease).await;
    let Err(LeaseError::NotCurrentLeader(Some(incumbent))) = lost else {
        panic!("{lost:?}");
    };
    assert_eq!(incumbent.holder, "b");
}

#[tokio::test]
async fn whoever_has_given_up_gets_no_lease_afterwards() {
    let file = File::new();
    let store = file.store();
    let lock = {
        acquire(&store, "z").await.expect("it is free");
        let mut connection = Connection::open(file.path()).unwrap();
        connection.set_transaction_behavior(rusqlite::TransactionBehavior::Immediate);
        connection
    };
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let other: Claim = Claim {
        scope: "other".parse().unwrap(),
        ..claim("a", LONG)
    };
    // The first waits for the lock on a thread, the second behind it.
    let first = tokio::spawn({
        let store = store.clone();
        async move { acquire(&store, "a").await }
    });
    let second = tokio::time::timeout(Duration::from_millis(50), store.acquire(&other)).await;
    assert!(second.is_err(), "it gave up");
    lock.execute_batch("COMMIT").unwrap();
    let _ = within(first).await;
    assert_eq!(store.get(&other.scope).await.expect("asked"), None);
}

#[tokio::test]
async fn sixty_four_scopes_in_a_file_are_led_and_renewed_by_one_process() {
    let file = File::new();
    let options = Options {
        scopes: (0..64).map(|it| format!("shard/shop/{it}")).collect(),
        ..options("a")
    };
    let leadership = Leadership::new(&options, Arc::new(file.store())).expect("valid options");
    let observer = leadership.observer();
    let mut builder = Orchestrator::builder();
    builder.register(leadership.registration());
    let handle = builder.build().expect("a valid plan").spawn();
    let mut events = observer.subscribe();
    handle.start().await.expect("starts");
    let (mut elected, mut renewed) = (0, 0);
    let all = async {
        while elected < 64 || renewed < 128 {
            let Some(mesh::leadership::Notice::Event(event)) = events.next().await else {
                continue;
            };
            match event.kind {
                mesh::leadership::EventKind::Elected => elected += 1,
                mesh::leadership::EventKind::Renewed => renewed += 1,
                other => panic!("{other:?}"),
            }
        }
    };
    within(all).await;
    handle.stop().await.expect("stops");
    let file = Connection::open(file.path()).unwrap();
    let held = "SELECT count(*) FROM lease WHERE holder IS NOT NULL";
    let held: i64 = file.query_row(held, [], |row| row.get(0)).unwrap();
    assert_eq!(held, 0, "all were given back");
}
