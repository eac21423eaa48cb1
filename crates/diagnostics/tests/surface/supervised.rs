//! What is shown of losses, drains, gates, and components that come and go.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::engine::DrainState;
use lifecycle_core::{
    Backoff, BoxError, CheckContext, Component, Criticality, Gate, HealthCheck, Jitter, Lifecycle,
    Nanos, Registration, Restart, Retry, StartContext, StopContext, component,
};
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::support::{Answer, Inbound, Rig, get, get_until, idle};

/// A component that runs until `breaker` is notified.
fn frail(breaker: &Arc<Notify>) -> Component {
    let breaker = Arc::clone(breaker);
    component::service(move |cx| {
        let breaker = Arc::clone(&breaker);
        async move {
            cx.ready();
            tokio::select! {
                () = breaker.notified() => Err(BoxError::from("the socket broke")),
                () = cx.cancelled() => Ok(()),
            }
        }
    })
}

fn after(delay: Duration) -> Restart {
    Restart::on_failure()
        .with_backoff(Backoff::Fixed(delay.into()))
        .with_jitter(Jitter::None)
}

fn row(answer: &Answer, name: &str) -> Value {
    let rows = answer.json()["components"].as_array().cloned();
    let mut rows = rows.expect("rows").into_iter();
    rows.find(|it| it["name"] == name).expect("it is listed")
}

fn lifecycle(address: std::net::SocketAddr, wanted: impl Fn(&Answer) -> bool) -> Answer {
    get_until(address, "/control/lifecycle", wanted)
}

#[test]
fn a_lost_component_degrades_what_tolerates_its_loss_and_the_host_stays_ready() {
    let breaker = Arc::new(Notify::new());
    let gossip = Registration::new("gossip", frail(&breaker))
        .criticality(Criticality::Degradable)
        .restart(after(Duration::from_secs(600)));
    let listener = Registration::new("listener", idle()).tolerates(["gossip"]);
    let rig = Rig::of(vec![gossip, listener]);
    let address = rig.start();
    breaker.notify_one();

    let both = |it: &Answer| it.issues().len() == 2 && it.body.contains("backing-off");
    let ready = get_until(address, "/readyz?verbose", both);
    assert_eq!(ready.status, 200);
    assert_eq!(ready.json()["degraded"], true);
    assert_eq!(ready.issues(), ["gossip:backing-off", "listener:degraded"]);
    let details = &ready.json()["details"];
    assert_eq!(details[0]["message"], "the socket broke");
    assert_eq!(details[1]["message"], "goes on without gossip");

    let document = lifecycle(address, |it| it.body.contains("backing-off\","));
    let (gossip, listener) = (row(&document, "gossip"), row(&document, "listener"));
    assert_eq!(gossip["restarts"]["lost"], 1);
    assert_eq!(gossip["restarts"]["charged"], 1);
    assert_eq!(gossip["restarts"]["budget"], 5);
    assert_eq!(gossip["final"], false);
    assert!(gossip["retryAt"].is_string());
    assert_eq!(listener["missing"], serde_json::json!(["gossip"]));
    assert_eq!(listener["generation"], 1);
    let edges = listener["dependencies"].as_array().unwrap();
    let edge = edges.iter().find(|it| it["component"] == "gossip").unwrap();
    assert_eq!(
        (&edge["edge"], &edge["onLoss"]),
        (&"hard".into(), &"tolerates".into())
    );
    let scraped = get(address, "/metrics").body;
    let line = "lifecycle_restarts_total{component=\"gossip\",reason=\"lost\"} 1";
    assert!(scraped.contains(line), "{scraped}");

    rig.run(rig.handle.start_component("gossip"))
        .expect("an operator need not wait");
    let whole = get_until(address, "/readyz", |it| it.issues().is_empty());
    assert_eq!(whole.json()["degraded"], false);
    rig.stop();
}

