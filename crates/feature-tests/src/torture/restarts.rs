//! [`Restarts`]: components that are restarted thousands of times, and the memory as it goes on.

use lifecycle_core::{BoxError, Dependency, Registration};
use lifecycle_runtime::{DriverGone, OrchestratorBuilder};
use serde_json::{Value, json};

use crate::islands::Islands;
use crate::memory::Memory;
use crate::scene::{Found, Playing, Scene, Stage};
use crate::storm::{Worker, policies};

/// How often the memory is looked at.
const SAMPLES: usize = 100;

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Restarts {
    /// How many components
    #[arg(long, default_value_t = 100)]
    components: usize,
    /// How many restarts in all
    #[arg(long, default_value_t = 10_000)]
    restarts: usize,
}

impl Scene for Restarts {
    fn describe(&self) -> Value {
        json!({ "name": "restarts", "restarts": self.restarts })
    }

    fn components(&self) -> usize {
        self.components
    }

    /// Every second one has a dependent, which goes down and comes back with it.
    fn wire(&self, host: &mut OrchestratorBuilder, _: &Stage) -> Result<(), BoxError> {
        host.defaults(policies(1));
        host.registrations((0..self.components).map(|index| {
            let above = (index % 2 == 1).then(|| Dependency::hard(Islands::name(index - 1)));
            Registration::new(Islands::name(index), Worker { loops: true }).dependencies(above)
        }));
        Ok(())
    }

    fn play<'a>(&'a self, stage: &'a Stage, found: &'a mut Found) -> Playing<'a> {
        Box::pin(self.restart(stage, found))
    }
}

impl Restarts {
    async fn restart(&self, stage: &Stage, found: &mut Found) -> Result<(), DriverGone> {
        // Taken now: it must not look like a growth.
        let mut samples = Vec::with_capacity(2 * SAMPLES);
        let step = (self.restarts / SAMPLES).max(1);
        let tasks = stage.components.metrics().num_alive_tasks();
        for done in 1..=self.restarts {
            let name = Islands::name(done % self.components);
            let restarted = stage.handle.restart(&name).await;
            found.expect(restarted.is_ok(), || {
                format!("\"{name}\" was not restarted: {restarted:?}")
            });
            if done % step == 0 {
                samples.push((done, Memory::now().resident));
            }
        }
        let left = stage.tasks_at_most(tasks).await;
        found.expect(left <= tasks, || {
            format!(
                "{left} tasks after {} restarts, {tasks} before",
                self.restarts
            )
        });
        found.measure("resident_after_rounds", json!(samples));
        found.measure("tasks_before_and_after", json!([tasks, left]));
        Ok(())
    }
}
