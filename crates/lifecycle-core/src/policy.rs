//! Policies: what may be repeated, when, and how long anything may take. Pure arithmetic on durations.
//!
//! What a component says ([`Retry`]) is partial: what it leaves unset comes from the orchestrator's defaults, and what
//! those leave unset from the built-in ones. So *unset* and *none* are different: [`Retry::none`] refuses retries even
//! when the defaults retry. The result of that merge is a [`RetryPolicy`], in which nothing is missing.

use std::num::NonZeroU32;

use crate::failure::{Class, Failure};
use crate::time::Nanos;

/// The longest duration that a policy may name: 365 days. Anything beyond it is a mistake in a configuration.
pub const LONGEST_POLICY_DURATION: Nanos = Nanos::from_secs(365 * 86_400);

/// How the delay grows from one attempt to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Backoff {
    /// The next attempt follows at once.
    #[default]
    None,
    /// The same delay before each further attempt.
    Fixed(Nanos),
    /// `initial · factor^(n−1)` after failed attempt n, at most `cap`.
    Exponential {
        /// The delay after the first failed attempt.
        initial: Nanos,
        /// What each further delay is multiplied with; at least 1.
        factor: f64,
        /// The longest delay; also the limit of what an error's `retry_after` may ask for.
        cap: Nanos,
    },
}

impl Backoff {
    /// The delay after failed attempt `attempt` (counted from 1), before jitter and cap.
    fn uncapped(self, attempt: u32) -> Nanos {
        match self {
            Self::None => Nanos::ZERO,
            Self::Fixed(delay) => delay,
            Self::Exponential {
                initial, factor, ..
            } => scaled(initial, factor, attempt.saturating_sub(1)),
        }
    }

    /// The longest delay that this back-off ever gives, if it has one of its own.
    fn cap(self) -> Option<Nanos> {
        match self {
            Self::None | Self::Fixed(_) => None,
            Self::Exponential { cap, .. } => Some(cap),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a float to integer cast saturates, and a delay is never negative"
)]
fn scaled(initial: Nanos, factor: f64, exponent: u32) -> Nanos {
    let exponent = i32::try_from(exponent).unwrap_or(i32::MAX);
    Nanos::new((initial.as_nanos() as f64 * factor.powi(exponent)) as u64)
}

/// How a delay is spread, so that many components do not try again at the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Jitter {
    /// The delay as it is.
    #[default]
    None,
    /// Anything from nothing to the delay.
    Full,
    /// Anything from half the delay to the delay.
    Equal,
}

impl Jitter {
    fn applied(self, delay: Nanos, random: u64) -> Nanos {
        match self {
            Self::None => delay,
            Self::Full => portion(delay, random),
            Self::Equal => {
                let half = Nanos::new(delay.as_nanos() / 2);
                half.saturating_add(portion(
                    Nanos::new(delay.as_nanos() - half.as_nanos()),
                    random,
                ))
            }
        }
    }
}

/// `delay` times `random / 2^64`.
fn portion(delay: Nanos, random: u64) -> Nanos {
    let part = (u128::from(delay.as_nanos()) * u128::from(random)) >> 64;
    Nanos::new(u64::try_from(part).unwrap_or(u64::MAX))
}

/// A limit on time that may be switched off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeout {
    /// This long at most.
    After(Nanos),
    /// No limit of its own; the limits around it still hold.
    Never,
}

impl Timeout {
    fn length(self) -> Option<Nanos> {
        match self {
            Self::After(length) => Some(length),
            Self::Never => None,
        }
    }
}

/// Which errors are tried again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum RetryIf {
    /// Every error but one that says it is permanent.
    #[default]
    NotPermanent,
    /// Only an error that says it is transient, and a timeout.
    Transient,
}

impl RetryIf {
    fn allows(self, class: Class) -> bool {
        match self {
            Self::NotPermanent => class != Class::Permanent,
            Self::Transient => class == Class::Transient,
        }
    }
}

