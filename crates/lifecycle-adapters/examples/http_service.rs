//! A web service with a pool and a worker. Ctrl-C stops it: requests in flight are answered first.
//!
//! ```sh
//! cargo run -q -p lifecycle-adapters --example http_service   # then: curl http://ADDRESS/
//! ```

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use lifecycle_adapters::{HttpServer, Interval};
use lifecycle_core::component::from_fn;
use lifecycle_core::{BoxError, Registration};
use lifecycle_runtime::{Host, HostConfig, OrchestratorBuilder};

/// What stands for a database here.
#[derive(Default)]
struct Pool {
    visits: AtomicU64,
}

fn main() -> ExitCode {
    Host::main(HostConfig::default(), build)
}

fn build(host: &mut OrchestratorBuilder) -> Result<(), BoxError> {
    let pool = Arc::new(Pool::default());
    let router = Router::new()
        .route("/", get(visit))
        .route("/healthz", get(async || "up"))
        .with_state(Arc::clone(&pool));
    let server = HttpServer::new(router)
        .bind("127.0.0.1:0".parse()?)
        .answer_while_draining(["/healthz"]);
    let server = Arc::new(server);
    let worker = Interval::every(Duration::from_secs(30), move |_| forget(Arc::clone(&pool)));
    let listening = Arc::clone(&server);
    let greeting = from_fn(move |_| greet(Arc::clone(&listening)), async |_| Ok(()));

    host.register(Registration::new(
        "pool",
        from_fn(async |_| Ok(()), async |_| Ok(())),
    ));
    host.register(Registration::new("worker", worker).depends_on(["pool"]));
    host.register(
        Registration::new("http", server)
            .depends_on(["pool"])
            .after(["worker"]),
    );
    host.register(Registration::new("greeting", greeting).depends_on(["http"]));
    Ok(())
}

async fn visit(State(pool): State<Arc<Pool>>) -> String {
    let visits = pool.visits.fetch_add(1, Ordering::Relaxed) + 1;
    format!("visit {visits}\n")
}

async fn forget(pool: Arc<Pool>) {
    pool.visits.store(0, Ordering::Relaxed);
}

async fn greet(server: Arc<HttpServer>) -> Result<(), BoxError> {
    let address = server.local_addr().ok_or("the server does not listen")?;
    writeln!(std::io::stdout(), "http://{address}/")?;
    Ok(())
}
