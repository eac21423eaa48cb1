//! A scope of one's own, to call a component as an orchestrator would, and to hear what it reports.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifecycle_core::engine::AttemptKey;
use lifecycle_core::{
    BoxError, ComponentName, Defaults, Plan, Registration, Report, Scope, ScopeTask, component,
};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Which task ended, and how.
type Ended = (Cow<'static, str>, Result<(), BoxError>);

#[derive(Debug)]
pub(crate) struct TestScope {
    name: ComponentName,
    key: AttemptKey,
    pub(crate) run: CancellationToken,
    pub(crate) tasks: Mutex<JoinSet<Ended>>,
    reports: watch::Sender<Vec<Report>>,
}

impl TestScope {
    pub(crate) fn new() -> Arc<Self> {
        // Only a plan makes the id of a component.
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        let registrations = vec![Registration::new("subject", idle)];
        let compiled = Plan::compile(registrations, Defaults::default());
        let plan = compiled.expect("one component is a plan").plan;
        let id = plan.ids().next().expect("one component");
        Arc::new(Self {
            name: plan.name(id).clone(),
            key: AttemptKey {
                component: id,
                generation: 1,
                attempt: 1,
            },
            run: CancellationToken::new(),
            tasks: Mutex::default(),
            reports: watch::channel(Vec::new()).0,
        })
    }

    /// Waits until `report` has been made.
    pub(crate) async fn reported(&self, report: Report) {
        let mut reports = self.reports.subscribe();
        let made = reports.wait_for(|it| it.contains(&report));
        made.await.expect("the scope is alive");
    }

    pub(crate) fn reports(&self) -> Vec<Report> {
        self.reports.borrow().clone()
    }
}

impl Scope for TestScope {
    fn component(&self) -> &ComponentName {
        &self.name
    }

    fn key(&self) -> AttemptKey {
        self.key
    }

    fn start_token(&self) -> CancellationToken {
        CancellationToken::new()
    }

    fn run_token(&self) -> CancellationToken {
        self.run.clone()
    }

    fn force_token(&self) -> CancellationToken {
        CancellationToken::new()
    }

    fn remaining(&self) -> Option<Duration> {
        None
    }

    fn spawn(&self, task: ScopeTask) {
        let ScopeTask { name, future, .. } = task;
        let mut tasks = self.tasks.lock().unwrap();
        tasks.spawn(async move { (name, future.await) });
    }

    fn report(&self, report: Report) {
        self.reports.send_modify(|it| it.push(report));
    }
}
