//! [`Interrupts`]: who may ask a host to stop, and how it obeys.

use std::convert::Infallible;
use std::future;
use std::io;
use std::pin::Pin;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log::LAST_LINES;
use super::stderr;
use crate::handle::Handle;

/// The signals of the process, or in tests a future in their place.
pub(super) enum Interrupts {
    /// SIGTERM and SIGINT.
    Signals {
        terminate: Signal,
        interrupt: Signal,
    },
    /// Something that happens once; `None` when it has.
    Once(Option<Pin<Box<dyn Future<Output = ()> + Send>>>),
}

impl Interrupts {
    /// Takes over the signals of the process, from now on; needs a runtime's context.
    pub(super) fn of_process() -> io::Result<Self> {
        Ok(Self::Signals {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    pub(super) fn once(shutdown: impl Future<Output = ()> + Send + 'static) -> Self {
        Self::Once(Some(Box::pin(shutdown)))
    }

    /// The number of the next signal.
    async fn next(&mut self) -> i32 {
        match self {
            Self::Signals {
                terminate,
                interrupt,
            } => tokio::select! {
                Some(()) = terminate.recv() => SignalKind::terminate().as_raw_value(),
                Some(()) = interrupt.recv() => SignalKind::interrupt().as_raw_value(),
                else => future::pending().await,
            },
            Self::Once(shutdown) => {
                let Some(pending) = shutdown else {
                    return future::pending().await;
                };
                pending.await;
                *shutdown = None;
                SignalKind::terminate().as_raw_value()
            }
        }
    }

    /// Whether a signal came before this was first asked (semantics 12).
    pub(super) async fn came_already(&mut self) -> bool {
        // The runtime passes a signal on when it looks at its sources, which it does while a task yields.
        tokio::task::yield_now().await;
        tokio::select! {
            biased;
            signal = self.next() => {
                tracing::info!(target: "lifecycle", event = "host.signal", signal, "asked to stop before the start");
                true
            }
            () = future::ready(()) => false,
        }
    }

    /// Obeys: the first signal stops gracefully, the second by force, the third ends the process.
    pub(super) async fn obey(&mut self, handle: &Handle) -> Infallible {
        let signal = self.next().await;
        tracing::info!(target: "lifecycle", event = "host.signal", signal, "asked to stop");
        let stopping = handle.clone();
        tokio::spawn(async move { stopping.stop().await });

        let signal = self.next().await;
        tracing::warn!(target: "lifecycle", event = "host.signal", signal, "asked again: stopping by force");
        let forcing = handle.clone();
        tokio::spawn(async move { forcing.force().await });

        let signal = self.next().await;
        tracing::error!(target: "lifecycle", event = "host.signal", signal, "asked a third time: giving up");
        end_process(128 + signal)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what ends the process at once cannot wait for a thread that something may hold"
)]
pub(super) fn end_process(code: i32) -> ! {
    stderr::flush(LAST_LINES);
    std::process::exit(code)
}
