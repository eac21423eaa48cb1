//! [`Figures`]: what one run has shown, and what several come to.

use anyhow::{Context as _, Result};
use serde_json::Value;

/// Of one run, or the medians of several. Times in milliseconds; what a shape has not is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Figures {
    pub(super) build: f64,
    pub(super) start: f64,
    pub(super) recovery: f64,
    pub(super) stop: f64,
    /// What all threads together have taken of processors for that.
    pub(super) start_cpu: f64,
    pub(super) recovery_cpu: f64,
    pub(super) stop_cpu: f64,
    /// A component, when all run.
    pub(super) bytes: f64,
    /// How long a start takes at least.
    pub(super) critical_path: f64,
    /// How long it takes with a barrier between layers.
    pub(super) barrier: f64,
}

impl Figures {
    /// Of the line that a run prints.
    pub(super) fn read(line: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(line).context("a run has printed no figures")?;
        let figure = |name: &str| {
            let found = value[name].as_f64();
            found.with_context(|| format!("a run has printed no {name}"))
        };
        Ok(Self {
            build: figure("build_ms")?,
            start: figure("start_ms")?,
            recovery: figure("recovery_ms")?,
            stop: figure("stop_ms")?,
            start_cpu: figure("start_cpu_ms")?,
            recovery_cpu: figure("recovery_cpu_ms")?,
            stop_cpu: figure("stop_cpu_ms")?,
            bytes: figure("bytes")?,
            critical_path: figure("critical_path_ms")?,
            barrier: figure("barrier_ms")?,
        })
    }

    /// Of each figure the median; `None` of nothing.
    pub(super) fn medians(of: &[Self]) -> Option<Self> {
        Some(Self {
            build: median(of, |it| it.build)?,
            start: median(of, |it| it.start)?,
            recovery: median(of, |it| it.recovery)?,
            stop: median(of, |it| it.stop)?,
            start_cpu: median(of, |it| it.start_cpu)?,
            recovery_cpu: median(of, |it| it.recovery_cpu)?,
            stop_cpu: median(of, |it| it.stop_cpu)?,
            bytes: median(of, |it| it.bytes)?,
            critical_path: median(of, |it| it.critical_path)?,
            barrier: median(of, |it| it.barrier)?,
        })
    }

    /// From nothing to nothing.
    pub(super) fn total(&self) -> f64 {
        self.start + self.recovery + self.stop
    }
}

/// The middle one; of an even number the upper of the two.
fn median(of: &[Figures], figure: fn(&Figures) -> f64) -> Option<f64> {
    let mut sorted: Vec<_> = of.iter().map(figure).collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// The least and the most.
pub(super) fn range(of: &[Figures], figure: fn(&Figures) -> f64) -> (f64, f64) {
    let of = of.iter().map(figure);
    of.fold((f64::MAX, f64::MIN), |(low, high), it| {
        (low.min(it), high.max(it))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_a_median_of_its_own() {
        let run = |start, stop| Figures {
            start,
            stop,
            ..Figures::default()
        };
        let runs = [run(3.0, 1.0), run(1.0, 2.0), run(2.0, 30.0)];
        assert_eq!(Figures::medians(&runs), Some(run(2.0, 2.0)));
        assert_eq!(Figures::medians(&[]), None);
    }

    #[test]
    fn a_line_without_a_figure_is_refused() {
        assert!(Figures::read("{\"build_ms\": 1.0}").is_err());
    }
}
