//! Several elections and one store, with a network between them that delays and loses, clocks that go unequally fast, and nodes
//! that stand still: nobody may lead at the same time as another.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{RULES, at};
use crate::leadership::election::{Answer, CallId, Election, Jitter, OccurrenceKind, Request};
use crate::leadership::lease::{Claim, FencingToken, Incumbent, Lease};
use crate::leadership::scope::Scope;
use crate::leadership::store::LeaseError;
use lifecycle_core::{Nanos, Time};

const NODES: usize = 3;
const END: u64 = 60_000;

/// How long a node waits for an answer, in milliseconds.
const PATIENCE: u64 = 1_000;

enum Happening {
    Wake(usize),
    Arrive(usize, CallId, Request),
    Answer(usize, CallId, Answer),
    Rest(usize, FencingToken),
    Fit(usize, bool),
}

struct Node {
    election: Election,
    /// How far its clock goes in 1000 ms.
    pace: u64,
    /// It stands still until then.
    stalled: u64,
    /// When it wakes up next.
    wake: u64,
}

impl Node {
    fn now(&self, real: u64) -> Time {
        Time::new(Nanos::from_micros(real * self.pace))
    }

    /// When its clock shows `time`.
    fn real(&self, time: Time) -> u64 {
        (time.since_origin().as_nanos() / 1_000).div_ceil(self.pace)
    }
}

struct Cluster {
    now: u64,
    nodes: Vec<Node>,
    /// The term, and who holds it until when.
    term: u64,
    holder: Option<(usize, u64)>,
    queue: BTreeMap<(u64, u64), Happening>,
    queued: u64,
    random: Jitter,
    elections: u32,
}

impl Cluster {
    fn new(seed: u64) -> Self {
        let mut random = Jitter(seed);
        let nodes = (0..NODES).map(|it| Node {
            election: Election::new(at(0), format!("node-{it}"), RULES, seed ^ it as u64),
            // The clock margin is a sixteenth of the lease.
            pace: 960 + random.below(80),
            stalled: 0,
            wake: 0,
        });
        let mut cluster = Self {
            now: 0,
            nodes: nodes.collect(),
            term: 0,
            holder: None,
            queue: BTreeMap::new(),
            queued: 0,
            random,
            elections: 0,
        };
        for node in 0..NODES {
            cluster.later(0, Happening::Fit(node, true));
        }
        cluster
    }

    fn later(&mut self, delay: u64, happening: Happening) {
        self.queued += 1;
        self.queue
            .insert((self.now + delay, self.queued), happening);
    }

    /// Mostly short, sometimes as long as a lease.
    fn delay(&mut self) -> u64 {
        match self.random.below(20) {
            0 => self.random.below(5_000),
            1..=3 => self.random.below(500),
            _ => self.random.below(20),
        }
    }

    fn run(&mut self) -> Result<(), TestCaseError> {
        while let Some(((time, _), happening)) = self.queue.pop_first() {
            if time > END {
                break;
            }
            self.now = time;
            self.happen(happening);
            let leaders = self.leaders();
            prop_assert!(leaders.len() <= 1, "at {time} ms lead {leaders:?}");
        }
        Ok(())
    }

    /// Who would say now that it leads.
    fn leaders(&self) -> Vec<usize> {
        let leads = |it: &usize| {
            let node = &self.nodes[*it];
            let held = node.election.held();
            held.is_some_and(|held| held.until > node.now(self.now))
        };
        (0..NODES).filter(leads).collect()
    }

    fn happen(&mut self, happening: Happening) {
        let node = match &happening {
            Happening::Arrive(node, id, request) => {
                let answer = self.store(*node, request);
                let delay = self.delay();
                return self.later(delay, Happening::Answer(*node, *id, answer));
            }
            Happening::Wake(node)
            | Happening::Answer(node, ..)
            | Happening::Rest(node, _)
            | Happening::Fit(node, _) => *node,
        };
        let is_superseded =
            matches!(happening, Happening::Wake(_)) && self.nodes[node].wake != self.now;
        if is_superseded {
            return;
        }
        let stalled = self.nodes[node].stalled;
        if stalled > self.now {
            if let Happening::Wake(_) = happening {
                self.nodes[node].wake = stalled;
            }
            return self.later(stalled - self.now, happening);
        }
        let now = self.nodes[node].now(self.now);
        let election = &mut self.nodes[node].election;
        match happening {
            Happening::Wake(_) => election.handle_timeout(now),
            Happening::Answer(_, id, answer) => election.handle_answer(now, id, answer),
            Happening::Rest(_, token) => election.handle_rest(now, token),
            Happening::Fit(_, true) => election.handle_standing(now, Ok(())),
            Happening::Fit(_, false) => election.handle_standing(now, Err("unfit".into())),
            Happening::Arrive(..) => {}
        }
        self.follow_up(node);
    }

