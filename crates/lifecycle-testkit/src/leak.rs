//! [`LeakGuard`]: what is alive or held at the end that was not at the beginning.

use std::fmt;
use std::time::Duration;

use tokio::runtime;
use tokio::time::Instant;

use crate::record::Record;

/// How long what was asked to end may take to be gone, unless set.
const GRACE: Duration = Duration::from_secs(1);

/// Counts the tasks of the current runtime, and what scripted components hold.
///
/// ```
/// use lifecycle_testkit::{LeakGuard, Scripted, launch, simulate};
///
/// simulate(async {
///     let db = Scripted::new("db");
///     let guard = LeakGuard::new().with(&db.record());
///     let handle = launch([db.registration()]);
///     handle.start().await.unwrap();
///     handle.stop().await.unwrap();
///     drop(handle);
///     guard.assert_no_leaks().await;
/// });
/// ```
#[derive(Debug)]
pub struct LeakGuard {
    runtime: runtime::Handle,
    tasks: usize,
    records: Vec<Record>,
    grace: Duration,
}

/// What is left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaks {
    /// How many tasks are alive beyond those at the beginning.
    pub tasks: usize,
    /// What scripted components hold or have alive, a line each.
    pub records: Vec<String>,
}

impl LeakGuard {
    /// Counts what is alive now.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn new() -> Self {
        let runtime = runtime::Handle::current();
        Self {
            tasks: runtime.metrics().num_alive_tasks(),
            runtime,
            records: Vec::new(),
            grace: GRACE,
        }
    }

    /// Also looks at `record`: everything acquired must be disposed.
    #[must_use]
    pub fn with(mut self, record: &Record) -> Self {
        self.records.push(record.clone());
        self
    }

    /// Sets how long what was asked to end may take to be gone (1 s).
    #[must_use]
    pub fn within(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Waits until nothing is left, for as long as the grace lasts. Drop the handles of an orchestrator first: its driver
    /// is a task that lives as long as they do.
    ///
    /// # Errors
    ///
    /// [`Leaks`] with what is left then.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn check(&self) -> Result<(), Leaks> {
        let deadline = Instant::now() + self.grace;
        loop {
            let leaks = self.leaks();
            if leaks.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(leaks);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// As [`check`](Self::check).
    ///
    /// # Panics
    ///
    /// When something is left.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn assert_no_leaks(&self) {
        if let Err(leaks) = self.check().await {
            panic!("{leaks}");
        }
    }

    fn leaks(&self) -> Leaks {
        let alive = self.runtime.metrics().num_alive_tasks();
        Leaks {
            tasks: alive.saturating_sub(self.tasks),
            records: self.records.iter().filter_map(Record::leak).collect(),
        }
    }
}

impl Default for LeakGuard {
    fn default() -> Self {
        Self::new()
    }
}

/// Runs `test` and asserts that it leaves no task of the current runtime alive.
///
/// # Panics
///
/// When it does, or outside of a tokio runtime.
///
/// # Cancel safety
///
/// Safe if `test` is.
pub async fn assert_no_leaks<F: Future>(test: F) -> F::Output {
    let guard = LeakGuard::new();
    let output = test.await;
    guard.assert_no_leaks().await;
    output
}

impl Leaks {
    fn is_empty(&self) -> bool {
        self.tasks == 0 && self.records.is_empty()
    }
}

impl fmt::Display for Leaks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something is left:")?;
        if self.tasks > 0 {
            write!(f, "\n  - {} tasks of the runtime are alive", self.tasks)?;
        }
        self.records
            .iter()
            .try_for_each(|it| write!(f, "\n  - {it}"))
    }
}

impl std::error::Error for Leaks {}
