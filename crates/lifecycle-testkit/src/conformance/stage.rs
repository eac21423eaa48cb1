//! [`Stage`]: the scope of a component under trial, as an orchestrator would keep it.

use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle_core::engine::AttemptKey;
use lifecycle_core::{BoxError, ComponentName, Report, Scope, ScopeTask};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;

/// The tasks and tokens of one generation.
pub(super) struct Stage {
    name: ComponentName,
    key: AttemptKey,
    start: CancellationToken,
    run: CancellationToken,
    force: CancellationToken,
    deadline: Instant,
    is_closed: AtomicBool,
    tasks: Mutex<Vec<Task>>,
}

struct Task {
    name: Cow<'static, str>,
    handle: JoinHandle<Result<(), BoxError>>,
    /// Before the run token was cancelled: an error is a loss then.
    ended_unasked: bool,
}

impl Stage {
    pub(super) fn new(name: ComponentName, key: AttemptKey, limit: Duration) -> Self {
        Self {
            name,
            key,
            start: CancellationToken::new(),
            run: CancellationToken::new(),
            force: CancellationToken::new(),
            deadline: Instant::now() + limit,
            is_closed: AtomicBool::new(false),
            tasks: Mutex::default(),
        }
    }

    /// Asks every task to end; notes those that have ended unasked.
    pub(super) fn cancel_run(&self) {
        if self.run.is_cancelled() {
            return;
        }
        for task in &mut *self.tasks() {
            task.ended_unasked = task.handle.is_finished();
        }
        self.run.cancel();
    }

    /// Ends the generation: no new tasks, and those that there are end within `grace` or are aborted. Says what was wrong
    /// with them.
    pub(super) async fn close(&self, grace: Duration) -> Vec<String> {
        self.is_closed.store(true, Ordering::SeqCst);
        self.cancel_run();
        let deadline = Instant::now() + grace;
        let tasks = std::mem::take(&mut *self.tasks());
        let mut troubles = Vec::new();
        for task in tasks {
            troubles.extend(task.end(deadline, grace).await);
        }
        troubles
    }

    fn tasks(&self) -> MutexGuard<'_, Vec<Task>> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Task {
    async fn end(mut self, deadline: Instant, grace: Duration) -> Option<String> {
        let name = &self.name;
        match timeout_at(deadline, &mut self.handle).await {
            Ok(Ok(Err(error))) if self.ended_unasked => {
                Some(format!("its task \"{name}\" failed while it ran: {error}"))
            }
            Ok(Ok(_)) => None,
            Ok(Err(error)) if error.is_panic() => Some(format!("its task \"{name}\" panicked")),
            Ok(Err(_)) => Some(format!("its task \"{name}\" was aborted by somebody")),
            Err(_) => {
                self.handle.abort();
                // Gone, unless it blocks its thread; then it shows as alive.
                let _ = timeout_at(Instant::now() + grace, &mut self.handle).await;
                Some(format!(
                    "its task \"{name}\" did not end within {grace:?} after the run token was cancelled"
                ))
            }
        }
    }
}

impl Scope for Stage {
    fn component(&self) -> &ComponentName {
        &self.name
    }

    fn key(&self) -> AttemptKey {
        self.key
    }

    fn start_token(&self) -> CancellationToken {
        self.start.clone()
    }

    fn run_token(&self) -> CancellationToken {
        self.run.clone()
    }

    fn force_token(&self) -> CancellationToken {
        self.force.clone()
    }

    fn remaining(&self) -> Option<Duration> {
        Some(self.deadline.saturating_duration_since(Instant::now()))
    }

    fn spawn(&self, task: ScopeTask) {
        if self.is_closed.load(Ordering::SeqCst) {
            return;
        }
        let task = Task {
            name: task.name,
            handle: tokio::spawn(task.future),
            ended_unasked: false,
        };
        self.tasks().push(task);
    }

    fn report(&self, _report: Report) {}
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("name", &self.name)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
