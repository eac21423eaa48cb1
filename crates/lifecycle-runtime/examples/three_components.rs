//! A service of three components.
//!
//! ```sh
//! cargo run -q -p lifecycle-runtime --example three_components   # then press Ctrl-C
//! ```

use std::process::ExitCode;

use lifecycle_core::component::{from_fn, service};
use lifecycle_core::{Registration, ServiceContext};
use lifecycle_runtime::{Host, HostConfig};

fn main() -> ExitCode {
    Host::main(HostConfig::default(), |host| {
        let pool = from_fn(async |_| Ok(()), async |_| Ok(()));
        host.register(Registration::new("listener", service(serve)).depends_on(["worker"]));
        host.register(Registration::new("worker", service(serve)).depends_on(["pool"]));
        host.register(Registration::new("pool", pool));
        Ok(())
    })
}

async fn serve(cx: ServiceContext) {
    cx.ready();
    cx.cancelled().await;
}
