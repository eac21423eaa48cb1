//! [`Lease`] and [`FencingToken`]: the right to lead a scope for a while, and the number that tells one holder from the next.

use std::fmt;
use std::time::Duration;

use lifecycle_core::Nanos;
use serde::{Serialize, Serializer};

use crate::leadership::scope::Scope;

/// A number that is greater for each acquisition of a scope than for all before. A resource that refuses what is smaller
/// than it has seen ([`Fence`](crate::leadership::Fence)) cannot be written by a leader of yesterday.
///
/// Serialised as a decimal string: tokens may be above 2^53, where a number of JavaScript loses its last digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// The token with this number; for stores, and for who gets one by another way.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl Serialize for FencingToken {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// What a node asks a store for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it wants to lead.
    pub scope: Scope,
    /// Its name.
    pub holder: String,
    /// Tells this start of this node from all others, also of the same name. A store gives a lease that this claimant holds
    /// already to it anew: whoever asks does not lead, but has missed an answer.
    pub claimant: u64,
    /// For how long.
    pub ttl: Nanos,
}

/// A lease that a store has given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// What was asked for.
    pub claim: Claim,
    /// How often the scope has been acquired, this time counted.
    pub term: u64,
    /// The fencing token; a renewal keeps it.
    pub token: FencingToken,
    /// What the store wants to see again, such as its own number for the lease.
    pub session: i64,
}

/// Who holds a scope, as the store says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incumbent {
    /// The name of the holder.
    pub holder: String,
    /// How often the scope has been acquired.
    pub term: u64,
    /// The holder's fencing token.
    pub token: FencingToken,
    /// How long the lease lasts unless it is renewed; `None` where the store does not tell.
    pub remaining: Option<Duration>,
}
