//! [`Peers`]: several places that answer the same calls, and which of them is asked.
//!
//! tower's own balancer is not used: an endpoint that is dead stays ready there, since its connection is made again and again.
//! Here a peer is a place and a circuit, and what became of its calls decides.

mod chooser;
mod circuit;

use std::fmt;
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

/// Places of one service, each with its circuit.
pub(crate) struct Peers<P> {
    places: Vec<P>,
    shared: Arc<Mutex<Shared>>,
}

/// What is decided upon at once, so that two calls never take the same turn.
#[derive(Debug)]
struct Shared {
    choosing: Choosing,
    peers: Vec<Peer>,
}

#[derive(Debug)]
struct Peer {
    name: String,
    circuit: Circuit,
    pending: usize,
}

impl<P: Clone + fmt::Display> Peers<P> {
    pub(crate) fn new(places: Vec<P>, chooser: Chooser, breaker: Breaker) -> Self {
        let peer = |place: &P| Peer {
            name: place.to_string(),
            circuit: Circuit::new(breaker),
            pending: 0,
        };
        let shared = Shared {
            choosing: Choosing::new(chooser),
            peers: places.iter().map(peer).collect(),
        };
        Self {
            places,
            shared: Arc::new(Mutex::new(shared)),
        }
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
        mut attempt: impl FnMut(P, Pending) -> Fut,
    ) -> Result<T, RpcError>
    where
        Fut: Future<Output = Result<T, RpcError>>,
    {
        let mut tried = Vec::new();
        let mut refusal = None;
        loop {
            let Some((turn, pending)) = self.choose(&tried) else {
                return Err(refusal.unwrap_or_else(none_available));
            };
            let place = turn.place;
            let attempted = attempt(self.places[place].clone(), pending);
            let result = turn.watch(deadline, attempted).await;
            match result {
                Err(error) if again && is_refusal(&error) => {
                    tried.push(place);
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

    fn choose(&self, tried: &[usize]) -> Option<(Watched, Pending)> {
        let now = now();
        let mut shared = lock(&self.shared);
        let candidates = shared.peers.iter().enumerate();
        let candidates = candidates
            .filter(|(place, peer)| !tried.contains(place) && peer.circuit.admits(now))
            .map(|(place, peer)| (place, peer.pending));
        let candidates: Vec<_> = candidates.collect();
        let place = shared.choosing.choose(&candidates)?;
        let peer = &mut shared.peers[place];
        peer.pending += 1;
        let is_answered = Arc::new(AtomicBool::new(false));
        let watched = Watched {
            shared: Arc::clone(&self.shared),
            place,
            turn: peer.circuit.begin(),
            outcome: Outcome::GivenUp,
            is_answered: Arc::clone(&is_answered),
        };
        let pending = Pending {
            shared: Arc::clone(&self.shared),
            place,
            is_answered,
        };
        Some((watched, pending))
    }
}

/// A call that counts as in flight until this is dropped.
#[derive(Debug)]
pub(crate) struct Pending {
    shared: Arc<Mutex<Shared>>,
    place: usize,
    is_answered: Arc<AtomicBool>,
}

impl Pending {
    /// Notes that the peer has answered, be it with an error.
    pub(crate) fn answered(&self) {
        self.is_answered.store(true, Ordering::Release);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        lock(&self.shared).peers[self.place].pending -= 1;
    }
}

/// A call whose outcome the circuit is told when this is dropped, however that comes.
struct Watched {
    shared: Arc<Mutex<Shared>>,
    place: usize,
    turn: Turn,
    outcome: Outcome,
    is_answered: Arc<AtomicBool>,
}

impl Watched {
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

impl Drop for Watched {
    fn drop(&mut self) {
        let mut shared = lock(&self.shared);
        let Peer { name, circuit, .. } = &mut shared.peers[self.place];
        match circuit.end(now(), self.turn, self.outcome) {
            None => {}
            Some(Change::Opened(pause)) => tracing::warn!(
                event = "peer.opened",
                peer = name,
                ?pause,
                "a peer does not answer and is left alone"
            ),
            Some(Change::Closed) => {
                tracing::info!(event = "peer.closed", peer = name, "a peer answers again");
            }
        }
    }
}

/// By the timer's clock, which tests may hold.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
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
        write!(f, "{} peers", self.places.len())
    }
}

#[cfg(test)]
mod tests;
