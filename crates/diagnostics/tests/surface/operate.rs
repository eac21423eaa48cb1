//! Operations on one component.

use std::io::Write as _;
use std::net::SocketAddr;

use lifecycle_core::engine::OrchestratorState;
use lifecycle_core::{Criticality, Registration};
use serde_json::{Value, json};

use crate::support::{Answer, Gate, Rig, ask, connect, get, get_until, idle, post, request};

const OPERATIONS: &str = "/control/lifecycle/operations";

fn act(address: SocketAddr, component: &str, operation: &str, body: &str) -> Answer {
    let path = format!("/control/lifecycle/components/{component}/{operation}");
    post(address, &path, body)
}

fn degradable(name: &str) -> Registration {
    Registration::new(name, idle()).criticality(Criticality::Degradable)
}

/// A host with `worker`, which starts at once the first time and then as it is told.
fn with_worker() -> (Rig, SocketAddr, Gate) {
    let gate = Gate::closed();
    gate.let_start();
    let worker = Registration::new("worker", gate.component()).criticality(Criticality::Degradable);
    let rig = Rig::of(vec![worker]);
    let address = rig.start();
    (rig, address, gate)
}

#[track_caller]
fn ended(address: SocketAddr, answer: &Answer) -> Value {
    let place = answer.header("location").expect("a place to look at");
    let over = |it: &Answer| it.json()["state"] != "running";
    get_until(address, place, over).json()
}

#[test]
fn contract_b22_a_restart_is_told_of_at_once_and_can_be_followed_to_its_end() {
    let (rig, address, gate) = with_worker();
    let begun = act(
        address,
        "worker",
        "restart",
        r#"{"reason":" ticket 4711 "}"#,
    );
    assert_eq!(begun.status, 202, "{begun:?}");
    let operation = begun.json();
    let id = operation["id"].as_str().unwrap();
    let place = format!("{OPERATIONS}/{id}");
    assert_eq!(begun.header("location"), Some(&*place));
    let mut expected = json!({
        "id": id,
        "operation": "restart",
        "component": "worker",
        "state": "running",
        "by": "anonymous",
        "reason": "ticket 4711",
        "startedAt": operation["startedAt"],
        "endedAt": null,
        "deadline": null,
        "error": null,
        "blockedBy": ["worker"],
    });
    assert_eq!(operation, expected);
    assert!(operation["startedAt"].as_str().unwrap().ends_with('Z'));
    assert_eq!(get(address, &place).json(), operation);

    gate.let_stop();
    gate.let_start();
    let done = ended(address, &begun);
    expected["state"] = json!("succeeded");
    expected["endedAt"] = done["endedAt"].clone();
    expected["blockedBy"] = json!([]);
    assert_eq!(done, expected);
    assert!(done["endedAt"].is_string());
    let all = get(address, OPERATIONS).json();
    assert_eq!(all, json!({"schemaVersion": "v1", "operations": [done]}));
    gate.let_stop();
    rig.stop();
}

#[test]
fn what_waits_for_another_says_for_which_in_the_end() {
    let gate = Gate::closed();
    gate.let_start();
    let pool = Registration::new("pool", gate.component()).criticality(Criticality::Degradable);
    let api = degradable("api").depends_on(["pool"]);
    let web = degradable("web").depends_on(["api"]);
    let rig = Rig::of(vec![pool, api, web]);
    let address = rig.start();
    gate.let_stop();
    let restarted = act(address, "pool", "restart", "");
    let waits = |it: &Answer| it.body.contains("\"state\":\"waiting\"");
    get_until(address, "/control/lifecycle", waits);
    let starting = act(address, "web", "start", "");
    assert_eq!(
        (starting.status, &starting.json()["blockedBy"]),
        (202, &json!(["pool"]))
    );
    gate.let_start();
    assert_eq!(ended(address, &restarted)["state"], "succeeded");
    assert_eq!(ended(address, &starting)["state"], "succeeded");
    gate.let_stop();
    rig.stop();
}

