//! What stands around calls: its keys, and the layers that they make.
//!
//! Counting and a quiet log are on, since who has a program in front of services asks it how they are; both tell nothing that a caller
//! has made up. All else is off until it is asked for: which limits are right is known to nobody here, and a trace that nobody
//! collects is passed on best as it came.

mod keys;

use std::num::NonZeroU32;

use dispatcher::Code;
use dispatcher::middleware::{
    ConcurrencyLimit, Deadlines, Logging, Metrics, RateLimit, Retries, Tracing,
};
use host_config::sections::traces::Traces;
use lifecycle_core::{
    Backoff, Defaults, GraphFault, Jitter, Nanos, Plan, Registration, Retry, component,
};
use serde::{Deserialize, Deserializer};

pub(crate) use self::keys::{CONCURRENCY_LIMIT, DEADLINES, MIDDLEWARE, RATE_LIMIT, RETRIES};

/// What stands around all calls.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Middleware {
    logging: Lines,
    metrics: Counting,
    tracing: Option<Hops>,
    #[serde(flatten)]
    pub(crate) bounds: Bounds,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Lines {
    enabled: bool,
    quiet: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Counting {
    enabled: bool,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Hops {
    enabled: bool,
    sampled_percent: u8,
}

impl Middleware {
    /// Where nothing is said of hops, there are such as spans need, if these go anywhere.
    pub(crate) fn tracing(&self, service: &str, traces: Option<&Traces>) -> Option<Tracing> {
        let tracing = Tracing::new().service(service.trim());
        match (self.tracing, traces) {
            (Some(hops), _) => {
                let tracing = tracing.sampled_percent(hops.sampled_percent);
                hops.enabled.then_some(tracing)
            }
            (None, Some(traces)) => Some(tracing.sample_ratio(traces.sample_ratio)),
            (None, None) => None,
        }
    }

    pub(crate) fn logging(&self) -> Option<Logging> {
        let logging = self.logging.enabled.then(Logging::new)?;
        Some(match self.logging.quiet {
            true => logging.quiet(),
            false => logging,
        })
    }

    pub(crate) fn metrics(&self) -> Option<Metrics> {
        self.metrics.enabled.then(Metrics::new)
    }
}

/// How long calls may last, and how many there may be.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct Bounds {
    deadlines: Option<Times>,
    concurrency_limit: Option<Places>,
    rate_limit: Option<Rate>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Times {
    default: Option<Nanos>,
    longest: Option<Nanos>,
    longest_stream: Option<Nanos>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Places {
    calls: u32,
}

#[derive(Clone, Copy, Debug, Deserialize)]
struct Rate {
    calls: NonZeroU32,
    per: Per,
    burst: Option<NonZeroU32>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Per {
    Second,
    Minute,
}

impl Bounds {
    pub(crate) fn deadlines(&self) -> Option<Deadlines> {
        let times = self.deadlines?;
        let mut deadlines = Deadlines::new();
        if let Some(time) = times.default {
            deadlines = deadlines.unless_set(time.into());
        }
        if let Some(time) = times.longest {
            deadlines = deadlines.at_most(time.into());
        }
        if let Some(time) = times.longest_stream {
            deadlines = deadlines.streams_at_most(time.into());
        }
        Some(deadlines)
    }

    pub(crate) fn concurrency_limit(&self) -> Option<ConcurrencyLimit> {
        let calls = self.concurrency_limit?.calls;
        Some(ConcurrencyLimit::new(calls as usize))
    }

    pub(crate) fn rate_limit(&self) -> Option<RateLimit> {
        let rate = self.rate_limit?;
        let limit = match rate.per {
            Per::Second => RateLimit::per_second(rate.calls),
            Per::Minute => RateLimit::per_minute(rate.calls),
        };
        Some(match rate.burst {
            Some(burst) => limit.burst(burst),
            None => limit,
        })
    }

    /// What is wrong with the default of deadlines, beside the longest one.
    pub(crate) fn fault_of_default(&self) -> Option<String> {
        let times = self.deadlines?;
        let (default, longest) = (times.default?, times.longest?);
        let fault = || {
            format!(
                "the default ({default}) is longer than the longest ({longest}); lower the one, or raise the other"
            )
        };
        (default > longest).then(fault)
    }
}

/// Further attempts of calls by an outbound.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Attempts {
    attempts: NonZeroU32,
    backoff: Backoff,
    jitter: Jitter,
    budget_percent: u8,
    budget_per_second: u32,
    #[serde(default, deserialize_with = "codes")]
    codes: Vec<Code>,
    repeatable: bool,
}

impl Attempts {
    pub(crate) fn retries(&self) -> Retries {
        let retries = Retries::new()
            .attempts(self.attempts)
            .backoff(self.backoff, self.jitter)
            .budget(self.budget_percent, self.budget_per_second);
        let retries = self.codes.iter().fold(retries, |all, it| all.code(*it));
        match self.repeatable {
            true => retries.repeatable(),
            false => retries,
        }
    }

    /// What is wrong with the back-off: the core is asked, with a component that does nothing and is started so.
    pub(crate) fn faults_of_backoff(&self) -> Vec<String> {
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        let retry = Retry::attempts(2).with_backoff(self.backoff);
        let stub = Registration::new("retries", idle).start_retry(retry);
        let compiled = Plan::compile(vec![stub], Defaults::default());
        let faults = compiled.err().into_iter().flat_map(|it| it.faults);
        let of_policies = faults.filter_map(|it| match it {
            GraphFault::Policy { fault, .. } => Some(fault),
            _ => None,
        });
        of_policies.collect()
    }
}

fn codes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Code>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    Ok(names.iter().filter_map(|it| it.parse().ok()).collect())
}
