//! [`Clock`]: time that goes on while the machine sleeps.

use std::time::Duration;

use lifecycle_core::{Nanos, Time};
use rustix::time::{ClockId, Timespec, clock_gettime};
use tokio::time::Instant;

/// Tells time as leases need it.
///
/// It follows tokio's clock, so that tests can pause it, and adds whatever the machine has slept since: tokio's clock stands
/// still meanwhile, and a lease does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Clock {
    origin: Instant,
    slept: Duration,
}

impl Clock {
    pub(crate) fn starting_now() -> Self {
        Self {
            origin: Instant::now(),
            slept: slept(),
        }
    }

    pub(crate) fn now(&self) -> Time {
        let awake = self.origin.elapsed();
        Time::new(Nanos::from(awake.saturating_add(self.slept())))
    }

    /// How long the machine has slept since the origin.
    pub(crate) fn slept(&self) -> Duration {
        let slept = slept().saturating_sub(self.slept);
        if slept < NOISE { Duration::ZERO } else { slept }
    }

    /// The instant of `time`, if the machine does not sleep before.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        Instant::now() + Duration::from(time.since(self.now()))
    }
}

/// What two readings may differ by although nobody slept.
const NOISE: Duration = Duration::from_millis(50);

/// A reading that took longer is made again: this thread was held up in the middle of it.
const QUICK: Duration = Duration::from_millis(1);
const READINGS: u32 = 16;

/// How long the machine has slept since it was booted.
fn slept() -> Duration {
    let mut least = Duration::MAX;
    for _ in 0..READINGS {
        let before = since_zero(clock_gettime(ClockId::Monotonic));
        let booted = boot_time();
        let after = since_zero(clock_gettime(ClockId::Monotonic));
        least = least.min(booted.saturating_sub(before));
        if after.saturating_sub(before) < QUICK {
            break;
        }
    }
    least
}

/// The time since the machine was booted, sleep included; the same for all processes.
#[cfg(target_os = "linux")]
pub(crate) fn boot_time() -> Duration {
    since_zero(clock_gettime(ClockId::Boottime))
}

/// Elsewhere the monotonic clock is the nearest to it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn boot_time() -> Duration {
    since_zero(clock_gettime(ClockId::Monotonic))
}

fn since_zero(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_follows_tokio_and_converts_back() {
        let clock = Clock::starting_now();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(clock.now().since(before), Nanos::from_secs(3));
        assert_eq!(clock.instant(clock.now()), Instant::now());
    }
}
