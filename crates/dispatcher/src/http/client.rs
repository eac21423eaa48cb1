//! [`Upstream`]: the client as a component, and the calls that it carries.

use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioTimer;
use lifecycle_core::{BoxError, Lifecycle, StartContext, StopContext};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::connector::Connector;
use super::outbound::Settings;
use crate::code::Code;
use crate::error::RpcError;

/// How much of the time for a stop is kept for cutting off what does not end by itself.
const RESERVE: Duration = Duration::from_millis(500);

/// How many connections without a call are kept.
const IDLE_CONNECTIONS: usize = 32;

/// How large the head of an answer may be, in bytes.
const HEAD_BYTES: u32 = 32 * 1024;

/// How often an HTTP/2 connection with calls is asked whether the upstream is still there, and how long that may take.
const PING: Duration = Duration::from_secs(20);

/// A client with its connections: open from start to stop.
pub(super) struct Upstream {
    settings: Settings,
    current: Mutex<Option<Generation>>,
}

/// What lives from a start to the next.
struct Generation {
    /// Gone once a stop has begun: no further call is let in.
    door: Option<Arc<Open>>,
    run: CancellationToken,
    /// Cancelled when connections and calls shall end at once.
    cut: CancellationToken,
    /// Cancelled when the last call has ended, after the door was closed.
    over: CancellationToken,
}

/// The client of a generation. Each call holds it to its end.
pub(super) struct Open {
    client: Client<Connector, Full<Bytes>>,
    cut: CancellationToken,
    _over: DropGuard,
}

impl Upstream {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            current: Mutex::new(None),
        }
    }

    /// Lets a call in.
    ///
    /// # Errors
    ///
    /// [`Code::FailedPrecondition`] before it has started, and after its stop has begun.
    pub(super) fn admit(&self) -> Result<Arc<Open>, RpcError> {
        let door = self.slot().as_ref().and_then(|it| it.door.clone());
        door.ok_or_else(|| {
            let error = RpcError::new(Code::FailedPrecondition, "the outbound is not started");
            error.with_reason("dispatcher.outbound.not_started")
        })
    }

    fn slot(&self) -> MutexGuard<'_, Option<Generation>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self, tasks: Tasks, connector: Connector) -> Client<Connector, Full<Bytes>> {
        Client::builder(tasks)
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(self.settings.idle_timeout)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .http1_max_buf_size(HEAD_BYTES as usize)
            .http2_only(self.settings.http2)
            .http2_max_header_list_size(HEAD_BYTES)
            .http2_keep_alive_interval(PING)
            .http2_keep_alive_timeout(PING)
            .build(connector)
    }
}

impl Open {
    /// Sends a request, and gives the head of its answer.
    ///
    /// # Errors
    ///
    /// [`Code::Unavailable`] when the upstream cannot be reached, or the connection ends before it has answered.
    pub(super) async fn send(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, RpcError> {
        let sending = self.client.request(request);
        let sent = self.cut.run_until_cancelled(sending).await;
        match sent {
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

/// The connection was lost, by whoever's doing, before the answer was there.
pub(super) fn interrupted() -> RpcError {
    let message = "the connection to the upstream ended before its answer did";
    RpcError::new(Code::Unavailable, message).with_reason("dispatcher.outbound.interrupted")
}

impl Lifecycle for Upstream {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        let mut current = self.slot();
        if current.as_ref().is_some_and(Generation::is_at_work) {
            return Ok(());
        }
        if let Some(last) = current.take() {
            last.cut.cancel();
        }
        let (cut, over) = (CancellationToken::new(), CancellationToken::new());
        let tasks = Tasks {
            cx: cx.clone(),
            cut: cut.clone(),
        };
        let connector = Connector::new(self.settings.connect_timeout, cx.reporter());
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

impl Generation {
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

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
