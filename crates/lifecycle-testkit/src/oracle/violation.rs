//! [`Violation`]: a promise that was broken, and where.

use std::fmt;

use lifecycle_core::{ComponentName, Time};

/// Which promise was broken. The numbers are those of the architecture page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Rule {
    /// A start began before every hard dependency ran (invariant 1).
    StartOrder,
    /// A stop began before every dependent was down (invariant 1).
    StopOrder,
    /// A generation was not disposed exactly once, or stopped when it was over (invariant 4).
    Dispose,
    /// A stop took longer than it may (invariant 7).
    StopLength,
    /// A start began after a stop was accepted (invariant 8).
    StartAfterStop,
    /// There were more restarts than the budget allows (invariant 12).
    Budget,
    /// A snapshot or a status tells another story than the events (invariant 14).
    Agreement,
    /// A state or a number followed that may not follow.
    Step,
    /// Events are missing, come twice, or are not in the order of time.
    Gap,
}

impl Rule {
    /// The rule's name in messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StartOrder => "start order",
            Self::StopOrder => "stop order",
            Self::Dispose => "dispose",
            Self::StopLength => "stop length",
            Self::StartAfterStop => "start after stop",
            Self::Budget => "budget",
            Self::Agreement => "agreement",
            Self::Step => "step",
            Self::Gap => "gap",
        }
    }
}

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which promise.
    pub rule: Rule,
    /// Whose; `None` for the orchestrator as a whole.
    pub component: Option<ComponentName>,
    /// The event that showed it.
    pub sequence: u64,
    /// When.
    pub at: Time,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.rule.as_str())?;
        if let Some(component) = &self.component {
            write!(f, "\"{component}\": ")?;
        }
        write!(f, "{} (event {}, {:?})", self.what, self.sequence, self.at)
    }
}