/// What a component or the defaults say about retrying and timing one phase (start or stop).
///
/// Every field is optional: unset means "as the defaults say". [`Retry::default`] says nothing at all.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case", deny_unknown_fields, default)
)]
pub struct Retry {
    /// How often the call is made at most, the first one counted; at least 1.
    pub max_attempts: Option<u32>,
    /// The delay between two attempts.
    pub backoff: Option<Backoff>,
    /// How the delay is spread.
    pub jitter: Option<Jitter>,
    /// How long one attempt may take before its token is cancelled.
    pub attempt_timeout: Option<Timeout>,
    /// How long all attempts and the delays between them may take together.
    pub total: Option<Timeout>,
    /// Which errors are tried again.
    pub retry_if: Option<RetryIf>,
}

impl Retry {
    /// Exactly one attempt, even where the defaults retry.
    #[must_use]
    pub fn none() -> Self {
        Self::attempts(1)
    }

    /// At most `max_attempts` attempts, the first one counted; 0 is a fault that `build()` reports.
    #[must_use]
    pub fn attempts(max_attempts: u32) -> Self {
        Self {
            max_attempts: Some(max_attempts),
            ..Self::default()
        }
    }

    /// Sets the delay between two attempts.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Sets how the delay is spread.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = Some(jitter);
        self
    }

    /// Limits each attempt to `timeout`.
    #[must_use]
    pub fn with_attempt_timeout(mut self, timeout: impl Into<Nanos>) -> Self {
        self.attempt_timeout = Some(Timeout::After(timeout.into()));
        self
    }

    /// Limits all attempts and delays together to `total`.
    #[must_use]
    pub fn with_total(mut self, total: impl Into<Nanos>) -> Self {
        self.total = Some(Timeout::After(total.into()));
        self
    }

    /// Sets which errors are tried again.
    #[must_use]
    pub fn with_retry_if(mut self, retry_if: RetryIf) -> Self {
        self.retry_if = Some(retry_if);
        self
    }

    /// Fills what is unset from `defaults`.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        Self {
            max_attempts: self.max_attempts.or(defaults.max_attempts),
            backoff: self.backoff.or(defaults.backoff),
            jitter: self.jitter.or(defaults.jitter),
            attempt_timeout: self.attempt_timeout.or(defaults.attempt_timeout),
            total: self.total.or(defaults.total),
            retry_if: self.retry_if.or(defaults.retry_if),
        }
    }

    /// Every fault of what is set here, in words, each with its remedy.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.max_attempts == Some(0) {
            faults.push(
                "max-attempts is 0; it counts the first attempt, so use 1 for no retry".to_owned(),
            );
        }
        for (field, timeout) in [
            ("attempt-timeout", self.attempt_timeout),
            ("total", self.total),
        ] {
            let length = timeout.and_then(Timeout::length);
            faults.extend(length.and_then(|it| limit_fault(field, it)));
        }
        faults.extend(self.backoff.iter().flat_map(|it| backoff_faults(*it)));
        faults.extend(self.contradictions());
        faults
    }

    fn contradictions(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let delays = self.backoff.is_some_and(|it| it != Backoff::None);
        if self.max_attempts == Some(1) && delays {
            faults.push("a back-off is set although max-attempts is 1; raise max-attempts or drop the back-off".to_owned());
        }
        if let (Some(Timeout::After(attempt)), Some(Timeout::After(total))) =
            (self.attempt_timeout, self.total)
            && total < attempt
        {
            faults.push(format!(
                "total ({total}) is shorter than attempt-timeout ({attempt}); raise total or lower attempt-timeout"
            ));
        }
        faults
    }
}

/// The fault of a limit that is zero or absurdly long, if it is either.
pub(crate) fn limit_fault(field: &str, length: Nanos) -> Option<String> {
    if length == Nanos::ZERO {
        return Some(format!(
            "{field} is 0; use a positive duration, or \"never\" where it is allowed"
        ));
    }
    length_fault(field, length)
}

