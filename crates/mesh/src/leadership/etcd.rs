//! [`EtcdStore`]: leases for many machines, in etcd.
//!
//! A scope that is held has a key, which goes with its holder's etcd lease. The fencing token is the revision that made the
//! key: etcd counts its revisions over all keys, so the next holder's is greater. A second key counts the terms; it stays.

mod access;
mod error;
mod expiry;
mod member;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{
    Client, Compare, CompareOp, Error, GetResponse, KeyValue, PutOptions, Txn, TxnOp,
    TxnOpResponse, TxnResponse, WatchOptions,
};
use lifecycle_core::{BoxFuture, Nanos};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::leadership::config::{EtcdOptions, StoreFault};
pub use crate::leadership::etcd::error::EtcdError;
use crate::leadership::etcd::member::Members;
use crate::leadership::lease::{Claim, FencingToken, Incumbent, Lease};
use crate::leadership::scope::Scope;
use crate::leadership::store::{LeaseError, LeaseStore, Reach};

/// Between two tries to watch.
const SHORTEST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// gRPC's number for what is not there.
const NOT_FOUND: i32 = 5;

/// Keeps leases in etcd. Clones share their connections.
///
/// - etcd counts in whole seconds, so a lease lasts there until the next full one; a leader goes by its own deadline, which is
///   the earlier.
/// - Files of certificates and the password are read with each connection; one that etcd refuses is not used again, so that what is mended
///   there counts. Tokens of etcd that have run out are renewed. What it refuses is told as an [`EtcdError`].
/// - A member that does not answer is left for another one. While etcd has no leader, nothing is given and nothing renewed.
/// - Terms and tokens are as lasting as etcd's data. Whoever restores them from a backup must raise the revision beyond any that
///   was given out, or resources that have seen later tokens refuse everybody.
#[derive(Clone)]
pub struct EtcdStore {
    shared: Arc<Shared>,
}

struct Shared {
    prefix: String,
    members: Members,
    changes: watch::Sender<()>,
    /// etcd leases of claims whose end nobody has seen; they are revoked before the scope is claimed again.
    doubtful: Mutex<HashMap<Claimed, i64>>,
}

/// A scope, and who claims it.
type Claimed = (Scope, u64);

/// What the key of a scope holds.
#[derive(Debug, Deserialize, Serialize)]
struct Holder {
    holder: String,
    claimant: u64,
}

impl EtcdStore {
    /// Leases as `options` say; nothing is connected to yet.
    ///
    /// # Errors
    ///
    /// [`StoreFault::Option`] when there is no endpoint, or a file of certificates or of a password cannot be read.
    pub fn new(options: &EtcdOptions) -> Result<Self, StoreFault> {
        Ok(Self {
            shared: Arc::new(Shared {
                prefix: options.prefix.clone(),
                members: Members::new(options)?,
                changes: watch::channel(()).0,
                doubtful: Mutex::default(),
            }),
        })
    }
}

impl Shared {
    fn key(&self, scope: &Scope) -> String {
        format!("{}leader/{scope}", self.prefix)
    }

    fn term_key(&self, scope: &Scope) -> String {
        format!("{}term/{scope}", self.prefix)
    }

