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
use crate::process::say;

/// For the stages together, on two cores, from an empty target folder.
const BUDGET: Duration = Duration::from_mins(30);

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
        let late = if self.took > self.stage.budget {
            ", OVER BUDGET"
        } else {
            ""
        };
        format!("{} in {:.1} s{late}", self.outcome, self.took.as_secs_f64())
    }
}

fn summarise(rows: &[Row], took: Duration) -> Result<ExitCode> {
    say("\nstage        budget  result")?;
    for row in rows {
        let Row { stage, .. } = row;
        say(format_args!(
            "{:<12} {:>4} s  {}",
            stage.name,
            stage.budget.as_secs(),
            row.verdict()
        ))?;
    }
    let failed = rows.iter().filter(|it| it.outcome.is_failure()).count();
    let late = took > BUDGET;
    let verdict = if failed == 0 && !late {
        "passed"
    } else {
        "FAILED"
    };
    say(format_args!(
        "ci {verdict}: {} of {} stages failed; {:.0} s of {} s{}",
        failed,
        rows.len(),
        took.as_secs_f64(),
        BUDGET.as_secs(),
        if late { ", OVER BUDGET" } else { "" },
    ))?;
    Ok(if verdict == "passed" {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
