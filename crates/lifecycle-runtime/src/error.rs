//! What can go wrong when an orchestrator is asked for something.

use std::sync::Arc;

use lifecycle_core::engine;
use lifecycle_core::engine::StopReport;

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
