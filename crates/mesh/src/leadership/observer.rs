//! [`Observer`]: who leads what, as this node knows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use lifecycle_core::{Nanos, Time};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{broadcast, watch};

use crate::leadership::clock::Clock;
use crate::leadership::election::{Held, Leader, Occurrence, OccurrenceKind};
use crate::leadership::event::{
    CAPACITY, EventKind, LeadershipEvent, Subscription, as_timestamp, as_timestamp_or_null,
};
use crate::leadership::lease::FencingToken;
use crate::leadership::scope::{Scope, ScopeKind};

/// Who leads what.
///
/// Serialised as clients of `/control/leaders` read it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Snapshot {
    /// When it was taken. Serialised as RFC 3339.
    #[serde(serialize_with = "as_timestamp")]
    pub generated_at: SystemTime,
    /// The name of the node whose knowledge this is.
    pub local_node_id: String,
    /// Every configured scope, by name.
    pub leaders: Vec<LeaderRow>,
}

impl Snapshot {
    /// The scope with this name alone, without regard to case; none when there is none.
    #[must_use]
    pub fn only(mut self, scope: &str) -> Self {
        self.leaders.retain(|it| it.scope.is_named(scope));
        self
    }
}

/// Who leads one scope.
#[derive(Clone, Debug, PartialEq, JsonSchema, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaderRow {
    /// Which scope.
    #[schemars(with = "String")]
    pub scope: Scope,
    /// What kind of scope that is.
    pub scope_kind: ScopeKind,
    /// The parts of a shard's name.
    pub labels: BTreeMap<String, String>,
    /// Who leads; `None` when nobody does, or this node does not know. A lease that has run out by now is nobody's, also when
    /// this node has not noticed yet.
    pub leader_id: Option<String>,
    /// Whether that is this node. Then `expires_at` is not before the moment of the snapshot.
    pub is_local: bool,
    /// The term.
    pub term: Option<u64>,
    /// The fencing token.
    #[schemars(with = "Option<String>")]
    pub fence_token: Option<FencingToken>,
    /// When this node learned of it.
    #[serde(serialize_with = "as_timestamp_or_null")]
    #[schemars(with = "Option<String>")]
    pub issued_at: Option<SystemTime>,
    /// When the lease ends unless it is renewed, as far as this node knows.
    #[serde(serialize_with = "as_timestamp_or_null")]
    #[schemars(with = "Option<String>")]
    pub expires_at: Option<SystemTime>,
    /// What is wrong, for people.
    pub issue: Option<String>,
}

/// That this node leads a scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// The term.
    pub term: u64,
    /// What each write is to be fenced with.
    pub token: FencingToken,
    /// When it ends unless it is renewed.
    until: Time,
    clock: Clock,
}

impl Tenure {
    pub(crate) fn new(held: Held, clock: Clock) -> Self {
        Self {
            term: held.term,
            token: held.token,
            until: held.until,
            clock,
        }
    }

    /// How long it lasts unless it is renewed; zero when it has ended.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.until.since(self.clock.now()).into()
    }

    /// The instant of its end, if the machine does not sleep before.
    pub(crate) fn until(&self) -> tokio::time::Instant {
        self.clock.instant(self.until)
    }
}

/// Who leads what, as one node's leadership knows; cloning is cheap, and it outlives the component.
#[derive(Clone)]
pub struct Observer {
    shared: Arc<Shared>,
}

struct Shared {
    node: String,
    clock: Clock,
    seats: BTreeMap<Scope, watch::Sender<Option<Tenure>>>,
    /// Held while an event is published, so that a snapshot has it or its subscriber gets it.
    table: Mutex<BTreeMap<Scope, Seat>>,
    events: broadcast::Sender<LeadershipEvent>,
}

/// What is known of one scope.
#[derive(Clone, Debug, Default)]
struct Seat {
    leader: Option<Leader>,
    held: Option<Held>,
    issue: Option<String>,
}

