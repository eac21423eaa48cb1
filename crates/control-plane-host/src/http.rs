//! [`ControlHttp`]: the control listener as a component.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::Router;
use diagnostics::server::{self, Bound, Closing, Options};
use lifecycle_core::{BoxError, Lifecycle, StartContext, StopContext};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A listener whose connections are tasks of its generation.
///
/// - `start` opens the port, or fails with an error that names the address and leaves nothing open. Starting what runs
///   does nothing.
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
        if self.running().is_some_and(|it| !it.ended.is_cancelled()) {
            return Ok(());
        }
        let bound = server::bind(&self.options, self.router.clone())?;
        let address = bound.address();
        let serving = Serving {
            closing: Closing::new(),
            ended: CancellationToken::new(),
        };
        cx.spawn("server", serve(bound, serving.clone()));
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

async fn serve(bound: Bound, serving: Serving) -> Result<(), BoxError> {
    let _ended = serving.ended.drop_guard();
    let served = bound.serve(&serving.closing).await?;
    if served.cut_off > 0 {
        tracing::warn!(
            connections = served.cut_off,
            "the control listener cut off connections that did not end in time"
        );
    }
    Ok(())
}
