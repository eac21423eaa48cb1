//! Operations on one component while the rest goes on: what they are, and what they come to.

use std::fmt;
use std::sync::Arc;

use crate::failure::Failure;
use crate::graph;
use crate::name::ComponentName;
use crate::plan::Plan;
use crate::time::Nanos;

use super::state::{ComponentState, OrchestratorState};

/// What somebody wants done with one component (semantics 24, 25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum Operation {
    /// It is started, and no longer held; what had failed with it is started too.
    Start,
    /// It is stopped, with what goes down with it, and held.
    Stop,
    /// It is stopped and started again, with what goes down with it.
    Restart,
    /// It has been added, and is started.
    Add,
    /// It is stopped and taken out of the orchestrator.
    Remove,
}

impl Operation {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Add => "add",
            Self::Remove => "remove",
        }
    }
}

/// Who wants something, and why; kept and shown, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Intent {
    /// Who wants it.
    pub by: Option<Arc<str>>,
    /// Why.
    pub reason: Option<Arc<str>>,
}

impl Intent {
    /// An intent of nobody in particular, because of `reason`.
    #[must_use]
    pub fn because(reason: impl Into<Arc<str>>) -> Self {
        Self {
            by: None,
            reason: Some(reason.into()),
        }
    }

    /// Names who wants it.
    #[must_use]
    pub fn by(mut self, who: impl Into<Arc<str>>) -> Self {
        self.by = Some(who.into());
        self
    }
}

/// What an operation on one component came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationReport {
    /// Which component.
    pub component: ComponentName,
    /// What was done with it.
    pub operation: Operation,
    /// Its state now.
    pub state: ComponentState,
    /// What went down with it, in the order in which it went.
    pub collateral: Vec<ComponentName>,
    /// How its stop failed, if it did; it was disposed all the same.
    pub stop_failure: Option<Arc<Failure>>,
    /// How long it took.
    pub took: Nanos,
}

/// An operation on one component that was refused, or did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationError {
    /// There is no such component (any more); nothing has changed.
    NotFound {
        /// The name that was given.
        component: String,
        /// The component whose name is spelled most like it, if one is near.
        nearest: Option<ComponentName>,
    },
    /// The orchestrator is in a state that refuses operations; nothing has changed.
    FailedPrecondition {
        /// What was wanted.
        operation: Operation,
        /// That state.
        state: OrchestratorState,
    },
    /// An essential component would go down and stay down; nothing has changed. It can be forced.
    Essential {
        /// Which one was meant.
        component: ComponentName,
        /// The essential one: itself, or one that goes down with it.
        essential: ComponentName,
    },
    /// It cannot start while a hard dependency is held or has failed for good; nothing has changed. Or that dependency
    /// was stopped while the start waited for it: then it starts with the dependency, and nobody waits for that.
    DependencyDown {
        /// Which component.
        component: ComponentName,
        /// Which dependency.
        dependency: ComponentName,
    },
    /// Others need it; nothing has changed. With [`Cascade::Dependents`](super::Cascade::Dependents) they are removed too.
    HasDependents {
        /// Which component.
        component: ComponentName,
        /// The hard dependents.
        dependents: Vec<ComponentName>,
    },
    /// Its value is still up, or blocks a thread, since a stop has failed: it cannot be started again.
    StillUp {
        /// Which component.
        component: ComponentName,
    },
    /// It has failed. What was added is removed again.
    Failed {
        /// Which component.
        component: ComponentName,
        /// The dependency behind it, if it was never called itself.
        cause: Option<ComponentName>,
        /// How it failed.
        failure: Arc<Failure>,
    },
    /// Something else was wanted of it before this was done: a later operation, or a stop of the orchestrator.
    Superseded {
        /// Which component.
        component: ComponentName,
    },
}

impl OperationError {
    /// There is no component called `name` in `plan`; names the one that is spelled most like it. Takes time linear in the
    /// components.
    #[must_use]
    pub fn unknown(plan: &Plan, name: &str) -> Self {
        let name = name.trim();
        let names = plan.by_name().iter().map(|it| plan.name(*it));
        Self::NotFound {
            component: name.to_owned(),
            nearest: graph::nearest(names, name),
        }
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { component, nearest } => {
                write!(f, "there is no component \"{component}\"")?;
                nearest
                    .iter()
                    .try_for_each(|it| write!(f, "; did you mean \"{it}\"?"))
            }
            Self::FailedPrecondition { operation, state } => write!(
                f,
                "failed precondition: the orchestrator is {}; {} needs it to be running",
                state.as_str(),
                operation.as_str()
            ),
            Self::Essential {
                component,
                essential,
            } if component == essential => write!(
                f,
                "\"{component}\" is essential: without it the host is not ready; force the stop, or restart it"
            ),
            Self::Essential {
                component,
                essential,
            } => write!(
                f,
                "\"{essential}\" is essential and would go down with \"{component}\"; force the stop, or restart it"
            ),
            Self::DependencyDown {
                component,
                dependency,
            } => write!(
                f,
                "\"{component}\" needs \"{dependency}\", which is down and stays down; start \"{dependency}\" first"
            ),
            Self::HasDependents {
                component,
                dependents,
            } => {
                write!(f, "\"{component}\" is needed by")?;
                for (position, name) in dependents.iter().enumerate() {
                    let joint = if position > 0 { "," } else { "" };
                    write!(f, "{joint} \"{name}\"")?;
                }
                f.write_str("; remove them first, or with it")
            }
            Self::StillUp { component } => write!(
                f,
                "\"{component}\" could not be stopped, so it cannot be started; stop the orchestrator, or end the process"
            ),
            Self::Failed {
                component,
                cause,
                failure,
            } => {
                write!(f, "\"{component}\" failed: {failure}")?;
                cause
                    .iter()
                    .try_for_each(|it| write!(f, " (it depends on \"{it}\")"))
            }
            Self::Superseded { component } => write!(
                f,
                "something else was wanted of \"{component}\" before this was done"
            ),
        }
    }
}

impl std::error::Error for OperationError {}
