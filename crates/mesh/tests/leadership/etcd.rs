//! Leases in a real etcd: elections, and what happens when a holder or etcd itself is paused, killed, or loses its leader.

use std::time::{Duration, Instant};

use lifecycle_core::Nanos;
use mesh::leadership::{Claim, EtcdOptions, LeaseError, LeaseStore, StoreOptions};

use crate::etcd_server::{Etcd, free_ports};
use crate::kit::{Ledger, Node, global, within};
use crate::process::{assert_one_at_a_time, since_boot, written};

pub(crate) fn claim(holder: &str) -> Claim {
    Claim {
        scope: global(),
        holder: holder.to_owned(),
        claimant: u64::from(holder.as_bytes()[0]),
        ttl: Nanos::from_secs(10),
    }
}

#[tokio::test]
async fn etcd_keeps_every_promise_of_a_store() {
    let etcd = Etcd::start(1);
    let (one, other) = (etcd.store(), etcd.store());
    assert_eq!(one.get(&global()).await.expect("asked"), None);
    let lease = one.acquire(&claim("a")).await.expect("it is free");
    assert_eq!(lease.term, 1);
    let Err(LeaseError::Held(incumbent)) = other.acquire(&claim("b")).await else {
        panic!("it is held");
    };
    assert_eq!((incumbent.holder.as_str(), incumbent.term), ("a", 1));
    assert_eq!(incumbent.token, lease.token);
    one.renew(&lease).await.expect("held");

    let again = one
        .acquire(&claim("a"))
        .await
        .expect("who missed an answer gets it anew");
    assert!(again.token > lease.token && again.term == 2);
    let superseded = one.renew(&lease).await;
    assert!(
        matches!(superseded, Err(LeaseError::NotCurrentLeader(Some(_)))),
        "{superseded:?}"
    );
    one.release(&lease).await.expect("nothing to release");
    assert_eq!(
        other.get(&global()).await.expect("asked").map(|it| it.term),
        Some(2)
    );

    one.release(&again).await.expect("released");
    let next = other.acquire(&claim("b")).await.expect("it is free");
    assert!(next.token > again.token && next.term == 3);

    // An operator takes the key away, and the lease keeps nobody out any more.
    let (deleted, _) = etcd.ask(&["del", "mesh/leadership/leader/global-control"]);
    assert!(deleted);
    let lost = other.renew(&next).await;
    assert!(
        matches!(lost, Err(LeaseError::NotCurrentLeader(None))),
        "{lost:?}"
    );
    other.release(&next).await.expect("its lease ends");
    let late = other.renew(&next).await;
    assert!(matches!(late, Err(LeaseError::Expired)), "{late:?}");
}

#[tokio::test]
async fn a_change_is_told_to_who_waits_for_it() {
    let etcd = Etcd::start(1);
    let (one, other) = (etcd.store(), etcd.store());
    let tending = tokio::spawn({
        let other = other.clone();
        async move { other.tend().await }
    });
    // The first is for the beginning of the watch.
    within(other.changed(&global())).await;
    let changed = other.changed(&global());
    one.acquire(&claim("a")).await.expect("it is free");
    within(changed).await;
    tending.abort();
}

