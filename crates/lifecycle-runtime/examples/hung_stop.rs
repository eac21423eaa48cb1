//! A host with one component that hangs in its stop and one that blocks its thread there. It asks itself to stop, and is
//! gone after three seconds all the same.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example hung_stop; echo $?
//! ```

use std::convert::Infallible;
use std::future;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use lifecycle_core::component::from_fn;
use lifecycle_core::{
    BoxError, Component, Defaults, Dependency, Nanos, Registration, StartContext, StopContext,
};
use lifecycle_runtime::{Handle, Host, HostConfig, OrchestratorBuilder};

fn main() -> ExitCode {
    let config = HostConfig {
        blocked_after: Some(Duration::from_millis(300)),
        ..HostConfig::default()
    };
    Host::main(config, build)
}

fn build(host: &mut OrchestratorBuilder) -> Result<(), BoxError> {
    host.defaults(Defaults {
        shutdown_timeout: Nanos::from_secs(3),
        await_interval: Nanos::from_secs(1),
        ..Defaults::default()
    });
    let flusher = from_fn(async |_| Ok(()), flush);
    let parser = from_fn(async |_| Ok(()), parse);
    host.register(Registration::new("pool", idle()));
    host.register(Registration::new("ledger", idle()));
    host.register(
        Registration::new("flusher", flusher)
            .depends_on(["pool"])
            .dependencies([Dependency::hard("ledger").held()]),
    );
    host.register(Registration::new("parser", parser).depends_on(["pool"]));
    let handle = host.handle();
    let impatient = from_fn(move |cx| stop_soon(cx, handle.clone()), async |_| Ok(()));
    host.register(Registration::new("impatient", impatient));
    Ok(())
}

async fn flush(cx: StopContext) -> Result<(), BoxError> {
    cx.progress("page 7/9");
    future::pending().await
}

async fn parse(cx: StopContext) -> Result<(), BoxError> {
    cx.progress("line 4711");
    match block() {}
}

/// Holds its thread, as a component must not.
fn block() -> Infallible {
    loop {
        thread::park();
    }
}

/// Stands for whoever sends SIGTERM.
async fn stop_soon(cx: StartContext, handle: Handle) -> Result<(), BoxError> {
    let token = cx.run_token();
    cx.spawn("stop", async move {
        handle.wait_ready().await?;
        // Its own end is a part of that stop, so it must not wait for it.
        token.run_until_cancelled(handle.stop()).await;
        Ok::<_, BoxError>(())
    });
    Ok(())
}

fn idle() -> Component {
    from_fn(async |_| Ok(()), async |_| Ok(()))
}
