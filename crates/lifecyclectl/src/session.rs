//! [`Session`]: what every command has: a host, a screen, and how long it may take.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use crate::client::{Client, REQUEST};
use crate::screen::Screen;

/// How much longer than an operation's own deadline its end is waited for.
const GRACE: Duration = Duration::from_secs(10);

/// What every command has.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) screen: Screen,
    /// Unset, each request has [`REQUEST`], and a wait is as long as [`patience`](Self::patience) says.
    pub(crate) timeout: Option<Duration>,
    /// What goes on although the client is interrupted.
    going_on: Mutex<Option<String>>,
}

impl Session {
    pub(crate) fn new(client: Client, screen: Screen, timeout: Option<Duration>) -> Self {
        Self {
            client,
            screen,
            timeout,
            going_on: Mutex::new(None),
        }
    }

    /// How long to wait for the end of something: `--timeout`, or until a little after its own deadline, or [`REQUEST`].
    pub(crate) fn patience(&self, deadline: Option<Timestamp>, now: Timestamp) -> Patience {
        let left = deadline.map(|it| it.duration_since(now));
        let left = left.map(|it| it.try_into().unwrap_or(Duration::ZERO) + GRACE);
        Patience::of(self.timeout.or(left).unwrap_or(REQUEST))
    }

    /// Remembers what to say when somebody interrupts the client from here on.
    pub(crate) fn goes_on(&self, what: impl Into<String>) {
        *self.going_on.lock().unwrap_or_else(PoisonError::into_inner) = Some(what.into());
    }

    /// What to say when the client is interrupted now.
    pub(crate) fn interruption(&self) -> String {
        let going_on = self.going_on.lock();
        let going_on = going_on.unwrap_or_else(PoisonError::into_inner).clone();
        let nothing = || "nothing was begun".to_owned();
        format!("interrupted: {}", going_on.unwrap_or_else(nothing))
    }
}

/// Until when something is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub(crate) length: Duration,
    until: Instant,
}

impl Patience {
    pub(crate) fn of(length: Duration) -> Self {
        Self {
            length,
            until: Instant::now() + length,
        }
    }

    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    pub(crate) fn is_over(&self) -> bool {
        self.left().is_zero()
    }

    /// Sleeps for `pause`, but not beyond the end.
    pub(crate) async fn pause(&self, pause: Duration) {
        tokio::time::sleep(pause.min(self.left())).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Trust;

    #[test]
    fn a_wait_is_as_long_as_the_flag_or_the_deadline_and_a_little_or_ten_seconds() {
        let now: Timestamp = "2026-11-28T06:50:00Z".parse().unwrap();
        let in_a_minute = "2026-11-28T06:51:00Z".parse().ok();
        let long_ago = "2026-11-28T06:00:00Z".parse().ok();
        let length = |timeout, deadline| {
            let client = Client::new("a".parse().unwrap(), Trust::default(), None, REQUEST);
            let client = client.unwrap();
            let session = Session::new(client, Screen::plain(), timeout);
            session.patience(deadline, now).length.as_secs()
        };
        assert_eq!(length(None, None), 10);
        assert_eq!(length(None, in_a_minute), 70);
        assert_eq!(length(None, long_ago), 10);
        assert_eq!(length(Some(Duration::from_secs(3)), in_a_minute), 3);
    }
}
