//! `soak`: three control-plane hosts, two dispatchers and an etcd, for minutes or hours, with a fault every few seconds.
//!
//! Faults come from a seed, one after the other; after each the host must be ready again within a bound. Beside that calls are
//! made all the time, it is watched who says that it leads, and what each process has is written down each second. Everything
//! is judged from outside: the programs are those that are shipped.

mod calls;
mod cast;
mod fault;
mod keys;
mod leaders;
mod samples;
mod station;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::hosts::{Programs, milliseconds, rest};
use crate::process::{exit_code, root, say};

use calls::Calls;
use cast::Cast;
use fault::Schedule;
use leaders::Leaders;
use samples::Samples;
use station::Station;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For how long
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// What faults are drawn from
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Take the programs from this folder, as they are, instead of building them (may be given more than once: the first one that has a
    /// program)
    #[arg(long, value_name = "FOLDER")]
    programs: Vec<PathBuf>,
}

/// What is not as it should be, from whoever finds it.
#[derive(Debug)]
struct Findings {
    begun: Instant,
    found: Mutex<Vec<String>>,
}

impl Findings {
    fn new() -> Self {
        Self {
            begun: Instant::now(),
            found: Mutex::default(),
        }
    }

    fn add(&self, what: &str) {
        let after = self.begun.elapsed().as_secs();
        let line = format!("after {after} s: {what}");
        let mut found = self.found.lock().expect("nobody panics while it is locked");
        found.push(line);
    }

    fn take(self) -> Vec<String> {
        self.found
            .into_inner()
            .expect("nobody panicked while it was locked")
    }
}

/// What was done to the hosts, by kind: how often, and the longest until all was well again.
type Faults = BTreeMap<&'static str, (u64, Duration)>;

/// Runs it, prints tables, and writes everything to `target/soak/report.json`.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let folder = root().join("target/soak");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let programs = ["control-plane-host", "dispatcher", "lifecyclectl"];
    let programs = Programs::of(&args.programs, &programs)?;
    let mut cast = Cast::start(programs, folder.clone())?;
    let stations = cast.stations();
    let (findings, over) = (Findings::new(), AtomicBool::new(false));
    let leaders = Leaders::default();
    let length = Duration::from_secs_f64(args.minutes * 60.0);
    let (faults, calls, samples) = thread::scope(|scope| {
        let watching = scope.spawn(|| leaders.watch(&stations, &over, &findings));
        let calling = scope.spawn(|| Calls::make(&stations, &over, &findings));
        let sampling = scope.spawn(|| Samples::take(&stations, &over));
        let faults = torment(&mut cast, args.seed, length, &leaders, &findings);
        over.store(true, Ordering::Relaxed);
        // Whoever panics has the whole fail.
        watching.join().expect("it watches to the end");
        let calls = calling.join().expect("calls are made to the end");
        let samples = sampling.join().expect("samples are taken to the end");
        (faults, calls, samples)
    });
    let faults = faults?;
    cast.stop(&findings)?;
    let slopes = samples.slopes(&findings);
    calls.judge(&findings);
    let findings = findings.take();
    tell(&faults, &calls, &leaders, &slopes, &findings)?;
    let document = json!({
        "minutes": args.minutes,
        "seed": args.seed,
        "faults": faults.iter().map(|(kind, (count, longest))| {
            json!({ "kind": kind, "count": count, "longest_recovery_ms": milliseconds(*longest) })
        }).collect::<Vec<_>>(),
        "calls": calls.document(),
        "leaders": leaders.document(),
        "slopes": slopes.iter().map(samples::Growth::document).collect::<Vec<Value>>(),
        "findings": &findings,
    });
    let path = folder.join("report.json");
    fs::write(&path, serde_json::to_string_pretty(&document)?)?;
    say(format_args!("\n{}", path.display()))?;
    Ok(exit_code(findings.is_empty()))
}

/// One fault after the other, until the time is over.
fn torment(
    cast: &mut Cast,
    seed: u64,
    length: Duration,
    leaders: &Leaders,
    findings: &Findings,
) -> Result<Faults> {
    let mut faults = Faults::new();
    let mut schedule = Schedule::of(seed);
    let begun = Instant::now();
    cast.settle(leaders, findings);
    while begun.elapsed() < length {
        let fault = schedule.next(&cast.targets());
        let after = begun.elapsed().as_secs();
        say(format_args!("{after:>5} s  {fault}"))?;
        cast.suffer(&fault, findings)?;
        let recovery = cast.settle(leaders, findings);
        let (count, longest) = faults.entry(fault.kind()).or_default();
        *count += 1;
        *longest = recovery.max(*longest);
        rest(schedule.pause());
    }
    Ok(faults)
}

fn tell(
    faults: &Faults,
    calls: &Calls,
    leaders: &Leaders,
    slopes: &[samples::Growth],
    findings: &[String],
) -> Result<()> {
    say("\nfault               times   longest until all is well")?;
    for (kind, (count, longest)) in faults {
        say(format_args!(
            "{kind:<18} {count:>6} {:>15.1} s",
            longest.as_secs_f64()
        ))?;
    }
    calls.tell()?;
    leaders.tell()?;
    say("\nprocess        for   of             grows an hour by    95 %")?;
    for it in slopes {
        say(it)?;
    }
    for finding in findings {
        say(format_args!("FOUND {finding}"))?;
    }
    let verdict = if findings.is_empty() {
        "held"
    } else {
        "BROKEN"
    };
    say(format_args!(
        "\nsoak {verdict}: {} findings",
        findings.len()
    ))
}

/// The stations, for whoever looks from a thread of its own.
type Stations = Vec<std::sync::Arc<Station>>;