impl Seat {
    /// Who leads at `now`, and whether that is this node. A process that was paused finds leases run out that it has had no
    /// time to give up.
    fn at(&self, now: Time) -> (Option<&Leader>, bool) {
        let leader = self.leader.as_ref();
        let leader = leader.filter(|it| it.until.is_none_or(|until| until > now));
        match self.held {
            Some(held) if held.until > now => (leader, leader.is_some()),
            // The store may count it for a little longer; so this node knows of no leader rather than of itself.
            Some(_) => (None, false),
            None => (leader, false),
        }
    }
}

/// One moment on both clocks.
#[derive(Clone, Copy, Debug)]
struct Moment {
    wall: SystemTime,
    time: Time,
}

impl Moment {
    /// The wall clock is read first: what is ahead of the other reading is then ahead of it too, however long this process
    /// sleeps in between.
    fn now(clock: Clock) -> Self {
        let wall = SystemTime::now();
        Self {
            wall,
            time: clock.now(),
        }
    }

    /// The wall-clock time of `time`, as the wall clock goes at this moment.
    fn wall_time(self, time: Time) -> Option<SystemTime> {
        let distance = |nanos: Nanos| Duration::from(nanos);
        if time >= self.time {
            self.wall.checked_add(distance(time.since(self.time)))
        } else {
            self.wall.checked_sub(distance(self.time.since(time)))
        }
    }
}

impl Observer {
    pub(crate) fn new(node: String, clock: Clock, scopes: &[Scope]) -> Self {
        let seats = scopes.iter().map(|it| (it.clone(), watch::channel(None).0));
        let table = scopes.iter().map(|it| (it.clone(), Seat::default()));
        Self {
            shared: Arc::new(Shared {
                node,
                clock,
                seats: seats.collect(),
                table: Mutex::new(table.collect()),
                events: broadcast::channel(CAPACITY).0,
            }),
        }
    }

    /// Who leads what, now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot_of(&self.table())
    }

    /// How things stand, and then every event.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        let (events, snapshot) = self.begin();
        Subscription::new(self.clone(), events, snapshot)
    }

    pub(crate) fn begin(&self) -> (broadcast::Receiver<LeadershipEvent>, Snapshot) {
        let table = self.table();
        (self.shared.events.subscribe(), self.snapshot_of(&table))
    }

    /// This node's tenure of `scope`, if it leads it at this moment.
    ///
    /// The answer is old as soon as it is given: fence what you write.
    #[must_use]
    pub fn tenure(&self, scope: &Scope) -> Option<Tenure> {
        let tenure = *self.shared.seats.get(scope)?.borrow();
        tenure.filter(|it| !it.remaining().is_zero())
    }

    /// This node's tenure of `scope`, with each renewal and end; `None` for a scope that is not configured.
    ///
    /// A tenure that is seen here may have ended already: see [`Tenure::remaining`].
    #[must_use]
    pub fn watch(&self, scope: &Scope) -> Option<watch::Receiver<Option<Tenure>>> {
        self.shared.seats.get(scope).map(watch::Sender::subscribe)
    }

    /// The configured scopes.
    pub fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.shared.seats.keys()
    }

    pub(crate) fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// Takes in what is known of `scope`, and tells what has happened.
    pub(crate) fn publish(
        &self,
        scope: &Scope,
        leader: Option<&Leader>,
        held: Option<Held>,
        issue: Option<String>,
        occurrences: impl Iterator<Item = Occurrence>,
    ) {
        let mut table = self.table();
        // Who is told that this node leads no more finds it so.
        self.take_seat(scope, held);
        if let Some(seat) = table.get_mut(scope) {
            seat.leader = leader.cloned();
            seat.held = held;
            seat.issue = issue;
        }
        for occurrence in occurrences {
            // An error says that nobody listens.
            let _ = self.shared.events.send(self.event(scope, occurrence));
        }
    }

    fn take_seat(&self, scope: &Scope, held: Option<Held>) {
        let Some(seat) = self.shared.seats.get(scope) else {
            return;
        };
        let tenure = held.map(|it| Tenure::new(it, self.shared.clock));
        seat.send_if_modified(|it| {
            let is_news =
                it.map(|it| (it.token, it.until)) != tenure.map(|it| (it.token, it.until));
            *it = tenure;
            is_news
        });
    }

    pub(crate) fn event(&self, scope: &Scope, occurrence: Occurrence) -> LeadershipEvent {
        let leader = occurrence.leader;
        let now = Moment::now(self.shared.clock);
        LeadershipEvent {
            kind: match occurrence.kind {
                OccurrenceKind::Observed => EventKind::Observed,
                OccurrenceKind::Elected { .. } => EventKind::Elected,
                OccurrenceKind::Renewed => EventKind::Renewed,
                OccurrenceKind::Lost => EventKind::Lost,
                OccurrenceKind::Expired => EventKind::Expired,
                OccurrenceKind::SteppedDown => EventKind::SteppedDown,
            },
            occurred_at: now.wall,
            scope: scope.clone(),
            scope_kind: scope.kind(),
            term: leader.as_ref().map(|it| it.term),
            fence_token: leader.as_ref().map(|it| it.token),
            expires_at: leader.as_ref().and_then(|it| now.wall_time(it.until?)),
            correlation_id: leader.as_ref().map(|it| format!("{scope}@{}", it.token)),
            leader_id: leader.map(|it| it.holder),
            reason: occurrence.reason.map(Into::into),
        }
    }

    fn snapshot_of(&self, table: &BTreeMap<Scope, Seat>) -> Snapshot {
        let now = Moment::now(self.shared.clock);
        let rows = table.iter().map(|(scope, seat)| row(now, scope, seat));
        Snapshot {
            generated_at: now.wall,
            local_node_id: self.shared.node.clone(),
            leaders: rows.collect(),
        }
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<Scope, Seat>> {
        let table = self.shared.table.lock();
        table.unwrap_or_else(PoisonError::into_inner)
    }
}