    /// Carries out what the election of `node` has decided.
    fn follow_up(&mut self, node: usize) {
        while let Some((id, request)) = self.nodes[node].election.poll_request() {
            let delay = self.delay();
            self.later(delay, Happening::Arrive(node, id, request.clone()));
            let none = || LeaseError::unavailable("no answer");
            let none = match request {
                Request::Acquire => Answer::Acquired(Err(none())),
                Request::Renew(_) => Answer::Renewed(Err(none())),
                Request::Release(_) => Answer::Released(Err(none())),
                Request::Get => Answer::Seen(Err(none())),
            };
            self.later(PATIENCE, Happening::Answer(node, id, none));
        }
        while let Some(occurrence) = self.nodes[node].election.poll_occurrence() {
            let is_elected = matches!(occurrence.kind, OccurrenceKind::Elected { .. });
            self.elections += u32::from(is_elected);
        }
        if let Some(token) = self.nodes[node].election.yielding() {
            let delay = self.random.below(300);
            self.later(delay, Happening::Rest(node, token));
        }
        if let Some(timeout) = self.nodes[node].election.poll_timeout() {
            let wake = self.nodes[node].real(timeout).max(self.now + 1);
            if self.nodes[node].wake != wake {
                self.nodes[node].wake = wake;
                self.later(wake - self.now, Happening::Wake(node));
            }
        }
        match self.random.below(200) {
            0 => self.nodes[node].stalled = self.now + self.random.below(8_000),
            1 => {
                self.later(0, Happening::Fit(node, false));
                let well = self.random.below(3_000);
                self.later(well, Happening::Fit(node, true));
            }
            _ => {}
        }
    }

    /// A store as the trait wants it.
    fn store(&mut self, node: usize, request: &Request) -> Answer {
        let valid = self.holder.filter(|(_, until)| *until > self.now);
        let incumbent = valid.map(|(holder, until)| Incumbent {
            holder: format!("node-{holder}"),
            term: self.term,
            token: FencingToken::new(self.term),
            remaining: Some(std::time::Duration::from_millis(until - self.now)),
        });
        let granted = self.now + RULES.ttl.as_millis();
        match request {
            Request::Get => Answer::Seen(Ok(incumbent)),
            Request::Acquire => match (valid, incumbent) {
                (Some((holder, _)), Some(incumbent)) if holder != node => {
                    Answer::Acquired(Err(LeaseError::Held(incumbent)))
                }
                _ => {
                    self.term += 1;
                    self.holder = Some((node, granted));
                    Answer::Acquired(Ok(lease(node, self.term)))
                }
            },
            Request::Renew(lease) if lease.term != self.term => {
                Answer::Renewed(Err(LeaseError::NotCurrentLeader(incumbent)))
            }
            Request::Renew(_) if valid.is_none() => Answer::Renewed(Err(LeaseError::Expired)),
            Request::Renew(_) => {
                self.holder = Some((node, granted));
                Answer::Renewed(Ok(()))
            }
            Request::Release(lease) => {
                if lease.term == self.term {
                    self.holder = None;
                }
                Answer::Released(Ok(()))
            }
        }
    }
}

fn lease(node: usize, term: u64) -> Lease {
    Lease {
        claim: Claim {
            scope: Scope::global_control(),
            holder: format!("node-{node}"),
            claimant: node as u64,
            ttl: RULES.ttl,
        },
        term,
        token: FencingToken::new(term),
        session: 0,
    }
}

impl Jitter {
    fn below(&mut self, limit: u64) -> u64 {
        self.mix() % limit
    }
}

proptest! {
    #[test]
    fn contract_74_no_two_nodes_lead_at_the_same_time_whatever_the_network_and_the_clocks_do(seed: u64) {
        let mut cluster = Cluster::new(seed);
        cluster.run()?;
        prop_assert!(cluster.elections > 0, "somebody has led");
    }
}
