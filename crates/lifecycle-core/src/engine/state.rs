//! States on the wire, and the one table of their legal steps.

/// The state of a component as everybody sees it.
///
/// The first six keep name and order of the original; the last two are additions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum ComponentState {
    /// Never asked to start.
    #[default]
    Created,
    /// A start attempt is in flight, or is being cleaned up after.
    Starting,
    /// Start has succeeded; stop has not begun.
    Running,
    /// Its stop has begun and its generation is not down yet.
    Stopping,
    /// Nothing of it is up.
    Stopped,
    /// It failed for good: start gave up, stop gave up, or it was lost while running.
    Faulted,
    /// Asked to start, and waits for something else.
    Waiting,
    /// Between two attempts.
    BackingOff,
}

impl ComponentState {
    /// Every state, in numeric order.
    pub const ALL: [Self; 8] = [
        Self::Created,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
        Self::Faulted,
        Self::Waiting,
        Self::BackingOff,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
            Self::Faulted => "faulted",
            Self::Waiting => "waiting",
            Self::BackingOff => "backing-off",
        }
    }

    /// Whether a component may step from this state to `next`. Everything else is a mistake in the engine.
    #[must_use]
    pub const fn may_become(self, next: Self) -> bool {
        use ComponentState::{
            BackingOff, Created, Faulted, Running, Starting, Stopped, Stopping, Waiting,
        };
        match self {
            Created => matches!(next, Waiting | Starting | Stopped | Faulted),
            Waiting => matches!(next, Starting | Stopped | Faulted),
            Starting => matches!(
                next,
                Running | BackingOff | Stopping | Stopped | Faulted | Waiting
            ),
            BackingOff => matches!(next, Starting | Stopping | Stopped | Faulted | Waiting),
            Running => matches!(next, Stopping | Stopped | Faulted),
            // What went down with a dependency, or by an operator's restart, waits or starts again.
            Stopping => matches!(next, Stopped | Faulted | BackingOff | Waiting | Starting),
            // A component that completed is stopped before its stop is called.
            Stopped => matches!(next, Waiting | Starting | Stopping | Faulted),
            Faulted => matches!(next, Waiting | Starting | Stopping | Stopped),
        }
    }
}

/// The state of the orchestrator as a whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum OrchestratorState {
    /// Never started.
    #[default]
    Created,
    /// A start is under way.
    Starting,
    /// The start has settled.
    Running,
    /// A stop or a rollback is under way, or has left components that refused to stop.
    Stopping,
    /// Everything is down.
    Stopped,
}

impl OrchestratorState {
    /// Every state, in numeric order.
    pub const ALL: [Self; 5] = [
        Self::Created,
        Self::Starting,
        Self::Running,
        Self::Stopping,
        Self::Stopped,
    ];

    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        }
    }
}

/// How far a drain has gone: of the node, or of one participant. Order and names are those of the original.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum DrainState {
    /// It takes in work.
    #[default]
    Active,
    /// It takes in no new work, and some is in flight.
    Draining,
    /// Nothing is in flight.
    Drained,
    /// The drain, or the resume after it, has failed.
    Failed,
}

impl DrainState {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Failed => "failed",
        }
    }
}

/// The health of a running component by its own account: its checks, and what it says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Health {
    /// Nothing is known to be wrong.
    #[default]
    Healthy,
    /// It works, and something is missing.
    Degraded,
    /// Its checks have failed too often in a row.
    Unhealthy,
}

impl Health {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}
