//! `ci`: the whole gate, the same here and on a build machine.
//!
//! Every stage runs, whatever the ones before it said: who reads the summary wants all that is
//! wrong. Only a missing toolchain ends the run at once, since nothing could be said without it.

mod advisories;
mod stage;
mod toolchain;
mod tools;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;

use self::stage::{Outcome, STAGES, Stage};
use crate::process::{exit_code, say};

/// For the stages together, on two cores, from an empty target folder.
const BUDGET: Duration = Duration::from_secs(3_600);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Report missing tools and fail, instead of installing them
    #[arg(long)]
    no_install: bool,

    /// Run this stage alone (may be given more than once)
    #[arg(long, value_name = "NAME", value_parser = stage::NAMES)]
    stage: Vec<String>,
}

/// Runs the stages that were asked for, or all.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    toolchain::check()?;
    let asked =
        |it: &&Stage| args.stage.is_empty() || args.stage.iter().any(|name| name == it.name);
    let started = Instant::now();
    let mut rows = Vec::new();
    for stage in STAGES.iter().filter(asked) {
        rows.push(run_stage(stage, args)?);
    }
    summarise(&rows, started.elapsed())
}

/// Runs the stages of these names; for the commands that are a part of the gate.
pub(crate) fn run_only(stages: &[&str]) -> Result<ExitCode> {
    let stage = stages.iter().map(|it| (*it).to_owned()).collect();
    run(&Args {
        no_install: true,
        stage,
    })
}

/// One line of the summary.
struct Row {
    stage: &'static Stage,
    took: Duration,
    outcome: Outcome,
}

fn run_stage(stage: &'static Stage, args: &Args) -> Result<Row> {
    say(format_args!(
        "\n== {} (budget {} s)",
        stage.name,
        stage.budget.as_secs()
    ))?;
    let started = Instant::now();
    let outcome = stage
        .run(args)
        .unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
    let row = Row {
        stage,
        took: started.elapsed(),
        outcome,
    };
    say(format_args!("== {}", row.verdict()))?;
    Ok(row)
}

impl Row {
    fn verdict(&self) -> String {
        let late = late(self.took, self.stage.budget);
        format!("{} in {:.1} s{late}", self.outcome, self.took.as_secs_f64())
    }
}

/// A stage that is late is told; only the whole run fails by being late.
fn late(took: Duration, budget: Duration) -> &'static str {
    if took > budget { ", OVER BUDGET" } else { "" }
}

fn summarise(rows: &[Row], took: Duration) -> Result<ExitCode> {
    say("\nstage        budget  result")?;
    for row in rows {
        let Stage { name, budget, .. } = row.stage;
        say(format_args!(
            "{name:<12} {:>4} s  {}",
            budget.as_secs(),
            row.verdict()
        ))?;
    }
    let failed = rows.iter().filter(|it| it.outcome.is_failure()).count();
    let passed = failed == 0 && took <= BUDGET;
    let verdict = if passed { "passed" } else { "FAILED" };
    say(format_args!(
        "ci {verdict}: {failed} of {} stages failed; {:.0} s of {} s{}",
        rows.len(),
        took.as_secs_f64(),
        BUDGET.as_secs(),
        late(took, BUDGET),
    ))?;
    Ok(exit_code(passed))
}
