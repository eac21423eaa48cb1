//! `ours`, with what a host has on: metrics in a recorder, a subscriber that reads every event, a snapshot that is taken. Logs
//! are filtered off, as for everybody.

use std::iter::repeat_n;
use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::component::service;
use lifecycle_core::engine::{ComponentState, StopTrouble};
use lifecycle_core::{
    Backoff, BoxError, Component, Defaults, Lifecycle, Nanos, Registration, Restart,
    ServiceContext, StartContext, StopContext,
};
use lifecycle_runtime::{Handle, Orchestrator, StopError};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::Instant;

use crate::contender::{Contender, Failed, Keeps};
use crate::course::Course;
use crate::load::Load;
use crate::shape::Shape;

/// Components that are a start and a stop, and no task.
pub(crate) const CONTENDER: Contender = Contender {
    name: "ours",
    keeps: Keeps::Order,
    cannot: &[(Shape::CrashStorm, "only a loop fails by itself")],
    run: |load, course| Box::pin(run(load, course, idle)),
};

/// Components that are a loop, as those of the peers are: a task each.
pub(crate) const WITH_LOOPS: Contender = Contender {
    name: "ours-loops",
    keeps: Keeps::Order,
    cannot: &[],
    run: |load, course| Box::pin(run(load, course, looping)),
};

type Make = fn(Arc<Load>, usize) -> Component;

async fn run(load: Arc<Load>, mut course: Course, make: Make) -> Result<Course, Failed> {
    PrometheusBuilder::new().install_recorder()?;
    let mut builder = Orchestrator::builder();
    builder.defaults(Defaults {
        restart: Restart::on_failure().with_backoff(Backoff::None),
        // Of the usual 45 s, each of a chain of 100 000 would have a share of half a millisecond; on a busy machine, not even
        // that of an hour is enough for all.
        shutdown_timeout: Nanos::from_secs(86_400),
        ..Defaults::default()
    });
    builder.registrations((0..load.count()).map(|index| {
        let dependencies = load.dependencies(index).iter().map(ToString::to_string);
        Registration::new(index.to_string(), make(Arc::clone(&load), index))
            .depends_on(dependencies)
    }));
    let handle = builder.build()?.spawn();
    let mut events = handle.subscribe();
    let reading = tokio::spawn(async move { while events.next().await.is_some() {} });
    course.built();

    let report = handle.start().await?;
    course.started()?;
    expect_count("running", report.running, load.count())?;
    let snapshot = handle.snapshot().await?;
    expect_count("shown", snapshot.components.len(), load.count())?;

    course.resumed();
    if load.shape() == Shape::CrashStorm {
        load.crash();
        load.all_up().await;
        all_running(&handle).await?;
        course.recovered();
    }
    if load.hangs() {
        stop_by_deadline(&load, &handle).await?;
    } else {
        handle.stop().await?;
    }
    course.stopped();
    drop(handle);
    reading.await?;
    Ok(course)
}

/// A component says that it is up before we have heard of it; this is no less than we claim to our own observers.
async fn all_running(handle: &Handle) -> Result<(), Failed> {
    loop {
        let snapshot = handle.snapshot().await?;
        let states = snapshot.components.iter().map(|it| it.state);
        if states.eq(repeat_n(ComponentState::Running, snapshot.components.len())) {
            return Ok(());
        }
        tokio::task::yield_now().await;
    }
}

/// Everybody who hangs must be named, and everybody else must have stopped or been let go.
async fn stop_by_deadline(load: &Load, handle: &Handle) -> Result<(), Failed> {
    let deadline = Instant::now() + Duration::from_secs(1);
    let Err(StopError::Unclean(unclean)) = handle.stop_by(deadline).await else {
        return Err("a stop that cannot end has ended well".into());
    };
    // Others may be named as well: what had to be stopped although something above it was at work, and on a busy machine
    // what was still in a stop of its own.
    let hangs = |it: &StopTrouble| {
        it.component
            .as_str()
            .parse()
            .is_ok_and(|it| load.hangs_at(it))
    };
    let named = unclean.report.troubles.iter().filter(|it| hangs(it));
    expect_count("named", named.count(), load.hung())
}

fn expect_count(what: &str, found: usize, expected: usize) -> Result<(), Failed> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{found} of {expected} components are {what}").into())
}

fn idle(load: Arc<Load>, index: usize) -> Component {
    Component::from(Idle { load, index })
}

struct Idle {
    load: Arc<Load>,
    index: usize,
}

impl Lifecycle for Idle {
    const DISPOSES: bool = false;

    async fn start(&self, _cx: &StartContext) -> Result<(), BoxError> {
        self.load.start(self.index).await;
        Ok(())
    }

    async fn stop(&self, _cx: &StopContext) -> Result<(), BoxError> {
        self.load.stop(self.index).await;
        Ok(())
    }
}

fn looping(load: Arc<Load>, index: usize) -> Component {
    service(move |cx: ServiceContext| {
        let load = Arc::clone(&load);
        async move {
            load.start(index).await;
            cx.ready();
            load.serve(index, cx.cancelled()).await?;
            load.stop(index).await;
            Ok::<(), BoxError>(())
        }
    })
}
