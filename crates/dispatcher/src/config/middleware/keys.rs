//! Keys of what stands around calls.

use host_config::Initial::{Is, Required, Unset};
use host_config::Kind::{self, Backoff, Flag, Number, OneOf, SomeOf, Time};
use host_config::Node::{Leaf, Table};
use host_config::{Entry, Group, key};

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
    keys: &[&[
        CONCURRENCY_LIMIT,
        DEADLINES,
        key(
            "logging",
            Table(&Group {
                title: "`[middleware.logging]`",
                text: "A line for each call, under the target `rpc`, and a span around what it logs.",
                always: true,
                keys: &[&[
                    key("enabled", Leaf(Flag, Is("true")), "whether there are any"),
                    key(
                        "quiet",
                        Leaf(Flag, Is("true")),
                        "whether the lines of success, and of what is the caller's own doing, are of level debug, and not info",
                    ),
                ]],
            }),
            "a line for each call",
        ),
        key(
            "metrics",
            Table(&Group {
                title: "`[middleware.metrics]`",
                text: "How many calls there are, and how long they last: of those that come in, and of those by each outbound.",
                always: true,
                keys: &[&[key(
                    "enabled",
                    Leaf(Flag, Is("true")),
                    "whether they are counted",
                )]],
            }),
            "how many calls there are",
        ),
        RATE_LIMIT,
        key(
            "tracing",
            Table(&Group {
                title: "`[middleware.tracing]`",
                text: "A span for each hop of a trace, around calls that come in and each attempt by an outbound, and the headers \
                       `traceparent` and `tracestate` to tie them together. Without this section there are such if there is `[traces]`, sampled as that says, and else these are passed on as they come.",
                always: false,
                keys: &[&[
                    key("enabled", Leaf(Flag, Is("true")), "whether there are any"),
                    key(
                        "sampled-percent",
                        Leaf(Number(0, 100), Is("100")),
                        "how many of a hundred traces that begin here are said to be sampled",
                    ),
                ]],
            }),
            "the hops of traces",
        ),
    ]],
};

/// Around everything, or a relay.
pub(crate) const DEADLINES: Entry = key(
    "deadlines",
    Table(&Group {
        title: "Deadlines: `deadlines`",
        text: "In `[middleware.deadlines]` and `[relays.NAME.deadlines]`. Without them a call lasts as long as its caller, or the outbound \
               that it goes by, waits.",
        always: false,
        keys: &[&[
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
        ]],
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
        keys: &[&[key(
            "calls",
            Leaf(Kind::POSITIVE, Required("1")),
            "how many there may be, streams to their end",
        )]],
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
        keys: &[&[
            key(
                "burst",
                Leaf(Kind::POSITIVE, Unset),
                "how many may come at the same moment, after a time without any; unset, as many as `calls`",
            ),
            key(
                "calls",
                Leaf(Kind::POSITIVE, Required("1")),
                "how many may begin in that time",
            ),
            key(
                "per",
                Leaf(OneOf(&["second", "minute"]), Is("\"second\"")),
                "the time",
            ),
        ]],
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
        keys: &[&[
            key(
                "attempts",
                Leaf(Kind::POSITIVE, Is("3")),
                "how many attempts a call has, the first one included; 1 is no retry",
            ),
            key(
                "backoff",
                Leaf(
                    Backoff,
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
        ]],
    }),
    "further attempts of calls",
);

#[cfg(test)]
mod tests {
    use dispatcher::Code;

    use super::*;

    #[test]
    fn the_codes_are_those_of_the_library() {
        let others = Code::ALL.into_iter().filter(|it| *it != Code::Unavailable);
        let others: Vec<_> = others.map(Code::as_str).collect();
        assert_eq!(CODES, others);
    }
}
