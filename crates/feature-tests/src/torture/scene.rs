//! [`Scene`]: what is registered, and what is then done to it.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use diagnostics::Diagnostics;
use lifecycle_core::BoxError;
use lifecycle_core::engine::OrchestratorState;
use lifecycle_runtime::{DriverGone, Handle, OrchestratorBuilder, Status};
use serde_json::{Map, Value};
use tokio::runtime;
use tokio::sync::watch;

use crate::memory::Memory;
use crate::report::{Report, Rest};
use crate::witness::Witness;

/// How long what has to happen may take, on a machine that has other work too.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A kind of torture.
pub(crate) trait Scene: Send + Sync {
    /// How it was asked for, for the report.
    fn describe(&self) -> Value;

    /// How many components there will be, about.
    fn components(&self) -> usize;

    /// Registers them.
    fn wire(&self, host: &mut OrchestratorBuilder, stage: &Stage) -> Result<(), BoxError>;

    /// Does what is to be done once everything has started.
    fn play<'a>(&'a self, stage: &'a Stage, found: &'a mut Found) -> Playing<'a>;
}

/// Ends early when the orchestrator does.
pub(crate) type Playing<'a> = Pin<Box<dyn Future<Output = Result<(), DriverGone>> + 'a>>;

/// What a scene works with.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) handle: Handle,
    /// Where the components run.
    pub(crate) components: runtime::Handle,
    pub(crate) diagnostics: watch::Receiver<Option<SocketAddr>>,
    /// Makes a listener that shows the metrics of this process, and all that diagnostics show.
    pub(crate) exporter: Arc<dyn Fn() -> Diagnostics + Send + Sync>,
    pub(crate) until_signal: bool,
}

/// What a scene has found out by itself.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) measured: Map<String, Value>,
    pub(crate) violations: Vec<String>,
}

impl Found {
    pub(crate) fn measure(&mut self, name: &str, value: impl Into<Value>) {
        self.measured.insert(name.to_owned(), value.into());
    }

    /// A promise that was broken, unless it was kept.
    pub(crate) fn expect(&mut self, kept: bool, otherwise: impl FnOnce() -> String) {
        if !kept {
            self.violations.push(otherwise());
        }
    }
}

impl Stage {
    /// Waits until `condition` holds of the status; false when that takes too long.
    pub(crate) async fn reaches(
        &self,
        condition: impl FnMut(&Status) -> bool,
    ) -> Result<bool, DriverGone> {
        let mut status = self.handle.status();
        match tokio::time::timeout(PATIENCE, status.wait_for(condition)).await {
            Ok(reached) => reached.map(|_| true),
            Err(_) => Ok(false),
        }
    }

    /// How many tasks are alive, once they are no more than `most`: the last ones may be about to end.
    pub(crate) async fn tasks_at_most(&self, most: usize) -> usize {
        let metrics = self.components.metrics();
        for _ in 0..500 {
            if metrics.num_alive_tasks() <= most {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        metrics.num_alive_tasks()
    }
}

/// Plays the scene before the witness's eyes; what the two of them say is the report.
pub(crate) async fn play(scene: Arc<dyn Scene>, stage: Stage, witness: Witness) -> Report {
    let performing = perform(&*scene, &stage);
    let (testimony, (found, rest)) = tokio::join!(witness.follow(), performing);
    let mut report = Report {
        scene: scene.describe(),
        at_rest: rest,
        memory: Memory::now(),
        measured: found.measured,
        ..testimony
    };
    report.violation_count += found.violations.len();
    report.violations.extend(found.violations);
    if report.start.is_none() {
        report.violation_count += 1;
        report
            .violations
            .push("the start did not settle".to_owned());
    }
    report
}

async fn perform(scene: &dyn Scene, stage: &Stage) -> (Found, Option<Rest>) {
    let mut found = Found::default();
    let started = |it: &Status| it.state == OrchestratorState::Running;
    let Ok(true) = stage.reaches(started).await else {
        return (found, None);
    };
    let rest = Rest {
        tasks: stage.components.metrics().num_alive_tasks(),
        memory: Memory::now(),
    };
    tell("running", stage);
    if scene.play(stage, &mut found).await.is_ok() {
        tell("over", stage);
        if !stage.until_signal {
            // What came of it is in the events.
            let _ = stage.handle.stop().await;
        }
    }
    (found, Some(rest))
}

/// Tells whoever waits for it how far the scene is, and where the diagnostics are.
fn tell(what: &str, stage: &Stage) {
    let address = *stage.diagnostics.borrow();
    let line = match address {
        Some(address) => format!("{what} http://{address}"),
        None => what.to_owned(),
    };
    // Whoever has closed the stream does not want to know.
    let _ = writeln!(io::stdout(), "{line}");
}

/// Any free port of loopback.
pub(crate) fn free_address() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}
