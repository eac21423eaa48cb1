//! Which components there are, and what their failures mean.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use control_plane_host::config::Config;
use control_plane_host::host::{self, Ports};
use lifecycle_core::{Criticality, EdgeKind, OnLoss, Plan};
use lifecycle_runtime::{Handle, Orchestrator, OrchestratorBuilder};

use crate::support::{DEADLINE, assert_tcp_free, assert_udp_free, get};

/// On free ports.
pub(crate) fn config() -> Config {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let mut config = Config::default();
    config.diagnostics.address = any;
    config.http.address = any;
    config.gossip.options.bind = any;
    config
}

pub(crate) fn wired(config: &Config) -> (OrchestratorBuilder, Ports) {
    let mut builder = Orchestrator::builder();
    let ports = host::wire(config, &mut builder).expect("the wiring fits");
    (builder, ports)
}

pub(crate) fn plan(config: &Config) -> Arc<Plan> {
    let (builder, _) = wired(config);
    Arc::clone(builder.build().unwrap().plan())
}

pub(crate) fn names(plan: &Plan) -> Vec<&str> {
    let order = plan.order().iter();
    order.map(|id| plan.name(*id).as_str()).collect()
}

pub(crate) fn edges<'a>(plan: &'a Plan, name: &str) -> Vec<(&'a str, EdgeKind)> {
    let id = plan.find(name).expect("it is registered");
    let edges = plan.dependencies(id).iter();
    edges
        .map(|it| (plan.name(it.component).as_str(), it.kind))
        .collect()
}

pub(crate) fn criticality(plan: &Plan, name: &str) -> Criticality {
    plan.criticality(plan.find(name).expect("it is registered"))
}

#[test]
fn contract_47_enabled_gossip_is_registered_as_mesh_gossip_without_dependencies() {
    let plan = plan(&config());
    // What is ordered after the diagnostics is ordered so implicitly.
    assert_eq!(
        edges(&plan, "mesh-gossip"),
        [("diagnostics", EdgeKind::Order)]
    );
    assert_eq!(criticality(&plan, "mesh-gossip"), Criticality::Degradable);
}

#[test]
fn contract_50_the_listener_of_grpc_is_registered_as_control_plane_grpc_when_it_is_wanted() {
    assert_eq!(plan(&config()).find("control-plane:grpc"), None);
    let mut config = config();
    config.grpc.address = "127.0.0.1:0".parse().unwrap();
    config.grpc.enabled = true;
    let diagnostics = ("diagnostics", EdgeKind::Order);
    let leadership = ("mesh-leadership", EdgeKind::Hard);
    let mut alone = config.clone();
    alone.leadership.enabled = false;
    let found = plan(&alone);
    assert_eq!(edges(&found, "control-plane:grpc"), [diagnostics]);
    let plan = plan(&config);
    let mut found = edges(&plan, "control-plane:grpc");
    found.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(found, [diagnostics, leadership]);
    assert_eq!(
        criticality(&plan, "control-plane:grpc"),
        Criticality::Essential
    );
    assert!(!plan.drains(plan.find("control-plane:grpc").unwrap()));
}

#[test]
fn contract_49_the_control_listener_depends_on_gossip_when_present() {
    let plan = plan(&config());
    assert_eq!(
        names(&plan),
        [
            "diagnostics",
            "mesh-gossip",
            "mesh-leadership",
            "control-plane:http"
        ]
    );
    let edges = edges(&plan, "control-plane:http");
    assert!(
        edges.contains(&("mesh-gossip", EdgeKind::Hard)),
        "{edges:?}"
    );
    for essential in ["control-plane:http", "diagnostics"] {
        assert_eq!(criticality(&plan, essential), Criticality::Essential);
    }
}

#[test]
fn the_control_listener_outlives_a_loss_of_gossip_and_of_leadership_and_that_a_loss_of_gossip() {
    let plan = plan(&config());
    for (dependent, needed) in [
        ("control-plane:http", "mesh-gossip"),
        ("control-plane:http", "mesh-leadership"),
        ("mesh-leadership", "mesh-gossip"),
    ] {
        let [dependent, needed] = [dependent, needed].map(|it| plan.find(it).unwrap());
        let mut edges = plan.dependencies(dependent).iter();
        let edge = edges.find(|it| it.component == needed).unwrap();
        assert_eq!(
            (edge.kind, edge.on_loss),
            (EdgeKind::Hard, OnLoss::Tolerates)
        );
    }
}

#[test]
fn contract_52_the_control_listener_takes_part_in_a_drain_under_its_name_and_nothing_else_does() {
    let plan = plan(&config());
    let drains = plan.ids().filter(|id| plan.drains(*id));
    let names: Vec<_> = drains.map(|id| plan.name(id).as_str()).collect();
    assert_eq!(names, ["control-plane:http"]);
}

