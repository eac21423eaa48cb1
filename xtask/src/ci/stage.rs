//! The stages as a table.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::ci::{Args, advisories, tools};
use crate::process;
use crate::{check_deploy, check_deps, check_docs, dist, fuzz};

/// One stage of the gate. Its budget is for two cores and an empty target folder; the budgets
/// together are that of the whole run.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) name: &'static str,
    pub(crate) budget: Duration,
    work: Work,
}

/// What a stage does.
#[derive(Debug)]
enum Work {
    /// Command lines without quoting; the first failure ends the stage.
    Commands(&'static [&'static str]),
    Call(fn(&Args) -> Result<Outcome>),
}

/// How a stage ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Could not look; not a failure, but nothing was proved.
    Unchecked(String),
    Failed(String),
}

pub(crate) const NAMES: [&str; 17] = {
    let mut names = [""; STAGES.len()];
    let mut at = 0;
    while at < STAGES.len() {
        names[at] = STAGES[at].name;
        at += 1;
    }
    names
};

/// Cheap stages first, and the programs as they are shipped last. All that compile before these use profile `ci`, so that they share
/// what they build: clippy and docs the metadata of dependencies, tests and doctests the code.
pub(crate) const STAGES: &[Stage] = &[
    stage("tools", 250, Work::Call(tools::check)),
    stage("fmt", 20, Work::Commands(FMT)),
    stage("check-deps", 20, Work::Call(check_boundary)),
    stage("check-docs", 10, Work::Call(check_documents)),
    stage("check-deploy", 20, Work::Call(check_kit)),
    stage("deny", 20, Work::Commands(DENY)),
    stage("advisories", 60, Work::Call(advisories::check)),
    stage("unused-deps", 20, Work::Commands(&["cargo machete"])),
    stage("clippy", 320, Work::Commands(CLIPPY)),
    stage("docs", 40, Work::Commands(DOCS)),
    stage("tests", 1380, Work::Commands(TESTS)),
    stage("doctests", 30, Work::Commands(DOCTESTS)),
    stage("fuzz", 380, Work::Call(search_briefly)),
    stage("dist", 600, Work::Call(build_what_is_shipped)),
    stage("features", 260, Work::Commands(FEATURES)),
    stage("hyperscale", 60, Work::Commands(HYPERSCALE)),
    stage("chaos", 110, Work::Commands(CHAOS)),
];

/// The fuzz targets are a workspace of their own.
const FMT: &[&str] = &[
    "cargo fmt --all --check",
    "cargo fmt --manifest-path fuzz/Cargo.toml --check",
];

const DENY: &[&str] = &[
    // Packages for other systems are not there after a build, and are looked at too.
    "cargo fetch --locked",
    "cargo deny --offline --locked check --hide-inclusion-graph bans licenses sources",
];

/// With every feature, with those that somebody has who asks for none, and with as few as there can be.
const CLIPPY: &[&str] = &[
    "cargo clippy --workspace --all-targets --all-features --locked --profile ci \
     -- -D warnings",
    "cargo clippy --workspace --locked --profile ci -- -D warnings",
    "cargo clippy --package lifecycle-core --package lifecycle-adapters --package mesh \
     --package control-plane-host --no-default-features --locked --profile ci -- -D warnings",
];

const DOCS: &[&str] = &[
    "RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --all-features --locked \
     --profile ci",
];

/// The feature tests are built with all others, since cargo would build half of these anew for them alone, and have a stage of
/// their own.
const TESTS: &[&str] = &[
    "cargo nextest run --workspace --all-features --locked --cargo-profile ci --profile ci \
     -E !package(feature-tests)",
];

/// What is started is what is shipped. The hosts that make trouble on purpose are not; cargo builds them with the tests.
const FEATURES: &[&str] = &[
    "FEATURE_TESTS_PROGRAMS=target/dist/bin cargo nextest run --workspace --all-features --locked \
     --cargo-profile ci --profile ci -E package(feature-tests)",
];

const HYPERSCALE: &[&str] =
    &["cargo xtask hyperscale --quick --programs target/dist/bin --programs target/ci"];

const CHAOS: &[&str] = &["cargo xtask soak --minutes 1 --programs target/dist/bin"];

const DOCTESTS: &[&str] = &["cargo test --doc --workspace --all-features --locked --profile ci"];

const fn stage(name: &'static str, seconds: u64, work: Work) -> Stage {
    Stage {
        name,
        budget: Duration::from_secs(seconds),
        work,
    }
}

impl Stage {
    /// Does the stage's work.
    pub(crate) fn run(&self, args: &Args) -> Result<Outcome> {
        match self.work {
            Work::Commands(lines) => run_commands(lines),
            Work::Call(call) => call(args),
        }
    }
}

fn run_commands(lines: &[&str]) -> Result<Outcome> {
    for line in lines {
        let words: Vec<_> = line.split_whitespace().collect();
        if !process::succeeds(&words)? {
            return Ok(Outcome::of(false));
        }
    }
    Ok(Outcome::of(true))
}

fn check_boundary(_: &Args) -> Result<Outcome> {
    let code = check_deps::run(&check_deps::Args::default())?;
    Ok(Outcome::of(code == ExitCode::SUCCESS))
}

fn check_documents(_: &Args) -> Result<Outcome> {
    let code = check_docs::run(&check_docs::Args::default())?;
    Ok(Outcome::of(code == ExitCode::SUCCESS))
}

fn check_kit(_: &Args) -> Result<Outcome> {
    let code = check_deploy::run(&check_deploy::Args::default())?;
    Ok(Outcome::of(code == ExitCode::SUCCESS))
}

fn build_what_is_shipped(_: &Args) -> Result<Outcome> {
    let code = dist::run(&dist::Args::default())?;
    Ok(Outcome::of(code == ExitCode::SUCCESS))
}

fn search_briefly(_: &Args) -> Result<Outcome> {
    const SECONDS_EACH: u64 = 5;
    let code = fuzz::run_for(SECONDS_EACH)?;
    Ok(Outcome::of(code == ExitCode::SUCCESS))
}

impl Outcome {
    /// A failure here has been explained by whoever failed.
    pub(crate) fn of(passed: bool) -> Self {
        if passed {
            Self::Passed
        } else {
            Self::Failed(String::new())
        }
    }

    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Failed(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Passed => f.write_str("passed"),
            Self::Unchecked(reason) => write!(f, "NOT CHECKED ({reason})"),
            Self::Failed(reason) if reason.is_empty() => f.write_str("FAILED"),
            Self::Failed(reason) => write!(f, "FAILED ({reason})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ci::BUDGET;

    #[test]
    fn contract_b27_whatever_starts_programs_starts_those_that_are_shipped_after_they_are_built() {
        let place = |name| STAGES.iter().position(|it| it.name == name);
        let built = place("dist").expect("there is such a stage");
        for name in ["features", "hyperscale", "chaos"] {
            let at = place(name).expect("there is such a stage");
            assert!(at > built, "{name}");
            let Work::Commands(lines) = STAGES[at].work else {
                panic!("{name} is a command of its own");
            };
            assert!(
                lines.iter().all(|it| it.contains("=target/dist/bin")
                    || it.contains("--programs target/dist/bin")),
                "{name}"
            );
        }
    }

    #[test]
    fn the_budgets_add_up_to_the_whole() {
        assert_eq!(STAGES.iter().map(|it| it.budget).sum::<Duration>(), BUDGET);
    }
}
