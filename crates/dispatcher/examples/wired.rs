//! A dispatcher, work in the background, and diagnostics as components of one orchestrator.
//!
//! ```sh
//! cargo run -q -p dispatcher --example wired   # then press Ctrl-C
//! ```

use std::net::SocketAddr;
use std::process::ExitCode;

use diagnostics::Diagnostics;
use dispatcher::{
    Dispatcher, HttpInbound, HttpOutbound, Json, Procedure, RpcError, TypedRequest, TypedResponse,
};
use lifecycle_core::component::service;
use lifecycle_core::{BoxError, Criticality, Defaults, Nanos, Registration, Retry, ServiceContext};
use lifecycle_runtime::{Host, HostConfig, OrchestratorBuilder};

fn main() -> ExitCode {
    Host::main(HostConfig::default(), wire)
}

fn wire(builder: &mut OrchestratorBuilder) -> Result<(), BoxError> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let diagnostics = Diagnostics::builder(builder.handle())
        .bind(any_port)
        .build();
    let stock = Registration::new("stock", service(count_stock))
        .criticality(Criticality::Degradable)
        .start_retry(Retry::none());

    let (dispatcher, registrations) = Dispatcher::builder("shop")
        .procedure(Procedure::typed(Json).unary("order", order))
        .outbound(HttpOutbound::new("pets", "http://127.0.0.1:8081/")?)
        .component(stock)
        .inbound(HttpInbound::new(any_port))
        .inbounds_after(["stock"])
        .start_retry(Retry::attempts(3))
        .build()?;
    // For the state that the inbound's readiness shows.
    let _ = dispatcher.driven_by(builder.handle());

    let defaults = Defaults {
        drain_timeout: Nanos::from_secs(20),
        ..Defaults::default()
    };
    builder
        .defaults(defaults)
        .register(diagnostics.registration())
        .registrations(registrations);
    Ok(())
}

async fn order(request: TypedRequest<String>) -> Result<TypedResponse<String>, RpcError> {
    Ok(TypedResponse::new(format!("one {}", request.body)))
}

async fn count_stock(cx: ServiceContext) {
    cx.ready();
    cx.cancelled().await;
}
