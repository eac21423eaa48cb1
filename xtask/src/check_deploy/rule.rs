//! The rules by id, what each says, and what to do about a violation.

use std::fmt;

/// One rule of the kit. Its id is printed, so it must never change its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    MetricUnknown,
    LabelUnknown,
    AlertUntested,
    AlertUnexplained,
    UnitSetting,
    PodSetting,
    ProbeMisses,
    StopUnknown,
    SettleTooShort,
    StartTooShort,
    ToolRefuses,
    ToolMissing,
}

/// What a rule prints about itself.
struct Wording {
    id: &'static str,
    says: &'static str,
    remedy: &'static str,
}

impl Rule {
    const fn wording(self) -> Wording {
        match self {
            Self::MetricUnknown => Wording {
                id: "metric-unknown",
                says: "every metric that an alert or a panel asks for is made by the sources",
                remedy: "correct the name; that of a histogram ends in _bucket, _sum or _count",
            },
            Self::LabelUnknown => Wording {
                id: "label-unknown",
                says: "every label that is asked for, and every value of it, is written in the sources",
                remedy: "correct the label or its value, as the sources spell it",
            },
            Self::AlertUntested => Wording {
                id: "alert-untested",
                says: "every alert is shown to come, and not to come",
                remedy: "add a case with its name to the tests of the rules",
            },
            Self::AlertUnexplained => Wording {
                id: "alert-unexplained",
                says: "an alert has a severity, a summary and a description",
                remedy: "say what it means and where to look",
            },
            Self::UnitSetting => Wording {
                id: "unit-setting",
                says: "a unit makes use of what the host does, and gives it no more rights than it needs",
                remedy: "set it so, or change docs/deployment.md and this rule together",
            },
            Self::PodSetting => Wording {
                id: "pod-setting",
                says: "a pod has no more rights than it needs, and says how much it takes",
                remedy: "set it so, or change docs/deployment.md and this rule together",
            },
            Self::ProbeMisses => Wording {
                id: "probe-misses",
                says: "probes ask for the path that is for them, on the port of the diagnostics",
                remedy: "set the port of the probe to that of diagnostics.address",
            },
            Self::StopUnknown => Wording {
                id: "stop-unknown",
                says: "the host is told how long the service manager waits, so that it refuses what does not fit",
                remedy: "set kill-timeout to terminationGracePeriodSeconds or TimeoutStopSec",
            },
            Self::SettleTooShort => Wording {
                id: "settle-too-short",
                says: "a node settles for longer than its readiness probe takes to notice",
                remedy: "raise defaults.settle, or ask more often",
            },
            Self::StartTooShort => Wording {
                id: "start-too-short",
                says: "a start has as long in a pod as under systemd",
                remedy: "raise failureThreshold or periodSeconds of the startup probe",
            },
            Self::ToolRefuses => Wording {
                id: "tool-refuses",
                says: "the program that reads the file takes it",
                remedy: "see what it has printed above",
            },
            Self::ToolMissing => Wording {
                id: "tool-missing",
                says: "nothing is taken for good that could not be looked at",
                remedy: "run cargo xtask ci --stage tools, which installs what is missing",
            },
        }
    }
}

/// One place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Violation {
    pub(crate) path: String,
    pub(crate) rule: Rule,
    /// The name or setting that is wrong.
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Wording { id, says, remedy } = self.rule.wording();
        writeln!(f, "error[{id}]: {}", self.what)?;
        writeln!(f, "  where:  {}", self.path)?;
        writeln!(f, "  rule:   {says}")?;
        writeln!(f, "  remedy: {remedy}")
    }
}
