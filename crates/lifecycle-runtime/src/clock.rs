//! [`Clock`]: the engine's time, from tokio's.

use std::time::{Duration, SystemTime};

use lifecycle_core::{Nanos, Time};
use tokio::time::Instant;

/// Thirty years: what tokio's timers can hold, and longer than any wait that is meant.
const FAR: Duration = Duration::from_secs(86_400 * 365 * 30);

/// Tells the engine's [`Time`] from tokio's clock, and back.
///
/// Its origin is the moment when the builder was made. It follows tokio's clock, so that tests can pause it; wall-clock
/// times are derived from the origin and do not jump with the system's clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    wall: SystemTime,
}

impl Clock {
    pub(crate) fn starting_now() -> Self {
        Self {
            origin: Instant::now(),
            wall: SystemTime::now(),
        }
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Time {
        self.time(Instant::now())
    }

    /// `instant` as the engine counts; moments before the origin count as the origin.
    #[must_use]
    pub fn time(&self, instant: Instant) -> Time {
        Time::new(Nanos::from(instant.saturating_duration_since(self.origin)))
    }

    /// The instant of `time`; at most thirty years after the origin.
    #[must_use]
    pub fn instant(&self, time: Time) -> Instant {
        let since = Duration::from(time.since_origin()).min(FAR);
        self.origin.checked_add(since).unwrap_or(self.origin)
    }

    /// The wall-clock time of `time`; at most thirty years after the origin.
    #[must_use]
    pub fn system_time(&self, time: Time) -> SystemTime {
        let since = Duration::from(time.since_origin()).min(FAR);
        self.wall.checked_add(since).unwrap_or(self.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_follows_tokio_and_converts_back() {
        let clock = Clock::starting_now();
        assert_eq!(clock.now(), Time::ZERO);
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now(), Time::new(Nanos::from_secs(3)));
        assert_eq!(clock.instant(clock.now()), Instant::now());
        assert!(clock.instant(Time::MAX) > Instant::now());
    }
}
