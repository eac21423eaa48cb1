//! [`Blocked`]: a poll of user code that holds its thread, named while it lasts (semantics 30).
//!
//! A poll that does not return cannot say so itself, and it may hold the very thread that would look for it. So every poll
//! marks the [`seat`] of its thread, which costs four stores, and a [`watchdog`] on a thread of its own looks at all seats
//! from time to time. Whom a mark means is in the [`directory`], which is asked only about polls that last.
//!
//! A clock read a poll would be simpler, and cost more than the rest of a poll; a timer a poll would need a free worker.

mod directory;
mod seat;
mod watchdog;

/// What [`seat`] is made of.
mod sync {
    pub(super) use std::sync::atomic::{AtomicU64, Ordering};
}

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use lifecycle_core::engine::Call;
use lifecycle_core::{ComponentName, Time};

use crate::clock::Clock;
use directory::Directory;
use seat::Seat;

pub(crate) use directory::{Described, Place, Who};
pub(crate) use watchdog::Watchdog;

/// Something of a component that holds a thread at this moment: one poll of it has not returned for as long as the
/// orchestrator was told to watch for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Blocked {
    /// The component.
    pub component: ComponentName,
    /// The incarnation; `None` where its value is dropped, which belongs to none.
    pub generation: Option<u32>,
    /// The call (`start`, `stop`, `dispose`), the name of the task, or `drop`.
    pub what: Cow<'static, str>,
    /// When the poll was first seen; it began at most a tenth of a second before.
    pub since: Time,
    /// The name of the thread.
    pub thread: Arc<str>,
    /// What the component last said that it was doing.
    pub progress: Option<Arc<str>>,
    /// Whether the thread is the component's own, so that nobody else waits for it.
    pub isolated: bool,
}

/// What threads are polling for one orchestrator, and since when the long ones last.
pub(crate) struct Watch {
    after: Duration,
    clock: Clock,
    directory: Directory,
    /// Seats that the watchdog does not know yet.
    newcomers: Mutex<Vec<Arc<Seat>>>,
    shown: Mutex<Vec<Blocked>>,
    /// Whether there is a watchdog, or ever was.
    begun: AtomicBool,
}

impl Watch {
    /// Polls are reported once they have lasted for `after`.
    pub(crate) fn new(after: Duration, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            after,
            clock,
            directory: Directory::default(),
            newcomers: Mutex::default(),
            shown: Mutex::default(),
            begun: AtomicBool::new(false),
        })
    }

    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// What blocks now, as the watchdog last saw it.
    pub(crate) fn blocked(&self) -> Vec<Blocked> {
        locked(&self.shown).clone()
    }

    /// Says that this thread runs `what` of whoever is at `place`, until the mark is dropped.
    pub(crate) fn mark(self: &Arc<Self>, place: Place, what: What) -> Mark {
        // A thread that is ending has no seat any more.
        let held = HELD.try_with(|it| self.held(&mut it.borrow_mut()));
        let held = held
            .ok()
            .filter(|it| it.seat.begin(place.number(), what.number()));
        Mark(held)
    }

    /// The seat of this thread; taken when it polls for this orchestrator for the first time.
    fn held(self: &Arc<Self>, all: &mut Vec<Rc<Held>>) -> Rc<Held> {
        let found = all
            .iter()
            .find(|it| std::ptr::eq(it.watch.as_ptr(), Arc::as_ptr(self)));
        match found {
            Some(held) => Rc::clone(held),
            None => self.take_seat(all),
        }
    }

    #[cold]
    fn take_seat(self: &Arc<Self>, all: &mut Vec<Rc<Held>>) -> Rc<Held> {
        let seat = Arc::new(Seat::of_this_thread());
        locked(&self.newcomers).push(Arc::clone(&seat));
        let held = Rc::new(Held {
            watch: Arc::downgrade(self),
            seat,
        });
        all.retain(|it| it.watch.strong_count() > 0);
        all.push(Rc::clone(&held));
        held
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}

thread_local! {
    /// The seats of this thread, one for each orchestrator that it ever polled for and that is still there.
    static HELD: RefCell<Vec<Rc<Held>>> = const { RefCell::new(Vec::new()) };
}

/// A seat as its thread holds it. The thread counts the polls by it without atomics.
struct Held {
    /// Whose seat it is. Weak, and therefore an address that no other watch has while this is kept.
    watch: Weak<Watch>,
    seat: Arc<Seat>,
}

/// While it lives, its thread is said to be at work; see [`Watch::mark`].
#[must_use]
pub(crate) struct Mark(Option<Rc<Held>>);

impl Mark {
    /// Where nobody watches.
    pub(crate) const NONE: Self = Self(None);
}

impl Drop for Mark {
    fn drop(&mut self) {
        if let Some(held) = &self.0 {
            held.seat.end();
        }
    }
}

/// What of a component a thread runs, as a number that a seat can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct What(u64);

impl What {
    /// The drop of a value.
    pub(crate) const DROP: Self = Self(0);
    /// Set in the numbers of tasks.
    const TASK: u64 = 1 << 32;

    pub(crate) const fn call(call: Call) -> Self {
        Self(match call {
            Call::Start => 1,
            Call::Stop => 2,
            Call::Dispose => 3,
            Call::Drain => 4,
            Call::Resume => 5,
        })
    }

    /// The task at `index` of its scope's table.
    pub(crate) const fn task(index: u32) -> Self {
        Self(Self::TASK | index as u64)
    }

    const fn number(self) -> u64 {
        self.0
    }

    /// The index of the task, or the name of what is no task.
    fn decode(self) -> Result<u32, &'static str> {
        if self == Self::DROP {
            return Err("drop");
        }
        if self.0 & Self::TASK == 0 {
            let call = Call::ALL.iter().find(|it| Self::call(**it) == self);
            return Err(call.map_or("call", |it| it.as_str()));
        }
        Ok((self.0 & u64::from(u32::MAX)) as u32)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;
    use std::thread;

    use super::seat::Marked;
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

    #[test]
    fn what_a_thread_runs_survives_its_number() {
        for call in Call::ALL {
            assert_eq!(What::call(call).decode(), Err(call.as_str()));
        }
        assert_eq!(What::task(u32::MAX).decode(), Ok(u32::MAX));
        assert_eq!(What::task(0).decode(), Ok(0));
        assert_eq!(What::DROP.decode(), Err("drop"));
    }

    #[test]
    fn a_thread_takes_one_seat_of_each_watch_and_forgets_those_that_are_gone() {
        let watch = || Watch::new(Duration::from_secs(1), Clock::starting_now());
        let (first, second) = (watch(), watch());
        for _ in 0..3 {
            drop(first.mark(Place::NONE, What::DROP));
            drop(second.mark(Place::NONE, What::DROP));
        }
        assert_eq!(locked(&first.newcomers).len(), 1);
        assert_eq!(locked(&second.newcomers).len(), 1);
        drop(first);
        drop(watch().mark(Place::NONE, What::DROP));
        assert_eq!(HELD.with_borrow(Vec::len), 2);
    }
}
