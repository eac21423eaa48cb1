//! `task-supervisor`: a supervisor of tasks. A layer is a supervisor of its own, which starts and stops in one call; a chain is
//! one supervisor that tasks are added to and killed in one by one.

use std::sync::Arc;
use std::time::Duration;

use bench::{Contender, Course, Failed, Keeps, Load, Shape};
use task_supervisor::{
    CancellationToken, SupervisedTask, SupervisorBuilder, SupervisorHandle, TaskResult,
};

pub(crate) const CONTENDER: Contender = Contender {
    name: "task-supervisor",
    keeps: Keeps::Barrier,
    cannot: &[],
    run: |load, course| Box::pin(run(load, course)),
};

#[derive(Clone)]
struct Member {
    load: Arc<Load>,
    index: usize,
}

impl SupervisedTask for Member {
    async fn run(self, cancel: CancellationToken) -> TaskResult {
        Ok(self.load.run(self.index, cancel.cancelled()).await?)
    }
}

async fn run(load: Arc<Load>, course: Course) -> Result<Course, Failed> {
    if load.shape() == Shape::Chain {
        one_by_one(load, course).await
    } else {
        by_layers(load, course).await
    }
}

async fn by_layers(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let mut layers = Vec::new();
    for (depth, members) in load.layers().iter().enumerate() {
        let mut layer = builder(&load);
        for index in members.clone() {
            let load = Arc::clone(&load);
            layer = layer.with_task(&index.to_string(), Member { load, index });
        }
        layers.push(layer.spawn());
        load.layer_up(depth).await;
    }
    course.started()?;
    if load.shape() == Shape::CrashStorm {
        load.crash();
        load.all_up().await;
        course.recovered();
    }
    for layer in layers.iter().rev() {
        layer.shutdown().await?;
    }
    course.stopped();
    Ok(course)
}

async fn one_by_one(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let supervisor: SupervisorHandle = builder(&load).spawn();
    for index in 0..load.count() {
        let member = Member {
            load: Arc::clone(&load),
            index,
        };
        supervisor.add_task(&index.to_string(), member).await?;
        load.layer_up(index).await;
    }
    course.started()?;
    for index in (0..load.count()).rev() {
        supervisor.kill_task(&index.to_string()).await?;
    }
    supervisor.shutdown().await?;
    course.stopped();
    Ok(course)
}

fn builder(load: &Load) -> SupervisorBuilder {
    // A layer where some never end has a tenth of the deadline.
    let stop_timeout = Duration::from_millis(if load.hangs() { 100 } else { 5_000 });
    SupervisorBuilder::new()
        .with_base_restart_delay(Duration::ZERO)
        .with_stop_timeout(stop_timeout)
}
