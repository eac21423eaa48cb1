//! [`Outage`]: one dependency of all the others goes away as a whole, and comes back.
//!
//! What is asked is how often the others are started. With an edge it is once a return, since who depends on what is away waits
//! for it. Without one each of them finds out by itself and tries again by its own policy; then it is as many attempts as
//! back-off and budget allow, however many they are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use lifecycle_core::engine::ComponentState;
use lifecycle_core::{
    Backoff, BoxError, Criticality, Defaults, Dependency, Jitter, Lifecycle, Nanos, Registration,
    Restart, Retry, StartContext, StopContext,
};
use lifecycle_runtime::{DriverGone, OrchestratorBuilder};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::scene::{Found, Playing, Scene, Stage};
use crate::storm::policies;

/// What the others depend on.
const STORE: &str = "store";

/// How long after a failure the store is tried again.
const BACKOFF: Duration = Duration::from_millis(100);

/// The longest delay of who finds out by itself.
const CAP: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Outage {
    /// How many depend on it
    #[arg(long, default_value_t = 10_000)]
    dependents: usize,
    /// How often it goes away
    #[arg(long, default_value_t = 3)]
    outages: u32,
    /// For how long
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Whether the others say that they depend on it
    #[arg(long, value_enum, default_value_t = Edges::Declared)]
    edges: Edges,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
enum Edges {
    /// Half go down with it, a quarter tolerate its loss, a quarter merely want it
    Declared,
    /// Nobody says so, and all fail while it is away
    Undeclared,
}

/// An outage with the switch of the store.
#[derive(Debug)]
pub(crate) struct Prepared {
    outage: Outage,
    store: watch::Sender<bool>,
    attempts: Attempts,
}

/// How often start was called.
#[derive(Clone, Debug, Default)]
struct Attempts {
    store: Arc<AtomicU64>,
    others: Arc<AtomicU64>,
}

impl Outage {
    pub(crate) fn prepared(self) -> Prepared {
        Prepared {
            outage: self,
            store: watch::channel(true).0,
            attempts: Attempts::default(),
        }
    }

    /// The edges of one of the others, and whether it goes down with the store.
    fn edge(&self, index: usize) -> Option<Dependency> {
        if self.edges == Edges::Undeclared {
            return None;
        }
        Some(match index % 4 {
            0 | 1 => Dependency::hard(STORE),
            2 => Dependency::hard(STORE).tolerates(),
            _ => Dependency::soft(STORE),
        })
    }

    /// How many of the others may be down while the store is.
    fn fall(&self) -> usize {
        match self.edges {
            Edges::Declared => (0..self.dependents).filter(|it| it % 4 < 2).count(),
            Edges::Undeclared => self.dependents,
        }
    }

    /// How often the others may be started in one outage: with an edge once each, without one as often as the delays fit in,
    /// where every delay may be as short as half of what it is at most.
    fn most_attempts(&self) -> u64 {
        let each = match self.edges {
            Edges::Declared => 1,
            Edges::Undeclared => {
                let mut delay = BACKOFF;
                let (mut passed, mut attempts) = (Duration::ZERO, 1);
                while passed < Duration::from_secs_f64(self.seconds) {
                    passed += delay / 2;
                    delay = CAP.min(2 * delay);
                    attempts += 1;
                }
                attempts
            }
        };
        u64::try_from(self.fall()).unwrap_or(u64::MAX) * each
    }
}

impl Scene for Prepared {
    fn describe(&self) -> Value {
        json!({
            "name": "outage",
            "edges": self.outage.edges,
            "outages": self.outage.outages,
            "seconds": self.outage.seconds,
        })
    }

    fn components(&self) -> usize {
        self.outage.dependents
    }

    fn wire(&self, host: &mut OrchestratorBuilder, _: &Stage) -> Result<(), BoxError> {
        let retry = Restart::on_failure()
            .with_backoff(Backoff::Exponential {
                initial: BACKOFF.into(),
                factor: 2.0,
                cap: CAP.into(),
            })
            .with_jitter(Jitter::Equal)
            .with_budget(100, Nanos::from_secs(60));
        host.defaults(Defaults {
            start: Retry::none(),
            restart: retry,
            ..policies(1)
        });
        let client = |store: watch::Receiver<bool>, attempts: &Arc<AtomicU64>| Client {
            store,
            attempts: Arc::clone(attempts),
        };
        let store = client(self.store.subscribe(), &self.attempts.store);
        host.register(
            Registration::new(STORE, store)
                .criticality(Criticality::Degradable)
                .restart(
                    Restart::on_failure()
                        .with_backoff(Backoff::Fixed(BACKOFF.into()))
                        .with_jitter(Jitter::None)
                        .with_budget(1_000, Nanos::from_secs(60)),
                ),
        );
        // With an edge nobody else looks.
        let always = watch::channel(true).1;
        host.registrations((0..self.outage.dependents).map(|index| {
            let watched = match self.outage.edges {
                Edges::Declared => always.clone(),
                Edges::Undeclared => self.store.subscribe(),
            };
            Registration::new(
                format!("client-{index}"),
                client(watched, &self.attempts.others),
            )
            .criticality(Criticality::Optional)
            .dependencies(self.outage.edge(index))
        }));
        Ok(())
    }

    fn play<'a>(&'a self, stage: &'a Stage, found: &'a mut Found) -> Playing<'a> {
        Box::pin(self.go_away_and_come_back(stage, found))
    }
}

