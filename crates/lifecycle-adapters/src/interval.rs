//! [`Interval`]: a closure that runs once a period.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lifecycle_core::{BoxError, Lifecycle, Reporter, StartContext, StopContext, TaskOutput};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::worker::Worker;

/// The shortest period: what is shorter is a loop, and better written as one.
const SHORTEST: Duration = Duration::from_millis(1);
/// The longest period, so that adding it to a point in time cannot overflow.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Runs an async closure once a period, from start to stop.
///
/// - Ticks never overlap. One that takes longer than a period delays the next ones; none are made up for: the next comes
///   as soon as it has ended, and then one each period from there.
/// - An error or a panic of a tick is a loss of the component, so that its restart policy says what follows. What shall
///   not end it is handled in the closure.
/// - `start` returns at once; it does not wait for the first tick. Starting what runs changes nothing.
/// - `stop` begins no further tick and lets the present one finish: work is not left half done. A tick that takes long
///   heeds [`Tick::cancelled`]. It is cut off, that is, its future dropped, when the stop is forced or its time is nearly
///   up.
/// - It takes no part in a drain: its work does not come from outside.
///
/// ```
/// use std::time::Duration;
///
/// use lifecycle_adapters::{First, Interval};
/// use lifecycle_core::{BoxError, Registration};
///
/// # async fn sweep() -> Result<(), BoxError> { Ok(()) }
/// let sweeper = Interval::every(Duration::from_secs(60), async |_| sweep().await)
///     .first(First::AfterOnePeriod);
/// let registration = Registration::new("sweeper", sweeper).depends_on(["pool"]);
/// ```
pub struct Interval<F> {
    period: Duration,
    first: First,
    run: Arc<F>,
    worker: Mutex<Option<Worker>>,
}

/// When the first tick is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum First {
    /// As the component has started.
    #[default]
    AtOnce,
    /// One period later.
    AfterOnePeriod,
}

/// What one run of the closure is given.
#[derive(Clone, Debug)]
pub struct Tick {
    number: u64,
    run: CancellationToken,
    reporter: Reporter,
}

impl<F, Fut> Interval<F>
where
    F: Fn(Tick) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: TaskOutput> + Send + 'static,
{
    /// Runs `run` once each `period`, at once for the first time unless [told otherwise](Self::first).
    ///
    /// A period of less than a millisecond counts as one, and one of more than ten years as ten years.
    #[must_use]
    pub fn every(period: Duration, run: F) -> Self {
        Self {
            period: period.clamp(SHORTEST, LONGEST),
            first: First::default(),
            run: Arc::new(run),
            worker: Mutex::new(None),
        }
    }

    /// Sets when the first tick is.
    #[must_use]
    pub fn first(mut self, first: First) -> Self {
        self.first = first;
        self
    }
}

impl<F> Interval<F> {
    fn slot(&self) -> MutexGuard<'_, Option<Worker>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn worker(&self) -> Option<Worker> {
        self.slot().clone()
    }
}

impl Tick {
    /// Which tick of this generation it is, counted from 1.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The run token: cancelled when the component is asked to stop.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.run.clone()
    }

    /// Completes when the component is asked to stop: come to an end, there is no further tick.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn cancelled(&self) {
        self.run.cancelled().await;
    }

    /// The component's own voice, to say how it fares.
    #[must_use]
    pub fn reporter(&self) -> &Reporter {
        &self.reporter
    }
}

impl<F, Fut> Lifecycle for Interval<F>
where
    F: Fn(Tick) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: TaskOutput> + Send + 'static,
{
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        if let Some(last) = self.worker() {
            if last.is_at_work() {
                return Ok(());
            }
            last.make_way(cx).await?;
        }
        let ticks = Ticks {
            period: self.period,
            first: self.first,
            run: Arc::clone(&self.run),
            stopped: cx.run_token(),
            reporter: cx.reporter(),
        };
        let worker = Worker::spawn(cx, "ticks", |cut| ticks.until_cut_off(cut));
        *self.slot() = Some(worker);
        Ok(())
    }

    async fn stop(&self, cx: &StopContext) -> Result<(), BoxError> {
        if let Some(worker) = self.worker() {
            cx.progress("letting the present tick finish");
            worker.stop(cx).await;
        }
        Ok(())
    }

    async fn dispose(&self) -> Result<(), BoxError> {
        if let Some(worker) = self.worker() {
            worker.cut_off().await;
        }
        Ok(())
    }
}

/// The loop of one generation.
struct Ticks<F> {
    period: Duration,
    first: First,
    run: Arc<F>,
    stopped: CancellationToken,
    reporter: Reporter,
}

impl<F, Fut> Ticks<F>
where
    F: Fn(Tick) -> Fut + Send + Sync + 'static,
    Fut: Future<Output: TaskOutput> + Send + 'static,
{
    async fn until_cut_off(self, cut: CancellationToken) -> Result<(), BoxError> {
        tokio::select! {
            // Between two ticks it ends by itself, and there is nothing to cut off.
            biased;
            ended = self.until_stopped() => ended,
            () = cut.cancelled() => {
                tracing::warn!("a tick was cut off");
                Ok(())
            }
        }
    }

    async fn until_stopped(&self) -> Result<(), BoxError> {
        let first = match self.first {
            First::AtOnce => Instant::now(),
            First::AfterOnePeriod => Instant::now() + self.period,
        };
        let mut timer = tokio::time::interval_at(first, self.period);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for number in 1.. {
            tokio::select! {
                // No tick begins once the stop has, however late the last one is.
                biased;
                () = self.stopped.cancelled() => break,
                _ = timer.tick() => {}
            }
            let tick = Tick {
                number,
                run: self.stopped.clone(),
                reporter: self.reporter.clone(),
            };
            (self.run)(tick).await.into_result()?;
        }
        Ok(())
    }
}

impl<F> fmt::Debug for Interval<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interval")
            .field("period", &self.period)
            .field("first", &self.first)
            .finish_non_exhaustive()
    }
}