#[test]
fn contract_54_and_59_a_drain_makes_unready_says_what_blocks_it_and_can_be_taken_back() {
    let (work, in_flight) = watch::channel(2);
    let rig = Rig::of(vec![Registration::new(
        "http-inbound:0",
        Inbound::failing_when_cancelled(in_flight),
    )]);
    let address = rig.start();
    let handle = rig.handle.clone();
    let draining = rig.runtime.spawn(async move { handle.drain().await });

    let unready = get_until(address, "/readyz", |it| it.status == 503);
    assert_eq!(unready.issues(), ["node:draining", "node:cordoned"]);
    assert_eq!(get(address, "/livez").status, 200);
    let blocked = lifecycle(address, |it| it.body.contains("\"inFlight\":2"));
    let node = &blocked.json()["node"];
    assert_eq!(
        (&node["drain"], &node["cordoned"]),
        (&"draining".into(), &true.into())
    );
    assert_eq!(
        node["blockedBy"],
        serde_json::json!([{
            "component": "http-inbound:0",
            "drain": "draining",
            "inFlight": 2,
            "progress": "2 calls",
            "error": null,
        }])
    );
    let inbound = row(&blocked, "http-inbound:0");
    assert_eq!(inbound["drain"]["participant"], true);
    assert_eq!(row(&blocked, "diagnostics")["drain"]["participant"], false);
    let scraped = get(address, "/metrics").body;
    let line = "lifecycle_drain_in_flight{component=\"http-inbound:0\"} 2";
    assert!(scraped.contains(line), "{scraped}");

    // What changes is no event: a reader is not told that it has it all.
    let tag = blocked.header("etag").expect("a tag").to_owned();
    work.send_replace(1);
    let one = |it: &Answer| it.body.contains("\"inFlight\":1");
    let head =
        format!("GET /control/lifecycle HTTP/1.1\r\nHost: {address}\r\nIf-None-Match: {tag}");
    while !one(&crate::support::send(address, &head)) {}
    work.send_replace(0);
    let report = rig.run(draining).unwrap().expect("nothing is in flight");
    assert_eq!(report.drain, DrainState::Drained);
    let drained = get(address, "/readyz");
    assert_eq!(drained.issues(), ["node:drained", "node:cordoned"]);
    rig.run(rig.handle.resume())
        .expect("it takes in work again");
    assert_eq!(get(address, "/readyz").status, 200);

    rig.run(rig.handle.cordon()).expect("it is cordoned");
    let cordoned = get(address, "/readyz");
    assert_eq!(
        (cordoned.status, cordoned.issues()),
        (503, vec!["node:cordoned".to_owned()])
    );
    rig.stop();
}

#[test]
fn contract_57_a_participant_that_fails_is_named_with_its_message() {
    let (_work, in_flight) = watch::channel(1);
    let inbound = Registration::new("inbound", Inbound::failing_when_cancelled(in_flight))
        .drain_timeout(Nanos::from_millis(50));
    let rig = Rig::of(vec![inbound]);
    let address = rig.start();
    rig.run(rig.handle.drain())
        .expect_err("it has work for ever");
    let unready = get(address, "/readyz");
    assert_eq!(unready.issues(), ["node:failed", "node:cordoned"]);
    let document = lifecycle(address, |_| true);
    let blocking = document.json()["node"]["blockedBy"][0].clone();
    assert_eq!(blocking["drain"], "failed");
    assert!(blocking["error"]["message"].is_string(), "{blocking}");
    rig.stop();
}

#[test]
fn what_stands_behind_a_closed_gate_does_not_make_the_host_unready() {
    let short = Nanos::from_millis(100);
    let gated = Registration::new("issuer", idle())
        .stop_retry(Retry::none().with_attempt_timeout(short))
        .dispose_timeout(short)
        .abort_grace(Nanos::from_millis(50))
        .gated_by(Gate::new("leader", Nanos::from_secs(2)));
    let rig = Rig::of(vec![gated]);
    let address = rig.start();
    let ready = get_until(address, "/readyz", |it| it.issues().is_empty());
    assert_eq!(ready.status, 200);
    let issuer = row(&lifecycle(address, |_| true), "issuer");
    assert_eq!(
        (&issuer["gate"], &issuer["gated"]),
        (&"leader".into(), &true.into())
    );
    assert_eq!(issuer["state"], "waiting");

    rig.run(rig.handle.open_gate("leader", None))
        .expect("there is one");
    let open = |it: &Answer| row(it, "issuer")["state"] == "running";
    assert_eq!(row(&lifecycle(address, open), "issuer")["gated"], false);
    rig.stop();
}

