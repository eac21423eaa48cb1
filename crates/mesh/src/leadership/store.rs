//! [`LeaseStore`]: what leadership needs of whatever keeps the leases.

use std::fmt;

use lifecycle_core::{BoxError, BoxFuture};

use crate::leadership::lease::{Claim, Incumbent, Lease};
use crate::leadership::scope::Scope;

/// Keeps leases, and gives each scope to one holder at a time.
///
/// # What an implementor owes
///
/// - A scope that is held is given to nobody else before its lease has been released, or its time to live has passed since
///   the store took in the claim or the last renewal.
/// - Terms and fencing tokens of a scope grow strictly with each acquisition, and are never forgotten: not by a release, an
///   expiry, a crash or a restart of the store.
/// - A renewal counts for the lease with this token alone, and never brings back one that has run out.
/// - What cannot be said for certain is [`LeaseError::Unavailable`]; the caller then assumes the worst of both.
/// - A call whose future is dropped may have been carried out, or may be carried out for a while longer.
///
/// # What it may rely on
///
/// - Callers measure their own lease from before the call, so that they take it to end before the store does.
/// - Calls that take too long are dropped.
pub trait LeaseStore: Send + Sync + fmt::Debug + 'static {
    /// What kind of store it is, for people and metrics: `memory`, `sqlite`, `etcd`.
    fn kind(&self) -> &'static str;

    /// How far its promise goes.
    fn reach(&self) -> Reach;

    /// Gives the scope to the claimant, if nobody else holds it.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Held`] or [`LeaseError::Unavailable`].
    fn acquire<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Lease, LeaseError>>;

    /// Lets the lease last for its whole time from now on.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Expired`], [`LeaseError::NotCurrentLeader`] or [`LeaseError::Unavailable`].
    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>>;

    /// Gives the lease back; what is not held any more is none of its business.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Unavailable`]; then it runs out by itself.
    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>>;

    /// Who holds the scope.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Unavailable`].
    fn get<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Option<Incumbent>, LeaseError>>;

    /// Completes when it may be that the scope has changed hands since this was called. A store that cannot tell never
    /// completes; who waits asks from time to time anyway.
    fn changed(&self, scope: &Scope) -> BoxFuture<'static, ()> {
        let _ = scope;
        Box::pin(std::future::pending())
    }

    /// What the store has to do beside the calls for as long as it is used. Whoever uses it polls this, and drops it at the
    /// end.
    fn tend(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::pending())
    }
}

/// Who is kept from leading at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// All within one process.
    Process,
    /// All processes of one machine.
    Machine,
    /// All who reach the same store.
    Cluster,
}

/// Why a store has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeaseError {
    /// Somebody else holds the scope; nothing has changed.
    #[error("the lease is held by {}", .0.holder)]
    Held(Incumbent),
    /// The lease had run out before the renewal came; it stays so.
    #[error("the lease has run out")]
    Expired,
    /// The scope has been acquired since, or the lease was revoked; `None` when nobody holds it.
    #[error("the lease belongs to {}", .0.as_ref().map_or("nobody", |it| it.holder.as_str()))]
    NotCurrentLeader(Option<Incumbent>),
    /// The store could not be asked, or has not answered; what was asked for may have happened.
    #[error("the lease store is unavailable")]
    Unavailable(#[source] BoxError),
}

impl LeaseError {
    /// The store could not be asked for this reason.
    #[must_use]
    pub fn unavailable(reason: impl Into<BoxError>) -> Self {
        Self::Unavailable(reason.into())
    }
}
