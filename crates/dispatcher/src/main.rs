//! The dispatcher as a program: an echo service on loopback.
//!
//! ```sh
//! cargo run -p dispatcher
//! curl -H 'Rpc-Procedure: echo' -d 'hello' http://127.0.0.1:8080/
//! ```

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Parser;
use dispatcher::{
    Code, Dispatcher, GrpcInbound, GrpcPort, HttpInbound, HttpPort, Messages, Procedure, Request,
    Response, RpcError,
};
use futures_util::stream;
use lifecycle_core::{BoxError, Criticality, Registration, component};
use lifecycle_runtime::{Host, HostConfig, OrchestratorBuilder};

/// Runs an echo service: procedures `echo` (unary), `swallow` (one-way), and over gRPC `split` (server stream), `join` (client
/// stream) and `mirror` (duplex)
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Where calls come in over HTTP; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,

    /// Where calls come in over gRPC; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    grpc: SocketAddr,
}

/// The most that `join` puts together, in bytes: no more than a message may have.
const JOINED_BYTES: usize = 4 << 20;

/// The exit code of wrong usage (sysexits).
const USAGE: u8 = 64;

fn main() -> ExitCode {
    match Flags::try_parse() {
        Ok(flags) => Host::main(HostConfig::default(), |builder| wire(&flags, builder)),
        Err(refusal) => {
            // Whoever has closed the pipe does not want the text.
            let _ = refusal.print();
            ExitCode::from(if refusal.use_stderr() { USAGE } else { 0 })
        }
    }
}

fn wire(flags: &Flags, builder: &mut OrchestratorBuilder) -> Result<(), BoxError> {
    let http = HttpInbound::new(flags.http);
    let grpc = GrpcInbound::new(flags.grpc);
    let ports = Ports {
        http: http.port(),
        grpc: grpc.port(),
    };
    let (dispatcher, registrations) = Dispatcher::builder("echo")
        .procedure(Procedure::unary("echo", echo))
        .procedure(Procedure::oneway("swallow", async |_| Ok(())))
        .procedure(Procedure::server_stream("split", split))
        .procedure(Procedure::client_stream("join", join))
        .procedure(Procedure::duplex("mirror", echo))
        .inbound(http)
        .inbound(grpc)
        .build()?;
    // Health is that of the orchestrator: its state, and whether it drains.
    let _ = dispatcher.driven_by(builder.handle());
    let inbounds: Vec<_> = registrations.iter().map(|it| it.name.clone()).collect();
    builder
        .registrations(registrations)
        .register(announcer(inbounds, ports));
    Ok(())
}

async fn echo(request: Request) -> Result<Response, RpcError> {
    Ok(Response::new(request.messages))
}

/// A message for each word.
async fn split(request: Request) -> Result<Response, RpcError> {
    let text = request.into_message().await?;
    let words = text.split(u8::is_ascii_whitespace);
    let words = words.filter(|it| !it.is_empty());
    let words: Vec<_> = words.map(|it| Ok(text.slice_ref(it))).collect();
    Ok(Response::new(Messages::stream(stream::iter(words))))
}

/// One message of all, a blank between each two. A stream has no end by itself, so that there is a limit.
async fn join(mut request: Request) -> Result<Response, RpcError> {
    let mut all = Vec::new();
    while let Some(message) = request.messages.next().await {
        if !all.is_empty() {
            all.push(b' ');
        }
        all.extend_from_slice(&message?);
        if all.len() > JOINED_BYTES {
            let message = format!("all messages are larger than {JOINED_BYTES} bytes");
            return Err(RpcError::new(Code::ResourceExhausted, message));
        }
    }
    Ok(Response::message(all))
}

/// Where it listens.
struct Ports {
    http: HttpPort,
    grpc: GrpcPort,
}

/// Prints the addresses on standard output, one a line, when everything is open.
fn announcer(inbounds: Vec<String>, ports: Ports) -> Registration {
    let print = move |_| {
        // Whoever has closed standard output does not want to know.
        if let Some(address) = ports.http.local_addr() {
            let _ = writeln!(io::stdout(), "http-inbound:0 http://{address}");
        }
        if let Some(address) = ports.grpc.local_addr() {
            let _ = writeln!(io::stdout(), "grpc-inbound:0 http://{address}");
        }
        std::future::ready(Ok(()))
    };
    let silent = async |_| Ok(());
    Registration::new("announcer", component::from_fn(print, silent))
        .depends_on(inbounds)
        .criticality(Criticality::Optional)
}
