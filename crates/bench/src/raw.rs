//! `raw`: bare tokio, as one would write it without an orchestrator. A task a component, dependencies through `watch`, a token
//! for stop, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::contender::{Contender, Failed, Keeps};
use crate::course::Course;
use crate::load::Load;
use crate::shape::Shape;

pub(crate) const CONTENDER: Contender = Contender {
    name: "raw",
    keeps: Keeps::Order,
    cannot: &[],
    run: |load, course| Box::pin(run(load, course)),
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Stage {
    Waiting,
    Running,
    Down,
}

/// What the tasks share.
struct Raw {
    load: Arc<Load>,
    stages: Vec<watch::Sender<Stage>>,
    stop: CancellationToken,
}

async fn run(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let stages = (0..load.count()).map(|_| watch::Sender::new(Stage::Waiting));
    let raw = Arc::new(Raw {
        stages: stages.collect(),
        stop: CancellationToken::new(),
        load: Arc::clone(&load),
    });
    let mut tasks = JoinSet::new();
    for index in 0..load.count() {
        let dependencies = raw.subscribe(load.dependencies(index));
        let dependents = raw.subscribe(load.dependents(index));
        tasks.spawn(component(Arc::clone(&raw), index, dependencies, dependents));
    }
    load.all_up().await;
    course.started()?;
    if load.shape() == Shape::CrashStorm {
        load.crash();
        load.all_up().await;
        course.recovered();
    }
    raw.stop.cancel();
    let ended = async { while tasks.join_next().await.is_some() {} };
    if load.hangs() {
        // What does not end in time is aborted, in no order.
        let _ = timeout(Duration::from_secs(1), ended).await;
        tasks.shutdown().await;
    } else {
        ended.await;
    }
    course.stopped();
    Ok(course)
}

impl Raw {
    fn subscribe(&self, others: &[u32]) -> Vec<watch::Receiver<Stage>> {
        let others = others.iter();
        others
            .map(|it| self.stages[*it as usize].subscribe())
            .collect()
    }
}

async fn component(
    raw: Arc<Raw>,
    index: usize,
    dependencies: Vec<watch::Receiver<Stage>>,
    dependents: Vec<watch::Receiver<Stage>>,
) {
    reach(dependencies, Stage::Running).await;
    loop {
        raw.load.start(index).await;
        raw.stages[index].send_replace(Stage::Running);
        let served = raw.load.serve(index, raw.stop.cancelled()).await;
        if served.is_ok() {
            break;
        }
    }
    reach(dependents, Stage::Down).await;
    raw.load.stop(index).await;
    raw.stages[index].send_replace(Stage::Down);
}

async fn reach(others: Vec<watch::Receiver<Stage>>, stage: Stage) {
    for mut other in others {
        let reached = other.wait_for(|it| *it >= stage).await;
        reached.expect("the senders live as long as the tasks");
    }
}
