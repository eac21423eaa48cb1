//! gRPC with a client and a server that are not ours: grpcio, by the scripts beside this file.

#[path = "../../../lifecycle-adapters/tests/adapters/certificates.rs"]
mod certificates;
mod client;
mod server;

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::certificates::{Authority, write};

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

/// What an authority has issued: `ca.pem`, a client's certificate and key, and in the folder `server` those of a server.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let (authority, folder) = (Authority::new("ours"), TempDir::new().expect("a folder"));
        write(folder.path(), "ca.pem", &authority.pem);
        authority.client("python").write(folder.path());
        let server = folder.path().join("server");
        std::fs::create_dir(&server).expect("a folder");
        authority.server().write(&server);
        Self(folder)
    }

    fn folder(&self) -> &str {
        self.0.path().to_str().expect("text")
    }
}
