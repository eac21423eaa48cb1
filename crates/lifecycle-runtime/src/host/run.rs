//! The course of a host: runtimes, build, start, wait, exit.

use std::convert::Infallible;
use std::fmt;
use std::future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use lifecycle_core::BoxError;
use lifecycle_core::engine;
use tokio::runtime::{self, Runtime};

use super::HostConfig;
use super::budget;
use super::exit::ExitStatus;
use super::halt;
use super::herald::Herald;
use super::leftovers::Leftovers;
use super::notify::Notifier;
use super::shutdown::Interrupts;
use super::stderr;
use crate::blocked::Watchdog;
use crate::builder::OrchestratorBuilder;
use crate::error::StartError;
use crate::handle::Handle;
use crate::orchestrator::Orchestrator;

/// Runs a host from its build to its exit status.
pub(super) fn run(
    config: &HostConfig,
    build: impl FnOnce(&mut OrchestratorBuilder) -> Result<(), BoxError>,
    interrupts: impl FnOnce() -> io::Result<Interrupts>,
) -> ExitStatus {
    let (driver, components) = match runtimes(config) {
        Ok(runtimes) => runtimes,
        Err(error) => {
            return refuse_as(ExitStatus::StartFailed, "cannot make the runtimes", &error);
        }
    };
    // Before anything of the user's, so that no signal is lost.
    let interrupts = {
        let _entered = driver.enter();
        match interrupts() {
            Ok(interrupts) => interrupts,
            Err(error) => {
                return refuse_as(ExitStatus::StartFailed, "cannot listen for signals", &error);
            }
        }
    };
    let mut builder = Orchestrator::builder();
    if let Some(after) = config.blocked_after {
        builder.watch_blocked(after);
    }
    let collected = collect(&components, &mut builder, build);
    let leftovers = Leftovers::of(&builder, config.leftover_timeout);
    let herald = Arc::new(Herald::new(config.service.clone()));
    let (status, watchdog) = match assemble(config, builder, collected) {
        Ok(orchestrator) => {
            herald.starting();
            watch_and_drive(driver, orchestrator, interrupts, &herald)
        }
        Err(error) => (refuse("configuration", &*error), None),
    };
    leftovers.end(components, watchdog);
    herald.stopped();
    status
}

fn watch_and_drive(
    driver: Runtime,
    orchestrator: Orchestrator,
    interrupts: Interrupts,
    herald: &Arc<Herald>,
) -> (ExitStatus, Option<Watchdog>) {
    let watchdog = orchestrator.link.watch.get().and_then(Watchdog::begin);
    let status = drive(driver, orchestrator, interrupts, Arc::clone(herald));
    (status, watchdog)
}

fn runtimes(config: &HostConfig) -> io::Result<(Runtime, Runtime)> {
    let driver = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut components = runtime::Builder::new_multi_thread();
    if let Some(threads) = config.worker_threads {
        components.worker_threads(threads.get());
    }
    let made = AtomicUsize::new(0);
    // Numbered, so that a log line about one of them says which.
    components.enable_all().thread_name_fn(move || {
        let number = made.fetch_add(1, Ordering::Relaxed) + 1;
        format!("component-{number}")
    });
    Ok((driver, components.build()?))
}

fn collect(
    components: &Runtime,
    builder: &mut OrchestratorBuilder,
    build: impl FnOnce(&mut OrchestratorBuilder) -> Result<(), BoxError>,
) -> Result<(), BoxError> {
    let _entered = components.enter();
    builder.components_on(components.handle().clone());
    build(builder)
}

fn assemble(
    config: &HostConfig,
    builder: OrchestratorBuilder,
    collected: Result<(), BoxError>,
) -> Result<Orchestrator, BoxError> {
    collected?;
    let orchestrator = builder.build()?;
    budget::check(config, orchestrator.plan())?;
    Ok(orchestrator)
}

/// Drives on a thread of its own, which no component can block.
fn drive(
    driver: Runtime,
    orchestrator: Orchestrator,
    interrupts: Interrupts,
    herald: Arc<Herald>,
) -> ExitStatus {
    let driving = move || {
        let status = driver.block_on(supervise(orchestrator, interrupts, &herald));
        // Nobody waits for blocking calls that a shutdown future of the caller's may have left.
        driver.shutdown_background();
        status
    };
    let thread = thread::Builder::new().name("lifecycle-driver".to_owned());
    let ended = thread.spawn(driving).map(thread::JoinHandle::join);
    match ended {
        Ok(Ok(status)) => status,
        Ok(Err(_panic)) => refuse_as(ExitStatus::StopFailed, "the driver panicked", &""),
        Err(error) => refuse_as(
            ExitStatus::StartFailed,
            "cannot make the driver's thread",
            &error,
        ),
    }
}

async fn supervise(
    orchestrator: Orchestrator,
    mut interrupts: Interrupts,
    herald: &Herald,
) -> ExitStatus {
    if interrupts.came_already().await {
        return ExitStatus::Clean;
    }
    let handle = orchestrator.spawn();
    let mut notifier = Notifier::begin();
    let status = tokio::select! {
        // The start is asked for before a signal is obeyed, so that the signal cancels it.
        biased;
        status = pursue(&handle) => status,
        never = interrupts.obey(&handle) => match never {},
        never = halt::obey(&handle) => match never {},
        () = notifier.follow(&handle) => ExitStatus::StopFailed,
        never = tell(herald, &handle) => match never {},
    };
    notifier.conclude();
    status
}

/// Tells what is seen of the host as a whole, for as long as it is polled.
async fn tell(herald: &Herald, handle: &Handle) -> Infallible {
    herald.follow(handle).await;
    future::pending().await
}

/// Starts, and waits for the end.
async fn pursue(handle: &Handle) -> ExitStatus {
    if let Err(error) = handle.start().await {
        let status = of_failed_start(&error);
        if status != ExitStatus::Clean {
            complain("start", &error);
        }
        release(handle).await;
        return status;
    }
    let Ok(report) = handle.wait().await else {
        return ExitStatus::StopFailed;
    };
    release(handle).await;
    let status = ExitStatus::of_stop(&report);
    if let Err(error) = report.into_result() {
        complain("stop", &error);
    }
    status
}

fn of_failed_start(error: &StartError) -> ExitStatus {
    match error {
        StartError::Failed(error) => match &**error {
            engine::StartError::Cancelled { stop, .. } => ExitStatus::of_stop(stop),
            _ => ExitStatus::StartFailed,
        },
        StartError::DriverGone(_) => ExitStatus::StartFailed,
    }
}

/// Disposes what refused to stop: nobody will ask it again.
async fn release(handle: &Handle) {
    let refused = handle.status().get().last_stop;
    if refused.is_some_and(|it| !it.incomplete.is_empty()) {
        // The first report has the story.
        let _ = handle.force().await;
    }
}

fn refuse(what: &str, error: &dyn fmt::Display) -> ExitStatus {
    refuse_as(ExitStatus::Configuration, what, error)
}

fn refuse_as(status: ExitStatus, what: &str, error: &dyn fmt::Display) -> ExitStatus {
    complain(what, error);
    status
}

/// Tells whoever looks at the process, and does not wait for them to look.
fn complain(what: &str, error: &dyn fmt::Display) {
    stderr::write_line(format!("error: {what}: {error}\n").into_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_cannot_listen_for_signals_has_failed_to_start() {
        let refused = || Err(io::Error::other("no descriptor left"));
        let status = run(&HostConfig::default(), |_| Ok(()), refused);
        assert_eq!(status, ExitStatus::StartFailed);
    }
}
