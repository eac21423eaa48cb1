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
use dispatcher::{Code, Dispatcher, HttpInbound, Messages, Procedure, Request, Response, RpcError};
use futures_util::stream;
use lifecycle_core::{BoxError, Criticality, Registration, component};
use lifecycle_runtime::{Host, HostConfig, OrchestratorBuilder};

/// Runs an echo service: procedures `echo` (unary), `swallow` (one-way) and `count` (server stream)
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Where calls come in over HTTP; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
    /// Where probes, metrics and the snapshot are served; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9182")]
    diagnostics: SocketAddr,
}

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
    let port = http.port();
    let (dispatcher, registrations) = Dispatcher::builder("echo")
        .procedure(Procedure::unary("echo", echo))
        .procedure(Procedure::oneway("swallow", async |_| Ok(())))
        .procedure(Procedure::server_stream("count", count).encoding("text"))
        .inbound(http)
        .build()?;
    // For the state that the inbound's readiness shows.
    let _ = dispatcher.driven_by(builder.handle());

    let address = diagnostics.address();
    let announced = Announced::default()
        .add("http-inbound:0", move || port.local_addr())
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
