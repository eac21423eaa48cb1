//! `bench`: ours beside bare tokio and the published peers, under the same load.
//!
//! Each contender, shape and size is a process of its own, so that its memory is its own and its start is a cold one, as that of
//! a service is. A round asks everybody once, one after the other: a machine that becomes slower does so for all. The first
//! round does not count, and what is compared are medians, as ratios to bare tokio in the same run.

mod cell;
mod chart;
mod figures;
mod plan;
mod program;
mod report;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::process::{exit_code, say};

use cell::{Cell, Outcome};
use program::Program;

/// What everything is a ratio to.
const RAW: &str = "raw";
/// Whose ratios a quick run looks at.
const OURS: &[&str] = &["ours", "ours-loops"];
/// What a quick run takes for slow. On an idle machine it is two or three, with debug assertions, and on a busy one a run may
/// take several times what it should.
const QUICK_LIMIT: f64 = 10.0;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many rounds are measured, after one that is not
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Only these shapes (may be given more than once)
    #[arg(long, value_name = "NAME")]
    shape: Vec<String>,
    /// Only these numbers of components (may be given more than once)
    #[arg(long, value_name = "NUMBER")]
    count: Vec<usize>,
    /// Only these contenders, and bare tokio (may be given more than once)
    #[arg(long, value_name = "NAME")]
    contender: Vec<String>,
    /// How long one run may take, in seconds
    #[arg(long, default_value_t = 20)]
    limit: u64,
    /// Put the results into docs/bench, as those that the documents speak of
    #[arg(long)]
    write: bool,
    /// Ours and bare tokio alone, small and in seconds: fails when ours is no longer near
    #[arg(long, conflicts_with_all = ["write", "shape", "count", "contender", "rounds"])]
    quick: bool,
}

/// Measures, prints tables and keeps the results.
///
/// # Errors
///
/// When a program cannot be built or run. Who fails under the load has that in the tables instead.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    if args.quick {
        return quick();
    }
    ensure!(args.rounds > 0, "--rounds must be at least 1");
    let programs = [Program::own("release")?, Program::peers()?];
    let mut cells = cells(args, &programs);
    let conditions = report::Conditions::begin(args.rounds, args.limit)?;
    measure(&mut cells, args.rounds, Duration::from_secs(args.limit))?;
    let report = report::Report::new(conditions, &cells)?;
    report.tell()?;
    report.keep(args.write)?;
    Ok(ExitCode::SUCCESS)
}

/// A smoke test: that the benchmark still runs, and that nobody has made ours many times slower.
fn quick() -> Result<ExitCode> {
    let programs = [Program::own("ci")?];
    let mut cells = Vec::new();
    for (shape, count) in plan::QUICK {
        cells.push(Cell::new(shape, *count, &programs, &|_| true));
    }
    measure(&mut cells, 3, Duration::from_secs(20))?;
    let mut passed = true;
    for cell in &cells {
        passed &= is_near(cell)?;
    }
    Ok(exit_code(passed))
}

fn is_near(cell: &Cell) -> Result<bool> {
    let mut passed = true;
    for entry in &cell.entries {
        let ratio = cell.ratio(entry, |it| it.total());
        let (verdict, good) = match (&entry.outcome, ratio) {
            (Outcome::Refused(reason), _) => (reason.clone(), true),
            (Outcome::Over | Outcome::Failed(_), _) | (_, None) => {
                (format!("{:?}", entry.outcome), false)
            }
            (Outcome::Measured, Some(ratio)) => {
                let watched = OURS.contains(&entry.name.as_str());
                let good = !watched || ratio <= QUICK_LIMIT;
                (format!("{ratio:.2} times {RAW}"), good)
            }
        };
        let mark = if good { "" } else { "  FAILED" };
        let (shape, count) = (&cell.shape, cell.count);
        say(format_args!(
            "{shape:<12} {count:>6} {:<11} {verdict}{mark}",
            entry.name
        ))?;
        passed &= good;
    }
    Ok(passed)
}

fn cells(args: &Args, programs: &[Program; 2]) -> Vec<Cell> {
    let [_, peers] = programs;
    let is_wanted = |name: &str| {
        args.contender.is_empty() || name == RAW || args.contender.iter().any(|it| it == name)
    };
    let is_peer = |name: &str| peers.contenders.iter().any(|it| it.name == name);
    let is_asked = |shape: &str, count: usize| {
        let by_shape = args.shape.is_empty() || args.shape.iter().any(|it| it == shape);
        by_shape && (args.count.is_empty() || args.count.contains(&count))
    };
    plan::FULL
        .iter()
        .flat_map(|(shape, counts)| counts.iter().map(move |count| (*shape, *count)))
        .filter(|(shape, count)| is_asked(shape, *count))
        .map(|(shape, count)| {
            let takes_part = |name: &str| {
                is_wanted(name) && (!is_peer(name) || plan::asks_peer(name, shape, count))
            };
            Cell::new(shape, count, programs, &takes_part)
        })
        .collect()
}

fn measure(cells: &mut [Cell], rounds: usize, limit: Duration) -> Result<()> {
    for round in 0..=rounds {
        say(format_args!("round {round} of {rounds}"))?;
        for cell in &mut *cells {
            cell.round(round > 0, limit)?;
        }
    }
    Ok(())
}
