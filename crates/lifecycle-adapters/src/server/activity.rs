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
    sent: AtomicUsize,
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

    /// Notes that the socket took `bytes`.
    pub(crate) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
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

    /// Completes when the socket has been full for `limit`, and nothing was read from it at the other end; within twice that.
    pub(crate) async fn stalled_for(&self, limit: Duration) {
        let mut before = None;
        loop {
            tokio::time::sleep(limit).await;
            let is_sending = self.is_sending.load(Ordering::Acquire);
            let sent = is_sending.then(|| self.sent.load(Ordering::Relaxed));
            if sent.is_some() && sent == before {
                return;
            }
            before = sent;
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

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_is_told_from_one_that_reads_slowly_or_has_nothing_to_read()
    {
        let activity = Activity::default();
        let mut stalled = Box::pin(activity.stalled_for(LIMIT));
        let mut pass = async |time| tokio::time::timeout(time, &mut stalled).await.is_ok();
        assert!(!pass(LIMIT * 5).await, "there is nothing to read");
        for _ in 0..5 {
            activity.set_sending(true);
            assert!(!pass(LIMIT - Duration::from_secs(1)).await, "it reads");
            activity.sent(1);
        }
        let from = Instant::now();
        assert!(pass(LIMIT * 2).await);
        assert!(from.elapsed() > LIMIT);
    }
}
