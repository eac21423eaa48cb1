//! The table of leases: what one request reads and writes within a transaction.

use std::fs;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use lifecycle_core::Nanos;
use rusqlite::{OptionalExtension, Row, Transaction, params};

use crate::leadership::clock::boot_time;
use crate::leadership::lease::{Claim, FencingToken, Incumbent, Lease};
use crate::leadership::scope::Scope;
use crate::leadership::sqlite::Failure;
use crate::leadership::store::LeaseError;

/// `leas`, in ASCII: tells our files from others.
const APPLICATION: i64 = 0x6C65_6173;
const VERSION: i64 = 1;

/// A scope without a holder keeps its row, and so its term. The token is the term.
const TABLE: &str = "
    CREATE TABLE lease (
        scope TEXT PRIMARY KEY,
        term INTEGER NOT NULL,
        holder TEXT,
        claimant INTEGER NOT NULL,
        ttl_nanos INTEGER NOT NULL,
        boot TEXT NOT NULL,
        until_nanos INTEGER NOT NULL,
        acquired_at TEXT NOT NULL
    ) STRICT, WITHOUT ROWID";

const SELECT: &str =
    "SELECT term, holder, claimant, ttl_nanos, boot, until_nanos FROM lease WHERE scope = ?";

const ACQUIRE: &str = "
    INSERT INTO lease (scope, term, holder, claimant, ttl_nanos, boot, until_nanos, acquired_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
    ON CONFLICT (scope) DO UPDATE SET
        term = ?2, holder = ?3, claimant = ?4, ttl_nanos = ?5, boot = ?6, until_nanos = ?7, acquired_at = ?8";

const PROLONG: &str = "UPDATE lease SET boot = ?2, until_nanos = ?3 WHERE scope = ?1";

const RELEASE: &str = "
    UPDATE lease SET holder = NULL WHERE scope = ?1 AND term = ?2 AND claimant = ?3";

/// What a caller wants.
#[derive(Debug)]
pub(super) enum Request {
    Acquire(Claim),
    Renew(Lease),
    Release(Lease),
    Get(Scope),
}

#[derive(Debug, PartialEq)]
pub(super) enum Reply {
    Acquired(u64),
    Done,
    Seen(Option<Incumbent>),
}

/// The time since the boot, and which boot that was.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    boot: String,
    since_boot: Duration,
}

impl Moment {
    pub(super) fn now() -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        Ok(Self {
            boot: boot.trim().to_owned(),
            since_boot: boot_time(),
        })
    }

    fn after(&self, ttl: Nanos) -> i64 {
        as_integer(self.since_boot.saturating_add(ttl.into()))
    }
}

/// Makes the table, unless it is there.
pub(super) fn prepare(transaction: &Transaction<'_>) -> Result<(), Failure> {
    let number = |name| transaction.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let found = (number("application_id")?, number("user_version")?);
    if found == (APPLICATION, VERSION) {
        return Ok(());
    }
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = transaction.query_row(tables, [], |row| row.get(0))?;
    if found != (0, 0) || tables > 0 {
        return Err(Failure::Foreign(found.1));
    }
    transaction.execute(TABLE, [])?;
    transaction.pragma_update(None, "application_id", APPLICATION)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    Ok(())
}

/// Does what one caller wants; the outer error is the file's.
pub(super) fn carry_out(
    transaction: &Transaction<'_>,
    now: &Moment,
    request: &Request,
) -> rusqlite::Result<Result<Reply, LeaseError>> {
    let at = Place { transaction, now };
    match request {
        Request::Acquire(claim) => at.acquire(claim),
        Request::Renew(lease) => at.renew(lease),
        Request::Release(lease) => at.release(lease),
        Request::Get(scope) => {
            let found = at.read(scope)?;
            Ok(Ok(Reply::Seen(found.and_then(|it| it.incumbent()))))
        }
    }
}

struct Place<'a> {
    transaction: &'a Transaction<'a>,
    now: &'a Moment,
}

/// One row, with what is left of its lease.
struct Tenancy {
    term: u64,
    holder: Option<String>,
    claimant: u64,
    remaining: Duration,
}

impl Tenancy {
    fn incumbent(&self) -> Option<Incumbent> {
        let holder = self.holder.clone()?;
        (!self.remaining.is_zero()).then(|| Incumbent {
            holder,
            term: self.term,
            token: FencingToken::new(self.term),
            remaining: Some(self.remaining),
        })
    }
}

