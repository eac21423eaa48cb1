//! Figures that are no contest, since nobody else promises anything: how soon a start turns round, and what a component that
//! blocks its thread can hold up.

use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use lifecycle_core::{
    BoxError, Component, Defaults, Lifecycle, Nanos, Registration, StartContext, StopContext,
    component,
};
use lifecycle_runtime::{ExitStatus, Host, HostConfig, LogConfig, Orchestrator};
use serde_json::{Value, json};
use tokio::runtime;
use tokio::sync::Notify;

use crate::contender::{Failed, Keeps};
use crate::load::Load;
use crate::program::THREADS;
use crate::shape::Shape;

const COUNT: usize = 10_000;
const DEADLINE: Duration = Duration::from_secs(1);

pub(crate) fn figures() -> Result<Value, Failed> {
    let runtime = runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()?;
    let cancelled = runtime.block_on(cancelled())?;
    let blocked = blocked()?;
    Ok(json!({
        "cancel_to_first_stop_ms": cancelled.as_secs_f64() * 1e3,
        "blocked_ms_after_deadline": (blocked.as_secs_f64() - DEADLINE.as_secs_f64()) * 1e3,
    }))
}

/// From the order to stop until the first stop is called, with thousands of starts at work.
async fn cancelled() -> Result<Duration, Failed> {
    let load = Arc::new(Load::new(Shape::Layers, COUNT, Keeps::Order));
    let first = Arc::new(OnceLock::new());
    let mut builder = Orchestrator::builder();
    builder.registrations((0..COUNT).map(|index| {
        let dependencies = load.dependencies(index).iter().map(ToString::to_string);
        let member = Member {
            load: Arc::clone(&load),
            index,
            first: Arc::clone(&first),
        };
        Registration::new(index.to_string(), member).depends_on(dependencies)
    }));
    let handle = builder.build()?.spawn();
    let starting = tokio::spawn({
        let handle = handle.clone();
        async move { handle.start().await }
    });
    tokio::time::sleep(load.critical_path() / 2).await;
    let asked = Instant::now();
    handle.stop().await?;
    if starting.await?.is_ok() {
        return Err("the start was over before it was cancelled".into());
    }
    let first = first.get().ok_or("nothing was running")?;
    Ok(first.duration_since(asked))
}

struct Member {
    load: Arc<Load>,
    index: usize,
    first: Arc<OnceLock<Instant>>,
}

impl Lifecycle for Member {
    const DISPOSES: bool = false;

    async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> {
        self.load.start(self.index).await;
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        self.first.get_or_init(Instant::now);
        self.load.stop(self.index).await;
        Ok(())
    }
}

/// From the order to stop until the host returns, with one component that never gives its thread back.
fn blocked() -> Result<Duration, Failed> {
    let up = Arc::new(Notify::new());
    let asked = Arc::new(OnceLock::new());
    let config = HostConfig {
        log: LogConfig::default(),
        leftover_timeout: Duration::ZERO,
        ..HostConfig::default()
    };
    let shutdown = {
        let (up, asked) = (Arc::clone(&up), Arc::clone(&asked));
        async move {
            up.notified().await;
            asked.get_or_init(Instant::now);
        }
    };
    let status = Host::run_until(
        config,
        |host| {
            host.defaults(Defaults {
                shutdown_timeout: Nanos::from(DEADLINE),
                ..Defaults::default()
            });
            host.register(Registration::new("blocking", blocking()));
            host.register(Registration::new("last", saying(up)).depends_on(["blocking"]));
            Ok(())
        },
        shutdown,
    );
    if status == ExitStatus::Clean {
        return Err("a stop that cannot end has ended well".into());
    }
    let asked = asked.get().ok_or("the host did not start")?;
    Ok(asked.elapsed())
}

fn blocking() -> Component {
    let stop = async |_| -> Result<(), BoxError> {
        loop {
            thread::park();
        }
    };
    component::from_fn(async |_| Ok(()), stop)
}

fn saying(up: Arc<Notify>) -> Component {
    let start = move |_| {
        up.notify_one();
        async { Ok(()) }
    };
    component::from_fn(start, async |_| Ok(()))
}
