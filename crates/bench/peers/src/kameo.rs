//! `kameo`: actors under a supervisor that starts a failed one again. A start is its `on_start`, a stop its `on_stop`; a layer is
//! started and stopped together.

use std::sync::Arc;
use std::time::Duration;

use bench::{Contender, Course, Failed, Keeps, Load, Shape};
use kameo::Actor;
use kameo::actor::{ActorRef, Spawn as _, WeakActorRef};
use kameo::error::{ActorStopReason, Infallible};
use kameo::message::{Context, Message};
use kameo::supervision::RestartPolicy;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) const CONTENDER: Contender = Contender {
    name: "kameo",
    keeps: Keeps::Barrier,
    cannot: &[],
    run: |load, course| Box::pin(run(load, course)),
};

/// How long a layer may take where some never end: a tenth of the deadline.
const PATIENCE: Duration = Duration::from_millis(100);

struct Supervisor;

impl Actor for Supervisor {
    type Args = ();
    type Error = Infallible;

    async fn on_start((): (), _: ActorRef<Self>) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

#[derive(Clone)]
struct Member {
    load: Arc<Load>,
    index: usize,
}

impl Actor for Member {
    type Args = Self;
    type Error = Infallible;

    async fn on_start(own: Self, _: ActorRef<Self>) -> Result<Self, Infallible> {
        own.load.start(own.index).await;
        Ok(own)
    }

    async fn on_stop(
        &mut self,
        _: WeakActorRef<Self>,
        reason: ActorStopReason,
    ) -> Result<(), Infallible> {
        // Also called for what has failed; there is nothing to stop then.
        if matches!(reason, ActorStopReason::Normal) {
            self.load.stop(self.index).await;
        }
        Ok(())
    }
}

/// Fail.
struct Fail;

impl Message<Fail> for Member {
    type Reply = Result<(), &'static str>;

    async fn handle(&mut self, _: Fail, _: &mut Context<Self, Self::Reply>) -> Self::Reply {
        Err("it fails once")
    }
}

async fn run(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let supervisor = Supervisor::spawn(());
    supervisor.wait_for_startup().await;
    let mut layers = Vec::new();
    for members in load.layers() {
        let mut starting = JoinSet::new();
        for index in members.clone() {
            let member = Member {
                load: Arc::clone(&load),
                index,
            };
            let supervisor = supervisor.clone();
            starting.spawn(async move {
                let own = Member::supervise(&supervisor, member)
                    .restart_policy(RestartPolicy::Transient)
                    .spawn()
                    .await;
                own.wait_for_startup().await;
                own
            });
        }
        let mut layer = Vec::with_capacity(members.len());
        while let Some(started) = starting.join_next().await {
            layer.push(started?);
        }
        layers.push(layer);
    }
    course.started()?;
    if load.shape() == Shape::CrashStorm {
        load.crash();
        for member in layers.iter().flatten() {
            member.tell(Fail).await.map_err(|it| it.to_string())?;
        }
        load.all_up().await;
        course.recovered();
    }
    for layer in layers.into_iter().rev() {
        stop(&load, layer).await?;
    }
    supervisor
        .stop_gracefully()
        .await
        .map_err(|it| it.to_string())?;
    supervisor.wait_for_shutdown().await;
    course.stopped();
    Ok(course)
}

async fn stop(load: &Load, layer: Vec<ActorRef<Member>>) -> Result<(), Failed> {
    let hangs = load.hangs();
    let mut stopping = JoinSet::new();
    for member in layer {
        stopping.spawn(async move {
            // Only who has gone already does not take the message.
            let _ = member.stop_gracefully().await;
            // The result is there once `on_stop` is over.
            if !hangs {
                let _ = member.wait_for_shutdown_result().await;
            } else if timeout(PATIENCE, member.wait_for_shutdown_result())
                .await
                .is_err()
            {
                member.kill();
            }
        });
    }
    while let Some(stopped) = stopping.join_next().await {
        stopped?;
    }
    Ok(())
}
