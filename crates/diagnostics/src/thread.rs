//! [`Thread`]: the diagnostics' own thread and runtime, which no component can block (semantics 29).

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use lifecycle_adapters::tls::ServerAcceptor;
use tokio::runtime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::router::Shared;
use crate::server::{Bound, Closing};

/// How long the thread waits for blocking work that a mounted handler has left.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// A thread that serves. It ends when told to through `closing`, and only then unless something is wrong.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) address: SocketAddr,
    pub(crate) closing: Closing,
    pub(crate) tls: Option<ServerAcceptor>,
    /// What is wrong with the files of TLS, while something is.
    pub(crate) faults: watch::Receiver<Option<String>>,
    /// Cancelled as the last act of the thread.
    ended: CancellationToken,
    join: Mutex<Option<JoinHandle<()>>>,
}

impl Thread {
    /// Makes the thread; `bound` is answered from it right away. `faults` is what the files of its TLS are heard of by.
    pub(crate) fn serve(
        bound: Bound,
        surface: Shared,
        faults: watch::Receiver<Option<String>>,
    ) -> io::Result<Self> {
        let (address, tls) = (bound.address(), bound.tls().cloned());
        let closing = Closing::new();
        let ended = CancellationToken::new();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (told, guard) = (closing.clone(), ended.clone().drop_guard());
        let join = thread::Builder::new()
            .name("diagnostics".to_owned())
            .spawn(move || {
                // Dropped last, also in a panic: whoever waits for the thread must not wait in vain.
                let _guard = guard;
                runtime.block_on(run(bound, &told, &surface));
                runtime.shutdown_timeout(LEFTOVERS);
            })?;
        Ok(Self {
            address,
            closing,
            tls,
            faults,
            ended,
            join: Mutex::new(Some(join)),
        })
    }

    pub(crate) fn ended(&self) -> CancellationToken {
        self.ended.clone()
    }

    /// Whether it answers, and nobody has told it to close.
    pub(crate) fn is_serving(&self) -> bool {
        let Closing { drain, abort } = &self.closing;
        ![drain, abort, &self.ended]
            .into_iter()
            .any(CancellationToken::is_cancelled)
    }

    /// Waits until the thread is gone; told to close or not.
    pub(crate) async fn join(&self) {
        self.ended.cancelled().await;
        let mut slot = self.join.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(join) = slot.take() {
            // Its last act is behind it: there is nothing left to block on. How it ended is logged by the panic hook.
            let _ = join.join();
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // Nobody can ask it any more.
        self.closing.abort.cancel();
    }
}

async fn run(bound: Bound, closing: &Closing, surface: &Shared) {
    let tls = bound.tls().cloned();
    let certificates = async {
        if let Some(tls) = tls {
            tls.watch().await;
        }
    };
    let background = async {
        tokio::join!(
            certificates,
            surface.troubles.follow(&surface.handle),
            surface.timelines.follow(&surface.handle),
            metrics::keep_tidy(surface.recorder.as_ref()),
            surface.operations.carry_on(),
        )
    };
    tokio::select! {
        served = bound.serve(closing) => match served {
            Ok(served) if served.cut_off > 0 => {
                tracing::warn!(connections = served.cut_off, "diagnostics cut off connections that did not end in time");
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "diagnostics cannot serve"),
        },
        _ = background => {}
    }
}
