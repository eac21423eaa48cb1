//! Calls over gRPC, by tonic's client.

mod abuse;
mod answers;
mod client;
mod compression;
mod health;
mod outbound;
mod peers;
mod requests;
mod turns;

use std::net::SocketAddr;
use std::sync::Arc;

use dispatcher::{
    Dispatcher, DispatcherBuilder, GrpcInbound, GrpcPort, Procedure, Request, Response,
};
use lifecycle_runtime::{Handle, Orchestrator};
use tokio::sync::Notify;

use crate::grpc::client::Client;
use crate::kit::{built, echo, stream, texts};

/// A dispatcher that listens.
struct Rig {
    dispatcher: Dispatcher,
    handle: Handle,
    port: GrpcPort,
}

impl Rig {
    async fn started(procedures: impl IntoIterator<Item = Procedure>) -> Self {
        Self::started_with(procedures, |it| it).await
    }

    async fn started_with(
        procedures: impl IntoIterator<Item = Procedure>,
        configure: impl FnOnce(GrpcInbound) -> GrpcInbound,
    ) -> Self {
        let inbound = configure(GrpcInbound::new("127.0.0.1:0".parse().unwrap()));
        let port = inbound.port();
        let empty = Dispatcher::builder("pets").inbound(inbound);
        let procedures = procedures.into_iter();
        let (dispatcher, registrations) =
            built(procedures.fold(empty, DispatcherBuilder::procedure));
        let mut builder = Orchestrator::builder();
        builder.registrations(registrations);
        let handle = builder.build().expect("a sound setup").spawn();
        let dispatcher = dispatcher.driven_by(handle.clone());
        dispatcher.start().await.expect("a free port");
        Self {
            dispatcher,
            handle,
            port,
        }
    }

    fn address(&self) -> SocketAddr {
        self.port.local_addr().expect("it listens")
    }

    /// A client with a connection of its own.
    async fn client(&self) -> Client {
        Client::connected(self.address()).await
    }
}

/// One procedure of each shape.
fn of_every_shape() -> [Procedure; 5] {
    let split = async |request: Request| {
        let text = request.into_message().await?;
        let words = String::from_utf8_lossy(&text).into_owned();
        let words: Vec<_> = words.split(' ').collect();
        Ok(Response::new(stream(&words)))
    };
    let join = async |request: Request| Ok(Response::message(texts(request.messages).await?));
    [
        echo("echo"),
        Procedure::oneway("note", async |request: Request| {
            request.into_message().await.map(drop)
        }),
        Procedure::server_stream("split", split),
        Procedure::client_stream("join", join),
        Procedure::duplex("mirror", async |request: Request| {
            Ok(Response::new(request.messages))
        }),
    ]
}

/// A procedure that says when it has begun, and answers when it is told to.
fn held(entered: &Arc<Notify>, go_on: &Arc<Notify>) -> Procedure {
    let (entered, go_on) = (Arc::clone(entered), Arc::clone(go_on));
    Procedure::unary("held", move |_| {
        let (entered, go_on) = (Arc::clone(&entered), Arc::clone(&go_on));
        async move {
            entered.notify_one();
            go_on.notified().await;
            Ok(Response::message("late"))
        }
    })
}

/// Tells when it is dropped.
struct Dropped(Arc<Notify>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}
