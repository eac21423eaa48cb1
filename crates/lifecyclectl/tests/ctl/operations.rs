//! What begins something on a host, and what follows it.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::documents::{begun, draining, operation, success, upgrade};
use crate::kit::{Run, run, spawn};
use crate::page::check;
use crate::server::{Reply, Server};

/// A host on which `verb` begins as operation `op-7`, which is then as `documents` say.
fn operating(line: &str, first: Value, documents: impl IntoIterator<Item = Value>) -> Server {
    let server = Server::new();
    server.on(line, move |_| Reply::json(202, &first));
    server.gives("GET /control/lifecycle/operations/op-7", documents);
    server
}

fn restarting(documents: impl IntoIterator<Item = Value>) -> Server {
    let first = operation("restart", json!("db"), json!({}));
    operating(
        "POST /control/lifecycle/components/db/restart",
        first,
        documents,
    )
}

#[test]
fn a_restart_begins_and_is_not_waited_for() {
    let server = restarting([]);
    check("restart", &server, "restart db", 0);
    assert_eq!(server.lines().len(), 1);
    assert_eq!(server.requests()[0].body, "{}");
}

#[test]
fn a_restart_that_is_waited_for_says_what_blocks_it_each_time_that_changes() {
    let blocked = |names: Value| operation("restart", json!("db"), json!({ "blockedBy": names }));
    let server = restarting([
        blocked(json!(["http-inbound:0", "orders"])),
        blocked(json!(["http-inbound:0", "orders"])),
        blocked(json!(["orders"])),
        operation("restart", json!("db"), success()),
    ]);
    check("restart-wait", &server, "restart db --wait", 0);
}

#[test]
fn a_restart_that_is_over_before_anybody_has_waited_is_told_once() {
    let over = || operation("restart", json!("db"), success());
    let line = "POST /control/lifecycle/components/db/restart";
    let server = operating(line, over(), [over()]);
    let run = run(&server, "restart db --wait").ended(0);
    let lines: Vec<_> = run.stdout.lines().chain(run.stderr.lines()).collect();
    assert_eq!(
        lines,
        [
            "restart of db has begun: operation op-7",
            "restart of db succeeded in 2 s"
        ]
    );
}

#[test]
fn reason_force_and_plan_travel_with_an_operation() {
    let first = operation("stop", json!("http-inbound:0"), success());
    let line = "POST /control/lifecycle/components/http-inbound%3A0/stop";
    let server = operating(line, first, []);
    let words = "stop http-inbound:0 --reason maintenance --force --plan-id p-7";
    check("stop", &server, words, 0);
    let asked = json!({ "reason": "maintenance", "force": true, "planId": "p-7" });
    assert_eq!(server.requests()[0].json(), asked);
}

#[test]
fn an_operation_that_fails_exits_with_1_and_says_where_to_look() {
    let failed = json!({ "state": "failed", "endedAt": "2026-11-28T06:50:14.040Z", "error": "db did not come up: Connection refused" });
    let first = operation("start", json!("db"), json!({}));
    let line = "POST /control/lifecycle/components/db/start";
    let server = operating(line, first, [operation("start", json!("db"), failed)]);
    check("start-failed", &server, "start db --wait", 1);
    let json = run(&server, "start db --wait -o json").ended(1);
    let document: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(document["state"], "failed");
}

#[test]
fn an_operation_that_takes_too_long_exits_with_2_and_goes_on() {
    let blocked = operation("restart", json!("db"), json!({ "blockedBy": ["orders"] }));
    let server = restarting([blocked]);
    let run = run(&server, "restart db --wait --timeout 200ms");
    let run = run.failed(
        2,
        "operation op-7 (restart of db) goes on at the host, blocked by orders",
    );
    assert!(run.stdout.contains("blocked by orders"), "{}", run.stdout);
    let posts = server
        .lines()
        .into_iter()
        .filter(|it| it.starts_with("POST"));
    assert_eq!(posts.count(), 1);
}

#[test]
fn an_operation_that_the_host_has_forgotten_is_no_success() {
    let server = Server::new();
    let first = operation("restart", json!("db"), json!({}));
    server.on("POST /control/lifecycle/components/db/restart", move |_| {
        Reply::json(202, &first)
    });
    run(&server, "restart db --wait").failed(1, "does not know operation op-7");
}

#[test]
fn a_host_that_is_silent_for_a_moment_is_asked_again() {
    let server = restarting([]);
    let mut looks = 0;
    server.on("GET /control/lifecycle/operations/op-7", move |_| {
        looks += 1;
        match looks {
            1 => Reply::cut(),
            _ => Reply::ok(&operation("restart", json!("db"), success())),
        }
    });
    run(&server, "restart db --wait").ended(0);
}

