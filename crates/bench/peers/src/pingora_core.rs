//! `pingora-core`: background services of a server, each with a runtime and a thread of its own, started in the order of their
//! dependencies. To stop, the server tells all at once and drops the runtimes after whole seconds, whoever has finished by then.
//! So the services return when a token of their layer says so, as they may at any time, and the server is told once all have.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bench::{Contender, Course, Failed, Keeps, Load, Shape};
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use pingora_core::services::ServiceReadyNotifier;
use pingora_core::services::background::{BackgroundService, background_service};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

pub(crate) const CONTENDER: Contender = Contender {
    name: "pingora-core",
    keeps: Keeps::Barrier,
    cannot: &[(Shape::CrashStorm, "no restarts")],
    run: |load, course| Box::pin(run(load, course)),
};

/// How long a layer may take where some never end: a tenth of the deadline.
const PATIENCE: Duration = Duration::from_millis(100);

/// A layer, as its members and we see it.
struct Layer {
    stop: CancellationToken,
    /// How many have ended.
    ended: Semaphore,
}

struct Member {
    load: Arc<Load>,
    index: usize,
    layer: Arc<Layer>,
}

#[async_trait]
impl BackgroundService for Member {
    async fn start_with_ready_notifier(&self, _: ShutdownWatch, ready: ServiceReadyNotifier) {
        self.load.start(self.index).await;
        ready.notify_ready();
        self.layer.stop.cancelled().await;
        self.load.stop(self.index).await;
        self.layer.ended.add_permits(1);
    }
}

/// What the server takes for a signal of the system.
struct Signal(CancellationToken);

#[async_trait]
impl ShutdownSignalWatch for Signal {
    async fn recv(&self) -> ShutdownSignal {
        self.0.cancelled().await;
        ShutdownSignal::GracefulTerminate
    }
}

async fn run(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    allow_descriptors()?;
    let layers: Vec<_> = load
        .layers()
        .iter()
        .map(|_| Arc::new(Layer::new()))
        .collect();
    let server = server(&load, &layers);
    course.built();
    let signal = CancellationToken::new();
    let running = {
        let signal = Signal(signal.clone());
        spawn_blocking(move || {
            let shutdown_signal = Box::new(signal);
            server.run(RunArgs { shutdown_signal });
        })
    };
    load.all_up().await;
    course.started()?;
    for (layer, members) in layers.iter().zip(load.layers()).rev() {
        layer.stop.cancel();
        let members = u32::try_from(members.len())?;
        let ended = layer.ended.acquire_many(members);
        if load.hangs() {
            let _ = timeout(PATIENCE, ended).await;
        } else {
            ended.await?.forget();
        }
    }
    signal.cancel();
    running.await?;
    course.stopped();
    Ok(course)
}

fn server(load: &Arc<Load>, layers: &[Arc<Layer>]) -> Server {
    let conf = ServerConf {
        // There is nothing left to wait for.
        grace_period_seconds: Some(0),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let mut handles = Vec::with_capacity(load.count());
    for (layer, members) in layers.iter().zip(load.layers()) {
        for index in members.clone() {
            let member = Member {
                load: Arc::clone(load),
                index,
                layer: Arc::clone(layer),
            };
            let handle = server.add_service(background_service(&index.to_string(), member));
            for it in load.dependencies(index) {
                handle.add_dependency(&handles[*it as usize]);
            }
            handles.push(handle);
        }
    }
    server
}

impl Layer {
    fn new() -> Self {
        Self {
            stop: CancellationToken::new(),
            ended: Semaphore::new(0),
        }
    }
}

/// Each runtime has several descriptors, which are more than a process usually begins with.
fn allow_descriptors() -> Result<(), Failed> {
    let most = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: most,
        maximum: most,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}
