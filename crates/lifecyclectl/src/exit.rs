//! [`Exit`]: what the program says to scripts.

use std::process::ExitCode;

/// How a command ended; the number is the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It is done.
    Done = 0,
    /// It failed, or what was asked for is not ready.
    Failed = 1,
    /// Nobody knows yet: the time was over. What was begun goes on.
    TimedOut = 2,
    /// There is no such component, operation or route.
    NotFound = 3,
    /// The host refused: a conflict, a changed plan, a missing scope.
    Refused = 4,
    /// The command line makes no sense.
    Usage = 64,
    /// Somebody interrupted the client, as a shell writes it. What was begun goes on.
    Interrupted = 130,
}

impl Exit {
    /// As the original's commands exit: 0, 1 or 2.
    pub(crate) fn of_old(self) -> Self {
        match self {
            Self::NotFound | Self::Refused => Self::Failed,
            Self::Done | Self::Failed | Self::TimedOut | Self::Usage | Self::Interrupted => self,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
