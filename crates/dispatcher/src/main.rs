//! The dispatcher as a program: an echo service on loopback.
//!
//! ```sh
//! cargo run -p dispatcher
//! curl -H 'Rpc-Procedure: echo' -d 'hello' http://127.0.0.1:8080/
//! ```

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;

use bytes::Bytes;
use clap::Parser;
use diagnostics::Diagnostics;
use dispatcher::{
    Code, Dispatcher, GrpcInbound, HttpInbound, Messages, Procedure, Request, Response, RpcError,
};
use futures_util::stream;
use lifecycle_core::{BoxError, Criticality, Registration, component};
use lifecycle_runtime::{Host, HostConfig, OrchestratorBuilder};

/// Runs an echo service: procedures `echo` (unary), `swallow` (one-way), `count` and `split` (server streams), and over gRPC
/// `join` (client stream) and `mirror` (duplex)
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Where calls come in over HTTP; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where calls come in over gRPC; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    grpc: SocketAddr,
    /// Where probes, metrics and the snapshot are served; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9182")]
    diagnostics: SocketAddr,
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
    let diagnostics = Diagnostics::builder(builder.handle())
        .metrics(diagnostics::install_recorder()?)
        .bind(flags.diagnostics)
        .build();
    let http = HttpInbound::new(flags.http);
    let http_port = http.port();
    let grpc = GrpcInbound::new(flags.grpc);
    let grpc_port = grpc.port();
    let (dispatcher, registrations) = Dispatcher::builder("echo")
        .procedure(Procedure::unary("echo", echo))
        .procedure(Procedure::oneway("swallow", async |_| Ok(())))
        .procedure(Procedure::server_stream("count", count).encoding("text"))
        .procedure(Procedure::server_stream("split", split))
        .procedure(Procedure::client_stream("join", join))
        .procedure(Procedure::duplex("mirror", echo))
        .inbound(http)
        .inbound(grpc)
        .build()?;
    // For the state that readiness and health show.
    let _ = dispatcher.driven_by(builder.handle());

    let address = diagnostics.address();
    let announced = Announced::default()
        .add("http-inbound:0", move || http_port.local_addr())
        .add("grpc-inbound:0", move || grpc_port.local_addr())
        .add(diagnostics::NAME, move || *address.borrow());
    let parts: Vec<_> = registrations.iter().map(|it| it.name.clone()).collect();
    builder
        .register(diagnostics.registration())
        .registrations(registrations)
        .register(announced.after(parts));
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

/// Counts from 1 to the number in the message, or to 10.
async fn count(request: Request) -> Result<Response, RpcError> {
    let message = request.into_message().await?;
    let text = String::from_utf8_lossy(&message);
    let last: u32 = match text.trim() {
        "" => 10,
        number => number.parse().map_err(|_| {
            let message = "the message is no number to count to";
            RpcError::new(Code::InvalidArgument, message)
        })?,
    };
    let numbers = (1..=last).map(|it| Ok(Bytes::from(it.to_string())));
    Ok(Response::new(Messages::stream(stream::iter(numbers))))
}

/// Prints addresses on standard output, one a line, when everything is open.
#[derive(Default)]
struct Announced(Vec<(&'static str, Address)>);

/// Tells where something listens, once it does.
type Address = Box<dyn Fn() -> Option<SocketAddr> + Send + Sync>;

impl Announced {
    fn add(
        mut self,
        name: &'static str,
        address: impl Fn() -> Option<SocketAddr> + Send + Sync + 'static,
    ) -> Self {
        self.0.push((name, Box::new(address)));
        self
    }

    fn after(self, parts: Vec<String>) -> Registration {
        let print = move |_| {
            for (name, address) in &self.0 {
                if let Some(address) = address() {
                    // Whoever has closed standard output does not want to know.
                    let _ = writeln!(io::stdout(), "{name} http://{address}");
                }
            }
            std::future::ready(Ok(()))
        };
        let silent = async |_| Ok(());
        Registration::new("announcer", component::from_fn(print, silent))
            .depends_on(parts)
            .criticality(Criticality::Optional)
    }
}
