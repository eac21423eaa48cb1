//! [`Peers`]: several places that answer the same calls, and which of them is asked.
//!
//! tower's own balancer is not used: an endpoint that is dead stays ready there, since its connection is made again and again.
//! Here a peer is a place and a circuit, and what became of its calls decides.

mod chooser;
mod circuit;
mod source;

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use self::chooser::Choosing;
use self::circuit::{Change, Circuit, Outcome, Turn};
use crate::code::Code;
use crate::error::RpcError;
use crate::until::within;

pub use self::chooser::Chooser;
pub use self::circuit::Breaker;
pub use self::source::PeerSource;

/// Places of one service, each with its circuit. They may come and go.
pub(crate) struct Peers<P> {
    shared: Arc<Mutex<Shared<P>>>,
}

/// What is decided upon at once, so that two calls never take the same turn.
struct Shared<P> {
    choosing: Choosing,
    breaker: Breaker,
    /// In the order of their numbers, which is that in which they came. A number is never given twice: who comes back is another
    /// peer, and what is left of the calls of one that has gone finds nobody.
    peers: Vec<Peer<P>>,
    next: usize,
}

struct Peer<P> {
    number: usize,
    place: P,
    /// Stays, whoever else comes and goes.
    is_fixed: bool,
    circuit: Circuit,
    pending: usize,
}

/// Who has come and who has gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Turnover<P> {
    pub(crate) came: Vec<P>,
    pub(crate) went: Vec<P>,
}

impl<P: Clone + fmt::Display + Eq + Hash> Peers<P> {
    /// These, for good.
    pub(crate) fn new(places: Vec<P>, chooser: Chooser, breaker: Breaker) -> Self {
        let mut shared = Shared {
            choosing: Choosing::new(chooser),
            breaker,
            peers: Vec::with_capacity(places.len()),
            next: 0,
        };
        places.into_iter().for_each(|it| shared.add(it, true));
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Makes the peers, but for the fixed ones, those at `places`. Who stays keeps its circuit, its calls in flight, and its place in
    /// the round; who goes gets no further calls, and those in flight go on; who comes is the last one.
    pub(crate) fn replace(&self, places: &[P]) -> Turnover<P> {
        let mut unknown: HashSet<&P> = places.iter().collect();
        let mut shared = lock(&self.shared);
        let is_gone = |it: &mut Peer<P>| !unknown.remove(&it.place) && !it.is_fixed;
        let went = shared.peers.extract_if(.., is_gone);
        let went = went.map(|it| it.place).collect();
        let came = places.iter().filter(|it| unknown.remove(it));
        let came: Vec<_> = came.cloned().collect();
        for place in &came {
            shared.add(place.clone(), false);
        }
        Turnover { came, went }
    }

    /// Where they are, in their order.
    pub(crate) fn places(&self) -> Vec<P> {
        let shared = lock(&self.shared);
        shared.peers.iter().map(|it| it.place.clone()).collect()
    }

    /// Makes a call at one of them. Where nothing of it has been taken in, and `again` says that it can be made once more, the next
    /// one is tried, each of them once.
    ///
    /// What `attempt` is given counts as in flight until it is dropped.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when no peer may be asked, [`Code::DeadlineExceeded`] at `deadline`, and the last attempt's own.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempt; it says nothing about the peer.
    pub(crate) async fn call<T, Fut>(
        &self,
        deadline: Option<Instant>,
        again: bool,
        mut attempt: impl FnMut(P, Pending<P>) -> Fut,
    ) -> Result<T, RpcError>
    where
        Fut: Future<Output = Result<T, RpcError>>,
    {
        let mut tried = Vec::new();
        let mut refusal = None;
        loop {
            let Some((place, turn, pending)) = self.choose(&tried) else {
                return Err(refusal.unwrap_or_else(none_available));
            };
            let number = turn.number;
            let attempted = attempt(place, pending);
            let result = turn.watch(deadline, attempted).await;
            match result {
                Err(error) if again && is_refusal(&error) => {
                    tried.push(number);
                    refusal = Some(error);
                }
                other => return other,
            }
        }
    }

    /// Whether at least one of them may be asked, be it by a probe.
    pub(crate) fn is_any_available(&self) -> bool {
        let (now, shared) = (now(), lock(&self.shared));
        shared.peers.iter().any(|it| it.circuit.admits(now))
    }

    fn choose(&self, tried: &[usize]) -> Option<(P, Watched<P>, Pending<P>)> {
        let now = now();
        let mut shared = lock(&self.shared);
        let candidates = shared.peers.iter();
        let candidates = candidates
            .filter(|it| !tried.contains(&it.number) && it.circuit.admits(now))
            .map(|it| (it.number, it.pending));
        let candidates: Vec<_> = candidates.collect();
        let number = shared.choosing.choose(&candidates)?;
        let peer = shared.find(number)?;
        peer.pending += 1;
        let is_answered = Arc::new(AtomicBool::new(false));
        let watched = Watched {
            shared: Arc::clone(&self.shared),
            number,
            turn: peer.circuit.begin(),
            outcome: Outcome::GivenUp,
            is_answered: Arc::clone(&is_answered),
        };
        let pending = Pending {
            shared: Arc::clone(&self.shared),
            number,
            is_answered,
        };
        Some((peer.place.clone(), watched, pending))
    }
}

impl<P> Shared<P> {
    fn add(&mut self, place: P, is_fixed: bool) {
        self.peers.push(Peer {
            number: self.next,
            place,
            is_fixed,
            circuit: Circuit::new(self.breaker),
            pending: 0,
        });
        self.next += 1;
    }

