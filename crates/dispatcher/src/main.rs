//! The dispatcher as a program: configuration, wiring, exit code.
//!
//! ```sh
//! cargo run -p dispatcher                       # an echo service on loopback
//! curl -H 'Rpc-Procedure: echo' -d 'hello' http://127.0.0.1:8080/
//! cargo run -p dispatcher -- --config relay.toml
//! cargo run -p dispatcher -- config show
//! ```

mod announced;
mod cli;
mod config;
mod discovered;
mod echo;
mod host;
mod offered;

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::cli::{Action, Refusal};

fn main() -> ExitCode {
    match cli::read(env::args_os(), env::vars_os()) {
        Ok(Action::Run(config)) => host::run(&config),
        Ok(Action::Print(text)) => {
            // Whoever has closed the pipe does not want the rest.
            let _ = write!(io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(Refusal { text, status }) => {
            let _ = write!(io::stderr(), "{text}");
            status.into()
        }
    }
}
