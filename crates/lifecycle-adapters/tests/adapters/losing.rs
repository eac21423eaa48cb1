//! What follows when the accept loop is gone.

use std::sync::Arc;

use axum::Router;
use axum::routing::get as route_get;
use lifecycle_adapters::HttpServer;
use lifecycle_core::{Lifecycle as _, Registration, StartContext, StopContext};
use lifecycle_runtime::Orchestrator;

use crate::client::{Client, get};
use crate::scope::TestScope;
use crate::support::{any_port, assert_closed, within};

fn server() -> Arc<HttpServer> {
    let router = Router::new().route("/", route_get(async || "hello"));
    Arc::new(HttpServer::new(router).bind(any_port()))
}

#[tokio::test]
async fn an_accept_loop_that_is_aborted_takes_port_and_connections_with_it() {
    let server = server();
    let scope = TestScope::new();
    let start = StartContext::new(Arc::clone(&scope) as _);
    server.start(&start).await.expect("a free port");
    let address = server.local_addr().expect("it listens");
    let mut client = Client::connect(address).await;
    assert_eq!(client.get("/").await.status, 200);

    let mut tasks = std::mem::take(&mut *scope.tasks.lock().unwrap());
    assert_eq!(tasks.len(), 1);
    tasks.abort_all();
    let ended = within(tasks.join_next()).await.expect("one task");
    assert!(ended.unwrap_err().is_cancelled());
    assert_eq!(client.rest().await, "");
    assert_eq!(server.local_addr(), None);
    assert_closed(address).await;

    let stop = StopContext::new(Arc::clone(&scope) as _, 1);
    within(server.stop(&stop)).await.expect("nothing is left");
    within(server.dispose()).await.expect("nothing is left");
    server.start(&start).await.expect("it starts anew");
    let address = server.local_addr().expect("it listens");
    assert_eq!(get(address, "/").await.status, 200);
}

#[test]
fn the_end_of_the_accept_loop_is_a_loss_of_the_component() {
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (driver, components) = (runtime(), runtime());
    let server = server();
    let mut builder = Orchestrator::builder();
    builder.components_on(components.handle().clone());
    builder.register(Registration::new("http", Arc::clone(&server)));
    let orchestrator = builder.build().unwrap();
    driver.block_on(async {
        let handle = orchestrator.spawn();
        within(handle.start()).await.expect("the start succeeds");
        let mut status = handle.status();
        assert!(status.get().ready);
        // Whatever ran there is dropped, the accept loop among it.
        components.shutdown_background();
        let lost = within(status.wait_for(|it| !it.ready)).await;
        lost.expect("the loss is noticed");
        assert_eq!(server.local_addr(), None);
    });
}