    /// The peer of this number, unless it has gone.
    fn find(&mut self, number: usize) -> Option<&mut Peer<P>> {
        let found = self.peers.binary_search_by_key(&number, |it| it.number);
        found.ok().map(|it| &mut self.peers[it])
    }
}

/// A call that counts as in flight until this is dropped.
pub(crate) struct Pending<P> {
    shared: Arc<Mutex<Shared<P>>>,
    number: usize,
    is_answered: Arc<AtomicBool>,
}

impl<P> Pending<P> {
    /// Notes that the peer has answered, be it with an error.
    pub(crate) fn answered(&self) {
        self.is_answered.store(true, Ordering::Release);
    }
}

impl<P> Drop for Pending<P> {
    fn drop(&mut self) {
        if let Some(peer) = lock(&self.shared).find(self.number) {
            peer.pending -= 1;
        }
    }
}

/// A call whose outcome the circuit is told when this is dropped, however that comes.
struct Watched<P: fmt::Display> {
    shared: Arc<Mutex<Shared<P>>>,
    number: usize,
    turn: Turn,
    outcome: Outcome,
    is_answered: Arc<AtomicBool>,
}

impl<P: fmt::Display> Watched<P> {
    async fn watch<T>(
        mut self,
        deadline: Option<Instant>,
        attempt: impl Future<Output = Result<T, RpcError>>,
    ) -> Result<T, RpcError> {
        let mut is_over = false;
        let noted = async {
            let result = attempt.await;
            is_over = true;
            result
        };
        let result = within(deadline, noted).await;
        self.outcome = match &result {
            Err(error) if error.code == Code::Unavailable => Outcome::Failed,
            // Our own clock ended it.
            Err(_) if !is_over => Outcome::Failed,
            // Of an error before there was an answer, the peer knows nothing.
            Err(_) if !self.is_answered.load(Ordering::Acquire) => Outcome::GivenUp,
            _ => Outcome::Answered,
        };
        result
    }
}

impl<P: fmt::Display> Drop for Watched<P> {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        let Some(Peer { place, circuit, .. }) = shared.find(self.number) else {
            return;
        };
        match circuit.end(now(), self.turn, self.outcome) {
            None => {}
            Some(Change::Opened(pause)) => tracing::warn!(
                event = "peer.opened",
                peer = %place,
                ?pause,
                "a peer does not answer and is left alone"
            ),
            Some(Change::Closed) => {
                tracing::info!(event = "peer.closed", peer = %place, "a peer answers again");
            }
        }
    }
}

/// By the timer's clock, which tests may hold.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn lock<P>(shared: &Mutex<Shared<P>>) -> MutexGuard<'_, Shared<P>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether nothing of the call has been taken in: there was no connection, or the peer drains and says when to come again.
fn is_refusal(error: &RpcError) -> bool {
    let is_unreachable = error.reason.as_deref() == Some("dispatcher.outbound.unreachable");
    let is_later = error.metadata.contains_key("retry-after");
    error.code == Code::Unavailable && (is_unreachable || is_later)
}

fn none_available() -> RpcError {
    let message = "no peer of the upstream is available";
    RpcError::new(Code::Unavailable, message).with_reason("dispatcher.outbound.no_available_peers")
}

impl<P> fmt::Debug for Peers<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} peers", lock(&self.shared).peers.len())
    }
}

#[cfg(test)]
mod tests;
