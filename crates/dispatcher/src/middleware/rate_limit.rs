//! [`RateLimit`]: how many calls there may be in a time.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Instant;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tower::{Layer, Service as _};

use crate::code::Code;
use crate::error::RpcError;
use crate::handler::{Handler, around};

/// How many calls there may be in a time. What is too much is refused at once with
/// [`Code::ResourceExhausted`](crate::Code::ResourceExhausted), the reason `dispatcher.limit.rate`, and in the metadata
/// `retry-after` how many seconds it takes until there is room for a call again, rounded up.
///
/// It counts all calls that it is around, and so do its clones: around a dispatcher it is one limit for all of its procedures.
/// Room comes back evenly, call by call, and not at the turn of a second. A call counts when it begins, however long it lasts.
///
/// ```
/// use std::num::NonZeroU32;
///
/// use dispatcher::middleware::RateLimit;
///
/// let limit = RateLimit::per_second(NonZeroU32::new(100).unwrap());
/// ```
#[derive(Clone)]
pub struct RateLimit {
    quota: Quota,
    limiter: Arc<Limiter>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Instant>>;

impl RateLimit {
    /// So many calls a second, and as many at the same moment.
    #[must_use]
    pub fn per_second(calls: NonZeroU32) -> Self {
        Self::new(Quota::per_second(calls))
    }

    /// So many calls a minute, and as many at the same moment.
    #[must_use]
    pub fn per_minute(calls: NonZeroU32) -> Self {
        Self::new(Quota::per_minute(calls))
    }

    /// Sets how many calls may come at the same moment, after a time without any. What was counted so far is forgotten.
    #[must_use]
    pub fn burst(self, calls: NonZeroU32) -> Self {
        Self::new(self.quota.allow_burst(calls))
    }

    fn new(quota: Quota) -> Self {
        let limiter = Arc::new(RateLimiter::direct_with_clock(quota, Ticks));
        Self { quota, limiter }
    }
}

impl Layer<Handler> for RateLimit {
    type Service = Handler;

    fn layer(&self, inner: Handler) -> Handler {
        let limiter = Arc::clone(&self.limiter);
        around(inner, move |inner, request| {
            let let_in = limiter.check().map_err(|until| {
                let message = "there are too many calls in a short time";
                RpcError::new(Code::ResourceExhausted, message)
                    .with_reason("dispatcher.limit.rate")
                    .with_retry_after(until.wait_time_from(Ticks.now()))
            });
            let calling = let_in.map(|()| inner.call(request));
            async move { calling?.await }
        })
    }
}

/// The clock of the runtime's timers, which stands still in tests when they do.
#[derive(Clone, Copy, Debug)]
struct Ticks;

impl Clock for Ticks {
    type Instant = Instant;

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into_std()
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}
