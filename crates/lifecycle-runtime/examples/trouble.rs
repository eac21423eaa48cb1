//! A service that makes the trouble that its first argument names; for trying out signals and exit codes.
//!
//! ```sh
//! cargo run -p lifecycle-runtime --example trouble -- deaf   # press Ctrl-C twice, or three times
//! echo $?
//! ```

use std::future;
use std::process::ExitCode;
use std::time::Duration;

use lifecycle_core::component::{from_fn, service};
use lifecycle_core::{BoxError, Component, Registration, Retry, ServiceContext};
use lifecycle_runtime::{ExitStatus, Host, HostConfig, OrchestratorBuilder};

const USAGE: &str = "usage: trouble none|refuses|lost|deaf|blocks|panics|misspelt|slow-build";

fn main() -> ExitCode {
    let Some(trouble) = std::env::args().nth(1) else {
        eprintln!("{USAGE}");
        return ExitStatus::Usage.into();
    };
    Host::main(HostConfig::default(), |host| build(&trouble, host))
}

fn build(trouble: &str, host: &mut OrchestratorBuilder) -> Result<(), BoxError> {
    let worker = match trouble {
        "none" | "misspelt" => idle(),
        "slow-build" => {
            spin(Duration::from_secs(1));
            idle()
        }
        "refuses" => from_fn(async |_| Err("no port left".into()), async |_| Ok(())),
        "lost" => service(async |cx: ServiceContext| {
            cx.ready();
            tokio::time::sleep(Duration::from_millis(50)).await;
            Err::<(), _>("the link is gone")
        }),
        "deaf" => from_fn(async |_| Ok(()), async |_| future::pending().await),
        "blocks" => from_fn(
            async |_| Ok(()),
            async |_| {
                spin(Duration::MAX);
                Ok(())
            },
        ),
        "panics" => from_fn(async |_| panic!("out of luck"), async |_| Ok(())),
        _ => return Err(USAGE.into()),
    };
    let pool = if trouble == "misspelt" { "pol" } else { "pool" };
    host.register(Registration::new("pool", idle()));
    // A stop that never ends is nobody's to wait for but the second signal's.
    let patient = Retry::none().with_attempt_timeout(Duration::from_secs(40));
    host.register(
        Registration::new("worker", worker)
            .depends_on([pool])
            .stop_retry(patient),
    );
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
