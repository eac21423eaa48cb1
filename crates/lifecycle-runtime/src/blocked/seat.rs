//! [`Seat`]: what one thread is polling, told by three atomics that only that thread writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The place of one thread.
///
/// A sequence lock: `polls` is odd while a poll is under way, and the two words beside it then say whose. The stores of the
/// words are releases, so that a reader who sees one of a later poll also sees that `polls` has moved on.
pub(super) struct Seat {
    pub(super) thread: Arc<str>,
    polls: AtomicU64,
    place: AtomicU64,
    what: AtomicU64,
}

/// A poll that was under way while it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marked {
    pub(super) place: u64,
    pub(super) what: u64,
}

impl Seat {
    pub(super) fn of_this_thread() -> Self {
        let thread = std::thread::current();
        Self {
            thread: thread.name().unwrap_or("unnamed").into(),
            polls: AtomicU64::new(0),
            place: AtomicU64::new(0),
            what: AtomicU64::new(0),
        }
    }

    /// Says that a poll begins; `false` when one is under way already, whose mark is left as it is.
    pub(super) fn begin(&self, place: u64, what: u64) -> bool {
        // Nobody else writes, so that this is the latest value.
        let polls = self.polls.load(Ordering::Relaxed);
        if is_under_way(polls) {
            return false;
        }
        self.place.store(place, Ordering::Release);
        self.what.store(what, Ordering::Release);
        self.polls.store(polls.wrapping_add(1), Ordering::Release);
        true
    }

    /// Says that the poll has ended.
    pub(super) fn end(&self) {
        let polls = self.polls.load(Ordering::Relaxed);
        self.polls.store(polls.wrapping_add(1), Ordering::Release);
    }

    /// Counts begins and ends; odd while a poll is under way.
    pub(super) fn polls(&self) -> u64 {
        self.polls.load(Ordering::Acquire)
    }

    /// What the poll numbered `polls` said of itself; `None` when it is not under way any more.
    pub(super) fn marked(&self, polls: u64) -> Option<Marked> {
        let marked = Marked {
            place: self.place.load(Ordering::Acquire),
            what: self.what.load(Ordering::Acquire),
        };
        let same = is_under_way(polls) && self.polls.load(Ordering::Acquire) == polls;
        same.then_some(marked)
    }
}

pub(super) const fn is_under_way(polls: u64) -> bool {
    polls % 2 == 1
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use super::*;

    #[test]
    fn a_poll_within_a_poll_leaves_the_mark_of_the_outer_one() {
        let seat = Seat::of_this_thread();
        assert!(seat.begin(1, 2));
        assert!(!seat.begin(3, 4));
        assert_eq!(
            seat.marked(seat.polls()),
            Some(Marked { place: 1, what: 2 })
        );
        seat.end();
        assert_eq!(seat.marked(seat.polls()), None);
    }

    #[test]
    fn a_reader_never_sees_the_words_of_two_polls_as_one() {
        let seat = Seat::of_this_thread();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..200_000 {
                    seat.begin(number, number.wrapping_mul(7));
                    seat.end();
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                if let Some(marked) = seat.marked(seat.polls()) {
                    assert_eq!(marked.what, marked.place.wrapping_mul(7));
                }
            }
        });
    }
}
