//! [`Seat`]: what one thread is polling, told by three atomics that only that thread writes.
//!
//! The atomics come from the module above, so that a test can put others in their place and explore every interleaving.

use std::sync::Arc;

use super::sync::{AtomicU64, Ordering};

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
