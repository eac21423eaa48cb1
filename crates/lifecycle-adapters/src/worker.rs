//! [`Worker`]: the one task of a generation that does a component's work, as the component sees it.

use std::time::Duration;

use lifecycle_core::{BoxError, StartContext, StopContext, TaskOutput};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How much of the time for a stop is kept for cutting off what does not end by itself.
const RESERVE: Duration = Duration::from_millis(500);

/// A task that ends by itself after the run token was cancelled, and at once when it is cut off.
#[derive(Clone, Debug)]
pub(crate) struct Worker {
    cut: CancellationToken,
    /// Cancelled when its generation goes down.
    run: CancellationToken,
    /// Cancelled when the task is gone, however it went.
    ended: CancellationToken,
}

impl Worker {
    /// Runs what `task` makes as a task of the generation; `task` is given the token that cuts it off.
    pub(crate) fn spawn<F>(
        cx: &StartContext,
        name: &'static str,
        task: impl FnOnce(CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output: TaskOutput> + Send + 'static,
    {
        let worker = Self {
            cut: CancellationToken::new(),
            run: cx.run_token(),
            ended: CancellationToken::new(),
        };
        let ended = worker.ended.clone().drop_guard();
        cx.spawn(name, hold(task(worker.cut.clone()), ended));
        worker
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Whether it works, and nobody has told it to end: a start of what runs changes nothing.
    pub(crate) fn is_at_work(&self) -> bool {
        ![&self.ended, &self.run, &self.cut]
            .into_iter()
            .any(CancellationToken::is_cancelled)
    }

    /// Waits until the task has ended, which it does by itself. Cuts it off when the stop is forced, and shortly before its
    /// time is up: what is stopped late is still stopped, and not left behind.
    pub(crate) async fn stop(&self, cx: &StopContext) {
        tokio::select! {
            biased;
            () = self.ended.cancelled() => return,
            () = cx.forced() => {}
            () = nearly_over(cx.remaining()) => {}
        }
        self.cut_off().await;
    }

    /// Cuts it off, and waits until it has ended.
    pub(crate) async fn cut_off(&self) {
        self.cut.cancel();
        self.ended.cancelled().await;
    }

    /// Makes way for the next task: one that an abandoned call has left behind holds what the next one needs.
    pub(crate) async fn make_way(&self, cx: &StartContext) -> Result<(), BoxError> {
        let gone = cx.token().run_until_cancelled_owned(self.cut_off()).await;
        gone.ok_or_else(|| "the task of the last generation has not ended".into())
    }
}

/// Holds the guard as an argument: it tells the end also when the task is dropped before its first step.
async fn hold<F: Future>(task: F, _ended: DropGuard) -> F::Output {
    task.await
}

async fn nearly_over(remaining: Option<Duration>) {
    let Some(remaining) = remaining else {
        return std::future::pending().await;
    };
    let reserve = RESERVE.min(remaining / 4);
    tokio::time::sleep(remaining - reserve).await;
}