impl Place<'_> {
    fn acquire(&self, claim: &Claim) -> rusqlite::Result<Result<Reply, LeaseError>> {
        let found = self.read(&claim.scope)?;
        if let Some(tenancy) = &found
            && tenancy.claimant != claim.claimant
            && let Some(incumbent) = tenancy.incumbent()
        {
            return Ok(Err(LeaseError::Held(incumbent)));
        }
        let term = found.map_or(0, |it| it.term) + 1;
        self.transaction.prepare(ACQUIRE)?.execute(params![
            claim.scope.as_str(),
            term.cast_signed(),
            claim.holder,
            claim.claimant.cast_signed(),
            as_integer(claim.ttl.into()),
            self.now.boot,
            self.now.after(claim.ttl),
            Timestamp::now().to_string(),
        ])?;
        Ok(Ok(Reply::Acquired(term)))
    }

    fn renew(&self, lease: &Lease) -> rusqlite::Result<Result<Reply, LeaseError>> {
        let found = self.read(&lease.claim.scope)?;
        // The claimant too: in another file somebody else may have the same term.
        let is_held = |it: &&Tenancy| {
            it.term == lease.term && it.claimant == lease.claim.claimant && it.holder.is_some()
        };
        let Some(tenancy) = found.as_ref().filter(is_held) else {
            let incumbent = found.and_then(|it| it.incumbent());
            return Ok(Err(LeaseError::NotCurrentLeader(incumbent)));
        };
        if tenancy.remaining.is_zero() {
            return Ok(Err(LeaseError::Expired));
        }
        self.prolong(&lease.claim.scope, lease.claim.ttl)?;
        Ok(Ok(Reply::Done))
    }

    fn release(&self, lease: &Lease) -> rusqlite::Result<Result<Reply, LeaseError>> {
        let scope = lease.claim.scope.as_str();
        let mut release = self.transaction.prepare(RELEASE)?;
        release.execute(params![
            scope,
            lease.term.cast_signed(),
            lease.claim.claimant.cast_signed()
        ])?;
        Ok(Ok(Reply::Done))
    }

    fn prolong(&self, scope: &Scope, ttl: Nanos) -> rusqlite::Result<()> {
        let mut prolong = self.transaction.prepare(PROLONG)?;
        prolong.execute(params![scope.as_str(), self.now.boot, self.now.after(ttl)])?;
        Ok(())
    }

    fn read(&self, scope: &Scope) -> rusqlite::Result<Option<Tenancy>> {
        let mut select = self.transaction.prepare(SELECT)?;
        let found = select.query_row([scope.as_str()], |row| self.tenancy(row));
        let Some((tenancy, unknown)) = found.optional()? else {
            return Ok(None);
        };
        if let Some(ttl) = unknown {
            // From now on it is known.
            self.prolong(scope, ttl)?;
        }
        Ok(Some(tenancy))
    }

    /// The row, and its time to live if nobody can say how much of it is left: the machine has been booted since, or put back
    /// to an earlier state. Then it lasts for all of it once more.
    fn tenancy(&self, row: &Row<'_>) -> rusqlite::Result<(Tenancy, Option<Nanos>)> {
        let ttl = as_duration(row.get(3)?);
        let boot: String = row.get(4)?;
        let left = as_duration(row.get(5)?).saturating_sub(self.now.since_boot);
        let is_known = boot == self.now.boot && left <= ttl;
        let tenancy = Tenancy {
            term: row.get::<_, i64>(0)?.cast_unsigned(),
            holder: row.get(1)?,
            claimant: row.get::<_, i64>(2)?.cast_unsigned(),
            remaining: if is_known { left } else { ttl },
        };
        Ok((tenancy, (!is_known).then(|| Nanos::from(ttl))))
    }
}

