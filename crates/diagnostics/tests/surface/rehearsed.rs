//! What an operation would do.

use lifecycle_core::{Criticality, Registration};
use serde_json::{Value, json};

use crate::support::{Rig, get, get_until, idle, post};

const PLAN: &str = "/control/lifecycle/plan";

fn degradable(name: &str) -> Registration {
    Registration::new(name, idle()).criticality(Criticality::Degradable)
}

fn rig() -> Rig {
    Rig::of(vec![
        degradable("pool").alias("db"),
        degradable("billing").depends_on(["pool"]),
        Registration::new("shop", idle()).depends_on(["billing"]),
    ])
}

fn components(document: &Value, key: &str) -> Vec<String> {
    let rows = document[key].as_array().unwrap().iter();
    rows.map(|it| it["component"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_plan_says_what_would_stop_and_start_and_how_long_that_took_and_does_nothing() {
    let rig = rig();
    let address = rig.start();
    // How long the start took is known as soon as the timeline has seen its end.
    get_until(address, "/control/lifecycle/timeline", |it| {
        it.status == 200 && it.json()["start"]["endedAt"].is_string()
    });
    let before = get(address, "/control/lifecycle").json();
    let answer = post(
        address,
        PLAN,
        r#"{"operation": "restart", "component": "DB"}"#,
    );
    assert_eq!(answer.status, 200, "{answer:?}");
    let document = answer.json();
    assert_eq!(document["schemaVersion"], "v1");
    assert_eq!(document["planId"], before["planId"]);
    assert_eq!(
        (&document["operation"], &document["component"]),
        (&"restart".into(), &"pool".into())
    );
    assert_eq!(document["refusal"], Value::Null);
    assert_eq!(components(&document, "stops"), ["shop", "billing", "pool"]);
    assert_eq!(components(&document, "starts"), ["pool", "billing", "shop"]);
    assert_eq!(document["stops"][0]["cause"], "pool");
    assert_eq!(document["stops"][2]["cause"], Value::Null);
    assert_eq!(document["stops"][0]["lastMs"], Value::Null, "never stopped");
    assert!(document["starts"][0]["lastMs"].is_number());
    let after = get(address, "/control/lifecycle").json();
    assert_eq!(
        after["orchestrator"]["sequence"], before["orchestrator"]["sequence"],
        "nothing has happened"
    );
    rig.stop();
}

#[test]
fn a_plan_that_would_be_refused_says_why_and_what_force_would_do() {
    let rig = rig();
    let address = rig.start();
    let order = |force: bool| {
        let body = json!({"operation": "stop", "component": "pool", "force": force});
        post(address, PLAN, &body.to_string()).json()
    };
    let refused = order(false);
    let refusal = refused["refusal"].as_str().unwrap();
    assert!(refusal.contains("\"shop\" is essential"), "{refusal}");
    assert!(components(&refused, "stops").is_empty());
    let forced = order(true);
    assert_eq!(forced["refusal"], Value::Null);
    assert_eq!(components(&forced, "stops"), ["shop", "billing", "pool"]);
    assert!(components(&forced, "starts").is_empty());
    rig.stop();
}

#[test]
fn orders_that_make_no_sense_are_refused_with_problem_documents() {
    let rig = rig();
    let address = rig.start();
    for (body, status, detail) in [
        (
            r#"{"operation": "stop", "component": "poll"}"#.to_owned(),
            404,
            "did you mean \"pool\"?",
        ),
        (
            r#"{"operation": "drop", "component": "pool"}"#.to_owned(),
            400,
            "unknown variant `drop`",
        ),
        (
            r#"{"operation": "stop", "component": "pool", "now": true}"#.to_owned(),
            400,
            "unknown field `now`",
        ),
        (r#"{"operation": "stop"}"#.to_owned(), 400, "component"),
        ("{".to_owned(), 400, "EOF"),
        (
            format!("{{\"operation\": \"{}\"}}", "x".repeat(70_000)),
            413,
            "65536 bytes",
        ),
    ] {
        let answer = post(address, PLAN, &body);
        assert_eq!(answer.status, status, "{answer:?}");
        let media_type = answer.header("content-type");
        assert_eq!(media_type, Some("application/problem+json"));
        let told = answer.json()["detail"].to_string();
        let told = told.replace('\\', "");
        assert!(told.contains(detail), "{told}");
    }
    assert_eq!(get(address, PLAN).status, 405);
    rig.stop();
}
