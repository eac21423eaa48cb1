//! [`Retries`]: further attempts of calls that may be repeated, within a budget.

use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::{Backoff, Failure, Jitter, Nanos, Retry, RetryPolicy};
use metrics::Label;
use tokio::time::{Instant, Sleep};
use tower::Layer;
use tower::retry::budget::{Budget as _, TpsBudget};
use tower::retry::{Policy, Retry as Repeating};
use tower::util::rng::{HasherRng, Rng as _};

use super::metrics::labels;
use crate::call::{Meta, Request, Response};
use crate::code::Code;
use crate::error::RpcError;
use crate::handler::{Handler, handler};
use crate::upstream::INTERRUPTED;

/// How many attempts a call has, the first one counted, unless set.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// How long it waits before a further one, unless set.
const BACKOFF: Backoff = Backoff::Exponential {
    initial: Nanos::from_millis(50),
    factor: 2.0,
    cap: Nanos::from_secs(1),
};

/// Who wants to be asked again later than this does not mean this call.
const LONGEST_HINT: Duration = Duration::from_secs(10);

/// For how long a success counts in the budget.
const WINDOW: Duration = Duration::from_secs(10);

/// How many of a hundred calls that succeed may be repeated, and how many a second in any case, unless set.
const PERCENT: u8 = 20;
const RESERVE: u32 = 10;

/// Further attempts of calls to others, for [`Outbound::layer`](crate::Outbound::layer).
///
/// A call is repeated when it is unary or one-way and its message is there, so that it can be sent again; when it has failed with
/// [`Code::Unavailable`], or another of [`code`](Self::code); and when nothing speaks for the other side having begun with it: a
/// connection that broke before the answer came is no reason, unless calls are [`repeatable`](Self::repeatable).
///
/// - It has 3 attempts, the first one counted. Between them it waits 50 ms, then twice as long and so on up to 1 s, of which a
///   random part is taken, and in addition what the other side says in `retry-after`; if that says more than 10 s, there is no
///   further attempt.
/// - Where the wait would last to the deadline of the call or beyond, its error is told at once.
/// - All calls share a budget, so that retries do not make an outage worse: for ten seconds each success is worth a fifth of a
///   retry, and besides there are ten a second, counted over ten seconds. What is over that fails with the error that it has.
///   Clones have the same budget.
///
/// `omnirelay_rpc_retries_total` counts them, with the labels of [`Metrics`](super::Metrics) and `outcome`: `made`, or what
/// spoke against it, `budget` or `deadline`.
#[derive(Clone)]
pub struct Retries {
    terms: Arc<Terms>,
}

#[derive(Clone)]
struct Terms {
    policy: RetryPolicy,
    codes: Vec<Code>,
    repeatable: bool,
    budget: Arc<TpsBudget>,
}

impl Retries {
    /// As described, with a budget of its own.
    #[must_use]
    pub fn new() -> Self {
        let retry = Retry::attempts(ATTEMPTS.get())
            .with_backoff(BACKOFF)
            .with_jitter(Jitter::Full);
        let terms = Terms {
            policy: RetryPolicy::resolve(&retry, Nanos::MAX),
            codes: vec![Code::Unavailable],
            repeatable: false,
            budget: budget(PERCENT, RESERVE),
        };
        Self {
            terms: Arc::new(terms),
        }
    }

    /// Sets how many attempts a call has (3), the first one counted.
    #[must_use]
    pub fn attempts(mut self, attempts: NonZeroU32) -> Self {
        self.terms().policy.max_attempts = attempts;
        self
    }

    /// Sets how long it waits between them (50 ms, growing by 2 to 1 s), and how that is spread ([`Jitter::Full`]).
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff, jitter: Jitter) -> Self {
        self.terms().policy.backoff = backoff;
        self.terms().policy.jitter = jitter;
        self
    }

    /// Repeats calls with this code, too. It should be one that says that nothing was done.
    #[must_use]
    pub fn code(mut self, code: Code) -> Self {
        self.terms().codes.push(code);
        self
    }

    /// Says that whatever goes this way may be done twice: then calls are repeated also when the connection broke before the
    /// answer came.
    #[must_use]
    pub fn repeatable(mut self) -> Self {
        self.terms().repeatable = true;
        self
    }

    /// Sets the budget: how many retries a hundred calls are worth that succeed (20; more than 100 is 100), and how many there
    /// may be a second in any case (10), counted over ten seconds.
    #[must_use]
    pub fn budget(mut self, percent: u8, per_second: u32) -> Self {
        self.terms().budget = budget(percent, per_second);
        self
    }

    fn terms(&mut self) -> &mut Terms {
        Arc::make_mut(&mut self.terms)
    }
}

