//! A dispatcher in front of another one, over real sockets.

use std::sync::Arc;

use dispatcher::{
    Code, Dispatcher, Fault, HttpInbound, HttpOutbound, Procedure, Relay, RpcError, Shape,
};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::kit::{echo, telling};
use crate::rig::{Rig, any_port, hanging, held, within};

const BOTH: &[Shape] = &[Shape::Unary, Shape::Oneway];

#[tokio::test]
async fn a_call_goes_through_as_it_came_and_its_deadline_shrinks() {
    let upstream = Rig::started([telling().alias("unary-tell")]).await;
    let front = Rig::before(&upstream.url(), BOTH).await;
    let head = "Rpc-Procedure: UNARY-tell\r\nRpc-Caller: shop\r\nRpc-Encoding: json\r\nRpc-Shard-Key: s\r\n\
                Rpc-Routing-Key: r\r\nRpc-Routing-Delegate: d\r\nX-Tenant: blue\r\nRpc-Ttl-Ms: 8999\r\n";
    let answer = front.ask(head, "").await;
    assert_eq!(
        answer.body,
        r#"Some("shop") Some("json") Some("s") Some("r") Some("d") Some("blue") true"#
    );
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("x-mood"), Some("good"));
    assert_eq!(answer.header("rpc-encoding"), Some("text"));
}

#[tokio::test]
async fn a_one_way_call_is_passed_on_before_it_is_answered() {
    let arrived = Arc::new(Notify::new());
    let told = Arc::clone(&arrived);
    let swallow = Procedure::oneway("oneway-swallow", move |_| {
        told.notify_one();
        std::future::ready(Ok(()))
    });
    let upstream = Rig::started([swallow]).await;
    let front = Rig::before(&upstream.url(), BOTH).await;
    let answer = front.ask("Rpc-Procedure: oneway-swallow\r\n", "x").await;
    assert_eq!((answer.status, &*answer.body), (202, ""));
    within(arrived.notified()).await;
}

#[tokio::test]
async fn headers_of_the_connection_end_with_it() {
    let told = Procedure::unary("unary-headers", async |request: dispatcher::Request| {
        let names: Vec<_> = request.meta.headers.iter().map(|(name, _)| name).collect();
        Ok(dispatcher::Response::message(names.join(" ")))
    });
    let upstream = Rig::started([told]).await;
    let front = Rig::before(&upstream.url(), BOTH).await;
    let head = "Rpc-Procedure: unary-headers\r\nConnection: X-Hop\r\nX-Hop: 1\r\nTE: trailers\r\n\
                Keep-Alive: 5\r\nProxy-Authorization: x\r\nCookie: c\r\n";
    assert_eq!(front.ask(head, "").await.body, "cookie");
}

#[tokio::test]
async fn an_error_goes_through_as_it_came() {
    let failing = |code: Code| {
        let error = RpcError::new(code, format!("it is\n{code}"))
            .with_reason("pets.at-fault")
            .with_metadata("pet", "Blacky");
        let name = format!("unary-{code}");
        Procedure::unary(name, move |_| std::future::ready(Err(error.clone())))
    };
    let upstream = Rig::started(Code::ALL.map(failing)).await;
    let front = Rig::before(&upstream.url(), BOTH).await;
    let all = Code::ALL.map(|it| it.to_string());
    for name in all.iter().map(String::as_str).chain(["unknown-to-all"]) {
        let head = format!("Rpc-Procedure: unary-{name}\r\n");
        let (direct, through) = (upstream.ask(&head, "").await, front.ask(&head, "").await);
        assert_eq!(through.code(), direct.code());
        assert_eq!(through.body, direct.body);
        for header in ["rpc-status", "rpc-error-code", "rpc-error-message"] {
            assert_eq!(through.header(header), direct.header(header), "{header}");
        }
    }
}

