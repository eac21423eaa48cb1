//! [`Trial`]: one component, called by hand.

use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::engine::AttemptKey;
use lifecycle_core::{
    CheckContext, Component, ComponentId, ComponentName, Defaults, DrainContext, ErasedLifecycle,
    Plan, Registration, StartContext, StopContext,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::{CallInFlight, Ended};
use super::stage::Stage;
use super::{Limits, Probe};
use crate::leak::LeakGuard;

/// One component under trial, and what was found so far.
pub(super) struct Trial<'a> {
    component: Component,
    name: ComponentName,
    id: ComponentId,
    limits: Limits,
    probes: &'a [Probe<'a>],
    guard: LeakGuard,
    value: Option<Arc<dyn ErasedLifecycle>>,
    stage: Arc<Stage>,
    generation: u32,
    /// What had been done to it, for the findings.
    after: String,
    pub(super) findings: Vec<String>,
}

impl<'a> Trial<'a> {
    pub(super) fn of(
        component: Component,
        name: &str,
        limits: Limits,
        probes: &'a [Probe<'a>],
    ) -> Self {
        let registration = Registration::new(name, component.clone());
        let plan = match Plan::compile(vec![registration], Defaults::default()) {
            Ok(compiled) => compiled.plan,
            Err(faults) => panic!("{faults}"),
        };
        let id = plan.order()[0];
        let name = plan.name(id).clone();
        let key = AttemptKey {
            component: id,
            generation: 0,
            attempt: 1,
        };
        Self {
            component,
            stage: Arc::new(Stage::new(name.clone(), key, limits.call)),
            name,
            id,
            limits,
            probes,
            guard: LeakGuard::new().within(limits.grace),
            value: None,
            generation: 0,
            after: String::new(),
            findings: Vec::new(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// The component, for somebody else to call.
    pub(super) fn component(&self) -> Component {
        self.component.clone()
    }

    pub(super) fn drains(&self) -> bool {
        self.component.drains()
    }

    /// Says what was done, in front of every finding from now on.
    pub(super) fn after(&mut self, what: impl Into<String>) {
        self.after = what.into();
    }

    fn find(&mut self, what: String) {
        let what = if self.after.is_empty() {
            what
        } else {
            format!("after {}: {what}", self.after)
        };
        // The same fault shows in every round.
        if !self.findings.contains(&what) {
            self.findings.push(what);
        }
    }

    pub(super) fn expect(&mut self, call: &str, trouble: Option<String>) -> bool {
        let is_fine = trouble.is_none();
        if let Some(trouble) = trouble {
            self.find(format!("{call} {trouble}"));
        }
        is_fine
    }

    /// Begins a generation and its start.
    pub(super) fn begin_start(&mut self) -> (CallInFlight, CancellationToken) {
        self.generation += 1;
        let key = AttemptKey {
            component: self.id,
            generation: self.generation,
            attempt: 1,
        };
        self.stage = Arc::new(Stage::new(self.name.clone(), key, self.limits.call));
        if self.value.is_none() || self.component.is_factory() {
            self.value = Some(self.component.instantiate());
        }
        let cx = StartContext::new(self.stage.clone());
        let token = cx.token();
        (CallInFlight::new(self.value().start(cx)), token)
    }

    /// Begins a start of what runs, in the same generation.
    pub(super) fn begin_further_start(&self) -> CallInFlight {
        let cx = StartContext::new(self.stage.clone());
        CallInFlight::new(self.value().start(cx))
    }

    /// Begins a stop; the run token is cancelled first, as an orchestrator does.
    pub(super) fn begin_stop(&self, attempt: u32) -> (CallInFlight, CancellationToken) {
        let cx = StopContext::new(self.stage.clone(), attempt);
        self.stage.cancel_run();
        let token = cx.token();
        (CallInFlight::new(self.value().stop(cx)), token)
    }

    pub(super) fn begin_drain(&self) -> (CallInFlight, CancellationToken) {
        let token = CancellationToken::new();
        let cx = DrainContext::new(self.stage.clone(), token.clone());
        (CallInFlight::new(self.value().drain(cx)), token)
    }

    pub(super) fn begin_resume(&self) -> CallInFlight {
        let cx = DrainContext::new(self.stage.clone(), CancellationToken::new());
        CallInFlight::new(self.value().resume(cx))
    }

    pub(super) fn begin_check(&self) -> CallInFlight {
        let cx = CheckContext::new(self.stage.clone());
        CallInFlight::new(self.value().check(cx))
    }

    fn value(&self) -> Arc<dyn ErasedLifecycle> {
        let value = self.value.as_ref();
        Arc::clone(value.expect("it is started before anything else"))
    }

    /// A start that should succeed. If it does not, it is cleaned up after.
    pub(super) async fn start(&mut self) -> bool {
        let (call, _token) = self.begin_start();
        let ended = call.finish(self.limits.call).await;
        if self.expect("start", ended.trouble()) {
            return true;
        }
        self.close().await;
        false
    }

    /// A stop that should succeed, and what comes after it.
    pub(super) async fn stop(&mut self) {
        let (call, _token) = self.begin_stop(1);
        let ended = call.finish(self.limits.call).await;
        self.expect("stop", ended.trouble());
        self.close().await;
    }

    /// One life from start to dispose.
    pub(super) async fn live(&mut self) -> bool {
        let started = self.start().await;
        if started {
            self.stop().await;
        }
        started
    }

    /// What follows every end: the tasks are joined, the value is disposed, and nothing is left.
    pub(super) async fn close(&mut self) {
        for trouble in self.stage.close(self.limits.grace).await {
            self.find(trouble);
        }
        if let Some(dispose) = self.value().dispose() {
            let ended = CallInFlight::new(dispose).finish(self.limits.call).await;
            self.expect("dispose", ended.trouble());
        }
        if self.component.is_factory() {
            self.value = None;
        }
        self.look_for_leaks().await;
    }

    pub(super) async fn look_for_leaks(&mut self) {
        if let Err(leaks) = self.guard.check().await {
            self.find(format!(
                "{} tasks that are not its scope's are alive",
                leaks.tasks
            ));
            // What is left now is no news the next time.
            self.guard = LeakGuard::new().within(self.limits.grace);
        }
        for probe in self.probes {
            if let Some(error) = self.ask(probe).await {
                self.find(format!("{}: {error}", probe.what));
            }
        }
    }

    /// The last error, if the probe does not succeed within the grace.
    async fn ask(&self, probe: &Probe<'_>) -> Option<String> {
        let deadline = Instant::now() + self.limits.grace;
        loop {
            let error = (probe.ask)().await.err()?;
            if Instant::now() >= deadline {
                return Some(error.to_string());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Whatever a call came to that may have succeeded: undone by a stop, once, then closed.
    pub(super) async fn undo(&mut self, ended: &Ended) {
        if *ended == Ended::Ok {
            self.stop().await;
        } else {
            self.close().await;
        }
    }
}
