//! Leadership as a component: one node at a time leads a scope, by leases with fencing tokens.
//!
//! A host registers it, asks the [`Observer`] who leads, and lets components run only while this node does:
//!
//! ```
//! use std::sync::Arc;
//!
//! use mesh::leadership::{Leadership, MemoryStore, Options};
//!
//! let options = Options { node_id: Some("a".into()), ..Options::default() };
//! let leadership = Leadership::new(&options, Arc::new(MemoryStore::new()))?;
//! let observer = leadership.observer();
//! assert_eq!(observer.snapshot().leaders[0].leader_id, None);
//! assert_eq!(leadership.registration().name, "mesh-leadership");
//! # Ok::<(), mesh::leadership::InvalidOptions>(())
//! ```
//!
//! What is promised, and what is not, is in `docs/leadership.md`. In short: a lease is given to one node at a time; a node takes
//! its lease to end before the store does; what is gated by a scope is down by then, or its process is. No clock can promise
//! that nothing a leader has sent arrives late, so resources check the [`FencingToken`] ([`Fence`]).
//!
//! Metrics: `mesh_leadership_transitions_total{scope,kind}`, `mesh_leadership_election_duration_seconds{scope}`,
//! `mesh_leadership_split_brain_total{scope}`, `mesh_leadership_held{scope}` and
//! `mesh_leadership_store_calls_total{operation,outcome}`.

mod campaign;
mod clock;
mod condition;
mod config;
mod election;
#[cfg(feature = "etcd")]
mod etcd;
mod event;
mod fence;
mod gatekeeper;
mod lease;
mod memory;
mod observe;
mod observer;
mod options;
mod outlook;
mod password;
mod scope;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod troubles;

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::{
    BoxError, Criticality, Gate, Lifecycle, Nanos, Registration, StartContext, StopContext,
};
use lifecycle_runtime::Handle;
use tokio::sync::watch;

pub use crate::gossip::OptionFault;
use crate::gossip::{self, Membership};
use crate::leadership::campaign::{Campaign, Outlook};
use crate::leadership::clock::Clock;
pub use crate::leadership::condition::Condition;
use crate::leadership::condition::{AliveInOwnView, TakesWork};
pub use crate::leadership::config::{EtcdOptions, StoreFault, StoreOptions};
use crate::leadership::election::Rules;
#[cfg(feature = "etcd")]
pub use crate::leadership::etcd::{EtcdError, EtcdStore};
pub use crate::leadership::event::{EventKind, LeadershipEvent, Notice, Subscription};
pub use crate::leadership::fence::{Fence, FenceGuard, StaleToken};
use crate::leadership::gatekeeper::{Gatekeeper, Rest, gate_name};
pub use crate::leadership::lease::{Claim, FencingToken, Incumbent, Lease};
pub use crate::leadership::memory::MemoryStore;
pub use crate::leadership::observer::{LeaderRow, Observer, Snapshot, Tenure};
pub use crate::leadership::options::{InvalidOptions, Options, Shards};
use crate::leadership::outlook::Lookout;
pub use crate::leadership::password::Password;
pub use crate::leadership::scope::{GLOBAL_CONTROL, Scope, ScopeError, ScopeKind};
#[cfg(feature = "sqlite")]
pub use crate::leadership::sqlite::SqliteStore;
pub use crate::leadership::store::{LeaseError, LeaseStore, Reach};
use crate::leadership::troubles::Troubles;

/// The name under which leadership is registered.
pub const NAME: &str = "mesh-leadership";

/// Leadership as a component. One value can be started and stopped any number of times.
///
/// - `start` returns as soon as its tasks run; it waits neither for the store nor for a lease. Starting what runs does nothing.
/// - What the store does not answer is tried again, and shows as degraded.
/// - `stop` gives up every lease with the reason `shutdown`: what is gated comes to rest, then the lease is released. It takes
///   no more than three quarters of the time it has, and none when it is forced; what is not released by then runs out.
pub struct Leadership {
    node: String,
    scopes: Vec<Scope>,
    rules: Rules,
    store_timeout: Nanos,
    gate_margin: Nanos,
    store: Arc<dyn LeaseStore>,
    observer: Observer,
    conditions: Vec<Arc<dyn Condition>>,
    members: Option<Arc<dyn Membership>>,
    handle: Option<Handle>,
    /// Whether campaigns shall end at once. Every campaign holds a receiver.
    forced: watch::Sender<bool>,
}

impl Leadership {
    /// Leadership as `options` say, by the leases of `store`; nothing is asked before it is started.
    ///
    /// # Errors
    ///
    /// [`InvalidOptions`] with every fault that can be found at once.
    pub fn new(options: &Options, store: Arc<dyn LeaseStore>) -> Result<Self, InvalidOptions> {
        let scopes = options.check()?;
        let node = options.node_id.as_deref().unwrap_or_default().trim();
        Ok(Self {
            node: node.to_owned(),
            rules: options.rules(),
            store_timeout: options.store_timeout,
            gate_margin: options.gate_margin,
            store,
            observer: Observer::new(node.to_owned(), Clock::starting_now(), &scopes),
            scopes,
            conditions: Vec::new(),
            members: None,
            handle: None,
            forced: watch::channel(false).0,
        })
    }

    /// Leads only while this node is alive in its own view of `members`, and doubts the leases of members that are not.
    ///
    /// The registration then depends on gossip, and tolerates its loss.
    #[must_use]
    pub fn among(mut self, members: impl Membership + 'static) -> Self {
        let members: Arc<dyn Membership> = Arc::new(members);
        self.conditions
            .push(Arc::new(AliveInOwnView(Arc::clone(&members))));
        self.members = Some(members);
        self
    }

