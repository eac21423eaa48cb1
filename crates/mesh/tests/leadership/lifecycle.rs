//! Leadership as a component: what start and stop promise, and who campaigns.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use lifecycle_core::engine::Health;
use lifecycle_core::{
    BoxError, CheckContext, Criticality, EdgeKind, HealthCheck, Lifecycle, Registration,
    StartContext, StopContext,
};
use lifecycle_runtime::{Handle, Orchestrator};
use lifecycle_testkit::conformance;
use mesh::gossip::{Membership, Metadata, Peer, Status, View};
use mesh::leadership::{
    EventKind, Leadership, MemoryStore, Observer, Options, Scope, UnknownScope,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::kit::{Ledger, Mood, Moody, Node, event, global, options, within};

fn leadership(node: &str, store: &MemoryStore) -> Leadership {
    Leadership::new(&options(node), Arc::new(store.clone())).expect("valid options")
}

/// Leadership alone in an orchestrator, without conditions.
async fn alone(leadership: Leadership) -> (Handle, Observer) {
    let observer = leadership.observer();
    let mut builder = Orchestrator::builder();
    builder.register(leadership.registration());
    let handle = builder.build().expect("a valid plan").spawn();
    handle.start().await.expect("starts");
    (handle, observer)
}

async fn leads(observer: &Observer) -> u64 {
    let mut tenure = observer.watch(&global()).expect("a configured scope");
    let tenure = *within(tenure.wait_for(Option::is_some))
        .await
        .expect("it is there");
    tenure.expect("waited for").token.get()
}

#[test]
fn contract_48_leadership_depends_on_gossip_where_that_is_on_and_tolerates_its_loss() {
    let store = MemoryStore::new();
    let registration = leadership("a", &store).registration();
    assert_eq!(registration.name, "mesh-leadership");
    assert_eq!(registration.criticality, Criticality::Degradable);
    assert!(registration.dependencies.is_empty());

    let (members, _) = Cluster::of("a", Status::Alive);
    let registration: Registration = leadership("a", &store).among(members).registration();
    let edge = &registration.dependencies[0];
    assert_eq!(
        (edge.name.as_str(), edge.kind),
        ("mesh-gossip", EdgeKind::Hard)
    );
}

#[test]
fn a_gate_is_for_a_configured_scope_alone() {
    let other: Scope = "other".parse().unwrap();
    let refused = leadership("a", &MemoryStore::new()).gate(&other);
    assert_eq!(refused, Err(UnknownScope { scope: other }));
}

#[tokio::test(start_paused = true)]
async fn contract_77_leadership_works_without_gossip() {
    let (_handle, observer) = alone(leadership("a", &MemoryStore::new())).await;
    assert_eq!(leads(&observer).await, 1);
    let row = &observer.snapshot().leaders[0];
    assert_eq!(row.leader_id.as_deref(), Some("a"));
    assert!(row.is_local);
}

#[tokio::test(start_paused = true)]
async fn contract_74_one_node_holds_a_scope_terms_and_tokens_grow_and_a_renewal_keeps_them() {
    let store = MemoryStore::new();
    let ledger = Ledger::default();
    let mut nodes = Vec::new();
    for name in ["a", "b", "c"] {
        nodes.push(Node::start(name, store.clone(), &ledger).await);
    }
    let mut last = 0;
    while !nodes.is_empty() {
        // Long enough for several renewals.
        tokio::time::sleep(Duration::from_secs(10)).await;
        let held = |it: &Node| it.observer.tenure(&global());
        let leaders: Vec<usize> = (0..nodes.len())
            .filter(|it| held(&nodes[*it]).is_some())
            .collect();
        assert_eq!(leaders.len(), 1);
        let leader = nodes.remove(leaders[0]);
        let tenure = held(&leader).expect("it leads");
        assert!(tenure.token.get() > last && tenure.term == tenure.token.get());
        last = tenure.token.get();
        leader.handle.stop().await.expect("stops cleanly");
    }
    assert_eq!(last, 3, "no term was spent on a renewal");
    ledger.assert_one_at_a_time();
}

#[tokio::test(start_paused = true)]
async fn contract_75_a_stopping_leader_steps_down_for_the_shutdown_and_another_leads_at_once() {
    let store = MemoryStore::new();
    let (first, observer) = alone(leadership("a", &store)).await;
    leads(&observer).await;
    let (_second, other) = alone(leadership("b", &store)).await;
    let mut events = observer.subscribe();
    let began = Instant::now();
    first.stop().await.expect("stops");
    let event = event(&mut events, EventKind::SteppedDown).await;
    assert_eq!(event.reason.as_deref(), Some("shutdown"));
    assert_eq!(event.correlation_id.as_deref(), Some("global-control@1"));
    assert_eq!(leads(&other).await, 2);
    let took = began.elapsed();
    assert!(took < Duration::from_millis(50), "{took:?}");
    assert_eq!(
        observer.snapshot().leaders[0].leader_id,
        None,
        "a stopped node knows nobody"
    );
}

#[tokio::test(start_paused = true)]
async fn contract_76_no_node_campaigns_before_it_is_alive_in_its_own_view() {
    let (members, view) = Cluster::of("a", Status::Suspect);
    let leadership = leadership("a", &MemoryStore::new()).among(members);
    let observer = leadership.observer();
    let mut builder = Orchestrator::builder();
    let gossip = lifecycle_core::component::from_fn(async |_| Ok(()), async |_| Ok(()));
    builder.register(Registration::new("mesh-gossip", gossip));
    builder.register(leadership.registration());
    let handle = builder.build().expect("a valid plan").spawn();
    handle.start().await.expect("starts");
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(observer.tenure(&global()), None);

    let mut events = observer.subscribe();
    view.send_replace(Cluster::view("a", Status::Alive));
    assert_eq!(leads(&observer).await, 1);
    view.send_replace(Cluster::view("a", Status::Left));
    let event = event(&mut events, EventKind::SteppedDown).await;
    assert_eq!(event.reason.as_deref(), Some("not alive in its own view"));
}

#[tokio::test(start_paused = true)]
async fn who_is_told_by_somebody_else_that_it_may_not_lead_does_not() {
    let fit = Err(Cow::Borrowed("a wizard says no"));
    let (fit, watch) = watch::channel(fit);
    let leadership = leadership("a", &MemoryStore::new()).provided(watch);
    let (_handle, observer) = alone(leadership).await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(observer.tenure(&global()), None);
    fit.send(Ok(())).expect("somebody listens");
    leads(&observer).await;
}

#[tokio::test(start_paused = true)]
async fn contract_73_starting_what_is_started_does_nothing_and_every_other_promise_is_kept() {
    let store = MemoryStore::new();
    let report = conformance::check(|| leadership("a", &store)).await;
    report.assert_ok();
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_down_at_first_prevents_no_start_and_is_told() {
    let store = Moody::new(MemoryStore::new());
    store.set(Mood::Silent);
    let node = Node::start("a", store.clone(), &Ledger::default()).await;
    let health = || async {
        let snapshot = node.handle.snapshot().await.expect("driven");
        let id = snapshot.plan.find("mesh-leadership").expect("registered");
        let row = snapshot.component(id);
        (row.health, row.degraded.clone().map(|it| it.to_string()))
    };
    tokio::time::sleep(Duration::from_secs(3)).await;
    let (state, told) = health().await;
    assert_eq!(state, Health::Degraded);
    let told = told.expect("it says why");
    assert!(
        told.starts_with("global-control: the lease store is unavailable: no answer"),
        "{told}"
    );

    store.set(Mood::Well);
    node.leads().await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(health().await.0, Health::Healthy);
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_in_time_although_the_store_is_silent() {
    let store = Moody::new(MemoryStore::new());
    let node = Node::start("a", store.clone(), &Ledger::default()).await;
    node.leads().await;
    store.set(Mood::Silent);
    let began = Instant::now();
    node.handle
        .stop()
        .await
        .expect("a lease that is not released is no failure");
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_started_again_leads_again_with_a_greater_token() {
    let (handle, observer) = alone(leadership("a", &MemoryStore::new())).await;
    for run in 1..=3 {
        assert_eq!(leads(&observer).await, run);
        handle.stop().await.expect("stops");
        assert_eq!(observer.tenure(&global()), None);
        handle.start().await.expect("starts");
    }
}

#[tokio::test(start_paused = true)]
async fn sixty_four_scopes_are_led_and_given_up_by_one_process() {
    let scopes: Vec<String> = (0..64).map(|it| format!("shard/shop/{it}")).collect();
    let store = MemoryStore::new();
    let node = |name: &str| {
        let options = Options {
            scopes: scopes.clone(),
            ..options(name)
        };
        Leadership::new(&options, Arc::new(store.clone())).expect("valid options")
    };
    let (first, observer) = alone(node("a")).await;
    let (_second, other) = alone(node("b")).await;
    let led = |it: &Observer| {
        let rows = it.snapshot().leaders;
        rows.iter().filter(|it| it.is_local).count()
    };
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!((led(&observer), led(&other)), (64, 0));
    first.stop().await.expect("stops");
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!((led(&observer), led(&other)), (0, 64));
}

#[tokio::test(start_paused = true)]
async fn a_lease_whose_holder_gossip_takes_for_gone_is_counted_and_stays_what_it_is() {
    let store = MemoryStore::new();
    let (_a, observer) = alone(leadership("a", &store)).await;
    leads(&observer).await;
    let (members, view) = Cluster::of("b", Status::Alive);
    let mut both = (*Cluster::view("b", Status::Alive)).clone();
    both.peers.insert(0, Cluster::peer("a", Status::Left));
    view.send_replace(Arc::new(both));
    let series = crate::metrics::Series::default();
    let _guard = metrics::set_default_local_recorder(&series);
    let other = leadership("b", &store).among(members);
    let gossip = lifecycle_core::component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let mut builder = Orchestrator::builder();
    builder.register(Registration::new("mesh-gossip", gossip));
    builder.register(other.registration());
    let handle = builder.build().expect("a valid plan").spawn();
    handle.start().await.expect("starts");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let doubts = "mesh_leadership_split_brain_total{scope=global-control}";
    assert_eq!(series.count(doubts), Some(1), "once a tenancy");
    assert_eq!(leads(&observer).await, 1, "gossip takes no lease away");
}

/// Essential, and as well as it is told.
struct Patient(Arc<AtomicBool>);

impl Lifecycle for Patient {
    async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn check(&self, _cx: &CheckContext) -> Result<(), BoxError> {
        if self.0.load(Ordering::SeqCst) {
            return Err("a cough".into());
        }
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn contract_b26_a_leader_with_an_unhealthy_essential_component_lets_go_until_it_is_well() {
    let sick = Arc::new(AtomicBool::new(false));
    let mut builder = Orchestrator::builder();
    let leadership = leadership("a", &MemoryStore::new()).on(builder.handle());
    let observer = leadership.observer();
    let patient = Registration::new("patient", Patient(Arc::clone(&sick)));
    builder.register(patient.health_check(HealthCheck::every(Duration::from_secs(1))));
    builder.register(leadership.registration());
    let handle = builder.build().expect("a valid plan").spawn();
    handle.start().await.expect("starts");
    leads(&observer).await;
    let mut events = observer.subscribe();
    sick.store(true, Ordering::SeqCst);
    let left = event(&mut events, EventKind::SteppedDown).await;
    assert_eq!(left.reason.as_deref(), Some("patient is unhealthy"));
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(observer.tenure(&global()), None);
    sick.store(false, Ordering::SeqCst);
    assert_eq!(leads(&observer).await, 2);
}

/// Members that a test makes up.
#[derive(Debug)]
struct Cluster(watch::Receiver<Arc<View>>);

impl Cluster {
    fn of(local: &str, status: Status) -> (Self, watch::Sender<Arc<View>>) {
        let (sender, receiver) = watch::channel(Self::view(local, status));
        (Self(receiver), sender)
    }

    fn view(local: &str, status: Status) -> Arc<View> {
        Arc::new(View {
            local_node_id: local.to_owned(),
            address: Some("127.0.0.1:1".parse().unwrap()),
            peers: vec![Self::peer(local, status)],
        })
    }

    fn peer(node: &str, status: Status) -> Peer {
        Peer {
            node_id: node.to_owned(),
            status,
            last_seen: SystemTime::UNIX_EPOCH,
            rtt: None,
            address: "127.0.0.1:1".parse().unwrap(),
            generation: 1,
            metadata: Metadata {
                labels: BTreeMap::new(),
                ..Metadata::default()
            },
        }
    }
}

impl Membership for Cluster {
    fn view(&self) -> Arc<View> {
        Arc::clone(&self.0.borrow())
    }

    fn subscribe(&self) -> watch::Receiver<Arc<View>> {
        self.0.clone()
    }
}
