//! [`Hook`]: one of the calls that a component receives.

use std::fmt;

/// One of the calls that a component receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// [`Lifecycle::start`](lifecycle_core::Lifecycle::start).
    Start,
    /// [`Lifecycle::stop`](lifecycle_core::Lifecycle::stop).
    Stop,
    /// [`Lifecycle::drain`](lifecycle_core::Lifecycle::drain).
    Drain,
    /// [`Lifecycle::resume`](lifecycle_core::Lifecycle::resume).
    Resume,
    /// [`Lifecycle::check`](lifecycle_core::Lifecycle::check).
    Check,
    /// [`Lifecycle::dispose`](lifecycle_core::Lifecycle::dispose).
    Dispose,
}

impl Hook {
    /// Every hook.
    pub const ALL: [Self; 6] = [
        Self::Start,
        Self::Stop,
        Self::Drain,
        Self::Resume,
        Self::Check,
        Self::Dispose,
    ];

    /// The method's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Drain => "drain",
            Self::Resume => "resume",
            Self::Check => "check",
            Self::Dispose => "dispose",
        }
    }

    /// What is said of a component on which it has succeeded.
    pub(crate) const fn done(self) -> &'static str {
        match self {
            Self::Start => "started",
            Self::Stop => "stopped",
            Self::Drain => "drained",
            Self::Resume => "resumed",
            Self::Check => "checked",
            Self::Dispose => "disposed",
        }
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
