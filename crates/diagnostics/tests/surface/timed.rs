//! How the time of a start and of a stop was spent.

use lifecycle_core::{Backoff, Criticality, Nanos, Registration, Retry};
use serde_json::Value;

use crate::support::{Answer, Gate, Rig, failing, get_until, idle};

fn degradable(name: &str, component: lifecycle_core::Component) -> Registration {
    Registration::new(name, component).criticality(Criticality::Degradable)
}

fn row(document: &Value, name: &str) -> Value {
    let rows = document["components"].as_array().unwrap().iter();
    let mut rows = rows.filter(|it| it["name"] == name);
    rows.next().expect("it is listed").clone()
}

fn timeline(address: std::net::SocketAddr, wanted: impl Fn(&Value) -> bool) -> Value {
    let wanted = |it: &Answer| it.status == 200 && wanted(&it.json());
    get_until(address, "/control/lifecycle/timeline", wanted).json()
}

#[test]
fn a_start_is_shown_while_it_is_under_way_and_when_it_is_over() {
    let gate = Gate::closed();
    let rig = Rig::of(vec![
        degradable("pool", gate.component()),
        degradable("billing", idle()).depends_on(["pool"]),
    ]);
    let starter = rig.handle.clone();
    let starting = rig.runtime.spawn(async move { starter.start().await });
    let address = rig.address();
    let under_way = timeline(address, |it| {
        row(it, "pool")["start"]["beganMs"].is_number()
    });
    assert_eq!(under_way["schemaVersion"], "v1");
    assert_eq!(under_way["run"], 1);
    assert_eq!(under_way["start"]["endedAt"], Value::Null);
    assert_eq!(under_way["stop"], Value::Null);
    let billing = row(&under_way, "billing");
    assert_eq!(billing["start"]["beganMs"], Value::Null);
    assert_eq!(billing["start"]["endedMs"], Value::Null);
    assert_eq!(billing["stop"], Value::Null);

    gate.let_start();
    rig.run(starting).unwrap().expect("the start succeeds");
    let over = timeline(address, |it| it["start"]["endedAt"].is_string());
    assert_eq!(over["truncated"], false);
    let path = over["start"]["criticalPath"].as_array().unwrap();
    let names: Vec<_> = path.iter().map(|it| &it["component"]).collect();
    assert_eq!(names, ["diagnostics", "pool", "billing"]);
    let sum: f64 = path
        .iter()
        .flat_map(|it| ["waitingMs", "workingMs", "backingOffMs"].map(|key| it[key].as_f64()))
        .map(Option::unwrap)
        .sum();
    let duration = over["start"]["durationMs"].as_f64().unwrap();
    assert!((sum - duration).abs() < 0.1, "{sum} of {duration}");
    gate.let_stop();
    rig.stop();
}

#[test]
fn attempts_and_delays_of_a_component_that_fails_are_shown() {
    let delay = Nanos::from_secs(600);
    let retry = Retry::attempts(3).with_backoff(Backoff::Fixed(delay));
    let rig = Rig::of(vec![degradable("pool", failing()).start_retry(retry)]);
    let starter = rig.handle.clone();
    rig.runtime
        .spawn(async move { starter.start().await.map(drop) });
    let address = rig.address();
    let document = timeline(address, |it| {
        row(it, "pool")["start"]["backingOffMs"].as_f64() > Some(0.0)
    });
    let bar = &row(&document, "pool")["start"];
    assert_eq!(bar["attempts"], 1);
    assert_eq!(bar["endedMs"], Value::Null);
    let path = document["start"]["criticalPath"].as_array().unwrap();
    assert_eq!(path.last().unwrap()["component"], "pool");
    rig.stop();
}

#[test]
fn a_stop_is_shown_while_it_is_under_way() {
    let gate = Gate::closed();
    gate.let_start();
    let rig = Rig::of(vec![
        degradable("pool", idle()),
        degradable("billing", gate.component()).depends_on(["pool"]),
    ]);
    let address = rig.start();
    let stopper = rig.handle.clone();
    let stopping = rig.runtime.spawn(async move { stopper.stop().await });
    let document = timeline(address, |it| {
        row(it, "billing")["stop"]["beganMs"].is_number()
    });
    assert_eq!(document["stop"]["endedAt"], Value::Null);
    let pool = row(&document, "pool");
    assert_eq!(pool["stop"]["beganMs"], Value::Null);
    assert_eq!(pool["stop"]["workingMs"], 0.0);
    let path = &document["stop"]["criticalPath"];
    assert_eq!(path[0]["component"], "billing");
    gate.let_stop();
    rig.run(stopping).unwrap().expect("the stop is clean");
}
