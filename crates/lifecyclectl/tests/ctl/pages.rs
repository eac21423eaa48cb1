//! What commands print when nothing goes wrong but what they are asked about.

use serde_json::json;

use crate::documents;
use crate::kit::run;
use crate::page::check;
use crate::server::{Reply, Server};

fn serving(line: &str, document: serde_json::Value) -> Server {
    let server = Server::new();
    server.gives(line, [document]);
    server
}

#[test]
fn status_says_in_a_line_that_all_is_well() {
    let server = serving("GET /control/lifecycle", documents::shop());
    check("status", &server, "status", 0);
    check("status-all", &server, "status --all", 0);
}

#[test]
fn status_begins_with_what_is_broken_by_itself() {
    let server = serving("GET /control/lifecycle", documents::broken_shop());
    check("status-broken", &server, "status", 1);
}

#[test]
fn status_says_who_has_cordoned_the_node_and_what_blocks_its_drain() {
    let mut snapshot = documents::shop();
    snapshot["readiness"] = json!({
        "ready": false, "degraded": false,
        "issues": [{ "issue": "node:draining", "severity": "essential", "message": null }]
    });
    snapshot["node"] = json!({
        "cordoned": true, "drain": "draining", "since": "2026-11-28T06:50:00.000Z", "by": "alice",
        "reason": "a new disk", "deadline": "2026-11-28T06:50:30.000Z", "forced": false,
        "blockedBy": [{
            "component": "http-inbound:0", "drain": "draining", "inFlight": 3, "progress": null, "error": null
        }]
    });
    let server = serving("GET /control/lifecycle", snapshot);
    check("status-draining", &server, "status", 1);
}

#[test]
fn status_lists_fifty_components_in_trouble_and_counts_the_others() {
    let waiting = |index: u32| {
        let state = json!({ "state": "waiting", "attempt": 0 });
        documents::component(&format!("c{index:03}"), 1, &[], state)
    };
    let components = (0..60).map(waiting).collect();
    let snapshot = documents::snapshot(false, json!([]), components);
    let server = serving("GET /control/lifecycle", snapshot);
    let few = run(&server, "status").ended(1).stdout;
    assert!(few.ends_with("and 10 more; --all lists them\n"), "{few}");
    let all = run(&server, "status --all").ended(1).stdout;
    assert!(all.contains("c059") && !all.contains("--all"), "{all}");
}

#[test]
fn tree_shows_dependencies_and_dependents_each_subtree_once() {
    let server = serving("GET /control/lifecycle", documents::broken_shop());
    check("tree", &server, "tree", 0);
    check("tree-dependents", &server, "tree db --dependents", 0);
    check("tree-unknown", &server, "tree dbx", 3);
}

#[test]
fn why_begins_with_the_root_cause() {
    let server = serving(
        "GET /control/lifecycle/components/orders/why",
        documents::why(),
    );
    check("why", &server, "why orders", 0);
}

#[test]
fn timeline_chain_and_blame_say_where_the_time_went() {
    let server = serving("GET /control/lifecycle/timeline", documents::timeline());
    check("timeline", &server, "timeline", 0);
    check("timeline-stop", &server, "timeline --stop", 0);
    check("chain", &server, "chain", 0);
    check("blame", &server, "blame", 0);
}

#[test]
fn a_timeline_of_a_start_under_way_draws_what_has_not_ended_to_its_end() {
    let mut timeline = documents::timeline();
    timeline["start"]["endedAt"] = json!(null);
    timeline["truncated"] = json!(true);
    let waiting = &mut timeline["components"][3]["start"];
    waiting["beganMs"] = json!(null);
    waiting["endedMs"] = json!(null);
    waiting["waitingMs"] = json!(1240.0);
    waiting["workingMs"] = json!(0.0);
    waiting["attempts"] = json!(0);
    let server = serving("GET /control/lifecycle/timeline", timeline);
    check("timeline-under-way", &server, "timeline", 0);
}

#[test]
fn graph_is_for_other_programs() {
    let server = Server::new();
    let dot = "digraph {\n  \"orders\" -> \"db\";\n}\n";
    server.on("GET /control/lifecycle/graph?format=dot", move |_| {
        Reply::text(dot)
    });
    server.gives(
        "GET /control/lifecycle/graph?format=json",
        [json!({ "schemaVersion": "v1", "nodes": [] })],
    );
    check("graph", &server, "graph", 0);
    let json = "{\"nodes\":[],\"schemaVersion\":\"v1\"}\n";
    assert_eq!(run(&server, "graph --format json").ended(0).stdout, json);
    assert_eq!(run(&server, "graph -o json").ended(0).stdout, json);
}

