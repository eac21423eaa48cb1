//! Probes through a whole run.

use axum::routing::get as route_get;
use diagnostics::Issue;
use lifecycle_core::engine::OrchestratorState;
use lifecycle_core::{Criticality, Registration, Restart, Retry};
use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier};

use crate::support::{Gate, Rig, assert_closed, connect, failing, get, get_until, idle};

#[test]
fn contract_59_readiness_rises_and_falls_while_liveness_stays_200_to_the_end() {
    let gate = Gate::closed();
    let rig = Rig::of(vec![Registration::new("worker", gate.component())]);
    let (starter, stopper) = (rig.handle.clone(), rig.handle.clone());

    let starting = rig.runtime.spawn(async move { starter.start().await });
    let address = rig.address();
    let named = |it: &crate::support::Answer| it.issues().iter().any(|it| it == "worker:starting");
    let unready = get_until(address, "/readyz", named);
    assert_eq!(unready.status, 503);
    assert_eq!(unready.json()["status"], "unavailable");
    assert_eq!(unready.json()["mode"], "ready");
    assert_eq!(unready.issues()[0], "orchestrator:starting");
    let startup = get(address, "/startupz");
    assert_eq!(startup.status, 503);
    assert_eq!(startup.issues(), ["orchestrator:starting"]);
    assert_eq!(get(address, "/livez").status, 200);

    gate.let_start();
    rig.run(starting).unwrap().expect("everything starts");
    let ready = get(address, "/readyz");
    assert_eq!((ready.status, ready.issues().len()), (200, 0));
    assert_eq!(get(address, "/startupz").status, 200);

    let stopping = rig.runtime.spawn(async move { stopper.stop().await });
    let mut status = rig.handle.status();
    rig.run(status.wait_for(|it| it.state == OrchestratorState::Stopping))
        .unwrap();
    let unready = get(address, "/readyz");
    assert_eq!(unready.status, 503);
    assert_eq!(unready.issues()[0], "orchestrator:stopping");
    for path in ["/livez", "/healthz"] {
        let live = get(address, path);
        assert_eq!((live.status, live.issues().len()), (200, 0), "{path}");
        assert_eq!(live.json()["mode"], "live");
    }
    assert_eq!(get(address, "/startupz").status, 200);

    gate.let_stop();
    rig.run(stopping).unwrap().expect("the stop is clean");
    assert_closed(address);
}

#[test]
fn trouble_of_a_degradable_component_leaves_the_host_ready_and_names_it() {
    let cache = Registration::new("cache", failing())
        .criticality(Criticality::Degradable)
        .restart(Restart::never());
    let extra = Registration::new("extra", failing()).criticality(Criticality::Optional);
    let rig = Rig::of(vec![cache, extra]);
    let address = rig.start();

    let ready = get_until(address, "/readyz?verbose", |it| !it.issues().is_empty());
    assert_eq!(ready.status, 200);
    let body = ready.json();
    assert_eq!(body["degraded"], true);
    assert_eq!(ready.issues(), ["cache:faulted"]);
    assert_eq!(body["details"][0]["severity"], "degraded");
    assert_eq!(body["details"][0]["message"], "no route to the pool");
    assert!(get(address, "/readyz").json().get("details").is_none());
    rig.stop();
}

#[test]
fn a_host_adds_issues_and_routes_of_its_own() {
    let broken = Arc::new(AtomicBool::new(true));
    let seen = Arc::clone(&broken);
    let provider = move || match seen.load(Ordering::SeqCst) {
        true => vec![Issue::unavailable("peers:none").with_message("nobody is there")],
        false => vec![Issue::degraded("peers:few")],
    };
    let rig = Rig::with(vec![Registration::new("worker", idle())], |it| {
        it.issues(provider)
            .route("/extra", route_get(async || "more"))
    });
    let address = rig.start();
    let unready = get(address, "/readyz");
    assert_eq!(unready.status, 503);
    assert_eq!(unready.issues(), ["peers:none"]);
    broken.store(false, Ordering::SeqCst);
    assert_eq!(get(address, "/readyz").status, 200);
    assert_eq!(get(address, "/extra").body, "more");
    rig.stop();
}

#[test]
fn contract_b21_a_taken_port_is_a_failed_start_that_names_it_and_can_be_repeated() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let rig = Rig::with(vec![Registration::new("worker", idle())], |it| {
        it.bind(address)
    });
    let error = rig.run(rig.handle.start()).expect_err("the port is taken");
    assert!(error.to_string().contains(&address.to_string()), "{error}");

    drop(taken);
    assert_eq!(rig.start(), address);
    assert_eq!(get(address, "/readyz").status, 200);
    rig.stop();
    assert_closed(address);
}

#[test]
fn after_a_stop_it_can_be_started_again() {
    let rig = Rig::of(vec![Registration::new("worker", idle())]);
    for _ in 0..3 {
        let address = rig.start();
        assert_eq!(get(address, "/readyz").status, 200);
        rig.stop();
        assert_closed(address);
    }
}

#[test]
fn a_start_while_a_handler_blocks_the_last_thread_fails_and_the_next_one_answers() {
    let (blocked, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let barriers = (Arc::clone(&blocked), Arc::clone(&release));
    let block = route_get(async move || {
        barriers.0.wait();
        barriers.1.wait();
    });
    let rig = Rig::limited(|it| it.route("/block", block));
    let mut client = connect(rig.start());
    write!(client, "GET /block HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    blocked.wait();
    rig.run(rig.handle.stop()).expect_err("a thread is left");
    rig.run(rig.handle.start()).expect_err("it is still left");

    release.wait();
    assert_eq!(get(rig.start(), "/livez").status, 200);
    rig.stop();
}

#[test]
fn museum_26_it_answers_while_a_rollback_is_under_way() {
    let gate = Gate::closed();
    let broken = Registration::new("broken", failing())
        .depends_on(["slow"])
        .start_retry(Retry::none());
    let rig = Rig::of(vec![Registration::new("slow", gate.component()), broken]);
    let starter = rig.handle.clone();
    let starting = rig.runtime.spawn(async move { starter.start().await });
    let address = rig.address();
    gate.let_start();
    let named = |it: &crate::support::Answer| it.issues().iter().any(|it| it == "broken:faulted");
    let unready = get_until(address, "/readyz", named);
    assert_eq!(unready.status, 503);
    assert_eq!(get(address, "/livez").status, 200);
    gate.let_stop();
    rig.run(starting).unwrap().expect_err("the start failed");
    assert_closed(address);
}

#[test]
fn probes_answer_while_every_other_thread_is_blocked() {
    let rig = Rig::of(Vec::new());
    let address = rig.start();
    let (release, blocked) = (Arc::new(Barrier::new(3)), Arc::new(Barrier::new(3)));
    for _ in 0..2 {
        let (release, blocked) = (Arc::clone(&release), Arc::clone(&blocked));
        rig.runtime.spawn(async move {
            blocked.wait();
            release.wait();
        });
    }
    // Both workers are here, and with them the driver stands still.
    blocked.wait();
    assert_eq!(get(address, "/livez").status, 200);
    assert_eq!(get(address, "/readyz").status, 200);
    release.wait();
    rig.stop();
}
