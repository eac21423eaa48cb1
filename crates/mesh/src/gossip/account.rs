//! What this node says about itself follows what its orchestrator does.

use std::fmt;
use std::sync::Arc;

use lifecycle_core::engine::{DrainState, OrchestratorState};
use lifecycle_runtime::{Status, StatusWatch};

use crate::gossip::membership::Members;
use crate::gossip::metadata::Metadata;

type Describe = Arc<dyn Fn(&mut Metadata) + Send + Sync>;

/// Gives account of an orchestrator by its status.
///
/// A status, and not a handle: with that, the component would keep the orchestrator's driver from ending.
#[derive(Clone)]
pub(crate) struct Account {
    status: StatusWatch,
    describe: Describe,
}

impl Account {
    pub(crate) fn new(
        status: StatusWatch,
        describe: impl Fn(&mut Metadata) + Send + Sync + 'static,
    ) -> Self {
        Self {
            status,
            describe: Arc::new(describe),
        }
    }

    /// Says what holds now.
    pub(crate) fn give(&self, members: &Members) {
        self.tell(&self.status.clone().get(), members);
    }

    /// Says what holds now and after each change, until nobody drives the orchestrator any more.
    pub(crate) async fn keep(mut self, members: Members) {
        loop {
            let status = self.status.get();
            self.tell(&status, &members);
            if self.status.changed().await.is_err() {
                return;
            }
        }
    }

    fn tell(&self, status: &Status, members: &Members) {
        let cordoned = wants_no_work(status);
        let told = members.announce(|about| {
            about.cordoned = cordoned;
            (self.describe)(about);
        });
        let Err(error) = told else {
            return;
        };
        tracing::warn!(%error, "the members cannot be told what this node has to say");
        // This they must know all the same. It makes nothing larger than it may be: `false` is the longer word.
        let _ = members.announce(|about| about.cordoned = cordoned);
    }
}

/// Whether somebody has decided, or it follows from a start or a stop, that no new work is wanted.
fn wants_no_work(status: &Status) -> bool {
    let takes_work = status.state == OrchestratorState::Running
        && status.drain == DrainState::Active
        && !status.cordoned;
    !takes_work
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use lifecycle_core::Registration;
    use lifecycle_core::component::from_fn;
    use lifecycle_runtime::Orchestrator;

    use super::*;
    use crate::gossip::{Gossip, Options};

    #[tokio::test]
    async fn a_node_is_cordoned_unless_its_orchestrator_runs_and_takes_work() {
        let idle = Registration::new("idle", from_fn(async |_| Ok(()), async |_| Ok(())));
        let mut builder = Orchestrator::builder();
        builder.register(idle);
        let handle = builder.build().unwrap().spawn();
        let mut status = handle.status();
        let mut cordoned = move || wants_no_work(&status.get());
        assert!(cordoned(), "not started");
        handle.start().await.unwrap();
        assert!(!cordoned());
        handle.cordon().await.unwrap();
        assert!(cordoned());
        handle.uncordon().await.unwrap();
        assert!(!cordoned());
        handle.drain().await.unwrap();
        assert!(cordoned());
        handle.resume().await.unwrap();
        assert!(!cordoned());
        handle.stop().await.unwrap();
        assert!(cordoned());
    }

    #[tokio::test]
    async fn that_a_node_is_cordoned_is_told_even_when_the_rest_is_too_large() {
        let members = Gossip::new(Options::default()).unwrap().members();
        let handle = Orchestrator::builder().build().unwrap().spawn();
        let account = Account::new(handle.status(), |about| {
            about.labels.insert("note".into(), "x".repeat(9_000));
        });
        account.give(&members);
        let said = members.said().borrow().clone();
        assert!(said.cordoned && said.labels.is_empty());
    }
}