pub(crate) fn length_fault(field: &str, length: Nanos) -> Option<String> {
    (length > LONGEST_POLICY_DURATION).then(|| {
        format!("{field} is {length}; the longest that is allowed is 365 days ({LONGEST_POLICY_DURATION})")
    })
}

fn backoff_faults(backoff: Backoff) -> Vec<String> {
    match backoff {
        Backoff::None => Vec::new(),
        Backoff::Fixed(delay) => length_fault("back-off", delay).into_iter().collect(),
        Backoff::Exponential {
            initial,
            factor,
            cap,
        } => {
            let mut faults = Vec::new();
            faults.extend(length_fault("back-off cap", cap));
            if !factor.is_finite() || factor < 1.0 {
                faults.push(format!(
                    "back-off factor is {factor}; use a number of at least 1"
                ));
            }
            if cap < initial {
                faults.push(format!(
                    "back-off cap ({cap}) is below its initial delay ({initial}); raise the cap or lower the initial delay"
                ));
            }
            faults
        }
    }
}

/// A [`Retry`] with nothing missing: what the engine decides by.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    /// How often the call is made at most, the first one counted.
    pub max_attempts: NonZeroU32,
    /// The delay between two attempts.
    pub backoff: Backoff,
    /// How the delay is spread.
    pub jitter: Jitter,
    /// How long one attempt may take; `None` is no limit of its own.
    pub attempt_timeout: Option<Nanos>,
    /// How long all attempts and delays may take together; `None` is no limit of its own.
    pub total: Option<Nanos>,
    /// Which errors are tried again.
    pub retry_if: RetryIf,
}

impl RetryPolicy {
    /// Completes `retry`, with `attempt_timeout` where it sets none.
    #[must_use]
    pub fn resolve(retry: &Retry, attempt_timeout: Nanos) -> Self {
        let attempts = retry.max_attempts.and_then(NonZeroU32::new);
        let timeout = retry
            .attempt_timeout
            .unwrap_or(Timeout::After(attempt_timeout));
        Self {
            max_attempts: attempts.unwrap_or(NonZeroU32::MIN),
            backoff: retry.backoff.unwrap_or_default(),
            jitter: retry.jitter.unwrap_or_default(),
            attempt_timeout: timeout.length(),
            total: retry.total.and_then(Timeout::length),
            retry_if: retry.retry_if.unwrap_or_default(),
        }
    }

    /// The delay before the attempt after failed attempt `attempt`, or `None` when that was the last one.
    ///
    /// Jitter (from the random number `random`) is applied before the cap. A `retry_after` in the failure replaces the
    /// delay and is limited by the cap. Total and deadlines are not looked at here. A cancellation never comes here:
    /// intent is the engine's, not guessed from an error.
    #[must_use]
    pub fn delay_after(&self, attempt: u32, failure: &Failure, random: u64) -> Option<Nanos> {
        if attempt >= self.max_attempts.get() || !self.retry_if.allows(failure.class) {
            return None;
        }
        Some(spread(self.backoff, self.jitter, attempt, failure, random))
    }

    /// The longest that all attempts can take by declaration, without jitter: what a plan's worst path adds up.
    #[must_use]
    pub fn longest(&self) -> Nanos {
        let attempts = u64::from(self.max_attempts.get());
        let calls = self
            .attempt_timeout
            .unwrap_or(Nanos::MAX)
            .saturating_mul(attempts);
        let longest_delay = self
            .backoff
            .cap()
            .unwrap_or_else(|| self.backoff.uncapped(1));
        let all = calls.saturating_add(longest_delay.saturating_mul(attempts - 1));
        all.min(self.total.unwrap_or(Nanos::MAX))
    }
}

