//! Certificates that change while they are in use.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use lifecycle_adapters::HttpServer;
use lifecycle_adapters::tls::{Alpn, Pem, ServerTls, TlsFlaw, TlsPart};
use lifecycle_core::{Lifecycle as _, Report, StartContext};
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::{ask, connect, get_over, presented, trusting, with};
use crate::certificates::{Authority, write};
use crate::scope::TestScope;
use crate::support::{any_port, within};

/// What is in `folder`.
fn files(folder: &Path) -> ServerTls {
    ServerTls::new(
        Pem::file(folder.join("certificate.pem")),
        Pem::file(folder.join("key.pem")),
    )
}

/// A server whose reports can be heard.
struct Heard {
    server: Arc<HttpServer>,
    scope: Arc<TestScope>,
    address: std::net::SocketAddr,
}

impl Heard {
    async fn started(tls: ServerTls) -> Self {
        let router = Router::new().route("/", get(async || "hello"));
        let server = Arc::new(HttpServer::new(router).bind(any_port()).tls(tls));
        let scope = TestScope::new();
        let start = StartContext::new(Arc::clone(&scope) as _);
        server.start(&start).await.expect("it starts");
        let address = server.local_addr().expect("it listens");
        Self {
            server,
            scope,
            address,
        }
    }

    fn degraded(&self) -> Vec<Option<Arc<str>>> {
        let reports = self.scope.reports().into_iter();
        let degraded = reports.filter_map(|it| match it {
            Report::Degraded(reason) => Some(reason),
            Report::Progress(_) | Report::InFlight(_) => None,
        });
        degraded.collect()
    }
}

#[tokio::test]
async fn new_connections_get_the_new_certificate_and_old_ones_go_on() {
    let (authority, folder) = (Authority::new("ours"), TempDir::new().unwrap());
    let (first, second) = (authority.server(), authority.server());
    first.write(folder.path());
    let heard = Heard::started(files(folder.path())).await;
    let trusting = trusting(&authority);
    let mut old = connect(heard.address, &trusting).await.expect("trusted");
    assert_eq!(presented(&old), **first.certificate.der());

    second.write(folder.path());
    within(heard.server.reload_tls()).await.expect("in order");
    let new = connect(heard.address, &trusting).await.expect("trusted");
    assert_eq!(presented(&new), **second.certificate.der());
    assert_eq!(ask(&mut old, "/").await.expect("it goes on"), "hello");
    assert_eq!(heard.degraded(), []);
}

#[tokio::test]
async fn who_is_let_in_changes_with_the_authority_of_clients() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let folder = TempDir::new().unwrap();
    ours.server().write(folder.path());
    let ca = write(folder.path(), "clients.pem", &ours.pem);
    let heard = Heard::started(files(folder.path()).client_ca(Pem::file(ca))).await;
    let (client, stranger) = (ours.client("a"), other.client("a"));
    let (client, stranger) = (
        with(trusting(&ours), &client),
        with(trusting(&ours), &stranger),
    );
    get_over(heard.address, &client, "/").await.expect("let in");
    get_over(heard.address, &stranger, "/")
        .await
        .expect_err("not let in");
    write(folder.path(), "clients.pem", &other.pem);
    within(heard.server.reload_tls()).await.expect("in order");
    get_over(heard.address, &client, "/")
        .await
        .expect_err("not any more");
    get_over(heard.address, &stranger, "/")
        .await
        .expect("let in");
}

#[tokio::test]
async fn files_that_are_broken_change_nothing_and_degrade_until_they_are_mended() {
    let (authority, folder) = (Authority::new("ours"), TempDir::new().unwrap());
    let (first, second) = (authority.server(), authority.server());
    first.write(folder.path());
    let heard = Heard::started(files(folder.path())).await;
    let trusting = trusting(&authority);

    // The new key is not there yet.
    write(folder.path(), "certificate.pem", &second.certificate.pem());
    for _ in 0..2 {
        let error = within(heard.server.reload_tls()).await.expect_err("torn");
        assert_eq!(error.faults.len(), 1);
        assert_eq!(error.faults[0].part, TlsPart::Key);
        assert_eq!(error.faults[0].flaw, TlsFlaw::OtherKey);
    }
    let stream = connect(heard.address, &trusting).await.expect("trusted");
    assert_eq!(presented(&stream), **first.certificate.der());
    let degraded = heard.degraded();
    assert_eq!(degraded.len(), 1, "it is said once: {degraded:?}");
    let reason = degraded[0].as_deref().expect("a reason");
    assert!(reason.contains("key.pem) does not belong"), "{reason}");

    write(folder.path(), "key.pem", &second.key.serialize_pem());
    within(heard.server.reload_tls()).await.expect("in order");
    let stream = connect(heard.address, &trusting).await.expect("trusted");
    assert_eq!(presented(&stream), **second.certificate.der());
    assert_eq!(heard.degraded().last(), Some(&None));
}

#[tokio::test]
async fn files_are_looked_at_from_time_to_time_while_it_runs() {
    let (authority, folder) = (Authority::new("ours"), TempDir::new().unwrap());
    authority.server().write(folder.path());
    let often = files(folder.path()).reload_interval(Duration::from_millis(5));
    let heard = Heard::started(often).await;
    let second = authority.server();
    second.write(folder.path());
    let renewed = async {
        let trusting = trusting(&authority);
        while presented(&connect(heard.address, &trusting).await.expect("trusted"))
            != **second.certificate.der()
        {}
    };
    within(renewed).await;

    // The watch ends with its generation.
    heard.scope.run.cancel();
    let mut tasks = std::mem::take(&mut *heard.scope.tasks.lock().unwrap());
    while let Some(ended) = within(tasks.join_next()).await {
        ended.expect("no panic").1.expect("no error");
    }
}

#[tokio::test]
async fn a_client_trusts_the_authority_that_was_read_last() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let folder = TempDir::new().unwrap();
    ours.server().write(folder.path());
    let heard = Heard::started(files(folder.path())).await;
    let ca = write(folder.path(), "ca.pem", &other.pem);
    let tls = lifecycle_adapters::tls::ClientTls::trusting(Pem::file(ca));
    let connector = tls.connector(Alpn::Http1, "client", |_| ()).await;
    let connector = connector.expect("in order");
    let shake = async || {
        let stream = TcpStream::connect(heard.address).await.expect("it listens");
        within(connector.connect("localhost", stream)).await
    };
    shake().await.expect_err("not trusted");
    write(folder.path(), "ca.pem", &ours.pem);
    within(connector.reload()).await.expect("in order");
    shake().await.expect("trusted");
}
