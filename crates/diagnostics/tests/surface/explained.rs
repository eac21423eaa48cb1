//! One component, why it is as it is, and the graph.

use std::time::Duration;

use lifecycle_core::{Backoff, Criticality, Registration, Retry};

use crate::support::{Answer, Rig, failing, get, get_until, idle};

fn degradable(name: &str) -> Registration {
    Registration::new(name, idle()).criticality(Criticality::Degradable)
}

/// `pool` backs off for ten minutes, and `billing:main` waits for it.
fn waiting() -> Rig {
    let retry = Retry::attempts(5).with_backoff(Backoff::Fixed(Duration::from_secs(600).into()));
    let pool = Registration::new("pool", failing())
        .start_retry(retry)
        .criticality(Criticality::Degradable);
    let billing = degradable("billing:main")
        .alias("money")
        .depends_on(["pool"]);
    let rig = Rig::of(vec![pool, billing, degradable("clock").tolerates(["pool"])]);
    let starter = rig.handle.clone();
    rig.runtime
        .spawn(async move { starter.start().await.map(drop) });
    let backs_off = |it: &Answer| it.body.contains("\"backing-off\",");
    get_until(rig.address(), "/control/lifecycle", backs_off);
    rig
}

#[test]
fn a_component_is_told_why_it_waits_down_to_the_root_and_the_root_whom_it_holds_up() {
    let rig = waiting();
    let address = rig.address();
    let why = get(address, "/control/lifecycle/components/billing%3Amain/why").json();
    assert_eq!(why["schemaVersion"], "v1");
    assert_eq!(
        (&why["component"], &why["state"], &why["root"]),
        (&"billing:main".into(), &"waiting".into(), &"pool".into())
    );
    let sentence = why["why"].as_str().unwrap();
    let begin = "billing:main waits for pool, which backs off before attempt 2 of 5 (no route to the pool), next in ";
    assert!(sentence.starts_with(begin), "{sentence}");
    let chain = why["chain"].as_array().unwrap();
    let links: Vec<_> = chain.iter().map(|it| &it["component"]).collect();
    assert_eq!(links, ["billing:main", "pool"]);
    assert_eq!(chain[0]["why"], "billing:main waits for pool");
    assert_eq!(chain[1]["state"], "backing-off");

    let root = get(address, "/control/lifecycle/components/POOL/why").json();
    assert_eq!(root["component"], "pool");
    assert_eq!(
        root["victims"],
        serde_json::json!(["billing:main", "clock"])
    );
    let well = get(address, "/control/lifecycle/components/diagnostics/why").json();
    assert_eq!(
        (&well["root"], &well["victims"]),
        (&serde_json::Value::Null, &serde_json::json!([]))
    );
    rig.stop();
}

#[test]
fn a_component_is_shown_as_in_the_snapshot_by_its_name_or_an_alias() {
    let rig = waiting();
    let address = rig.address();
    let shown = get(address, "/control/lifecycle/components/money").json();
    assert_eq!(shown["schemaVersion"], "v1");
    let whole = get(address, "/control/lifecycle").json();
    let rows = whole["components"].as_array().unwrap().iter();
    let mut rows = rows.filter(|it| it["name"] == "billing:main");
    let row = rows.next().unwrap();
    for key in ["name", "state", "since", "waitingOn", "dependencies"] {
        assert_eq!(shown["component"][key], row[key], "{key}");
    }
    assert!(shown["why"].as_str().unwrap().contains("waits for pool"));
    rig.stop();
}

#[test]
fn an_unknown_component_is_refused_with_the_nearest_name() {
    let rig = Rig::of(vec![degradable("billing:main")]);
    let address = rig.start();
    for path in ["", "/why"] {
        let path = format!("/control/lifecycle/components/biling%3Amain{path}");
        let refused = get(address, &path);
        assert_eq!(refused.status, 404);
        assert_eq!(
            refused.header("content-type"),
            Some("application/problem+json")
        );
        let detail = "there is no component \"biling:main\"; did you mean \"billing:main\"?";
        assert_eq!(refused.json()["detail"], detail);
    }
    let unreadable = get(address, "/control/lifecycle/components/%FF/why");
    assert_eq!(unreadable.status, 400);
    assert_eq!(unreadable.json()["status"], 400);
    rig.stop();
}

#[test]
fn contract_b14_the_graph_can_be_exported_with_live_states() {
    let rig = waiting();
    let address = rig.address();
    let graph = get(address, "/control/lifecycle/graph").json();
    assert_eq!(graph["schemaVersion"], "v1");
    let snapshot = get(address, "/control/lifecycle").json();
    assert_eq!(graph["planId"], snapshot["planId"]);
    let nodes = graph["nodes"].as_array().unwrap();
    let names: Vec<_> = nodes.iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["diagnostics", "pool", "billing:main", "clock"]);
    assert_eq!(nodes[1]["state"], "backing-off");
    assert_eq!(
        (&nodes[0]["healthy"], &nodes[1]["healthy"]),
        (&true.into(), &false.into())
    );
    assert_eq!(nodes[3]["depth"], 2);
    let edges = graph["edges"].as_array().unwrap();
    let edge = serde_json::json!({
        "from": "clock", "to": "pool", "kind": "hard", "onLoss": "tolerates"
    });
    assert!(edges.contains(&edge), "{edges:?}");
    let order = serde_json::json!({
        "from": "pool", "to": "diagnostics", "kind": "order", "onLoss": null
    });
    assert!(edges.contains(&order), "{edges:?}");

    let dot = get(address, "/control/lifecycle/graph?format=dot");
    let media_type = dot.header("content-type").unwrap();
    assert!(media_type.starts_with("text/vnd.graphviz"), "{media_type}");
    for line in [
        "digraph lifecycle {",
        "  \"billing:main\" [label=\"billing:main\\nwaiting\", fillcolor=lightgrey];",
        "  \"billing:main\" -> \"pool\" [style=solid];",
        "  \"clock\" -> \"pool\" [style=solid, label=\"tolerates\"];",
        "  \"pool\" -> \"diagnostics\" [style=dotted];",
    ] {
        assert!(
            dot.body.lines().any(|it| it == line),
            "{line}\n{}",
            dot.body
        );
    }
    let refused = get(address, "/control/lifecycle/graph?format=svg");
    assert_eq!(refused.status, 400);
    rig.stop();
}

#[test]
fn the_plan_id_changes_when_a_component_is_added_and_returns_when_it_is_removed() {
    let rig = Rig::of(vec![degradable("pool")]);
    let address = rig.start();
    let plan_id = || get(address, "/control/lifecycle").json()["planId"].to_string();
    let before = plan_id();
    rig.run(rig.handle.add(degradable("late")))
        .expect("it fits");
    assert_ne!(plan_id(), before);
    rig.run(rig.handle.remove("late")).expect("nobody needs it");
    assert_eq!(plan_id(), before);
    rig.stop();
}
