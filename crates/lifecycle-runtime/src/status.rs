//! [`Status`]: the little that probes and hosts ask for all the time, as one value, so that readers agree.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use lifecycle_core::ComponentName;
use lifecycle_core::engine::{ComponentState, DrainState, OrchestratorState, StopReport};
use tokio::sync::watch;

use crate::error::DriverGone;

/// The state of the orchestrator in brief; reading it costs the driver nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Which run of the orchestrator, counted from 1; 0 before the first.
    pub run: u64,
    /// The sequence number of the last event that is contained.
    pub sequence: u64,
    /// The state of the orchestrator.
    pub state: OrchestratorState,
    /// Whether the host is ready: the orchestrator runs, the node is neither cordoned nor drained, and every essential
    /// component without a closed gate runs and is not unhealthy.
    pub ready: bool,
    /// Whether the node is cordoned.
    pub cordoned: bool,
    /// How far a drain has gone.
    pub drain: DrainState,
    /// What was behind a gate and still at work when the gate's close deadline came: the process must end
    /// ([`Host`](crate::Host) does so; who drives without it must).
    pub halted: Option<ComponentName>,
    /// Whether a start has ever settled.
    pub started_once: bool,
    /// How many stops have ended, rollbacks counted.
    pub stops: u64,
    /// What the last stop came to, whoever asked for it.
    pub last_stop: Option<Arc<StopReport>>,
    /// What was ever left behind because it blocks a thread; each generation of a component once.
    pub abandoned: Arc<[Abandoned]>,
    pub(crate) counts: [usize; ComponentState::ALL.len()],
}

impl Status {
    /// How many components are in `state`.
    #[must_use]
    pub fn count(&self, state: ComponentState) -> usize {
        self.counts[state as usize]
    }

    /// Whether a stop has ended and no start has begun since: everything is down, or what is not refused to.
    #[must_use]
    pub fn is_down(&self) -> bool {
        let Some(report) = self.last_stop.as_ref().filter(|it| it.run == self.run) else {
            return false;
        };
        match self.state {
            OrchestratorState::Created | OrchestratorState::Stopped => true,
            OrchestratorState::Stopping => !report.incomplete.is_empty(),
            OrchestratorState::Starting | OrchestratorState::Running => false,
        }
    }
}

/// Something of a component that holds a thread and could not be ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Abandoned {
    /// The component.
    pub component: ComponentName,
    /// The incarnation.
    pub generation: u32,
    /// Its calls (`start`, `stop`, `dispose`) and the names of its tasks that were still alive.
    pub tasks: Vec<Cow<'static, str>>,
}

impl Abandoned {
    /// Adds those of `tasks` that are not listed yet, and gives them back. Several tasks may have the same name.
    pub(crate) fn add(&mut self, tasks: Vec<Cow<'static, str>>) -> &[Cow<'static, str>] {
        let before = self.tasks.len();
        let mut listed = HashMap::<_, usize>::new();
        for task in &self.tasks {
            *listed.entry(task.clone()).or_default() += 1;
        }
        let is_new = |task: &Cow<'static, str>| match listed.get_mut(task) {
            Some(left @ 1..) => {
                *left -= 1;
                false
            }
            Some(0) | None => true,
        };
        self.tasks.extend(tasks.into_iter().filter(is_new));
        &self.tasks[before..]
    }
}

/// Tells the [`Status`] and when it has changed.
///
/// Clones are independent: each remembers what it has seen.
#[derive(Clone, Debug)]
pub struct StatusWatch(pub(crate) watch::Receiver<Status>);

impl StatusWatch {
    /// The status now; marks it as seen.
    #[must_use]
    pub fn get(&mut self) -> Status {
        // A copy: whoever held a borrow would hold up the driver.
        self.0.borrow_and_update().clone()
    }

    /// Completes when the status differs from what was seen; several changes may be seen as one.
    ///
    /// # Errors
    ///
    /// [`DriverGone`] when nothing will change any more.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn changed(&mut self) -> Result<(), DriverGone> {
        self.0.changed().await.map_err(|_| DriverGone)
    }

    /// Waits until `condition` holds, and gives the status for which it did. A status that lasts for one turn of the
    /// driver only may be missed.
    ///
    /// # Errors
    ///
    /// [`DriverGone`] when it does not hold and nothing will change any more.
    ///
    /// # Cancel safety
    ///
    /// Safe.
    pub async fn wait_for(
        &mut self,
        mut condition: impl FnMut(&Status) -> bool,
    ) -> Result<Status, DriverGone> {
        loop {
            let status = self.get();
            if condition(&status) {
                return Ok(status);
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_listed_already_is_not_added_again_and_namesakes_are_told_apart_by_their_number() {
        let mut abandoned = Abandoned {
            component: ComponentName::new("a").unwrap(),
            generation: 1,
            tasks: Vec::new(),
        };
        assert_eq!(abandoned.add(vec!["serve".into()]), ["serve"]);
        let again = vec!["dispose".into(), "serve".into(), "serve".into()];
        assert_eq!(abandoned.add(again), ["dispose", "serve"]);
        assert_eq!(abandoned.tasks, ["serve", "dispose", "serve"]);
    }
}
