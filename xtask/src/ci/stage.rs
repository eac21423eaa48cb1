//! The stages as a table.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;

use crate::check_deps;
use crate::ci::{Args, advisories, tools};
use crate::process;

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
    /// Commands, with what they find in their environment; the first failure ends the stage.
    Commands(
        &'static [&'static [&'static str]],
        &'static [(&'static str, &'static str)],
    ),
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

pub(crate) const NAMES: [&str; 10] = {
    let mut names = [""; STAGES.len()];
    let mut at = 0;
    while at < STAGES.len() {
        names[at] = STAGES[at].name;
        at += 1;
    }
    names
};

/// Cheap stages first. All that compile use profile `ci`, so that they share what they build:
/// clippy and docs the metadata of dependencies, tests and doctests the code.
pub(crate) const STAGES: &[Stage] = &[
    Stage {
        name: "tools",
        budget: Duration::from_secs(600),
        work: Work::Call(tools::check),
    },
    Stage {
        name: "fmt",
        budget: Duration::from_secs(20),
        work: Work::Commands(&[&["cargo", "fmt", "--all", "--check"]], &[]),
    },
    Stage {
        name: "check-deps",
        budget: Duration::from_secs(30),
        work: Work::Call(check_boundary),
    },
    Stage {
        name: "deny",
        budget: Duration::from_secs(20),
        work: Work::Commands(
            &[
                // Those of other systems are not there after a build, and are looked at too.
                &["cargo", "fetch", "--locked"],
                &[
                    "cargo",
                    "deny",
                    "--offline",
                    "--locked",
                    "check",
                    "--hide-inclusion-graph",
                    "bans",
                    "licenses",
                    "sources",
                ],
            ],
            &[],
        ),
    },
    Stage {
        name: "advisories",
        budget: Duration::from_secs(60),
        work: Work::Call(advisories::check),
    },
    Stage {
        name: "unused-deps",
        budget: Duration::from_secs(20),
        work: Work::Commands(&[&["cargo", "machete"]], &[]),
    },
    Stage {
        name: "clippy",
        budget: Duration::from_secs(300),
        work: Work::Commands(
            &[&[
                "cargo",
                "clippy",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--locked",
                "--profile",
                "ci",
                "--",
                "-D",
                "warnings",
            ]],
            &[],
        ),
    },
    Stage {
        name: "docs",
        budget: Duration::from_secs(150),
        work: Work::Commands(
            &[&[
                "cargo",
                "doc",
                "--workspace",
                "--no-deps",
                "--all-features",
                "--locked",
                "--profile",
                "ci",
            ]],
            &[("RUSTDOCFLAGS", "-D warnings")],
        ),
    },
    Stage {
        name: "tests",
        budget: Duration::from_secs(480),
        work: Work::Commands(
            &[&[
                "cargo",
                "nextest",
                "run",
                "--workspace",
                "--all-features",
                "--locked",
                "--cargo-profile",
                "ci",
                "--profile",
                "ci",
            ]],
            &[],
        ),
    },
    Stage {
        name: "doctests",
        budget: Duration::from_secs(120),
        work: Work::Commands(
            &[&[
                "cargo",
                "test",
                "--doc",
                "--workspace",
                "--all-features",
                "--locked",
                "--profile",
                "ci",
            ]],
            &[],
        ),
    },
];

impl Stage {
    /// Does the stage's work.
    pub(crate) fn run(&self, args: &Args) -> Result<Outcome> {
        match self.work {
            Work::Commands(lines, env) => run_commands(lines, env),
            Work::Call(call) => call(args),
        }
    }
}

fn run_commands(lines: &[&[&str]], env: &[(&str, &str)]) -> Result<Outcome> {
    for line in lines {
        if !process::succeeds(line, env)? {
            return Ok(Outcome::Failed(String::new()));
        }
    }
    Ok(Outcome::Passed)
}

fn check_boundary(_: &Args) -> Result<Outcome> {
    let clean = check_deps::run(&check_deps::Args::default())? == ExitCode::SUCCESS;
    Ok(if clean {
        Outcome::Passed
    } else {
        Outcome::Failed(String::new())
    })
}

impl Outcome {
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
    fn the_budgets_add_up_to_the_whole() {
        assert_eq!(STAGES.iter().map(|it| it.budget).sum::<Duration>(), BUDGET);
    }
}
