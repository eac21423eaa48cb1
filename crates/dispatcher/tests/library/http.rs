//! Calls over HTTP, by a client that writes bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dispatcher::{Code, Dispatcher, HttpInbound, HttpPort, Procedure, Response, RpcError};
use lifecycle_core::BoxError;
use lifecycle_core::engine::{ComponentState, DrainState, EventKind};
use lifecycle_runtime::{Handle, Notice, Orchestrator};
use lifecycle_testkit::conformance::{Check, Suite};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::kit::{built, echo};

/// A dispatcher that listens.
struct Rig {
    dispatcher: Dispatcher,
    handle: Handle,
    port: HttpPort,
}

impl Rig {
    async fn started(procedures: impl IntoIterator<Item = Procedure>) -> Self {
        Self::started_with(procedures, |it| it).await
    }

    async fn started_with(
        procedures: impl IntoIterator<Item = Procedure>,
        configure: impl FnOnce(HttpInbound) -> HttpInbound,
    ) -> Self {
        let inbound = configure(HttpInbound::new("127.0.0.1:0".parse().unwrap()));
        let port = inbound.port();
        let empty = Dispatcher::builder("pets").inbound(inbound);
        let (dispatcher, registrations) = built(
            procedures
                .into_iter()
                .fold(empty, dispatcher::DispatcherBuilder::procedure),
        );
        let mut builder = Orchestrator::builder();
        builder.registrations(registrations);
        let handle = builder.build().expect("a sound setup").spawn();
        let dispatcher = dispatcher.driven_by(handle.clone());
        dispatcher.start().await.expect("a free port");
        Self {
            dispatcher,
            handle,
            port,
        }
    }

    fn address(&self) -> SocketAddr {
        self.port.local_addr().expect("it listens")
    }

    /// The answer to one request on a connection of its own.
    async fn ask(&self, head: &str, body: &str) -> Answer {
        let length = format!("Content-Length: {}\r\nConnection: close\r\n", body.len());
        let text = format!("POST /any/path HTTP/1.1\r\nHost: x\r\n{head}{length}\r\n{body}");
        self.write(text.as_bytes()).await
    }

    async fn write(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address())
            .await
            .expect("it listens");
        stream.write_all(bytes).await.expect("it reads");
        let mut text = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut text));
        read.await
            .expect("within the deadline")
            .expect("it answers");
        Answer::parse(&String::from_utf8(text).expect("text"))
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").expect("an answer");
        let mut lines = head.lines();
        let status = lines.next().and_then(|it| it.split(' ').nth(1));
        let headers = lines.filter_map(|it| it.split_once(": "));
        Self {
            status: status.and_then(|it| it.parse().ok()).expect("a status"),
            headers: headers
                .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                .collect(),
            body: body.to_owned(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| &**value)
    }

    /// The code that its header names, which is that of its status.
    #[track_caller]
    fn code(&self) -> Code {
        let code: Code = self
            .header("rpc-status")
            .expect("a code")
            .parse()
            .expect("a code");
        assert_eq!(self.status, code.http_status());
        let document: serde_json::Value = serde_json::from_str(&self.body).expect("a document");
        assert_eq!(document["status"], code.as_str());
        code
    }
}

#[tokio::test]
async fn contract_64_unary_is_200_oneway_202_and_no_procedure_400() {
    let swallow = Procedure::oneway("swallow", async |_| Ok(()));
    let rig = Rig::started([echo("echo"), echo("swallow"), swallow]).await;
    let answer = rig
        .ask("Rpc-Procedure: ECHO\r\nRpc-Encoding: json\r\n", "\"hi\"")
        .await;
    assert_eq!((answer.status, &*answer.body), (200, "\"hi\""));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    assert_eq!(answer.header("rpc-encoding"), Some("json"));
    let answer = rig.ask("Rpc-Procedure: swallow\r\n", "x").await;
    assert_eq!(
        (answer.status, &*answer.body),
        (202, ""),
        "one-way is looked for first"
    );
    let answer = rig.ask("", "x").await;
    assert_eq!(answer.code(), Code::InvalidArgument);
    rig.dispatcher.stop().await.unwrap();
}

