//! `ractor`: actors under a supervisor that starts a failed one again. A start is its `pre_start`, a stop its `post_stop`; a
//! layer is started and stopped together.

use std::sync::Arc;
use std::time::Duration;

use bench::{Contender, Course, Failed, Keeps, Load, Shape};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use tokio::task::JoinSet;

pub(crate) const CONTENDER: Contender = Contender {
    name: "ractor",
    keeps: Keeps::Barrier,
    cannot: &[],
    run: |load, course| Box::pin(run(load, course)),
};

/// How long a layer may take where some never end: a tenth of the deadline.
const PATIENCE: Duration = Duration::from_millis(100);

struct Supervisor {
    load: Arc<Load>,
}

impl Actor for Supervisor {
    type Msg = ();
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<()>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<()>,
        event: SupervisionEvent,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        if let SupervisionEvent::ActorFailed(cell, _) = event {
            let name = cell.get_name().ok_or("every member has a name")?;
            let index = name.parse()?;
            let load = Arc::clone(&self.load);
            // The name is free once its holder is gone.
            cell.wait(None).await?;
            spawn(load, index, myself.get_cell()).await?;
        }
        Ok(())
    }
}

struct Member {
    load: Arc<Load>,
    index: usize,
}

/// Fail.
struct Fail;

impl Actor for Member {
    type Msg = Fail;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<Fail>, (): ()) -> Result<(), ActorProcessingErr> {
        self.load.start(self.index).await;
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<Fail>,
        _: Fail,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        Err("it fails once".into())
    }

    async fn post_stop(&self, _: ActorRef<Fail>, (): &mut ()) -> Result<(), ActorProcessingErr> {
        self.load.stop(self.index).await;
        Ok(())
    }
}

async fn spawn(
    load: Arc<Load>,
    index: usize,
    supervisor: ActorCell,
) -> Result<ActorRef<Fail>, Failed> {
    let member = Member { load, index };
    let name = Some(index.to_string());
    let (own, _) = Actor::spawn_linked(name, member, (), supervisor).await?;
    Ok(own)
}

async fn run(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let supervisor = Supervisor {
        load: Arc::clone(&load),
    };
    let (supervisor, ended) = Actor::spawn(None, supervisor, ()).await?;
    let mut layers = Vec::new();
    for members in load.layers() {
        let mut starting = JoinSet::new();
        for index in members.clone() {
            starting.spawn(spawn(Arc::clone(&load), index, supervisor.get_cell()));
        }
        let mut layer = Vec::with_capacity(members.len());
        while let Some(started) = starting.join_next().await {
            layer.push(started??);
        }
        layers.push(layer);
    }
    course.started()?;
    if load.shape() == Shape::CrashStorm {
        load.crash();
        for member in layers.iter().flatten() {
            member.cast(Fail)?;
        }
        load.all_up().await;
        course.recovered();
        supervisor.stop_children_and_wait(None, None).await;
    } else {
        stop(&load, layers).await?;
    }
    supervisor.stop(None);
    ended.await?;
    course.stopped();
    Ok(course)
}

async fn stop(load: &Load, layers: Vec<Vec<ActorRef<Fail>>>) -> Result<(), Failed> {
    let limit = load.hangs().then_some(PATIENCE);
    for layer in layers.into_iter().rev() {
        let mut stopping = JoinSet::new();
        for member in layer {
            stopping.spawn(async move {
                if member.stop_and_wait(None, limit).await.is_err() {
                    member.kill();
                }
            });
        }
        while let Some(stopped) = stopping.join_next().await {
            stopped?;
        }
    }
    Ok(())
}
