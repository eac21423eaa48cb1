//! Documents of the agreed shapes, written by hand.

#![expect(
    clippy::needless_pass_by_value,
    reason = "they are written where they are used, and a reference to each would only be noise"
)]

use serde_json::{Value, json};

/// A component that runs, with what `change` says otherwise.
pub(crate) fn component(name: &str, depth: u32, dependencies: &[&str], change: Value) -> Value {
    let edge = |it: &&str| json!({ "component": it, "edge": "hard", "onLoss": "restarts" });
    let dependencies: Vec<_> = dependencies.iter().map(edge).collect();
    let mut component = json!({
        "name": name, "aliases": [], "state": "running", "since": "2026-11-28T06:48:00.000Z",
        "reason": "succeeded", "criticality": "essential", "health": "healthy", "degraded": null,
        "progress": null, "missing": [], "generation": 1, "attempt": 1, "maxAttempts": 3,
        "retryAt": null, "waitingOn": [], "cause": null, "lastError": null, "final": false,
        "held": false, "gate": null, "gated": false, "leaving": false,
        "restarts": { "lost": 0, "charged": 0, "budget": 5 },
        "drain": { "participant": false, "state": "active", "inFlight": null, "lastError": null },
        "depth": depth, "dependencies": dependencies, "labels": {},
        "durations": { "waitingMs": 0.0, "workingMs": 1.0, "backingOffMs": 0.0 }
    });
    for (key, value) in change.as_object().unwrap() {
        component[key] = value.clone();
    }
    component
}

pub(crate) fn snapshot(ready: bool, issues: Value, components: Vec<Value>) -> Value {
    let mut counts = json!({});
    for it in &components {
        let state = it["state"].as_str().unwrap();
        counts[state] = json!(counts[state].as_u64().unwrap_or(0) + 1);
    }
    json!({
        "schemaVersion": "v1", "capturedAt": "2026-11-28T06:50:12.000Z", "planId": "p-7",
        "orchestrator": {
            "state": "running", "since": "2026-11-28T06:48:07.000Z", "reason": "settled",
            "run": 1, "sequence": 42, "stopDeadline": null
        },
        "node": {
            "cordoned": false, "drain": "active", "since": "2026-11-28T06:48:00.000Z",
            "by": null, "reason": null, "deadline": null, "forced": false, "blockedBy": []
        },
        "readiness": { "ready": ready, "degraded": false, "issues": issues },
        "counts": counts,
        "components": components,
    })
}

/// A shop whose database is down.
pub(crate) fn broken_shop() -> Value {
    let waiting = |on: &str, state: &str| {
        json!({
            "state": "waiting", "attempt": 0, "cause": "db",
            "waitingOn": [{ "component": on, "edge": "hard", "state": state }]
        })
    };
    let components = vec![
        component(
            "audit",
            1,
            &["config"],
            json!({ "state": "starting", "progress": "replaying page 3 of 9" }),
        ),
        component("billing", 2, &["stock"], waiting("stock", "waiting")),
        component("cache", 1, &["config"], json!({})),
        component("config", 0, &[], json!({})),
        component(
            "db",
            1,
            &["config"],
            json!({
                "state": "faulted", "attempt": 3, "final": true, "since": "2026-11-28T06:50:00.000Z",
                "lastError": { "kind": "error", "message": "db.internal:5432: Connection refused (os error 111), and nobody else knows where the database has gone" }
            }),
        ),
        component(
            "http-inbound:0",
            3,
            &["orders", "cache"],
            waiting("orders", "waiting"),
        ),
        component(
            "mail",
            1,
            &["config"],
            json!({
                "state": "backing-off", "attempt": 2, "criticality": "degradable",
                "retryAt": "2026-11-28T06:50:15.200Z",
                "lastError": { "kind": "timeout", "message": "no greeting within 5 s" }
            }),
        ),
        component(
            "orders",
            2,
            &["stock", "cache"],
            waiting("stock", "waiting"),
        ),
        component("stock", 1, &["db"], waiting("db", "faulted")),
    ];
    let issues = json!([
        { "issue": "db:faulted", "severity": "essential", "message": "db.internal:5432: Connection refused (os error 111)" },
        { "issue": "stock:waiting", "severity": "essential", "message": null },
        { "issue": "mail:backing-off", "severity": "degraded", "message": "no greeting within 5 s" }
    ]);
    snapshot(false, issues, components)
}

