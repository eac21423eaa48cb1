//! `fuzz`: the parsers of what strangers send, under inputs that are made to reach ever further into them.
//!
//! libFuzzer does that, on the pinned toolchain: what it needs of the compiler is there without a nightly one. The targets are a
//! workspace of their own (`fuzz`), and what reaches into our crates is compiled for them alone (`cfg(fuzzing)`).

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, ensure};

use crate::process::{self, exit_code, output_of, root, say};

/// The targets, as `fuzz/Cargo.toml` has them.
const TARGETS: [&str; 6] = [
    "configuration",
    "credentials",
    "datagrams",
    "events",
    "headers",
    "resume-ids",
];

/// What makes the compiler count which ways are taken, and tell libFuzzer what was compared with what.
const COVERAGE: &str = "--cfg fuzzing -D warnings -C passes=sancov-module \
    -C llvm-args=-sanitizer-coverage-level=4 \
    -C llvm-args=-sanitizer-coverage-inline-8bit-counters \
    -C llvm-args=-sanitizer-coverage-pc-table \
    -C llvm-args=-sanitizer-coverage-trace-compares";

/// An input that takes longer is a fault, as is one that takes more memory: whoever sends it costs others their turn.
const LONGEST_SECONDS: u64 = 5;
const MOST_MEGABYTES: u64 = 1_024;

/// How much of a log is shown when something was found.
const SHOWN_LINES: usize = 40;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many seconds each target runs
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u64,

    /// Run this target alone (may be given more than once)
    #[arg(long, value_name = "NAME", value_parser = TARGETS)]
    target: Vec<String>,

    /// Run the target on this input alone, such as one that was found
    #[arg(long, value_name = "FILE", requires = "target")]
    input: Option<PathBuf>,

    /// Take what reaches further than `fuzz/corpus` into it
    #[arg(long, conflicts_with = "input")]
    keep: bool,
}

/// Builds the targets and runs them one after the other.
///
/// # Errors
///
/// When they cannot be built or run; that one of them found something is in the code.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(args.seconds > 0, "--seconds must be at least 1");
    let programs = build()?;
    let asked = |it: &&str| args.target.is_empty() || args.target.iter().any(|name| name == it);
    let mut clean = true;
    for name in TARGETS.into_iter().filter(asked) {
        let target = Target::new(name, &programs)?;
        clean &= match &args.input {
            Some(input) => target.repeat(input)?,
            None => target.search(args.seconds)?,
        };
        if args.keep {
            target.keep()?;
        }
    }
    Ok(exit_code(clean))
}

/// For the gate: each target for `seconds`.
pub(crate) fn run_for(seconds: u64) -> Result<ExitCode> {
    run(&Args {
        seconds,
        target: Vec::new(),
        input: None,
        keep: false,
    })
}

/// The folder of the programs.
fn build() -> Result<PathBuf> {
    let machine = output_of(&["rustc", "-vV"]).context("cannot ask rustc for its machine")?;
    let machine = host(&machine).context("rustc does not say its machine")?;
    // With a machine named, the flags are for the targets alone, and not for build scripts and macros.
    let line = format!(
        "cargo build --release --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz --target {machine}"
    );
    say(format_args!("$ {line}"))?;
    let words: Vec<_> = line.split_whitespace().collect();
    let status = process::command(&words).env("RUSTFLAGS", COVERAGE).status();
    let status = status.context("cannot run cargo")?;
    ensure!(status.success(), "the targets cannot be built");
    Ok(folder().join(machine).join("release"))
}

fn host(printed: &str) -> Option<&str> {
    printed.lines().find_map(|it| it.strip_prefix("host: "))
}

fn folder() -> PathBuf {
    root().join("target/fuzz")
}

/// One target and its folders.
struct Target {
    name: &'static str,
    program: PathBuf,
    /// What is kept for everybody: inputs written by hand, found faults, and what reaches far.
    kept: PathBuf,
    /// What was made here.
    made: PathBuf,
    /// Inputs that show a fault.
    found: PathBuf,
    log: PathBuf,
    /// For files of the target, anew at each run: it is ended in a way that clears nothing up.
    scratch: PathBuf,
}

impl Target {
    fn new(name: &'static str, programs: &Path) -> Result<Self> {
        let below = |part: &str| folder().join(part).join(name);
        let target = Self {
            name,
            program: programs.join(name),
            kept: root().join("fuzz/corpus").join(name),
            made: below("made"),
            found: below("found"),
            log: below("log"),
            scratch: below("scratch"),
        };
        if target.scratch.exists() {
            fs::remove_dir_all(&target.scratch)?;
        }
        for folder in [&target.kept, &target.made, &target.found, &target.scratch] {
            fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
        }
        fs::create_dir_all(folder().join("log"))?;
        Ok(target)
    }