/// When a component that ended while it ran is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum RestartWhen {
    /// Never: its first loss is final.
    Never,
    /// When it was lost by an error, a panic, a vanished task or failed health checks.
    #[default]
    OnFailure,
    /// Also when its own loop has completed.
    Always,
}

/// What a component or the defaults say about starting it again after a loss.
///
/// Every field is optional: unset means "as the defaults say". [`Restart::default`] says nothing at all.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case", deny_unknown_fields, default)
)]
pub struct Restart {
    /// When it is started again.
    pub when: Option<RestartWhen>,
    /// The delay between the loss and the next generation; grows with each restart that was not followed by a stable run.
    pub backoff: Option<Backoff>,
    /// How the delay is spread.
    pub jitter: Option<Jitter>,
    /// How many own failures within [`window`](Self::window) are followed by a restart; one more is final. 0 is allowed
    /// and means that the first is.
    pub budget: Option<u32>,
    /// Over how long failures are counted.
    pub window: Option<Nanos>,
    /// How long it must have run for the delay to begin anew.
    pub stable_period: Option<Nanos>,
}

impl Restart {
    /// No restart, even where the defaults restart.
    #[must_use]
    pub fn never() -> Self {
        Self::when(RestartWhen::Never)
    }

    /// A restart after each loss, within the budget.
    #[must_use]
    pub fn on_failure() -> Self {
        Self::when(RestartWhen::OnFailure)
    }

    /// A restart after each loss and each completion, within the budget.
    #[must_use]
    pub fn always() -> Self {
        Self::when(RestartWhen::Always)
    }

    fn when(when: RestartWhen) -> Self {
        Self {
            when: Some(when),
            ..Self::default()
        }
    }

    /// Sets the delay between a loss and the next generation.
    #[must_use]
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = Some(backoff);
        self
    }

    /// Sets how the delay is spread.
    #[must_use]
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = Some(jitter);
        self
    }

    /// Allows `budget` restarts for own failures within `window`.
    #[must_use]
    pub fn with_budget(mut self, budget: u32, window: impl Into<Nanos>) -> Self {
        self.budget = Some(budget);
        self.window = Some(window.into());
        self
    }

    /// Sets how long it must have run for the delay to begin anew.
    #[must_use]
    pub fn with_stable_period(mut self, period: impl Into<Nanos>) -> Self {
        self.stable_period = Some(period.into());
        self
    }

    /// Fills what is unset from `defaults`.
    #[must_use]
    pub fn or(&self, defaults: &Self) -> Self {
        Self {
            when: self.when.or(defaults.when),
            backoff: self.backoff.or(defaults.backoff),
            jitter: self.jitter.or(defaults.jitter),
            budget: self.budget.or(defaults.budget),
            window: self.window.or(defaults.window),
            stable_period: self.stable_period.or(defaults.stable_period),
        }
    }

    /// Every fault of what is set here, in words, each with its remedy.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self
            .backoff
            .iter()
            .flat_map(|it| backoff_faults(*it))
            .collect();
        for (field, length) in [
            ("window", self.window),
            ("stable-period", self.stable_period),
        ] {
            faults.extend(length.and_then(|it| limit_fault(field, it)));
        }
        let says_more = self.backoff.is_some() || self.budget.is_some();
        if self.when == Some(RestartWhen::Never) && says_more {
            faults.push(
                "a back-off or a budget is set although when is \"never\"; drop it, or restart on failure"
                    .to_owned(),
            );
        }
        faults
    }
}

/// A [`Restart`] with nothing missing: what the engine decides by.
#[derive(Clone, Debug, PartialEq)]
pub struct RestartPolicy {
    /// When it is started again.
    pub when: RestartWhen,
    /// The delay between the loss and the next generation.
    pub backoff: Backoff,
    /// How the delay is spread.
    pub jitter: Jitter,
    /// How many own failures within the window are followed by a restart.
    pub budget: u32,
    /// Over how long failures are counted.
    pub window: Nanos,
    /// How long it must have run for the delay to begin anew.
    pub stable_period: Nanos,
}

