//! The control-plane host as a program: configuration, host, exit code.
//!
//! ```sh
//! cargo run -p control-plane-host                       # embedded defaults, on loopback
//! cargo run -p control-plane-host -- --config host.toml
//! cargo run -p control-plane-host -- config show
//! ```

use std::process::ExitCode;

use control_plane_host::cli::Arguments;
use control_plane_host::host;

fn main() -> ExitCode {
    host_config::cli::main::<Arguments>(host::run)
}
