//! Drains, stops and starts.

use std::sync::Arc;

use dispatcher::{Dispatcher, GrpcInbound, HttpInbound};
use lifecycle_core::BoxError;
use lifecycle_core::engine::{ComponentState, DrainState, EventKind};
use lifecycle_runtime::{Notice, Orchestrator};
use lifecycle_testkit::conformance::{Check, Suite};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::client::text;
use super::{Rig, held};
use crate::kit::{built, echo};

#[test]
fn contract_52_inbounds_take_part_in_a_drain_under_their_names() {
    let any = || "127.0.0.1:0".parse().unwrap();
    let builder = Dispatcher::builder("pets")
        .inbound(HttpInbound::new(any()))
        .inbound(GrpcInbound::new(any()))
        .inbound(GrpcInbound::new(any()));
    let mut orchestrator = Orchestrator::builder();
    orchestrator.registrations(built(builder).1);
    let orchestrator = orchestrator.build().expect("a sound setup");
    let plan = orchestrator.plan();
    let drains = plan.ids().filter(|id| plan.drains(*id));
    let names: Vec<_> = drains.map(|id| plan.name(id).as_str()).collect();
    assert_eq!(
        names,
        ["http-inbound:0", "grpc-inbound:0", "grpc-inbound:1"]
    );
}

#[tokio::test]
async fn contract_58_while_draining_new_calls_are_unavailable_and_open_ones_finish() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let rig = Rig::started([held(&entered, &go_on), echo("echo")]).await;
    let client = rig.client().await;
    let open = tokio::spawn(async move { client.unary("/pets/held", "").await });
    entered.notified().await;
    let draining = rig.handle.clone();
    let draining = tokio::spawn(async move { draining.drain().await });
    let refused = loop {
        let answer = rig.client().await.unary("/pets/echo", "").await;
        if let Err(refused) = answer {
            break refused;
        }
    };
    assert_eq!(refused.code(), tonic::Code::Unavailable);
    assert_eq!(refused.message(), "server shutting down");
    assert_eq!(text(refused.metadata(), "retry-after"), Some("1"));
    go_on.notify_one();
    assert_eq!(open.await.unwrap().unwrap(), "late");
    draining.await.unwrap().expect("it is drained");
    rig.dispatcher.stop().await.unwrap();
}

#[tokio::test]
async fn contract_61_a_stop_waits_for_open_calls_over_grpc_and_a_forced_one_cuts_them_off() {
    for forced in [false, true] {
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let rig = Rig::started([held(&entered, &go_on)]).await;
        let client = rig.client().await;
        let open = tokio::spawn(async move { client.unary("/pets/held", "").await });
        entered.notified().await;
        if forced {
            let report = rig.handle.force().await.expect("it still succeeds");
            assert!(report.forced && report.is_clean());
            assert!(open.await.unwrap().is_err());
            continue;
        }
        let mut events = rig.handle.subscribe();
        let stopping = rig.handle.clone();
        let stopping = tokio::spawn(async move { stopping.stop().await });
        while let Some(Notice::Event(event)) = events.next().await {
            if matches!(event.kind, EventKind::Participant { .. }) {
                break;
            }
        }
        assert!(!stopping.is_finished(), "a call is open");
        go_on.notify_one();
        assert_eq!(open.await.unwrap().unwrap(), "late");
        stopping.await.unwrap().expect("all calls were answered");
    }
}

#[tokio::test]
async fn contract_62_a_grpc_inbound_that_was_stopped_and_started_serves_again() {
    let rig = Rig::started([echo("echo")]).await;
    let before = rig.address();
    rig.handle.drain().await.unwrap();
    rig.dispatcher.stop().await.unwrap();
    assert_eq!(rig.port.local_addr(), None);
    assert!(TcpStream::connect(before).await.is_err());
    rig.dispatcher.start().await.unwrap();
    let snapshot = rig.handle.snapshot().await.unwrap();
    assert_eq!(snapshot.node.drain, DrainState::Active);
    let row = snapshot.component(snapshot.plan.find("grpc-inbound:0").unwrap());
    assert_eq!(row.state, ComponentState::Running);
    assert_eq!(
        rig.client().await.unary("/pets/echo", "x").await.unwrap(),
        "x"
    );
    rig.dispatcher.stop().await.unwrap();
}

#[tokio::test]
async fn contract_73_and_b21_a_grpc_inbound_passes_the_conformance_suite_also_started_twice() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let make = move || {
        let builder = Dispatcher::builder("pets").inbound(GrpcInbound::new(address));
        let (_, mut registrations) = built(builder);
        registrations.remove(0).component
    };
    let free = move || async move {
        std::net::TcpListener::bind(address)
            .map(drop)
            .map_err(BoxError::from)
    };
    let suite = Suite::of(make).named("grpc-inbound:0");
    let report = suite.probe("the port is free", free).run().await;
    report.assert_ok();
    assert_eq!(report.passed, Check::ALL);
}