impl RestartPolicy {
    /// The built-in back-off: 100 ms, doubled each time up to 30 s.
    pub const BACKOFF: Backoff = Backoff::Exponential {
        initial: Nanos::from_millis(100),
        factor: 2.0,
        cap: Nanos::from_secs(30),
    };
    /// The built-in budget within [`WINDOW`](Self::WINDOW).
    pub const BUDGET: u32 = 5;
    /// The built-in window, and the built-in stable period.
    pub const WINDOW: Nanos = Nanos::from_secs(60);

    /// Completes `restart` with what is built in.
    #[must_use]
    pub fn resolve(restart: &Restart) -> Self {
        let window = restart.window.unwrap_or(Self::WINDOW);
        Self {
            when: restart.when.unwrap_or_default(),
            backoff: restart.backoff.unwrap_or(Self::BACKOFF),
            jitter: restart.jitter.unwrap_or(Jitter::Full),
            budget: restart.budget.unwrap_or(Self::BUDGET),
            window,
            stable_period: restart.stable_period.unwrap_or(window),
        }
    }

    /// The delay before restart `step` (counted from 1) since the last stable run. Jitter (from the random number `random`)
    /// is applied before the cap; a `retry_after` in the failure replaces the delay and is limited by the cap.
    #[must_use]
    pub fn delay_of(&self, step: u32, failure: &Failure, random: u64) -> Nanos {
        spread(self.backoff, self.jitter, step, failure, random)
    }
}

/// How the health of a running component is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case", deny_unknown_fields, default)
)]
pub struct HealthCheck {
    /// How long after one check the next begins (10 s).
    pub every: Nanos,
    /// How long one check may take; one that takes longer counts as failed (2 s).
    pub timeout: Nanos,
    /// How many checks must fail in a row for the component to be unhealthy (3).
    pub misses: u32,
    /// Whether an unhealthy component is restarted, at the cost of its budget. Otherwise it is shown, and an essential one
    /// makes the host unready (semantics 23).
    pub restart_on_unhealthy: bool,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            every: Nanos::from_secs(10),
            timeout: Nanos::from_secs(2),
            misses: 3,
            restart_on_unhealthy: false,
        }
    }
}

impl HealthCheck {
    /// A check every `every`, otherwise as built in.
    #[must_use]
    pub fn every(every: impl Into<Nanos>) -> Self {
        Self {
            every: every.into(),
            ..Self::default()
        }
    }

    /// Limits one check to `timeout`.
    #[must_use]
    pub fn with_timeout(mut self, timeout: impl Into<Nanos>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// Sets how many checks must fail in a row.
    #[must_use]
    pub fn with_misses(mut self, misses: u32) -> Self {
        self.misses = misses;
        self
    }

    /// Restarts the component when it is unhealthy.
    #[must_use]
    pub fn restarting(mut self) -> Self {
        self.restart_on_unhealthy = true;
        self
    }

    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (field, length) in [("every", self.every), ("timeout", self.timeout)] {
            faults.extend(limit_fault(field, length));
        }
        if self.misses == 0 {
            faults.push("misses is 0; use 1 for a component that is unhealthy at once".to_owned());
        }
        faults
    }
}

/// The delay after failed attempt `attempt`: spread, then capped; what the failure asks for goes before.
fn spread(backoff: Backoff, jitter: Jitter, attempt: u32, failure: &Failure, random: u64) -> Nanos {
    let computed = || jitter.applied(backoff.uncapped(attempt), random);
    let delay = failure.retry_after.unwrap_or_else(computed);
    delay.min(backoff.cap().unwrap_or(Nanos::MAX))
}

