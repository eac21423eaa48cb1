//! [`Host`]: what a service's `main` calls. It owns runtimes, signals, log output and exit code.

mod budget;
mod exit;
mod halt;
mod herald;
mod leftovers;
mod log;
mod log_filter;
mod notify;
mod run;
mod shutdown;
mod stderr;
mod traces;

use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use lifecycle_core::BoxError;

use crate::builder::OrchestratorBuilder;
use shutdown::Interrupts;

pub use exit::ExitStatus;
pub use log::{LogConfig, LogFormat};
pub use log_filter::{LogFilter, LogFilterError};
pub use traces::Traces;

/// What a host needs to know beside its components.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// What the service is called in the log lines about the host as a whole: `host.starting`, `host.started`,
    /// `host.stopping` and `host.stopped`. `None`: there are none.
    pub service: Option<String>,
    /// The log output to install when there is none.
    pub log: LogConfig,
    /// How many threads run components; as many as there are processors unless set.
    pub worker_threads: Option<NonZeroUsize>,
    /// How long the host waits, after everything has stopped, for threads that are still at work and values that are
    /// being dropped (1 s); then it ends without them.
    pub leftover_timeout: Duration,
    /// How long the service manager waits after it has asked for a stop, before it kills; `None` when that is not known.
    /// In Kubernetes `terminationGracePeriodSeconds`, less what a `preStop` hook takes; in systemd `TimeoutStopSec`.
    ///
    /// A stop that may take longer is refused before anything is started ([`ExitStatus::Configuration`]).
    pub kill_timeout: Option<Duration>,
    /// For how long a call or a task may hold its thread before it is named in the log, in
    /// [`Handle::blocked`](crate::Handle::blocked) and in a metric (1 s); `None`: nobody looks.
    pub blocked_after: Option<Duration>,
    /// Where spans go beside the log; unset, nowhere. Not used where log output is installed already, nor by
    /// [`Host::run_until`].
    pub traces: Option<Arc<dyn Traces>>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            service: None,
            log: LogConfig::default(),
            worker_threads: None,
            leftover_timeout: Duration::from_secs(1),
            kill_timeout: None,
            blocked_after: Some(Duration::from_secs(1)),
            traces: None,
        }
    }
}

/// Runs an orchestrator as a process.
///
/// It drives on a thread of its own, and runs components on a multi-threaded runtime beside it. So a component that
/// blocks its thread holds up neither a deadline nor another component, as long as a worker is free; and it holds up the
/// end of the process by no more than its own limits and [`HostConfig::leftover_timeout`]. The same goes for values that
/// block when they are dropped. Whoever blocks is named while they do ([`HostConfig::blocked_after`]), and what has to be
/// left behind once more at the end.
///
/// Not covered is what runs before anything is driven: `build` is called on the calling thread, and may take its time.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl Host {
    /// Builds, starts, and waits until everything has stopped; what it returns is the process's exit code
    /// ([`ExitStatus`]).
    ///
    /// - SIGTERM and SIGINT stop gracefully, that is, settle and drain first; a second one stops by force; a third ends the
    ///   process at once, with 128 and its number as the code. A signal that comes before the start prevents it.
    /// - When something behind a gate is still at work at the gate's close deadline, the process ends at once, with 71.
    /// - Faults of the build and failures of start and stop are written to standard error in full.
    /// - Log output is installed unless there is some, and panics are logged. It never waits for who reads it; what nobody
    ///   reads in time is lost, and counted.
    /// - The service manager is told what happens, where `NOTIFY_SOCKET` is set.
    /// - Spans go to [`HostConfig::traces`], to the last one; what is left of them is handed on at the very end.
    ///
    /// `build` is called on this thread, within the context of the components' runtime.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a host takes its configuration over; what it holds may be needed to the end"
    )]
    pub fn main(
        config: HostConfig,
        build: impl FnOnce(&mut OrchestratorBuilder) -> Result<(), BoxError>,
    ) -> ExitCode {
        let traces = config.traces.as_deref();
        log::install(&config.log, traces);
        log::install_panic_hook();
        if cfg!(panic = "abort") {
            tracing::warn!(
                target: "lifecycle",
                event = "host.panic_abort",
                "built with panic = \"abort\": a panic in any component ends the process without a stop",
            );
        }
        let status = run::run(&config, build, Interrupts::of_process);
        if let Some(traces) = traces {
            traces.flush();
        }
        stderr::end(log::LAST_LINES);
        status.into()
    }

    /// As [`main`](Self::main), but stops when `shutdown` completes: no signal is listened to, and neither log output nor
    /// a panic hook is installed. For tests, and for programs with a `main` of their own.
    ///
    /// Blocks the calling thread; `shutdown` is polled on another.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a host takes its configuration over; what it holds may be needed to the end"
    )]
    pub fn run_until(
        config: HostConfig,
        build: impl FnOnce(&mut OrchestratorBuilder) -> Result<(), BoxError>,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> ExitStatus {
        let status = run::run(&config, build, || Ok(Interrupts::once(shutdown)));
        stderr::flush(log::LAST_LINES);
        status
    }
}
