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
use dispatcher::{Dispatcher, HttpInbound, HttpPort, Procedure, Request, Response};
use lifecycle_core::{BoxError, Criticality, Registration, component};
use lifecycle_runtime::{Host, HostConfig, OrchestratorBuilder};

/// Runs an echo service: procedures `echo` (unary) and `swallow` (one-way)
#[derive(Debug, Parser)]
#[command(version)]
struct Flags {
    /// Where calls come in over HTTP; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    http: SocketAddr,
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
    let http = HttpInbound::new(flags.http);
    let port = http.port();
    let (_, registrations) = Dispatcher::builder("echo")
        .procedure(Procedure::unary("echo", echo))
        .procedure(Procedure::oneway("swallow", async |_| Ok(())))
        .inbound(http)
        .build()?;
    let inbounds: Vec<_> = registrations.iter().map(|it| it.name.clone()).collect();
    builder
        .registrations(registrations)
        .register(announcer(inbounds, port));
    Ok(())
}

async fn echo(request: Request) -> Result<Response, dispatcher::RpcError> {
    Ok(Response::new(request.messages))
}

/// Prints the addresses on standard output, one a line, when everything is open.
fn announcer(inbounds: Vec<String>, port: HttpPort) -> Registration {
    let print = move |_| {
        if let Some(address) = port.local_addr() {
            // Whoever has closed standard output does not want to know.
            let _ = writeln!(io::stdout(), "http-inbound:0 http://{address}");
        }
        std::future::ready(Ok(()))
    };
    let silent = async |_| Ok(());
    Registration::new("announcer", component::from_fn(print, silent))
        .depends_on(inbounds)
        .criticality(Criticality::Optional)
}
