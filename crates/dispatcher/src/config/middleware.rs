//! What stands around calls: its keys, and the layers that they make.
//!
//! Counting and a quiet log are on, since who has a program in front of services asks it how they are; both tell nothing that a caller
//! has made up. All else is off until it is asked for: which limits are right is known to nobody here, and a trace that nobody
//! collects is passed on best as it came.

use std::num::NonZeroU32;

use dispatcher::Code;
use dispatcher::middleware::{
    ConcurrencyLimit, Deadlines, Logging, Metrics, RateLimit, Retries, Tracing,
};
use lifecycle_core::{
    Backoff, Defaults, GraphFault, Jitter, Nanos, Plan, Registration, Retry, component,
};
use serde::{Deserialize, Deserializer};

use crate::config::kind::Kind::{self, Backoff as Curve, Flag, Number, OneOf, SomeOf, Time};
use crate::config::schema::Initial::{Is, Required, Unset};
use crate::config::schema::Node::{Leaf, Table};
use crate::config::schema::{Entry, Group, key};

const COUNT: Kind = Number(1, u32::MAX as i64);

/// The codes that calls can be repeated after, beside `UNAVAILABLE`.
const CODES: &[&str] = &[
    "UNKNOWN",
    "CANCELLED",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "DATA_LOSS",
];

/// `[middleware]`.
pub(crate) const MIDDLEWARE: Group = Group {
    title: "`[middleware]`",
    text: "What stands around all calls that come in, those that find no procedure too. From the outside in: `tracing`, `logging`, \
           `metrics`, `deadlines`, `concurrency-limit`, `rate-limit`; then those of the relay.",
    always: true,
    entries: &[
        CONCURRENCY_LIMIT,
        DEADLINES,
        key(
            "logging",
            Table(&Group {
                title: "`[middleware.logging]`",
                text: "A line for each call, under the target `rpc`, and a span around what it logs.",
                always: true,
                entries: &[
                    key("enabled", Leaf(Flag, Is("true")), "whether there are any"),
                    key(
                        "quiet",
                        Leaf(Flag, Is("true")),
                        "whether the lines of success, and of what is the caller's own doing, are of level debug, and not info",
                    ),
                ],
            }),
            "a line for each call",
        ),
        key(
            "metrics",
            Table(&Group {
                title: "`[middleware.metrics]`",
                text: "How many calls there are, and how long they last: of those that come in, and of those by each outbound.",
                always: true,
                entries: &[key(
                    "enabled",
                    Leaf(Flag, Is("true")),
                    "whether they are counted",
                )],
            }),
            "how many calls there are",
        ),
        RATE_LIMIT,
        key(
            "tracing",
            Table(&Group {
                title: "`[middleware.tracing]`",
                text: "A span for each hop of a trace, around calls that come in and each attempt by an outbound, and the headers \
                       `traceparent` and `tracestate` to tie them together. Without this section these are passed on as they come.",
                always: false,
                entries: &[
                    key("enabled", Leaf(Flag, Is("true")), "whether there are any"),
                    key(
                        "sampled-percent",
                        Leaf(Number(0, 100), Is("100")),
                        "how many of a hundred traces that begin here are said to be sampled",
                    ),
                ],
            }),
            "the hops of traces",
        ),
    ],
};

/// Around everything, or a relay.
pub(crate) const DEADLINES: Entry = key(
    "deadlines",
    Table(&Group {
        title: "Deadlines: `deadlines`",
        text: "In `[middleware.deadlines]` and `[relays.NAME.deadlines]`. Without them a call lasts as long as its caller, or the outbound \
               that it goes by, waits.",
        always: false,
        entries: &[
            key(
                "default",
                Leaf(Time, Unset),
                "how long a call may last whose caller does not say; a stream, until it begins",
            ),
            key(
                "longest",
                Leaf(Time, Unset),
                "how long a call may last, whatever its caller says; a stream, until it begins",
            ),
            key(
                "longest-stream",
                Leaf(Time, Unset),
                "how long a stream may last, to its end",
            ),
        ],
    }),
    "how long calls may last",
);

