//! [`Election`]: what one node does about one scope, as a machine without clock, store or runtime.
//!
//! Time and the answers of the store go in; calls, events and the tenure that holds come out. It keeps these rules:
//!
//! 1. It leads only while the time is before its local deadline: the moment *before* the call that gave or renewed the
//!    lease, and the time to live, less the clock margin. The store's own deadline is never earlier.
//! 2. A store that does not answer costs nothing before that deadline: the lease is kept, and the renewal tried again.
//! 3. Who may not lead does not acquire, and gives up what it has: first the tenure ends, then what depends on it comes to
//!    rest, and only then is the lease released.
//! 4. A lease that comes too late to be used is released.
//! 5. One call at a time; an answer to any other call changes nothing.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::error::Error as _;

use lifecycle_core::{Nanos, Time};

use crate::leadership::lease::{FencingToken, Incumbent, Lease};
use crate::leadership::store::LeaseError;

/// Why a node may not lead, or gave up.
pub(crate) type Reason = Cow<'static, str>;

/// The reason of a step-down for the component's stop.
pub(crate) const SHUTDOWN: &str = "shutdown";

/// The longest delay between two tries of who does not lead, while the store is unavailable.
const LONGEST_BACKOFF: Nanos = Nanos::from_secs(5);

/// What is added to each evaluation, so that nodes do not act in step.
const LEAST_JITTER: Nanos = Nanos::from_millis(25);
const JITTER_SPAN: u64 = 100;

/// The numbers of an election.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) ttl: Nanos,
    /// A holder renews when so much is left.
    pub(crate) renewal_lead: Nanos,
    pub(crate) clock_margin: Nanos,
    pub(crate) evaluation: Nanos,
    pub(crate) backoff: Nanos,
    /// A scope that has no leader for longer is told.
    pub(crate) window: Nanos,
}

/// What to ask the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Acquire,
    Renew(Lease),
    Release(Lease),
    Get,
}

/// What the store said.
#[derive(Debug)]
pub(crate) enum Answer {
    Acquired(Result<Lease, LeaseError>),
    Renewed(Result<(), LeaseError>),
    Released(Result<(), LeaseError>),
    Seen(Result<Option<Incumbent>, LeaseError>),
}

/// Tells one call from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(u64);

/// What happened, for whoever wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Occurrence {
    pub(crate) kind: OccurrenceKind,
    /// Whose tenancy it is about; `None` when the scope is free.
    pub(crate) leader: Option<Leader>,
    pub(crate) reason: Option<Reason>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OccurrenceKind {
    Observed,
    /// With the time that the scope was without a leader, as far as this node saw it.
    Elected {
        after: Nanos,
    },
    Renewed,
    Lost,
    Expired,
    SteppedDown,
}

/// Who leads, as this node knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) holder: String,
    pub(crate) term: u64,
    pub(crate) token: FencingToken,
    /// When the store will take the lease to have ended, as far as that is known.
    pub(crate) until: Option<Time>,
    /// Since when this node knows of it.
    pub(crate) since: Time,
}

/// That this node leads, under which token, and until when unless it is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) term: u64,
    pub(crate) token: FencingToken,
    /// The local deadline.
    pub(crate) until: Time,
}

#[derive(Debug)]
enum State {
    Following {
        next: Time,
    },
    Leading {
        lease: Lease,
        until: Time,
        renew_at: Time,
    },
    /// Leads no more, and still has the lease, until all that depends on it is at rest.
    Yielding {
        lease: Lease,
        until: Time,
        at_rest: bool,
    },
    Ended,
}

#[derive(Debug)]
struct Call {
    id: CallId,
    sent_at: Time,
    /// What is renewed.
    lease: Option<Lease>,
}