#[test]
fn contract_b22_a_client_that_hangs_up_cancels_nothing() {
    let (rig, address, gate) = with_worker();
    let path = "/control/lifecycle/components/worker/restart";
    let asked = request(address, "POST", path, &[], Some(r#"{"reason":"gone"}"#));
    let known = || get(address, OPERATIONS).json()["operations"][0].clone();
    // One that is gone before the server has looked has asked for nothing.
    while known().is_null() {
        let mut client = connect(address);
        client.write_all(asked.as_bytes()).unwrap();
    }
    assert_eq!(
        (&known()["reason"], &known()["state"]),
        (&json!("gone"), &json!("running"))
    );
    gate.let_stop();
    gate.let_start();
    let over = |it: &Answer| it.json()["operations"][0]["state"] == "succeeded";
    get_until(address, OPERATIONS, over);
    gate.let_stop();
    rig.stop();
}

#[test]
fn an_essential_component_is_stopped_only_by_force_and_comes_back() {
    let rig = Rig::of(vec![Registration::new("worker", idle())]);
    let address = rig.start();
    let refused = act(address, "worker", "stop", "");
    assert_eq!(refused.status, 409);
    assert_eq!(
        refused.header("content-type"),
        Some("application/problem+json")
    );
    let detail = refused.json()["detail"].to_string();
    assert!(
        detail.contains("is essential") && detail.contains("force"),
        "{detail}"
    );
    let none = get(address, OPERATIONS).json()["operations"].clone();
    assert_eq!(none, json!([]), "what is refused is no operation");

    let stopped = act(address, "worker", "stop", r#"{"force":true}"#);
    assert_eq!(stopped.status, 202);
    assert_eq!(ended(address, &stopped)["state"], "succeeded");
    assert_eq!(
        get_until(address, "/readyz", |it| it.status == 503).status,
        503
    );
    let started = act(address, "worker", "start", "");
    assert_eq!(ended(address, &started)["state"], "succeeded");
    get_until(address, "/readyz", |it| it.status == 200);
    rig.stop();
}

#[test]
fn an_operation_that_fails_says_why() {
    let (broken, fixed) = (
        std::sync::atomic::AtomicBool::new(false),
        std::sync::atomic::Ordering::SeqCst,
    );
    let broken = std::sync::Arc::new(broken);
    let seen = std::sync::Arc::clone(&broken);
    let fragile = lifecycle_core::component::from_fn(
        move |_| {
            let is_broken = seen.load(fixed);
            async move {
                match is_broken {
                    true => Err(lifecycle_core::BoxError::from("the disk is full")),
                    false => Ok(()),
                }
            }
        },
        async |_| Ok(()),
    );
    let fragile = Registration::new("fragile", fragile)
        .criticality(Criticality::Degradable)
        .start_retry(lifecycle_core::Retry::none())
        .restart(lifecycle_core::Restart::never());
    let rig = Rig::of(vec![fragile]);
    let address = rig.start();
    broken.store(true, fixed);
    let failed = ended(address, &act(address, "fragile", "restart", ""));
    assert_eq!(failed["state"], "failed");
    assert!(
        failed["error"]
            .as_str()
            .unwrap()
            .contains("the disk is full"),
        "{failed}"
    );
    rig.stop();
}

#[test]
fn a_component_that_is_not_there_is_404_with_the_nearest_name() {
    let rig = Rig::of(vec![degradable("http-inbound:0")]);
    let address = rig.start();
    let unknown = act(address, "htp-inbound:0", "restart", "");
    assert_eq!(unknown.status, 404);
    let detail = unknown.json()["detail"].to_string();
    assert!(
        detail.contains("did you mean \\\"http-inbound:0\\\""),
        "{detail}"
    );
    // Names are percent-encoded, and of any case.
    assert_eq!(act(address, "HTTP-inbound%3A0", "restart", "").status, 202);
    assert_eq!(get(address, &format!("{OPERATIONS}/0-1")).status, 404);
    assert_eq!(get(address, &format!("{OPERATIONS}/nonsense")).status, 404);
    rig.stop();
}

#[test]
fn a_wish_that_makes_no_sense_is_refused_and_nothing_is_done() {
    let rig = Rig::of(vec![degradable("worker")]);
    let address = rig.start();
    let path = "/control/lifecycle/components/worker/restart";
    let long = format!(r#"{{"reason":"{}"}}"#, "a".repeat(513));
    for (body, said) in [
        ("{", "EOF"),
        ("[]", "JSON object"),
        (r#"{"reasons":"x"}"#, "unknown field `reasons`"),
        (r#"{"force":"yes"}"#, "invalid type"),
        (r#"{"deadlineMs":1}"#, "unknown field `deadlineMs`"),
        (r#"{"reason":"a\nb"}"#, "one line of text"),
        (r#"{"reason":"\u001b[2J"}"#, "one line of text"),
        (&long, "512 characters"),
    ] {
        let refused = post(address, path, body);
        assert_eq!(refused.status, 400, "{body}");
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains(said), "{said} in {detail}");
    }
    let plain = ask(
        address,
        "POST",
        path,
        &["Content-Type: text/plain"],
        Some("{}"),
    );
    assert_eq!(plain.status, 415);
    let large = format!(r#"{{"reason":"{}"}}"#, "a".repeat(64 * 1024));
    assert_eq!(post(address, path, &large).status, 413);
    let chunks = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    let mut client = connect(address);
    let head = [
        "Transfer-Encoding: chunked",
        "Content-Type: application/json",
    ];
    client
        .write_all(request(address, "POST", path, &head, None).as_bytes())
        .unwrap();
    // It may be refused before all of it is sent.
    let _ = client.write_all(chunks.as_bytes());
    assert_eq!(crate::support::receive(&mut client).status, 413);
    for name in ["a".repeat(129), "%ff".to_owned()] {
        assert_eq!(act(address, &name, "restart", "").status, 400, "{name}");
    }
    assert_eq!(get(address, path).status, 405);
    assert_eq!(get(address, OPERATIONS).json()["operations"], json!([]));
    // An empty body, one of an empty object, and one with a charset say the same.
    assert_eq!(post(address, path, "").status, 202);
    let charset = ["Content-Type: application/json; charset=utf-8"];
    assert_eq!(ask(address, "POST", path, &charset, Some("{}")).status, 202);
    rig.stop();
}

#[test]
fn who_has_looked_at_another_plan_is_told_so() {
    let rig = Rig::of(vec![degradable("worker")]);
    let address = rig.start();
    let present = |answer: &Answer| {
        assert_eq!(answer.status, 412, "{answer:?}");
        let detail = answer.json()["detail"].as_str().unwrap().to_owned();
        detail
            .split('"')
            .nth(1)
            .expect("the plan is named")
            .to_owned()
    };
    let wish = |plan: &str| json!({ "planId": plan }).to_string();
    let plan = present(&act(address, "worker", "restart", &wish("another")));
    assert_eq!(act(address, "worker", "restart", &wish(&plan)).status, 202);
    rig.run(rig.handle.add(degradable("tenant")))
        .expect("it is new");
    let later = present(&act(address, "worker", "restart", &wish(&plan)));
    assert_ne!(later, plan);
    rig.stop();
}

#[test]
fn an_operation_outlives_the_thread_of_the_diagnostics() {
    let rig = Rig::of(vec![degradable("worker")]);
    let address = rig.start();
    let begun = act(address, "diagnostics", "restart", "");
    assert_eq!(begun.status, 202);
    let mut known = rig.diagnostics.address();
    let other = rig.run(async {
        let reopened = known
            .wait_for(|it| it.is_some_and(|it| it != address))
            .await;
        reopened.unwrap().expect("it is open")
    });
    assert_eq!(ended(other, &begun)["state"], "succeeded");
    rig.stop();
}

#[test]
fn during_a_stop_of_the_whole_an_operation_is_refused() {
    let (rig, address, gate) = with_worker();
    let stopper = rig.handle.clone();
    let stopping = rig.runtime.spawn(async move { stopper.stop().await });
    let mut status = rig.handle.status();
    rig.run(status.wait_for(|it| it.state == OrchestratorState::Stopping))
        .unwrap();
    for operation in ["restart", "stop", "start"] {
        let refused = act(address, "worker", operation, "");
        assert_eq!(refused.status, 409);
        let detail = refused.json()["detail"].to_string();
        assert!(detail.contains("the orchestrator is stopping"), "{detail}");
    }
    gate.let_stop();
    rig.run(stopping).unwrap().expect("the stop is clean");
}

#[test]
fn the_last_hundred_are_kept_and_what_runs_is_never_forgotten() {
    let (rig, address, gate) = with_worker();
    let running = act(address, "worker", "restart", "");
    let place = running.header("location").unwrap().to_owned();
    for _ in 0..100 {
        assert_eq!(post(address, "/control/upgrade/cordon", "").status, 200);
    }
    let rows = get(address, OPERATIONS).json()["operations"]
        .as_array()
        .unwrap()
        .clone();
    assert_eq!(rows.len(), 100);
    assert_eq!(
        (&rows[0]["operation"], &rows[99]["operation"]),
        (&json!("cordon"), &json!("restart"))
    );
    assert_eq!(get(address, &place).json()["state"], "running");
    gate.let_stop();
    gate.let_start();
    assert_eq!(ended(address, &running)["state"], "succeeded");
    gate.let_stop();
    rig.stop();
}
