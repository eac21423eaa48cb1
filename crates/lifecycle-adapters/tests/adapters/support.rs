//! An orchestrator with one server, and handlers that can be held.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use lifecycle_adapters::HttpServer;
use lifecycle_core::{Component, Defaults, DrainContext, Lifecycle, Registration};
use lifecycle_runtime::{Handle, Orchestrator};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::scope::TestScope;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// More than sockets hold back.
pub(crate) const LARGE: usize = 48 << 20;

pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    let limited = tokio::time::timeout(DEADLINE, future);
    limited.await.expect("within the deadline")
}

pub(crate) fn any_port() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// An orchestrator that drives `component` alone, as `subject`.
pub(crate) fn drive(component: impl Into<Component>, defaults: Defaults) -> Handle {
    let mut builder = Orchestrator::builder();
    builder.defaults(defaults);
    builder.register(Registration::new("subject", component));
    builder.build().expect("one component").spawn()
}

/// A server under an orchestrator of its own.
pub(crate) struct Rig {
    pub(crate) handle: Handle,
    pub(crate) server: Arc<HttpServer>,
    pub(crate) hold: Hold,
    /// The scope of calls that the orchestrator does not make.
    pub(crate) scope: Arc<TestScope>,
}

impl Rig {
    pub(crate) async fn started() -> (Self, SocketAddr) {
        Self::started_with(|it| it).await
    }

    pub(crate) async fn started_with(
        configure: impl FnOnce(HttpServer) -> HttpServer,
    ) -> (Self, SocketAddr) {
        Self::started_by(Defaults::default(), configure).await
    }

    pub(crate) async fn started_by(
        defaults: Defaults,
        configure: impl FnOnce(HttpServer) -> HttpServer,
    ) -> (Self, SocketAddr) {
        let hold = Hold::default();
        let server = HttpServer::new(routes(&hold))
            .bind(any_port())
            .answer_while_draining(["/healthz"]);
        let server = Arc::new(configure(server));
        let rig = Self {
            handle: drive(Arc::clone(&server), defaults),
            server,
            hold,
            scope: TestScope::new(),
        };
        let address = rig.start().await;
        (rig, address)
    }

    pub(crate) async fn start(&self) -> SocketAddr {
        let started = within(self.handle.start()).await;
        started.expect("the start succeeds");
        self.server.local_addr().expect("it listens")
    }

    pub(crate) async fn stop(&self) {
        let stopped = within(self.handle.stop_now()).await;
        stopped.expect("the stop is clean");
    }

    /// What a drain or a resume is given, until `token` is cancelled.
    pub(crate) fn drain_context(&self, token: &CancellationToken) -> DrainContext {
        DrainContext::new(Arc::clone(&self.scope) as _, token.clone())
    }

    /// Drains in a task.
    pub(crate) fn drain(
        &self,
        token: &CancellationToken,
    ) -> tokio::task::JoinHandle<Result<(), String>> {
        let (server, cx) = (Arc::clone(&self.server), self.drain_context(token));
        tokio::spawn(async move {
            let drained = Lifecycle::drain(&*server, &cx).await;
            drained.map_err(|it| it.to_string())
        })
    }

    /// Waits until it takes in no new requests. Nobody tells when.
    pub(crate) async fn until_draining(&self) {
        while !self.server.is_draining() {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) async fn resume(&self) {
        let cx = self.drain_context(&CancellationToken::new());
        let resumed = within(Lifecycle::resume(&*self.server, &cx)).await;
        resumed.expect("the resume succeeds");
    }
}

fn routes(hold: &Hold) -> Router {
    let hold = hold.clone();
    let held = move || hold.clone().pass();
    Router::new()
        .route("/", get(async || "hello"))
        .route("/healthz", get(async || "up"))
        .route("/held", get(held.clone()))
        .route("/healthz/held", get(held))
        .route("/large", get(async || vec![b'x'; LARGE]))
        .route("/panic", get(panics))
}

async fn panics() -> &'static str {
    panic!("out of luck")
}

/// Holds requests until they are let through, and counts those that are inside.
#[derive(Clone)]
pub(crate) struct Hold {
    inside: watch::Sender<usize>,
    through: Arc<Semaphore>,
}

impl Default for Hold {
    fn default() -> Self {
        Self {
            inside: watch::channel(0).0,
            through: Arc::new(Semaphore::new(0)),
        }
    }
}

impl Hold {
    pub(crate) async fn pass(self) -> &'static str {
        let _inside = Inside::of(&self.inside);
        self.through.acquire().await.unwrap().forget();
        "let through"
    }

    pub(crate) fn let_one_through(&self) {
        self.through.add_permits(1);
    }

    pub(crate) fn count(&self) -> usize {
        *self.inside.borrow()
    }

    /// Waits until exactly `count` requests are inside.
    pub(crate) async fn holds(&self, count: usize) {
        let mut inside = self.inside.subscribe();
        let reached = within(inside.wait_for(|it| *it == count)).await;
        reached.expect("the hold is alive");
    }
}

struct Inside(watch::Sender<usize>);

impl Inside {
    fn of(count: &watch::Sender<usize>) -> Self {
        count.send_modify(|it| *it += 1);
        Self(count.clone())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.send_modify(|it| *it -= 1);
    }
}

/// Nobody listens on `address` any more, and anybody may.
pub(crate) async fn assert_closed(address: SocketAddr) {
    let error = within(TcpStream::connect(address)).await;
    let error = error.expect_err("nobody listens");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    TcpListener::bind(address).await.expect("the port is free");
}
