//! Whom a newcomer greets, and when: no socket, no protocol.
//!
//! A node is a member once two of its heartbeats have been heard, and rounds alone take some four to bring them to everybody. So a
//! node that has just started exchanges what it knows with a few others, more often than its rounds do: its first heartbeats
//! begin in many places at once. It greets whom it has heard of, and not its seeds, each in an order and at moments of its own: where a
//! whole cluster starts at the same time, no node is greeted by all of it.

use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

/// How often a newcomer greets.
const GREETINGS: u32 = 8;

/// The most nodes that it greets at a time.
const GREETED_AT_ONCE: usize = 8;

/// The greetings that a node has not made yet.
#[derive(Debug)]
pub(crate) struct Greetings {
    left: u32,
    next: Instant,
    pace: Duration,
    /// Draws order and moments.
    dice: RandomState,
    greeted: usize,
}

impl Greetings {
    /// Begins now; there is a `pace` between two of them, more or less.
    pub(crate) fn new(pace: Duration) -> Self {
        let mut greetings = Self {
            left: GREETINGS,
            next: Instant::now(),
            pace,
            dice: RandomState::new(),
            greeted: 0,
        };
        greetings.put_off();
        greetings
    }

    /// Completes when the next one is due; never when all were made.
    pub(crate) async fn due(&self) {
        match self.left {
            0 => std::future::pending().await,
            _ => sleep_until(self.next).await,
        }
    }

    /// Makes the one that is due: whom of `known` it is for. Nobody comes again before everybody had a turn.
    pub(crate) fn make(&mut self, mut known: Vec<SocketAddr>) -> Vec<SocketAddr> {
        self.left = self.left.saturating_sub(1);
        self.put_off();
        known.sort_by_key(|it| self.dice.hash_one(it));
        known.dedup();
        if !known.is_empty() {
            let turn = self.greeted % known.len();
            known.rotate_left(turn);
            known.truncate(GREETED_AT_ONCE);
        }
        self.greeted += known.len();
        known
    }

    /// Half a pace to one and a half.
    fn put_off(&mut self) {
        let drawn = u32::try_from(self.dice.hash_one(self.left) % 1_000).unwrap_or(0);
        self.next += self.pace / 2 + self.pace * drawn / 1_000;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const PACE: Duration = Duration::from_millis(250);

    fn known(count: u16) -> Vec<SocketAddr> {
        let addresses = (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        addresses.collect()
    }

    #[tokio::test(start_paused = true)]
    async fn it_greets_eight_times_at_moments_of_its_own_and_then_never_again() {
        let mut greetings = Greetings::new(PACE);
        let mut last = Instant::now();
        for _ in 0..GREETINGS {
            greetings.due().await;
            let waited = last.elapsed();
            // A timer counts whole milliseconds.
            let longest = PACE * 3 / 2 + Duration::from_millis(1);
            assert!((PACE / 2..=longest).contains(&waited), "{waited:?}");
            last = Instant::now();
            assert_eq!(greetings.make(known(3)).len(), 3);
        }
        let more = tokio::time::timeout(Duration::from_secs(60), greetings.due()).await;
        assert!(more.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn two_newcomers_greet_at_different_moments_and_in_different_orders() {
        let orders = [(); 2].map(|()| Greetings::new(PACE).make(known(1_000)));
        assert_ne!(orders[0], orders[1]);
        // Two may be the same; twenty are not.
        let moments: HashSet<_> = (0..20).map(|_| Greetings::new(PACE).next).collect();
        assert!(moments.len() > 1);
    }

    #[tokio::test]
    async fn nobody_is_greeted_again_before_everybody_was_and_never_more_than_eight_at_once() {
        let mut greetings = Greetings::new(PACE);
        let mut greeted = Vec::new();
        for _ in 0..3 {
            let now = greetings.make(known(20));
            assert_eq!(now.len(), GREETED_AT_ONCE);
            greeted.extend(now);
        }
        assert_eq!(greeted[..20].iter().collect::<HashSet<_>>().len(), 20);
        assert_eq!(greeted[20..], greeted[..4]);
        assert_eq!(greetings.make(Vec::new()), []);
    }
}
