//! `tokio-graceful-shutdown`: a tree of subsystems. A layer is one detached subsystem with its components below it; the parent
//! starts and stops the layers in order, as its example of an orchestrated shutdown does.

use std::sync::Arc;
use std::time::Duration;

use bench::{Contender, Course, Failed, Keeps, Load, Shape};
use tokio::sync::{Mutex, oneshot};
use tokio_graceful_shutdown::{ErrorAction, SubsystemBuilder, SubsystemHandle, Toplevel};
use tokio_util::sync::CancellationToken;

type Handle = SubsystemHandle<Failed>;

pub(crate) const CONTENDER: Contender = Contender {
    name: "tokio-graceful-shutdown",
    keeps: Keeps::Barrier,
    cannot: &[],
    run: |load, course| Box::pin(run(load, course)),
};

async fn run(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let stop = CancellationToken::new();
    let (told, up) = oneshot::channel();
    let told = Arc::new(Mutex::new(Some(told)));
    let root = {
        let load = Arc::clone(&load);
        async move |root: &mut Handle| {
            let orchestrate = {
                let load = Arc::clone(&load);
                let told = Arc::clone(&told);
                async move |parent: &mut Handle| orchestrate(&load, &told, parent).await
            };
            root.start(SubsystemBuilder::new("layers", orchestrate));
        }
    };
    let top = Toplevel::<Failed>::new_with_shutdown_token(root, stop.clone());
    let running = tokio::spawn(
        top.handle_shutdown_requests(Duration::from_secs(if load.hangs() { 1 } else { 3_600 })),
    );
    up.await?;
    course.started()?;
    if load.shape() == Shape::CrashStorm {
        load.crash();
        load.all_up().await;
        course.recovered();
    }
    stop.cancel();
    let ended = running.await?;
    // A stop that is over its time is an error, which is what is measured there.
    if !load.hangs() {
        ended?;
    }
    course.stopped();
    Ok(course)
}

async fn orchestrate(
    load: &Arc<Load>,
    told: &Mutex<Option<oneshot::Sender<()>>>,
    parent: &mut Handle,
) -> Result<(), Failed> {
    let mut layers = Vec::new();
    for (depth, members) in load.layers().iter().enumerate() {
        let members = members.clone();
        let layer = {
            let load = Arc::clone(load);
            async move |layer: &mut Handle| -> Result<(), Failed> {
                for index in members.clone() {
                    start(&load, index, layer);
                }
                layer.on_shutdown_requested().await;
                Ok(())
            }
        };
        let name = depth.to_string();
        layers.push(parent.start(SubsystemBuilder::new(name, layer).detached()));
        load.layer_up(depth).await;
    }
    if let Some(told) = told.lock().await.take() {
        let _ = told.send(());
    }
    parent.on_shutdown_requested().await;
    for layer in layers.iter().rev() {
        layer.initiate_shutdown();
        layer.join().await?;
    }
    Ok(())
}

fn start(load: &Arc<Load>, index: usize, layer: &Handle) {
    let name = index.to_string();
    let member = {
        let load = Arc::clone(load);
        async move |own: &mut Handle| -> Result<(), Failed> {
            Ok(load.run(index, own.on_shutdown_requested()).await?)
        }
    };
    if load.shape() != Shape::CrashStorm {
        layer.start(SubsystemBuilder::new(name, member));
        return;
    }
    // As its example of a subsystem that is started again: one more around each.
    let member = Arc::new(member);
    let keeping = async move |own: &mut Handle| -> Result<(), Failed> {
        loop {
            let member = Arc::clone(&member);
            let nested = own.start(
                SubsystemBuilder::new("run", async move |own: &mut Handle| member(own).await)
                    .on_failure(ErrorAction::CatchAndLocalShutdown),
            );
            if nested.join().await.is_ok() || own.is_shutdown_requested() {
                return Ok(());
            }
        }
    };
    layer.start(SubsystemBuilder::new(name, keeping));
}
