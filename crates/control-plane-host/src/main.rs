//! The control-plane host as a program: configuration, host, exit code.
//!
//! ```sh
//! cargo run -p control-plane-host                       # embedded defaults, on loopback
//! cargo run -p control-plane-host -- --config host.toml
//! cargo run -p control-plane-host -- config show
//! ```

use std::env;
use std::io::{self, Write as _};
use std::process::ExitCode;

use control_plane_host::cli::{Action, Refusal};
use control_plane_host::{cli, host};

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
