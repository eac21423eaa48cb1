//! Clients that shake no hands.

use std::time::{Duration, Instant};

use lifecycle_adapters::{HttpServer, Limits};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::{connect, get_over, presenting, trusting};
use crate::certificates::Authority;
use crate::client::Client;
use crate::limits::endless;
use crate::support::{Rig, any_port, assert_closed, within};

/// Well below the time that a stop may take, and well above what it needs.
const AT_ONCE: Duration = Duration::from_secs(4);

/// What a handshake begins with, of which more is to come.
const BEGINNING: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1];

/// A server over TLS, and whom its clients trust.
async fn started(limits: Limits) -> (Rig, std::net::SocketAddr, Authority) {
    let authority = Authority::new("ours");
    let tls = presenting(&authority.server());
    let (rig, address) = Rig::started_with(|it| it.limits(limits).tls(tls)).await;
    (rig, address, authority)
}

/// Waits until the other end has closed or reset the connection; gives what it has sent.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = within(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest)).await;
    rest
}

async fn hanging(address: std::net::SocketAddr) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    stream.write_all(BEGINNING).await.expect("it reads");
    stream
}

#[tokio::test]
async fn plain_http_is_not_answered_and_others_are() {
    let (rig, address, authority) = started(Limits::default()).await;
    let mut plain = Client::connect(address).await;
    plain.ask("/").await;
    let rest = rest(plain.into_stream()).await;
    assert!(!rest.starts_with(b"HTTP"), "{rest:?}");
    let answer = get_over(address, &trusting(&authority), "/").await;
    assert_eq!(answer.expect("an answer"), "hello");
    rig.stop().await;
}

#[tokio::test]
async fn who_does_not_come_to_an_end_with_a_handshake_is_disconnected_and_makes_room() {
    let (rig, address, authority) = started(Limits {
        connections: 1,
        head: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    for beginning in [&[][..], BEGINNING] {
        let mut stream = TcpStream::connect(address).await.expect("it listens");
        stream.write_all(beginning).await.expect("it reads");
        // It takes the only place until its time is over.
        let answer = get_over(address, &trusting(&authority), "/").await;
        assert_eq!(answer.expect("an answer"), "hello");
        rest(stream).await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn who_is_silent_or_slow_with_a_head_over_tls_is_disconnected() {
    let (rig, address, authority) = started(Limits {
        head: Duration::from_millis(300),
        ..Limits::default()
    })
    .await;
    // In records of their own: their bytes on the wire would do for a preface, which they are not.
    for beginning in ["", "P", "PRI"] {
        let stream = connect(address, &trusting(&authority)).await;
        let mut stream = stream.expect("it shakes hands");
        for byte in beginning.bytes() {
            stream.write_all(&[byte]).await.expect("it reads");
            stream.flush().await.expect("it reads");
        }
        let mut rest = Vec::new();
        let _ = within(tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest)).await;
        assert_eq!(rest, b"", "{beginning:?}");
    }
    rig.stop().await;
}

#[tokio::test]
async fn who_reads_nothing_of_an_answer_over_tls_is_disconnected() {
    let authority = Authority::new("ours");
    let tls = presenting(&authority.server());
    let brief = Limits {
        stall: Duration::from_millis(50),
        ..Limits::default()
    };
    let make = |_| {
        let server = HttpServer::new(endless()).bind(any_port());
        server.limits(brief).tls(tls)
    };
    let (rig, address) = Rig::started_with(make).await;
    let stream = connect(address, &trusting(&authority)).await;
    let mut stream = stream.expect("it shakes hands");
    let request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    stream.write_all(request).await.expect("it reads");
    for count in [1, 0] {
        within(async {
            while rig.server.in_flight() != count {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
    rig.stop().await;
}

#[tokio::test]
async fn a_handshake_that_hangs_holds_up_neither_a_drain_nor_a_stop() {
    let (rig, address, authority) = started(Limits::default()).await;
    let (silent, half_way) = (
        TcpStream::connect(address).await.expect("it listens"),
        hanging(address).await,
    );
    // Who comes later is answered: so both are in.
    let answer = get_over(address, &trusting(&authority), "/").await;
    assert_eq!(answer.expect("an answer"), "hello");

    let begin = Instant::now();
    let drained = within(rig.drain(&CancellationToken::new())).await;
    drained.expect("it ends").expect("nothing is in flight");
    rig.stop().await;
    assert!(begin.elapsed() < AT_ONCE, "{:?}", begin.elapsed());
    for stream in [silent, half_way] {
        assert_eq!(rest(stream).await, b"");
    }
    assert_closed(address).await;
}
