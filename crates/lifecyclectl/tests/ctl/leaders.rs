//! `leaders --watch`.

use serde_json::{Value, json};

use crate::documents;
use crate::events::Following;
use crate::server::{Reply, Server};

fn event(name: &str, data: &Value) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn change(kind: &str, token: &str, reason: Option<&str>) -> String {
    let data = json!({
        "kind": kind, "occurredAt": "2026-11-28T06:50:13.250Z", "scope": "global-control", "scopeKind": "global",
        "leaderId": "mesh-b", "term": 5, "fenceToken": token, "expiresAt": null, "reason": reason, "correlationId": null
    });
    event("change", &data)
}

#[test]
fn a_watch_shows_how_things_stand_and_each_change_but_renewals() {
    let server = Server::new();
    let mut snapshot = documents::leaders();
    snapshot["kind"] = json!("snapshot");
    let stream = [
        event("snapshot", &snapshot),
        change("elected", "9007199254740993", None),
        change("renewed", "9007199254740993", None),
        event("gap", &json!({ "kind": "gap", "missed": 3 })),
        change("stepped-down", "9007199254740993", Some("cordoned")),
    ];
    let text = stream.concat();
    server.on(
        "GET /control/events/leadership?scope=global-control",
        move |_| Reply::events(&text),
    );
    let mut watching = Following::begin(
        &server,
        "mesh leaders status --watch --scope global-control",
    );
    assert_eq!(watching.line(), "2 scopes, * is this node");
    let lines = std::iter::repeat_with(|| watching.line());
    let mut lines = lines.skip_while(|it| !it.starts_with("06:50"));
    let mut next = || lines.next().unwrap();
    assert_eq!(
        next(),
        "06:50:13.250 global-control: elected mesh-b (term 5, token 9007199254740993)"
    );
    assert_eq!(next(), "… 3 events missed; how things stand now:");
    assert!(next().ends_with("token 9007199254740993): cordoned"));
    // It opens the stream again when that ends.
    server.wait_for("GET /control/events/leadership?scope=global-control", 2);
    drop(lines);
    assert_eq!(watching.interrupt(), Some(130));
}
