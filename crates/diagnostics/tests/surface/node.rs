//! Cordon and drain.

use std::net::SocketAddr;

use lifecycle_core::Registration;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Answer, Inbound, Rig, get, get_until, post};

const UPGRADE: &str = "/control/upgrade";

/// A host whose one participant has `open` in flight.
fn with_work(open: u64) -> (Rig, SocketAddr, watch::Sender<u64>) {
    let (work, in_flight) = watch::channel(open);
    let inbound = Registration::new("http-inbound:0", Inbound::yielding(in_flight));
    let rig = Rig::of(vec![inbound]);
    let address = rig.start();
    (rig, address, work)
}

fn command(address: SocketAddr, command: &str, body: &str) -> Answer {
    post(address, &format!("{UPGRADE}/{command}"), body)
}

#[track_caller]
fn conflict(answer: &Answer, remedy: &str) {
    assert_eq!(answer.status, 409, "{answer:?}");
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains(remedy), "{remedy} in {detail}");
}

fn node_is(address: SocketAddr, state: &str) -> Value {
    get_until(address, UPGRADE, |it| it.json()["state"] == state).json()
}

#[track_caller]
fn ended(address: SocketAddr, begun: &Answer) -> Value {
    let place = begun.header("location").expect("a place to look at");
    let over = |it: &Answer| it.json()["state"] != "running";
    get_until(address, place, over).json()
}

