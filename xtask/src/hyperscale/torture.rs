//! [`Torture`]: one scene of `torture-host`.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Outcome;
use crate::hosts::{Host, Programs, Slope, get, milliseconds, rest};

/// How long the scene may take from its start to its end.
const SCENE: Duration = Duration::from_secs(300);

/// How much longer than its own deadline the host may take to end after the signal: for what it left behind, and for its report.
const BEYOND: Duration = Duration::from_secs(10);

/// How long a probe may take, on a machine that has other work too.
const PROBE: Duration = Duration::from_secs(5);

/// A scene, and what is judged from outside.
#[derive(Debug)]
pub(super) struct Torture {
    /// As for a shell, without quoting.
    pub(super) arguments: String,
    /// By how many KiB the memory may grow in a thousand rounds, with a confidence of 95 %.
    pub(super) growth: Option<f64>,
}

impl Torture {
    pub(super) fn run(&self, name: &str, programs: &Programs, folder: &Path) -> Result<Outcome> {
        let mut command = programs.command("torture-host");
        command
            .args(self.arguments.split_whitespace())
            .arg("--until-signal");
        let log = folder.join(format!("{}.log", name.replace(' ', "-")));
        let mut host = Host::start(name, command, &log)?;
        let address = host.address("running", SCENE)?;
        let (played, worst) = probed(address, || host.line("over", SCENE));
        played?;
        let asked = Instant::now();
        host.signal("TERM")?;
        let status = host.exit(SCENE)?;
        let stop = asked.elapsed();
        let line = host.last_line().context("it has printed no report")?;
        let report: Value = serde_json::from_str(&line)
            .with_context(|| format!("its report is not JSON: {line}"))?;
        let mut outcome = self.judge(&report, stop);
        outcome
            .remark
            .push_str(&format!(", /livez at worst {} ms", milliseconds(worst)));
        if worst > PROBE {
            outcome
                .faults
                .push(format!("/livez took {worst:?}; it may take {PROBE:?}"));
        }
        if !status.success() && outcome.faults.is_empty() {
            outcome.faults.push(format!(
                "it ended with {status} although its report is good"
            ));
        }
        Ok(outcome)
    }

    fn judge(&self, report: &Value, stop: Duration) -> Outcome {
        let count = |path: &str| report.pointer(path).and_then(Value::as_u64);
        let mut faults: Vec<_> = report["violations"].as_array().map_or_else(
            || vec!["a report without violations".into()],
            |it| it.iter().map(Value::to_string).collect(),
        );
        let deadline = Duration::from_millis(count("/stop/deadline").unwrap_or_default());
        if stop > deadline + BEYOND {
            faults.push(format!(
                "it took {stop:?} to end; its deadline is {deadline:?}"
            ));
        }
        let mut remark = format!(
            "{} ran, {} lost, {} restarted, {} with others, budget {}/{}, {} aborted",
            count("/start/most_running").unwrap_or_default(),
            count("/faults/lost").unwrap_or_default(),
            count("/faults/restarted").unwrap_or_default(),
            count("/faults/taken_down").unwrap_or_default(),
            count("/faults/most_restarts").unwrap_or_default(),
            count("/faults/budget").unwrap_or_default(),
            count("/faults/aborted").unwrap_or_default(),
        );
        let mut document = report.clone();
        if let Some(limit) = self.growth {
            match growth(report) {
                Some(slope) => {
                    remark = format!(
                        "grows by {:.1} KiB in a thousand rounds, {:.1} to {:.1}",
                        slope.estimate, slope.low, slope.high
                    );
                    document["growth"] = slope.document();
                    if slope.high > limit {
                        faults.push(format!(
                            "may grow by {:.1} KiB in a thousand rounds; {limit} are allowed",
                            slope.high
                        ));
                    }
                }
                None => faults.push("too few samples for a slope".to_owned()),
            }
        }
        Outcome {
            start: count("/start/all_run_after").or_else(|| count("/start/took")),
            stop: Some(milliseconds(stop)),
            peak: count("/memory/peak").unwrap_or_default(),
            remark,
            faults,
            document,
        }
    }
}

/// Asks for `/livez` again and again while something is waited for; gives what was waited for, and the longest that an answer took.
/// No answer counts as longer than any.
fn probed<T>(address: SocketAddr, wait: impl FnOnce() -> T) -> (T, Duration) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let probes = scope.spawn(|| {
            let mut worst = Duration::ZERO;
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                let answered = get(address, "/livez", PROBE).is_ok_and(|it| it.status == 200);
                let took = if answered {
                    begun.elapsed()
                } else {
                    Duration::MAX
                };
                worst = worst.max(took);
                rest(Duration::from_millis(50));
            }
            worst
        });
        let waited = wait();
        over.store(true, Ordering::Relaxed);
        (waited, probes.join().unwrap_or(Duration::MAX))
    })
}

/// Of what is resident, after the first third: until then pools and arenas fill.
fn growth(report: &Value) -> Option<Slope> {
    let samples = report
        .pointer("/measured/resident_after_rounds")?
        .as_array()?;
    let point = |it: &Value| Some((it.get(0)?.as_f64()? / 1e3, it.get(1)?.as_f64()?));
    let points: Vec<_> = samples.iter().filter_map(point).collect();
    Slope::of(&points[points.len() / 3..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(violations: &[&str]) -> Value {
        let samples: Vec<_> = (0..60).map(|it| json!([it * 100, 5_000 + it])).collect();
        json!({
            "violations": violations,
            "start": { "took": 12 },
            "stop": { "deadline": 20_000 },
            "memory": { "peak": 7_000 },
            "measured": { "resident_after_rounds": samples },
        })
    }

    fn faults(growth: Option<f64>, report: &Value, stop: u64) -> usize {
        let torture = Torture {
            arguments: String::new(),
            growth,
        };
        let outcome = torture.judge(report, Duration::from_secs(stop));
        outcome.faults.len()
    }

    #[test]
    fn a_broken_promise_a_late_end_and_a_memory_that_grows_are_faults() {
        assert_eq!(faults(None, &report(&[]), 3), 0);
        assert_eq!(faults(None, &report(&["budget: …"]), 3), 1);
        assert_eq!(faults(None, &report(&[]), 31), 1);
        // By 10 KiB in a thousand.
        assert_eq!(faults(Some(11.0), &report(&[]), 3), 0);
        assert_eq!(faults(Some(9.0), &report(&[]), 3), 1);
        assert_eq!(faults(None, &json!({}), 0), 1);
    }
}
