//! A client that is not ours and knows nothing of our protocol: grpcio, by the script in `tests/foreign`.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lifecycle_core::{BoxError, CheckContext, Criticality, HealthCheck, Lifecycle, Registration};
use lifecycle_core::{StartContext, StopContext};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::leadership::led;
use crate::stage::{Stage, in_time};

/// Where `cargo xtask ci` puts an interpreter with what `requirements.txt` lists.
const PYTHON: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../target/python/bin/python"
);

/// The script at work; killed when it is dropped.
pub(crate) struct Client {
    process: Child,
    pub(crate) input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Client {
    /// # Panics
    ///
    /// Panics, and says what to do, when grpcio is not there.
    pub(crate) async fn start(mode: &str, stage: &Stage) -> Self {
        assert_installed().await;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/client.py");
        let mut process = Command::new(PYTHON)
            .arg(script)
            .args([mode, &stage.address().to_string()])
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it was there just now");
        let output = process.stdout.take().expect("piped");
        Self {
            input: process.stdin.take().expect("piped"),
            output: BufReader::new(output).lines(),
            process,
        }
    }

    /// The next line; `None` at the end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        in_time(self.output.next_line()).await.expect("it is text")
    }

    /// What it says to its end, while `obey` does what it asks for.
    async fn said(mut self, mut obey: impl AsyncFnMut(&str)) -> Vec<String> {
        let mut said = Vec::new();
        while let Some(line) = self.line().await {
            match line.strip_prefix("please ") {
                Some(wish) => obey(wish).await,
                None => said.push(line),
            }
        }
        let status = in_time(self.process.wait()).await.expect("it is ours");
        assert!(status.success(), "{said:#?}");
        said
    }
}

async fn assert_installed() {
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
}

#[tokio::test]
async fn grpcio_learns_the_protocol_by_reflection_and_follows_a_host_to_its_stop() {
    let stage = Stage::start(|_| {}).await;
    let client = Client::start("follow", &stage).await;
    let said = client.said(async |wish| match wish {
        "cordon" => drop(stage.handle.cordon().await.unwrap()),
        "stop" => stage.stop().await,
        other => panic!("{other}"),
    });
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
    assert_eq!(said.await, expected);
}

/// A component that is as healthy as it is told to be.
struct Patient(Arc<AtomicBool>);

impl Lifecycle for Patient {
    async fn start(&self, _: &StartContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn stop(&self, _: &StopContext) -> Result<(), BoxError> {
        Ok(())
    }

    async fn check(&self, _: &CheckContext) -> Result<(), BoxError> {
        match self.0.load(Ordering::SeqCst) {
            true => Err("it is ill".into()),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn grpcio_sees_the_host_and_each_service_fall_ill_be_cordoned_and_drain_and_come_back() {
    let is_ill = Arc::new(AtomicBool::new(false));
    let check = HealthCheck::every(Duration::from_millis(10)).with_misses(1);
    let patient = Registration::new("patient", Patient(Arc::clone(&is_ill)))
        .criticality(Criticality::Essential)
        .health_check(check);
    let stage = Stage::start_with(|_| {}, vec![patient]).await;
    let client = Client::start("health", &stage).await;
    let said = client.said(async |wish| match wish {
        "sicken" => is_ill.store(true, Ordering::SeqCst),
        "heal" => is_ill.store(false, Ordering::SeqCst),
        "cordon" => drop(stage.handle.cordon().await.unwrap()),
        "uncordon" => drop(stage.handle.uncordon().await.unwrap()),
        "drain" => drop(stage.handle.drain().await.unwrap()),
        "resume" => drop(stage.handle.resume().await.unwrap()),
        "stop" => stage.stop().await,
        other => panic!("{other}"),
    });
    let told = [
        ("at first", "SERVING"),
        ("sicken", "NOT_SERVING"),
        ("heal", "SERVING"),
        ("cordon", "NOT_SERVING"),
        ("uncordon", "SERVING"),
        ("drain", "NOT_SERVING"),
        ("resume", "SERVING"),
    ];
    let of = |it| format!("controlplane.v1.{it}Service");
    let names = ["the host".to_owned(), of("Leadership"), of("Lifecycle")];
    let told = told.iter().flat_map(|(when, state)| {
        let line = move |name| format!("{when} {name}: {state}");
        names.iter().map(line)
    });
    let end = "ended UNAVAILABLE UNAVAILABLE UNAVAILABLE".to_owned();
    assert_eq!(said.await, told.chain([end]).collect::<Vec<_>>());
}

#[tokio::test]
async fn grpcio_subscribes_to_leadership_by_what_reflection_describes() {
    let stage = led().await;
    let client = Client::start("subscribe", &stage).await;
    let said = client.said(async |wish| {
        assert_eq!(wish, "give up");
        let stopped = stage.handle.stop_component("mesh-leadership").await;
        stopped.expect("nobody needs it");
    });
    let expected = [
        "controlplane.v1.LeadershipService.Subscribe controlplane.v1.SubscribeRequest -> \
         stream controlplane.v1.SubscribeResponse",
        "SubscribeRequest scope",
        "SubscribeResponse snapshot event missed",
        "snapshot plane-1 shard/shop/7",
        "stepped-down shard/shop/7 plane-1 shutdown",
    ];
    assert_eq!(said.await, expected);
    stage.stop().await;
}
