//! [`Cell`]: everybody under one load.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::RAW;
use super::figures::Figures;
use super::plan;
use super::program::{self, Listed, Program, Ran};

/// A shape of one size, and who runs it.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) shape: String,
    pub(super) count: usize,
    pub(super) entries: Vec<Entry>,
}

/// A contender in a cell.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) keeps: String,
    program: PathBuf,
    pub(super) outcome: Outcome,
    pub(super) runs: Vec<Figures>,
}

/// Whether there are figures, and if not, why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Measured,
    Refused(String),
    Over,
    Failed(String),
}

impl Cell {
    pub(super) fn new(
        shape: &str,
        count: usize,
        programs: &[Program],
        wanted: &dyn Fn(&str) -> bool,
    ) -> Self {
        let entry = |program: &Program, it: &Listed| {
            let reason = it.refuses(shape).or_else(|| plan::beyond(&it.name, count));
            let refused = reason.map(|it| Outcome::Refused(it.to_owned()));
            Entry {
                name: it.name.clone(),
                keeps: it.keeps.clone(),
                program: program.path().clone(),
                outcome: refused.unwrap_or(Outcome::Measured),
                runs: Vec::new(),
            }
        };
        let mut entries = Vec::new();
        for program in programs {
            let asked = program.contenders.iter().filter(|it| wanted(&it.name));
            entries.extend(asked.map(|it| entry(program, it)));
        }
        Self {
            shape: shape.to_owned(),
            count,
            entries,
        }
    }

    /// Runs everybody once who has not dropped out.
    pub(super) fn round(&mut self, counts: bool, limit: Duration) -> Result<()> {
        let still_in = |it: &&mut Entry| it.outcome == Outcome::Measured;
        for entry in self.entries.iter_mut().filter(still_in) {
            let ran = program::run(&entry.program, &entry.name, &self.shape, self.count, limit)?;
            match ran {
                Ran::Figures(figures) if counts => entry.runs.push(figures),
                Ran::Figures(_) => {}
                Ran::Over => entry.outcome = Outcome::Over,
                Ran::Failed(reason) => entry.outcome = Outcome::Failed(reason),
            }
        }
        Ok(())
    }

    /// A contender, if it is asked.
    pub(super) fn entry(&self, name: &str) -> Option<&Entry> {
        self.entries.iter().find(|it| it.name == name)
    }

    /// A figure as a ratio to that of bare tokio.
    pub(super) fn ratio(&self, entry: &Entry, figure: fn(&Figures) -> f64) -> Option<f64> {
        let raw = self.entry(RAW)?;
        Some(figure(&entry.medians()?) / figure(&raw.medians()?))
    }

    /// What every start is held against: the critical path, and what a barrier takes.
    pub(super) fn bounds(&self) -> (f64, f64) {
        let any = self.entries.iter().find_map(Entry::medians);
        any.map_or((0.0, 0.0), |it| (it.critical_path, it.barrier))
    }
}

impl Entry {
    /// Of what was measured, unless it has dropped out.
    pub(super) fn medians(&self) -> Option<Figures> {
        if self.outcome != Outcome::Measured {
            return None;
        }
        Figures::medians(&self.runs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::is_near;

    fn entry(name: &str, outcome: Outcome, starts: &[f64]) -> Entry {
        let run = |start: &f64| Figures {
            start: *start,
            ..Figures::default()
        };
        Entry {
            name: name.to_owned(),
            keeps: "order".to_owned(),
            program: PathBuf::new(),
            outcome,
            runs: starts.iter().map(run).collect(),
        }
    }

    #[test]
    fn ratios_are_to_bare_tokio_and_who_has_dropped_out_has_none() {
        let cell = Cell {
            shape: "flat".to_owned(),
            count: 10,
            entries: vec![
                entry(RAW, Outcome::Measured, &[2.0, 4.0, 3.0]),
                entry("ours", Outcome::Measured, &[6.0, 7.0, 6.0]),
                entry("slow", Outcome::Over, &[1.0]),
            ],
        };
        let ratio = |at: usize| cell.ratio(&cell.entries[at], |it| it.start);
        assert_eq!(ratio(1), Some(2.0));
        assert_eq!(ratio(2), None);
    }

    #[test]
    fn a_quick_run_fails_when_ours_is_many_times_slower_or_fails() {
        let near = |ours| {
            let cell = Cell {
                shape: "flat".to_owned(),
                count: 10,
                entries: vec![entry(RAW, Outcome::Measured, &[1.0]), ours],
            };
            is_near(&cell).expect("it can be printed")
        };
        assert!(near(entry("ours", Outcome::Measured, &[3.0])));
        assert!(near(entry("slow-peer", Outcome::Measured, &[30.0])));
        assert!(!near(entry("ours", Outcome::Measured, &[30.0])));
        assert!(!near(entry("ours", Outcome::Over, &[])));
        let failed = Outcome::Failed("2 components were out of order".to_owned());
        assert!(!near(entry("slow-peer", failed, &[])));
    }
}