#[tokio::test]
async fn a_dead_upstream_is_unavailable_until_it_is_back_and_the_front_goes_on() {
    let upstream = Rig::started([echo("unary-echo")]).await;
    let address = upstream.address();
    let pets = HttpOutbound::new("pets", &upstream.url()).expect("a URL");
    let builder = Dispatcher::builder("front")
        .outbound(pets)
        .procedure(echo("own"))
        .procedure(Relay::to("pets").procedure(Shape::Unary, "unary-*"));
    let front = Rig::of(builder, HttpInbound::new(any_port())).await;
    let head = "Rpc-Procedure: unary-echo\r\n";
    assert_eq!(front.ask(head, "a").await.body, "a");

    upstream.dispatcher.stop().await.unwrap();
    for _ in 0..2 {
        let answer = front.ask(head, "b").await;
        assert_eq!((answer.status, answer.code()), (503, Code::Unavailable));
    }
    assert_eq!(front.ask("Rpc-Procedure: own\r\n", "c").await.body, "c");

    let builder = Dispatcher::builder("pets").procedure(echo("unary-echo"));
    let _back = Rig::of(builder, HttpInbound::new(address)).await;
    assert_eq!(front.ask(head, "d").await.body, "d");
}

#[tokio::test]
async fn a_drained_upstream_is_unavailable() {
    let upstream = Rig::started([echo("unary-echo")]).await;
    let front = Rig::before(&upstream.url(), BOTH).await;
    upstream.handle.drain().await.expect("nothing is open");
    let answer = front.ask("Rpc-Procedure: unary-echo\r\n", "").await;
    assert_eq!((answer.status, answer.code()), (503, Code::Unavailable));
    upstream.handle.resume().await.expect("it can be resumed");
    assert_eq!(
        front.ask("Rpc-Procedure: unary-echo\r\n", "x").await.body,
        "x"
    );
}

#[tokio::test]
async fn who_goes_away_gives_the_call_up_all_the_way() {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let hang = hanging(&entered, &dropped).alias("unary-hang");
    let upstream = Rig::started([hang]).await;
    let front = Rig::before(&upstream.url(), BOTH).await;
    let mut stream = TcpStream::connect(front.address()).await.unwrap();
    let head =
        "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: unary-hang\r\nContent-Length: 0\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    within(entered.notified()).await;
    drop(stream);
    within(dropped.notified()).await;
}

#[tokio::test]
async fn the_front_stops_when_what_it_has_passed_on_is_answered() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let upstream = Rig::started([held(&entered, &go_on).alias("unary-held")]).await;
    let front = Arc::new(Rig::before(&upstream.url(), BOTH).await);
    let asking = Arc::clone(&front);
    let asking = tokio::spawn(async move { asking.ask("Rpc-Procedure: unary-held\r\n", "").await });
    within(entered.notified()).await;
    let stopping = Arc::clone(&front);
    let stopping = tokio::spawn(async move { stopping.dispatcher.stop().await });
    within(async { while front.ask("", "").await.status != 503 {} }).await;
    assert!(!stopping.is_finished(), "a call is open");
    go_on.notify_one();
    assert_eq!(within(asking).await.unwrap().body, "late");
    within(stopping)
        .await
        .unwrap()
        .expect("all calls were answered");
}

#[tokio::test]
async fn a_relay_to_oneself_ends_with_the_deadline() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let own = HttpOutbound::new("front", &format!("http://{address}/")).expect("a URL");
    let builder = Dispatcher::builder("front")
        .outbound(own.http2())
        .procedure(Relay::to("front").procedure(Shape::Unary, "*"));
    let rig = Rig::of(builder, HttpInbound::new(address)).await;
    let answer = rig
        .ask("Rpc-Procedure: round\r\nRpc-Ttl-Ms: 100\r\n", "")
        .await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_relay_without_its_outbound_is_a_fault_early_and_late() {
    let pets = || HttpOutbound::new("pets", "http://127.0.0.1:9/").expect("a URL");
    let relay = |shape, key: &str| Relay::to(" Pets ").key(key).procedure(shape, "*");
    let missing = |name: &str| Fault::UnknownOutbound {
        name: name.to_owned(),
    };
    let builder = Dispatcher::builder("front")
        .outbound(pets())
        .procedure(relay(Shape::Unary, " "))
        .procedure(relay(Shape::Duplex, ""))
        .procedure(relay(Shape::Oneway, "eu"));
    let error = builder.build().unwrap_err();
    assert_eq!(
        error.faults,
        [missing("Pets:default:duplex"), missing("Pets:eu:oneway")]
    );

    let (dispatcher, _) = Dispatcher::builder("front")
        .outbound(pets())
        .build()
        .unwrap();
    dispatcher.register(relay(Shape::Unary, "")).unwrap();
    let error = dispatcher.register(relay(Shape::Oneway, "eu")).unwrap_err();
    assert_eq!(error.faults, [missing("Pets:eu:oneway")]);
    assert!(!dispatcher.offers(Shape::Oneway, "any"));
}
