//! A client that is not ours and knows nothing of our protocol: grpcio, by the script in `tests/foreign`.

use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::stage::{Stage, in_time};

/// Where `cargo xtask ci` puts an interpreter with what `requirements.txt` lists.
const PYTHON: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/python/bin/python"
);

/// The interpreter with the script.
///
/// # Panics
///
/// Panics, and says what to do, when grpcio is not there.
async fn client() -> Command {
    let mut probe = Command::new(PYTHON);
    let probe = probe.args([
        "-c",
        "import grpc_health.v1.health, grpc_reflection.v1alpha.reflection",
    ]);
    let is_there = probe.output().await.is_ok_and(|it| it.status.success());
    assert!(
        is_there,
        "{PYTHON} has no grpcio with reflection: `cargo xtask ci --stage tools` installs it, and so do\n\
         python3 -m venv target/python\n\
         target/python/bin/pip install -r crates/control-plane-host/tests/foreign/requirements.txt"
    );
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/client.py");
    let mut command = Command::new(PYTHON);
    command.arg(script).env("PYTHONUNBUFFERED", "1");
    command
}

#[tokio::test]
async fn grpcio_learns_the_protocol_by_reflection_and_follows_a_host_to_its_stop() {
    let stage = Stage::start(|_| {}).await;
    let mut command = client().await;
    let command = command.arg(stage.address().to_string());
    let mut python = command
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines();
    let mut said = Vec::new();
    while let Some(line) = in_time(lines.next_line()).await.unwrap() {
        match line.as_str() {
            "please cordon" => drop(stage.handle.cordon().await.unwrap()),
            "please stop" => stage.stop().await,
            _ => said.push(line),
        }
    }
    assert!(in_time(python.wait()).await.unwrap().success());
    let expected = [
        "service controlplane.v1.LeadershipService",
        "service controlplane.v1.LifecycleService",
        "service grpc.health.v1.Health",
        "service grpc.reflection.v1alpha.ServerReflection",
        "health SERVING",
        "snapshot running control-plane:grpc pool",
        "change node cordoned",
        "health NOT_SERVING",
        "ended UNAVAILABLE",
    ];
    assert_eq!(said, expected);
}