/// The machine of one scope.
#[derive(Debug)]
pub(crate) struct Election {
    rules: Rules,
    node: String,
    state: State,
    standing: Result<(), Reason>,
    ending: bool,
    now: Time,
    call: Option<Call>,
    calls: u64,
    /// Something may have changed since the call under way was sent.
    stale: bool,
    leader: Option<Leader>,
    /// Since when nobody leads, as far as this node knows.
    vacant_since: Option<Time>,
    /// Nothing is acquired before.
    not_before: Time,
    failures: u32,
    error: Option<String>,
    requests: VecDeque<(CallId, Request)>,
    occurrences: VecDeque<Occurrence>,
    jitter: Jitter,
}

impl Election {
    /// The machine of a node called `node`.
    pub(crate) fn new(now: Time, node: String, rules: Rules, seed: u64) -> Self {
        Self {
            rules,
            node,
            state: State::Following { next: now },
            standing: Err("not known to be fit".into()),
            ending: false,
            now,
            call: None,
            calls: 0,
            stale: false,
            leader: None,
            vacant_since: Some(now),
            not_before: now,
            failures: 0,
            error: None,
            requests: VecDeque::new(),
            occurrences: VecDeque::new(),
            jitter: Jitter(seed),
        }
    }

    /// Nothing but time has passed.
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
    }

    /// The store has answered `id`.
    pub(crate) fn handle_answer(&mut self, now: Time, id: CallId, answer: Answer) {
        self.pass(now);
        let Some(call) = self.call.take_if(|it| it.id == id) else {
            return;
        };
        match answer {
            Answer::Acquired(answer) => self.acquired(call.sent_at, answer),
            Answer::Renewed(answer) => self.renewed(call, answer),
            Answer::Released(answer) => self.released(answer),
            Answer::Seen(answer) => self.looked(answer),
        }
        self.advance(now);
    }

    /// The store hints that the scope may have changed hands.
    pub(crate) fn handle_hint(&mut self, now: Time) {
        self.stale = self.call.is_some();
        if let State::Following { next } = &mut self.state {
            *next = (*next).min(now);
        }
        self.advance(now);
    }

    /// Whether this node may lead has changed.
    pub(crate) fn handle_standing(&mut self, now: Time, standing: Result<(), Reason>) {
        if self.ending {
            return;
        }
        let regained = self.standing.is_err() && standing.is_ok();
        self.standing = standing;
        if let State::Following { next } = &mut self.state
            && regained
        {
            *next = (*next).min(now);
        }
        self.advance(now);
    }

    /// All that depended on the tenure with `token` is at rest.
    pub(crate) fn handle_rest(&mut self, now: Time, token: FencingToken) {
        if let State::Yielding { lease, at_rest, .. } = &mut self.state
            && lease.token == token
        {
            *at_rest = true;
        }
        self.advance(now);
    }

    /// The node stops: gives up what it has, and ends.
    pub(crate) fn handle_end(&mut self, now: Time) {
        self.ending = true;
        self.standing = Err(SHUTDOWN.into());
        self.advance(now);
    }

    /// The next call to make.
    pub(crate) fn poll_request(&mut self) -> Option<(CallId, Request)> {
        self.requests.pop_front()
    }

    /// The next thing that happened.
    pub(crate) fn poll_occurrence(&mut self) -> Option<Occurrence> {
        self.occurrences.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let idle = self.call.is_none();
        let vacancy = self.vacant_since.map(|it| it + self.rules.window);
        let vacancy = vacancy.filter(|it| *it > self.now);
        let own = match &self.state {
            State::Following { next } => idle.then_some(*next),
            State::Leading {
                until, renew_at, ..
            } => Some(if idle { *until.min(renew_at) } else { *until }),
            State::Yielding { until, .. } => Some(*until),
            State::Ended => None,
        };
        own.into_iter().chain(vacancy).min()
    }

    /// Whether this node leads.
    pub(crate) fn held(&self) -> Option<Held> {
        match &self.state {
            State::Leading { lease, until, .. } => Some(Held {
                term: lease.term,
                token: lease.token,
                until: *until,
            }),
            State::Following { .. } | State::Yielding { .. } | State::Ended => None,
        }
    }

    /// The token of the tenure that has ended, while its lease waits to be released.
    pub(crate) fn yielding(&self) -> Option<FencingToken> {
        match &self.state {
            State::Yielding {
                lease,
                at_rest: false,
                ..
            } => Some(lease.token),
            State::Following { .. }
            | State::Leading { .. }
            | State::Yielding { .. }
            | State::Ended => None,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Who leads, as far as this node knows.
    pub(crate) fn leader(&self) -> Option<&Leader> {
        self.leader.as_ref()
    }

    /// What is wrong, for people.
    pub(crate) fn trouble(&self) -> Option<String> {
        if let Some(error) = &self.error {
            return Some(error.clone());
        }
        let vacant = self.vacant_since?;
        let long = self.now.since(vacant) >= self.rules.window;
        (long && self.standing.is_ok()).then(|| "nobody leads".to_owned())
    }

    // ---- the steps ----

    /// Takes the time in, and ends what has run out by then. Time never goes back.
    fn pass(&mut self, now: Time) {
        self.now = self.now.max(now);
        let now = self.now;
        match &self.state {
            State::Leading { lease, until, .. } if *until <= now => {
                let reason = match &self.error {
                    Some(error) => format!("not renewed in time: {error}").into(),
                    None => Reason::from("not renewed in time"),
                };
                let leader = self.leader_of(lease, *until);
                self.tell(OccurrenceKind::Expired, Some(leader), Some(reason));
                // The store may count it for a little longer; so this node knows of no leader rather than of itself.
                self.vacate();
                self.pause();
            }
            // It runs out by itself: what was not at rest by then is not ours to wait for.
            State::Yielding { until, .. } if *until <= now => self.pause(),
            State::Following { .. }
            | State::Leading { .. }
            | State::Yielding { .. }
            | State::Ended => {}
        }
        self.watch_incumbent();
    }

    /// Notices that the lease of another has run out.
    fn watch_incumbent(&mut self) {
        let has_run_out = |it: &Leader| it.until.is_some_and(|until| until <= self.now);
        if self.held().is_none()
            && let Some(leader) = self.leader.take_if(|it| has_run_out(it))
        {
            self.vacant_since.get_or_insert(self.now);
            self.tell(OccurrenceKind::Expired, Some(leader), None);
        }
    }

    fn advance(&mut self, now: Time) {
        self.pass(now);
        self.step_down();
        if self.call.is_some() {
            return;
        }
        match &self.state {
            State::Following { .. } if self.ending => self.state = State::Ended,
            State::Following { next } if *next <= self.now => self.evaluate(),
            State::Leading {
                lease, renew_at, ..
            } if *renew_at <= self.now => self.call(Request::Renew(lease.clone())),
            State::Yielding {
                lease,
                at_rest: true,
                ..
            } => self.call(Request::Release(lease.clone())),
            State::Following { .. }
            | State::Leading { .. }
            | State::Yielding { .. }
            | State::Ended => {}
        }
    }

    /// Gives up what this node has and may not have any more.
    fn step_down(&mut self) {
        let (State::Leading { lease, until, .. }, Err(reason)) = (&self.state, &self.standing)
        else {
            return;
        };
        let leader = self.leader_of(lease, *until);
        let (reason, next) = (
            reason.clone(),
            State::Yielding {
                lease: lease.clone(),
                until: *until,
                at_rest: false,
            },
        );
        self.state = next;
        self.tell(OccurrenceKind::SteppedDown, Some(leader), Some(reason));
    }

    fn evaluate(&mut self) {
        let is_free = self.leader.is_none();
        if is_free && self.standing.is_ok() && self.not_before <= self.now {
            self.call(Request::Acquire);
        } else {
            self.call(Request::Get);
        }
    }

    fn acquired(&mut self, sent_at: Time, answer: Result<Lease, LeaseError>) {
        match answer {
            Ok(lease) => self.take_up(sent_at, lease),
            Err(LeaseError::Held(incumbent)) => {
                self.store_is_well();
                self.see(Some(incumbent));
            }
            Err(error) => self.store_failed(&error),
        }
    }

    fn take_up(&mut self, sent_at: Time, lease: Lease) {
        self.store_is_well();
        let until = self.local_deadline(sent_at);
        let may_lead = self.standing.is_ok() && self.now < until;
        if !may_lead {
            self.state = State::Yielding {
                until: until.max(self.now + self.rules.backoff),
                lease,
                at_rest: true,
            };
            return;
        }
        let leader = self.leader_of(&lease, sent_at + self.rules.ttl);
        let after = self.now.since(self.vacant_since.unwrap_or(self.now));
        self.vacant_since = None;
        self.leader = Some(leader.clone());
        self.state = State::Leading {
            renew_at: self.renewal(sent_at),
            lease,
            until,
        };
        self.tell(OccurrenceKind::Elected { after }, Some(leader), None);
    }

    fn renewed(&mut self, call: Call, answer: Result<(), LeaseError>) {
        match answer {
            Ok(()) => self.prolong(call),
            Err(error @ LeaseError::Unavailable(_)) => self.not_renewed(&error),
            Err(error) => self.lost(error),
        }
    }

    fn prolong(&mut self, call: Call) {
        let (next, at) = (
            self.local_deadline(call.sent_at),
            self.renewal(call.sent_at),
        );
        match &mut self.state {
            State::Leading {
                until, renew_at, ..
            } => {
                (*until, *renew_at) = (next.max(*until), at);
                self.prolonged(call.sent_at);
            }
            State::Yielding { until, .. } => *until = next.max(*until),
            // It came too late: the tenure has ended, and the lease must not outlive it.
            State::Following { .. } => {
                if let Some(lease) = call.lease {
                    self.state = State::Yielding {
                        lease,
                        until: next.max(self.now + self.rules.backoff),
                        at_rest: false,
                    };
                }
            }
            State::Ended => {}
        }
    }

    fn prolonged(&mut self, sent_at: Time) {
        self.store_is_well();
        let State::Leading { lease, .. } = &self.state else {
            return;
        };
        let since = self.leader.as_ref().map_or(self.now, |it| it.since);
        let leader = Leader {
            since,
            ..self.leader_of(lease, sent_at + self.rules.ttl)
        };
        self.leader = Some(leader.clone());
        self.tell(OccurrenceKind::Renewed, Some(leader), None);
    }

    /// The store counts the lease no more.
    fn lost(&mut self, error: LeaseError) {
        self.store_is_well();
        match &self.state {
            State::Leading { lease, until, .. } => {
                let leader = self.leader_of(lease, *until);
                self.tell(
                    OccurrenceKind::Lost,
                    Some(leader),
                    Some(error.to_string().into()),
                );
                self.vacate();
                self.pause();
            }
            // There is nothing left to be released.
            State::Yielding { .. } => {
                self.vacate();
                self.pause();
            }
            State::Following { .. } | State::Ended => {}
        }
        if let LeaseError::Held(incumbent) | LeaseError::NotCurrentLeader(Some(incumbent)) = error {
            self.see(Some(incumbent));
        }
    }

    fn not_renewed(&mut self, error: &LeaseError) {
        self.note(error);
        let again = self.now + self.rules.backoff;
        if let State::Leading { renew_at, .. } = &mut self.state {
            *renew_at = again;
        }
    }

    fn released(&mut self, answer: Result<(), LeaseError>) {
        match answer {
            Ok(()) => {
                self.store_is_well();
                self.vacate();
            }
            Err(error) => self.note(&error),
        }
        self.pause();
    }

    fn looked(&mut self, answer: Result<Option<Incumbent>, LeaseError>) {
        match answer {
            Ok(incumbent) => {
                self.store_is_well();
                self.see(incumbent);
            }
            Err(error) => self.store_failed(&error),
        }
    }

    /// Takes in who leads, and decides when to look again.
    fn see(&mut self, incumbent: Option<Incumbent>) {
        let now = self.now;
        let seen = incumbent.map(|it| Leader {
            until: it.remaining.map(|left| now + Nanos::from(left)),
            holder: it.holder,
            term: it.term,
            token: it.token,
            since: now,
        });
        let is_stale = std::mem::take(&mut self.stale);
        self.observe(seen);
        let State::Following { .. } = self.state else {
            return;
        };
        let jitter = self.jitter.next();
        let mut next = now + self.rules.evaluation + jitter;
        match &self.leader {
            // It is free at its end, unless it is renewed.
            Some(leader) => {
                next = leader.until.map_or(next, |it| next.min(it + jitter));
            }
            None if self.standing.is_ok() => next = next.min(self.not_before.max(now)),
            None => {}
        }
        self.state = State::Following {
            next: if is_stale { now } else { next },
        };
    }

    fn observe(&mut self, seen: Option<Leader>) {
        let who = |it: &Option<Leader>| it.as_ref().map(|it| (it.holder.clone(), it.token));
        let is_news = who(&self.leader) != who(&seen);
        let since = self.leader.as_ref().map(|it| it.since);
        self.leader = seen;
        match &mut self.leader {
            Some(leader) => {
                self.vacant_since = None;
                if !is_news {
                    leader.since = since.unwrap_or(leader.since);
                }
            }
            None => {
                self.vacant_since.get_or_insert(self.now);
            }
        }
        if is_news {
            self.tell(OccurrenceKind::Observed, self.leader.clone(), None);
        }
    }

    // ---- small change ----

    fn call(&mut self, request: Request) {
        self.calls += 1;
        let id = CallId(self.calls);
        let lease = match &request {
            Request::Renew(lease) => Some(lease.clone()),
            Request::Acquire | Request::Release(_) | Request::Get => None,
        };
        self.call = Some(Call {
            id,
            sent_at: self.now,
            lease,
        });
        self.stale = false;
        self.requests.push_back((id, request));
    }

    fn tell(&mut self, kind: OccurrenceKind, leader: Option<Leader>, reason: Option<Reason>) {
        self.occurrences.push_back(Occurrence {
            kind,
            leader,
            reason,
        });
    }

    /// Nobody leads from now on, as far as this node knows.
    fn vacate(&mut self) {
        self.leader = None;
        self.vacant_since.get_or_insert(self.now);
    }

    /// Back among the others, who come first.
    fn pause(&mut self) {
        self.not_before = self.now + self.rules.backoff + self.jitter.next();
        self.state = State::Following {
            next: self.not_before,
        };
    }

    fn store_failed(&mut self, error: &LeaseError) {
        self.note(error);
        let exponent = self.failures.saturating_sub(1).min(16);
        let delay = self.rules.backoff.saturating_mul(1 << exponent);
        let delay = delay
            .min(LONGEST_BACKOFF)
            .saturating_add(self.jitter.next());
        self.state = State::Following {
            next: self.now + delay,
        };
    }

    fn note(&mut self, error: &LeaseError) {
        self.failures = self.failures.saturating_add(1);
        let cause = error
            .source()
            .map_or_else(String::new, |it| format!(": {it}"));
        self.error = Some(format!("{error}{cause}"));
    }

    fn store_is_well(&mut self) {
        self.failures = 0;
        self.error = None;
    }

    fn local_deadline(&self, sent_at: Time) -> Time {
        sent_at + self.rules.ttl.saturating_sub(self.rules.clock_margin)
    }

    fn renewal(&self, sent_at: Time) -> Time {
        sent_at + self.rules.ttl.saturating_sub(self.rules.renewal_lead)
    }

    fn leader_of(&self, lease: &Lease, until: Time) -> Leader {
        Leader {
            holder: self.node.clone(),
            term: lease.term,
            token: lease.token,
            until: Some(until),
            since: self.now,
        }
    }
}

/// A sequence of delays from a seed (splitmix64).
#[derive(Debug)]
struct Jitter(u64);

impl Jitter {
    fn next(&mut self) -> Nanos {
        LEAST_JITTER.saturating_add(Nanos::from_millis(self.mix() % (JITTER_SPAN + 1)))
    }

    fn mix(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
