//! A dispatcher that listens on a free port, and a client that writes bytes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dispatcher::{
    Code, Dispatcher, DispatcherBuilder, HttpInbound, HttpOutbound, HttpPort, Procedure, Relay,
    Request, Response, RpcError, Shape,
};
use lifecycle_runtime::{Handle, Orchestrator};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tower::ServiceExt as _;

use crate::kit::built;

/// A free port of loopback.
pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// What `future` gives, which must not take long.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let limited = tokio::time::timeout(Duration::from_secs(20), future);
    limited.await.expect("within the deadline")
}

/// Tells when it is dropped.
pub(crate) struct Dropped(pub(crate) Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

/// A procedure that never answers, and tells when it has begun and when it was dropped.
pub(crate) fn hanging(entered: &Arc<Notify>, dropped: &Arc<Notify>) -> Procedure {
    let (entered, dropped) = (Arc::clone(entered), Arc::clone(dropped));
    Procedure::unary("hang", move |_| {
        let (entered, guard) = (Arc::clone(&entered), Dropped(Arc::clone(&dropped)));
        async move {
            let _guard = guard;
            entered.notify_one();
            std::future::pending().await
        }
    })
}

/// A dispatcher that listens.
pub(crate) struct Rig {
    pub(crate) dispatcher: Dispatcher,
    pub(crate) handle: Handle,
    pub(crate) port: HttpPort,
}

impl Rig {
    pub(crate) async fn started(procedures: impl IntoIterator<Item = Procedure>) -> Self {
        Self::started_with(procedures, |it| it).await
    }

    pub(crate) async fn started_with(
        procedures: impl IntoIterator<Item = Procedure>,
        configure: impl FnOnce(HttpInbound) -> HttpInbound,
    ) -> Self {
        let builder = procedures
            .into_iter()
            .fold(Dispatcher::builder("pets"), DispatcherBuilder::procedure);
        Self::of(builder, configure(HttpInbound::new(any_port()))).await
    }

    /// What `builder` makes, behind `inbound`.
    pub(crate) async fn of(builder: DispatcherBuilder, inbound: HttpInbound) -> Self {
        let port = inbound.port();
        let (dispatcher, registrations) = built(builder.inbound(inbound));
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

    /// A dispatcher that passes calls on to `upstream`: to procedures that begin with the name of a shape, such as `unary-`.
    pub(crate) async fn before(upstream: &str, shapes: &[Shape]) -> Self {
        let pets = HttpOutbound::new("pets", upstream).expect("a URL");
        let mut builder = Dispatcher::builder("front").outbound(pets);
        for shape in shapes {
            let relay = Relay::to("pets").procedure(*shape, format!("{shape}-*"));
            builder = builder.procedure(relay);
        }
        Self::of(builder, HttpInbound::new(any_port())).await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/", self.address())
    }

    /// Calls by the way to `service`.
    pub(crate) async fn out(
        &self,
        service: &str,
        shape: Shape,
        request: Request,
    ) -> Result<Response, RpcError> {
        let outbound = self.dispatcher.outbound(service, None, shape)?;
        within(outbound.oneshot(request)).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.local_addr().expect("it listens")
    }

    /// The answer to one request on a connection of its own.
    pub(crate) async fn ask(&self, head: &str, body: &str) -> Answer {
        let length = format!("Content-Length: {}\r\nConnection: close\r\n", body.len());
        let text = format!("POST /any/path HTTP/1.1\r\nHost: x\r\n{head}{length}\r\n{body}");
        self.write(text.as_bytes()).await
    }

    pub(crate) async fn write(&self, bytes: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address())
            .await
            .expect("it listens");
        stream.write_all(bytes).await.expect("it reads");
        let mut text = Vec::new();
        let read = within(stream.read_to_end(&mut text)).await;
        read.expect("it answers");
        Answer::parse(&String::from_utf8(text).expect("text"))
    }
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn parse(text: &str) -> Self {
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

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(it, _)| it == name);
        found.map(|(_, value)| &**value)
    }

    /// The code that its header names, which is that of its status.
    #[track_caller]
    pub(crate) fn code(&self) -> Code {
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

/// A procedure that says when it has begun, and answers when it is told to.
pub(crate) fn held(entered: &Arc<Notify>, go_on: &Arc<Notify>) -> Procedure {
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

/// A client that reads an answer bit by bit.
pub(crate) struct Listener {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Listener {
    /// Gets the stream of a procedure; `head` are further headers.
    pub(crate) async fn get(rig: &Rig, procedure: &str, head: &str) -> Self {
        let text = format!(
            "GET / HTTP/1.1\r\nHost: x\r\nRpc-Procedure: {procedure}\r\nAccept: text/event-stream\r\n\
             Connection: close\r\n{head}\r\n"
        );
        Self::ask(rig, &text).await
    }

    pub(crate) async fn ask(rig: &Rig, text: &str) -> Self {
        let mut stream = TcpStream::connect(rig.address()).await.expect("it listens");
        stream.write_all(text.as_bytes()).await.expect("it reads");
        Self {
            stream,
            heard: Vec::new(),
        }
    }

    /// Reads until `text` was heard; gives what came before it, and forgets both.
    pub(crate) async fn hear(&mut self, text: &str) -> String {
        loop {
            let heard = String::from_utf8_lossy(&self.heard).into_owned();
            if let Some((before, after)) = heard.split_once(text) {
                self.heard = after.as_bytes().to_vec();
                return before.to_owned();
            }
            let read = within(self.stream.read_buf(&mut self.heard)).await;
            assert_ne!(
                read.expect("it answers"),
                0,
                "{heard:?} ends without {text:?}"
            );
        }
    }

    /// What comes to the end.
    pub(crate) async fn rest(mut self) -> String {
        let read = within(self.stream.read_to_end(&mut self.heard)).await;
        read.expect("it ends");
        String::from_utf8_lossy(&self.heard).into_owned()
    }
}