    /// Asks one member; one that fails, or is given up, is not the next to be asked.
    async fn ask<T, F>(&self, question: impl FnOnce(Client) -> F) -> Result<T, LeaseError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let turn = self.members.turn();
        let client = turn.client().await.map_err(LeaseError::unavailable)?;
        match question(client).await {
            Ok(answer) => {
                turn.answered();
                Ok(answer)
            }
            Err(error) => Err(LeaseError::unavailable(turn.failed(error))),
        }
    }

    async fn acquire(&self, claim: &Claim) -> Result<Lease, LeaseError> {
        let doubtful = self.doubtful().get(&claimed(claim)).copied();
        if let Some(id) = doubtful {
            self.give_up(claim, id).await?;
        }
        let held = match self.claim(claim).await? {
            Ok(lease) => return Ok(lease),
            Err(held) => held,
        };
        if !held.is_of(claim) {
            return Err(LeaseError::Held(held.incumbent));
        }
        // It has missed an answer: what it holds is given back, and the next is newer.
        self.revoke(held.session).await?;
        let again = self.claim(claim).await?;
        again.map_err(|held| LeaseError::Held(held.incumbent))
    }

    async fn claim(&self, claim: &Claim) -> Result<Result<Lease, Held>, LeaseError> {
        let ttl = whole_seconds(claim.ttl);
        let id = self
            .ask(async |mut it: Client| it.lease_grant(ttl, None).await.map(|it| it.id()))
            .await?;
        // Until it is certain what became of it: this may be dropped at the next await.
        self.doubtful().insert(claimed(claim), id);
        let txn = self.claim_txn(claim, id)?;
        let answer = self.ask(async |mut it: Client| it.txn(txn).await).await?;
        if answer.succeeded() {
            let lease = granted(claim, id, &answer)?;
            self.doubtful().remove(&claimed(claim));
            return Ok(Ok(lease));
        }
        let held = found(&answer);
        self.give_up(claim, id).await?;
        Ok(Err(held?.ok_or_else(vanished)?))
    }

    fn claim_txn(&self, claim: &Claim, id: i64) -> Result<Txn, LeaseError> {
        let (key, term) = (self.key(&claim.scope), self.term_key(&claim.scope));
        let holder = Holder {
            holder: claim.holder.clone(),
            claimant: claim.claimant,
        };
        let holder = serde_json::to_vec(&holder).map_err(LeaseError::unavailable)?;
        Ok(Txn::new()
            .when([Compare::create_revision(key.clone(), CompareOp::Equal, 0)])
            .and_then([
                TxnOp::put(key.clone(), holder, Some(PutOptions::new().with_lease(id))),
                TxnOp::put(term.clone(), "", Some(PutOptions::new().with_prev_key())),
            ])
            .or_else([TxnOp::get(key, None), TxnOp::get(term, None)]))
    }

    async fn renew(&self, lease: &Lease) -> Result<(), LeaseError> {
        let id = lease.session;
        let kept = self
            .ask(async |mut it: Client| match it.lease_keep_alive(id).await {
                Ok(_) => Ok(true),
                Err(Error::LeaseKeepAliveError(_)) => Ok(false),
                Err(error) => Err(error),
            })
            .await?;
        // A lease whose key is gone keeps nobody out.
        let held = self.look(&lease.claim.scope).await?;
        match held {
            Some(held) if held.incumbent.token == lease.token && kept => Ok(()),
            Some(held) if held.incumbent.token == lease.token => Err(LeaseError::Expired),
            Some(held) => Err(LeaseError::NotCurrentLeader(Some(held.incumbent))),
            None if kept => Err(LeaseError::NotCurrentLeader(None)),
            None => Err(LeaseError::Expired),
        }
    }

    async fn look(&self, scope: &Scope) -> Result<Option<Held>, LeaseError> {
        let both = [
            TxnOp::get(self.key(scope), None),
            TxnOp::get(self.term_key(scope), None),
        ];
        let txn = Txn::new().and_then(both);
        let answer = self.ask(async |mut it: Client| it.txn(txn).await).await?;
        found(&answer)
    }

    async fn give_up(&self, claim: &Claim, id: i64) -> Result<(), LeaseError> {
        self.revoke(id).await?;
        self.doubtful().remove(&claimed(claim));
        Ok(())
    }

    /// Ends an etcd lease, and with it the key; one that has ended is well, too.
    async fn revoke(&self, id: i64) -> Result<(), LeaseError> {
        self.ask(async |mut it: Client| match it.lease_revoke(id).await {
            Ok(_) => Ok(()),
            Err(Error::GRpcStatus(status)) if i32::from(status.code()) == NOT_FOUND => Ok(()),
            Err(error) => Err(error),
        })
        .await
    }

    /// Watches all scopes, again and again.
    async fn watch(&self) {
        let mut pause = SHORTEST_PAUSE;
        loop {
            let watched = self.watch_once(&mut pause).await;
            if let Err(error) = watched {
                tracing::debug!(%error, "etcd cannot be watched; it is asked from time to time");
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn watch_once(&self, pause: &mut Duration) -> Result<(), LeaseError> {
        let prefix = format!("{}leader/", self.prefix);
        let options = WatchOptions::new().with_prefix();
        let mut stream = self
            .ask(async |mut it: Client| it.watch(prefix, Some(options)).await)
            .await?;
        // What has changed before it was watched is not told.
        self.changes.send_replace(());
        while let Some(news) = stream.message().await.map_err(LeaseError::unavailable)? {
            if news.canceled() {
                break;
            }
            *pause = SHORTEST_PAUSE;
            if !news.events().is_empty() {
                self.changes.send_replace(());
            }
        }
        Ok(())
    }

    fn doubtful(&self) -> MutexGuard<'_, HashMap<Claimed, i64>> {
        self.doubtful.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A scope that is held.
struct Held {
    incumbent: Incumbent,
    claimant: u64,
    /// The etcd lease.
    session: i64,
}

impl Held {
    fn is_of(&self, claim: &Claim) -> bool {
        self.claimant == claim.claimant && self.incumbent.holder == claim.holder
    }
}

fn granted(claim: &Claim, id: i64, answer: &TxnResponse) -> Result<Lease, LeaseError> {
    let revision = answer.header().map_or(0, |it| it.revision());
    let before = answer.op_responses().into_iter().find_map(|it| match it {
        TxnOpResponse::Put(put) => put.prev_key().map(KeyValue::version),
        TxnOpResponse::Get(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => None,
    });
    if revision <= 0 {
        return Err(LeaseError::unavailable("etcd gave no revision"));
    }
    Ok(Lease {
        claim: claim.clone(),
        term: before.unwrap_or(0).unsigned_abs() + 1,
        token: FencingToken::new(revision.unsigned_abs()),
        session: id,
    })
}

/// Who holds the scope, from an answer with its key and the key of its term.
fn found(answer: &TxnResponse) -> Result<Option<Held>, LeaseError> {
    let keys: Vec<GetResponse> = answer
        .op_responses()
        .into_iter()
        .filter_map(|it| match it {
            TxnOpResponse::Get(get) => Some(get),
            TxnOpResponse::Put(_) | TxnOpResponse::Delete(_) | TxnOpResponse::Txn(_) => None,
        })
        .collect();
    let [key, term] = keys.as_slice() else {
        return Err(LeaseError::unavailable("etcd answered something else"));
    };
    let Some(key) = key.kvs().first() else {
        return Ok(None);
    };
    let holder: Holder = serde_json::from_slice(key.value()).map_err(LeaseError::unavailable)?;
    let term = term.kvs().first().map_or(0, KeyValue::version);
    Ok(Some(Held {
        incumbent: Incumbent {
            holder: holder.holder,
            term: term.unsigned_abs(),
            token: FencingToken::new(key.create_revision().unsigned_abs()),
            remaining: None,
        },
        claimant: holder.claimant,
        session: key.lease(),
    }))
}

fn claimed(claim: &Claim) -> Claimed {
    (claim.scope.clone(), claim.claimant)
}

fn vanished() -> LeaseError {
    LeaseError::unavailable("the holder has gone while it was looked at")
}

fn whole_seconds(ttl: Nanos) -> i64 {
    let ttl = Duration::from(ttl);
    let rounded = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
    i64::try_from(rounded).unwrap_or(i64::MAX)
}

impl LeaseStore for EtcdStore {
    fn kind(&self) -> &'static str {
        "etcd"
    }

    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    fn acquire<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        Box::pin(self.shared.acquire(claim))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(self.shared.renew(lease))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(self.shared.revoke(lease.session))
    }

    fn get<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Option<Incumbent>, LeaseError>> {
        Box::pin(async { Ok(self.shared.look(scope).await?.map(|it| it.incumbent)) })
    }

    fn changed(&self, _scope: &Scope) -> BoxFuture<'static, ()> {
        let mut changes = self.shared.changes.subscribe();
        Box::pin(async move {
            if changes.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn tend(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            tokio::join!(self.shared.watch(), self.shared.members.watch_expiry());
        })
    }
}

impl fmt::Debug for EtcdStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdStore")
            .field("members", &self.shared.members)
            .field("prefix", &self.shared.prefix)
            .finish()
    }
}