impl Prepared {
    async fn go_away_and_come_back(
        &self,
        stage: &Stage,
        found: &mut Found,
    ) -> Result<(), DriverGone> {
        let length = Duration::from_secs_f64(self.outage.seconds);
        let outages = u64::from(self.outage.outages);
        let (store, others) = self.attempts.read();
        let mut recoveries = Vec::new();
        for _ in 0..outages {
            let before = self.attempts.read().1;
            self.store.send_replace(false);
            let bystanders = self.outage.dependents - self.outage.fall();
            tokio::time::sleep(length).await;
            let running = stage.handle.status().get().count(ComponentState::Running);
            found.expect(running > bystanders, || {
                format!("{running} run without the store; {bystanders} do not go down with it")
            });
            if self.outage.edges == Edges::Declared {
                let early = self.attempts.read().1 - before;
                found.expect(early == 0, || {
                    format!("{early} starts of what waits for the store")
                });
            }
            self.store.send_replace(true);
            recoveries.push(self.recover(stage, found).await?);
        }
        let (store, others) = {
            let (of_store, of_others) = self.attempts.read();
            (of_store - store, of_others - others)
        };
        let most = outages * self.outage.most_attempts();
        found.expect(others <= most, || {
            format!("{others} starts of what depends on the store; at most {most} are right")
        });
        let tries = length.as_millis() / BACKOFF.as_millis();
        let tries = u64::try_from(tries).unwrap_or(u64::MAX);
        found.expect(store <= outages * (tries + 2), || {
            format!("{store} starts of the store, each {BACKOFF:?} after a failure")
        });
        found.measure("starts_of_the_store", store);
        found.measure("starts_of_the_others", others);
        found.measure("at_most", most);
        found.measure("recovered_after_ms", recoveries);
        Ok(())
    }

    /// Until all run again, in milliseconds.
    async fn recover(&self, stage: &Stage, found: &mut Found) -> Result<u64, DriverGone> {
        let begun = Instant::now();
        // The store and the diagnostics too.
        let all = self.outage.dependents + 2;
        let is_back = stage
            .reaches(|it| it.count(ComponentState::Running) == all)
            .await?;
        found.expect(is_back, || {
            let running = stage.handle.status().get().count(ComponentState::Running);
            format!("{running} of {all} run again")
        });
        Ok(u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

impl Attempts {
    fn read(&self) -> (u64, u64) {
        let read = |it: &AtomicU64| it.load(Ordering::Relaxed);
        (read(&self.store), read(&self.others))
    }
}

/// Fails for as long as the store is away.
#[derive(Debug)]
struct Client {
    store: watch::Receiver<bool>,
    attempts: Arc<AtomicU64>,
}

impl Lifecycle for Client {
    async fn start(&self, cx: &StartContext) -> Result<(), BoxError> {
        self.attempts.fetch_add(1, Ordering::Relaxed);
        let mut store = self.store.clone();
        if !*store.borrow_and_update() {
            return Err("the store is away".into());
        }
        let stopped = cx.run_token();
        cx.spawn("connection", async move {
            let away = async { store.wait_for(|it| !it).await.is_ok() };
            match stopped.run_until_cancelled(away).await {
                Some(true) => Err(BoxError::from("the store went away")),
                Some(false) => {
                    // Nobody can switch it off any more.
                    stopped.cancelled().await;
                    Ok(())
                }
                None => Ok(()),
            }
        });
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }
}
