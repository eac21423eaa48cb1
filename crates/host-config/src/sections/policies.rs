//! Policies of components: keys that sections of several kinds have, what they come to, and what is wrong with them.

use lifecycle_core::{
    Defaults, GraphFault, HealthCheck, Nanos, Plan, Registration, Restart, Retry, component,
};
use serde::Deserialize;

use crate::fault::Flaw;
use crate::key::Key;
use crate::kind::Kind::{self, Backoff, Duration, Flag, Limit, OneOf};
use crate::report::Report;
use crate::schema::Initial::{Is, Unset};
use crate::schema::Node::{Leaf, Table};
use crate::schema::{Entry, Group, key};

/// The keys of the policies of one component.
pub const POLICIES: &[Entry] = &[
    key(
        "abort-grace",
        Leaf(Duration, Unset),
        "how long a cancelled call may take to end by itself; unset, as in `[defaults]`",
    ),
    key(
        "dispose-timeout",
        Leaf(Duration, Unset),
        "how long dispose may take; unset, as in `[defaults]`",
    ),
    key(
        "drain-timeout",
        Leaf(Duration, Unset),
        "how long its drain may take; unset, as in `[defaults]`",
    ),
    key(
        "health-check",
        Table(&HEALTH_CHECK),
        "how its health is asked for",
    ),
    key("restart", Table(&RESTART), "what follows when it is lost"),
    key("start", Table(&RETRY), "attempts and limits of its start"),
    key("stop", Table(&RETRY), "attempts and limits of its stop"),
];

/// `criticality`: what the failure of a component means for the host, unless it is said, as TOML writes it.
#[must_use]
pub const fn criticality(default: &'static str) -> Entry {
    key(
        "criticality",
        Leaf(OneOf(&["essential", "degradable", "optional"]), Is(default)),
        "what its failure means for the host",
    )
}

const JITTER: Kind = OneOf(&["none", "full", "equal"]);

/// `start` and `stop`.
pub(crate) const RETRY: Group = Group {
    title: "Attempts: `start` and `stop`",
    text: "In `[defaults]`, and where components have policies. A key that is unset is taken from `[defaults]`; there, it means one attempt, of 30 s for a start and of 10 s for a stop.",
    always: false,
    keys: &[&[
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
            Leaf(Kind::COUNT, Unset),
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
    ]],
};

