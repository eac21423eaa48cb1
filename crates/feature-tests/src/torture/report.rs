//! [`Report`]: what is printed when the host has ended.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::memory::Memory;

/// Everything that was seen. Durations are in milliseconds.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    pub(crate) scene: Value,
    pub(crate) components: usize,
    pub(crate) edges: usize,
    /// Promises that were broken, in words; not more than a few dozen of them.
    pub(crate) violations: Vec<String>,
    /// How many there were.
    pub(crate) violation_count: usize,
    pub(crate) start: Option<Start>,
    pub(crate) events: Events,
    pub(crate) faults: Faults,
    pub(crate) stop: Option<Stop>,
    /// When the start had settled.
    pub(crate) at_rest: Option<Rest>,
    pub(crate) memory: Memory,
    /// What the scene has measured itself.
    pub(crate) measured: Map<String, Value>,
}

/// A start that has settled: what is optional may come later.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Start {
    pub(crate) took: u64,
    /// Until every component ran at once, if they ever did.
    pub(crate) all_run_after: Option<u64>,
    /// The most that ran at once.
    pub(crate) most_running: usize,
}

/// What came of the events.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Events {
    pub(crate) seen: u64,
    pub(crate) missed: u64,
}

/// What went wrong, as it should, and what followed.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Faults {
    /// Starts, the first ones too.
    pub(crate) start_attempts: u64,
    /// Attempts of starts and stops that failed.
    pub(crate) failed_attempts: u64,
    /// Running components that were lost by themselves.
    pub(crate) lost: u64,
    /// Those of them that were started again.
    pub(crate) restarted: u64,
    /// Those of them that stay down, their budgets being exhausted.
    pub(crate) given_up: u64,
    /// Components that went down with one of them.
    pub(crate) taken_down: u64,
    /// The most restarts of one component within its window, and what its budget allows.
    pub(crate) most_restarts: u32,
    pub(crate) budget: u32,
    /// Calls and tasks that did not end when asked, and were dropped.
    pub(crate) aborted: u64,
    /// What could not even be dropped.
    pub(crate) abandoned: u64,
}

/// The stop of the whole.
#[derive(Debug, Serialize)]
pub(crate) struct Stop {
    pub(crate) took: u64,
    pub(crate) deadline: u64,
    pub(crate) clean: usize,
    /// Those whose stop was not clean, by how it ended.
    pub(crate) troubles: BTreeMap<&'static str, usize>,
    /// What was still up at the end.
    pub(crate) left: usize,
}

/// What there is when all is started.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Rest {
    pub(crate) tasks: usize,
    pub(crate) memory: Memory,
}
