//! `footprint`: how large the shipped programs are, what memory they take when idle, and how long they take to be there and to go.
//!
//! It takes the programs as `cargo xtask dist` has laid them out, on their own defaults and free ports of loopback. Each round starts every
//! host once, so that a machine that becomes slower does so for all.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::process::{root, say};

/// The hosts, each with the flags for its listeners.
const HOSTS: [(&str, &[&str]); 2] = [
    (
        "control-plane-host",
        &["--diagnostics", "--http", "--gossip"],
    ),
    ("dispatcher", &["--diagnostics", "--http", "--grpc"]),
];

/// How long a host is left alone before its memory is looked at.
const IDLE: Duration = Duration::from_secs(1);

/// What is aimed at: bytes of the file, resident kilobytes, and the time to be ready.
const AIM_BYTES: u64 = 20_000_000;
const AIM_RESIDENT: u64 = 25_000;
const AIM_READY: Duration = Duration::from_millis(50);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds are measured, after one that is not
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Where the programs are, from the root of the workspace
    #[arg(long, default_value = "target/dist/bin")]
    folder: PathBuf,
}

/// What one run of a host came to.
#[derive(Clone, Copy, Debug)]
struct Sample {
    /// From the start of the process until it says where it listens.
    ready: Duration,
    /// In kilobytes.
    resident: u64,
    /// From SIGTERM to the end of the process.
    stopped: Duration,
}

/// Measures and prints a table.
///
/// # Errors
///
/// When a program is missing, or does not start or stop as it should.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(args.rounds > 0, "--rounds must be at least 1");
    let folder = root().join(&args.folder);
    let mut samples: [Vec<Sample>; 2] = Default::default();
    for round in 0..=args.rounds {
        for ((host, listeners), samples) in HOSTS.iter().zip(&mut samples) {
            let sample =
                measure(&folder.join(host), listeners).with_context(|| (*host).to_owned())?;
            // The first round fills caches.
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    say("| program | size | resident, idle | exec to ready | SIGTERM to exit |")?;
    say("|---|---|---|---|---|")?;
    for ((host, _), samples) in HOSTS.iter().zip(&samples) {
        tell(host, size(&folder.join(host))?, samples)?;
    }
    let tool = "lifecyclectl";
    let bytes = size(&folder.join(tool))?;
    say(format_args!("| {tool} | {} | | | |", megabytes(bytes)))?;
    say(format_args!(
        "| the aim | {} | {} | {:.0?} | |",
        megabytes(AIM_BYTES),
        megabytes(AIM_RESIDENT * 1_000),
        AIM_READY
    ))?;
    Ok(ExitCode::SUCCESS)
}

fn tell(host: &str, bytes: u64, samples: &[Sample]) -> Result<()> {
    let ready = median(samples.iter().map(|it| it.ready).collect());
    let resident = median(samples.iter().map(|it| it.resident).collect());
    let stopped = median(samples.iter().map(|it| it.stopped).collect());
    say(format_args!(
        "| {host} | {} | {} | {ready:.1?} | {stopped:.1?} |",
        megabytes(bytes),
        megabytes(resident * 1_024),
    ))
}

fn measure(program: &Path, listeners: &[&str]) -> Result<Sample> {
    let begin = Instant::now();
    let mut process = start(program, listeners)?;
    let output = process.0.stdout.take().context("it is piped")?;
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line)?;
    let ready = begin.elapsed();
    ensure!(
        line.contains("://"),
        "it does not say where it listens: {line:?}"
    );
    idle();
    let resident = resident(process.0.id())?;
    let begin = Instant::now();
    let id = process.0.id().to_string();
    ensure!(
        Command::new("kill")
            .args(["-TERM", &id])
            .status()?
            .success()
    );
    let status = process.0.wait()?;
    ensure!(status.success(), "it ends with {status}");
    Ok(Sample {
        ready,
        resident,
        stopped: begin.elapsed(),
    })
}

/// Killed when it is dropped before its end.
struct Process(Child);

fn start(program: &Path, listeners: &[&str]) -> Result<Process> {
    let child = Command::new(program)
        .args(listeners.iter().flat_map(|it| [*it, "127.0.0.1:0"]))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let missing = || {
        format!(
            "cannot run {}: `cargo xtask dist` makes it",
            program.display()
        )
    };
    child.map(Process).with_context(missing)
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "what is measured is that nothing happens"
)]
fn idle() {
    std::thread::sleep(IDLE);
}

/// The resident memory of a process, in kilobytes of 1 024 bytes.
fn resident(id: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    resident_in(&status).context("the system does not say how much memory it takes")
}

fn resident_in(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

fn size(program: &Path) -> Result<u64> {
    let found = program.metadata();
    Ok(found.with_context(|| program.display().to_string())?.len())
}

/// The middle one; of an even number the upper of the two.
fn median<T: Ord + Copy>(mut of: Vec<T>) -> T {
    of.sort_unstable();
    of[of.len() / 2]
}

fn megabytes(bytes: u64) -> String {
    let tenths = (bytes + 50_000) / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_resident_memory_is_read_and_not_that_of_its_peak() {
        let status = "Name:\tplane\nVmHWM:\t   20000 kB\nVmRSS:\t   15320 kB\n";
        assert_eq!(resident_in(status), Some(15_320));
        assert_eq!(resident_in("Name:\tplane\n"), None);
    }

    #[test]
    fn figures_are_medians_in_decimal_megabytes() {
        assert_eq!(median(vec![9, 1, 5]), 5);
        assert_eq!(megabytes(15_320 * 1_024), "15.7 MB");
        assert_eq!(megabytes(49_999), "0.0 MB");
    }
}
