//! [`Upstream`]: an HTTP client as a component, whatever is spoken over it.

mod connector;
mod link;
mod reach;

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::Executor;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioTimer;
use lifecycle_adapters::tls::{Alpn, ClientTls, TlsError};
use lifecycle_core::{BoxError, BoxFuture, Lifecycle, StartContext, StopContext};
use tokio_util::sync::{CancellationToken, DropGuard};

use self::connector::Connector;
pub(crate) use self::reach::Reach;
use crate::code::Code;
use crate::error::RpcError;

/// How much of the time for a stop is kept for cutting off what does not end by itself.
const RESERVE: Duration = Duration::from_millis(500);

/// How many connections without a call are kept to one place. What is beyond is closed after each call, which costs more than
/// the call: so it is more than the calls that a busy relay has open, and the idle timeout clears up after a burst.
const IDLE_CONNECTIONS: usize = 512;

/// About how large the head of an answer may be, in bytes.
const HEAD_BYTES: u32 = 32 * 1024;

/// How often an HTTP/2 connection with calls is asked whether the other side is still there, and how long that may take.
const PING: Duration = Duration::from_secs(20);

/// What holds for connections.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    /// Whether HTTP/2 is spoken, without asking first whether the other side does; else HTTP/1.1.
    pub(crate) http2: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

/// An HTTP client with its connections, over HTTP/2 one to each place that is called: open from start to stop.
pub(crate) struct Upstream<B> {
    links: Links,
    /// Unset, clear text is spoken.
    tls: Option<ClientTls>,
    follow: Option<Follow>,
    current: Mutex<Option<Generation<B>>>,
}

/// Made at each start, and then a task of that generation: tells who can be reached at all which places count.
pub(crate) type Follow = Box<dyn Fn(Arc<Reach>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What lives from a start to the next.
struct Generation<B> {
    /// Gone once a stop has begun: no further call is let in.
    door: Option<Arc<Open<B>>>,
    run: CancellationToken,
    /// Cancelled when connections and calls shall end at once.
    cut: CancellationToken,
    /// Cancelled when the last call has ended, after the door was closed.
    over: CancellationToken,
}

/// The client of a generation. Each call holds it to the end of its answer.
pub(crate) struct Open<B> {
    client: Client<Connector, B>,
    cut: CancellationToken,
    _over: DropGuard,
}

impl<B> Upstream<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    pub(crate) fn new(links: Links, tls: Option<ClientTls>) -> Self {
        Self {
            links,
            tls,
            follow: None,
            current: Mutex::new(None),
        }
    }

    /// Runs `follow` beside the connections, from each start to the stop.
    pub(crate) fn following(mut self, follow: Follow) -> Self {
        self.follow = Some(follow);
        self
    }

    /// Lets a call in.
    ///
    /// # Errors
    ///
    /// [`Code::FailedPrecondition`] before it has started, and after its stop has begun.
    pub(crate) fn admit(&self) -> Result<Arc<Open<B>>, RpcError> {
        let door = self.slot().as_ref().and_then(|it| it.door.clone());
        door.ok_or_else(|| {
            let error = RpcError::new(Code::FailedPrecondition, "the outbound is not started");
            error.with_reason("dispatcher.outbound.not_started")
        })
    }

    fn slot(&self) -> MutexGuard<'_, Option<Generation<B>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What opens connections. Over TLS its files are looked at as long as the generation lasts.
    async fn connector(&self, cx: &StartContext) -> Result<Connector, TlsError> {
        let reach = Arc::new(Reach::new(cx.reporter()));
        let connector = Connector::new(self.links.connect_timeout, Arc::clone(&reach));
        let Some(tls) = &self.tls else {
            return Ok(connector);
        };
        let alpn = match self.links.http2 {
            true => Alpn::Http2,
            false => Alpn::Http1,
        };
        let tell = move |fault: Option<&str>| reach.note_certificates(fault);
        let tls = tls.connector(alpn, cx.component().as_str(), tell).await?;
        let (run, watched) = (cx.run_token(), tls.clone());
        cx.spawn("certificates", async move {
            run.run_until_cancelled(watched.watch()).await;
        });
        Ok(connector.over(tls))
    }

    fn client(&self, tasks: Tasks, connector: Connector) -> Client<Connector, B> {
        Client::builder(tasks)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.links.idle_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(HEAD_BYTES as usize)
            .http2_only(self.links.http2)
            .http2_max_header_list_size(HEAD_BYTES)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            .build(connector)
    }
}

