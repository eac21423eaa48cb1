//! [`Storm`]: faults at random in starts, runs and stops.

use std::time::Duration;

use clap::ValueEnum;
use lifecycle_core::{
    Backoff, BoxError, Criticality, Defaults, Jitter, Lifecycle, Nanos, Registration, Restart,
    Retry, StartContext, StopContext,
};
use lifecycle_runtime::OrchestratorBuilder;
use lifecycle_testkit::{FaultPlan, FaultProfile, Faulty, Hook};
use serde::Serialize;
use serde_json::{Value, json};

use crate::islands::{Islands, Shape};
use crate::scene::{Found, Playing, Scene, Stage};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Storm {
    /// How many components
    #[arg(long, default_value_t = 10_000)]
    components: usize,
    /// How they depend on each other
    #[arg(long, value_enum, default_value_t = Shape::Mixed)]
    shape: Shape,
    /// Which faults
    #[arg(long, value_enum, default_value_t = Weather::Stormy)]
    faults: Weather,
    /// What edges and faults are drawn from
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// For how long it goes on after the start has settled
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Weather {
    /// No fault
    Calm,
    /// One call in six
    Mild,
    /// Four calls in ten
    Stormy,
    /// One stop in a hundred never ends
    Hanging,
    /// Nine runs in ten are over within half a second
    Flapping,
}

impl Weather {
    fn profile(self) -> FaultProfile {
        let calm = FaultProfile {
            slowest: Duration::from_millis(200),
            longest_run: Duration::from_secs(5),
            ..FaultProfile::calm()
        };
        match self {
            Self::Calm => calm,
            Self::Mild => FaultProfile {
                fail: 0.02,
                fail_permanently: 0.001,
                panic: 0.01,
                hang_until_cancelled: 0.005,
                hang: 0.005,
                slow: 0.1,
                flap: 0.03,
                ..calm
            },
            Self::Stormy => FaultProfile {
                slowest: calm.slowest,
                longest_run: calm.longest_run,
                ..FaultProfile::stormy()
            },
            Self::Hanging => FaultProfile {
                hang: 0.01,
                hooks: vec![Hook::Stop],
                ..calm
            },
            Self::Flapping => FaultProfile {
                flap: 0.9,
                longest_run: Duration::from_millis(500),
                hooks: vec![Hook::Start],
                ..calm
            },
        }
    }

    /// Essential components are slow at worst.
    fn of(self, criticality: Criticality) -> FaultProfile {
        let profile = self.profile();
        match criticality {
            Criticality::Essential => FaultProfile {
                slow: profile.slow,
                slowest: profile.slowest,
                ..FaultProfile::calm()
            },
            Criticality::Degradable | Criticality::Optional => profile,
        }
    }
}

impl Scene for Storm {
    fn describe(&self) -> Value {
        json!({
            "name": "storm",
            "shape": self.shape,
            "faults": self.faults,
            "seed": self.seed,
            "seconds": self.seconds,
        })
    }

    fn components(&self) -> usize {
        self.components
    }

    fn wire(&self, host: &mut OrchestratorBuilder, _: &Stage) -> Result<(), BoxError> {
        host.defaults(policies(self.seed));
        let islands = Islands {
            shape: self.shape,
            seed: self.seed,
        };
        host.registrations((0..self.components).map(|index| {
            let criticality = islands.criticality(index);
            let plan = FaultPlan::seeded(self.seed, self.faults.of(criticality));
            let worker = Worker {
                loops: index.is_multiple_of(2),
            };
            Registration::new(Islands::name(index), Faulty::new(worker, &plan))
                .dependencies(islands.dependencies(index))
                .criticality(criticality)
        }));
        Ok(())
    }

    fn play<'a>(&'a self, _: &'a Stage, _: &'a mut Found) -> Playing<'a> {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs_f64(self.seconds)).await;
            Ok(())
        })
    }
}

/// Small limits: what hangs is to be found out within a test.
pub(crate) fn policies(seed: u64) -> Defaults {
    let attempt = Nanos::from_secs(1);
    Defaults {
        start: Retry::attempts(3)
            .with_backoff(Backoff::Fixed(Nanos::from_millis(50)))
            .with_attempt_timeout(attempt),
        stop: Retry::attempts(2).with_attempt_timeout(attempt),
        restart: Restart::on_failure()
            .with_backoff(Backoff::Exponential {
                initial: Nanos::from_millis(100),
                factor: 2.0,
                cap: Nanos::from_secs(2),
            })
            .with_jitter(Jitter::Full)
            .with_budget(5, Nanos::from_secs(30)),
        dispose_timeout: attempt,
        shutdown_timeout: Nanos::from_secs(20),
        seed,
        ..Defaults::default()
    }
}

/// Does nothing, half of them in a loop.
#[derive(Debug)]
pub(crate) struct Worker {
    pub(crate) loops: bool,
}

impl Lifecycle for Worker {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        if self.loops {
            let stopped = cx.run_token();
            cx.spawn("loop", async move {
                stopped.cancelled().await;
                Ok::<_, BoxError>(())
            });
        }
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}