/// The same when all is well.
pub(crate) fn shop() -> Value {
    let inbound = json!({ "drain": { "participant": true, "state": "active", "inFlight": 3, "lastError": null } });
    let components = vec![
        component("cache", 1, &["config"], json!({})),
        component("config", 0, &[], json!({})),
        component("db", 1, &["config"], json!({})),
        component("http-inbound:0", 3, &["orders", "cache"], inbound),
        component("orders", 2, &["db", "cache"], json!({})),
    ];
    snapshot(true, json!([]), components)
}

pub(crate) fn why() -> Value {
    json!({
        "schemaVersion": "v1", "component": "orders", "state": "waiting",
        "why": "orders waits for stock, which waits for db, which has failed for good after 3 attempts: db.internal:5432: Connection refused (os error 111)",
        "root": "db",
        "chain": [
            { "component": "orders", "state": "waiting", "why": "waits for stock" },
            { "component": "stock", "state": "waiting", "why": "waits for db" },
            { "component": "db", "state": "faulted", "why": "attempt 3 of 3 failed: db.internal:5432: Connection refused (os error 111)" }
        ],
        "victims": ["billing", "http-inbound:0", "orders", "stock"]
    })
}

pub(crate) fn timeline() -> Value {
    let bar = |began: Value, ended: Value, waiting: f64, working: f64, off: f64, attempts: u32| {
        json!({
            "beganMs": began, "endedMs": ended, "waitingMs": waiting, "workingMs": working,
            "backingOffMs": off, "attempts": attempts
        })
    };
    let critical = |name: &str, waiting: f64, working: f64, off: f64| json!({ "component": name, "waitingMs": waiting, "workingMs": working, "backingOffMs": off });
    json!({
        "schemaVersion": "v1", "capturedAt": "2026-11-28T06:50:12.000Z", "run": 1, "truncated": false,
        "start": {
            "beganAt": "2026-11-28T06:48:07.000Z", "endedAt": "2026-11-28T06:48:08.240Z", "durationMs": 1240.0,
            "criticalPath": [
                critical("config", 0.0, 40.0, 0.0),
                critical("db", 0.0, 500.0, 400.0),
                critical("orders", 0.0, 300.0, 0.0)
            ]
        },
        "stop": null,
        "components": [
            { "name": "cache", "start": bar(json!(40.0), json!(120.0), 40.0, 80.0, 0.0, 1), "stop": null },
            { "name": "config", "start": bar(json!(0.0), json!(40.0), 0.0, 40.0, 0.0, 1), "stop": null },
            { "name": "db", "start": bar(json!(40.0), json!(940.0), 40.0, 500.0, 400.0, 2), "stop": null },
            { "name": "orders", "start": bar(json!(940.0), json!(1240.0), 940.0, 300.0, 0.0, 1), "stop": null },
            { "name": "spare", "start": null, "stop": null }
        ]
    })
}

pub(crate) fn plan(refusal: Value) -> Value {
    let step = |name: &str, cause: Value, last: Value| json!({ "component": name, "cause": cause, "lastMs": last });
    json!({
        "schemaVersion": "v1", "planId": "p-7", "operation": "restart", "component": "db", "refusal": refusal,
        "stops": [
            step("http-inbound:0", json!("db"), json!(2040.0)),
            step("orders", json!("db"), json!(12.0)),
            step("db", json!(null), json!(null))
        ],
        "starts": [
            step("db", json!(null), json!(900.0)),
            step("orders", json!("db"), json!(300.0)),
            step("http-inbound:0", json!("db"), json!(0.7))
        ]
    })
}