fn as_integer(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

fn as_duration(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    const TTL: Nanos = Nanos::from_secs(4);

    fn scope() -> Scope {
        Scope::global_control()
    }

    fn claim(holder: &str, claimant: u64) -> Claim {
        Claim {
            scope: scope(),
            holder: holder.to_owned(),
            claimant,
            ttl: TTL,
        }
    }

    fn at(boot: &str, secs: u64) -> Moment {
        Moment {
            boot: boot.to_owned(),
            since_boot: Duration::from_secs(secs),
        }
    }

    struct Run(Connection);

    impl Run {
        fn new() -> Self {
            let mut connection = Connection::open_in_memory().unwrap();
            let transaction = connection.transaction().unwrap();
            prepare(&transaction).unwrap();
            transaction.commit().unwrap();
            Self(connection)
        }

        fn ask(&mut self, now: &Moment, request: &Request) -> Result<Reply, LeaseError> {
            let transaction = self.0.transaction().unwrap();
            let reply = carry_out(&transaction, now, request).unwrap();
            transaction.commit().unwrap();
            reply
        }

        /// The term that the claim got, or who holds the scope for how many more seconds.
        fn acquire(&mut self, now: &Moment, holder: &str) -> Result<u64, (String, u64)> {
            let claimant = u64::from(holder.as_bytes()[0]);
            match self.ask(now, &Request::Acquire(claim(holder, claimant))) {
                Ok(Reply::Acquired(term)) => Ok(term),
                Err(LeaseError::Held(it)) => Err((it.holder, it.remaining.unwrap().as_secs())),
                other => panic!("{other:?}"),
            }
        }

        fn lease(holder: &str, term: u64) -> Lease {
            Lease {
                claim: claim(holder, u64::from(holder.as_bytes()[0])),
                term,
                token: FencingToken::new(term),
                session: 0,
            }
        }
    }

    #[test]
    fn a_lease_ends_by_the_time_since_the_boot() {
        let mut run = Run::new();
        assert_eq!(run.acquire(&at("x", 10), "a"), Ok(1));
        assert_eq!(run.acquire(&at("x", 13), "b"), Err(("a".to_owned(), 1)));
        assert_eq!(run.acquire(&at("x", 14), "b"), Ok(2));
    }

    #[test]
    fn after_a_reboot_a_lease_lasts_for_its_whole_time_once_more_and_no_longer() {
        let mut run = Run::new();
        assert_eq!(run.acquire(&at("x", 10), "a"), Ok(1));
        assert_eq!(run.acquire(&at("y", 1), "b"), Err(("a".to_owned(), 4)));
        assert_eq!(run.acquire(&at("y", 4), "b"), Err(("a".to_owned(), 1)));
        assert_eq!(run.acquire(&at("y", 5), "b"), Ok(2));
    }

    #[test]
    fn a_clock_that_was_put_back_does_not_make_a_lease_longer_than_it_may_be() {
        let mut run = Run::new();
        assert_eq!(run.acquire(&at("x", 1_000), "a"), Ok(1));
        assert_eq!(run.acquire(&at("x", 10), "b"), Err(("a".to_owned(), 4)));
        assert_eq!(run.acquire(&at("x", 14), "b"), Ok(2));
    }

    #[test]
    fn a_renewal_is_for_the_holder_alone_and_never_brings_back_what_has_run_out() {
        let mut run = Run::new();
        run.acquire(&at("x", 0), "a").unwrap();
        let renew = Request::Renew(Run::lease("a", 1));
        assert!(run.ask(&at("x", 3), &renew).is_ok());
        assert!(run.ask(&at("x", 6), &renew).is_ok());
        let late = run.ask(&at("x", 10), &renew);
        assert!(matches!(late, Err(LeaseError::Expired)), "{late:?}");
        run.acquire(&at("x", 10), "b").unwrap();
        let superseded = run.ask(&at("x", 11), &renew);
        let Err(LeaseError::NotCurrentLeader(Some(incumbent))) = superseded else {
            panic!("{superseded:?}");
        };
        assert_eq!(incumbent.holder, "b");
    }

    #[test]
    fn what_is_released_is_free_at_once_and_its_term_is_not_forgotten() {
        let mut run = Run::new();
        run.acquire(&at("x", 0), "a").unwrap();
        run.ask(&at("x", 1), &Request::Release(Run::lease("a", 1)))
            .unwrap();
        let seen = run.ask(&at("x", 1), &Request::Get(scope()));
        assert_eq!(seen.unwrap(), Reply::Seen(None));
        assert_eq!(run.acquire(&at("x", 1), "b"), Ok(2));
        // A release that comes late is none of the new holder's.
        run.ask(&at("x", 2), &Request::Release(Run::lease("a", 1)))
            .unwrap();
        assert_eq!(run.acquire(&at("x", 2), "c"), Err(("b".to_owned(), 3)));
    }

    #[test]
    fn who_missed_an_answer_gets_the_lease_anew_with_a_greater_token() {
        let mut run = Run::new();
        assert_eq!(run.acquire(&at("x", 0), "a"), Ok(1));
        assert_eq!(run.acquire(&at("x", 1), "a"), Ok(2));
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let mut connection = Connection::open_in_memory().unwrap();
        connection.execute("CREATE TABLE other (x)", []).unwrap();
        let transaction = connection.transaction().unwrap();
        let foreign = prepare(&transaction);
        assert!(matches!(foreign, Err(Failure::Foreign(0))), "{foreign:?}");
    }
}
