//! [`SqliteStore`]: leases for the processes of one machine, in a file.
//!
//! Calls that wait at the same time are carried out in one transaction, so that one flush to the disk serves them all: a node
//! with many scopes renews them together. They run on a blocking thread, one batch at a time.

mod table;

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle_core::BoxFuture;
use rusqlite::{Connection, OpenFlags, TransactionBehavior};
use tokio::sync::{Semaphore, oneshot};

use crate::leadership::lease::{Claim, Incumbent, Lease};
use crate::leadership::scope::Scope;
use crate::leadership::sqlite::table::{Moment, Reply, Request};
use crate::leadership::store::{LeaseError, LeaseStore, Reach};

/// How long a call waits for another process that writes. Shorter than the time that leadership gives a store.
const BUSY: Duration = Duration::from_millis(500);

/// Keeps leases in a file that several processes of one machine share. Clones share their connection.
///
/// - A lease ends by the clock that counts from the machine's boot, which is the same for all processes and goes on while the
///   machine sleeps. Leases from before a reboot last for their whole time once more.
/// - Every change is on the disk before it is answered. Terms and tokens survive crashes of the process and of the machine;
///   whoever deletes the file begins anew, and so with smaller tokens.
/// - The file is opened with the first call, and again when another has taken its place. It must be on a local disk.
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    /// Calls that nobody has begun to carry out. Who calls waits for its answer, so there are no more than callers.
    pending: Mutex<VecDeque<Job>>,
    /// Held by who carries out a batch: one thread at most is blocked, whatever the disk does.
    turn: Arc<Semaphore>,
    file: Mutex<Option<File>>,
}

struct Job {
    request: Request,
    reply: oneshot::Sender<Result<Reply, LeaseError>>,
}

/// The file as it was when it was opened.
struct File {
    connection: Connection,
    identity: (u64, u64),
}

#[derive(Debug, thiserror::Error)]
#[error("{}: {failure}", path.display())]
struct FileError {
    path: PathBuf,
    failure: Failure,
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("{0}")]
    Sqlite(#[from] rusqlite::Error),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a file of leases, or of another version ({0})")]
    Foreign(i64),
    #[error("it cannot be shared: its journal is of the kind {0:?}, and has to be \"wal\"")]
    Journal(String),
}

impl SqliteStore {
    /// Leases in the file at `path`, which is made when there is none; its folder must be there.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            shared: Arc::new(Shared {
                path: path.into(),
                pending: Mutex::default(),
                turn: Arc::new(Semaphore::new(1)),
                file: Mutex::new(None),
            }),
        }
    }

    async fn call(&self, request: Request) -> Result<Reply, LeaseError> {
        let (reply, mut answer) = oneshot::channel();
        self.shared.pending().push_back(Job { request, reply });
        let turn = Arc::clone(&self.shared.turn).acquire_owned();
        let turn = tokio::select! {
            biased;
            // Somebody else's batch has taken it along.
            answer = &mut answer => return given(answer),
            turn = turn => turn.map_err(LeaseError::unavailable)?,
        };
        let shared = Arc::clone(&self.shared);
        tokio::task::spawn_blocking(move || {
            shared.carry_out_pending();
            drop(turn);
        });
        given(answer.await)
    }
}

fn given(
    answer: Result<Result<Reply, LeaseError>, oneshot::error::RecvError>,
) -> Result<Reply, LeaseError> {
    answer.unwrap_or_else(|_| Err(given_up()))
}

fn given_up() -> LeaseError {
    LeaseError::unavailable("the call was given up")
}

impl Shared {
    fn carry_out_pending(&self) {
        let jobs: Vec<Job> = self.pending().drain(..).collect();
        if jobs.is_empty() {
            return;
        }
        match self.carry_out(&jobs) {
            Ok(replies) => {
                for (job, reply) in jobs.into_iter().zip(replies) {
                    // Whoever has left meanwhile finds out by the claimant, or the lease runs out.
                    let _ = job.reply.send(reply);
                }
            }
            Err(failure) => {
                let path = self.path.clone();
                let message = FileError { path, failure }.to_string();
                for job in jobs {
                    let _ = job
                        .reply
                        .send(Err(LeaseError::unavailable(message.clone())));
                }
            }
        }
    }