/// Everything the engine needs to know of one component's calls. Shared by all components that say the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Policies {
    /// Attempts and limits of start.
    pub start: RetryPolicy,
    /// Attempts and limits of stop.
    pub stop: RetryPolicy,
    /// What follows a loss.
    pub restart: RestartPolicy,
    /// How long a drain may take.
    pub drain_timeout: Nanos,
    /// How health is asked for, if it is.
    pub health_check: Option<HealthCheck>,
    /// How long dispose may take.
    pub dispose_timeout: Nanos,
    /// How long a cancelled call or task may take to end by itself before it is aborted, and an aborted one to vanish
    /// before it is given up.
    pub abort_grace: Nanos,
}

impl Policies {
    /// The longest that it may take from the moment when a component shall go down until nothing of it is left, by
    /// declaration and outside of a shutdown: whatever it is doing then, asked, given its grace, aborted, and disposed.
    #[must_use]
    pub fn longest_fall(&self) -> Nanos {
        let attempts = u64::from(self.stop.max_attempts.get());
        // A start in flight: cancelled, aborted. Each stop attempt: aborted. Tasks: asked, aborted. Dispose: aborted.
        let graces = self.abort_grace.saturating_mul(attempts.saturating_add(5));
        self.stop
            .longest()
            .saturating_add(self.dispose_timeout)
            .saturating_add(graces)
    }
}

/// A well-mixed number from a seed and what it is for; the same input gives the same number in every process.
pub(crate) fn random(seed: u64, component: u64, generation: u64, attempt: u64) -> u64 {
    [component, generation, attempt]
        .into_iter()
        .fold(mix(seed), |state, part| mix(state ^ mix(part)))
}

/// The finaliser of splitmix64 (Steele, Lea and Flood, 2014): every input bit reaches every output bit.
fn mix(input: u64) -> u64 {
    let mut state = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(feature = "serde")]