#[tokio::test]
async fn contract_65_and_66_errors_have_the_status_and_the_name_of_their_code() {
    let failing = |code: Code| {
        let fail = move |_| std::future::ready(Err(RpcError::new(code, format!("it is {code}"))));
        Procedure::unary(code.as_str(), fail)
    };
    let rig = Rig::started(Code::ALL.map(failing)).await;
    for code in Code::ALL {
        let answer = rig.ask(&format!("Rpc-Procedure: {code}\r\n"), "").await;
        assert_eq!(answer.code(), code);
        assert_eq!(
            answer.header("rpc-error-message"),
            Some(&*format!("it is {code}"))
        );
    }
    let answer = rig.ask("Rpc-Procedure: nothing\r\n", "").await;
    assert_eq!((answer.status, answer.code()), (501, Code::Unimplemented));
    assert_eq!(
        answer.header("rpc-error-code"),
        Some("dispatcher.procedure.unknown")
    );
}

#[tokio::test]
async fn a_panic_is_told_without_its_text_and_harms_nobody_else() {
    let panicking = Procedure::unary("panic", async |_| panic!("hunter2"));
    let rig = Rig::started([echo("echo"), panicking]).await;
    let answer = rig.ask("Rpc-Procedure: panic\r\n", "").await;
    assert_eq!(answer.code(), Code::Internal);
    assert!(!format!("{answer:?}").contains("hunter2"));
    assert_eq!(rig.ask("Rpc-Procedure: echo\r\n", "x").await.body, "x");
    let snapshot = rig.handle.snapshot().await.unwrap();
    let row = snapshot.component(snapshot.plan.find("http-inbound:0").unwrap());
    assert_eq!((row.state, row.generation), (ComponentState::Running, 1));
}

#[tokio::test]
async fn a_message_that_is_too_large_is_429_whether_it_says_so_or_not() {
    let rig = Rig::started_with([echo("echo")], |it| it.body_bytes(10)).await;
    let exact = rig.ask("Rpc-Procedure: echo\r\n", "0123456789").await;
    assert_eq!(exact.status, 200);
    let announced = rig.ask("Rpc-Procedure: echo\r\n", "0123456789a").await;
    assert_eq!(announced.code(), Code::ResourceExhausted);
    let chunks = "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: echo\r\nConnection: close\r\n\
                  Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n0\r\n\r\n";
    let chunked = rig.write(chunks.as_bytes()).await;
    assert_eq!(
        (chunked.status, chunked.code()),
        (429, Code::ResourceExhausted)
    );
}

#[tokio::test]
async fn a_client_that_sends_no_message_is_not_waited_for_for_ever() {
    let short = |it: HttpInbound| it.body_timeout(Duration::from_millis(50));
    let rig = Rig::started_with([echo("echo")], short).await;
    let head = "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: echo\r\nConnection: close\r\nContent-Length: 5\r\n\r\nab";
    assert_eq!(
        rig.write(head.as_bytes()).await.code(),
        Code::DeadlineExceeded
    );
}

#[tokio::test]
async fn at_its_deadline_a_call_is_given_up_and_its_handler_dropped() {
    struct Dropped(Arc<Notify>);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let dropped = Arc::new(Notify::new());
    let told = Arc::clone(&dropped);
    let hang = move |_| {
        let guard = Dropped(Arc::clone(&told));
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    };
    let rig = Rig::started([Procedure::unary("hang", hang)]).await;
    let answer = rig
        .ask("Rpc-Procedure: hang\r\nRpc-Ttl-Ms: 20\r\n", "")
        .await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    dropped.notified().await;
}

#[tokio::test]
async fn what_is_no_post_is_405() {
    let rig = Rig::started([echo("echo")]).await;
    let head = "GET /x HTTP/1.1\r\nHost: x\r\nRpc-Procedure: echo\r\nConnection: close\r\n\r\n";
    let answer = rig.write(head.as_bytes()).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
}

