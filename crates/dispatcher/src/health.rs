//! What speaks against sending calls.

use lifecycle_core::engine::OrchestratorState;

use crate::dispatcher::Dispatcher;

impl Dispatcher {
    /// What speaks against sending it calls, each by a stable name: `dispatcher:unbound` as long as no orchestrator is
    /// [connected](Self::driven_by), `dispatcher-status:` with the state of one that does not run, and what its
    /// [outbounds say](Self::outbound_issues). None, and it is ready.
    ///
    /// A transport adds what it knows itself, such as that it is being drained.
    #[must_use]
    pub fn issues(&self) -> Vec<String> {
        let own = match (self.is_connected(), self.status()) {
            (false, _) => Some("dispatcher:unbound".to_owned()),
            (true, OrchestratorState::Running) => None,
            (true, other) => Some(format!("dispatcher-status:{}", other.as_str())),
        };
        own.into_iter().chain(self.outbound_issues()).collect()
    }
}