mod serde_impl {
    use super::{Nanos, Timeout};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    impl Serialize for Timeout {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            match self {
                Self::After(length) => length.serialize(serializer),
                Self::Never => serializer.serialize_str("never"),
            }
        }
    }

    impl<'de> Deserialize<'de> for Timeout {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            let text = String::deserialize(deserializer)?;
            if text == "never" {
                return Ok(Self::Never);
            }
            let length: Nanos = text.parse().map_err(D::Error::custom)?;
            Ok(Self::After(length))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Nanos = Nanos::from_millis;

    fn policy(retry: &Retry) -> RetryPolicy {
        RetryPolicy::resolve(retry, Nanos::from_secs(30))
    }

    fn exponential(cap: Nanos) -> Backoff {
        Backoff::Exponential {
            initial: MS(100),
            factor: 2.0,
            cap,
        }
    }

    fn error() -> Failure {
        Failure::error("no route")
    }

    #[test]
    fn contract_15_attempts_never_exceed_the_maximum_which_counts_the_first() {
        let policy = policy(&Retry::attempts(3));
        assert_eq!(policy.delay_after(1, &error(), 0), Some(Nanos::ZERO));
        assert_eq!(policy.delay_after(2, &error(), 0), Some(Nanos::ZERO));
        assert_eq!(policy.delay_after(3, &error(), 0), None);
    }

    #[test]
    fn contract_16_fixed_waits_the_same_and_exponential_doubles_up_to_its_cap() {
        let fixed = policy(&Retry::attempts(9).with_backoff(Backoff::Fixed(MS(70))));
        let doubling = policy(&Retry::attempts(9).with_backoff(exponential(MS(500))));
        let delays = |policy: &RetryPolicy| -> Vec<u64> {
            (1..=5)
                .filter_map(|attempt| policy.delay_after(attempt, &error(), 0))
                .map(Nanos::as_millis)
                .collect()
        };
        assert_eq!(delays(&fixed), [70, 70, 70, 70, 70]);
        assert_eq!(delays(&doubling), [100, 200, 400, 500, 500]);
    }

    #[test]
    fn contract_17_none_makes_exactly_one_attempt_even_against_retrying_defaults() {
        let merged = Retry::none().or(&Retry::attempts(5));
        assert_eq!(policy(&merged).delay_after(1, &error(), 0), None);
        let unset = Retry::default().or(&Retry::attempts(5));
        assert_eq!(policy(&unset).max_attempts.get(), 5);
    }

    #[test]
    fn jitter_is_applied_before_the_cap() {
        let retry = Retry::attempts(9).with_backoff(exponential(MS(150)));
        let full = policy(&retry.clone().with_jitter(Jitter::Full));
        let equal = policy(&retry.with_jitter(Jitter::Equal));
        // Attempt 2 is 200 ms before jitter: full at one half is 100 ms, equal at one half 150 ms, at the top 150 ms by the cap.
        assert_eq!(full.delay_after(2, &error(), 1 << 63), Some(MS(100)));
        assert_eq!(equal.delay_after(2, &error(), 1 << 63), Some(MS(150)));
        assert_eq!(equal.delay_after(2, &error(), u64::MAX), Some(MS(150)));
        assert_eq!(equal.delay_after(2, &error(), 0), Some(MS(100)));
    }

    #[test]
    fn retry_after_replaces_the_delay_and_is_limited_by_the_cap() {
        let policy = policy(&Retry::attempts(9).with_backoff(exponential(MS(500))));
        let asks = |millis| error().with_retry_after(MS(millis));
        assert_eq!(policy.delay_after(1, &asks(300), 0), Some(MS(300)));
        assert_eq!(policy.delay_after(1, &asks(9_000), 0), Some(MS(500)));
    }

    #[test]
    fn a_permanent_error_ends_the_attempts_and_transient_only_wants_to_be_told() {
        let lenient = policy(&Retry::attempts(5));
        let strict = policy(&Retry::attempts(5).with_retry_if(RetryIf::Transient));
        let classed = |class| error().with_class(class);
        assert_eq!(lenient.delay_after(1, &classed(Class::Permanent), 0), None);
        assert!(
            lenient
                .delay_after(1, &classed(Class::Unclassified), 0)
                .is_some()
        );
        assert_eq!(
            strict.delay_after(1, &classed(Class::Unclassified), 0),
            None
        );
        assert!(
            strict
                .delay_after(1, &classed(Class::Transient), 0)
                .is_some()
        );
    }

    #[test]
    fn absurd_attempts_saturate_at_the_cap() {
        let policy =
            policy(&Retry::attempts(u32::MAX).with_backoff(exponential(Nanos::from_secs(9))));
        assert_eq!(
            policy.delay_after(u32::MAX - 1, &error(), 0),
            Some(Nanos::from_secs(9))
        );
        assert_eq!(
            policy.longest(),
            Nanos::from_secs(u64::from(u32::MAX) * 30 + 9 * (u64::from(u32::MAX) - 1))
        );
    }

    #[test]
    fn every_contradiction_of_a_retry_is_named_at_once() {
        let retry = Retry {
            max_attempts: Some(0),
            backoff: Some(Backoff::Exponential {
                initial: MS(10),
                factor: 0.5,
                cap: MS(5),
            }),
            attempt_timeout: Some(Timeout::After(Nanos::ZERO)),
            total: Some(Timeout::After(Nanos::MAX)),
            ..Retry::default()
        };
        let faults = retry.faults().join("\n");
        for part in [
            "max-attempts is 0",
            "factor is 0.5",
            "cap (5ms)",
            "attempt-timeout is 0",
            "365 days",
        ] {
            assert!(faults.contains(part), "{part} in {faults}");
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_random_number_and_another_seed_another() {
        assert_eq!(random(7, 1, 2, 3), random(7, 1, 2, 3));
        assert_ne!(random(7, 1, 2, 3), random(8, 1, 2, 3));
        assert_ne!(random(7, 1, 2, 3), random(7, 1, 3, 2));
    }
}
