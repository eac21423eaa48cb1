//! [`Campaign`]: carries out what the [`Election`] of one scope decides.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::BoxFuture;
use tokio::sync::watch;

use crate::gossip::{Membership, Status};
use crate::leadership::election::{Answer, CallId, Election, Reason, Request, Rules};
use crate::leadership::gatekeeper::{Gatekeeper, Rest};
use crate::leadership::lease::{Claim, FencingToken};
use crate::leadership::observe;
use crate::leadership::observer::Observer;
use crate::leadership::store::{LeaseError, LeaseStore};
use crate::leadership::troubles::Troubles;

/// What all campaigns of a node are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outlook {
    /// Whether the node may lead.
    pub(crate) standing: Result<(), Reason>,
    /// How often the machine has slept: then every deadline is nearer than a timer says.
    pub(crate) sleeps: u64,
}

/// What a node does about one scope, from a start to the stop.
pub(crate) struct Campaign {
    pub(crate) claim: Claim,
    pub(crate) rules: Rules,
    pub(crate) store: Arc<dyn LeaseStore>,
    pub(crate) store_timeout: Duration,
    pub(crate) observer: Observer,
    pub(crate) members: Option<Arc<dyn Membership>>,
    pub(crate) outlook: watch::Receiver<Outlook>,
    pub(crate) troubles: Arc<Troubles>,
    /// The last tenancy whose holder gossip took for gone.
    pub(crate) doubted: Option<FencingToken>,
}

/// A call of the store under way.
struct InFlight {
    id: CallId,
    answer: BoxFuture<'static, Answer>,
}

impl Campaign {
    /// Goes on until `stopping` has completed and what was held is given back.
    pub(crate) async fn run(
        mut self,
        keeper: Option<Gatekeeper>,
        rest: Rest,
        stopping: impl Future<Output = ()>,
    ) {
        let Some(keeper) = keeper else {
            return self.conduct(rest, stopping).await;
        };
        let closer = keeper.closer();
        tokio::select! {
            () = self.conduct(rest, stopping) => {}
            () = keeper.keep() => {}
        }
        closer.close().await;
    }

    async fn conduct(&mut self, mut rest: Rest, stopping: impl Future<Output = ()>) {
        let clock = self.observer.clock();
        let seed = self.claim.claimant ^ spread(self.claim.scope.as_str());
        let mut election = Election::new(clock.now(), self.claim.holder.clone(), self.rules, seed);
        let mut stopping = pin!(stopping);
        let mut is_stopping = false;
        let mut in_flight: Option<InFlight> = None;
        let mut hint = self.store.changed(&self.claim.scope);
        self.outlook.mark_changed();
        loop {
            self.tell(&mut election);
            if let Some((id, request)) = election.poll_request() {
                let answer = self.ask(request);
                in_flight = Some(InFlight { id, answer });
            }
            if election.has_ended() {
                return;
            }
            let timeout = election.poll_timeout().map(|it| clock.instant(it));
            tokio::select! {
                biased;
                () = &mut stopping, if !is_stopping => {
                    is_stopping = true;
                    election.handle_end(clock.now());
                }
                (id, answer) = answered(&mut in_flight) => {
                    in_flight = None;
                    observe::count(&answer);
                    election.handle_answer(clock.now(), id, answer);
                }
                token = at_rest(&mut rest, election.yielding()) => {
                    election.handle_rest(clock.now(), token);
                }
                outlook = next(&mut self.outlook), if !is_stopping => {
                    election.handle_standing(clock.now(), outlook.standing);
                }
                () = &mut hint => {
                    hint = self.store.changed(&self.claim.scope);
                    election.handle_hint(clock.now());
                }
                () = sleep_until(timeout) => election.handle_timeout(clock.now()),
            }
        }
    }

    /// Publishes, counts and logs what has happened.
    fn tell(&mut self, election: &mut Election) {
        let scope = &self.claim.scope;
        let trouble = election.trouble();
        self.troubles.set(scope, trouble.clone());
        let occurrences: Vec<_> = std::iter::from_fn(|| election.poll_occurrence()).collect();
        for occurrence in &occurrences {
            observe::record(scope, &self.claim.holder, occurrence);
        }
        observe::hold(scope, election.held().is_some());
        let (leader, held) = (election.leader(), election.held());
        self.observer
            .publish(scope, leader, held, trouble, occurrences.into_iter());
        self.doubt(election);
    }

    /// Says so once when gossip takes the holder of a lease for gone.
    fn doubt(&mut self, election: &Election) {
        let (Some(members), Some(leader)) = (&self.members, election.leader()) else {
            return;
        };
        if self.doubted == Some(leader.token) || leader.holder == self.claim.holder {
            return;
        }
        let view = members.view();
        let status = view.peer(&leader.holder).map(|it| it.status);
        if matches!(status, Some(Status::Suspect | Status::Left)) {
            self.doubted = Some(leader.token);
            observe::split_brain(&self.claim.scope, &leader.holder);
        }
    }

    fn ask(&self, request: Request) -> BoxFuture<'static, Answer> {
        let (store, claim, limit) = (
            Arc::clone(&self.store),
            self.claim.clone(),
            self.store_timeout,
        );
        Box::pin(async move {
            match request {
                Request::Acquire => Answer::Acquired(within(limit, store.acquire(&claim)).await),
                Request::Renew(lease) => Answer::Renewed(within(limit, store.renew(&lease)).await),
                Request::Release(lease) => {
                    Answer::Released(within(limit, store.release(&lease)).await)
                }
                Request::Get => Answer::Seen(within(limit, store.get(&claim.scope)).await),
            }
        })
    }
}

impl Drop for Campaign {
    /// However it ends: nobody is told by this node any more who leads, and least of all that it does itself.
    fn drop(&mut self) {
        let scope = &self.claim.scope;
        self.troubles.set(scope, None);
        observe::hold(scope, false);
        self.observer
            .publish(scope, None, None, None, std::iter::empty());
    }
}

/// The answer of a store, if it comes in time.
async fn within<T>(
    limit: Duration,
    answer: impl Future<Output = Result<T, LeaseError>>,
) -> Result<T, LeaseError> {
    let answer = tokio::time::timeout(limit, answer).await;
    answer.unwrap_or_else(|_| {
        Err(LeaseError::unavailable(format!(
            "no answer within {limit:?}"
        )))
    })
}

async fn answered(in_flight: &mut Option<InFlight>) -> (CallId, Answer) {
    match in_flight {
        Some(call) => (call.id, call.answer.as_mut().await),
        None => std::future::pending().await,
    }
}

async fn at_rest(rest: &mut Rest, token: Option<FencingToken>) -> FencingToken {
    let Some(token) = token else {
        return std::future::pending().await;
    };
    rest.after(token).await;
    token
}

async fn next(outlook: &mut watch::Receiver<Outlook>) -> Outlook {
    if outlook.changed().await.is_err() {
        return std::future::pending().await;
    }
    outlook.borrow_and_update().clone()
}

async fn sleep_until(instant: Option<tokio::time::Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// A number from a name (FNV-1a), so that the scopes of one node do not act in step.
fn spread(name: &str) -> u64 {
    name.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    })
}