#[test]
fn plan_lists_what_would_stop_and_start_in_order() {
    let server = serving("POST /control/lifecycle/plan", documents::plan(json!(null)));
    check("plan", &server, "plan restart db", 0);
    let body = server.requests()[0].json();
    let asked = json!({ "operation": "restart", "component": "db", "force": false });
    assert_eq!(body, asked);
}

#[test]
fn a_plan_that_would_be_refused_exits_with_4() {
    let refusal = json!("http-inbound:0 is essential and would go down; force it");
    let server = serving("POST /control/lifecycle/plan", documents::plan(refusal));
    check("plan-refused", &server, "plan stop db", 4);
}

#[test]
fn contract_69_mesh_upgrade_status_prints_the_state_and_exits_with_0() {
    let server = serving("GET /control/upgrade", documents::draining());
    check("mesh-upgrade-status", &server, "mesh upgrade status", 0);
    let json = run(&server, "mesh upgrade status --json").ended(0).stdout;
    assert_eq!(json, format!("{}\n", documents::draining()));
}

#[test]
fn peers_and_leaders_are_listed() {
    let server = serving("GET /control/peers", documents::peers());
    server.gives("GET /control/leaders", [documents::leaders()]);
    server.gives(
        "GET /control/leaders?scope=shard%2Fshop%2F1",
        [documents::no_leaders(Some("mesh-a"))],
    );
    check("peers", &server, "peers", 0);
    check("leaders", &server, "leaders", 0);
    check("leaders-none", &server, "leaders --scope shard/shop/1", 0);
    let listed = run(&server, "peers").stdout;
    assert_eq!(run(&server, "mesh peers list").ended(0).stdout, listed);
    let json = run(&server, "mesh peers list --format json")
        .ended(0)
        .stdout;
    assert_eq!(json, format!("{}\n", documents::peers()));
    let led = run(&server, "leaders").stdout;
    assert_eq!(run(&server, "mesh leaders status").ended(0).stdout, led);
}

#[test]
fn a_host_without_leadership_has_no_leaders_and_says_why() {
    let server = serving("GET /control/leaders", documents::no_leaders(None));
    let page = run(&server, "leaders").ended(0).stdout;
    assert!(page.starts_with("leadership is switched off"), "{page}");
}

#[test]
fn a_host_without_gossip_has_no_peers_and_says_why() {
    let none = json!({
        "schemaVersion": "v1", "generatedAt": "2026-11-28T06:50:12.000Z", "localNodeId": null, "peers": []
    });
    let server = serving("GET /control/peers", none);
    let page = run(&server, "peers").ended(0).stdout;
    assert_eq!(page, "gossip is switched off: this host knows no peers\n");
}

#[test]
fn logging_shows_and_sets_the_filter() {
    let server = serving(
        "GET /omnirelay/control/logging",
        json!({ "minimumLevel": "info", "filter": "info" }),
    );
    server.gives(
        "POST /omnirelay/control/logging",
        [json!({ "filter": "info,lifecycle=debug" })],
    );
    check("logging", &server, "logging", 0);
    check("logging-set", &server, "logging info,lifecycle=debug", 0);
    let body = server.requests()[1].json();
    assert_eq!(body, json!({ "filter": "info,lifecycle=debug" }));
}

#[test]
fn json_is_the_document_of_the_host_unchanged() {
    let server = Server::new();
    let document = "{\"schemaVersion\":\"v1\",  \"added\" : [1.50] }";
    server.on("GET /control/peers", move |_| Reply::text(document));
    // What cannot be read as a page can still be shown.
    run(&server, "peers").failed(1, "no document that this client knows");
    let mut snapshot = documents::shop();
    snapshot["added"] = json!([1.5]);
    let text = format!("{snapshot:#}");
    let shown = text.clone();
    server.on("GET /control/lifecycle", move |_| Reply::text(&text));
    let run = run(&server, "status --output json").ended(0);
    assert_eq!(run.stdout, format!("{shown}\n"));
}

#[test]
fn what_a_host_says_cannot_move_the_cursor_of_the_terminal() {
    let mut snapshot = documents::broken_shop();
    snapshot["components"][4]["lastError"]["message"] = json!("\u{1b}[2Jgone\u{7}");
    let server = serving("GET /control/lifecycle", snapshot);
    let page = run(&server, "status").ended(1).stdout;
    assert!(page.contains("gone"), "{page}");
    assert!(!page.contains(['\u{1b}', '\u{7}']), "{page:?}");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = crate::kit::command()
            .args(["completions", shell])
            .output()
            .unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            script.contains("rolling-restart") && script.contains("uncordon"),
            "{shell}"
        );
    }
}
