//! [`ExitStatus`]: how a process tells its parent what came of it.

use std::process::{ExitCode, Termination};

use lifecycle_core::engine::{Reason, StopReport};

/// The outcome of a host, as an exit code (semantics 32).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ExitStatus {
    /// 0: it was asked to stop, and everything stopped.
    Clean,
    /// 1: an essential component was lost, and the host stopped itself.
    EssentialLost,
    /// 64: the command line makes no sense. The host never says this; its `main` may.
    Usage,
    /// 70: an essential component failed to start, and what had started was stopped again; or the host itself could not
    /// have its threads or its signals, and nothing was started.
    StartFailed,
    /// 71: in the stop, something failed, was aborted or was left behind.
    StopFailed,
    /// 78: the components or their configuration make no sense; nothing was started.
    Configuration,
}

impl ExitStatus {
    /// The code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::EssentialLost => 1,
            Self::Usage => 64,
            Self::StartFailed => 70,
            Self::StopFailed => 71,
            Self::Configuration => 78,
        }
    }

    /// What a stop of a host that had started means.
    pub(super) fn of_stop(report: &StopReport) -> Self {
        if report.reason == Reason::EssentialLost {
            return Self::EssentialLost;
        }
        if report.is_clean() {
            return Self::Clean;
        }
        Self::StopFailed
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

impl Termination for ExitStatus {
    fn report(self) -> ExitCode {
        self.into()
    }
}
