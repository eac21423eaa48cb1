//! What who watches leadership is told.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_runtime::{Handle, Orchestrator};
use mesh::leadership::{
    EventKind, Leadership, MemoryStore, Notice, Observer, Options, Subscription,
};

use crate::kit::{Ledger, Node, event, options, within};

async fn next(events: &mut Subscription) -> Notice {
    within(events.next()).await.expect("leadership is there")
}

#[tokio::test(start_paused = true)]
async fn contract_78_a_new_subscriber_first_gets_a_snapshot_and_then_every_event() {
    let store = MemoryStore::new();
    let (first, mut events) = unstarted("a", &store);
    let Notice::Snapshot(snapshot) = next(&mut events).await else {
        panic!("a snapshot comes first");
    };
    assert_eq!(snapshot.local_node_id, "a");
    first.start().await.expect("starts");
    let elected = event(&mut events, EventKind::Elected).await;
    assert_eq!(elected.leader_id.as_deref(), Some("a"));
    let renewed = event(&mut events, EventKind::Renewed).await;
    assert_eq!(renewed.correlation_id, elected.correlation_id);

    let (second, mut other) = unstarted("b", &store);
    second.start().await.expect("starts");
    let observed = event(&mut other, EventKind::Observed).await;
    assert_eq!(observed.leader_id.as_deref(), Some("a"));
    assert_eq!(
        observed.correlation_id, elected.correlation_id,
        "the same on every node"
    );
    first.stop().await.expect("stops");
    assert_eq!(event(&mut other, EventKind::Elected).await.term, Some(2));
}

/// Leadership that is watched from before its start.
fn unstarted(name: &str, store: &MemoryStore) -> (Handle, Subscription) {
    let leadership = Leadership::new(&options(name), Arc::new(store.clone()));
    let leadership = leadership.expect("valid options");
    let events = leadership.observer().subscribe();
    let mut builder = Orchestrator::builder();
    builder.register(leadership.registration());
    (builder.build().expect("a valid plan").spawn(), events)
}

#[tokio::test(start_paused = true)]
async fn documents_are_as_clients_of_the_control_plane_read_them() {
    let node = Node::start("a", MemoryStore::new(), &Ledger::default()).await;
    node.leads().await;
    let json = serde_json::to_value(node.observer.snapshot()).unwrap();
    let row = &json["leaders"][0];
    assert_eq!(row["scope"], "global-control");
    assert_eq!(row["scopeKind"], "global");
    assert_eq!(row["leaderId"], "a");
    assert_eq!(row["isLocal"], true);
    assert_eq!(row["term"], 1);
    assert_eq!(row["fenceToken"], "1");
    assert!(row["expiresAt"].as_str().unwrap().ends_with('Z'));
    assert!(json["generatedAt"].is_string());

    let mut events = node.observer.subscribe();
    let renewed = event(&mut events, EventKind::Renewed).await;
    let json = serde_json::to_value(Notice::Event(renewed)).unwrap();
    let event = &json["event"];
    assert_eq!(event["kind"], "renewed");
    assert_eq!(event["scope"], "global-control");
    assert_eq!(event["correlationId"], "global-control@1");
    assert!(event["occurredAt"].is_string());
    assert!(event["reason"].is_null());
}

/// A node that stands for many scopes, and so tells much at once.
async fn talkative(scopes: usize) -> Observer {
    let options = Options {
        scopes: (0..scopes).map(|it| format!("scope-{it:03}")).collect(),
        ..options("a")
    };
    let store = Arc::new(MemoryStore::new());
    let leadership = Leadership::new(&options, store).expect("valid options");
    let observer = leadership.observer();
    let mut builder = Orchestrator::builder();
    builder.register(leadership.registration());
    let handle = builder.build().expect("a valid plan").spawn();
    handle.start().await.expect("starts");
    observer
}

#[tokio::test(start_paused = true)]
async fn who_does_not_keep_up_is_told_how_much_it_missed_and_begins_anew() {
    let observer = talkative(100).await;
    let mut events = observer.subscribe();
    assert!(matches!(next(&mut events).await, Notice::Snapshot(_)));
    // A hundred elections and several hundred renewals.
    tokio::time::sleep(Duration::from_secs(10)).await;
    let Notice::Missed(missed) = next(&mut events).await else {
        panic!("the gap is told before anything else");
    };
    assert!(missed > 100, "{missed}");
    let Notice::Snapshot(snapshot) = next(&mut events).await else {
        panic!("a snapshot follows");
    };
    assert!(snapshot.leaders.iter().all(|it| it.is_local));
    let Notice::Event(event) = next(&mut events).await else {
        panic!("and then what happens");
    };
    assert_eq!(event.kind, EventKind::Renewed);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_to_one_scope_is_told_of_that_one_without_regard_to_case() {
    let observer = talkative(3).await;
    let mut events = observer.subscribe().only("Scope-001");
    let Notice::Snapshot(snapshot) = next(&mut events).await else {
        panic!("a snapshot comes first");
    };
    assert_eq!(snapshot.leaders.len(), 1);
    for _ in 0..4 {
        let Notice::Event(event) = next(&mut events).await else {
            panic!("nothing was missed");
        };
        assert_eq!(event.scope.as_str(), "scope-001");
    }
    assert!(observer.snapshot().only("nothing").leaders.is_empty());
}
