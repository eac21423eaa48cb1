//! Health and introspection on the HTTP inbound.

use std::sync::Arc;

use dispatcher::{
    Dispatcher, Gate, HttpInbound, HttpOutbound, Outbound, Procedure, Response, Shape,
};
use lifecycle_core::{Registration, component};
use lifecycle_runtime::Orchestrator;
use serde_json::{Value, json};
use tokio::sync::{Notify, watch};
use tower::layer::layer_fn;

use crate::kit::{built, echo};
use crate::rig::{Answer, Rig, any_port, held, within};

async fn get(rig: &Rig, path: &str) -> (u16, Value) {
    let answer = read(rig, "GET", path).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    (
        answer.status,
        serde_json::from_str(&answer.body).expect("a document"),
    )
}

async fn read(rig: &Rig, method: &str, path: &str) -> Answer {
    let head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    rig.write(head.as_bytes()).await
}

#[tokio::test]
async fn a_dispatcher_that_runs_is_live_and_ready() {
    let rig = Rig::started([echo("echo")]).await;
    for (path, mode) in [("/healthz", "live"), ("/readyz?verbose", "ready")] {
        let health = json!({
            "status": "ok", "mode": mode, "issues": [], "activeRequests": 0, "draining": false,
        });
        assert_eq!(get(&rig, path).await, (200, health));
        let head = read(&rig, "HEAD", path).await;
        assert_eq!((head.status, &*head.body), (200, ""));
    }
    let call = "POST /healthz HTTP/1.1\r\nHost: x\r\nRpc-Procedure: echo\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
    assert_eq!(
        rig.write(call.as_bytes()).await.body,
        "x",
        "the path of a call means nothing"
    );
}

#[tokio::test]
async fn contract_59_while_draining_health_and_introspection_answer_and_readiness_says_why_not() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let rig = Arc::new(Rig::started([held(&entered, &go_on)]).await);
    let asking = Arc::clone(&rig);
    let open = tokio::spawn(async move { asking.ask("Rpc-Procedure: held\r\n", "").await });
    within(entered.notified()).await;
    let draining = rig.handle.clone();
    let draining = tokio::spawn(async move { draining.drain().await });
    within(async { while rig.ask("", "").await.status != 503 {} }).await;

    let (status, health) = get(&rig, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(
        health,
        json!({
            "status": "unavailable", "mode": "ready", "issues": ["http-inbound:draining"],
            "activeRequests": 1, "draining": true,
        })
    );
    let (status, health) = get(&rig, "/healthz").await;
    assert_eq!(
        (status, &health["issues"], &health["draining"]),
        (200, &json!([]), &json!(true))
    );
    let (status, document) = get(&rig, "/omnirelay/introspect").await;
    assert_eq!((status, &document["service"]), (200, &json!("pets")));
    assert!(!draining.is_finished(), "a call is open");

    go_on.notify_one();
    assert_eq!(open.await.unwrap().body, "late");
    within(draining)
        .await
        .unwrap()
        .expect("probes do not hold it up");
    assert_eq!(get(&rig, "/readyz").await.0, 503);
    rig.handle.resume().await.expect("it is drained");
    assert_eq!(get(&rig, "/readyz").await.0, 200);
}

