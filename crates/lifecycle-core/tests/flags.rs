//! Every interleaving of the flags by which a service and its start agree, under loom.
//!
//! The file under test is compiled here with loom's primitives in place of the standard library's, so that nothing else need
//! be built differently.

use loom::sync::Arc;
use loom::thread;

#[path = "../src/component/readiness.rs"]
mod readiness;

/// What the readiness is made of here.
mod sync {
    pub(super) use loom::sync::Mutex;
    pub(super) use loom::sync::atomic::{AtomicBool, Ordering, fence};

    /// A signal that can be waited for.
    #[derive(Debug)]
    pub(super) struct Signal(AtomicBool);

    impl Default for Signal {
        fn default() -> Self {
            Self(AtomicBool::new(false))
        }
    }

    impl Signal {
        pub(super) fn cancel(&self) {
            // As the real one, which releases what was written before.
            self.0.store(true, Ordering::Release);
        }

        pub(super) fn is_given(&self) -> bool {
            self.0.load(Ordering::Acquire)
        }
    }
}

use readiness::Readiness;

/// Runs `service` beside a start that waits until it is settled; gives the start's outcome to `check`.
fn explore(
    service: impl Fn(&Readiness) + Send + Sync + Clone + 'static,
    check: impl Fn(Result<(), String>) + Sync + Send + 'static,
) {
    loom::model(move || {
        let readiness = Arc::new(Readiness::default());
        let service = service.clone();
        let other = {
            let readiness = Arc::clone(&readiness);
            thread::spawn(move || service(&readiness))
        };
        // The start looks once while the service is at work, and for certain after it.
        if readiness.settled().is_given() {
            check(readiness.outcome().map_err(|it| it.to_string()));
            other.join().expect("no scenario panics");
            return;
        }
        other.join().expect("no scenario panics");
        assert!(
            readiness.settled().is_given(),
            "nobody ever tells the start"
        );
        check(readiness.outcome().map_err(|it| it.to_string()));
    });
}

#[test]
fn museum_32_a_start_that_finds_it_settled_finds_the_readiness() {
    explore(
        |readiness| {
            readiness.begin_poll();
            readiness.say_ready();
            readiness.end_poll();
            readiness.drop_context();
        },
        |outcome| assert_eq!(outcome, Ok(())),
    );
}

#[test]
fn museum_32_a_start_that_finds_it_settled_finds_the_error_that_was_stored_first() {
    explore(
        |readiness| {
            readiness.begin_poll();
            // The context goes with the future's locals, before the result is looked at.
            readiness.drop_context();
            readiness.end_poll();
            readiness.settle_with("no route".into());
        },
        |outcome| assert_eq!(outcome, Err("no route".to_owned())),
    );
}

#[test]
fn museum_32_a_context_that_is_dropped_elsewhere_is_noticed_by_whoever_comes_last() {
    loom::model(|| {
        let readiness = Arc::new(Readiness::default());
        let other = {
            let readiness = Arc::clone(&readiness);
            thread::spawn(move || readiness.drop_context())
        };
        readiness.begin_poll();
        readiness.end_poll();
        readiness.settle_if_dropped();
        other.join().expect("no scenario panics");
        assert!(
            readiness.settled().is_given(),
            "nobody ever tells the start"
        );
        assert!(readiness.outcome().is_err());
    });
}
