//! Every interleaving of the mark by which a thread says what it polls and a watchdog that reads it, under loom.
//!
//! The file under test is compiled here with loom's atomics in place of the standard library's.

use loom::sync::Arc;
use loom::thread;

#[path = "../src/blocked/seat.rs"]
mod seat;

/// What the seat is made of here.
mod sync {
    pub(super) use loom::sync::atomic::{AtomicU64, Ordering};
}

use seat::{Marked, Seat};

#[test]
fn museum_32_a_mark_is_never_read_as_a_mixture_of_two_polls() {
    loom::model(|| {
        let seat = Arc::new(Seat::of_this_thread());
        assert_eq!(&*seat.thread, seat.thread.as_ref());
        let poller = {
            let seat = Arc::clone(&seat);
            thread::spawn(move || {
                for number in 1..=2 {
                    assert!(seat.begin(number, number * 7));
                    seat.end();
                }
            })
        };
        if let Some(Marked { place, what }) = seat.marked(seat.polls()) {
            assert_eq!(what, place * 7);
        }
        poller.join().expect("the poller does not panic");
        assert_eq!(seat.marked(seat.polls()), None, "nothing is under way");
    });
}
