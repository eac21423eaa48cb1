//! `supervised`: typed services under one supervisor. A layer is a supervisor of its own, ended by a token of ours through a
//! service that waits for it. Layers of one component each are not asked for: ten thousand supervisors are not how it is
//! meant to be used.

use std::sync::Arc;
use std::time::Duration;

use bench::{Contender, Course, Failed, Keeps, Load, Shape};
use supervised::{
    Context, RestartPolicy, ServiceError, ServiceExt, ServiceOutcome, Supervisor,
    SupervisorBuilder, service_fn,
};
use tokio_util::sync::CancellationToken;

pub(crate) const CONTENDER: Contender = Contender {
    name: "supervised",
    keeps: Keeps::Barrier,
    cannot: &[(Shape::Chain, "no order")],
    run: |load, course| Box::pin(run(load, course)),
};

async fn run(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let mut layers = Vec::new();
    for (depth, members) in load.layers().iter().enumerate() {
        let stop = CancellationToken::new();
        let layer = layer(&load, members.clone(), stop.clone());
        layers.push((stop, tokio::spawn(layer.run())));
        load.layer_up(depth).await;
    }
    course.started()?;
    if load.shape() == Shape::CrashStorm {
        load.crash();
        load.all_up().await;
        course.recovered();
    }
    for (stop, running) in layers.into_iter().rev() {
        stop.cancel();
        let ended = running.await?;
        // A stop that is over its time is an error, which is what is measured there.
        if !load.hangs() {
            ended?;
        }
    }
    course.stopped();
    Ok(course)
}

fn layer(load: &Arc<Load>, members: std::ops::Range<usize>, stop: CancellationToken) -> Supervisor {
    // A layer where some never end has a tenth of the deadline.
    let timeout = Duration::from_millis(if load.hangs() { 100 } else { 5_000 });
    let mut builder = SupervisorBuilder::new(())
        .shutdown_timeout(timeout)
        .default_restart_policy(RestartPolicy::always(Duration::ZERO))
        .add(service_fn("stop", move |_: Context<()>| {
            let stop = stop.clone();
            async move {
                stop.cancelled().await;
                ServiceOutcome::requested_shutdown()
            }
        }));
    for index in members {
        let load = Arc::clone(load);
        let member = service_fn("member", move |cx: Context<()>| {
            let load = Arc::clone(&load);
            async move {
                load.start(index).await;
                cx.readiness().mark_ready();
                load.serve(index, cx.token().cancelled())
                    .await
                    .map_err(ServiceError::from_error)?;
                load.stop(index).await;
                Ok::<_, ServiceError>(ServiceOutcome::Cancelled)
            }
        });
        builder = builder.add(member.when_ready());
    }
    builder.build()
}
