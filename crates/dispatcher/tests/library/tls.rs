//! Calls over TLS, from our outbounds to our inbounds.

use std::convert::Infallible;
use std::future::ready;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dispatcher::{
    Code, Dispatcher, GrpcInbound, GrpcOutbound, HttpInbound, HttpOutbound, Inbound, Outbound,
    Procedure, Request, RpcError, Shape,
};
use http_body_util::Full;
use hyper::body::Incoming;
use lifecycle_adapters::HttpServer;
use lifecycle_adapters::tls::{ClientTls, Pem, ServerTls};
use lifecycle_core::{Backoff, Component, Nanos, Registration, Retry};
use lifecycle_runtime::Orchestrator;
use lifecycle_testkit::conformance::{Check, Suite};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::certificates::{Authority, Issued, write};
use crate::kit::{built, echo, stream, texts};
use crate::rig::{Rig, any_port, within};

fn presenting(issued: &Issued) -> ServerTls {
    ServerTls::new(
        Pem::text(issued.certificate.pem()),
        Pem::text(issued.key.serialize_pem()),
    )
}

fn trusting(authority: &Authority) -> ClientTls {
    ClientTls::trusting(Pem::text(authority.pem.as_str()))
}

fn with(tls: ClientTls, issued: &Issued) -> ClientTls {
    tls.identity(
        Pem::text(issued.certificate.pem()),
        Pem::text(issued.key.serialize_pem()),
    )
}

/// One procedure for each shape that every transport carries.
fn procedures() -> [Procedure; 3] {
    [
        echo("echo"),
        Procedure::oneway("note", async |_| Ok(())),
        Procedure::server_stream("split", async |_| {
            Ok(dispatcher::Response::new(stream(&["a", "b"])))
        }),
    ]
}

/// A dispatcher of `pets` over HTTP and gRPC, both over TLS.
struct Served {
    http: Rig,
    grpc: dispatcher::GrpcPort,
}

impl Served {
    async fn with(tls: &ServerTls) -> Self {
        let grpc = GrpcInbound::new(any_port()).tls(tls.clone());
        let port = grpc.port();
        let builder = Dispatcher::builder("pets").inbound(grpc);
        let builder = procedures()
            .into_iter()
            .fold(builder, |all, it| all.procedure(it));
        let http = HttpInbound::new(any_port()).tls(tls.clone());
        Self {
            http: Rig::of(builder, http).await,
            grpc: port,
        }
    }

    /// A dispatcher for each way to it: over HTTP/1.1, HTTP/2 and gRPC.
    async fn callers(&self, tls: &ClientTls) -> [Rig; 3] {
        let http = self.http.address().port();
        let grpc = self.grpc.local_addr().expect("it listens").port();
        let url = format!("https://localhost:{http}/");
        let https = || HttpOutbound::https("pets", &url, tls.clone()).expect("a URL");
        let grpc = GrpcOutbound::new("pets", &format!("localhost:{grpc}")).expect("an address");
        [
            caller(https()).await,
            caller(https().http2()).await,
            caller(grpc.tls(tls.clone())).await,
        ]
    }
}

async fn caller(outbound: impl Into<Outbound>) -> Rig {
    let builder = Dispatcher::builder("shop").outbound(outbound);
    Rig::of(builder, HttpInbound::new(any_port())).await
}

async fn unary(rig: &Rig) -> Result<String, RpcError> {
    let response = rig
        .out("pets", Shape::Unary, Request::new("echo", "hello"))
        .await?;
    let message = response.into_message().await?;
    Ok(String::from_utf8_lossy(&message).into_owned())
}

#[tokio::test]
async fn calls_go_over_tls_in_both_versions_of_http_and_over_grpc() {
    let authority = Authority::new("ours");
    let served = Served::with(&presenting(&authority.server())).await;
    for rig in served.callers(&trusting(&authority)).await {
        assert_eq!(unary(&rig).await.expect("an answer"), "hello");
        let note = Request::new("note", "hello");
        rig.out("pets", Shape::Oneway, note)
            .await
            .expect("taken in");
        let split = Request::new("split", "");
        let words = rig.out("pets", Shape::ServerStream, split).await;
        let words = texts(words.expect("an answer").messages).await;
        assert_eq!(words.expect("to its end"), "a b");
    }
}

