//! When each component is due next.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::plan::ComponentId;
use crate::time::Time;

/// One deadline a component, kept lazily.
///
/// Setting a later deadline or clearing one touches no heap: the entry that is there is looked at when it comes up, and
/// moved or dropped then. So the usual case, a timeout that never runs out, costs one push; and there is never more
/// than one entry a component for each deadline that came up.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    /// By moment, then by index: the component at that index may be another one by then, and its deadline counts.
    entries: BinaryHeap<Reverse<(Time, usize)>>,
    deadlines: Vec<Deadline>,
}

#[derive(Clone, Copy, Debug)]
struct Deadline {
    /// When the component is due; [`Time::MAX`] is never.
    due: Time,
    /// The earliest entry that is known to be in the heap.
    entered: Time,
}

impl Timers {
    pub(super) fn of(count: usize) -> Self {
        let never = Deadline {
            due: Time::MAX,
            entered: Time::MAX,
        };
        Self {
            entries: BinaryHeap::new(),
            deadlines: vec![never; count],
        }
    }

    /// Makes room for components below `count`.
    pub(super) fn grow(&mut self, count: usize) {
        let never = Deadline {
            due: Time::MAX,
            entered: Time::MAX,
        };
        self.deadlines
            .resize(count.max(self.deadlines.len()), never);
    }

    /// The deadline of `id`, or [`Time::MAX`].
    pub(super) fn due(&self, id: ComponentId) -> Time {
        self.deadlines[id.index()].due
    }

    /// Sets the deadline of `id`; the one before no longer counts.
    pub(super) fn arm(&mut self, id: ComponentId, due: Time) {
        self.arm_at(id.index(), due);
    }

    fn arm_at(&mut self, index: usize, due: Time) {
        let deadline = &mut self.deadlines[index];
        deadline.due = due;
        if due < deadline.entered {
            deadline.entered = due;
            self.entries.push(Reverse((due, index)));
        }
    }

    pub(super) fn disarm(&mut self, id: ComponentId) {
        self.deadlines[id.index()].due = Time::MAX;
    }

    /// The earliest deadline of all.
    pub(super) fn next(&mut self) -> Option<Time> {
        while let Some(&Reverse((entered, index))) = self.entries.peek() {
            if self.deadlines[index].due == entered {
                return Some(entered);
            }
            self.drop_first();
        }
        None
    }

    /// Takes the index of a component whose deadline has come; of several the earliest, and of those the lowest index.
    pub(super) fn pop_due(&mut self, now: Time) -> Option<usize> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, index)) = *self.entries.peek()?;
        self.deadlines[index].due = Time::MAX;
        self.drop_first();
        Some(index)
    }

    /// Drops the first entry, and enters its component anew if that is due later.
    fn drop_first(&mut self) {
        let Some(Reverse((entered, index))) = self.entries.pop() else {
            return;
        };
        let deadline = &mut self.deadlines[index];
        if deadline.entered == entered {
            deadline.entered = Time::MAX;
        }
        let due = deadline.due;
        if due != Time::MAX {
            self.arm_at(index, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Nanos;

    fn at(secs: u64) -> Time {
        Time::new(Nanos::from_secs(secs))
    }

    fn timers() -> (Timers, ComponentId, ComponentId) {
        (Timers::of(2), ComponentId::at(0), ComponentId::at(1))
    }

    #[test]
    fn only_the_last_deadline_that_was_set_counts() {
        let (mut timers, id, _) = timers();
        timers.arm(id, at(30));
        timers.arm(id, at(5));
        timers.arm(id, at(10));
        assert_eq!(timers.next(), Some(at(10)));
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(10)), Some(id.index()));
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn a_cleared_deadline_never_comes_up_and_can_be_set_again() {
        let (mut timers, id, _) = timers();
        timers.arm(id, at(30));
        timers.disarm(id);
        assert_eq!(timers.next(), None);
        timers.arm(id, at(40));
        assert_eq!(timers.pop_due(at(100)), Some(id.index()));
    }

    #[test]
    fn of_two_that_are_due_the_earlier_comes_first_and_at_a_tie_the_lower_index() {
        let (mut timers, first, second) = timers();
        timers.arm(second, at(1));
        timers.arm(first, at(2));
        assert_eq!(timers.pop_due(at(3)), Some(second.index()));
        timers.arm(second, at(2));
        assert_eq!(timers.pop_due(at(3)), Some(first.index()));
        assert_eq!(timers.pop_due(at(3)), Some(second.index()));
    }

    #[test]
    fn deadlines_that_are_set_and_cleared_for_ever_do_not_pile_up() {
        let (mut timers, id, _) = timers();
        for round in 0..10_000 {
            timers.arm(id, at(30 + round));
            timers.disarm(id);
        }
        assert_eq!(timers.entries.len(), 1);
    }
}
