//! [`LeadershipEvent`]: what has happened to leadership, for whoever watches it.

use std::time::SystemTime;

use serde::{Serialize, Serializer};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

use crate::leadership::lease::FencingToken;
use crate::leadership::observer::{Observer, Snapshot};
use crate::leadership::scope::{Scope, ScopeKind};

/// What has happened to the leadership of one scope.
///
/// Serialised as clients of `/control/events/leadership` read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeadershipEvent {
    /// What.
    pub kind: EventKind,
    /// When, by this node's clock. Serialised as RFC 3339.
    #[serde(serialize_with = "as_timestamp")]
    pub occurred_at: SystemTime,
    /// Of which scope.
    pub scope: Scope,
    /// What kind of scope that is.
    pub scope_kind: ScopeKind,
    /// Whom it is about: for what has ended, who led; `None` when nobody leads.
    pub leader_id: Option<String>,
    /// That leader's term.
    pub term: Option<u64>,
    /// That leader's fencing token.
    pub fence_token: Option<FencingToken>,
    /// When the lease ends unless it is renewed, as far as this node knows.
    #[serde(serialize_with = "as_timestamp_or_null")]
    pub expires_at: Option<SystemTime>,
    /// Why, where there is something to say.
    pub reason: Option<String>,
    /// The same for all that is about one tenancy, on every node: the scope and its fencing token. `None` when nobody leads.
    pub correlation_id: Option<String>,
}

/// What can happen to leadership.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// This node has seen another leader, or that there is none.
    Observed,
    /// This node leads.
    Elected,
    /// This node goes on leading.
    Renewed,
    /// The store does not count this node's lease any more.
    Lost,
    /// A lease has run out: this node's, which it could not renew, or as this node sees it that of another.
    Expired,
    /// This node has given up; the reason says why.
    SteppedDown,
}

impl EventKind {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 6] = [
        Self::Observed,
        Self::Elected,
        Self::Renewed,
        Self::Lost,
        Self::Expired,
        Self::SteppedDown,
    ];

    /// The name on the wire, in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Observed => "observed",
            Self::Elected => "elected",
            Self::Renewed => "renewed",
            Self::Lost => "lost",
            Self::Expired => "expired",
            Self::SteppedDown => "stepped-down",
        }
    }
}

/// What a subscriber receives.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Notice {
    /// How things stand: always the first, and the first after a gap.
    Snapshot(Snapshot),
    /// What has happened since.
    Event(LeadershipEvent),
    /// The subscriber was too slow: this many events are lost to it. A snapshot follows.
    Missed(u64),
}

/// How many events wait for a subscriber before it misses the oldest.
pub(crate) const CAPACITY: usize = 256;

/// How things stand, and then every event in order.
///
/// A subscriber that does not keep up loses the oldest events, is told how many, and gets a new snapshot; nobody waits for it.
#[derive(Debug)]
pub struct Subscription {
    observer: Observer,
    events: broadcast::Receiver<LeadershipEvent>,
    scope: Option<String>,
    snapshot: Option<Snapshot>,
}

impl Subscription {
    pub(crate) fn new(
        observer: Observer,
        events: broadcast::Receiver<LeadershipEvent>,
        snapshot: Snapshot,
    ) -> Self {
        Self {
            observer,
            events,
            scope: None,
            snapshot: Some(snapshot),
        }
    }

    /// Only what is about the scope with this name, without regard to case.
    #[must_use]
    pub fn only(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// The next notice; `None` when there will be none, because leadership is gone for good.
    ///
    /// # Cancel safety
    ///
    /// Safe: nothing is lost.
    pub async fn next(&mut self) -> Option<Notice> {
        if let Some(snapshot) = self.snapshot.take() {
            return Some(Notice::Snapshot(self.narrowed(snapshot)));
        }
        loop {
            match self.events.recv().await {
                Ok(event) if self.is_wanted(&event) => return Some(Notice::Event(event)),
                Ok(_) => {}
                Err(RecvError::Lagged(missed)) => {
                    self.begin_anew();
                    return Some(Notice::Missed(missed));
                }
                Err(RecvError::Closed) => return None,
            }
        }
    }

    /// What is older than the new snapshot is not told.
    fn begin_anew(&mut self) {
        let (events, snapshot) = self.observer.begin();
        self.events = events;
        self.snapshot = Some(snapshot);
    }

    fn is_wanted(&self, event: &LeadershipEvent) -> bool {
        let wanted = self.scope.as_deref();
        wanted.is_none_or(|it| event.scope.is_named(it))
    }

    fn narrowed(&self, snapshot: Snapshot) -> Snapshot {
        match &self.scope {
            Some(scope) => snapshot.only(scope),
            None => snapshot,
        }
    }
}

pub(crate) fn as_timestamp<S: Serializer>(
    time: &SystemTime,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let timestamp = jiff::Timestamp::try_from(*time).map_err(serde::ser::Error::custom)?;
    serializer.collect_str(&format_args!("{timestamp:.3}"))
}

pub(crate) fn as_timestamp_or_null<S: Serializer>(
    time: &Option<SystemTime>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => as_timestamp(time, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_has_one_name_in_json_and_in_metrics() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        }
    }
}
