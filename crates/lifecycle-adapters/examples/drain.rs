//! An HTTP service that settles, drains and stops when it is asked to end, and that an operator may drain and resume
//! meanwhile.
//!
//! ```sh
//! cargo run -q -p lifecycle-adapters --example drain   # then: curl ADDRESS/slow, and Ctrl-C while that takes
//! ```

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use lifecycle_adapters::HttpServer;
use lifecycle_core::component::from_fn;
use lifecycle_core::engine::NodeReport;
use lifecycle_core::{BoxError, Defaults, Nanos, Registration};
use lifecycle_runtime::{Handle, Host, HostConfig, NodeError, OrchestratorBuilder};

fn main() -> ExitCode {
    Host::main(HostConfig::default(), build)
}

fn build(host: &mut OrchestratorBuilder) -> Result<(), BoxError> {
    host.defaults(Defaults {
        // As long as a load balancer takes to notice that `/readyz` has turned.
        settle: Nanos::from_secs(2),
        ..Defaults::default()
    });
    let router = Router::new()
        .route("/", get(async || "hello\n"))
        .route("/slow", get(slow))
        .route("/readyz", get(ready))
        .route("/drain", post(drain))
        .route("/resume", post(resume))
        .with_state(host.handle());
    let server = HttpServer::new(router)
        .bind("127.0.0.1:0".parse()?)
        .answer_while_draining(["/readyz", "/drain", "/resume"]);
    let server = Arc::new(server);
    let listening = Arc::clone(&server);
    let greeting = from_fn(move |_| greet(Arc::clone(&listening)), async |_| Ok(()));
    host.register(Registration::new("http", server).drain_timeout(Duration::from_secs(20)));
    host.register(Registration::new("greeting", greeting).depends_on(["http"]));
    Ok(())
}

async fn slow() -> &'static str {
    tokio::time::sleep(Duration::from_secs(5)).await;
    "done\n"
}

async fn ready(State(handle): State<Handle>) -> StatusCode {
    match handle.status().get().ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    }
}

async fn drain(State(handle): State<Handle>) -> Result<String, (StatusCode, String)> {
    came_to(handle.drain().await)
}

async fn resume(State(handle): State<Handle>) -> Result<String, (StatusCode, String)> {
    came_to(handle.resume().await)
}

fn came_to(result: Result<Arc<NodeReport>, NodeError>) -> Result<String, (StatusCode, String)> {
    match result {
        Ok(report) => Ok(format!("{}\n", report.drain.as_str())),
        Err(error) => Err((StatusCode::CONFLICT, format!("{error}\n"))),
    }
}

async fn greet(server: Arc<HttpServer>) -> Result<(), BoxError> {
    let address = server.local_addr().ok_or("the server does not listen")?;
    writeln!(std::io::stdout(), "http://{address}")?;
    Ok(())
}
