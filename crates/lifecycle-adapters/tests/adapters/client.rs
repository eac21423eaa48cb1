//! A client that speaks plain HTTP/1.1 over a socket, and one for HTTP/2.

use std::net::SocketAddr;

use axum::body::Body;
use hyper::Request;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::support::within;

/// What a server has answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|it| it.split_once(": "));
        let named = lines.find(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value)
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = within(TcpStream::connect(address)).await;
        Self {
            stream: stream.expect("the port is open"),
        }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        let sent = within(self.stream.write_all(text.as_bytes())).await;
        sent.expect("the connection is open");
    }

    pub(crate) async fn ask(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .await;
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(path).await;
        self.answer().await
    }

    /// Reads one answer, whose length is in its head.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let byte = within(self.stream.read_u8()).await;
            head.push(byte.expect("a whole head"));
        }
        let head = String::from_utf8(head).unwrap();
        let status = head.split(' ').nth(1).expect("a status line");
        let mut answer = Answer {
            status: status.parse().unwrap(),
            head,
            body: String::new(),
        };
        let length = answer.header("content-length").unwrap_or("0").parse();
        let mut body = vec![0; length.unwrap()];
        within(self.stream.read_exact(&mut body))
            .await
            .expect("a whole body");
        answer.body = String::from_utf8(body).unwrap();
        answer
    }

    /// What is left until the server closes or resets the connection.
    pub(crate) async fn rest(mut self) -> String {
        let mut rest = Vec::new();
        let _ = within(self.stream.read_to_end(&mut rest)).await;
        String::from_utf8(rest).unwrap()
    }

    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }
}

/// One answer on a connection of its own.
pub(crate) async fn get(address: SocketAddr, path: &str) -> Answer {
    Client::connect(address).await.get(path).await
}

/// One HTTP/2 connection.
pub(crate) struct Http2 {
    pub(crate) requests: SendRequest<Body>,
    /// Ends when the connection does.
    pub(crate) connection: JoinHandle<hyper::Result<()>>,
}

impl Http2 {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = Client::connect(address).await.into_stream();
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (requests, connection) = within(handshake).await.expect("HTTP/2 is spoken");
        Self {
            requests,
            connection: tokio::spawn(connection),
        }
    }
}

pub(crate) fn request(path: &str) -> Request<Body> {
    let request = Request::get(format!("http://localhost{path}"));
    request.body(Body::empty()).unwrap()
}
