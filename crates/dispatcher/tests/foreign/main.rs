//! gRPC with a client and a server that are not ours: grpcio, by the scripts beside this file.

mod client;
mod server;

use std::path::Path;
use std::process::Command;

/// Where `cargo xtask ci` puts an interpreter with what `requirements.txt` lists.
const PYTHON: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/python/bin/python"
);

/// The interpreter with `script`, a file of this folder.
///
/// # Panics
///
/// Panics, and says what to do, when grpcio is not there.
fn python(script: &str) -> Command {
    let mut probe = Command::new(PYTHON);
    let found = probe
        .args(["-c", "import grpc, grpc_health.v1.health"])
        .output();
    let is_there = found.is_ok_and(|it| it.status.success());
    assert!(
        is_there,
        "{PYTHON} has no grpcio: `cargo xtask ci --stage tools` installs it, and so do\n\
         python3 -m venv target/python\n\
         target/python/bin/pip install -r crates/dispatcher/tests/foreign/requirements.txt"
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign");
    let mut command = Command::new(PYTHON);
    command
        .arg(folder.join(script))
        .env("PYTHONUNBUFFERED", "1");
    command
}