#[tokio::test]
async fn without_etcd_nothing_is_given_and_the_reason_is_told() {
    let [port] = free_ports(1)[..] else {
        panic!("one port");
    };
    let options = StoreOptions::Etcd(EtcdOptions {
        endpoints: vec![format!("http://127.0.0.1:{port}")],
        ..EtcdOptions::default()
    });
    let store = options.open().expect("valid options");
    let answer = within(store.acquire(&claim("a"))).await;
    assert!(
        matches!(answer, Err(LeaseError::Unavailable(_))),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_stopping_leader_hands_over_by_etcd_at_once() {
    let etcd = Etcd::start(1);
    let ledger = Ledger::default();
    let first = Node::start("a", etcd.store(), &ledger).await;
    first.leads().await;
    let second = Node::start("b", etcd.store(), &ledger).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let began = Instant::now();
    first.handle.stop().await.expect("stops");
    second.leads().await;
    let took = began.elapsed();
    eprintln!("hand-over by etcd: {took:?}, of which the writer takes 200 ms");
    assert!(took < Duration::from_secs(2), "{took:?}");
    second.handle.stop().await.expect("stops");
    ledger.assert_one_at_a_time();
}

#[test]
fn another_leads_within_the_limit_after_a_leader_was_killed() {
    let etcd = Etcd::start(1);
    let first = etcd.candidate("first");
    first.tells("writes");
    let second = etcd.candidate("second");
    second.tells("observed");
    let killed = since_boot();
    first.signal("KILL");
    let took = second.tells("elected").at - killed;
    eprintln!("fail-over by etcd after a kill: {took} ms");
    second.tells("writes");
    assert!(took < 6_500, "{took} ms");
    assert_one_at_a_time(&etcd.resource());
}

#[test]
fn a_holder_that_is_paused_beyond_its_lease_ends_and_writes_nothing_more() {
    let etcd = Etcd::start(1);
    let first = etcd.candidate("first");
    let old = first.tells("writes").token;
    let second = etcd.candidate("second");
    second.tells("observed");
    crate::process::pause(&first, &[&etcd.resource()]);
    let new = second.tells("writes").token;
    assert!(new > old);
    let woke = since_boot();
    first.signal("CONT");
    let woken = first.wakes_up();
    woken.is_stale(old);
    eprintln!(
        "a stale leader was gone ({woken:?}) {} ms after it woke up",
        since_boot() - woke
    );
    assert_one_at_a_time(&etcd.resource());
    assert_eq!(written(&etcd.resource()).last().map(|it| it.0), Some(new));
}

#[test]
fn a_leader_outlives_a_short_outage_of_etcd_and_a_long_one_ends_it_in_order() {
    let mut etcd = Etcd::start(1);
    let leader = etcd.candidate("leader");
    let first = leader.tells("writes").token;
    assert_eq!(leader.tells("elected").token, first);
    etcd.kill(0);
    etcd.launch(0);
    etcd.is_well();
    // Two leases later it is the same tenure.
    let later = since_boot() + 8_000;
    while since_boot() < later {
        std::thread::park_timeout(Duration::from_millis(100));
    }
    assert_eq!(leader.told(), [], "nothing has happened to leadership");

    etcd.kill(0);
    assert_eq!(leader.tells("expired").token, first);
    etcd.launch(0);
    etcd.is_well();
    let second = leader.tells("writes").token;
    assert!(second > first);
    leader.signal("TERM");
    assert_eq!(leader.ends(), Some(0));
    assert_one_at_a_time(&etcd.resource());
}

#[test]
fn a_leader_keeps_its_lease_while_three_etcds_elect_another_leader_of_theirs() {
    let mut etcd = Etcd::start(3);
    let leader = etcd.candidate("leader");
    leader.tells("writes");
    let other = etcd.candidate("other");
    other.tells("observed");
    let lost = etcd.leader();
    let began = since_boot();
    etcd.kill(lost);
    let next = etcd.leader();
    eprintln!("etcd has another leader after {} ms", since_boot() - began);
    assert_ne!(next, lost);
    // Whoever leads by then, one at a time has written, and both go on.
    etcd.launch(lost);
    etcd.is_well();
    etcd.signal(next, "STOP");
    let third = etcd.leader_but(next);
    etcd.signal(next, "CONT");
    assert_ne!(third, next);
    leader.signal("TERM");
    assert_eq!(leader.ends(), Some(0));
    other.tells("writes");
    other.signal("TERM");
    assert_eq!(other.ends(), Some(0));
    let tenures = assert_one_at_a_time(&etcd.resource());
    eprintln!("tenures while etcd lost its leader twice: {tenures}");
}
