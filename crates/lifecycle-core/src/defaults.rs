//! What holds where a component says nothing, and for the whole.

use std::sync::Arc;

use crate::policy::{
    Policies, Restart, RestartPolicy, Retry, RetryPolicy, length_fault, limit_fault,
};
use crate::registration::Registration;
use crate::time::Nanos;

/// What holds for every component that does not say otherwise, and for the orchestrator as a whole.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "kebab-case", deny_unknown_fields, default)
)]
pub struct Defaults {
    /// Start; unset fields mean one attempt of at most 30 s.
    pub start: Retry,
    /// Stop; unset fields mean one attempt of at most 10 s.
    pub stop: Retry,
    /// Restart after a loss; unset fields mean on failure, after 100 ms to 30 s with full jitter, five times in 60 s.
    pub restart: Restart,
    /// How long the drain of one component may take (30 s).
    pub drain_timeout: Nanos,
    /// How long a graceful shutdown waits between being unready and draining (0 s; 5 s suits Kubernetes).
    pub settle: Nanos,
    /// How long dispose may take (5 s).
    pub dispose_timeout: Nanos,
    /// How long a cancelled call may take to end by itself (500 ms).
    pub abort_grace: Nanos,
    /// How long a whole shutdown may take (45 s).
    pub shutdown_timeout: Nanos,
    /// How long a forced shutdown may take (1 s).
    pub force_timeout: Nanos,
    /// How often a stop under way says what it waits for (5 s).
    pub await_interval: Nanos,
    /// What jitter is derived from: the same seed gives the same delays.
    pub seed: u64,
}

impl Default for Policies {
    /// Those of a component that says nothing, where no default is changed.
    fn default() -> Self {
        Arc::unwrap_or_clone(Defaults::default().unset())
    }
}

impl Defaults {
    /// The built-in limit of one start attempt.
    pub const START_TIMEOUT: Nanos = Nanos::from_secs(30);
    /// The built-in limit of one stop attempt.
    pub const STOP_TIMEOUT: Nanos = Nanos::from_secs(10);

    /// Resolves what a component says against these defaults.
    pub(crate) fn resolve(&self, said: &Registration) -> Policies {
        Policies {
            start: RetryPolicy::resolve(&said.start.or(&self.start), Self::START_TIMEOUT),
            stop: RetryPolicy::resolve(&said.stop.or(&self.stop), Self::STOP_TIMEOUT),
            restart: RestartPolicy::resolve(&said.restart.or(&self.restart)),
            drain_timeout: said.drain_timeout.unwrap_or(self.drain_timeout),
            health_check: said.health_check.clone(),
            dispose_timeout: said.dispose_timeout.unwrap_or(self.dispose_timeout),
            abort_grace: said.abort_grace.unwrap_or(self.abort_grace),
        }
    }

    /// The policies of a component that says nothing.
    pub(crate) fn unset(&self) -> Arc<Policies> {
        Arc::new(Policies {
            start: RetryPolicy::resolve(&self.start, Self::START_TIMEOUT),
            stop: RetryPolicy::resolve(&self.stop, Self::STOP_TIMEOUT),
            restart: RestartPolicy::resolve(&self.restart),
            drain_timeout: self.drain_timeout,
            health_check: None,
            dispose_timeout: self.dispose_timeout,
            abort_grace: self.abort_grace,
        })
    }

    /// Every fault of these defaults, as (where, what).
    pub(crate) fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        faults.extend(self.start.faults().into_iter().map(|it| ("start", it)));
        faults.extend(self.stop.faults().into_iter().map(|it| ("stop", it)));
        faults.extend(self.restart.faults().into_iter().map(|it| ("restart", it)));
        for (field, length) in [
            ("drain-timeout", self.drain_timeout),
            ("dispose-timeout", self.dispose_timeout),
            ("abort-grace", self.abort_grace),
            ("shutdown-timeout", self.shutdown_timeout),
            ("force-timeout", self.force_timeout),
            ("await-interval", self.await_interval),
        ] {
            faults.extend(limit_fault(field, length).map(|it| (field, it)));
        }
        faults.extend(length_fault("settle", self.settle).map(|it| ("settle", it)));
        faults
    }
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            start: Retry::default(),
            stop: Retry::default(),
            restart: Restart::default(),
            drain_timeout: Nanos::from_secs(30),
            settle: Nanos::ZERO,
            dispose_timeout: Nanos::from_secs(5),
            abort_grace: Nanos::from_millis(500),
            shutdown_timeout: Nanos::from_secs(45),
            force_timeout: Nanos::from_secs(1),
            await_interval: Nanos::from_secs(5),
            seed: 0,
        }
    }
}