#[tokio::test]
async fn a_caller_is_let_in_by_its_certificate_alone() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let tls = presenting(&ours.server()).client_ca(Pem::text(ours.pem.as_str()));
    let served = Served::with(&tls).await;
    let mine = with(trusting(&ours), &ours.client("shop"));
    for rig in served.callers(&mine).await {
        assert_eq!(unary(&rig).await.expect("it is let in"), "hello");
    }
    let foreign = with(trusting(&ours), &other.client("shop"));
    for tls in [trusting(&ours), foreign] {
        for rig in served.callers(&tls).await {
            let error = unary(&rig).await.expect_err("it is not let in");
            assert_eq!(error.code, Code::Unavailable);
        }
    }
}

#[tokio::test]
async fn who_is_not_trusted_is_not_called() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let served = Served::with(&presenting(&ours.server())).await;
    for tls in [
        trusting(&other),
        trusting(&ours).server_name("pets.example.org"),
    ] {
        for rig in served.callers(&tls).await {
            unreachable(&rig).await;
        }
    }
    let named = trusting(&ours).server_name("127.0.0.1");
    for rig in served.callers(&named).await {
        assert_eq!(unary(&rig).await.expect("an answer"), "hello");
    }
}

async fn unreachable(rig: &Rig) {
    let error = unary(rig).await.expect_err("it cannot be reached");
    let reason = error.reason.as_deref();
    assert_eq!(reason, Some("dispatcher.outbound.unreachable"), "{error}");
}

#[tokio::test]
async fn clear_text_and_tls_do_not_meet() {
    let authority = Authority::new("ours");
    let served = Served::with(&presenting(&authority.server())).await;
    let http = served.http.address();
    let plain = HttpOutbound::new("pets", &format!("http://{http}/")).expect("a URL");
    for plain in [plain.clone(), plain.http2()] {
        let error = unary(&caller(plain).await)
            .await
            .expect_err("no clear text");
        assert_eq!(error.code, Code::Unavailable);
    }
    let clear = Rig::started(procedures()).await;
    let url = format!("https://{}/", clear.address());
    let tls = HttpOutbound::https("pets", &url, trusting(&authority)).expect("a URL");
    unreachable(&caller(tls).await).await;
}

#[tokio::test]
async fn what_goes_over_tls_and_http_2_says_that_it_is_https() {
    let authority = Authority::new("ours");
    let (tell, mut told) = mpsc::unbounded_channel();
    let service = tower::service_fn(move |request: http::Request<Incoming>| {
        let scheme = request.uri().scheme_str().map(str::to_owned);
        tell.send(scheme).expect("somebody listens");
        ready(Ok::<_, Infallible>(http::Response::new(
            Full::<Bytes>::default(),
        )))
    });
    let server = HttpServer::new(service).bind(any_port());
    let server = Arc::new(server.tls(presenting(&authority.server())));
    let mut builder = Orchestrator::builder();
    builder.register(Registration::new("server", Arc::clone(&server)));
    let handle = builder.build().expect("a sound setup").spawn();
    handle.start().await.expect("a free port");
    let address = server.local_addr().expect("it listens");
    let tls = trusting(&authority);
    let http2 = HttpOutbound::https("pets", &format!("https://{address}/"), tls.clone());
    let grpc = GrpcOutbound::new("pets", &address.to_string()).expect("an address");
    for outbound in [
        Outbound::from(http2.expect("a URL").http2()),
        Outbound::from(grpc.tls(tls)),
    ] {
        // Whether the answer is one is another matter.
        let _ = unary(&caller(outbound).await).await;
        let scheme = within(told.recv()).await.expect("it was called");
        assert_eq!(scheme.as_deref(), Some("https"));
    }
}

#[tokio::test]
async fn a_handshake_takes_no_longer_than_a_connection_may() {
    // The system takes the connection in, and nobody answers.
    let silent = TcpListener::bind(any_port()).await.expect("a free port");
    let url = format!("https://{}/", silent.local_addr().expect("it is bound"));
    let tls = trusting(&Authority::new("ours"));
    let outbound = HttpOutbound::https("pets", &url, tls).expect("a URL");
    let rig = caller(outbound.connect_timeout(Duration::from_millis(50))).await;
    unreachable(&rig).await;
}

/// Files that are not there.
fn missing() -> (ServerTls, ClientTls) {
    let file = |name: &str| Pem::file(Path::new("/nowhere").join(name));
    let server = ServerTls::new(file("server.pem"), file("server.key"));
    (server, ClientTls::trusting(file("ca.pem")))
}