    /// Leads only while the orchestrator of `handle` runs, its node is neither cordoned nor drained, and no essential component
    /// is unhealthy; and opens the gates of what this node leads.
    ///
    /// The component keeps the handle, so that the orchestrator is driven until both are gone.
    #[must_use]
    pub fn on(mut self, handle: Handle) -> Self {
        self.conditions.push(Arc::new(TakesWork(handle.clone())));
        self.handle = Some(handle);
        self
    }

    /// Leads only while `condition` holds, too.
    #[must_use]
    pub fn provided(mut self, condition: impl Condition) -> Self {
        self.conditions.push(Arc::new(condition));
        self
    }

    /// Who leads, as this node knows. The handle can be kept and used at any time.
    #[must_use]
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// The gate of `scope`: open while this node leads it, for what is started under [`on`](Self::on)'s orchestrator.
    ///
    /// Its margin is [`Options::gate_margin`]; a component whose stop may take longer is refused when the orchestrator is built.
    ///
    /// # Errors
    ///
    /// [`UnknownScope`] when the scope is not configured.
    pub fn gate(&self, scope: &Scope) -> Result<Gate, UnknownScope> {
        if !self.scopes.contains(scope) {
            return Err(UnknownScope {
                scope: scope.clone(),
            });
        }
        Ok(Gate::new(gate_name(scope), self.gate_margin))
    }

    /// `registration`, gated by `scope` and dependent on leadership: it is down before a lease is released, also in a stop, and
    /// when leadership itself is lost.
    ///
    /// # Errors
    ///
    /// [`UnknownScope`] when the scope is not configured.
    pub fn gated(
        &self,
        scope: &Scope,
        registration: Registration,
    ) -> Result<Registration, UnknownScope> {
        let gate = self.gate(scope)?;
        Ok(registration.gated_by(gate).depends_on([NAME]))
    }

    /// It under [`NAME`], degradable: without it a host goes on, and leads nothing.
    #[must_use]
    pub fn registration(self) -> Registration {
        let depends = self.members.is_some();
        let registration = Registration::new(NAME, self).criticality(Criticality::Degradable);
        if depends {
            registration.tolerates([gossip::NAME])
        } else {
            registration
        }
    }

    fn campaign(
        &self,
        scope: &Scope,
        claimant: u64,
        outlook: watch::Receiver<Outlook>,
        troubles: &Arc<Troubles>,
    ) -> Campaign {
        Campaign {
            claim: Claim {
                scope: scope.clone(),
                holder: self.node.clone(),
                claimant,
                ttl: self.rules.ttl,
            },
            rules: self.rules,
            store: Arc::clone(&self.store),
            store_timeout: self.store_timeout.into(),
            observer: self.observer.clone(),
            members: self.members.clone(),
            outlook,
            troubles: Arc::clone(troubles),
            doubted: None,
        }
    }

    fn keeper(&self, scope: &Scope) -> (Option<Gatekeeper>, Rest) {
        let (Some(handle), Some(tenure)) = (&self.handle, self.observer.watch(scope)) else {
            return (None, Rest::immediate());
        };
        let (keeper, rest) = Gatekeeper::new(handle.clone(), scope, tenure);
        (Some(keeper), rest)
    }
}

impl Lifecycle for Leadership {
    const DISPOSES: bool = false;

    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        if self.forced.receiver_count() > 0 {
            tracing::debug!("leadership runs already");
            return Ok(());
        }
        observe::describe();
        self.forced.send_replace(false);
        let troubles = Arc::new(Troubles::new(cx.reporter()));
        let (lookout, outlook) = Lookout::new(self.conditions.clone());
        let claimant = random();
        for scope in &self.scopes {
            let campaign = self.campaign(scope, claimant, outlook.clone(), &troubles);
            let (keeper, rest) = self.keeper(scope);
            let (run, mut forced) = (cx.run_token(), self.forced.subscribe());
            cx.spawn(scope.to_string(), async move {
                tokio::select! {
                    () = campaign.run(keeper, rest, run.cancelled()) => {}
                    _ = forced.wait_for(|it| *it) => {}
                }
            });
        }
        let run = cx.run_token();
        cx.spawn("outlook", async move {
            run.run_until_cancelled(lookout.keep()).await;
        });
        // The store is tended until the last lease is given back.
        let (store, forced) = (Arc::clone(&self.store), self.forced.clone());
        cx.spawn("store", async move {
            tokio::select! {
                () = store.tend() => {}
                () = forced.closed() => {}
            }
        });
        tracing::info!(
            node_id = self.node,
            scopes = self.scopes.len(),
            store = self.store.kind(),
            "leadership is at work"
        );
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        let limit = cx.remaining().map_or(Duration::MAX, |it| it / 4 * 3);
        tokio::select! {
            biased;
            () = self.forced.closed() => {}
            () = cx.forced() => self.abandon().await,
            () = tokio::time::sleep(limit) => self.abandon().await,
        }
        tracing::info!("leadership has stopped");
        Ok(())
    }
}

impl Leadership {
    /// Ends what is still there without another word to the store.
    async fn abandon(&self) {
        tracing::warn!("leadership stops before every lease is given back; those run out instead");
        self.forced.send_replace(true);
        self.forced.closed().await;
    }
}

impl fmt::Debug for Leadership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leadership")
            .field("node", &self.node)
            .field("scopes", &self.scopes)
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// The scope is not among those that the options name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("leadership does not stand for the scope {scope}")]
pub struct UnknownScope {
    /// The scope.
    pub scope: Scope,
}

/// A number that no other start has: the standard library seeds its hashers from the system.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
