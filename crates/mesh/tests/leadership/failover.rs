//! How long leadership takes to move, with each store.

use std::time::{Duration, Instant};

use mesh::leadership::{LeaseStore, MemoryStore, SqliteStore};

use crate::kit::{Ledger, Mood, Moody, Node};

/// What a requirement allows, and what a machine that is busy with other things may take beyond it.
const LIMIT: Duration = Duration::from_secs(5);
const MARGIN: Duration = Duration::from_secs(2);

/// From the stop of a leader, and from the last that its store heard of it, until another leads.
async fn fail_over(store: impl LeaseStore + Clone) -> [Duration; 2] {
    let ledger = Ledger::default();
    let first = Node::start("a", store.clone(), &ledger).await;
    first.leads().await;
    let moody = Moody::new(store.clone());
    let second = Node::start("b", moody.clone(), &ledger).await;
    let begin = Instant::now();
    first.handle.stop().await.expect("stops");
    second.leads().await;
    let stopped = begin.elapsed();

    let third = Node::start("c", store, &ledger).await;
    let begin = Instant::now();
    moody.set(Mood::Silent);
    third.leads().await;
    let cut_off = begin.elapsed();
    second.leads_no_more().await;
    moody.set(Mood::Well);
    for node in [second, third] {
        node.handle.stop().await.expect("stops");
    }
    ledger.assert_one_at_a_time();
    [stopped, cut_off]
}

#[tokio::test]
async fn leadership_moves_within_five_seconds_with_every_store() {
    let folder = tempfile::tempdir().expect("a folder");
    let sqlite = SqliteStore::new(folder.path().join("leases.db"));
    let mut times = vec![
        ("memory", fail_over(MemoryStore::new()).await),
        ("sqlite", fail_over(sqlite).await),
    ];
    #[cfg(feature = "etcd")]
    {
        let etcd = crate::etcd_server::Etcd::start(1);
        times.push(("etcd", fail_over(etcd.store()).await));
    }
    eprintln!("until another leads, of which what is gated takes 200 ms:");
    for (store, [stopped, cut_off]) in times {
        eprintln!("  {store}: leader stopped {stopped:.1?}, leader cut off {cut_off:.1?}");
        assert!(stopped < MARGIN, "{store}: {stopped:?}");
        assert!(cut_off < LIMIT + MARGIN, "{store}: {cut_off:?}");
    }
}