#[tokio::test]
async fn contract_70_https_without_a_certificate_is_a_failed_start_that_names_it_and_is_not_tried_again()
 {
    let (server, _) = missing();
    let http = Inbound::from(HttpInbound::new(any_port()).tls(server.clone()));
    let grpc = Inbound::from(GrpcInbound::new(any_port()).tls(server));
    for inbound in [http, grpc] {
        // Another attempt would come after the test.
        let patient = Retry::attempts(3).with_backoff(Backoff::Fixed(Nanos::from_secs(3_600)));
        let builder = Dispatcher::builder("pets").inbound(inbound.start_retry(patient));
        let (dispatcher, registrations) = built(builder);
        let mut builder = Orchestrator::builder();
        builder.registrations(registrations);
        let handle = builder.build().expect("a sound setup").spawn();
        let dispatcher = dispatcher.driven_by(handle);
        let error = within(dispatcher.start())
            .await
            .expect_err("no certificate");
        let error = error.to_string();
        for said in [
            "TLS cannot be set up: ",
            "the certificate (/nowhere/server.pem) cannot be read: No such file",
            "the key (/nowhere/server.key) cannot be read: No such file",
        ] {
            assert!(error.contains(said), "{said}: {error}");
        }
    }
}

#[tokio::test]
async fn an_outbound_without_its_files_fails_and_leaves_the_rest_running() {
    let (_, client) = missing();
    let https = HttpOutbound::https("pets", "https://localhost/", client.clone());
    let grpc = GrpcOutbound::new("pets", "localhost:1").expect("an address");
    for outbound in [
        Outbound::from(https.expect("a URL")),
        Outbound::from(grpc.tls(client)),
    ] {
        let rig = caller(outbound).await;
        let error = unary(&rig).await.expect_err("it is not started");
        assert_eq!(error.code, Code::FailedPrecondition);
        let snapshot = rig.handle.snapshot().await.expect("it is driven");
        let id = snapshot.plan.find("pets:default:unary").expect("there");
        let failure = snapshot
            .component(id)
            .failure
            .clone()
            .expect("it has failed");
        assert!(failure.message.contains("/nowhere/ca.pem"), "{failure:?}");
    }
}

#[tokio::test]
async fn an_outbound_is_degraded_while_its_files_are_not_in_order() {
    let authority = Authority::new("ours");
    let folder = TempDir::new().expect("a folder");
    let served = Served::with(&presenting(&authority.server())).await;
    let ca = write(folder.path(), "ca.pem", &authority.pem);
    let (certificate, key) = authority.client("shop").write(folder.path());
    let tls = ClientTls::trusting(Pem::file(ca))
        .identity(Pem::file(certificate), Pem::file(key))
        .reload_interval(Duration::from_millis(5));
    for rig in served.callers(&tls).await {
        for (text, is_degraded) in [("", true), (&*authority.pem, false)] {
            write(folder.path(), "ca.pem", text);
            let told = async {
                loop {
                    let snapshot = rig.handle.snapshot().await.expect("it is driven");
                    let id = snapshot.plan.find("pets:default:unary").expect("there");
                    if snapshot.component(id).degraded.is_some() == is_degraded {
                        return;
                    }
                    tokio::task::yield_now().await;
                }
            };
            within(told).await;
            assert_eq!(unary(&rig).await.expect("what held goes on"), "hello");
        }
    }
}

#[tokio::test]
async fn parts_over_tls_keep_what_every_component_promises() {
    let authority = Authority::new("ours");
    let (server, client) = (presenting(&authority.server()), trusting(&authority));
    let inbound = move || -> Component {
        let inbound = HttpInbound::new(any_port()).tls(server.clone());
        let (_, mut registrations) = built(Dispatcher::builder("pets").inbound(inbound));
        registrations.remove(0).component
    };
    let outbound = move || -> Component {
        let way = HttpOutbound::https("pets", "https://localhost:1/", client.clone());
        let way = way.expect("a URL");
        let (_, mut registrations) = built(Dispatcher::builder("shop").outbound(way));
        registrations.remove(0).component
    };
    let report = Suite::of(inbound).named("http-inbound:0").run().await;
    report.assert_ok();
    assert!(report.passed.contains(&Check::StartTwice));
    let report = Suite::of(outbound).named("pets:default:unary").run().await;
    report.assert_ok();
    assert!(report.passed.contains(&Check::StartTwice));
}
