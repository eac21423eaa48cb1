//! What can go wrong when an orchestrator is asked for something.

use std::sync::Arc;

use lifecycle_core::BuildError;
use lifecycle_core::engine;
use lifecycle_core::engine::StopReport;

use crate::request::UnknownGate;

/// The loop behind a handle is gone: the orchestrator, its builder or its runtime was dropped.
///
/// Nothing was asked of it, or the answer is lost. All its tasks were aborted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the orchestrator's driver is gone")]
pub struct DriverGone;

/// A start that did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The orchestrator refused it, an essential component failed, or it was cancelled; the inner error says which, and
    /// what was rolled back.
    #[error(transparent)]
    Failed(Arc<engine::StartError>),
    /// Nobody carries it out.
    #[error(transparent)]
    DriverGone(#[from] DriverGone),
}

/// A stop that was not clean.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StopError {
    /// Some stop failed, was aborted or was left behind; everything else was stopped. A further stop retries what
    /// failed.
    #[error(transparent)]
    Unclean(engine::StopError),
    /// Nobody carries it out.
    #[error(transparent)]
    DriverGone(#[from] DriverGone),
}

impl StopError {
    /// What the stop came to, if there was one.
    #[must_use]
    pub fn report(&self) -> Option<&Arc<StopReport>> {
        match self {
            Self::Unclean(error) => Some(&error.report),
            Self::DriverGone(_) => None,
        }
    }
}

/// The orchestrator did not become ready.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WaitReadyError {
    /// A stop, or the rollback of a failed start, has ended in the meantime.
    #[error("the orchestrator stopped before it was ready: {}", .0.reason.as_str())]
    Stopped(Arc<StopReport>),
    /// Nobody is there to become ready.
    #[error(transparent)]
    DriverGone(#[from] DriverGone),
}

/// An operation on one component that was refused or did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The engine refused it, or the component failed; the inner error says which.
    #[error(transparent)]
    Refused(Arc<engine::OperationError>),
    /// Nobody carries it out.
    #[error(transparent)]
    DriverGone(#[from] DriverGone),
}

/// A component that was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// It makes no sense beside what is there; nothing has changed.
    #[error(transparent)]
    Faulty(BuildError),
    /// The engine refused it, or it failed to start and was removed again.
    #[error(transparent)]
    Refused(Arc<engine::OperationError>),
    /// Nobody carries it out.
    #[error(transparent)]
    DriverGone(#[from] DriverGone),
}

/// A command to the node that was refused or did not come about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NodeError {
    /// The engine refused it, or a participant failed; the inner error says which.
    #[error(transparent)]
    Refused(Arc<engine::NodeError>),
    /// Nobody carries it out.
    #[error(transparent)]
    DriverGone(#[from] DriverGone),
}

/// A gate that was not opened or closed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// There is no such gate.
    #[error(transparent)]
    Unknown(#[from] UnknownGate),
    /// Nobody carries it out.
    #[error(transparent)]
    DriverGone(#[from] DriverGone),
}
