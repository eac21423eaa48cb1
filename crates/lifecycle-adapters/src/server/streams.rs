//! [`Streams`]: the tasks of one HTTP/2 connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::rt::Executor;
use tokio::task::{JoinError, JoinSet};

/// Runs each request of an HTTP/2 connection as a task of its own, and ends with the connection what is left of them.
///
/// Hyper's own executor lets them go, so that nobody could cut them off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams {
    tasks: Arc<Mutex<JoinSet<()>>>,
}

impl Streams {
    /// Drops what is still at work, and waits until it is gone.
    pub(crate) async fn end(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks());
        tasks.abort_all();
        while let Some(ended) = tasks.join_next().await {
            note(ended);
        }
    }

    fn tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        let mut tasks = self.tasks();
        while let Some(ended) = tasks.try_join_next() {
            note(ended);
        }
        tasks.spawn(async move {
            future.await;
        });
    }
}

fn note(ended: Result<(), JoinError>) {
    if ended.is_err_and(|it| it.is_panic()) {
        tracing::error!("a handler panicked; its request was reset");
    }
}
