//! [`Exporter`]: the spans of a host, sent to a collector.

use std::fmt;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use lifecycle_runtime::Traces;
use tokio::runtime;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{Layer, Registry};

use super::account::Account;
use super::layer::{SpanLayer, filter};
use super::link::Link;
use super::settings::Settings;
use super::worker::Worker;

/// Sends the spans of a host to a collector.
///
/// ```
/// use std::sync::Arc;
///
/// use lifecycle_adapters::otlp::{Endpoint, Exporter, Settings};
/// use lifecycle_runtime::HostConfig;
///
/// let mut settings = Settings::to(Endpoint::parse("http://127.0.0.1:4317")?);
/// settings.resource = vec![("service.name".into(), "pets".into())];
/// let config = HostConfig {
///     traces: Some(Arc::new(Exporter::new(settings))),
///     ..HostConfig::default()
/// };
/// # let _ = config;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Exporter {
    settings: Settings,
    account: Arc<Account>,
    ending: CancellationToken,
    /// Closed when the thread is done; `None` before it has begun, and after the flush.
    done: Mutex<Option<Done>>,
}

struct Done(Receiver<()>);

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done")
    }
}

impl Exporter {
    /// An exporter that has begun nothing: its thread begins when a host asks for its [layer](Traces::layer).
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            account: Arc::default(),
            ending: CancellationToken::new(),
            done: Mutex::new(None),
        }
    }

    /// Begins the thread that sends.
    fn begin(&self, worker: Worker) -> io::Result<Done> {
        let settings = self.settings.clone();
        let (ended, done) = channel();
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let sending = move || {
            let entered = runtime.enter();
            let link = Link::new(&settings);
            drop(entered);
            runtime.block_on(worker.run(link));
            drop(ended);
            // A name that is still being looked up holds up nobody.
            runtime.shutdown_background();
        };
        thread::Builder::new()
            .name("traces".to_owned())
            .spawn(sending)?;
        Ok(Done(done))
    }

    fn take_done(&self) -> Option<Done> {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.take()
    }
}

impl Traces for Exporter {
    fn layer(&self) -> Box<dyn Layer<Registry> + Send + Sync> {
        let account = Arc::clone(&self.account);
        let (queue, worker) = Worker::new(&self.settings, account, self.ending.clone());
        match self.begin(worker) {
            Ok(done) => {
                let mut place = self.done.lock().unwrap_or_else(PoisonError::into_inner);
                *place = Some(done);
            }
            // Without a thread the queue is closed, and all spans are counted as lost.
            Err(error) => self.account.went_wrong(&error.to_string()),
        }
        let layer = SpanLayer::new(queue, self.settings.sample_ratio);
        Box::new(layer.with_filter(filter()))
    }

    fn flush_timeout(&self) -> Duration {
        self.settings.flush_timeout
    }

    fn flush(&self) {
        let Some(Done(done)) = self.take_done() else {
            return;
        };
        self.ending.cancel();
        match done.recv_timeout(self.settings.flush_timeout) {
            Ok(()) | Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout) => {}
        }
        self.account.conclude();
    }
}
