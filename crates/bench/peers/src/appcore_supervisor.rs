//! `appcore-supervisor`: managed services in the order of their dependencies, one after the other, with blocking calls. It is
//! driven from a thread that may block, and failures are found when it is asked to reconcile, which its user does in a loop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use appcore_supervisor::{
    CallbackManagedService, ManagedResource, RestartPolicy, ServiceDescriptor, ServiceHealth,
    Supervisor,
};
use bench::{Contender, Course, Failed, Keeps, Load, Shape};
use tokio::runtime::Handle;
use tokio::task::spawn_blocking;

pub(crate) const CONTENDER: Contender = Contender {
    name: "appcore-supervisor",
    keeps: Keeps::Order,
    cannot: &[(Shape::Hung, "no deadline")],
    run: |load, course| Box::pin(async { spawn_blocking(|| run(load, course)).await? }),
};

fn run(load: Arc<Load>, mut course: Course) -> Result<Course, Failed> {
    let crashed = Arc::new(AtomicBool::new(false));
    let supervisor = Supervisor::new();
    for index in 0..load.count() {
        supervisor.register(Arc::new(service(&load, index, &crashed)?))?;
    }
    course.built();
    supervisor.start_all()?;
    course.started()?;
    if load.shape() == Shape::CrashStorm {
        load.crash();
        crashed.store(true, Ordering::Relaxed);
        recover(&supervisor, &load)?;
        course.recovered();
    }
    supervisor.shutdown(now())?;
    course.stopped();
    Ok(course)
}

fn recover(supervisor: &Supervisor, load: &Load) -> Result<(), Failed> {
    let runtime = Handle::current();
    loop {
        supervisor.reconcile(now())?;
        let all_up = async { tokio::time::timeout(Duration::from_millis(1), load.all_up()).await };
        if runtime.block_on(all_up).is_ok() {
            return Ok(());
        }
    }
}

fn service(
    load: &Arc<Load>,
    index: usize,
    crashed: &Arc<AtomicBool>,
) -> Result<CallbackManagedService, Failed> {
    let policy = RestartPolicy::bounded(5, Duration::from_secs(60))?
        .with_backoff(Duration::ZERO, Duration::ZERO);
    let mut descriptor =
        ServiceDescriptor::new(index.to_string(), ManagedResource::Worker, policy)?;
    for it in load.dependencies(index) {
        descriptor = descriptor.with_dependency(it.to_string())?;
    }
    let starts = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let runtime = Handle::current();
    let start = {
        let (load, starts, runtime) = (Arc::clone(load), Arc::clone(&starts), runtime.clone());
        move || {
            runtime.block_on(load.start(index));
            starts.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    };
    let stop = {
        let load = Arc::clone(load);
        move |_| {
            runtime.block_on(load.stop(index));
            Ok(())
        }
    };
    let crashed = Arc::clone(crashed);
    let health = move || {
        let fails = crashed.load(Ordering::Relaxed) && starts.load(Ordering::Relaxed) == 1;
        if fails {
            ServiceHealth::Failed
        } else {
            ServiceHealth::Healthy
        }
    };
    Ok(CallbackManagedService::new(descriptor, start, stop, health))
}

fn now() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