impl<B> Open<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    /// Sends a request, and gives the head of its answer.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the other side cannot be reached, or the connection ends before it has answered.
    pub(crate) async fn send(&self, request: Request<B>) -> Result<Response<Incoming>, RpcError> {
        let sending = self.client.request(request);
        match self.cut.run_until_cancelled(sending).await {
            Some(Ok(response)) => Ok(response),
            Some(Err(error)) if error.is_connect() => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no connection");
                let error = RpcError::new(Code::Unavailable, "the upstream cannot be reached");
                Err(error.with_reason("dispatcher.outbound.unreachable"))
            }
            Some(Err(error)) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "no answer");
                Err(interrupted())
            }
            None => Err(interrupted()),
        }
    }
}

/// The reason of [`interrupted`].
pub(crate) const INTERRUPTED: &str = "dispatcher.outbound.interrupted";

/// The connection was lost, by whoever's doing, before the answer was there.
pub(crate) fn interrupted() -> RpcError {
    let message = "the connection to the upstream ended before its answer did";
    RpcError::new(Code::Unavailable, message).with_reason(INTERRUPTED)
}

impl<B> Lifecycle for Upstream<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        if self.slot().as_ref().is_some_and(Generation::is_at_work) {
            return Ok(());
        }
        let connector = self.connector(cx).await?;
        let mut current = self.slot();
        if let Some(last) = current.take() {
            last.cut.cancel();
        }
        let (cut, over) = (CancellationToken::new(), CancellationToken::new());
        let tasks = Tasks {
            cx: cx.clone(),
            cut: cut.clone(),
        };
        if let Some(follow) = &self.follow {
            let (following, run) = (follow(connector.reach()), cx.run_token());
            cx.spawn("peers", async move {
                run.run_until_cancelled(following).await;
            });
        }
        let open = Open {
            client: self.client(tasks, connector),
            cut: cut.clone(),
            _over: over.clone().drop_guard(),
        };
        *current = Some(Generation {
            door: Some(Arc::new(open)),
            run: cx.run_token(),
            cut,
            over,
        });
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        let Some((cut, over)) = self.slot().as_mut().map(Generation::close) else {
            return Ok(());
        };
        cx.progress("letting calls in flight finish");
        let forced = cx.token();
        let patience = pin!(forced.run_until_cancelled(nearly_over(cx.remaining())));
        future::select(pin!(over.cancelled()), patience).await;
        // What is left is cut off; if nothing is, idle connections are closed.
        cut.cancel();
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        if let Some(last) = self.slot().take() {
            last.cut.cancel();
        }
        Ok(())
    }
}

impl<B> Generation<B> {
    fn is_at_work(&self) -> bool {
        self.door.is_some() && !self.run.is_cancelled() && !self.cut.is_cancelled()
    }

    /// Lets no further call in; gives the tokens to cut off with, and to wait for.
    fn close(&mut self) -> (CancellationToken, CancellationToken) {
        self.door = None;
        (self.cut.clone(), self.over.clone())
    }
}

async fn nearly_over(remaining: Option<Duration>) {
    let Some(remaining) = remaining else {
        return future::pending().await;
    };
    let reserve = RESERVE.min(remaining / 4);
    tokio::time::sleep(remaining - reserve).await;
}

/// Runs connections as tasks of the component's generation, until they are cut off.
#[derive(Clone)]
struct Tasks {
    cx: StartContext,
    cut: CancellationToken,
}

impl<F> Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, future: F) {
        let cut = self.cut.clone();
        let until_cut_off = async move {
            cut.run_until_cancelled_owned(future).await;
        };
        self.cx.spawn("connection", until_cut_off);
    }
}

impl<B> fmt::Debug for Upstream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}
