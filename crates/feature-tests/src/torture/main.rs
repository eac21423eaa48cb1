//! A host under torture: thousands of components with faults from a seed, and an oracle that takes in every event from inside.
//!
//! ```sh
//! cargo run --release -p feature-tests --bin torture-host -- storm --components 10000 --shape mixed --seconds 10
//! ```
//!
//! It is a host as any other: with diagnostics on a free port, signals, logs. When it has ended it prints a report, one line of
//! JSON. The exit code says whether every promise was kept: 0, or 1. What a stop came to is in the report, since under torture
//! it is seldom a clean one.

mod islands;
mod memory;
mod meshed;
mod outage;
mod report;
mod restarts;
mod runs;
mod scene;
mod spread;
mod storm;
mod witness;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use clap::{Parser, Subcommand};
use diagnostics::Diagnostics;
use lifecycle_core::BoxError;
use lifecycle_runtime::{ExitStatus, Host, HostConfig, LogConfig, OrchestratorBuilder};
use tokio::runtime;

use crate::report::Report;
use crate::scene::{Scene, Stage};
use crate::witness::Witness;

#[derive(Debug, Parser)]
#[command(
    name = "torture-host",
    about = "A host under torture, and what it has kept of its promises"
)]
struct Arguments {
    #[command(subcommand)]
    scene: Torture,
    /// When the scene is over, wait for a signal instead of stopping
    #[arg(long, global = true)]
    until_signal: bool,
}

/// What is done to the host.
#[derive(Debug, Subcommand)]
enum Torture {
    /// Faults at random in starts, runs and stops
    Storm(storm::Storm),
    /// One dependency of all the others goes away, and comes back
    Outage(outage::Outage),
    /// Components are restarted by an operator, one after the other
    Restarts(restarts::Restarts),
    /// Orchestrators are built, started, stopped and dropped, one after the other
    Runs(runs::Runs),
    /// Members of gossip, scopes and exporters, dozens of each
    Mesh(meshed::Mesh),
}

impl Torture {
    fn scene(self) -> Arc<dyn Scene> {
        match self {
            Self::Storm(storm) => Arc::new(storm),
            Self::Outage(outage) => Arc::new(outage.prepared()),
            Self::Restarts(restarts) => Arc::new(restarts),
            Self::Runs(runs) => Arc::new(runs),
            Self::Mesh(mesh) => Arc::new(mesh.prepared()),
        }
    }
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Whoever has closed the stream does not want to know.
            let _ = error.print();
            return match error.use_stderr() {
                true => ExitStatus::Usage.into(),
                false => ExitCode::SUCCESS,
            };
        }
    };
    let scene = arguments.scene.scene();
    let config = HostConfig {
        log: LogConfig {
            // A line for each of a hundred thousand is not what is looked at here.
            filter: "off".to_owned(),
            ..LogConfig::default()
        },
        ..HostConfig::default()
    };
    let mut witness = None;
    let code = Host::main(config, |host| {
        witness = Some(begin(host, scene, arguments.until_signal)?);
        Ok(())
    });
    // Without a witness nothing was started, and the host has said why.
    let Some(witness) = witness else { return code };
    conclude(witness)
}

/// Registers what the scene wants, and has a witness and the scene's script on a thread of their own, which nothing that the
/// components do can hold up.
fn begin(
    host: &mut OrchestratorBuilder,
    scene: Arc<dyn Scene>,
    until_signal: bool,
) -> Result<JoinHandle<Report>, BoxError> {
    let capacity = scene.components().saturating_mul(4).clamp(1 << 12, 1 << 18);
    host.event_capacity(capacity);
    let recorder = diagnostics::install_recorder()?;
    let handle = host.handle();
    let exporter = move || {
        Diagnostics::builder(handle.clone())
            .bind(scene::free_address())
            .metrics(recorder.clone())
            .build()
    };
    let diagnostics = exporter();
    host.register(diagnostics.registration());
    let stage = Stage {
        handle: host.handle(),
        components: runtime::Handle::current(),
        diagnostics: diagnostics.address(),
        exporter: Arc::new(exporter),
        until_signal,
    };
    scene.wire(host, &stage)?;
    let witness = Witness::of(&stage);
    let alone = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let follow = move || alone.block_on(scene::play(scene, stage, witness));
    Ok(thread::Builder::new()
        .name("witness".to_owned())
        .spawn(follow)?)
}

fn conclude(witness: JoinHandle<Report>) -> ExitCode {
    let Ok(report) = witness.join() else {
        let _ = writeln!(io::stderr(), "error: the witness panicked");
        return ExitCode::FAILURE;
    };
    let line = serde_json::to_string(&report).expect("a report is JSON");
    let _ = writeln!(io::stdout(), "{line}");
    match report.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
