//! `hyperscale`: hosts with very many components, very many hosts, and very many restarts.
//!
//! Most cases are scenes of `torture-host`, which has an oracle inside; what is looked at from here is what nobody inside can
//! see: that the process answers, ends in time after a signal, and how large it is. Every case has a time limit.

mod fleet;
mod torture;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::hosts::{Programs, milliseconds};
use crate::process::{exit_code, root, say};

use fleet::Fleet;
use torture::Torture;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Smaller sizes, in about a minute
    #[arg(long)]
    quick: bool,
    /// Take the programs from this folder, as they are, instead of building them (may be given more than once: the first one that has a
    /// program)
    #[arg(long, value_name = "FOLDER")]
    programs: Vec<PathBuf>,
    /// Only the cases whose name contains this
    #[arg(long, value_name = "TEXT", default_value = "")]
    only: String,
}

/// What is run.
#[derive(Debug)]
enum Case {
    Torture(Torture),
    Fleet(Fleet),
}

/// What came of a case.
#[derive(Debug, Default)]
struct Outcome {
    /// In milliseconds: until all ran at once, or where some never do, until the start had settled.
    start: Option<u64>,
    /// In milliseconds, from the signal to the end of the process, or of the last one.
    stop: Option<u64>,
    /// In KiB.
    peak: u64,
    /// What there is to say, in a few words.
    remark: String,
    /// What is not as it should be.
    faults: Vec<String>,
    document: Value,
}

/// Runs the cases, prints a table, and writes everything to `target/hyperscale/report.json`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = root().join("target/hyperscale");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let programs = ["control-plane-host", "torture-host"];
    let programs = Programs::of(&args.programs, &programs)?;
    let cases = if args.quick { quick() } else { whole() };
    let chosen = cases.iter().filter(|(name, _)| name.contains(&args.only));
    let mut rows = Vec::new();
    for (name, case) in chosen {
        say(format_args!("{name} …"))?;
        let begun = Instant::now();
        let outcome = match case {
            Case::Torture(torture) => torture.run(name, &programs, &folder),
            Case::Fleet(fleet) => fleet.run(name, &programs, &folder),
        };
        // What could not be finished is a finding, too, and the other cases are not to blame.
        let outcome = outcome.unwrap_or_else(|error| Outcome {
            faults: vec![format!("{error:#}")],
            ..Outcome::default()
        });
        for fault in &outcome.faults {
            say(format_args!("  {fault}"))?;
        }
        rows.push((*name, milliseconds(begun.elapsed()), outcome));
    }
    tell(&rows)?;
    let document =
        json!({ "quick": args.quick, "cases": rows.iter().map(document).collect::<Vec<_>>() });
    let path = folder.join("report.json");
    fs::write(&path, serde_json::to_string_pretty(&document)?)
        .with_context(|| format!("cannot write {}", path.display()))?;
    say(format_args!("\n{}", path.display()))?;
    let passed = !rows.is_empty() && rows.iter().all(|(.., it)| it.faults.is_empty());
    Ok(exit_code(passed))
}

fn quick() -> Vec<(&'static str, Case)> {
    vec![
        (
            "storm 10k mixed",
            torture("storm --faults mild --seconds 5"),
        ),
        (
            "hanging 10k layers",
            torture("storm --shape layers --faults hanging --seconds 1"),
        ),
        ("outage 10k", torture("outage --outages 1 --seconds 1")),
        (
            "mesh 16",
            torture("mesh --members 16 --scopes 16 --exporters 16"),
        ),
        // Over so few, a page more or less looks like a slope.
        ("restarts 500", growing("restarts --restarts 500", 4_096.0)),
        ("hosts 10", Case::Fleet(Fleet { hosts: 10 })),
    ]
}

fn whole() -> Vec<(&'static str, Case)> {
    let storm = |arguments: &str| torture(&format!("storm {arguments}"));
    let larger = |arguments: &str| torture(&format!("storm --components 100000 {arguments}"));
    vec![
        ("storm 10k flat", storm("--shape flat")),
        ("storm 10k chain", storm("--shape chain")),
        ("storm 10k diamond", storm("--shape diamond")),
        ("storm 10k layers", storm("--shape layers")),
        ("storm 10k mixed", storm("--shape mixed")),
        ("hanging 10k mixed", storm("--shape mixed --faults hanging")),
        ("hanging 10k chain", storm("--shape chain --faults hanging")),
        ("flapping 10k flat", storm("--shape flat --faults flapping")),
        (
            "calm 100k chain",
            larger("--shape chain --faults calm --seconds 2"),
        ),
        ("storm 100k mixed", larger("--shape mixed --faults mild")),
        (
            "hanging 100k layers",
            larger("--shape layers --faults hanging --seconds 2"),
        ),
        ("outage 10k declared", torture("outage")),
        (
            "outage 10k undeclared",
            torture("outage --edges undeclared"),
        ),
        (
            "outage 100k declared",
            torture("outage --dependents 100000 --outages 2"),
        ),
        ("mesh 64", torture("mesh")),
        ("restarts 10k", growing("restarts", 100.0)),
        ("runs 1000", growing("runs --runs 1000", 4_096.0)),
        ("hosts 50", Case::Fleet(Fleet { hosts: 50 })),
    ]
}

fn torture(arguments: &str) -> Case {
    Case::Torture(Torture {
        arguments: arguments.to_owned(),
        growth: None,
    })
}

/// One in which the memory may grow by so many KiB in a thousand rounds.
fn growing(arguments: &str, growth: f64) -> Case {
    Case::Torture(Torture {
        arguments: arguments.to_owned(),
        growth: Some(growth),
    })
}

fn tell(rows: &[(&str, u64, Outcome)]) -> Result<()> {
    say("\ncase                    took     start      stop       peak   verdict")?;
    for (name, took, it) in rows {
        let or_none = |it: Option<u64>| it.map_or("–".to_owned(), |it| format!("{it} ms"));
        let verdict = if it.faults.is_empty() {
            "held"
        } else {
            "BROKEN"
        };
        say(format_args!(
            "{name:<21} {:>5.1} s {:>9} {:>9} {:>6} MiB   {verdict}: {}",
            Duration::from_millis(*took).as_secs_f64(),
            or_none(it.start),
            or_none(it.stop),
            it.peak / 1_024,
            it.remark,
        ))?;
    }
    Ok(())
}

fn document((name, took, outcome): &(&str, u64, Outcome)) -> Value {
    json!({
        "name": name,
        "took_ms": took,
        "start_ms": outcome.start,
        "stop_ms": outcome.stop,
        "peak_kib": outcome.peak,
        "faults": outcome.faults,
        "document": outcome.document,
    })
}