#[test]
fn components_that_come_and_go_are_followed() {
    let rig = Rig::of(vec![Registration::new("worker", idle())]);
    let address = rig.start();
    get_until(address, "/readyz", |it| it.issues().is_empty());
    let breaker = Arc::new(Notify::new());
    let tenant = Registration::new("tenant", frail(&breaker))
        .criticality(Criticality::Degradable)
        .restart(Restart::never());
    rig.run(rig.handle.add(tenant)).expect("it starts");
    breaker.notify_one();
    let lost = |it: &Answer| it.issues() == ["tenant:faulted"];
    assert_eq!(get_until(address, "/readyz", lost).status, 200);
    assert_eq!(row(&lifecycle(address, |_| true), "tenant")["final"], true);

    rig.run(rig.handle.remove("tenant"))
        .expect("nobody needs it");
    get_until(address, "/readyz", |it| it.issues().is_empty());
    let counts = lifecycle(address, |_| true).json()["counts"].clone();
    assert_eq!(
        (&counts["running"], &counts["faulted"]),
        (&2.into(), &0.into())
    );
    rig.stop();
}

#[test]
fn an_operators_stop_is_shown_as_held() {
    let tenant = Registration::new("tenant", idle()).criticality(Criticality::Optional);
    let rig = Rig::of(vec![tenant]);
    let address = rig.start();
    rig.run(rig.handle.stop_component("tenant"))
        .expect("it is optional");
    let tenant = row(&lifecycle(address, |_| true), "tenant");
    assert_eq!(
        (&tenant["held"], &tenant["state"]),
        (&true.into(), &"stopped".into())
    );
    assert_eq!(get(address, "/readyz").status, 200);
    rig.stop();
}

#[test]
fn what_a_component_says_of_itself_is_shown() {
    let talkative = component::service(|cx| async move {
        cx.reporter().degraded("no cache");
        cx.reporter().progress("warm");
        cx.ready();
        cx.cancelled().await;
    });
    let rig = Rig::of(vec![Registration::new("worker", talkative)]);
    let address = rig.start();
    let ready = get_until(address, "/readyz?verbose", |it| !it.issues().is_empty());
    assert_eq!(
        (ready.status, ready.issues()),
        (200, vec!["worker:degraded".to_owned()])
    );
    assert_eq!(ready.json()["details"][0]["message"], "no cache");
    let worker = row(&lifecycle(address, |_| true), "worker");
    assert_eq!(
        (&worker["health"], &worker["degraded"]),
        (&"degraded".into(), &"no cache".into())
    );
    assert_eq!(worker["progress"], "warm");
    rig.stop();
}

#[test]
fn diagnostics_whose_thread_is_blocked_are_unhealthy_and_well_again_afterwards() {
    let (blocked, release) = (
        Arc::new(std::sync::Barrier::new(2)),
        Arc::new(std::sync::Barrier::new(2)),
    );
    let barriers = (Arc::clone(&blocked), Arc::clone(&release));
    let block = axum::routing::get(async move || {
        barriers.0.wait();
        barriers.1.wait();
    });
    let check = HealthCheck::every(Duration::from_millis(20))
        .with_timeout(Duration::from_millis(200))
        .with_misses(2);
    let rig = Rig::checked(check, |it| it.route("/block", block));
    let address = rig.start();
    let mut client = crate::support::connect(address);
    std::io::Write::write_all(
        &mut client,
        b"GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .unwrap();
    blocked.wait();
    let mut status = rig.handle.status();
    rig.run(status.wait_for(|it| !it.ready))
        .expect("it is noticed");
    release.wait();
    rig.run(status.wait_for(|it| it.ready))
        .expect("it is well again");
    rig.stop();
}

/// A component whose checks fail.
struct Sick;

impl Lifecycle for Sick {
    const DISPOSES: bool = false;

    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn check(&self, _: &CheckContext) -> Result<(), BoxError> {
        Err("no connection is left".into())
    }
}

#[test]
fn an_unhealthy_component_is_shown_with_what_its_check_said() {
    let check = HealthCheck::every(Duration::from_millis(1)).with_misses(2);
    let pool = Registration::new("pool", Sick)
        .criticality(Criticality::Degradable)
        .health_check(check);
    let rig = Rig::of(vec![pool]);
    let address = rig.start();
    let unhealthy = lifecycle(address, |it| row(it, "pool")["health"] == "unhealthy");
    let error = &row(&unhealthy, "pool")["checkError"];
    assert_eq!(error["message"], "no connection is left");
    let why = get(address, "/control/lifecycle/components/pool/why").json();
    assert_eq!(why["why"], "pool is unhealthy (no connection is left)");
    rig.stop();
}
