//! `wait --for …`.

use serde_json::json;

use crate::documents::{draining, shop, upgrade};
use crate::kit::run;
use crate::page::check;
use crate::server::{Reply, Server};

#[test]
fn it_waits_until_the_host_is_ready() {
    let server = Server::new();
    let mut looks = 0;
    server.on("GET /readyz", move |_| {
        looks += 1;
        match looks {
            1 | 2 => Reply::json(503, &json!({ "issues": ["orchestrator:starting"] })),
            _ => Reply::ok(&json!({ "issues": [] })),
        }
    });
    check("wait-ready", &server, "wait --for ready", 0);
    assert_eq!(server.lines().len(), 3);
    let json = run(&server, "wait --for ready -o json").ended(0).stdout;
    assert_eq!(json, "{\"reached\":\"ready\"}\n");
}

#[test]
fn a_host_that_is_not_ready_in_time_says_why_and_exits_with_2() {
    let server = Server::new();
    server.on("GET /readyz", |_| {
        Reply::json(503, &json!({ "issues": ["db:faulted", "orders:waiting"] }))
    });
    check("wait-late", &server, "wait --for ready --timeout 200ms", 2);
}

#[test]
fn a_host_that_is_not_there_yet_is_waited_for() {
    let server = Server::new();
    let mut command = crate::kit::command();
    // Nobody listens there.
    command.args([
        "-u",
        "127.0.0.1:1",
        "wait",
        "--for",
        "ready",
        "--timeout",
        "300ms",
    ]);
    let run: crate::kit::Run = command.output().unwrap().into();
    run.failed(
        2,
        "not ready after 300 ms: http://127.0.0.1:1 cannot be reached: Connection refused",
    );
    assert!(server.lines().is_empty());
}

#[test]
fn it_waits_until_the_orchestrator_has_stopped_or_nothing_listens() {
    let server = Server::new();
    let mut stopped = shop();
    stopped["orchestrator"]["state"] = json!("stopped");
    server.gives("GET /control/lifecycle", [shop(), stopped]);
    run(&server, "wait --for stopped").ended(0);
    assert_eq!(server.lines().len(), 2);
    let gone = run(&server, "wait --for stopped -u 127.0.0.1:1").ended(0);
    assert_eq!(gone.stdout, "stopped\n");
}

#[test]
fn it_waits_until_the_node_is_drained() {
    let server = Server::new();
    server.gives(
        "GET /control/upgrade",
        [draining(), upgrade("drained", true, json!({}))],
    );
    check("wait-drained", &server, "wait --for drained", 0);
}

#[test]
fn a_drain_that_has_failed_is_not_waited_for() {
    let server = Server::new();
    let mut failed = upgrade("failed", true, json!({}));
    failed["participants"][0]["lastError"] = json!("3 calls are still in flight");
    server.gives("GET /control/upgrade", [failed]);
    check("wait-drain-failed", &server, "wait --for drained", 1);
}

#[test]
fn a_host_that_refuses_to_tell_is_not_asked_again() {
    let server = Server::new();
    server.on("GET /control/upgrade", |_| {
        Reply::problem(401, "Unauthorized", "credentials are needed")
    });
    run(&server, "wait --for drained").failed(4, "credentials are needed");
    assert_eq!(server.lines().len(), 1);
}
