//! An orchestrator of one component and the listener, which is asked over a real socket.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use control_plane_host::grpc::v1::leadership_service_client::LeadershipServiceClient;
use control_plane_host::grpc::v1::lifecycle_service_client::LifecycleServiceClient;
use control_plane_host::grpc::{ControlGrpc, Options};
use lifecycle_core::{Registration, component};
use lifecycle_runtime::{Handle, Orchestrator};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::health_client::HealthClient;

/// How long a test waits for what must come.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);

pub(crate) struct Stage {
    pub(crate) handle: Handle,
    pub(crate) grpc: Arc<ControlGrpc>,
}

impl Stage {
    pub(crate) async fn start(configure: impl FnOnce(&mut Options)) -> Self {
        Self::start_with(configure, Vec::new()).await
    }

    /// With `others` beside the listener.
    pub(crate) async fn start_with(
        configure: impl FnOnce(&mut Options),
        others: Vec<Registration>,
    ) -> Self {
        let mut options = Options {
            address: "127.0.0.1:0".parse().unwrap(),
            ..Options::default()
        };
        configure(&mut options);
        let mut builder = Orchestrator::builder();
        let grpc = ControlGrpc::new(builder.handle(), &options).expect("good descriptors");
        let grpc = Arc::new(grpc);
        let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
        builder.registrations([
            Registration::new("pool", idle),
            Arc::clone(&grpc).registration().depends_on(["pool"]),
        ]);
        builder.registrations(others);
        let handle = builder.build().expect("a plan").spawn();
        handle.start().await.expect("starts");
        Self { handle, grpc }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.grpc.local_addr().expect("it listens")
    }

    pub(crate) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address())).unwrap();
        endpoint.connect().await.expect("it listens")
    }

    pub(crate) async fn lifecycle(&self) -> LifecycleServiceClient<Channel> {
        LifecycleServiceClient::new(self.channel().await)
    }

    pub(crate) async fn leadership(&self) -> LeadershipServiceClient<Channel> {
        LeadershipServiceClient::new(self.channel().await)
    }

    pub(crate) async fn health(&self) -> HealthClient<Channel> {
        HealthClient::new(self.channel().await)
    }

    /// Stops everything; fails when somebody who watches holds it up.
    pub(crate) async fn stop(&self) {
        let stopped = tokio::time::timeout(Duration::from_secs(5), self.handle.stop()).await;
        stopped.expect("nobody holds it up").expect("stops well");
        assert_eq!(self.grpc.local_addr(), None);
    }
}

pub(crate) async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, what).await.expect("in time")
}