fn row(now: Moment, scope: &Scope, seat: &Seat) -> LeaderRow {
    let (leader, is_local) = seat.at(now.time);
    let labels = scope.labels().into_iter();
    LeaderRow {
        scope: scope.clone(),
        scope_kind: scope.kind(),
        labels: labels
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
        leader_id: leader.map(|it| it.holder.clone()),
        is_local,
        term: leader.map(|it| it.term),
        fence_token: leader.map(|it| it.token),
        issued_at: leader.and_then(|it| now.wall_time(it.since)),
        expires_at: leader.and_then(|it| now.wall_time(it.until?)),
        issue: seat.issue.clone(),
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Observer").field(&self.snapshot()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Nanos = Nanos::from_secs(2);
    const MARGIN: Nanos = Nanos::from_millis(500);

    /// An observer whose process does nothing but look, and what it knows of a leader.
    fn told(holder: &str, is_held: bool) -> Observer {
        let scope: Scope = "global-control".parse().expect("a scope");
        let clock = Clock::starting_now();
        let observer = Observer::new("here".to_owned(), clock, std::slice::from_ref(&scope));
        let (since, token) = (clock.now(), FencingToken::new(7));
        let leader = Leader {
            holder: holder.to_owned(),
            term: 7,
            token,
            until: Some(since + LEASE),
            since,
        };
        let held = is_held.then(|| Held {
            term: 7,
            token,
            until: since + LEASE.saturating_sub(MARGIN),
        });
        observer.publish(&scope, Some(&leader), held, None, std::iter::empty());
        observer
    }

    fn shown(observer: &Observer) -> (Option<String>, bool) {
        let snapshot = observer.snapshot();
        let row = snapshot.leaders[0].clone();
        let is_over = row.expires_at.is_some_and(|it| it < snapshot.generated_at);
        assert!(!is_over, "{row:?}");
        (row.leader_id, row.is_local)
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_slept_through_the_end_of_its_lease_is_not_shown_as_its_leader() {
        let observer = told("here", true);
        tokio::time::advance(Duration::from_millis(1_499)).await;
        assert_eq!(shown(&observer), (Some("here".to_owned()), true));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(shown(&observer), (None, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_of_another_is_shown_until_it_has_run_out() {
        let observer = told("there", false);
        tokio::time::advance(Duration::from_millis(1_999)).await;
        assert_eq!(shown(&observer), (Some("there".to_owned()), false));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(shown(&observer), (None, false));
    }
}