#[test]
fn contract_55_and_68_a_drain_goes_on_by_itself_and_a_second_one_is_a_conflict_until_it_has_ended()
{
    let (rig, address, work) = with_work(2);
    let before = get(address, UPGRADE).json();
    let participant = before["participants"][0].clone();
    let expected = json!({
        "schemaVersion": "v1",
        "state": "active",
        "cordoned": false,
        "reason": null,
        "by": null,
        "updatedAt": before["updatedAt"],
        "deadline": null,
        "forced": false,
        "blockedBy": [],
        "participants": [{
            "name": "http-inbound:0",
            "state": "active",
            "lastError": null,
            "updatedAt": participant["updatedAt"],
            "inFlight": null,
            "progress": null,
        }],
    });
    assert_eq!(before, expected);

    let begun = command(address, "drain", r#"{"reason":"upgrade to 2"}"#);
    assert_eq!(begun.status, 202, "{begun:?}");
    let operation = &begun.json()["operation"];
    assert_eq!(
        (
            &operation["operation"],
            &operation["state"],
            &operation["blockedBy"]
        ),
        (
            &json!("drain"),
            &json!("running"),
            &json!(["http-inbound:0"])
        )
    );
    assert_eq!(operation["component"], Value::Null);
    assert_eq!(begun.json()["upgrade"]["state"], "draining");
    let counted = |it: &Answer| it.json()["participants"][0]["inFlight"] == 2;
    let draining = get_until(address, UPGRADE, counted).json();
    assert_eq!(
        (&draining["reason"], &draining["by"]),
        (&json!("upgrade to 2"), &json!("anonymous"))
    );
    assert_eq!(draining["blockedBy"], json!(["http-inbound:0"]));
    assert_eq!(draining["cordoned"], true);
    assert_eq!(draining["participants"][0]["progress"], "2 calls");
    let updated = |it: &Value| it["updatedAt"].as_str().unwrap().to_owned();
    assert!(updated(&draining["participants"][0]) >= updated(&draining));
    conflict(&command(address, "drain", ""), "cancel it or force it");

    work.send_replace(0);
    assert_eq!(ended(address, &begun)["state"], "succeeded");
    let drained = node_is(address, "drained");
    let again = command(address, "drain", "");
    assert_eq!((again.status, again.json()), (200, drained));
    rig.stop();
}

#[test]
fn a_drain_that_is_over_before_it_is_answered_is_an_operation_with_its_end_all_the_same() {
    let (rig, address, _work) = with_work(0);
    for (order, state) in [("drain", "drained"), ("resume", "active")] {
        let begun = command(address, order, "");
        assert_eq!(begun.status, 202, "{begun:?}");
        assert_eq!(ended(address, &begun)["state"], "succeeded");
        let again = command(address, order, "");
        assert_eq!(
            (again.status, &again.json()["state"]),
            (200, &json!(state)),
            "{again:?}"
        );
        assert_eq!(again.header("location"), None);
    }
    rig.stop();
}

#[test]
fn a_node_whose_drain_has_failed_can_be_cordoned_again_and_shows_how_it_is() {
    let (rig, address, work) = with_work(1);
    let draining = command(address, "drain", r#"{"deadlineMs":50}"#);
    assert_eq!(ended(address, &draining)["state"], "failed");
    let cordoned = command(address, "cordon", "");
    assert_eq!(cordoned.status, 200, "{cordoned:?}");
    let node = cordoned.json();
    assert_eq!(
        (&node["state"], &node["cordoned"]),
        (&json!("failed"), &json!(true))
    );
    work.send_replace(0);
    rig.stop();
}

#[test]
fn a_refusal_does_not_say_its_title_again() {
    let (rig, address, _work) = with_work(0);
    let refused = command(address, "force", "").json();
    assert_eq!(
        (&refused["title"], &refused["detail"]),
        (
            &json!("Conflict"),
            &json!("the node is active, so force is refused; drain the node first")
        )
    );
    rig.stop();
}

#[test]
fn contract_56_resuming_what_is_active_does_nothing_and_during_a_drain_the_answer_names_cancel() {
    let (rig, address, work) = with_work(1);
    let nothing = command(address, "resume", "");
    assert_eq!(
        (nothing.status, &nothing.json()["state"]),
        (200, &json!("active"))
    );
    conflict(
        &command(address, "cancel", ""),
        "there is no drain to cancel",
    );
    conflict(&command(address, "force", ""), "drain the node first");

    let draining = command(address, "drain", "");
    conflict(&command(address, "resume", ""), "cancel");
    conflict(&command(address, "uncordon", ""), "cancel");
    let cancelled = command(address, "cancel", "");
    assert_eq!(cancelled.status, 202, "{cancelled:?}");
    let active = node_is(address, "active");
    assert_eq!(
        (&active["cordoned"], &active["blockedBy"]),
        (&json!(false), &json!([]))
    );
    let drain = ended(address, &draining);
    assert_eq!(drain["state"], "failed");
    assert!(
        drain["error"]
            .as_str()
            .unwrap()
            .contains("overtaken by a cancel"),
        "{drain}"
    );
    assert_eq!(get(address, "/readyz").status, 200);
    work.send_replace(0);
    rig.stop();
}

#[test]
fn contract_b22_a_drain_that_hangs_is_forced_by_an_operator() {
    let (rig, address, work) = with_work(1);
    let draining = command(address, "drain", "");
    let forced = command(address, "force", r#"{"reason":"no time"}"#);
    assert_eq!(forced.status, 202, "{forced:?}");
    assert_eq!(ended(address, &draining)["state"], "succeeded");
    node_is(address, "drained");
    let resumed = command(address, "resume", "");
    assert_eq!(resumed.status, 202, "{resumed:?}");
    assert_eq!(node_is(address, "active")["cordoned"], false);
    work.send_replace(0);
    rig.stop();
}

#[test]
fn contract_b22_a_drain_is_forced_by_itself_after_the_time_that_was_given() {
    let (rig, address, work) = with_work(1);
    let draining = command(
        address,
        "drain",
        r#"{"forceAfterMs":50,"deadlineMs":600000}"#,
    );
    assert_eq!(draining.status, 202);
    assert!(draining.json()["operation"]["deadline"].is_string());
    assert_eq!(ended(address, &draining)["state"], "succeeded");
    assert_eq!(node_is(address, "drained")["cordoned"], true);
    work.send_replace(0);
    rig.stop();
}

#[test]
fn contract_57_a_drain_that_runs_out_of_time_fails_names_who_and_can_be_taken_back() {
    let (rig, address, work) = with_work(1);
    let draining = command(address, "drain", r#"{"deadlineMs":50}"#);
    let failed = ended(address, &draining);
    assert_eq!(failed["state"], "failed");
    assert!(
        failed["error"].as_str().unwrap().contains("http-inbound:0"),
        "{failed}"
    );
    let node = node_is(address, "failed");
    assert_eq!(node["blockedBy"], json!(["http-inbound:0"]));
    assert_eq!(node["participants"][0]["state"], "failed");
    assert!(node["participants"][0]["lastError"].is_string(), "{node}");
    assert_eq!(command(address, "resume", "").status, 202);
    node_is(address, "active");
    work.send_replace(0);
    rig.stop();
}

#[test]
fn contract_b23_a_cordon_is_done_at_once_and_taken_back_unless_the_node_is_drained() {
    let (rig, address, _work) = with_work(0);
    let cordoned = command(address, "cordon", r#"{"reason":"odd noises"}"#);
    assert_eq!(cordoned.status, 200);
    let node = cordoned.json();
    assert_eq!(
        (&node["cordoned"], &node["state"]),
        (&json!(true), &json!("active"))
    );
    assert_eq!(node["reason"], "odd noises");
    assert_eq!(get(address, "/readyz").status, 503);
    assert_eq!(command(address, "uncordon", "").json()["cordoned"], false);
    assert_eq!(get(address, "/readyz").status, 200);

    command(address, "drain", "");
    node_is(address, "drained");
    conflict(&command(address, "uncordon", ""), "resume the node");
    rig.stop();
}

#[test]
fn a_log_that_no_host_has_set_up_cannot_be_changed() {
    let (rig, address, _work) = with_work(0);
    let path = "/omnirelay/control/logging";
    assert_eq!(get(address, path).status, 404);
    assert_eq!(post(address, path, r#"{"filter":"debug"}"#).status, 404);
    assert_eq!(post(address, path, "{}").status, 400);
    rig.stop();
}

#[test]
fn a_time_that_makes_no_sense_is_refused_and_nothing_is_drained() {
    let (rig, address, work) = with_work(1);
    for (body, said) in [
        (r#"{"deadlineMs":0}"#, "from 1"),
        (r#"{"deadlineMs":604800001}"#, "a week"),
        (r#"{"deadlineMs":-1}"#, "invalid value"),
        (r#"{"deadlineMs":"1s"}"#, "invalid type"),
        (
            r#"{"forceAfterMs":1000,"deadlineMs":1000}"#,
            "less than deadlineMs",
        ),
    ] {
        let refused = command(address, "drain", body);
        assert_eq!(refused.status, 400, "{body}");
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains(said), "{said} in {detail}");
    }
    for other in ["cordon", "uncordon", "resume", "cancel", "force"] {
        let refused = command(address, other, r#"{"deadlineMs":1}"#);
        assert_eq!(refused.status, 400, "{other}");
    }
    assert_eq!(get(address, UPGRADE).json()["state"], "active");
    work.send_replace(0);
    rig.stop();
}
