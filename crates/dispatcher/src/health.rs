//! What speaks against sending calls.

use lifecycle_core::engine::OrchestratorState;

use crate::dispatcher::Dispatcher;

impl Dispatcher {
    /// What speaks against sending it calls, each by a stable name: `dispatcher:unbound` as long as no orchestrator is
    /// [connected](Self::driven_by), and `dispatcher-status:` with the state of one that does not run. None, and it is ready.
    ///
    /// A transport adds what it knows itself, such as that it is being drained.
    #[must_use]
    pub fn issues(&self) -> Vec<String> {
        if !self.is_connected() {
            return vec!["dispatcher:unbound".to_owned()];
        }
        match self.status() {
            OrchestratorState::Running => Vec::new(),
            other => vec![format!("dispatcher-status:{}", other.as_str())],
        }
    }
}