/// Around everything, a relay, or an outbound.
pub(crate) const CONCURRENCY_LIMIT: Entry = key(
    "concurrency-limit",
    Table(&Group {
        title: "Calls at the same time: `concurrency-limit`",
        text: "In `[middleware.concurrency-limit]`, `[relays.NAME.concurrency-limit]` and `[outbounds.NAME.concurrency-limit]`: one limit \
               for all that it is around. What is too much is refused with `RESOURCE_EXHAUSTED`, and nothing waits.",
        always: false,
        entries: &[key(
            "calls",
            Leaf(COUNT, Required("1")),
            "how many there may be, streams to their end",
        )],
    }),
    "how many calls there may be at the same time",
);

/// Around everything, a relay, or an outbound.
pub(crate) const RATE_LIMIT: Entry = key(
    "rate-limit",
    Table(&Group {
        title: "Calls in a time: `rate-limit`",
        text: "In `[middleware.rate-limit]`, `[relays.NAME.rate-limit]` and `[outbounds.NAME.rate-limit]`: one limit for all that it is \
               around. What is too much is refused with `RESOURCE_EXHAUSTED`, and nothing waits.",
        always: false,
        entries: &[
            key(
                "burst",
                Leaf(COUNT, Unset),
                "how many may come at the same moment, after a time without any; unset, as many as `calls`",
            ),
            key(
                "calls",
                Leaf(COUNT, Required("1")),
                "how many may begin in that time",
            ),
            key(
                "per",
                Leaf(OneOf(&["second", "minute"]), Is("\"second\"")),
                "the time",
            ),
        ],
    }),
    "how many calls may begin in a time",
);

/// Around an outbound.
pub(crate) const RETRIES: Entry = key(
    "retries",
    Table(&Group {
        title: "`[outbounds.NAME.retries]`",
        text: "Further attempts of unary and one-way calls that were `UNAVAILABLE`, once the section is there. Those that may have been \
               done are repeated only when they are `repeatable`.",
        always: false,
        entries: &[
            key(
                "attempts",
                Leaf(COUNT, Is("3")),
                "how many attempts a call has, the first one included; 1 is no retry",
            ),
            key(
                "backoff",
                Leaf(
                    Curve,
                    Is(r#"{ exponential = { initial = "50ms", factor = 2.0, cap = "1s" } }"#),
                ),
                "how long to wait before the next one",
            ),
            key(
                "budget-per-second",
                Leaf(Number(0, i32::MAX as i64), Is("10")),
                "how many retries there may be a second in any case, counted over ten seconds",
            ),
            key(
                "budget-percent",
                Leaf(Number(0, 100), Is("20")),
                "how many retries a hundred calls are worth that succeed",
            ),
            key(
                "codes",
                Leaf(SomeOf(CODES), Unset),
                "after which codes a call is repeated too; use such as say that nothing was done",
            ),
            key(
                "jitter",
                Leaf(OneOf(&["none", "full", "equal"]), Is("\"full\"")),
                "how much of the wait is left to chance",
            ),
            key(
                "repeatable",
                Leaf(Flag, Is("false")),
                "whether all that goes this way may be done twice, so that calls are repeated also when the connection broke before the \
                 answer came",
            ),
        ],
    }),
    "further attempts of calls",
);

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
    pub(crate) fn tracing(&self, service: &str) -> Option<Tracing> {
        let hops = self.tracing.filter(|it| it.enabled)?;
        let tracing = Tracing::new().service(service.trim());
        Some(tracing.sampled_percent(hops.sampled_percent))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_are_those_of_the_library() {
        let others = Code::ALL.into_iter().filter(|it| *it != Code::Unavailable);
        let others: Vec<_> = others.map(Code::as_str).collect();
        assert_eq!(CODES, others);
    }
}