impl Default for Retries {
    fn default() -> Self {
        Self::new()
    }
}

fn budget(percent: u8, per_second: u32) -> Arc<TpsBudget> {
    let share = f32::from(percent.min(100)) / 100.0;
    let reserve = per_second.min(i32::MAX.unsigned_abs() - 1);
    Arc::new(TpsBudget::new(WINDOW, reserve, share))
}

impl Layer<Handler> for Retries {
    type Service = Handler;

    fn layer(&self, inner: Handler) -> Handler {
        let attempts = Attempts {
            terms: Arc::clone(&self.terms),
            failed: 0,
        };
        handler(Repeating::new(attempts, inner))
    }
}

/// The attempts of one call.
#[derive(Clone)]
struct Attempts {
    terms: Arc<Terms>,
    failed: u32,
}

impl Policy<Request, Response, RpcError> for Attempts {
    type Future = Sleep;

    fn retry(
        &mut self,
        request: &mut Request,
        result: &mut Result<Response, RpcError>,
    ) -> Option<Sleep> {
        let Err(error) = result else {
            self.terms.budget.deposit();
            return None;
        };
        self.failed = self.failed.saturating_add(1);
        let delay = self.terms.delay(self.failed, error)?;
        let begin = Instant::now().checked_add(delay)?;
        let deadline = request.meta.deadline;
        if deadline.is_some_and(|it| it <= begin.into_std()) {
            count(&request.meta, "deadline");
            return None;
        }
        if !self.terms.budget.withdraw() {
            count(&request.meta, "budget");
            return None;
        }
        count(&request.meta, "made");
        tracing::debug!(
            target: "rpc",
            event = "call.retried",
            procedure = request.meta.procedure,
            attempt = self.failed,
            code = error.code.as_str(),
            reason = error.reason,
            "a call is tried again"
        );
        Some(tokio::time::sleep_until(begin))
    }

    fn clone_request(&mut self, request: &Request) -> Option<Request> {
        let shape = request.meta.route.as_ref().map(|it| it.shape);
        let streams = shape.is_some_and(|it| it.streams_requests() || it.streams_responses());
        if streams {
            return None;
        }
        let messages = request.messages.repeated()?;
        let meta = request.meta.clone();
        Some(Request { meta, messages })
    }
}

impl Terms {
    /// How long to wait after that many failed attempts; `None` when `error` was the last one.
    fn delay(&self, failed: u32, error: &RpcError) -> Option<Duration> {
        let begun = error.reason.as_deref() == Some(INTERRUPTED) && !self.repeatable;
        if begun || !self.codes.contains(&error.code) {
            return None;
        }
        let hint = error.retry_after().unwrap_or_default();
        if hint > LONGEST_HINT {
            return None;
        }
        let failure = Failure::error(String::new());
        let random = HasherRng::new().next_u64();
        let delay = self.policy.delay_after(failed, &failure, random)?;
        Some(Duration::from(delay).saturating_add(hint))
    }
}

fn count(meta: &Meta, outcome: &'static str) {
    let mut labels = labels(meta.route.as_ref());
    labels.push(Label::from_static_parts("outcome", outcome));
    metrics::describe_counter!(
        "omnirelay_rpc_retries_total",
        "Further attempts of calls, made and not made."
    );
    metrics::counter!("omnirelay_rpc_retries_total", labels).increment(1);
}

impl fmt::Debug for Retries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retries")
            .field("policy", &self.terms.policy)
            .field("codes", &self.terms.codes)
            .field("repeatable", &self.terms.repeatable)
            .field("budget", &self.terms.budget)
            .finish()
    }
}
