//! Keys of policies, which sections of several kinds have.

use crate::config::kind::Kind;
use crate::config::schema::{Entry, Group, Initial, Node, key};
use Initial::{Is, Unset};
use Kind::{Backoff, Duration, Flag, Limit, Number, OneOf};
use Node::{Leaf, Table};

const COUNT: Kind = Number(0, u32::MAX as i64);
const JITTER: Kind = OneOf(&["none", "full", "equal"]);

pub(crate) const RETRY: Group = Group {
    title: "Attempts: `start` and `stop`",
    text: "In `[defaults.start]`, `[http-inbounds.NAME.start]` and their like. A key that is unset is taken from `[defaults]`; there, \
           it means one attempt, of 30 s for a start and of 10 s for a stop.",
    always: false,
    entries: &[
        key(
            "attempt-timeout",
            Leaf(Limit, Unset),
            "how long one attempt may take",
        ),
        key(
            "backoff",
            Leaf(Backoff, Unset),
            "how long to wait before the next one",
        ),
        key(
            "jitter",
            Leaf(JITTER, Unset),
            "how much of that is left to chance",
        ),
        key(
            "max-attempts",
            Leaf(COUNT, Unset),
            "how many attempts there are, the first one included; 1 is no retry",
        ),
        key(
            "retry-if",
            Leaf(OneOf(&["not-permanent", "transient"]), Unset),
            "after which errors there is another one",
        ),
        key(
            "total",
            Leaf(Limit, Unset),
            "how long all attempts may take together",
        ),
    ],
};

pub(crate) const RESTART: Group = Group {
    title: "Restarts: `restart`",
    text: "What follows when a component is lost. A key that is unset is taken from `[defaults.restart]`; there, it means: on failure, \
           after 100 ms to 30 s with full jitter, five times in 60 s.",
    always: false,
    entries: &[
        key(
            "backoff",
            Leaf(Backoff, Unset),
            "how long to wait before it is started again",
        ),
        key(
            "budget",
            Leaf(COUNT, Unset),
            "how many restarts there are within the window",
        ),
        key(
            "jitter",
            Leaf(JITTER, Unset),
            "how much of the wait is left to chance",
        ),
        key(
            "stable-period",
            Leaf(Duration, Unset),
            "how long it runs until the back-off begins anew",
        ),
        key(
            "when",
            Leaf(OneOf(&["never", "on-failure", "always"]), Unset),
            "after which ends",
        ),
        key(
            "window",
            Leaf(Duration, Unset),
            "the time that the budget is for",
        ),
    ],
};

const HEALTH_CHECK: Group = Group {
    title: "Health: `health-check`",
    text: "A component is asked for its health once the section is there.",
    always: false,
    entries: &[
        key(
            "every",
            Leaf(Duration, Is("\"10s\"")),
            "how long after one check the next begins",
        ),
        key(
            "misses",
            Leaf(COUNT, Is("3")),
            "how many checks must fail in a row for it to be unhealthy",
        ),
        key(
            "restart-on-unhealthy",
            Leaf(Flag, Is("false")),
            "whether it is restarted then",
        ),
        key(
            "timeout",
            Leaf(Duration, Is("\"2s\"")),
            "how long a check may take",
        ),
    ],
};

pub(crate) const ABORT_GRACE: Entry = key(
    "abort-grace",
    Leaf(Duration, Unset),
    "how long a cancelled call may take to end by itself; unset, as in `[defaults]`",
);
pub(crate) const DISPOSE: Entry = key(
    "dispose-timeout",
    Leaf(Duration, Unset),
    "how long dispose may take; unset, as in `[defaults]`",
);
pub(crate) const DRAIN: Entry = key(
    "drain-timeout",
    Leaf(Duration, Unset),
    "how long its drain may take; unset, as in `[defaults]`",
);
pub(crate) const HEALTH: Entry = key(
    "health-check",
    Table(&HEALTH_CHECK),
    "how its health is asked for",
);
pub(crate) const RESTARTS: Entry = key("restart", Table(&RESTART), "what follows when it is lost");
pub(crate) const START: Entry = key("start", Table(&RETRY), "attempts and limits of its start");
pub(crate) const STOP: Entry = key("stop", Table(&RETRY), "attempts and limits of its stop");
