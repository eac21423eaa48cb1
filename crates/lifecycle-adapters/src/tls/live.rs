//! [`Live`]: a configuration whose files are read again.

use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle_core::Failure;

use super::error::TlsError;
use super::expiry::Meters;
use super::reading::Read;

/// How soon files are looked at again that were not in order: of two that belong together, one may have been written first.
const AGAIN: Duration = Duration::from_secs(10);

/// What is made of files.
pub(crate) trait Files: Clone + Send + Sync + 'static {
    type Config: Send + Sync;

    /// Reads them. Blocks.
    fn read(&self) -> Result<Read<Self::Config>, TlsError>;

    /// How often they are looked at.
    fn interval(&self) -> Duration;
}

/// Told what is wrong with the files, or that nothing is any more.
type Tell = Box<dyn Fn(Option<&str>) + Send + Sync>;

/// The configuration of one generation. The last one that was in order holds.
pub(crate) struct Live<F: Files> {
    files: F,
    /// Whose they are, for the log.
    owner: String,
    tell: Tell,
    expiry: Meters,
    /// Held while files are read and what they say is taken in: one after the other.
    turn: Mutex<()>,
    current: Mutex<Current<F::Config>>,
}

struct Current<C> {
    read: Read<C>,
    fault: Option<String>,
}

impl<F: Files> Live<F> {
    /// Reads the files for the first time.
    ///
    /// # Errors
    ///
    /// [`TlsError`] with all that is wrong with them.
    pub(crate) async fn open(
        files: F,
        owner: &str,
        tell: impl Fn(Option<&str>) + Send + Sync + 'static,
    ) -> Result<Arc<Self>, TlsError> {
        let first = files.clone();
        let read = blocking(move || first.read()).await?;
        Ok(Arc::new(Self {
            files,
            owner: owner.to_owned(),
            tell: Box::new(tell),
            expiry: Meters::new(owner, read.ends),
            turn: Mutex::default(),
            current: Mutex::new(Current { read, fault: None }),
        }))
    }

    /// What holds for a new connection.
    pub(super) fn config(&self) -> Arc<F::Config> {
        Arc::clone(&lock(&self.current).read.config)
    }

    /// Looks at the files from time to time; never ends.
    pub(crate) async fn watch(self: &Arc<Self>) {
        loop {
            let interval = self.files.interval();
            let is_faulty = lock(&self.current).fault.is_some();
            let pause = if is_faulty {
                interval.min(AGAIN)
            } else {
                interval
            };
            tokio::time::sleep(pause).await;
            // What is wrong has been told.
            let _ = self.reload().await;
        }
    }

    /// Reads the files again. What is wrong is told when it begins, and when it ends.
    ///
    /// # Errors
    ///
    /// [`TlsError`] when they are not in order; what held before goes on to hold.
    pub(crate) async fn reload(self: &Arc<Self>) -> Result<(), TlsError> {
        let live = Arc::clone(self);
        blocking(move || live.read_again()).await
    }

    fn read_again(&self) -> Result<(), TlsError> {
        let _turn = lock(&self.turn);
        match self.files.read() {
            Ok(read) => {
                self.take(read);
                Ok(())
            }
            Err(error) => {
                self.keep(&error);
                Err(error)
            }
        }
    }

    fn take(&self, read: Read<F::Config>) {
        let mut current = lock(&self.current);
        let is_mended = current.fault.take().is_some();
        // The same files are the same configuration, with the sessions that clients may resume.
        let is_new = current.read.bytes != read.bytes;
        if is_new {
            self.expiry.set(read.ends);
            current.read = read;
        }
        drop(current);
        if is_new {
            tracing::info!(component = self.owner, "new certificates are in use");
        }
        if is_mended {
            tracing::info!(
                component = self.owner,
                "the certificates are in order again"
            );
            (self.tell)(None);
        }
    }

    fn keep(&self, error: &TlsError) {
        let fault = Failure::from_error(error).message;
        let before = lock(&self.current).fault.replace(fault.clone());
        if before.as_ref() == Some(&fault) {
            return;
        }
        tracing::warn!(
            component = self.owner,
            error = fault,
            "certificates could not be read again; those of before stay in use"
        );
        (self.tell)(Some(&fault));
    }
}

impl<F: Files> fmt::Debug for Live<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `work` gives, which waits for a disk.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => resume_unwind(panic),
            // The runtime goes down, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
