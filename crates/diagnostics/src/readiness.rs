//! Whether the host is ready, and what speaks against it.
//!
//! The verdict is the orchestrator's own, read from its status; nobody is asked and nothing is awaited, so that a probe
//! costs the same however many components there are and however busy the driver is.

use std::fmt;
use std::sync::Arc;

use lifecycle_core::engine::{DrainState, OrchestratorState};
use lifecycle_runtime::Status;

/// How much an issue matters. The order is that of listing: the worst comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The host is not ready while this lasts.
    Unavailable,
    /// The host is ready, and less than whole.
    Degraded,
}

impl Severity {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Degraded => "degraded",
        }
    }
}

/// Something that speaks against readiness.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Issue {
    /// How much it matters.
    pub severity: Severity,
    /// What it is, as `subject:condition`, for scripts: `mesh:faulted`.
    pub name: String,
    /// What is known beyond that, for people.
    pub message: Option<String>,
}

impl Issue {
    /// An issue that makes the host unready.
    #[must_use]
    pub fn unavailable(name: impl Into<String>) -> Self {
        Self::of(Severity::Unavailable, name)
    }

    /// An issue that leaves the host ready.
    #[must_use]
    pub fn degraded(name: impl Into<String>) -> Self {
        Self::of(Severity::Degraded, name)
    }

    /// Sets what is known beyond the name.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.message = Some(message.into());
        self
    }

    fn of(severity: Severity, name: impl Into<String>) -> Self {
        Self {
            severity,
            name: name.into(),
            message: None,
        }
    }
}

/// Where further issues come from. Called for every probe, on the thread that answers it.
pub(crate) type Provider = Arc<dyn Fn() -> Vec<Issue> + Send + Sync>;

/// The verdict at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    pub(crate) state: OrchestratorState,
    /// Worst first.
    pub(crate) issues: Vec<Issue>,
}

impl Readiness {
    /// Judges by `status`; `components` and `provided` say why.
    pub(crate) fn judge(status: &Status, components: Vec<Issue>, provided: Vec<Issue>) -> Self {
        let mut issues = Vec::new();
        if status.state != OrchestratorState::Running {
            let state = status.state.as_str();
            issues.push(Issue::unavailable(format!("orchestrator:{state}")));
        }
        if status.drain != DrainState::Active {
            let drain = status.drain.as_str();
            issues.push(Issue::unavailable(format!("node:{drain}")));
        }
        if status.cordoned {
            issues.push(Issue::unavailable("node:cordoned"));
        }
        // What is known of components may be a moment older or newer than the verdict: it must not contradict it.
        let agrees = |it: &Issue| !status.ready || it.severity == Severity::Degraded;
        issues.extend(components.into_iter().filter(agrees));
        if !status.ready && issues.is_empty() {
            issues.push(Issue::unavailable("components:not-ready"));
        }
        issues.extend(provided);
        // Stable: among equals the order above, which puts faults before what follows from them.
        issues.sort_by_key(|it| it.severity);
        let worst = issues.first().map(|it| it.severity);
        Self {
            ready: worst != Some(Severity::Unavailable),
            state: status.state,
            issues,
        }
    }

    pub(crate) fn is_degraded(&self) -> bool {
        self.ready && !self.issues.is_empty()
    }
}

impl fmt::Display for Issue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        match &self.message {
            Some(message) => write!(f, ": {message}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: OrchestratorState, ready: bool) -> Status {
        let mut status = Status::default();
        status.state = state;
        status.ready = ready;
        status
    }

    fn names(readiness: &Readiness) -> Vec<&str> {
        readiness.issues.iter().map(|it| it.name.as_str()).collect()
    }

    #[test]
    fn the_worst_issue_comes_first_and_decides() {
        let running = status(OrchestratorState::Running, true);
        let degraded = || vec![Issue::degraded("cache:faulted")];
        let readiness = Readiness::judge(&running, degraded(), Vec::new());
        assert!(readiness.ready && readiness.is_degraded());

        let provided = vec![Issue::unavailable("peers:none")];
        let readiness = Readiness::judge(&running, degraded(), provided);
        assert!(!readiness.ready);
        assert_eq!(names(&readiness), ["peers:none", "cache:faulted"]);
    }

    #[test]
    fn unready_is_never_without_an_issue_and_ready_never_with_an_essential_one() {
        let unready = status(OrchestratorState::Running, false);
        let readiness = Readiness::judge(&unready, Vec::new(), Vec::new());
        assert_eq!(names(&readiness), ["components:not-ready"]);

        let ready = status(OrchestratorState::Running, true);
        let stale = vec![Issue::unavailable("listener:starting")];
        assert!(Readiness::judge(&ready, stale, Vec::new()).ready);
    }

    #[test]
    fn a_node_that_is_drained_or_cordoned_says_so_before_its_components() {
        let mut drained = status(OrchestratorState::Running, false);
        drained.cordoned = true;
        let components = || vec![Issue::unavailable("pool:faulted")];
        let readiness = Readiness::judge(&drained, components(), Vec::new());
        assert_eq!(names(&readiness), ["node:cordoned", "pool:faulted"]);
        for (drain, name) in [
            (DrainState::Draining, "node:draining"),
            (DrainState::Drained, "node:drained"),
            (DrainState::Failed, "node:failed"),
        ] {
            drained.drain = drain;
            let readiness = Readiness::judge(&drained, components(), Vec::new());
            assert_eq!(names(&readiness), [name, "node:cordoned", "pool:faulted"]);
            assert!(!readiness.ready);
        }
    }

    #[test]
    fn an_orchestrator_that_does_not_run_says_so_first() {
        let stopping = status(OrchestratorState::Stopping, false);
        let components = vec![Issue::unavailable("listener:stopping")];
        let readiness = Readiness::judge(&stopping, components, Vec::new());
        assert_eq!(
            names(&readiness),
            ["orchestrator:stopping", "listener:stopping"]
        );
    }
}
