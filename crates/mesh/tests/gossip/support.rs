//! Drives one component as an orchestrator would, without one; keeps what it counts.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lifecycle_core::engine::AttemptKey;
use lifecycle_core::{
    BoxError, Component, ComponentName, Defaults, Lifecycle, Plan, Registration, Report, Scope,
    ScopeTask, StartContext, StopContext,
};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

/// One generation of a component, from its start to its end.
pub(crate) struct Run<L> {
    component: Arc<L>,
    pub(crate) scope: Arc<TestScope>,
}

impl<L: Lifecycle> Run<L> {
    /// Starts `component`; after a failure it is disposed, and no task of it is left.
    pub(crate) async fn start(component: &Arc<L>) -> Result<Self, BoxError> {
        let run = Self {
            component: Arc::clone(component),
            scope: TestScope::new(Component::from(Arc::clone(component))),
        };
        let cx = StartContext::new(Arc::clone(&run.scope) as Arc<dyn Scope>);
        match component.start(&cx).await {
            Ok(()) => Ok(run),
            Err(error) => {
                run.kill().await;
                Err(error)
            }
        }
    }

    /// Calls start once more, in the scope of this generation.
    pub(crate) async fn start_again(&self) -> Result<(), BoxError> {
        let cx = StartContext::new(Arc::clone(&self.scope) as Arc<dyn Scope>);
        self.component.start(&cx).await
    }

    /// Stops and disposes; checks that every task ended by itself.
    pub(crate) async fn stop(self) -> Result<(), BoxError> {
        self.scope.run.cancel();
        let cx = StopContext::new(Arc::clone(&self.scope) as Arc<dyn Scope>, 1);
        self.component.stop(&cx).await?;
        let joined = tokio::time::timeout(DEADLINE, self.scope.join()).await;
        joined.expect("every task heeds the run token");
        self.component.dispose().await
    }

    /// Stops with the force token cancelled from the beginning.
    pub(crate) async fn stop_by_force(self) -> Result<(), BoxError> {
        self.scope.force.cancel();
        self.stop().await
    }

    /// Ends it as an orchestrator ends what failed: no stop, only abort and dispose.
    pub(crate) async fn kill(self) {
        self.scope.run.cancel();
        self.scope.tasks.lock().unwrap().abort_all();
        self.scope.join().await;
        self.component.dispose().await.expect("dispose succeeds");
    }
}

/// Which task ended, and how.
pub(crate) type Ended = (Cow<'static, str>, Result<(), BoxError>);

#[derive(Debug)]
pub(crate) struct TestScope {
    name: ComponentName,
    key: AttemptKey,
    start: CancellationToken,
    run: CancellationToken,
    force: CancellationToken,
    pub(crate) tasks: Mutex<JoinSet<Ended>>,
}

impl TestScope {
    fn new(component: Component) -> Arc<Self> {
        // Only a plan makes the id of a component.
        let registration = Registration::new("subject", component);
        let compiled = Plan::compile(vec![registration], Defaults::default());
        let plan = compiled.expect("one component is a plan").plan;
        let id = plan.ids().next().expect("one component");
        Arc::new(Self {
            name: plan.name(id).clone(),
            key: AttemptKey {
                component: id,
                generation: 1,
                attempt: 1,
            },
            start: CancellationToken::new(),
            run: CancellationToken::new(),
            force: CancellationToken::new(),
            tasks: Mutex::default(),
        })
    }

    async fn join(&self) {
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap());
        while tasks.join_next().await.is_some() {}
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
        self.start.clone()
    }

    fn run_token(&self) -> CancellationToken {
        self.run.clone()
    }

    fn force_token(&self) -> CancellationToken {
        self.force.clone()
    }

    fn remaining(&self) -> Option<Duration> {
        Some(DEADLINE)
    }

    fn spawn(&self, task: ScopeTask) {
        let ScopeTask { name, future, .. } = task;
        let mut tasks = self.tasks.lock().unwrap();
        tasks.spawn(async move { (name, future.await) });
    }

    fn report(&self, _: Report) {
        // Nobody listens to a component that is tested alone.
    }
}

/// Keeps every series by its full name.
#[derive(Default)]
pub(crate) struct Series(Mutex<BTreeMap<String, Arc<AtomicU64>>>);

impl Series {
    fn cell(&self, key: &Key) -> Arc<AtomicU64> {
        let labels = key
            .labels()
            .map(|it| format!("{}={}", it.key(), it.value()));
        let labels = labels.collect::<Vec<_>>().join(",");
        let name = format!("{}{{{labels}}}", key.name());
        Arc::clone(self.0.lock().unwrap().entry(name).or_default())
    }

    pub(crate) fn count(&self, name: &str) -> Option<u64> {
        let series = self.0.lock().unwrap();
        series.get(name).map(|it| it.load(Ordering::Relaxed))
    }

    pub(crate) fn gauge(&self, name: &str) -> Option<f64> {
        self.count(name).map(f64::from_bits)
    }
}

impl Recorder for Series {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.cell(key))
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::from_arc(self.cell(key))
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
