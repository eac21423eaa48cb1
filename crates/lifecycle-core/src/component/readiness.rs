//! [`Readiness`]: what a service and its start share, on two threads perhaps.
//!
//! The flags come from the module above, so that a test can put others in their place and explore every interleaving. What
//! must hold: whoever finds it settled finds out how, for the error is stored before the signal is given.

use std::error::Error;
use std::sync::PoisonError;

use super::sync::{AtomicBool, Mutex, Ordering, Signal, fence};

type Failure = Box<dyn Error + Send + Sync + 'static>;

/// Whether a service has become ready, or why it never will.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// Given once it is known whether the start has succeeded.
    settled: Signal,
    ready: AtomicBool,
    dropped: AtomicBool,
    polling: AtomicBool,
    /// How the service ended, if it ended before it was ready.
    error: Mutex<Option<Failure>>,
}

impl Readiness {
    /// Given once it is known whether the start has succeeded.
    pub(super) fn settled(&self) -> &Signal {
        &self.settled
    }

    /// The service is ready; later endings are none of the start's.
    pub(super) fn say_ready(&self) {
        self.ready.store(true, Ordering::Release);
        self.settled.cancel();
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// A poll of the service begins.
    pub(super) fn begin_poll(&self) {
        self.polling.store(true, Ordering::Release);
    }

    /// A poll of the service has ended; whoever polls looks for a dropped context then.
    pub(super) fn end_poll(&self) {
        self.polling.store(false, Ordering::Release);
        // With the one in `drop_context`: of two that write one flag and read the other's, one sees what the other wrote.
        fence(Ordering::SeqCst);
    }

    /// The service's context is dropped, perhaps on another thread than the service's.
    pub(super) fn drop_context(&self) {
        self.dropped.store(true, Ordering::Release);
        fence(Ordering::SeqCst);
        // Inside a poll of the service the result may follow in a moment; it is looked at again after the poll.
        if !self.polling.load(Ordering::Acquire) {
            self.settle_if_dropped();
        }
    }

    /// A context that is gone can say ready no more.
    pub(super) fn settle_if_dropped(&self) {
        if self.dropped.load(Ordering::Acquire) && !self.is_ready() {
            self.settle_with("the service dropped its context before it was ready".into());
        }
    }

    /// The service has ended before it was ready; the first reason stays.
    pub(super) fn settle_with(&self, error: Failure) {
        let mut slot = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        slot.get_or_insert(error);
        drop(slot);
        self.settled.cancel();
    }

    /// What the start comes to; asked once it has settled.
    pub(super) fn outcome(&self) -> Result<(), Failure> {
        if self.is_ready() {
            return Ok(());
        }
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        Err(error
            .take()
            .unwrap_or_else(|| "the service ended before it was ready".into()))
    }
}
