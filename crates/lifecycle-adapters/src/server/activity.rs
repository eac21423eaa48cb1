//! [`Activity`]: what one connection is doing, and what it has been told to do.

use std::future;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

/// How long a connection that was asked to finish may take although it has nothing to do: it waits for the rest of a head,
/// or for the client to see that HTTP/2 shall end.
pub(crate) const LINGER: Duration = Duration::from_millis(500);

/// How many bytes tell HTTP/2 from HTTP/1.1: its preface. Until then no timer of hyper's runs.
const PREFACE_BYTES: usize = 24;

/// What a connection has been told, each more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Order {
    /// Answer what is in flight, and close.
    Finish = 1,
    /// Close now.
    Cut = 2,
}

/// Shared between a connection, its socket, its requests and the accept loop.
///
/// Each connection has its own, since one token for all would be one lock for all.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    /// How many requests are in flight; those that are answered even while drained do not count.
    requests: AtomicUsize,
    /// Whether a whole head has been received.
    has_asked: AtomicBool,
    received: AtomicUsize,
    /// Whether the socket takes no more for now.
    is_sending: AtomicBool,
    /// The highest [`Order`] so far, or 0.
    order: AtomicU8,
    ordered: Notify,
}

impl Activity {
    pub(crate) fn request_begun(&self) {
        self.requests.fetch_add(1, Ordering::AcqRel);
    }

    pub(crate) fn request_ended(&self) {
        self.requests.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn asked(&self) {
        self.has_asked.store(true, Ordering::Release);
    }

    /// Notes that `bytes` were received. Called by the connection's own task alone.
    pub(crate) fn received(&self, bytes: usize) {
        let before = self.received.load(Ordering::Relaxed);
        if before < PREFACE_BYTES {
            self.received.store(before + bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_sending(&self, is_sending: bool) {
        self.is_sending.store(is_sending, Ordering::Release);
    }

    /// Tells the connection what to do; what it was told before holds too.
    pub(crate) fn order(&self, order: Order) {
        self.order.fetch_max(order as u8, Ordering::AcqRel);
        // Only the connection waits, so that a wake-up is kept for it when it does not yet.
        self.ordered.notify_one();
    }

    /// Waits until the connection has been told `order`, or more.
    pub(crate) async fn ordered(&self, order: Order) {
        while self.order.load(Ordering::Acquire) < order as u8 {
            self.ordered.notified().await;
        }
    }

    /// Completes when `limit` has passed and the client has not said what it speaks; hyper watches over the rest.
    pub(crate) async fn silent_for(&self, limit: Duration) {
        tokio::time::sleep(limit).await;
        let has_spoken = self.has_asked.load(Ordering::Acquire)
            || self.received.load(Ordering::Relaxed) >= PREFACE_BYTES;
        if has_spoken {
            future::pending::<()>().await;
        }
    }

    /// Completes when a connection that finishes has lingered for long enough, and has nothing to do.
    pub(crate) async fn lingered(&self) {
        loop {
            tokio::time::sleep(LINGER).await;
            if self.is_idle() {
                return;
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.requests.load(Ordering::Acquire) == 0 && !self.is_sending.load(Ordering::Acquire)
    }
}