#[test]
fn contract_b23_cordon_and_uncordon_say_how_the_node_is() {
    let server = Server::new();
    let cordoned = upgrade(
        "active",
        true,
        json!({ "reason": "a new disk", "by": "alice" }),
    );
    let active = upgrade("active", false, json!({}));
    server.gives("POST /control/upgrade/cordon", [cordoned]);
    server.gives("POST /control/upgrade/uncordon", [active]);
    check("cordon", &server, "cordon", 0);
    check("uncordon", &server, "uncordon", 0);
}

#[test]
fn a_drain_takes_its_limits_along_and_is_followed_to_its_end() {
    let draining_operation = |change| operation("drain", json!(null), change);
    let first = begun(draining_operation(json!({})), draining());
    let server = operating(
        "POST /control/upgrade/drain",
        first,
        [
            draining_operation(json!({ "blockedBy": ["http-inbound:0"] })),
            draining_operation(success()),
        ],
    );
    check(
        "drain-wait",
        &server,
        "drain --deadline 1m --force-after 30s --wait",
        0,
    );
    let asked = json!({ "deadlineMs": 60_000, "forceAfterMs": 30_000 });
    assert_eq!(server.requests()[0].json(), asked);
    check("drain", &server, "drain --reason disk", 0);
}

#[test]
fn resume_cancel_and_force_are_asked_of_the_node() {
    let server = Server::new();
    let active = upgrade("active", false, json!({}));
    let drained = upgrade("drained", true, json!({ "forced": true }));
    let answer = |verb: &str, upgrade: &Value| {
        begun(operation(verb, json!(null), success()), upgrade.clone())
    };
    for (verb, state) in [
        ("resume", &active),
        ("cancel", &active),
        ("force", &drained),
    ] {
        let answer = answer(verb, state);
        server.on(&format!("POST /control/upgrade/{verb}"), move |_| {
            Reply::json(202, &answer)
        });
        check(verb, &server, verb, 0);
    }
}

#[test]
fn a_refusal_is_shown_with_its_remedy_and_exits_with_4() {
    let server = Server::new();
    server.on("POST /control/upgrade/resume", |_| {
        Reply::problem(409, "Conflict", "a drain is under way: cancel it")
    });
    check("resume-refused", &server, "resume", 4);
}

#[test]
fn contract_69_mesh_upgrade_drain_and_resume_exit_with_0_with_1_on_an_error_and_with_2_on_a_timeout()
 {
    let server = Server::new();
    let first = begun(operation("drain", json!(null), json!({})), draining());
    server.on("POST /control/upgrade/drain", move |_| {
        Reply::json(202, &first)
    });
    let drain = run(&server, "mesh upgrade drain --reason disk").ended(0);
    assert!(
        drain.stdout.contains("state       draining"),
        "{}",
        drain.stdout
    );
    server.on("POST /control/upgrade/resume", |_| {
        Reply::problem(409, "Conflict", "a drain is under way: cancel it")
    });
    run(&server, "mesh upgrade resume").failed(1, "a drain is under way");
    server.on("POST /control/upgrade/resume", |_| Reply::silence());
    run(&server, "mesh upgrade resume --timeout 200ms").failed(2, "did not answer within 200 ms");
    server.gives(
        "POST /control/upgrade/resume",
        [upgrade("active", false, json!({}))],
    );
    run(&server, "mesh upgrade resume").ended(0);
    // A host that does not serve it is an error of old, not something that was not found.
    run(&server, "mesh upgrade status").failed(1, "Not Found");
}

#[test]
fn interrupting_the_client_cancels_nothing_and_says_so() {
    let first = begun(operation("drain", json!(null), json!({})), draining());
    let running = operation("drain", json!(null), json!({}));
    let server = operating("POST /control/upgrade/drain", first, [running]);
    let child = spawn(&server, "drain --wait --timeout 1m");
    server.wait_for("GET /control/lifecycle/operations/op-7", 1);
    interrupt(&child);
    let run = Run::from(child.wait_with_output().unwrap());
    run.failed(
        130,
        "interrupted: operation op-7 (drain) goes on at the host",
    );
    let posts = server
        .lines()
        .into_iter()
        .filter(|it| it.starts_with("POST"));
    assert_eq!(posts.collect::<Vec<_>>(), ["POST /control/upgrade/drain"]);
}

fn interrupt(child: &std::process::Child) {
    kill_process(Pid::from_child(child), Signal::INT).unwrap();
}
