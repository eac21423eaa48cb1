//! [`Gate`]: a condition outside the orchestrator under which alone a component runs.

use std::fmt;
use std::sync::Arc;

use crate::name::{ComponentName, NameError};
use crate::time::Nanos;

/// A condition outside under which alone a component runs: a lease that is held, a region that is active.
///
/// Gates are told apart by name; several components may have the same one. A gate is closed until somebody opens it. It may
/// be opened *until* a moment, and again until a later one, as a lease is renewed: what it gates is stopped in order
/// `margin` before that moment at the latest, so that everything is down when it comes. What is not down then means that
/// the promise of the gate is broken, and the process ends (semantics 26).
///
/// So the margin must be long enough for the longest declared stop of the component and of what falls with it; `build()`
/// refuses one that is shorter. A dependent that does not fall is waited for all the same while it is on its way down for a
/// reason of its own; a margin too short for that is a [`PlanWarning`](crate::PlanWarning). The built-in limits of a stop
/// are made for hosts, not for leases: a gated component declares its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gate {
    /// The gate's name; the naming rule is that of components.
    pub name: String,
    /// How long before the close deadline the stop begins at the latest.
    pub margin: Nanos,
}

impl Gate {
    /// The gate called `name`, with its margin.
    #[must_use]
    pub fn new(name: impl Into<String>, margin: impl Into<Nanos>) -> Self {
        Self {
            name: name.into(),
            margin: margin.into(),
        }
    }
}

/// The name of a gate: as a component's, compared without regard to ASCII case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GateName(ComponentName);

impl GateName {
    /// Checks `name` against the naming rule.
    ///
    /// # Errors
    ///
    /// [`NameError`] with the rejected text.
    pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
        ComponentName::new(name).map(Self)
    }

    /// The name as it was spelled, trimmed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Display for GateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A gate as the plan knows it: checked, and shared by the components that have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PlannedGate {
    /// Which gate.
    pub(crate) name: Arc<GateName>,
    /// How long before the close deadline the stop of this component begins at the latest.
    pub(crate) margin: Nanos,
}
