//! Nodes with an orchestrator each, a store that can fail, and a ledger of what ran when.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifecycle_core::component::service;
use lifecycle_core::{BoxFuture, Criticality, Nanos, Registration, Retry, ServiceContext};
use lifecycle_runtime::{Handle, Orchestrator};
use mesh::leadership::{
    Claim, EventKind, Incumbent, Leadership, LeadershipEvent, Lease, LeaseError, LeaseStore,
    Notice, Observer, Options, Reach, Scope, Subscription, Tenure,
};
use tokio::time::Instant;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

pub(crate) fn options(node: &str) -> Options {
    Options {
        node_id: Some(node.to_owned()),
        ..Options::default()
    }
}

pub(crate) fn global() -> Scope {
    Scope::global_control()
}

/// A node with leadership, and with a writer that runs only while it leads.
pub(crate) struct Node {
    pub(crate) handle: Handle,
    pub(crate) observer: Observer,
}

impl Node {
    pub(crate) async fn start(name: &'static str, store: impl LeaseStore, ledger: &Ledger) -> Self {
        Self::start_with(name, store, |observer| writer(name, observer, ledger)).await
    }

    /// With another component that runs only while the node leads.
    pub(crate) async fn start_with(
        name: &str,
        store: impl LeaseStore,
        gated: impl FnOnce(&Observer) -> Registration,
    ) -> Self {
        let mut builder = Orchestrator::builder();
        let leadership = Leadership::new(&options(name), Arc::new(store)).expect("valid options");
        let leadership = leadership.on(builder.handle());
        let observer = leadership.observer();
        let gated = brief(gated(&observer));
        let gated = leadership.gated(&global(), gated);
        builder.register(gated.expect("a configured scope"));
        builder.register(leadership.registration());
        let handle = builder.build().expect("a valid plan").spawn();
        handle.start().await.expect("starts without a lease");
        Self { handle, observer }
    }

    /// This node's tenure, as soon as it has one.
    pub(crate) async fn leads(&self) -> Tenure {
        let mut tenure = self.observer.watch(&global()).expect("a configured scope");
        let tenure = tenure.wait_for(Option::is_some);
        let tenure = within(tenure).await.expect("the observer is there");
        tenure.expect("waited for")
    }

    pub(crate) async fn leads_no_more(&self) {
        let mut tenure = self.observer.watch(&global()).expect("a configured scope");
        within(tenure.wait_for(Option::is_none))
            .await
            .expect("the observer is there");
    }
}

/// Half a second is all that its end may take.
fn brief(registration: Registration) -> Registration {
    registration
        .stop_retry(Retry::none().with_attempt_timeout(Duration::from_millis(300)))
        .abort_grace(Nanos::from_millis(50))
        .dispose_timeout(Nanos::from_millis(100))
}

/// A component that notes when it runs.
fn writer(node: &'static str, observer: &Observer, ledger: &Ledger) -> Registration {
    let (observer, ledger) = (observer.clone(), ledger.clone());
    let write = move |cx: ServiceContext| {
        let (observer, ledger) = (observer.clone(), ledger.clone());
        async move {
            let token = observer.tenure(&global()).map(|it| it.token.get());
            let _up = ledger.up(node, token);
            cx.ready();
            cx.cancelled().await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    Registration::new("writer", service(write)).criticality(Criticality::Essential)
}

/// What ran when, with which token.
#[derive(Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Vec<Entry>>>);

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) node: &'static str,
    pub(crate) token: Option<u64>,
    pub(crate) from: Instant,
    pub(crate) to: Option<Instant>,
}

impl Ledger {
    fn up(&self, node: &'static str, token: Option<u64>) -> Up {
        let mut entries = self.0.lock().unwrap();
        entries.push(Entry {
            node,
            token,
            from: Instant::now(),
            to: None,
        });
        Up {
            ledger: self.clone(),
            index: entries.len() - 1,
        }
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap().clone()
    }

    /// No two ran at the same time, and tokens grew.
    #[track_caller]
    pub(crate) fn assert_one_at_a_time(&self) {
        for pair in self.entries().windows(2) {
            let ended = pair[0].to.unwrap_or_else(|| panic!("{pair:#?}"));
            assert!(ended <= pair[1].from, "{pair:#?}");
            assert!(pair[0].token.unwrap() < pair[1].token.unwrap(), "{pair:#?}");
        }
    }
}

struct Up {
    ledger: Ledger,
    index: usize,
}

impl Drop for Up {
    fn drop(&mut self) {
        self.ledger.0.lock().unwrap()[self.index].to = Some(Instant::now());
    }
}

/// A store that does what it is told to.
#[derive(Clone, Debug)]
pub(crate) struct Moody<S> {
    store: S,
    mood: Arc<AtomicU8>,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Mood {
    Well,
    /// It says that it does not work.
    Down,
    /// It says nothing.
    Silent,
}

impl<S> Moody<S> {
    pub(crate) fn new(store: S) -> Self {
        Self {
            store,
            mood: Arc::default(),
        }
    }

    pub(crate) fn set(&self, mood: Mood) {
        self.mood.store(mood as u8, Ordering::SeqCst);
    }

    async fn meet<T>(
        &self,
        answer: impl Future<Output = Result<T, LeaseError>>,
    ) -> Result<T, LeaseError> {
        let mood = self.mood.load(Ordering::SeqCst);
        if mood == Mood::Down as u8 {
            return Err(LeaseError::unavailable("down"));
        }
        if mood == Mood::Silent as u8 {
            std::future::pending::<()>().await;
        }
        answer.await
    }
}

impl<S: LeaseStore> LeaseStore for Moody<S> {
    fn kind(&self) -> &'static str {
        "moody"
    }

    fn reach(&self) -> Reach {
        self.store.reach()
    }

    fn acquire<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Lease, LeaseError>> {
        Box::pin(self.meet(self.store.acquire(claim)))
    }

    fn renew<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(self.meet(self.store.renew(lease)))
    }

    fn release<'a>(&'a self, lease: &'a Lease) -> BoxFuture<'a, Result<(), LeaseError>> {
        Box::pin(self.meet(self.store.release(lease)))
    }

    fn get<'a>(&'a self, scope: &'a Scope) -> BoxFuture<'a, Result<Option<Incumbent>, LeaseError>> {
        Box::pin(self.meet(self.store.get(scope)))
    }
}

/// The next event of this kind.
pub(crate) async fn event(events: &mut Subscription, kind: EventKind) -> LeadershipEvent {
    let found = async {
        loop {
            match events.next().await.expect("leadership is there") {
                Notice::Event(event) if event.kind == kind => return event,
                Notice::Event(_) | Notice::Snapshot(_) => {}
                Notice::Missed(missed) => panic!("{missed} events missed"),
            }
        }
    };
    within(found).await
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let waited = tokio::time::timeout(DEADLINE, future).await;
    waited.expect("it comes in time")
}