    /// Carries out all or nothing.
    fn carry_out(&self, jobs: &[Job]) -> Result<Vec<Result<Reply, LeaseError>>, Failure> {
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        // Whatever goes wrong, the next batch opens the file anew.
        let mut file = match slot.take() {
            Some(file) if identity(&self.path).is_ok_and(|it| it == file.identity) => file,
            _ => open(&self.path)?,
        };
        let behavior = TransactionBehavior::Immediate;
        let transaction = file.connection.transaction_with_behavior(behavior)?;
        // Read while the file is locked: what another process has written is not from the future.
        let now = Moment::now()?;
        let mut replies = Vec::with_capacity(jobs.len());
        for job in jobs {
            // Who does not wait any more has given up, perhaps while the file was locked, and must not get a lease.
            let reply = if job.reply.is_closed() {
                Err(given_up())
            } else {
                table::carry_out(&transaction, &now, &job.request)?
            };
            replies.push(reply);
        }
        transaction.commit()?;
        *slot = Some(file);
        Ok(replies)
    }

    fn pending(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> Result<File, Failure> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    let journal = "PRAGMA journal_mode = WAL";
    let journal: String = connection.query_row(journal, [], |row| row.get(0))?;
    if journal != "wal" {
        return Err(Failure::Journal(journal));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    table::prepare(&transaction)?;
    transaction.commit()?;
    let identity = identity(path)?;
    Ok(File {
        connection,
        identity,
    })
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = fs::metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl LeaseStore for SqliteStore {
    fn kind(&self) -> &'static str {
        "sqlite"
    }

    fn reach(&self) -> Reach {
        Reach::Machine
    }

    fn acquire<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        Box::pin(async {
            let reply = self.call(Request::Acquire(claim.clone())).await?;
            let Reply::Acquired(term) = reply else {
                return Err(misplaced());
            };
            Ok(Lease {
                claim: claim.clone(),
                term,
                token: crate::leadership::FencingToken::new(term),
                session: 0,
            })
        })
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async {
            self.call(Request::Renew(lease.clone())).await?;
            Ok(())
        })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async {
            self.call(Request::Release(lease.clone())).await?;
            Ok(())
        })
    }

    fn get<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Option<Incumbent>, LeaseError>> {
        Box::pin(async {
            match self.call(Request::Get(scope.clone())).await? {
                Reply::Seen(incumbent) => Ok(incumbent),
                Reply::Acquired(_) | Reply::Done => Err(misplaced()),
            }
        })
    }
}

/// For our own mistakes: an answer to another question.
fn misplaced() -> LeaseError {
    debug_assert!(false, "a request has a reply of its own kind");
    LeaseError::unavailable("the answer is to another question")
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqliteStore")
            .field(&self.shared.path)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(scope: &str) -> Claim {
        Claim {
            scope: scope.parse().unwrap(),
            holder: "a".to_owned(),
            claimant: 1,
            ttl: lifecycle_core::Nanos::from_secs(60),
        }
    }

    /// Lets the file grow no more, as a full disk does.
    fn fill(store: &SqliteStore) {
        let slot = store.shared.file.lock().unwrap();
        let connection = &slot.as_ref().unwrap().connection;
        let pages: i64 = connection
            .query_row("PRAGMA page_count", [], |row| row.get(0))
            .unwrap();
        let limit = format!("PRAGMA max_page_count = {pages}");
        let limit: i64 = connection.query_row(&limit, [], |row| row.get(0)).unwrap();
        assert_eq!(limit, pages);
    }

    #[tokio::test]
    async fn a_full_disk_gives_no_lease_takes_none_away_and_is_over_once_there_is_room() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqliteStore::new(folder.path().join("leases.db"));
        let lease = store.acquire(&claim("first")).await.unwrap();
        fill(&store);
        // Each makes a row; sooner or later that needs a page.
        let mut given = 0;
        let refused = loop {
            match store.acquire(&claim(&format!("more-{given:0>200}"))).await {
                Ok(_) => given += 1,
                Err(error) => break error,
            }
        };
        let LeaseError::Unavailable(reason) = refused else {
            panic!("{refused:?}");
        };
        let reason = reason.to_string();
        assert!(reason.contains("full"), "{reason}");
        store.renew(&lease).await.unwrap();
        // The next connection has no limit.
        let retried = store.acquire(&claim(&format!("more-{given:0>200}"))).await;
        assert_eq!(
            retried.unwrap().term,
            1,
            "what was refused has left nothing"
        );
    }
}
