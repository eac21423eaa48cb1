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

use std::process::ExitCode;

fn main() -> ExitCode {
    host_config::cli::main::<cli::Arguments>(host::run)
}
