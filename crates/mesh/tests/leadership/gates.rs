//! What runs only while its node leads, with the real orchestrator on paused time.

use std::time::Duration;

use lifecycle_core::engine::ComponentState;
use lifecycle_core::{Criticality, Registration, component};
use mesh::leadership::{EventKind, MemoryStore};
use tokio::time::Instant;

use crate::kit::{Ledger, Mood, Moody, Node, event, within};

async fn writers(node: &Node, state: ComponentState) {
    let mut status = node.handle.status();
    let reached = async {
        loop {
            let snapshot = node.handle.snapshot().await.expect("driven");
            let id = snapshot.plan.find("writer").expect("registered");
            if snapshot.component(id).state == state {
                return;
            }
            status.changed().await.expect("driven");
        }
    };
    within(reached).await;
}

#[tokio::test(start_paused = true)]
async fn a_gated_component_runs_while_its_node_leads_and_nowhere_else() {
    let store = MemoryStore::new();
    let ledger = Ledger::default();
    let first = Node::start("a", store.clone(), &ledger).await;
    writers(&first, ComponentState::Running).await;
    let second = Node::start("b", store, &ledger).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    writers(&first, ComponentState::Running).await;
    writers(&second, ComponentState::Waiting).await;
    assert_eq!(ledger.entries().len(), 1, "renewals do not restart it");
}

#[tokio::test(start_paused = true)]
async fn when_the_store_is_dead_for_a_leader_its_components_are_down_before_another_can_lead() {
    for mood in [Mood::Down, Mood::Silent] {
        let store = MemoryStore::new();
        let ledger = Ledger::default();
        let cut_off = Moody::new(store.clone());
        let first = Node::start("a", cut_off.clone(), &ledger).await;
        writers(&first, ComponentState::Running).await;
        let second = Node::start("b", store, &ledger).await;
        tokio::time::sleep(Duration::from_secs(10)).await;

        cut_off.set(mood);
        let began = Instant::now();
        second.leads().await;
        let took = began.elapsed();
        assert!(took < Duration::from_secs(5), "contract, part 5: {took:?}");
        writers(&second, ComponentState::Running).await;
        ledger.assert_one_at_a_time();
        assert_eq!(first.handle.status().get().halted, None, "it was in time");
    }
}

#[tokio::test(start_paused = true)]
async fn contract_b26_a_short_outage_of_the_store_stops_nothing() {
    let store = Moody::new(MemoryStore::new());
    let ledger = Ledger::default();
    let node = Node::start("a", store.clone(), &ledger).await;
    writers(&node, ComponentState::Running).await;
    for _ in 0..10 {
        store.set(Mood::Down);
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        store.set(Mood::Well);
        tokio::time::sleep(Duration::from_millis(2_100)).await;
    }
    assert_eq!(ledger.entries().len(), 1);
    assert_eq!(node.leads().await.term, 1);
}

#[tokio::test(start_paused = true)]
async fn contract_b23_a_cordon_stops_what_is_gated_and_only_then_lets_another_lead() {
    let store = MemoryStore::new();
    let ledger = Ledger::default();
    let first = Node::start("a", store.clone(), &ledger).await;
    writers(&first, ComponentState::Running).await;
    let second = Node::start("b", store, &ledger).await;
    let mut events = first.observer.subscribe();
    let began = Instant::now();
    first.handle.cordon().await.expect("cordoned");
    let left = event(&mut events, EventKind::SteppedDown).await;
    assert_eq!(left.reason.as_deref(), Some("cordoned"));
    second.leads().await;
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(200),
        "the writer takes that long: {took:?}"
    );
    assert!(took < Duration::from_millis(400), "{took:?}");
    writers(&second, ComponentState::Running).await;
    ledger.assert_one_at_a_time();

    first.handle.uncordon().await.expect("uncordoned");
    second.handle.cordon().await.expect("cordoned");
    first.leads().await;
}

#[tokio::test(start_paused = true)]
async fn contract_b22_a_drain_gives_leadership_up_and_a_stop_too() {
    let store = MemoryStore::new();
    let ledger = Ledger::default();
    let first = Node::start("a", store.clone(), &ledger).await;
    first.leads().await;
    let second = Node::start("b", store, &ledger).await;
    first.handle.drain().await.expect("drained");
    second.leads().await;
    first.handle.resume().await.expect("resumed");
    second.handle.stop().await.expect("stops cleanly");
    first.leads().await;
    writers(&first, ComponentState::Running).await;
    ledger.assert_one_at_a_time();
}

#[tokio::test(start_paused = true)]
async fn a_lease_behind_which_everything_has_failed_is_given_back_as_any_other() {
    let store = MemoryStore::new();
    let first = Node::start_with("a", store.clone(), |_| {
        let broken = component::from_fn(async |_| Err("no disk".into()), async |_| Ok(()));
        Registration::new("writer", broken).criticality(Criticality::Degradable)
    });
    let first = first.await;
    writers(&first, ComponentState::Faulted).await;
    let second = Node::start("b", store, &Ledger::default()).await;
    let began = Instant::now();
    first.handle.cordon().await.expect("cordoned");
    second.leads().await;
    let took = began.elapsed();
    assert!(
        took < Duration::from_millis(400),
        "no lease had to run out: {took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_wakes_up_after_its_lease_has_ended_may_not_go_on() {
    let store = MemoryStore::new();
    let node = Node::start("a", store, &Ledger::default()).await;
    writers(&node, ComponentState::Running).await;
    let woke = Instant::now() + Duration::from_secs(60);
    tokio::time::advance(Duration::from_secs(60)).await;
    let mut status = node.handle.status();
    let halted = within(status.wait_for(|it| it.halted.is_some())).await;
    let halted = halted.expect("driven").halted.expect("waited for");
    assert_eq!(halted.as_str(), "writer");
    assert!(
        woke.elapsed() <= Duration::from_millis(100),
        "{:?}",
        woke.elapsed()
    );
    assert_eq!(node.observer.tenure(&crate::kit::global()), None);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_wakes_up_in_the_margin_stops_in_order_and_in_time() {
    let store = Moody::new(MemoryStore::new());
    let ledger = Ledger::default();
    let node = Node::start("a", store.clone(), &ledger).await;
    writers(&node, ComponentState::Running).await;
    store.set(Mood::Silent);
    let left = node.leads().await.remaining();
    tokio::time::advance(left - Duration::from_millis(800)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.handle.status().get().halted, None);
    let first = &ledger.entries()[0];
    assert!(first.to.is_some(), "{first:?}");
}
