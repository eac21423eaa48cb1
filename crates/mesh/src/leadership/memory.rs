//! [`MemoryStore`]: leases within one process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle_core::BoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::leadership::lease::{Claim, FencingToken, Incumbent, Lease};
use crate::leadership::scope::Scope;
use crate::leadership::store::{LeaseError, LeaseStore, Reach};

/// Keeps leases in memory: for a single process, and for tests. Clones share their leases.
///
/// When the process ends, terms and tokens begin anew, so that a resource outside the process cannot be fenced by them.
#[derive(Clone, Debug)]
pub struct MemoryStore {
    rows: Arc<Mutex<HashMap<Scope, Row>>>,
    changes: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct Row {
    /// How often the scope has been acquired; the token is the same number.
    term: u64,
    tenancy: Option<Tenancy>,
}

#[derive(Debug)]
struct Tenancy {
    holder: String,
    claimant: u64,
    until: Instant,
}

impl MemoryStore {
    /// A store without leases.
    #[must_use]
    pub fn new() -> Self {
        Self {
            rows: Arc::default(),
            changes: watch::channel(()).0,
        }
    }

    fn rows(&self) -> MutexGuard<'_, HashMap<Scope, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give(&self, claim: &Claim) -> Result<Lease, LeaseError> {
        let mut rows = self.rows();
        let row = rows.entry(claim.scope.clone()).or_default();
        if let Some(tenancy) = row.valid()
            && tenancy.claimant != claim.claimant
        {
            return Err(LeaseError::Held(row.incumbent_of(tenancy)));
        }
        row.term += 1;
        row.tenancy = Some(Tenancy {
            holder: claim.holder.clone(),
            claimant: claim.claimant,
            until: Instant::now() + Duration::from(claim.ttl),
        });
        let lease = Lease {
            claim: claim.clone(),
            term: row.term,
            token: FencingToken::new(row.term),
            session: 0,
        };
        drop(rows);
        self.changes.send_replace(());
        Ok(lease)
    }

    fn prolong(&self, lease: &Lease) -> Result<(), LeaseError> {
        let mut rows = self.rows();
        let row = rows.entry(lease.claim.scope.clone()).or_default();
        if row.term != lease.term {
            return Err(LeaseError::NotCurrentLeader(row.incumbent()));
        }
        let valid = row.tenancy.as_mut().filter(|it| it.until > Instant::now());
        valid.ok_or(LeaseError::Expired)?.until = Instant::now() + Duration::from(lease.claim.ttl);
        Ok(())
    }

    fn take_back(&self, lease: &Lease) {
        let mut rows = self.rows();
        let row = rows.entry(lease.claim.scope.clone()).or_default();
        if row.term == lease.term {
            row.tenancy = None;
        }
        drop(rows);
        self.changes.send_replace(());
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl Row {
    fn valid(&self) -> Option<&Tenancy> {
        self.tenancy.as_ref().filter(|it| it.until > Instant::now())
    }

    fn incumbent(&self) -> Option<Incumbent> {
        self.valid().map(|it| self.incumbent_of(it))
    }

    fn incumbent_of(&self, tenancy: &Tenancy) -> Incumbent {
        Incumbent {
            holder: tenancy.holder.clone(),
            term: self.term,
            token: FencingToken::new(self.term),
            remaining: Some(tenancy.until.saturating_duration_since(Instant::now())),
        }
    }
}

impl LeaseStore for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn reach(&self) -> Reach {
        Reach::Process
    }

    fn acquire<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        Box::pin(async { self.give(claim) })
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async { self.prolong(lease) })
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(async {
            self.take_back(lease);
            Ok(())
        })
    }

    fn get<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Option<Incumbent>, LeaseError>> {
        Box::pin(async { Ok(self.rows().get(scope).and_then(Row::incumbent)) })
    }

    fn changed(&self, _scope: &Scope) -> BoxFuture<'static, ()> {
        let mut changes = self.changes.subscribe();
        Box::pin(async move {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }
}
