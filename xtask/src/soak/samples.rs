//! [`Samples`]: what each process has, second by second, and whether it grows.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::station::Station;
use super::{Findings, Stations};
use crate::hosts::{Accounts, Slope, get, rest};

const PACE: Duration = Duration::from_secs(1);

/// For so long after its start a process may grow as it likes.
const WARM_UP: Duration = Duration::from_secs(30);

/// A process that lives shorter after that is not judged.
const LONG: Duration = Duration::from_secs(90);

/// Who is paused does not say how many tasks it has, and nobody waits for that.
const ANSWER_LIMIT: Duration = Duration::from_millis(150);

/// The metric that says so.
const TASKS: &str = "lifecycle_runtime_tasks ";

/// What one process has at one moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    accounts: Accounts,
    /// If it has said so.
    tasks: Option<u64>,
}

/// What is looked at.
#[derive(Debug)]
struct Series {
    what: &'static str,
    of: fn(&Sample) -> Option<u64>,
    /// How many of what is counted make one of what is told.
    unit: f64,
    /// By how much it may grow an hour.
    most: f64,
}

const SERIES: [Series; 4] = [
    Series {
        what: "memory, MiB",
        of: |it| Some(it.accounts.resident),
        unit: 1_024.0,
        most: 24.0,
    },
    Series {
        what: "descriptors",
        of: |it| Some(it.accounts.descriptors),
        unit: 1.0,
        most: 60.0,
    },
    Series {
        what: "threads",
        of: |it| Some(it.accounts.threads),
        unit: 1.0,
        most: 30.0,
    },
    Series {
        what: "tasks",
        of: |it| it.tasks,
        unit: 1.0,
        most: 60.0,
    },
];

/// All samples, by process.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Life>);

/// One process of a host.
#[derive(Debug)]
struct Life {
    name: String,
    process: u32,
    begun: Instant,
    samples: Vec<(Duration, Sample)>,
}

/// How one figure of one process grows.
#[derive(Debug)]
pub(super) struct Growth {
    name: String,
    lived: Duration,
    what: &'static str,
    hourly: Slope,
}

impl Samples {
    /// Takes them until it is over.
    pub(super) fn take(stations: &Stations, over: &AtomicBool) -> Self {
        let mut samples = Self::default();
        let mut due = Instant::now();
        while !over.load(Ordering::Relaxed) {
            for station in stations {
                // It may have gone this very moment.
                let process = station.process();
                if let Ok(accounts) = Accounts::of(process) {
                    let tasks = tasks(station);
                    samples.add(&station.name, process, Sample { accounts, tasks });
                }
            }
            due += PACE;
            rest(due.saturating_duration_since(Instant::now()));
        }
        samples
    }

    fn add(&mut self, name: &str, process: u32, sample: Sample) {
        let known = self.0.iter_mut().find(|it| it.process == process);
        let life = match known {
            Some(life) => life,
            None => {
                self.0.push(Life {
                    name: name.to_owned(),
                    process,
                    begun: Instant::now(),
                    samples: Vec::new(),
                });
                self.0.last_mut().expect("it was pushed")
            }
        };
        life.samples.push((life.begun.elapsed(), sample));
    }

    /// How everything grows in processes that lived long enough; what certainly grows faster than it may is found.
    pub(super) fn slopes(&self, findings: &Findings) -> Vec<Growth> {
        let mut growths = Vec::new();
        for life in &self.0 {
            for series in &SERIES {
                let Some(growth) = life.growth(series) else {
                    continue;
                };
                if growth.hourly.low > series.most {
                    findings.add(&format!("{growth}; {} are allowed", series.most));
                }
                growths.push(growth);
            }
        }
        growths
    }
}

impl Life {
    fn growth(&self, series: &Series) -> Option<Growth> {
        let lived = self.samples.last()?.0;
        if lived < WARM_UP + LONG {
            return None;
        }
        let warm = self.samples.iter().filter(|it| it.0 > WARM_UP);
        let point = |(at, sample): &(Duration, Sample)| {
            let counted = float((series.of)(sample)?);
            Some((at.as_secs_f64() / 3_600.0, counted / series.unit))
        };
        let points: Vec<_> = warm.filter_map(point).collect();
        Some(Growth {
            name: self.name.clone(),
            lived,
            what: series.what,
            hourly: Slope::of(&points)?,
        })
    }
}

impl Growth {
    pub(super) fn document(&self) -> Value {
        json!({
            "process": self.name,
            "lived_s": self.lived.as_secs(),
            "of": self.what,
            "hourly": self.hourly.document(),
        })
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<13} {:>4} s  {:<14} {:>13.2}    {:.2} to {:.2}",
            self.name,
            self.lived.as_secs(),
            self.what,
            self.hourly.estimate,
            self.hourly.low,
            self.hourly.high
        )
    }
}

fn tasks(station: &Station) -> Option<u64> {
    let answer = get(station.diagnostics, "/metrics", ANSWER_LIMIT).ok()?;
    let count = answer.body.lines().find_map(|it| it.strip_prefix(TASKS))?;
    count.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of one process that lived so many seconds, in each of which it opened this many descriptors and left this many tasks.
    fn found(seconds: u64, opened: u64, left: u64) -> usize {
        let samples = (0..seconds).map(|second| {
            let accounts = Accounts {
                resident: 9_000 + second % 7,
                descriptors: 20 + second * opened,
                threads: 5,
            };
            let tasks = (second % 5 != 0).then_some(30 + second % 3 + second * left);
            (Duration::from_secs(second), Sample { accounts, tasks })
        });
        let life = Life {
            name: "plane-1".to_owned(),
            process: 1,
            begun: Instant::now(),
            samples: samples.collect(),
        };
        let findings = Findings::new();
        Samples(vec![life]).slopes(&findings);
        findings.take().len()
    }

    #[test]
    fn a_descriptor_or_a_task_a_second_is_found_in_a_process_that_lives_long_enough() {
        assert_eq!(found(300, 0, 0), 0);
        assert_eq!(found(300, 1, 0), 1);
        assert_eq!(found(300, 0, 1), 1);
        assert_eq!(found(300, 1, 1), 2);
        assert_eq!(found(60, 1, 1), 0);
    }
}