#[tokio::test]
async fn contract_60_readiness_lists_the_state_unless_it_runs() {
    let go_on = Arc::new(Notify::new());
    let waiting = Arc::clone(&go_on);
    let start = move |_| {
        let waiting = Arc::clone(&waiting);
        async move {
            waiting.notified().await;
            Ok(())
        }
    };
    let slow = component::from_fn(start, async |_| Ok(()));
    let inbound = HttpInbound::new(any_port());
    let port = inbound.port();
    let builder = Dispatcher::builder("pets")
        .gate(Gate::Open)
        .component(Registration::new("slow", slow))
        .inbound(inbound);
    let (dispatcher, registrations) = built(builder);
    assert_eq!(dispatcher.issues(), ["dispatcher:unbound"]);
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations);
    let handle = builder.build().expect("a sound setup").spawn();
    let dispatcher = dispatcher.driven_by(handle.clone());
    assert_eq!(dispatcher.issues(), ["dispatcher-status:created"]);

    let starting = dispatcher.clone();
    let starting = tokio::spawn(async move { starting.start().await });
    within(async {
        while port.local_addr().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let rig = Rig {
        dispatcher,
        handle,
        port,
    };
    let (status, health) = get(&rig, "/readyz").await;
    assert_eq!(
        (status, &health["issues"]),
        (503, &json!(["dispatcher-status:starting"]))
    );
    assert_eq!(get(&rig, "/healthz").await.0, 200, "it lives");
    go_on.notify_one();
    within(starting).await.unwrap().expect("all has started");
    assert_eq!(get(&rig, "/readyz").await.0, 200);
    rig.dispatcher.stop().await.unwrap();
    assert_eq!(rig.dispatcher.issues(), ["dispatcher-status:stopped"]);
}

#[tokio::test]
async fn contract_60_readiness_lists_what_outbounds_say() {
    let idle = || component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let carrier = dispatcher::handler_fn(async |_| Ok(Response::empty()));
    let (told, tell) = watch::channel(Some("no-peers"));
    let shapes = [Shape::Unary, Shape::Duplex];
    let outbound = Outbound::new(" billing ", shapes, idle(), carrier.clone());
    let outbound = outbound.key("eu").issue("grpc", move || *tell.borrow());
    let silent = Outbound::new("billing", [Shape::Unary], idle(), carrier);
    let builder = Dispatcher::builder("pets")
        .outbound(outbound)
        .outbound(silent);
    let rig = Rig::of(builder, HttpInbound::new(any_port())).await;
    let (status, health) = get(&rig, "/readyz").await;
    assert_eq!(status, 503);
    assert_eq!(
        health["issues"],
        json!([
            "grpc:billing:unary:eu:no-peers",
            "grpc:billing:duplex:eu:no-peers"
        ])
    );
    assert_eq!(get(&rig, "/healthz").await.0, 200, "it lives");
    told.send_replace(None);
    assert_eq!(get(&rig, "/readyz").await.0, 200);
}

#[tokio::test]
async fn contract_63_the_introspection_document_has_the_keys_of_the_original() {
    fn plain(inner: dispatcher::Handler) -> dispatcher::Handler {
        inner
    }
    let billing = || HttpOutbound::new("billing", "http://127.0.0.1:9/").expect("a URL");
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let builder = Dispatcher::builder("pets")
        .layer(layer_fn(plain))
        .procedure(echo("list").alias("ls").encoding("json"))
        .procedure(echo("feed*").alias("give?"))
        .procedure(Procedure::oneway("note", async |_| Ok(())))
        .outbound(Outbound::from(billing()).key("eu").layer(layer_fn(plain)))
        .outbound(billing())
        .component(Registration::new("cache", idle).depends_on(["billing:eu:unary"]));
    let rig = Rig::of(builder, HttpInbound::new(any_port())).await;
    let (status, document) = get(&rig, "/omnirelay/introspect").await;
    assert_eq!(status, 200);
    let layer = &document["middleware"]["inboundUnary"][0];
    assert!(layer.as_str().expect("a name").contains("LayerFn"));
    let layers = json!([layer]);
    let ways = json!([{"key": "eu", "middleware": layers}, {"key": "default", "middleware": []}]);
    assert_eq!(
        document,
        json!({
            "service": "pets",
            "status": "running",
            "mode": "inproc",
            "capabilities": ["unary", "oneway", "stream", "client-stream", "duplex"],
            "procedures": {
                "unary": [
                    {"name": "feed*", "aliases": ["give?"]},
                    {"name": "list", "encoding": "json", "aliases": ["ls"]},
                ],
                "oneway": [{"name": "note", "aliases": []}],
                "stream": [],
                "clientStream": [],
                "duplex": [],
            },
            "components": [
                {
                    "name": "http-inbound:0",
                    "componentType": "inbound",
                    "dependencies": ["billing:eu:unary", "billing:default:unary"],
                },
                {"name": "cache", "componentType": "component", "dependencies": ["billing:eu:unary"]},
                {"name": "billing:eu:unary", "componentType": "outbound", "dependencies": []},
                {"name": "billing:default:unary", "componentType": "outbound", "dependencies": []},
            ],
            "outbounds": [{
                "service": "billing",
                "unary": ways,
                "oneway": ways,
                "stream": ways,
                "clientStream": [],
                "duplex": [],
            }],
            "middleware": {
                "inboundUnary": layers,
                "inboundOneway": layers,
                "inboundStream": layers,
                "inboundClientStream": layers,
                "inboundDuplex": layers,
                "outboundUnary": [],
                "outboundOneway": [],
                "outboundStream": [],
                "outboundClientStream": [],
                "outboundDuplex": [],
            },
        })
    );
    rig.dispatcher.register(echo("late")).unwrap();
    let (_, document) = get(&rig, "/omnirelay/introspect").await;
    let names = document["procedures"]["unary"].as_array().expect("a list");
    assert_eq!(names[1]["name"], "late");
    assert!(rig.dispatcher.offers(Shape::Unary, "late"));
}