/// `restart`.
pub(crate) const RESTART: Group = Group {
    title: "Restarts: `restart`",
    text: "What follows when a component is lost. A key that is unset is taken from `[defaults.restart]`; there, it means: on failure, \
           after 100 ms to 30 s with full jitter, five times in 60 s.",
    always: false,
    keys: &[&[
        key(
            "backoff",
            Leaf(Backoff, Unset),
            "how long to wait before it is started again",
        ),
        key(
            "budget",
            Leaf(Kind::COUNT, Unset),
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
    ]],
};

const HEALTH_CHECK: Group = Group {
    title: "Health: `health-check`",
    text: "A component is asked for its health once the section is there.",
    always: false,
    keys: &[&[
        key(
            "every",
            Leaf(Duration, Is("\"10s\"")),
            "how long after one check the next begins",
        ),
        key(
            "misses",
            Leaf(Kind::COUNT, Is("3")),
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
    ]],
};

/// The policies of one component; what is unset comes from the defaults.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Policies {
    /// Attempts and limits of start.
    pub start: Retry,
    /// Attempts and limits of stop.
    pub stop: Retry,
    /// What follows when it is lost.
    pub restart: Restart,
    /// How its health is asked for; unset: it is not.
    pub health_check: Option<HealthCheck>,
    /// How long its drain may take, if it takes part in one.
    pub drain_timeout: Option<Nanos>,
    /// How long dispose may take.
    pub dispose_timeout: Option<Nanos>,
    /// How long a cancelled call may take to end by itself.
    pub abort_grace: Option<Nanos>,
}

impl Policies {
    /// The registration with these policies.
    #[must_use]
    pub fn apply(&self, mut registration: Registration) -> Registration {
        let policies = self.clone();
        registration.start = policies.start;
        registration.stop = policies.stop;
        registration.restart = policies.restart;
        registration.health_check = policies.health_check;
        registration.drain_timeout = policies.drain_timeout;
        registration.dispose_timeout = policies.dispose_timeout;
        registration.abort_grace = policies.abort_grace;
        registration
    }
}

/// Blames policies that the core refuses, in the sections that they are from, and defaults.
///
/// The core itself is asked, with components that do nothing.
pub fn check<'a>(
    report: &mut Report<'_>,
    defaults: &Defaults,
    sections: impl IntoIterator<Item = (Key, &'a Policies)>,
) {
    let (sections, policies): (Vec<_>, Vec<_>) = sections.into_iter().unzip();
    let stub = |(place, policies): (usize, &Policies)| {
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        policies.apply(Registration::new(name_of_stub(place), idle))
    };
    let stubs = policies.into_iter().enumerate().map(stub);
    let compiled = Plan::compile(stubs.collect(), defaults.clone());
    for fault in compiled.err().into_iter().flat_map(|it| it.faults) {
        let (section, phase, fault) = match &fault {
            GraphFault::Defaults { phase, fault } => (Key::of(&["defaults"]), *phase, fault),
            GraphFault::Policy {
                component,
                phase,
                fault,
            } => {
                let mut places = sections.iter().enumerate();
                let found = places.find(|(place, _)| name_of_stub(*place) == component.as_str());
                let section = found.map(|(_, it)| it.clone()).unwrap_or_default();
                (section, *phase, fault)
            }
            // The names are ours, and nothing depends on anything.
            _ => continue,
        };
        let phase_key = section.join(phase);
        let key = field_of(phase, fault).map_or(phase_key.clone(), |it| phase_key.join(it));
        report.blame(&key, Flaw::split(fault));
    }
}

fn name_of_stub(place: usize) -> String {
    format!("section {place}")
}

/// The field that a fault of a policy is about; its first words say so.
fn field_of(phase: &str, fault: &str) -> Option<&'static str> {
    let fields: &[(&str, &'static str)] = match phase {
        "start" | "stop" => &[
            ("max-attempts", "max-attempts"),
            ("attempt-timeout", "attempt-timeout"),
            ("total", "total"),
            ("back-off", "backoff"),
            ("a back-off", "backoff"),
        ],
        "restart" => &[
            ("window", "window"),
            ("stable-period", "stable-period"),
            ("back-off", "backoff"),
            ("a back-off or a budget", "when"),
        ],
        "health-check" => &[
            ("every", "every"),
            ("timeout", "timeout"),
            ("misses", "misses"),
        ],
        _ => &[],
    };
    let mut fields = fields.iter();
    let named = fields.find(|(begin, _)| fault.starts_with(begin));
    named.map(|(_, field)| *field)
}

#[cfg(test)]
mod tests {
    use lifecycle_core::{Backoff, Jitter, RestartWhen, RetryIf, Timeout};
    use serde::Serialize;

    use super::*;

    /// The keys of a value, as TOML.
    fn keys_of(value: &impl Serialize) -> Vec<String> {
        let table = toml::Table::try_from(value).expect("a table");
        table.keys().cloned().collect()
    }

    fn names(group: &Group) -> Vec<&str> {
        group.entries().into_iter().map(|it| it.name).collect()
    }

    #[test]
    fn the_keys_are_those_of_the_core_no_more_and_no_less() {
        let second = Nanos::from_secs(1);
        let retry = Retry {
            max_attempts: Some(2),
            backoff: Some(Backoff::Fixed(second)),
            jitter: Some(Jitter::Full),
            attempt_timeout: Some(Timeout::Never),
            total: Some(Timeout::After(second)),
            retry_if: Some(RetryIf::Transient),
        };
        let restart = Restart {
            when: Some(RestartWhen::Always),
            backoff: Some(Backoff::Fixed(second)),
            jitter: Some(Jitter::Full),
            budget: Some(3),
            window: Some(second),
            stable_period: Some(second),
        };
        assert_eq!(keys_of(&retry), names(&RETRY));
        assert_eq!(keys_of(&restart), names(&RESTART));
        assert_eq!(keys_of(&HealthCheck::default()), names(&HEALTH_CHECK));
    }

    #[test]
    fn the_defaults_of_a_health_check_are_those_of_the_core() {
        let said = HEALTH_CHECK.entries().into_iter().map(|it| match it.node {
            Leaf(_, Is(text)) => format!("{} = {text}\n", it.name),
            Leaf(..) | Table(_) | crate::schema::Node::Each(..) => String::new(),
        });
        let check: HealthCheck = toml::from_str(&said.collect::<String>()).expect("a check");
        assert_eq!(check, HealthCheck::default());
    }
}