    fn command(&self) -> Result<Command> {
        let log = File::create(&self.log)?;
        let mut command = Command::new(&self.program);
        command
            .arg(format!("-timeout={LONGEST_SECONDS}"))
            .arg(format!("-rss_limit_mb={MOST_MEGABYTES}"))
            .arg(format!("-artifact_prefix={}/", self.found.display()))
            .arg("-print_final_stats=1")
            .env("TMPDIR", &self.scratch)
            .env("RUST_BACKTRACE", "1")
            .current_dir(root())
            .stdout(log.try_clone()?)
            .stderr(log);
        Ok(command)
    }

    /// True when nothing was found.
    fn search(&self, seconds: u64) -> Result<bool> {
        let mut command = self.command()?;
        command.arg(format!("-max_total_time={seconds}"));
        command.args([&self.made, &self.kept]);
        self.finish(&mut command)
    }

    /// True when nothing is found any more.
    fn repeat(&self, input: &Path) -> Result<bool> {
        let mut command = self.command()?;
        command.arg(
            fs::canonicalize(input).with_context(|| format!("cannot read {}", input.display()))?,
        );
        self.finish(&mut command)
    }

    fn finish(&self, command: &mut Command) -> Result<bool> {
        let status = command.status();
        let status = status.with_context(|| format!("cannot run {}", self.program.display()))?;
        let log = fs::read(&self.log)?;
        let log = String::from_utf8_lossy(&log);
        let name = self.name;
        if status.success() {
            say(format_args!("{name}: {}", Summary::of(&log)))?;
            return Ok(true);
        }
        let lines: Vec<_> = log.lines().collect();
        let shown = lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n");
        let found = self.found.display();
        say(format_args!(
            "{shown}\n{name}: FAILED ({status}); what shows it is in {found}. Mend it, put the input into fuzz/corpus/{name}, \
             and see `cargo xtask fuzz --target {name} --input FILE` pass"
        ))?;
        Ok(false)
    }

    /// Takes over those of the made inputs that reach further than the kept ones.
    fn keep(&self) -> Result<()> {
        let mut command = self.command()?;
        command.arg("-merge=1").args([&self.kept, &self.made]);
        ensure!(
            self.finish(&mut command)?,
            "the inputs of {} cannot be merged",
            self.name
        );
        Ok(())
    }
}

/// What libFuzzer says of a run.
#[derive(Debug, PartialEq, Eq)]
struct Summary {
    inputs: u64,
    /// Edges of the program's flow that were taken.
    edges: u64,
}

impl Summary {
    fn of(log: &str) -> Self {
        let words = |marker: &'static str| {
            let rest = log.rsplit(marker).next().filter(|it| it.len() < log.len());
            rest.and_then(|it| it.split_whitespace().next()?.parse().ok())
        };
        Self {
            inputs: words("stat::number_of_executed_units:").unwrap_or_default(),
            edges: words(" cov: ").unwrap_or_default(),
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { inputs, edges } = self;
        write!(f, "{inputs} inputs, {edges} edges, nothing found")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_target_of_the_manifest_is_run() {
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let named = manifest["bin"].as_array().unwrap().iter();
        let named: Vec<_> = named.map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(named, TARGETS);
    }

    #[test]
    fn the_machine_is_read_from_what_rustc_prints() {
        let printed =
            "rustc 1.95.0\nbinary: rustc\nhost: x86_64-unknown-linux-gnu\nrelease: 1.95.0\n";
        assert_eq!(host(printed), Some("x86_64-unknown-linux-gnu"));
        assert_eq!(host("rustc 1.95.0\n"), None);
    }

    #[test]
    fn a_run_is_told_by_its_last_figures() {
        let log = "#2\tINITED cov: 5 ft: 6 corp: 1/1b\n#9\tNEW    cov: 7 ft: 9 corp: 2/4b\n\
            stat::number_of_executed_units: 1234\nstat::average_exec_per_sec:     12\n";
        assert_eq!(
            Summary::of(log),
            Summary {
                inputs: 1_234,
                edges: 7
            }
        );
        assert_eq!(
            Summary::of(""),
            Summary {
                inputs: 0,
                edges: 0
            }
        );
    }
}
