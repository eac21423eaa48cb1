//! What a start and a stop came to.

use std::fmt;
use std::sync::Arc;

use crate::failure::Failure;
use crate::name::ComponentName;
use crate::registration::Criticality;
use crate::time::Nanos;

use super::message::{Call, Reason};
use super::state::{ComponentState, OrchestratorState};

/// A start that has settled: everything essential runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartReport {
    /// Which run of the orchestrator.
    pub run: u64,
    /// How many components run.
    pub running: usize,
    /// What does not run, in plan order.
    pub degraded: Vec<Degradation>,
    /// How long the start took.
    pub took: Nanos,
}

/// A component that does not run although the start has settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Degradation {
    /// Which.
    pub component: ComponentName,
    /// Its state.
    pub state: ComponentState,
    /// What its loss means.
    pub criticality: Criticality,
    /// What it waits for in vain, when it is not at fault itself.
    pub cause: Option<ComponentName>,
    /// Its own failure, or that of its cause.
    pub failure: Option<Arc<Failure>>,
}

/// A start that did not come about.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The orchestrator is in a state that refuses a start; nothing has changed.
    FailedPrecondition {
        /// That state.
        state: OrchestratorState,
    },
    /// An essential component failed to start. What had started was stopped again.
    Failed {
        /// Which component failed.
        component: ComponentName,
        /// How; for one that waited in vain, how its dependency failed.
        failure: Arc<Failure>,
        /// The dependency that failed, when the component itself was never called.
        cause: Option<ComponentName>,
        /// What else had failed to start by then.
        degraded: Vec<Degradation>,
        /// How the rollback went. When it left failures, the orchestrator stays `stopping` and a stop retries them.
        rollback: Arc<StopReport>,
    },
    /// The start was cancelled, by its caller or by a stop. What had started was stopped again.
    Cancelled {
        /// What had failed to start by then.
        degraded: Vec<Degradation>,
        /// How that stop went.
        stop: Arc<StopReport>,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FailedPrecondition { state } => write!(
                f,
                "failed precondition: the orchestrator is {}; start is possible when it is created or stopped",
                state.as_str()
            ),
            Self::Failed {
                component,
                failure,
                cause,
                degraded,
                rollback,
            } => {
                write!(f, "\"{component}\" failed to start: {failure}")?;
                if let Some(cause) = cause {
                    write!(f, " (it depends on \"{cause}\")")?;
                }
                write_failures(f, degraded)?;
                write_troubles(f, "rollback", rollback)
            }
            Self::Cancelled { degraded, stop } => {
                f.write_str("the start was cancelled")?;
                write_failures(f, degraded)?;
                write_troubles(f, "stop", stop)
            }
        }
    }
}

impl std::error::Error for StartError {}

/// What failed by itself; those who waited for it in vain are not named.
fn write_failures(f: &mut fmt::Formatter<'_>, degraded: &[Degradation]) -> fmt::Result {
    let own = degraded.iter().filter(|it| it.cause.is_none());
    own.filter_map(|it| Some((&it.component, it.failure.as_ref()?)))
        .try_for_each(|(component, failure)| write!(f, "; \"{component}\" failed too: {failure}"))
}

fn write_troubles(f: &mut fmt::Formatter<'_>, what: &str, report: &StopReport) -> fmt::Result {
    report
        .troubles
        .iter()
        .try_for_each(|it| write!(f, "; {what}: {it}"))
}

/// How the stop of one component ended (semantics 13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum StopOutcome {
    /// Its stop returned `Ok`, its tasks were joined.
    Stopped,
    /// Its stop attempts are exhausted; its value is kept, and a further stop tries again.
    Failed,
    /// Its stop, or a task that it left, had to be dropped.
    Aborted,
    /// It blocks a thread and was left behind.
    Abandoned,
    /// The deadline came before its turn.
    NotAsked,
    /// It was kept up because a dependent could not be confirmed down; a forced stop closes it.
    Held,
}

impl StopOutcome {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Aborted => "aborted",
            Self::Abandoned => "abandoned",
            Self::NotAsked => "not-asked",
            Self::Held => "held",
        }
    }
}

