//! Clients that are asked for a certificate.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::Extension;
use axum::routing::get;
use lifecycle_adapters::HttpServer;
use lifecycle_adapters::tls::{Alpn, ClientTls, PeerCertificate, Pem, ServerTls};
use rustls::HandshakeKind;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ask, connect, connector, get_over, presenting, trusting, with};
use crate::certificates::Authority;
use crate::support::{Rig, any_port, within};

/// A server that asks for certificates of `authority`, and answers with the one that it was shown.
async fn showing(
    authority: &Authority,
    asks: fn(ServerTls, Pem) -> ServerTls,
) -> (Rig, SocketAddr) {
    let show = async |certificate: Option<Extension<PeerCertificate>>| {
        certificate.map_or(Vec::new(), |it| it.der().to_vec())
    };
    let tls = asks(
        presenting(&authority.server()),
        Pem::text(authority.pem.as_str()),
    );
    let show = |_| {
        let router = Router::new().route("/", get(show));
        HttpServer::new(router).bind(any_port()).tls(tls)
    };
    Rig::started_with(show).await
}

/// The certificate that the server says to have seen; empty for none.
async fn seen(address: SocketAddr, tls: &ClientTls) -> io::Result<Vec<u8>> {
    let mut stream = connect(address, tls).await?;
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await?;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
    let head = answer.windows(4).position(|it| it == b"\r\n\r\n");
    Ok(answer.split_off(head.expect("a head") + 4))
}

#[tokio::test]
async fn a_client_is_let_in_by_its_certificate_alone_and_handlers_see_which_it_was() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (rig, address) = showing(&ours, ServerTls::client_ca).await;
    let (client, foreign) = (ours.client("shop"), other.client("shop"));
    for refused in [
        trusting(&ours),
        with(trusting(&ours), &foreign),
        // What a server may present is nothing that a client may.
        with(trusting(&ours), &ours.server()),
    ] {
        let answer = get_over(address, &refused, "/").await;
        answer.expect_err("it is not let in");
    }
    let seen = seen(address, &with(trusting(&ours), &client)).await;
    assert_eq!(seen.expect("it is let in"), **client.certificate.der());
    rig.stop().await;
}

#[tokio::test]
async fn where_a_certificate_is_optional_who_has_none_is_let_in_and_a_wrong_one_is_refused() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (rig, address) = showing(&ours, ServerTls::optional_client_ca).await;
    let (client, foreign) = (ours.client("shop"), other.client("shop"));
    let without = seen(address, &trusting(&ours)).await;
    assert_eq!(without.expect("it is let in"), b"");
    let known = seen(address, &with(trusting(&ours), &client)).await;
    assert_eq!(known.expect("it is let in"), **client.certificate.der());
    for wrong in [&foreign, &ours.server()] {
        let refused = get_over(address, &with(trusting(&ours), wrong), "/").await;
        refused.expect_err("it is not let in");
    }
    rig.stop().await;
}

#[tokio::test]
async fn who_is_asked_for_a_certificate_shows_it_at_each_connection() {
    let authority = Authority::new("ours");
    let again = async |asks: fn(ServerTls, Pem) -> ServerTls| {
        let (rig, address) = showing(&authority, asks).await;
        let client = with(trusting(&authority), &authority.client("shop"));
        let connector = connector(&client, Alpn::Http1).await;
        let mut kinds = Vec::new();
        for _ in 0..2 {
            let stream = TcpStream::connect(address).await.expect("it listens");
            let stream = within(connector.connect("localhost", stream)).await;
            let mut stream = stream.expect("it is let in");
            kinds.push(stream.get_ref().1.handshake_kind());
            // With the answer comes what a session could be taken up by.
            ask(&mut stream, "/nowhere").await.expect("an answer");
        }
        rig.stop().await;
        kinds.pop().flatten()
    };
    let unasked = |tls: ServerTls, _: Pem| tls;
    assert_eq!(again(unasked).await, Some(HandshakeKind::Resumed));
    for asks in [ServerTls::client_ca, ServerTls::optional_client_ca] {
        assert_eq!(again(asks).await, Some(HandshakeKind::Full));
    }
}