#[test]
fn contract_51_what_is_switched_off_adds_no_component_and_no_dependency() {
    let diagnostics = ("diagnostics", EdgeKind::Order);
    let gossip = ("mesh-gossip", EdgeKind::Hard);
    let leadership = ("mesh-leadership", EdgeKind::Hard);
    for (has_gossip, has_leadership) in [(false, false), (true, false), (false, true)] {
        let mut config = config();
        config.gossip.enabled = has_gossip;
        config.leadership.enabled = has_leadership;
        let plan = plan(&config);
        let wanted = [(gossip, has_gossip), (leadership, has_leadership)];
        let wanted = wanted.into_iter().filter(|(_, is_there)| *is_there);
        let mut wanted: Vec<_> = wanted.map(|(edge, _)| edge).collect();
        wanted.push(diagnostics);
        wanted.sort_unstable_by_key(|(name, _)| *name);
        let mut found = edges(&plan, "control-plane:http");
        found.sort_unstable_by_key(|(name, _)| *name);
        assert_eq!(found, wanted);
        assert_eq!(names(&plan).len(), wanted.len() + 1);
    }
}

#[test]
fn contract_48_enabled_leadership_is_registered_as_mesh_leadership_and_depends_on_gossip_when_present()
 {
    let diagnostics = ("diagnostics", EdgeKind::Order);
    let both = plan(&config());
    let mut found = edges(&both, "mesh-leadership");
    found.sort_unstable_by_key(|(name, _)| *name);
    assert_eq!(found, [diagnostics, ("mesh-gossip", EdgeKind::Hard)]);
    assert_eq!(
        criticality(&both, "mesh-leadership"),
        Criticality::Degradable
    );
    let mut config = config();
    config.gossip.enabled = false;
    assert_eq!(edges(&plan(&config), "mesh-leadership"), [diagnostics]);
}

#[test]
fn contract_49_the_control_listener_depends_on_leadership_only_when_it_shows_it() {
    let mut config = config();
    let depends = |config: &Config| {
        let plan = plan(config);
        edges(&plan, "control-plane:http").contains(&("mesh-leadership", EdgeKind::Hard))
    };
    assert!(depends(&config));
    config.leadership.diagnostics = false;
    assert!(!depends(&config));
}

#[test]
fn policies_reach_the_component_that_they_name() {
    let mut config = config();
    let policies = host_config::sections::policies::Policies {
        start: lifecycle_core::Retry::attempts(7),
        ..Default::default()
    };
    config.components.insert("MESH-gossip".into(), policies);
    let plan = plan(&config);
    let attempts = |name| {
        let id = plan.find(name).unwrap();
        plan.policies(id).start.max_attempts.get()
    };
    assert_eq!((attempts("mesh-gossip"), attempts("diagnostics")), (7, 1));
}

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let limited = tokio::time::timeout(DEADLINE, future).await;
    limited.expect("within the deadline")
}

pub(crate) fn driven(config: &Config) -> (Handle, Ports) {
    let (builder, ports) = wired(config);
    (builder.build().unwrap().spawn(), ports)
}

/// A request from a thread that may block.
pub(crate) async fn ask(address: SocketAddr, path: &'static str) -> crate::support::Answer {
    tokio::task::spawn_blocking(move || get(address, path))
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contract_b21_a_taken_port_fails_the_start_leaves_nothing_open_and_can_be_repeated() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut config = config();
    config.http.address = address;
    let (handle, ports) = driven(&config);

    let error = within(handle.start()).await.expect_err("the port is taken");
    let text = error.to_string();
    assert!(text.contains("control-plane:http"), "{text}");
    assert!(text.contains(&address.to_string()), "{text}");
    assert_eq!((ports.diagnostics(), ports.http()), (None, None));

    drop(taken);
    // A test that makes a process at this moment holds the port open until that runs its own program.
    within(async { while handle.start().await.is_err() {} }).await;
    assert_eq!(ports.http(), Some(address));
    assert_eq!(ask(address, "/readyz").await.status, 200);
    let (diagnostics, gossip) = (ports.diagnostics().unwrap(), ports.gossip().unwrap());
    within(handle.stop()).await.expect("the stop is clean");
    assert_tcp_free(address);
    assert_tcp_free(diagnostics);
    assert_udp_free(gossip);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_gossip_the_peers_are_an_empty_list() {
    let mut config = config();
    config.gossip.enabled = false;
    let (handle, ports) = driven(&config);
    within(handle.start()).await.expect("everything starts");
    let peers = ask(ports.http().unwrap(), "/control/peers").await.json();
    assert_eq!(peers["localNodeId"], serde_json::Value::Null);
    assert_eq!(peers["peers"], serde_json::json!([]));
    within(handle.stop()).await.expect("the stop is clean");
}

/// What the node says of itself as soon as it says that it is cordoned, or that it is not.
async fn standing(address: SocketAddr, cordoned: bool) -> serde_json::Value {
    within(async {
        loop {
            let document = ask(address, "/control/peers").await.json();
            let local = document["peers"][0]["metadata"].clone();
            if local["cordoned"] == cordoned {
                return local;
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contract_b23_a_cordon_is_told_to_the_peers_and_shown_among_them() {
    let (handle, ports) = driven(&config());
    within(handle.start()).await.expect("everything starts");
    let http = ports.http().unwrap();
    let open = standing(http, false).await;
    assert_eq!(open["services"], serde_json::json!({}));
    within(handle.cordon()).await.expect("it runs");
    let cordoned = standing(http, true).await;
    let version = |it: &serde_json::Value| it["metadataVersion"].as_u64();
    assert!(version(&cordoned) > version(&open));
    within(handle.uncordon()).await.expect("it is cordoned");
    standing(http, false).await;
    within(handle.stop()).await.expect("the stop is clean");
}
