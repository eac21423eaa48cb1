//! Which sealed datagrams have been here before: no socket, no clock, no keys.
//!
//! A seal proves who wrote a datagram, not when. So each carries the start of its sender and a number that rises with every
//! datagram of that start, and here is remembered what was the newest of both.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The most senders that are remembered; then who was silent longest is forgotten. Only who holds a key gets in here.
const MOST_SENDERS: usize = 4_096;

/// How far datagrams may overtake each other. A network that shuffles more of them loses some, as networks may.
const WINDOW: u64 = u128::BITS as u64;

/// What has been taken in from each sender.
#[derive(Debug, Default)]
pub(crate) struct Replays {
    senders: HashMap<String, Sender>,
}

/// When in its life a sender wrote a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Which start it was.
    pub(crate) generation: u64,
    /// The how-manieth datagram of that start it is.
    pub(crate) sequence: u64,
}

/// Why a datagram is not taken in although its seal is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Replay {
    /// A later start of its sender has been heard.
    OlderStart,
    /// It was here before, or so long ago that nobody knows.
    Again,
    /// It answers another node, or an earlier start of this one.
    ForAnother,
}

#[derive(Debug)]
struct Sender {
    generation: u64,
    /// The highest number that was taken in.
    highest: u64,
    /// Which of the numbers up to it were: bit 0 stands for `highest`.
    taken: u128,
    heard: Instant,
}

impl Replays {
    /// Takes in a datagram of `sender`, once. A sender that was silent for longer than `memory` is a new one.
    pub(crate) fn admit(
        &mut self,
        now: Instant,
        sender: &str,
        stamp: Stamp,
        memory: Duration,
    ) -> Result<(), Replay> {
        let known = self.senders.get_mut(sender);
        let known = known.filter(|it| now.saturating_duration_since(it.heard) <= memory);
        match known {
            Some(known) if stamp.generation < known.generation => Err(Replay::OlderStart),
            Some(known) if stamp.generation == known.generation => {
                known.take(stamp.sequence)?;
                known.heard = now;
                Ok(())
            }
            Some(_) | None => {
                self.enter(now, sender, stamp);
                Ok(())
            }
        }
    }

    fn enter(&mut self, now: Instant, sender: &str, stamp: Stamp) {
        if self.senders.len() >= MOST_SENDERS && !self.senders.contains_key(sender) {
            let silent = self.senders.iter().min_by_key(|(_, it)| it.heard);
            let silent = silent.map(|(name, _)| name.clone());
            silent.and_then(|it| self.senders.remove(&it));
        }
        let entered = Sender {
            generation: stamp.generation,
            highest: stamp.sequence,
            taken: 1,
            heard: now,
        };
        self.senders.insert(sender.to_owned(), entered);
    }
}

impl Sender {
    fn take(&mut self, sequence: u64) -> Result<(), Replay> {
        if sequence > self.highest {
            let ahead = sequence - self.highest;
            let shifted = u32::try_from(ahead)
                .ok()
                .and_then(|it| self.taken.checked_shl(it));
            self.taken = shifted.unwrap_or(0) | 1;
            self.highest = sequence;
            return Ok(());
        }
        let behind = self.highest - sequence;
        if behind >= WINDOW || self.taken & (1 << behind) != 0 {
            return Err(Replay::Again);
        }
        self.taken |= 1 << behind;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: Duration = Duration::from_secs(900);

    struct Run {
        replays: Replays,
        now: Instant,
    }

    impl Run {
        fn new() -> Self {
            Self {
                replays: Replays::default(),
                now: Instant::now(),
            }
        }

        fn admit(&mut self, sender: &str, generation: u64, sequence: u64) -> Result<(), Replay> {
            let stamp = Stamp {
                generation,
                sequence,
            };
            self.replays.admit(self.now, sender, stamp, MEMORY)
        }
    }

    #[test]
    fn a_datagram_is_taken_in_once_in_whatever_order_it_comes() {
        let mut run = Run::new();
        for sequence in [5, 3, 4, 9, 1, 200, 198, u64::MAX] {
            assert_eq!(run.admit("a", 1, sequence), Ok(()), "{sequence}");
            assert_eq!(
                run.admit("a", 1, sequence),
                Err(Replay::Again),
                "{sequence}"
            );
        }
        assert_eq!(run.admit("b", 1, 5), Ok(()), "senders are apart");
    }

    #[test]
    fn what_is_older_than_the_window_counts_as_seen() {
        let mut run = Run::new();
        assert_eq!(run.admit("a", 1, 200), Ok(()));
        assert_eq!(run.admit("a", 1, 200 - 127), Ok(()));
        assert_eq!(run.admit("a", 1, 200 - 128), Err(Replay::Again));
        assert_eq!(run.admit("a", 1, 0), Err(Replay::Again));
    }

    #[test]
    fn after_a_restart_nothing_of_an_earlier_start_is_taken_in() {
        let mut run = Run::new();
        assert_eq!(run.admit("a", 7, 900), Ok(()));
        assert_eq!(run.admit("a", 8, 0), Ok(()));
        assert_eq!(run.admit("a", 7, 901), Err(Replay::OlderStart));
        assert_eq!(run.admit("a", 8, 0), Err(Replay::Again));
        assert_eq!(run.admit("a", 8, 1), Ok(()));
    }

    #[test]
    fn who_is_silent_for_long_may_come_back_with_an_older_clock_and_replays_do_not_count_as_a_sound()
     {
        let mut run = Run::new();
        run.admit("a", 7, 1).unwrap();
        run.now += MEMORY;
        assert_eq!(run.admit("a", 6, 1), Err(Replay::OlderStart));
        run.now += Duration::from_secs(1);
        assert_eq!(run.admit("a", 6, 1), Ok(()));
    }

    #[test]
    fn no_more_than_so_many_senders_are_remembered_and_the_most_silent_is_forgotten() {
        let mut run = Run::new();
        for sender in 0..MOST_SENDERS {
            run.now += Duration::from_micros(1);
            run.admit(&sender.to_string(), 7, 1).unwrap();
        }
        run.admit("0", 7, 2).unwrap();
        run.admit("late", 7, 1).unwrap();
        assert_eq!(run.replays.senders.len(), MOST_SENDERS);
        assert!(!run.replays.senders.contains_key("1"));
        assert_eq!(run.admit("0", 7, 2), Err(Replay::Again));
    }
}
