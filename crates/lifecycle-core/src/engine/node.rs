//! The node as a whole, beside its lifecycle: cordoned or not, and how far a drain has gone (semantics 27).

use std::fmt;
use std::sync::Arc;

use crate::failure::Failure;
use crate::name::ComponentName;
use crate::time::{Nanos, Time};

use super::operation::Intent;
use super::state::{DrainState, OrchestratorState};

/// What somebody wants done with the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeCommand {
    /// Nobody shall choose it any more; what comes all the same is served.
    Cordon,
    /// It may be chosen again.
    Uncordon,
    /// It takes in no new work; answered when nothing is in flight. Implies [`Cordon`](Self::Cordon).
    Drain {
        /// When participants are no longer waited for; each has its own timeout besides.
        deadline: Option<Time>,
    },
    /// It takes in work again, after a drain. Implies [`Uncordon`](Self::Uncordon).
    Resume,
    /// The drain under way is given up, and what was drained is resumed.
    Cancel,
    /// The drain under way ends within the force timeout: participants give up what is in flight.
    Force,
}

impl NodeCommand {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Cordon => "cordon",
            Self::Uncordon => "uncordon",
            Self::Drain { .. } => "drain",
            Self::Resume => "resume",
            Self::Cancel => "cancel",
            Self::Force => "force",
        }
    }
}

/// What a command to the node has brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeEffect {
    /// Nothing: it was so already.
    Nothing,
    /// The cordon was set or taken away, which needs no time.
    Cordon,
    /// Participants were drained or resumed, however soon that was over.
    Drain,
}

/// The node, as it was when a command was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeReport {
    /// What the command has brought about.
    pub effect: NodeEffect,
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// How far the drain has gone.
    pub drain: DrainState,
    /// Participants whose drain or resume failed, in plan order.
    pub failures: Vec<(ComponentName, Arc<Failure>)>,
    /// How long the command took.
    pub took: Nanos,
}

/// A command to the node that was refused, or did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeError {
    /// The orchestrator is in a state that refuses it; nothing has changed.
    FailedPrecondition {
        /// What was wanted.
        command: &'static str,
        /// That state.
        state: OrchestratorState,
    },
    /// The drain is in a state that refuses it; nothing has changed.
    Conflict {
        /// What was wanted.
        command: &'static str,
        /// How far the drain has gone.
        drain: DrainState,
        /// What to do about it.
        remedy: &'static str,
    },
    /// A participant of this drain or resume has failed; the node is `failed`, and can be drained again, resumed or forced.
    Failed {
        /// What it came to.
        report: Arc<NodeReport>,
    },
    /// The drain was cancelled, or a stop came in between.
    Superseded,
}

impl fmt::Display for NodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailedPrecondition { command, state } => write!(
                f,
                "failed precondition: the orchestrator is {}; {command} needs it to be running",
                state.as_str()
            ),
            Self::Conflict {
                command,
                drain,
                remedy,
            } => write!(
                f,
                "the node is {}, so {command} is refused; {remedy}",
                drain.as_str()
            ),
            Self::Failed { report } => {
                f.write_str("the node failed to drain or resume:")?;
                report
                    .failures
                    .iter()
                    .try_for_each(|(name, failure)| write!(f, " \"{name}\": {failure};"))
            }
            Self::Superseded => f.write_str("the command was overtaken by a cancel or a stop"),
        }
    }
}

impl std::error::Error for NodeError {}

/// What is kept of the node.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) cordoned: bool,
    pub(super) drain: DrainState,
    /// Whether it was to take in work again when its drain state was last decided, though a participant may have failed
    /// to. What comes up then takes in work.
    pub(super) resumed: bool,
    /// Since when cordon and drain are what they are.
    pub(super) since: Time,
    /// Who wanted it last, and why.
    pub(super) intent: Intent,
}

/// The node at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSnapshot {
    /// Whether it is cordoned.
    pub cordoned: bool,
    /// How far a drain has gone.
    pub drain: DrainState,
    /// Since when it is in that state.
    pub since: Time,
    /// Who wanted it, and why.
    pub intent: Intent,
    /// When the drain under way no longer waits.
    pub deadline: Option<Time>,
    /// Whether the drain under way was forced.
    pub forced: bool,
}
