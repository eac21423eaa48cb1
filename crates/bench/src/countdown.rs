//! `countdown`: the limit. For each component a number that says how many it still waits for; whoever brings it to zero
//! spawns its task, or wakes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use tokio::sync::Notify;

use crate::contender::{Contender, Failed, Keeps};
use crate::course::Course;
use crate::load::Load;
use crate::shape::Shape;

pub(crate) const CONTENDER: Contender = Contender {
    name: "countdown",
    keeps: Keeps::Order,
    cannot: &[(Shape::Hung, "no deadline")],
    run: |load, course| Box::pin(run(load, course)),
};

struct Countdown {
    load: Arc<Load>,
    nodes: Vec<Node>,
    up: AtomicUsize,
    down: Notify,
}

struct Node {
    dependencies: AtomicU32,
    dependents: AtomicU32,
    stop: Notify,
}

async fn run(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let nodes = (0..load.count()).map(|it| Node {
        dependencies: counted(load.dependencies(it)),
        dependents: counted(load.dependents(it)),
        stop: Notify::new(),
    });
    let countdown = Arc::new(Countdown {
        nodes: nodes.collect(),
        up: AtomicUsize::new(load.count()),
        down: Notify::new(),
        load: Arc::clone(&load),
    });
    let first = |it: &usize| load.dependencies(*it).is_empty();
    for index in (0..load.count()).filter(first) {
        countdown.spawn(index);
    }
    load.all_up().await;
    course.started()?;
    if load.shape() == Shape::CrashStorm {
        load.crash();
        load.all_up().await;
        course.recovered();
    }
    let last = |it: &usize| load.dependents(*it).is_empty();
    for index in (0..load.count()).filter(last) {
        countdown.nodes[index].stop.notify_one();
    }
    countdown.down.notified().await;
    course.stopped();
    Ok(course)
}

impl Countdown {
    fn spawn(self: &Arc<Self>, index: usize) {
        let own = Arc::clone(self);
        tokio::spawn(async move { own.component(index).await });
    }

    async fn component(self: &Arc<Self>, index: usize) {
        loop {
            self.load.start(index).await;
            self.release(index);
            let stopped = self.nodes[index].stop.notified();
            if self.load.serve(index, stopped).await.is_ok() {
                break;
            }
        }
        self.load.stop(index).await;
        for it in self.load.dependencies(index) {
            let node = &self.nodes[*it as usize];
            if node.dependents.fetch_sub(1, Ordering::AcqRel) == 1 {
                node.stop.notify_one();
            }
        }
        if self.up.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.down.notify_one();
        }
    }

    fn release(self: &Arc<Self>, index: usize) {
        for it in self.load.dependents(index) {
            let waiting = &self.nodes[*it as usize].dependencies;
            if waiting.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.spawn(*it as usize);
            }
        }
    }
}

fn counted(others: &[u32]) -> AtomicU32 {
    AtomicU32::new(u32::try_from(others.len()).expect("there are fewer components than 2^32"))
}