#[tokio::test]
async fn contract_58_while_draining_new_calls_are_503_and_open_ones_finish() {
    let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let rig = Arc::new(Rig::started([held(&entered, &go_on), echo("echo")]).await);
    let asking = Arc::clone(&rig);
    let open = tokio::spawn(async move { asking.ask("Rpc-Procedure: held\r\n", "").await });
    entered.notified().await;
    let draining = rig.handle.clone();
    let draining = tokio::spawn(async move { draining.drain().await });
    let refused = loop {
        let answer = rig.ask("Rpc-Procedure: echo\r\n", "").await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("1"))
    );
    go_on.notify_one();
    assert_eq!(open.await.unwrap().body, "late");
    draining.await.unwrap().expect("it is drained");
    rig.dispatcher.stop().await.unwrap();
}

#[tokio::test]
async fn contract_62_an_inbound_that_was_stopped_and_started_serves_again() {
    let rig = Rig::started([echo("echo")]).await;
    let before = rig.address();
    rig.handle.drain().await.unwrap();
    rig.dispatcher.stop().await.unwrap();
    assert_eq!(rig.port.local_addr(), None);
    assert!(TcpStream::connect(before).await.is_err());
    rig.dispatcher.start().await.unwrap();
    let snapshot = rig.handle.snapshot().await.unwrap();
    assert_eq!(snapshot.node.drain, DrainState::Active);
    assert_eq!(rig.ask("Rpc-Procedure: echo\r\n", "x").await.status, 200);
    rig.dispatcher.stop().await.unwrap();
}

/// A procedure that says when it has begun, and answers when it is told to.
fn held(entered: &Arc<Notify>, go_on: &Arc<Notify>) -> Procedure {
    let (entered, go_on) = (Arc::clone(entered), Arc::clone(go_on));
    Procedure::unary("held", move |_| {
        let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
        async move {
            entered.notify_one();
            go_on.notified().await;
            Ok(Response::message("late"))
        }
    })
}

#[tokio::test]
async fn contract_61_a_stop_waits_for_open_calls_and_a_forced_one_cuts_them_off_and_succeeds() {
    for forced in [false, true] {
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let rig = Arc::new(Rig::started([held(&entered, &go_on)]).await);
        let mut stream = TcpStream::connect(rig.address()).await.unwrap();
        let head = "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: held\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        entered.notified().await;
        if forced {
            let report = rig.handle.force().await.expect("it still succeeds");
            assert!(report.forced && report.is_clean());
        } else {
            let mut events = rig.handle.subscribe();
            let stopping = Arc::clone(&rig);
            let stopping = tokio::spawn(async move { stopping.dispatcher.stop().await });
            while let Some(Notice::Event(event)) = events.next().await {
                if matches!(event.kind, EventKind::Participant { .. }) {
                    break;
                }
            }
            assert!(!stopping.is_finished(), "a call is open");
            go_on.notify_one();
            stopping.await.unwrap().expect("all calls were answered");
        }
        let mut text = Vec::new();
        let _ = stream.read_to_end(&mut text).await;
        let answered = String::from_utf8_lossy(&text).ends_with("late");
        assert_eq!(answered, !forced);
    }
}

#[tokio::test]
async fn the_inbound_passes_the_conformance_suite() {
    let probe = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = probe.local_addr().unwrap();
    drop(probe);
    let make = move || {
        let builder = Dispatcher::builder("pets").inbound(HttpInbound::new(address));
        let (_, mut registrations) = built(builder);
        registrations.remove(0).component
    };
    let free = move || async move {
        std::net::TcpListener::bind(address)
            .map(drop)
            .map_err(BoxError::from)
    };
    let suite = Suite::of(make).named("http-inbound:0");
    let report = suite.probe("the port is free", free).run().await;
    report.assert_ok();
    assert_eq!(report.passed, Check::ALL);
}
