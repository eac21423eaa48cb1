//! A service that makes the trouble that its first argument names; for trying out signals and exit codes.
//!
//! ```sh
//! cargo run -p lifecycle-runtime --example trouble -- deaf   # press Ctrl-C twice, or three times
//! echo $?
//! ```

use std::future;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::time::Duration;

use lifecycle_core::component::{from_fn, service};
use lifecycle_core::{
    BoxError, Component, Defaults, Nanos, Registration, Retry, ServiceContext, StartContext,
    StopContext,
};
use lifecycle_runtime::{ExitStatus, Host, HostConfig, OrchestratorBuilder};

const USAGE: &str = "usage: trouble none|refuses|lost|deaf|panics|misspelt|slow-build|slow|long-stop|kill-timeout|blocks\
|blocks-in-stop|blocks-in-task|blocks-for-a-while|blocks-in-drop|blocks-isolated|blocking-call";

fn main() -> ExitCode {
    let Some(trouble) = std::env::args().nth(1) else {
        eprintln!("{USAGE}");
        return ExitStatus::Usage.into();
    };
    Host::main(config(&trouble), |host| build(&trouble, host))
}

/// Hosts of this kind have little patience with who blocks.
fn config(trouble: &str) -> HostConfig {
    let kill_timeout = match trouble {
        "kill-timeout" => Some(Duration::from_secs(30)),
        "long-stop" => Some(Duration::from_secs(50)),
        _ => None,
    };
    HostConfig {
        kill_timeout,
        blocked_after: Some(Duration::from_millis(300)),
        worker_threads: NonZeroUsize::new(2),
        ..HostConfig::default()
    }
}

fn build(trouble: &str, host: &mut OrchestratorBuilder) -> Result<(), BoxError> {
    let worker = worker(trouble).ok_or(USAGE)?;
    let pool = if trouble == "misspelt" { "pol" } else { "pool" };
    host.register(Registration::new("pool", idle()));
    // A stop that never ends is nobody's to wait for but the second signal's.
    let patient = Retry::none().with_attempt_timeout(Duration::from_secs(40));
    let mut worker = Registration::new("worker", worker)
        .depends_on([pool])
        .stop_retry(patient);
    if trouble == "blocks-isolated" {
        worker = worker.isolated();
    }
    host.register(worker);
    if trouble.starts_with("blocks-") || trouble == "blocking-call" {
        host.defaults(Defaults {
            shutdown_timeout: Nanos::from_secs(3),
            ..Defaults::default()
        });
    }
    Ok(())
}

fn worker(trouble: &str) -> Option<Component> {
    let worker = match trouble {
        "none" | "misspelt" | "kill-timeout" | "long-stop" => idle(),
        "slow-build" => {
            spin(Duration::from_secs(1));
            idle()
        }
        "slow" => from_fn(
            async |_| take_a_while().await,
            async |_| take_a_while().await,
        ),
        "refuses" => from_fn(async |_| Err("no port left".into()), async |_| Ok(())),
        "lost" => service(async |cx: ServiceContext| {
            cx.ready();
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err::<(), _>("the link is gone")
        }),
        "deaf" => from_fn(async |_| Ok(()), async |_| future::pending().await),
        "blocks" | "blocks-in-stop" | "blocks-isolated" => from_fn(
            async |_| Ok(()),
            async |cx: StopContext| {
                cx.progress("flushing 7/9");
                spin(Duration::MAX);
                Ok(())
            },
        ),
        "blocks-in-task" => starting(|cx| cx.spawn("spin", async { spin(Duration::MAX) })),
        "blocks-for-a-while" => {
            starting(|cx| cx.spawn("sort", async { spin(Duration::from_millis(900)) }))
        }
        "blocks-in-drop" => keeping(BlocksWhenDropped),
        "blocking-call" => starting(|_| drop(tokio::task::spawn_blocking(|| spin(Duration::MAX)))),
        "panics" => from_fn(async |_| panic!("out of luck"), async |_| Ok(())),
        _ => return None,
    };
    Some(worker)
}

/// Does something as it starts.
fn starting(act: impl Fn(&StartContext) + Send + Sync + 'static) -> Component {
    let start = move |cx: StartContext| {
        act(&cx);
        future::ready(Ok(()))
    };
    from_fn(start, async |_| Ok(()))
}

/// Keeps `value` until it is dropped itself.
fn keeping(value: impl Send + Sync + 'static) -> Component {
    starting(move |_| {
        let _kept = &value;
    })
}

struct BlocksWhenDropped;

impl Drop for BlocksWhenDropped {
    fn drop(&mut self) {
        spin(Duration::MAX);
    }
}

async fn take_a_while() -> Result<(), BoxError> {
    tokio::time::sleep(Duration::from_millis(2_300)).await;
    Ok(())
}

fn idle() -> Component {
    from_fn(async |_| Ok(()), async |_| Ok(()))
}

/// Holds its thread, as a component must not.
fn spin(length: Duration) {
    let (_sender, receiver) = std::sync::mpsc::channel::<()>();
    let began = std::time::Instant::now();
    while began.elapsed() < length {
        let _ = receiver.recv_timeout(Duration::from_millis(10));
    }
}
