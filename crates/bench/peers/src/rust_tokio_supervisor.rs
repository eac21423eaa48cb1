//! `rust-tokio-supervisor`: children of a supervisor, which starts them one after the other, each when what it depends on is
//! ready, and tells all of them to stop at once. So a layer is a supervisor of its own, which is stopped in one call; a chain is
//! one supervisor that starts in order by itself and whose children are removed one by one.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bench::{Contender, Course, Failed, Keeps, Load, Shape};
use rust_supervisor::error::types::{SupervisorError, TaskFailure, TaskFailureKind};
use rust_supervisor::id::types::ChildId;
use rust_supervisor::readiness::signal::ReadinessPolicy;
use rust_supervisor::runtime::supervisor::Supervisor;
use rust_supervisor::spec::child::{ChildSpec, TaskKind};
use rust_supervisor::spec::shutdown::{ShutdownBudget, TreeShutdownPolicy};
use rust_supervisor::spec::supervisor::SupervisorSpec;
use rust_supervisor::task::context::TaskContext;
use rust_supervisor::task::factory::{TaskResult, service_fn};
use tokio::sync::Notify;

pub(crate) const CONTENDER: Contender = Contender {
    name: "rust-tokio-supervisor",
    keeps: Keeps::Barrier,
    // A supervisor whose children have failed five times within a minute starts none of them again, whatever is set.
    cannot: &[(Shape::CrashStorm, "gives up")],
    run: |load, course| Box::pin(run(load, course)),
};

/// Who asks and why: commands are audited.
const WHO: &str = "bench";
const WHY: &str = "the benchmark is over";

async fn run(load: Arc<Load>, course: Course) -> Result<Course, Failed> {
    if load.shape() == Shape::Chain {
        one_by_one(load, course).await
    } else {
        by_layers(load, course).await
    }
}

async fn by_layers(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let ended = Arc::new(Notify::new());
    let specs = load.layers().iter().map(|members| {
        let child = |index| child(&load, index, &ended);
        let children = members.clone().map(child).collect::<Result<_, _>>()?;
        Ok::<_, Failed>(spec(&load, members.clone(), children))
    });
    let specs = specs.collect::<Result<Vec<_>, _>>()?;
    course.built();
    let mut layers = Vec::new();
    for (depth, spec) in specs.into_iter().enumerate() {
        layers.push(Supervisor::start(spec).await?);
        load.layer_up(depth).await;
    }
    course.started()?;
    for layer in layers.iter().rev() {
        layer.shutdown_tree(WHO, WHY).await?;
    }
    course.stopped();
    Ok(course)
}

async fn one_by_one(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let ended = Arc::new(Notify::new());
    let dependent = |index| {
        let mut child = child(&load, index, &ended)?;
        let dependencies = load.dependencies(index).iter();
        child.dependencies = dependencies
            .map(|it| ChildId::new(it.to_string()))
            .collect();
        Ok::<_, Failed>(child)
    };
    let children = (0..load.count()).map(dependent).collect::<Result<_, _>>()?;
    let spec = spec(&load, 0..load.count(), children);
    course.built();
    let supervisor = Supervisor::start(spec).await?;
    load.all_up().await;
    course.started()?;
    for index in (0..load.count()).rev() {
        let id = ChildId::new(index.to_string());
        supervisor.remove_child(id, WHO, WHY).await?;
        ended.notified().await;
    }
    supervisor.shutdown_tree(WHO, WHY).await?;
    course.stopped();
    Ok(course)
}

fn spec(load: &Load, members: Range<usize>, children: Vec<ChildSpec>) -> SupervisorSpec {
    let hung = members.filter(|it| load.hangs_at(*it)).count();
    // It waits for one after the other, so that all who never end share a tenth of the deadline, and then are aborted.
    let time = match u32::try_from(hung) {
        Ok(hung) if hung > 0 => Duration::from_millis(100) / hung,
        _ => Duration::from_secs(3_600),
    };
    let budget = ShutdownBudget::new(time, Duration::from_secs(1));
    let mut spec = SupervisorSpec::root(children);
    spec.tree_shutdown = TreeShutdownPolicy::with_budget(budget);
    spec.propagate_tree_shutdown_budget();
    spec
}

fn child(
    load: &Arc<Load>,
    index: usize,
    ended: &Arc<Notify>,
) -> Result<ChildSpec, SupervisorError> {
    let (load, ended) = (Arc::clone(load), Arc::clone(ended));
    let task = service_fn(move |own: TaskContext| {
        let (load, ended) = (Arc::clone(&load), Arc::clone(&ended));
        async move {
            load.start(index).await;
            own.mark_ready();
            let stop = own.cancellation_token();
            if let Err(error) = load.serve(index, stop.cancelled()).await {
                let kind = TaskFailureKind::Error;
                return TaskResult::Failed(TaskFailure::new(kind, "load", error.to_string()));
            }
            load.stop(index).await;
            ended.notify_one();
            TaskResult::Cancelled
        }
    });
    let name = index.to_string();
    let id = ChildId::new(name.clone());
    let mut child = ChildSpec::worker(id, name, TaskKind::AsyncWorker, Arc::new(task))?;
    child.readiness_policy = ReadinessPolicy::Explicit;
    Ok(child)
}
