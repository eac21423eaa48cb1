//! [`Runs`]: orchestrators that are built, started, stopped and dropped hundreds of times, and the memory as it goes on.

use lifecycle_core::{BoxError, Registration};
use lifecycle_runtime::{DriverGone, Orchestrator, OrchestratorBuilder};
use lifecycle_testkit::Oracle;
use serde_json::{Value, json};

use crate::islands::{Islands, Shape};
use crate::memory::Memory;
use crate::scene::{Found, Playing, Scene, Stage};
use crate::storm::{Worker, policies};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Runs {
    /// How many components
    #[arg(long, default_value_t = 1_000)]
    components: usize,
    /// How many runs
    #[arg(long, default_value_t = 300)]
    runs: usize,
}

impl Scene for Runs {
    fn describe(&self) -> Value {
        json!({ "name": "runs", "runs": self.runs, "components": self.components })
    }

    fn components(&self) -> usize {
        self.components
    }

    /// The host itself has the diagnostics alone; the orchestrators that come and go are beside it.
    fn wire(&self, host: &mut OrchestratorBuilder, _: &Stage) -> Result<(), BoxError> {
        host.defaults(policies(1));
        Ok(())
    }

    fn play<'a>(&'a self, stage: &'a Stage, found: &'a mut Found) -> Playing<'a> {
        Box::pin(self.run(stage, found))
    }
}

impl Runs {
    async fn run(&self, stage: &Stage, found: &mut Found) -> Result<(), DriverGone> {
        // Taken now: it must not look like a growth.
        let mut samples = Vec::with_capacity(self.runs);
        let tasks = stage.components.metrics().num_alive_tasks();
        for done in 1..=self.runs {
            self.start_and_stop(stage, done, found).await;
            samples.push((done, Memory::now().resident));
        }
        let left = stage.tasks_at_most(tasks).await;
        found.expect(left <= tasks, || {
            format!("{left} tasks after {} runs, {tasks} before", self.runs)
        });
        found.measure("resident_after_rounds", json!(samples));
        Ok(())
    }

    async fn start_and_stop(&self, stage: &Stage, run: usize, found: &mut Found) {
        let islands = Islands {
            shape: Shape::Mixed,
            seed: 7,
        };
        let mut builder = Orchestrator::builder();
        builder
            .defaults(policies(7))
            .components_on(stage.components.clone())
            .event_capacity(self.components * 16)
            .registrations((0..self.components).map(|index| {
                let worker = Worker {
                    loops: index.is_multiple_of(2),
                };
                Registration::new(Islands::name(index), worker)
                    .dependencies(islands.dependencies(index))
            }));
        let orchestrator = match builder.build() {
            Ok(orchestrator) => orchestrator,
            Err(faults) => return found.expect(false, || format!("run {run}: {faults}")),
        };
        let handle = orchestrator.spawn();
        let oracle = Oracle::watch(&handle);
        let started = handle.start().await;
        found.expect(started.is_ok(), || format!("run {run}: {started:?}"));
        let stopped = handle.stop().await;
        found.expect(stopped.is_ok(), || format!("run {run}: {stopped:?}"));
        for violation in oracle.finish().await {
            found.expect(false, || format!("run {run}: {violation}"));
        }
    }
}
