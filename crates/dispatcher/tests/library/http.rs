//! Calls over HTTP, by a client that writes bytes.

use std::sync::Arc;
use std::time::Duration;

use dispatcher::{Code, Dispatcher, HttpInbound, Procedure, RpcError};
use lifecycle_core::BoxError;
use lifecycle_core::engine::{ComponentState, DrainState, EventKind};
use lifecycle_runtime::Notice;
use lifecycle_testkit::conformance::{Check, Suite};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::kit::{built, echo};
use crate::rig::{Rig, hanging, held};

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
    assert_eq!(answer.header("rpc-transport"), Some("http"));
    assert_eq!(answer.header("rpc-protocol"), Some("HTTP/1.1"));
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
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let rig = Rig::started([hanging(&entered, &dropped)]).await;
    let answer = rig
        .ask("Rpc-Procedure: hang\r\nRpc-Ttl-Ms: 500\r\n", "")
        .await;
    assert_eq!(answer.code(), Code::DeadlineExceeded);
    dropped.notified().await;
}

#[tokio::test]
async fn a_call_whose_deadline_has_passed_already_reaches_no_procedure() {
    let rig = Rig::started([echo("echo")]).await;
    for head in ["Rpc-Ttl-Ms: 0", "Rpc-Deadline: 2020-01-01T00:00:00Z"] {
        let head = format!("Rpc-Procedure: echo\r\n{head}\r\n");
        assert_eq!(rig.ask(&head, "x").await.code(), Code::DeadlineExceeded);
    }
}

#[tokio::test]
async fn what_is_neither_posted_nor_got_is_405() {
    let rig = Rig::started([echo("echo")]).await;
    for method in ["PUT", "HEAD", "DELETE"] {
        let head = format!(
            "{method} /x HTTP/1.1\r\nHost: x\r\nRpc-Procedure: echo\r\nConnection: close\r\n\r\n"
        );
        let answer = rig.write(head.as_bytes()).await;
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some("GET, POST"))
        );
    }
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
    // It has not asked for the connection to be closed, and its end is read.
    let kept = "POST / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: echo\r\nContent-Length: 0\r\n\r\n";
    let refused = rig.write(kept.as_bytes()).await;
    assert_eq!(
        (refused.status, refused.header("connection")),
        (503, Some("close"))
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
async fn contract_73_the_inbound_passes_the_conformance_suite_which_starts_it_twice() {
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