/// A component whose stop was not clean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopTrouble {
    /// Which.
    pub component: ComponentName,
    /// How its stop ended.
    pub outcome: StopOutcome,
    /// The last failure of its stop.
    pub failure: Option<Arc<Failure>>,
    /// How releasing what it had failed; this alone does not make a stop unclean.
    pub dispose_failure: Option<Arc<Failure>>,
    /// Whether it was stopped although a dependent could not be confirmed down.
    pub order_violated: bool,
    /// What of it did not end when it should, if anything did not.
    pub hang: Option<Hang>,
    /// The dependencies that had to wait for it, when it could not be confirmed down.
    pub awaited_by: Vec<ComponentName>,
    /// Those of them that were stopped all the same.
    pub closed_over: Vec<ComponentName>,
}

/// Something that did not end when it should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hang {
    /// The call; `None` for tasks that the component left.
    pub call: Option<Call>,
    /// For how long it had been at work when it was given up.
    pub lasted: Nanos,
    /// What it said last that it was doing.
    pub progress: Option<Arc<str>>,
}

impl fmt::Display for Hang {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.call.map_or("its tasks", Call::as_str);
        write!(f, "{what} given up after {} ms", self.lasted.as_millis())?;
        match &self.progress {
            Some(progress) => write!(f, " at \"{progress}\""),
            None => Ok(()),
        }
    }
}

impl StopTrouble {
    /// Whether this makes the stop as a whole an error.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.outcome != StopOutcome::Stopped
    }
}

impl fmt::Display for StopTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" {}", self.component, self.outcome.as_str())?;
        if let Some(failure) = &self.failure {
            write!(f, ": {failure}")?;
        }
        if let Some(failure) = &self.dispose_failure {
            write!(f, " (dispose: {failure})")?;
        }
        if let Some(hang) = &self.hang {
            write!(f, " ({hang})")?;
        }
        if self.order_violated {
            f.write_str(" (stopped although a dependent was not confirmed down)")?;
        }
        write_names(f, "awaited by", &self.awaited_by)?;
        write_names(f, "closed over it", &self.closed_over)
    }
}

/// The first of `names`, and how many more there are.
fn write_names(f: &mut fmt::Formatter<'_>, what: &str, names: &[ComponentName]) -> fmt::Result {
    const SHOWN: usize = 4;
    if names.is_empty() {
        return Ok(());
    }
    write!(f, " ({what}: ")?;
    for (position, name) in names.iter().take(SHOWN).enumerate() {
        let joint = if position > 0 { ", " } else { "" };
        write!(f, "{joint}{name}")?;
    }
    if names.len() > SHOWN {
        write!(f, " and {} more", names.len() - SHOWN)?;
    }
    f.write_str(")")
}

/// What a stop came to, whoever asked for it: a caller, a rollback, the loss of an essential component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopReport {
    /// Which run of the orchestrator.
    pub run: u64,
    /// Why it stopped.
    pub reason: Reason,
    /// The component behind it, for a rollback or a loss.
    pub cause: Option<ComponentName>,
    /// The failure behind it, for a rollback or a loss.
    pub failure: Option<Arc<Failure>>,
    /// Whether it was forced at any time.
    pub forced: bool,
    /// How many components stopped cleanly.
    pub stopped: usize,
    /// Every component whose stop was not clean, in the order in which dependencies start.
    pub troubles: Vec<StopTrouble>,
    /// What is still up: failed or held. While it is not empty the orchestrator is `stopping`.
    pub incomplete: Vec<ComponentName>,
    /// How long the stop took.
    pub took: Nanos,
}

impl StopReport {
    /// Whether every stop returned `Ok` and nothing was aborted or left behind.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        !self.troubles.iter().any(StopTrouble::is_error)
    }

    /// The report, as an error unless it is clean.
    ///
    /// # Errors
    ///
    /// [`StopError`] with the report.
    pub fn into_result(self: Arc<Self>) -> Result<Arc<Self>, StopError> {
        if self.is_clean() {
            return Ok(self);
        }
        Err(StopError { report: self })
    }
}

/// A stop in which something failed, was aborted or was left behind. Everything else was stopped all the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopError {
    /// What the stop came to.
    pub report: Arc<StopReport>,
}

impl fmt::Display for StopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let errors: Vec<&StopTrouble> = self
            .report
            .troubles
            .iter()
            .filter(|it| it.is_error())
            .collect();
        match &errors[..] {
            [only] => write!(f, "stop: {only}"),
            many => {
                write!(f, "{} components did not stop cleanly:", many.len())?;
                many.iter().try_for_each(|it| write!(f, "\n  - {it}"))
            }
        }
    }
}

impl std::error::Error for StopError {}