/// An operation; `change` says what is otherwise than at its beginning.
pub(crate) fn operation(verb: &str, component: Value, change: Value) -> Value {
    let mut operation = json!({
        "id": "op-7", "operation": verb, "component": component, "state": "running", "by": "alice",
        "reason": null, "startedAt": "2026-11-28T06:50:12.000Z", "endedAt": null, "deadline": null,
        "error": null, "blockedBy": []
    });
    for (key, value) in change.as_object().unwrap() {
        operation[key] = value.clone();
    }
    operation
}

/// How an operation is that has ended well.
pub(crate) fn success() -> Value {
    json!({ "state": "succeeded", "endedAt": "2026-11-28T06:50:14.040Z" })
}

/// `/control/upgrade`.
pub(crate) fn upgrade(state: &str, cordoned: bool, change: Value) -> Value {
    let participant = |name: &str, state: &str, in_flight: Value, progress: Value| {
        json!({
            "name": name, "state": state, "lastError": null, "updatedAt": "2026-11-28T06:50:00.000Z",
            "inFlight": in_flight, "progress": progress
        })
    };
    let mut upgrade = json!({
        "schemaVersion": "v1", "state": state, "cordoned": cordoned, "reason": null, "by": null,
        "updatedAt": "2026-11-28T06:50:00.000Z", "deadline": null, "forced": false, "blockedBy": [],
        "participants": [
            participant("http-inbound:0", state, json!(0), json!(null)),
            participant("grpc-inbound:0", state, json!(null), json!(null))
        ]
    });
    for (key, value) in change.as_object().unwrap() {
        upgrade[key] = value.clone();
    }
    upgrade
}

/// A drain that waits for one of two.
pub(crate) fn draining() -> Value {
    let mut draining = upgrade(
        "draining",
        true,
        json!({
            "reason": "a new disk", "by": "alice", "deadline": "2026-11-28T06:50:30.000Z",
            "blockedBy": ["http-inbound:0"]
        }),
    );
    draining["participants"][0]["inFlight"] = json!(3);
    draining["participants"][0]["progress"] = json!("letting calls in flight finish");
    draining["participants"][1]["state"] = json!("drained");
    draining
}

pub(crate) fn begun(operation: Value, upgrade: Value) -> Value {
    json!({ "operation": operation, "upgrade": upgrade })
}

pub(crate) fn peers() -> Value {
    json!({
        "schemaVersion": "v1", "generatedAt": "2026-11-28T06:50:12.000Z", "localNodeId": "mesh-a",
        "peers": [
            {
                "nodeId": "mesh-a", "status": "alive", "lastSeen": "2026-11-28T06:50:12.000Z",
                "address": "10.0.0.1:17421", "generation": "1", "metadata": { "role": "gateway" }
            },
            {
                "nodeId": "mesh-b", "status": "suspect", "lastSeen": "2026-11-28T06:50:05.000Z", "rttMs": 0.412,
                "address": "10.0.0.2:17421", "generation": "1", "metadata": { "role": "worker" }
            }
        ]
    })
}

pub(crate) fn leaders() -> Value {
    json!({
        "schemaVersion": "v1", "generatedAt": "2026-11-28T06:50:12.000Z", "localNodeId": "mesh-a",
        "leaders": [
            {
                "scope": "global-control", "scopeKind": "global", "labels": {}, "leaderId": "mesh-a", "isLocal": true,
                "term": 4, "fenceToken": "4", "issuedAt": "2026-11-28T06:49:00.000Z",
                "expiresAt": "2026-11-28T06:50:15.200Z", "issue": null
            },
            {
                "scope": "shard/shop/1", "scopeKind": "shard", "labels": { "namespace": "shop", "shardId": "1" },
                "leaderId": null, "isLocal": false, "term": null, "fenceToken": null, "issuedAt": null,
                "expiresAt": null, "issue": "the lease store is unavailable: database is locked"
            }
        ]
    })
}

/// Of a host that does not stand for leadership, or not for a scope.
pub(crate) fn no_leaders(local_node_id: Option<&str>) -> Value {
    json!({
        "schemaVersion": "v1", "generatedAt": "2026-11-28T06:50:12.000Z", "localNodeId": local_node_id, "leaders": []
    })
}
