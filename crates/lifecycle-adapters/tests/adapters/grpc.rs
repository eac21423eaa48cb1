//! tonic's own client against tonic's own service of health.

use std::net::SocketAddr;
use std::sync::Arc;

use lifecycle_adapters::GrpcServer;
use lifecycle_core::{Defaults, DrainContext, Lifecycle as _, Report};
use tokio_util::sync::CancellationToken;
use tonic::codegen::BoxStream;
use tonic::service::Routes;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status, async_trait};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::scope::TestScope;
use crate::support::{Hold, any_port, assert_closed, drive, within};

/// Calls about `held` are held, and those about `probe` are answered while drained.
struct Subject {
    hold: Hold,
}

type Answers = BoxStream<HealthCheckResponse>;

#[async_trait]
impl Health for Subject {
    type WatchStream = Answers;

    async fn check(
        &self,
        call: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        assert!(call.remote_addr().is_some(), "tonic knows who calls");
        if call.get_ref().service == "held" {
            self.hold.clone().pass().await;
        }
        Ok(Response::new(HealthCheckResponse { status: 1 }))
    }

    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Answers>, Status> {
        Err(Status::unimplemented("nobody watches"))
    }
}

async fn started(hold: &Hold) -> (Arc<GrpcServer>, lifecycle_runtime::Handle, SocketAddr) {
    let service = HealthServer::new(Subject { hold: hold.clone() });
    let server = GrpcServer::new(Routes::new(service))
        .bind(any_port())
        .answer_while_draining_if(|it| it.headers().contains_key("x-probe"));
    let server = Arc::new(server);
    let handle = drive(Arc::clone(&server), Defaults::default());
    within(handle.start()).await.expect("the start succeeds");
    let address = server.local_addr().expect("it listens");
    (server, handle, address)
}

async fn client(address: SocketAddr) -> HealthClient<Channel> {
    let endpoint = Endpoint::new(format!("http://{address}")).unwrap();
    let channel = within(endpoint.connect()).await;
    HealthClient::new(channel.expect("the port is open"))
}

fn about(service: &str) -> Request<HealthCheckRequest> {
    Request::new(HealthCheckRequest {
        service: service.to_owned(),
    })
}

#[tokio::test]
async fn a_drained_server_is_unavailable_and_lets_calls_in_flight_finish() {
    let hold = Hold::default();
    let (server, handle, address) = started(&hold).await;
    let mut held = client(address).await;
    let held = tokio::spawn(async move { held.check(about("held")).await });
    hold.holds(1).await;

    let scope = TestScope::new();
    let cx = DrainContext::new(Arc::clone(&scope) as _, CancellationToken::new());
    let draining = Arc::clone(&server);
    let drain = {
        let cx = cx.clone();
        tokio::spawn(async move { draining.drain(&cx).await })
    };
    within(scope.reported(Report::InFlight(1))).await;
    let refused = within(client(address).await.check(about("")))
        .await
        .expect_err("it is drained");
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(refused.message(), "server shutting down");
    assert_eq!(refused.metadata().get("retry-after").unwrap(), "1");
    let mut probe = about("");
    probe.metadata_mut().insert("x-probe", "1".parse().unwrap());
    let answer = within(client(address).await.check(probe)).await;
    answer.expect("a probe is answered");

    hold.let_one_through();
    within(held).await.unwrap().expect("it finishes");
    within(drain).await.unwrap().expect("it is drained");
    server.resume(&cx).await.expect("the resume succeeds");
    let answer = within(client(address).await.check(about(""))).await;
    answer.expect("it takes calls in again");
    within(handle.stop()).await.expect("the stop is clean");
}

#[tokio::test]
async fn a_stop_ends_with_the_last_call_and_it_can_be_started_again() {
    let hold = Hold::default();
    let (server, handle, address) = started(&hold).await;
    let mut idle = client(address).await;
    within(idle.check(about(""))).await.expect("an answer");
    let mut held = client(address).await;
    let held = tokio::spawn(async move { held.check(about("held")).await });
    hold.holds(1).await;

    let stopping = handle.clone();
    let stop = tokio::spawn(async move { stopping.stop_now().await });
    hold.let_one_through();
    within(held).await.unwrap().expect("it finishes");
    within(stop).await.unwrap().expect("the stop is clean");
    assert_closed(address).await;

    within(handle.start()).await.expect("it starts anew");
    let address = server.local_addr().expect("it listens");
    let answer = within(client(address).await.check(about(""))).await;
    answer.expect("an answer");
    within(handle.stop()).await.expect("the stop is clean");
}
