//! Servers over TLS, asked by the client of this crate.

mod clients;
mod expiring;
mod handshakes;
mod reloading;
mod starting;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lifecycle_adapters::tls::{Alpn, ClientConnector, ClientStream, ClientTls, Pem, ServerTls};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, Issued};
use crate::client::request;
use crate::support::{Rig, any_port, within};

type Stream = ClientStream<TcpStream>;

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

async fn connector(tls: &ClientTls, alpn: Alpn) -> ClientConnector {
    let connector = tls.connector(alpn, "client", |_| ()).await;
    connector.expect("certificates in order")
}

/// A connection that has shaken hands, with a server that is called `localhost`.
async fn connect(address: SocketAddr, tls: &ClientTls) -> io::Result<Stream> {
    let stream = TcpStream::connect(address).await?;
    let connector = connector(tls, Alpn::Http1).await;
    within(connector.connect("localhost", stream)).await
}

/// Asks over HTTP/1.1, and leaves the connection open; what comes is the body, or an error when there is no whole answer.
async fn ask(stream: &mut Stream, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within(stream.read_u8()).await?);
    }
    let head = String::from_utf8(head).expect("text").to_lowercase();
    let mut lines = head.lines();
    let length = lines.find_map(|it| it.strip_prefix("content-length: "));
    let mut body = vec![0; length.expect("a length").parse().expect("a number")];
    within(stream.read_exact(&mut body)).await?;
    Ok(String::from_utf8(body).expect("text"))
}

/// One answer on a connection of its own.
async fn get_over(address: SocketAddr, tls: &ClientTls, path: &str) -> io::Result<String> {
    ask(&mut connect(address, tls).await?, path).await
}

/// What the server has presented.
fn presented(stream: &Stream) -> Vec<u8> {
    let chain = stream.get_ref().1.peer_certificates();
    chain.expect("a server has one")[0].to_vec()
}

#[tokio::test]
async fn requests_come_in_over_tls_in_both_versions_of_http() {
    let authority = Authority::new("ours");
    let tls = presenting(&authority.server());
    let (rig, address) = Rig::started_with(|it| it.tls(tls)).await;
    let trusting = trusting(&authority);
    let answer = get_over(address, &trusting, "/").await;
    assert_eq!(answer.expect("an answer"), "hello");

    let stream = TcpStream::connect(address).await.expect("it listens");
    let connector = connector(&trusting, Alpn::Http2).await;
    let stream = within(connector.connect("127.0.0.1", stream)).await;
    let stream = TokioIo::new(stream.expect("HTTP/2 is offered"));
    let handshake = http2::handshake(TokioExecutor::new(), stream);
    let (mut requests, connection) = within(handshake).await.expect("HTTP/2 is spoken");
    tokio::spawn(connection);
    let answer = within(requests.send_request(request("/"))).await;
    let body = body::Body::new(answer.expect("an answer").into_body());
    assert_eq!(body::to_bytes(body, 9).await.expect("a body"), "hello");
    rig.stop().await;
}

#[tokio::test]
async fn a_server_is_trusted_by_its_authority_and_the_name_that_it_is_called_by() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let tls = presenting(&ours.server());
    let (rig, address) = Rig::started_with(|it| it.tls(tls)).await;
    let refused = get_over(address, &trusting(&other), "/").await;
    let refused = refused.expect_err("the authority is another").to_string();
    assert!(refused.contains("UnknownIssuer"), "{refused}");
    let wrong = trusting(&ours).server_name("example.org");
    let refused = get_over(address, &wrong, "/").await;
    let refused = refused.expect_err("the name is another").to_string();
    assert!(refused.contains("not valid for name"), "{refused}");
    for name in ["localhost", "127.0.0.1", "::1"] {
        let right = trusting(&ours).server_name(name);
        get_over(address, &right, "/").await.expect(name);
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_agree_on_http_2_is_of_no_use_to_who_speaks_it_alone() {
    let authority = Authority::new("ours");
    let issued = authority.server();
    let key = PrivateKeyDer::try_from(issued.key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("both versions")
        .with_no_client_auth()
        .with_single_cert(vec![issued.certificate.der().clone()], key)
        .expect("a certificate");
    let listener = TcpListener::bind(any_port()).await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(async move {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(acceptor.accept(stream).await);
        }
    });
    let trusting = trusting(&authority);
    connect(address, &trusting)
        .await
        .expect("HTTP/1.1 goes without saying");
    let connector = connector(&trusting, Alpn::Http2).await;
    let stream = TcpStream::connect(address).await.expect("it listens");
    let refused = within(connector.connect("localhost", stream)).await;
    let refused = refused.expect_err("it names nothing").to_string();
    assert!(refused.contains("HTTP/2"), "{refused}");
}
