//! [`ControlHttp`]: the control listener as a component.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Router;
use diagnostics::server::{self, Bound, Closing, Options};
use lifecycle_core::{BoxError, Lifecycle, StartContext, StopContext};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A listener whose connections are tasks of its generation.
///
/// - `start` opens the port, or fails with an error that names the address and leaves nothing open. Starting what runs
///   does nothing; what is still closing is waited for, until the attempt shall end.
/// - `stop` closes the port at once, answers what is open within the drain limit, and cuts off the rest; a forced stop
///   does so at once.
#[derive(Debug)]
pub(crate) struct ControlHttp {
    options: Options,
    router: Router,
    address: watch::Sender<Option<SocketAddr>>,
    /// What serves, until it has ended.
    serving: Mutex<Option<Serving>>,
}

#[derive(Clone, Debug)]
struct Serving {
    closing: Closing,
    /// Cancelled when the server is gone, however it went.
    ended: CancellationToken,
}

impl Serving {
    fn is_closing(&self) -> bool {
        let Closing { drain, abort } = &self.closing;
        drain.is_cancelled() || abort.is_cancelled()
    }
}

impl ControlHttp {
    pub(crate) fn new(options: Options, router: Router) -> Self {
        Self {
            options,
            router,
            address: watch::channel(None).0,
            serving: Mutex::new(None),
        }
    }

    /// Where it listens: `None` while it does not.
    pub(crate) fn address(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.address.subscribe()
    }

    fn running(&self) -> Option<Serving> {
        self.slot().clone()
    }

    async fn ended(&self, serving: &Serving) {
        serving.ended.cancelled().await;
        self.slot().take();
        self.address.send_replace(None);
    }

    fn slot(&self) -> MutexGuard<'_, Option<Serving>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lifecycle for ControlHttp {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        if let Some(last) = self.running() {
            if !last.is_closing() && !last.ended.is_cancelled() {
                return Ok(());
            }
            let ended = cx
                .token()
                .run_until_cancelled_owned(self.ended(&last))
                .await;
            ended.ok_or("the last control listener has not ended")?;
        }
        let bound = server::bind(&self.options, self.router.clone())?;
        let address = bound.address();
        let serving = Serving {
            closing: Closing::new(),
            ended: CancellationToken::new(),
        };
        let ended = serving.ended.clone().drop_guard();
        cx.spawn("server", serve(bound, serving.closing.clone(), ended));
        *self.slot() = Some(serving);
        self.address.send_replace(Some(address));
        tracing::info!(%address, "the control listener is open");
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        let Some(serving) = self.running() else {
            return Ok(());
        };
        serving.closing.drain.cancel();
        tokio::select! {
            biased;
            () = cx.forced() => serving.closing.abort.cancel(),
            () = serving.ended.cancelled() => {}
        }
        self.ended(&serving).await;
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        if let Some(serving) = self.running() {
            serving.closing.abort.cancel();
            self.ended(&serving).await;
        }
        Ok(())
    }
}

/// Holds the guard as an argument: it tells the end also when the task is dropped before its first step.
async fn serve(bound: Bound, closing: Closing, _ended: DropGuard) -> Result<(), BoxError> {
    let served = bound.serve(&closing).await?;
    if served.cut_off > 0 {
        tracing::warn!(
            connections = served.cut_off,
            "the control listener cut off connections that did not end in time"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lifecycle_core::{Defaults, Nanos, Registration, Retry};
    use lifecycle_runtime::{Handle, Orchestrator};

    use super::*;

    fn local() -> Arc<ControlHttp> {
        let any_port = "127.0.0.1:0".parse().unwrap();
        let http = ControlHttp::new(Options::new(any_port), Router::new());
        Arc::new(http)
    }

    /// Drives `http` with little time for each call.
    fn drive(http: &Arc<ControlHttp>) -> Handle {
        let limit = Nanos::from_millis(200);
        let mut builder = Orchestrator::builder();
        builder.defaults(Defaults {
            start: Retry::none().with_attempt_timeout(limit),
            dispose_timeout: limit,
            ..Defaults::default()
        });
        builder.register(Registration::new("http", Arc::clone(http)));
        builder.build().expect("one component").spawn()
    }

    #[tokio::test]
    async fn a_start_while_the_last_server_is_closing_fails_and_the_next_one_listens() {
        let http = local();
        let last = Serving {
            closing: Closing::new(),
            ended: CancellationToken::new(),
        };
        last.closing.drain.cancel();
        *http.slot() = Some(last.clone());
        let handle = drive(&http);
        handle.start().await.expect_err("it has not ended");

        last.ended.cancel();
        handle.start().await.expect("it has ended");
        assert_ne!(*http.address().borrow(), None);
        handle.stop().await.expect("the stop is clean");
    }

    #[tokio::test]
    async fn a_server_that_is_dropped_before_its_first_step_has_ended() {
        let http = local();
        let ended = CancellationToken::new();
        let bound = server::bind(&http.options, Router::new()).expect("a free port");
        drop(serve(bound, Closing::new(), ended.clone().drop_guard()));
        assert!(ended.is_cancelled());
    }
}
