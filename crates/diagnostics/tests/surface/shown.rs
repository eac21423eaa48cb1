//! What the snapshot and the metrics show.

use std::time::Duration;

use lifecycle_core::{Backoff, Criticality, Registration, Retry};

use crate::certificates::Authority;
use crate::support::{Rig, failing, get, get_until, idle, send};

#[test]
fn contract_41_states_have_their_names_in_lower_case() {
    let rig = Rig::of(vec![Registration::new("worker", idle())]);
    let address = rig.start();
    let counts = get(address, "/control/lifecycle").json()["counts"].clone();
    for state in [
        "created", "starting", "running", "stopping", "stopped", "faulted",
    ] {
        assert!(counts[state].is_u64(), "{state} in {counts}");
    }
    assert_eq!(counts["running"], 2);
    rig.stop();
}

#[test]
fn contract_42_the_snapshot_lists_components_by_name_ignoring_case_with_the_capture_time() {
    let named = |it| Registration::new(it, idle()).criticality(Criticality::Degradable);
    let rig = Rig::of(vec![named("Zebra"), named("apple"), named("Berry")]);
    let address = rig.start();
    let document = get(address, "/control/lifecycle").json();
    assert_eq!(document["schemaVersion"], "v1");
    let time = document["capturedAt"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    let rows = document["components"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["apple", "Berry", "diagnostics", "Zebra"]);
    assert!(rows.iter().all(|it| it["state"] == "running"));
    rig.stop();
}

#[test]
fn contract_b11_the_snapshot_explains_a_component_that_backs_off() {
    let retry = Retry::attempts(7).with_backoff(Backoff::Fixed(Duration::from_secs(600).into()));
    let pool = Registration::new("pool", failing())
        .start_retry(retry)
        .criticality(Criticality::Degradable)
        .label("zone", "z1");
    let worker = Registration::new("worker", idle())
        .depends_on(["pool"])
        .criticality(Criticality::Degradable);
    let rig = Rig::of(vec![worker, pool]);
    let starter = rig.handle.clone();
    let starting = rig.runtime.spawn(async move { starter.start().await });
    let address = rig.address();
    let backs_off = |it: &crate::support::Answer| it.body.contains("\"backing-off\",");
    let document = get_until(address, "/control/lifecycle", backs_off).json();

    let row = |name| {
        let rows = document["components"].as_array().unwrap();
        rows.iter().find(|it| it["name"] == name).unwrap().clone()
    };
    let pool = row("pool");
    assert_eq!(pool["state"], "backing-off");
    assert_eq!(
        (&pool["attempt"], &pool["maxAttempts"]),
        (&1.into(), &7.into())
    );
    assert!(pool["retryAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(pool["lastError"]["kind"], "error");
    assert_eq!(pool["lastError"]["message"], "no route to the pool");
    assert_eq!(pool["labels"]["zone"], "z1");
    assert!(pool["durations"]["backingOffMs"].is_number());
    assert!(pool["durations"]["workingMs"].is_number());
    let worker = row("worker");
    assert_eq!(worker["state"], "waiting");
    assert_eq!(worker["waitingOn"][0]["component"], "pool");
    assert_eq!(worker["waitingOn"][0]["edge"], "hard");
    assert_eq!(worker["waitingOn"][0]["state"], "backing-off");
    let dependencies = worker["dependencies"].as_array().unwrap();
    assert_eq!(dependencies.len(), 2, "pool, and diagnostics by order");

    rig.run(rig.handle.stop()).expect("the stop is clean");
    let _ = rig.run(starting);
}

#[test]
fn a_reader_that_has_the_snapshot_is_told_so() {
    let rig = Rig::of(vec![Registration::new("worker", idle())]);
    let address = rig.start();
    let settled = |it: &crate::support::Answer| it.issues().is_empty();
    get_until(address, "/readyz", settled);
    let first = get(address, "/control/lifecycle");
    let tag = first.header("etag").expect("a tag").to_owned();
    let sequence = first.json()["orchestrator"]["sequence"].to_string();
    assert!(tag.contains(&sequence), "{tag} names event {sequence}");

    let ask = |tag: &str| {
        let head =
            format!("GET /control/lifecycle HTTP/1.1\r\nHost: {address}\r\nIf-None-Match: {tag}");
        send(address, &head)
    };
    let again = ask(&tag);
    assert_eq!((again.status, again.body.as_str()), (304, ""));
    assert_eq!(again.header("etag"), Some(&*tag));
    assert_eq!(ask("W/\"another\"").status, 200);
    rig.stop();
}

#[test]
fn metrics_have_the_families_of_the_lifecycle() {
    let recorder = diagnostics::install_recorder().expect("the first of this process");
    diagnostics::install_recorder().expect_err("there is one already");
    let rig = Rig::with(vec![Registration::new("worker", idle())], |it| {
        it.metrics(recorder)
    });
    let address = rig.start();
    let tls = Authority::new().asking();
    let encrypted = Rig::with(Vec::new(), |it| it.tls(tls));
    encrypted.start();
    let scraped = get(address, "/metrics");
    assert_eq!(
        scraped.header("content-type"),
        Some("text/plain; version=0.0.4; charset=utf-8")
    );
    // The recorder is the process's, so that other tests may have counted too.
    for series in [
        "lifecycle_ready ",
        "lifecycle_orchestrator_state{state=\"running\"} ",
        "lifecycle_attempts_total{phase=\"start\",outcome=\"succeeded\"} ",
        "lifecycle_phase_duration_seconds_bucket{phase=\"start\",outcome=\"succeeded\",le=\"+Inf\"} ",
        "lifecycle_transitions_total{from=\"starting\",to=\"running\",reason=\"succeeded\"} ",
        "lifecycle_component_state{component=\"worker\",state=\"running\"} 1",
        "lifecycle_certificate_expiry_timestamp_seconds{component=\"diagnostics\",part=\"certificate\"} ",
        "lifecycle_certificate_expiry_timestamp_seconds{component=\"diagnostics\",part=\"ca\"} ",
        "lifecycle_component_state{component=\"worker\",state=\"faulted\"} 0",
    ] {
        assert!(
            scraped.body.contains(series),
            "{series} in {}",
            scraped.body
        );
    }
    encrypted.stop();
    rig.stop();
}
