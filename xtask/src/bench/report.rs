//! [`Report`]: the results as tables for people, and as JSON with everything that was seen.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

use super::cell::{Cell, Entry, Outcome};
use super::chart;
use super::figures::{Figures, range};
use super::{OURS, RAW};
use crate::process::{output_of, root, say};

/// What the deadline of [`super::plan`]'s shape `hung` is, in milliseconds.
const DEADLINE: f64 = 1_000.0;

/// Under which conditions it was measured.
#[derive(Debug)]
pub(super) struct Conditions {
    rounds: usize,
    limit: u64,
    processors: usize,
    load_before: String,
}

impl Conditions {
    pub(super) fn begin(rounds: usize, limit: u64) -> Result<Self> {
        Ok(Self {
            rounds,
            limit,
            processors: available_parallelism()?.get(),
            load_before: load()?,
        })
    }
}

/// The three averages of the system; another program's work is in them as well as ours.
fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    let words: Vec<_> = text.split(' ').take(3).collect();
    Ok(words.join(" "))
}

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Report<'a> {
    conditions: Conditions,
    load_after: String,
    cells: &'a [Cell],
}

impl<'a> Report<'a> {
    pub(super) fn new(conditions: Conditions, cells: &'a [Cell]) -> Result<Self> {
        Ok(Self {
            conditions,
            load_after: load()?,
            cells,
        })
    }

    pub(super) fn tell(&self) -> Result<()> {
        say(self.tables())
    }

    /// Below `target`, and where the documents look for it when that is asked for.
    pub(super) fn keep(&self, write: bool) -> Result<()> {
        self.keep_in("target/bench")?;
        if write {
            self.keep_in("docs/bench")?;
        }
        Ok(())
    }

    fn keep_in(&self, folder: &str) -> Result<()> {
        let path = root().join(folder);
        fs::create_dir_all(&path)?;
        let put = |name: &str, text: &str| {
            let path: &Path = &path.join(name);
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
        };
        put("results.json", &self.json()?)?;
        put("tables.md", &self.tables())?;
        if let Some(drawn) = chart::drawn(self.cells) {
            put("chart.svg", &drawn)?;
        }
        say(format_args!("kept in {folder}"))
    }

    /// One line a contender, so that two results can be compared line by line.
    fn json(&self) -> Result<String> {
        let it = &self.conditions;
        let mut lines = Vec::new();
        for cell in self.cells {
            for entry in &cell.entries {
                lines.push(format!("    {}", serde_json::to_string(&row(cell, entry))?));
            }
        }
        let conditions = json!({
            "rounds": it.rounds,
            "warm-up": 1,
            "limit-s": it.limit,
            "threads": 2,
            "processors": it.processors,
            "rustc": output_of(&["rustc", "--version"]).unwrap_or_default().trim(),
            "load-before": it.load_before,
            "load-after": self.load_after,
        });
        let conditions = serde_json::to_string(&conditions)?;
        let lines = lines.join(",\n");
        Ok(format!(
            "{{\n  \"conditions\": {conditions},\n  \"results\": [\n{lines}\n  ]\n}}\n"
        ))
    }

    fn tables(&self) -> String {
        let it = &self.conditions;
        let mut text = format!(
            "# Results of the benchmark\n\nWritten by `cargo xtask bench --write`; what it means is in \
             [the page on performance](../performance.md).\n\nMedian of {} rounds after a warm-up, on {} processors; \
             load averages {} before and {} after, our own load included.\n",
            it.rounds, it.processors, it.load_before, self.load_after,
        );
        let mut rest = self.cells;
        while let Some(first) = rest.first() {
            let same = rest.iter().take_while(|it| it.shape == first.shape).count();
            let (cells, others) = rest.split_at(same);
            text.push_str(&table(cells));
            rest = others;
        }
        text.push_str(&memory(self.cells));
        text
    }
}

/// What a figure of a shape is.
enum Kind {
    /// Start and stop, as ratios to bare tokio.
    StartStop,
    /// The start, as a ratio to the critical path.
    CriticalPath,
    /// Until everything runs again, as a ratio to bare tokio.
    Recovery,
    /// How long after the deadline the stop has ended.
    Deadline,
}

impl Kind {
    fn of(shape: &str) -> Self {
        match shape {
            "layers" | "lanes" | "skew" => Self::CriticalPath,
            "crash-storm" => Self::Recovery,
            "hung" => Self::Deadline,
            _ => Self::StartStop,
        }
    }

    fn legend(&self) -> &'static str {
        match self {
            Self::StartStop => {
                "start / stop, and in brackets the processor time of all threads for each; of bare tokio in milliseconds, of all \
                 others in times of that"
            }
            Self::CriticalPath => "start, in times of the critical path",
            Self::Recovery => {
                "until everything runs again, and in brackets the processor time for that; of bare tokio in milliseconds, of \
                 all others in times of that"
            }
            Self::Deadline => {
                "how much later than the deadline the stop has ended, in milliseconds"
            }
        }
    }
}

fn table(cells: &[Cell]) -> String {
    let Some(first) = cells.first() else {
        return String::new();
    };
    let kind = Kind::of(&first.shape);
    let mut text = format!("\n## {}\n\n{}.", first.shape, kind.legend());
    if let Kind::CriticalPath = kind {
        for cell in cells {
            let (critical, barrier) = cell.bounds();
            let count = grouped(cell.count);
            text.push_str(&format!(
                " Of {count}: critical path {critical:.0} ms, with a barrier between layers at least {barrier:.0} ms."
            ));
        }
    }
    text.push_str("\n\n|");
    for cell in cells {
        text.push_str(&format!(" | {}", grouped(cell.count)));
    }
    text.push_str(" |\n|---");
    text.push_str(&"|---".repeat(cells.len()));
    text.push_str("|\n");
    for entry in &first.entries {
        text.push_str(&format!("| {}", label(entry, &first.shape)));
        for cell in cells {
            let entry = cell.entry(&entry.name);
            let figure = entry.map_or_else(|| "–".to_owned(), |it| figure(&kind, cell, it));
            text.push_str(&format!(" | {figure}"));
        }
        text.push_str(" |\n");
    }
    text
}

fn label(entry: &Entry, shape: &str) -> String {
    let is_ordered = !matches!(shape, "flat" | "stop-slow" | "crash-storm");
    let mark = if entry.keeps == "barrier" && is_ordered {
        " †"
    } else {
        ""
    };
    if OURS.contains(&entry.name.as_str()) {
        return format!("**{}**", entry.name);
    }
    format!("{}{mark}", entry.name)
}

fn figure(kind: &Kind, cell: &Cell, entry: &Entry) -> String {
    let figures = match (&entry.outcome, entry.medians()) {
        (Outcome::Measured, Some(figures)) => figures,
        (Outcome::Measured, None) => return "not run".to_owned(),
        (Outcome::Refused(reason), _) => return reason.clone(),
        (Outcome::Over, _) => return "over".to_owned(),
        (Outcome::Failed(_), _) => return "failed".to_owned(),
    };
    let ratio = |figure: fn(&Figures) -> f64| cell.ratio(entry, figure).unwrap_or(f64::NAN);
    let is_raw = entry.name == RAW;
    match kind {
        Kind::StartStop if is_raw => format!(
            "{:.1} / {:.1} ms ({:.1} / {:.1})",
            figures.start, figures.stop, figures.start_cpu, figures.stop_cpu
        ),
        Kind::StartStop => format!(
            "{:.2} / {:.2} ({:.2} / {:.2})",
            ratio(|it| it.start),
            ratio(|it| it.stop),
            ratio(|it| it.start_cpu),
            ratio(|it| it.stop_cpu)
        ),
        Kind::CriticalPath => format!("{:.2}", figures.start / figures.critical_path),
        Kind::Recovery if is_raw => {
            format!("{:.1} ms ({:.1})", figures.recovery, figures.recovery_cpu)
        }
        Kind::Recovery => format!(
            "{:.2} ({:.2})",
            ratio(|it| it.recovery),
            ratio(|it| it.recovery_cpu)
        ),
        Kind::Deadline => format!("{:+.1}", figures.stop - DEADLINE),
    }
}

/// Bytes a component, where nothing else is in them.
fn memory(cells: &[Cell]) -> String {
    let flat: Vec<_> = cells.iter().filter(|it| it.shape == "flat").collect();
    let Some(first) = flat.first() else {
        return String::new();
    };
    let mut text = "\n## Memory\n\nBytes a component when all run, shape flat: pages of the process that are no file's, less \
                    what there was before.\n\n|"
        .to_owned();
    for cell in &flat {
        text.push_str(&format!(" | {}", grouped(cell.count)));
    }
    text.push_str(" |\n|---");
    text.push_str(&"|---".repeat(flat.len()));
    text.push_str("|\n");
    for entry in &first.entries {
        text.push_str(&format!("| {}", label(entry, "flat")));
        for cell in &flat {
            let bytes = cell.entry(&entry.name).and_then(Entry::medians);
            let bytes = bytes.map(|it| it.bytes);
            let told = bytes.map_or_else(|| "–".to_owned(), |it| format!("{it:.0}"));
            text.push_str(&format!(" | {told}"));
        }
        text.push_str(" |\n");
    }
    text
}

/// A figure of a run.
type Figure = fn(&Figures) -> f64;

/// What is kept of each.
const NAMED: &[(&str, Figure)] = &[
    ("build-ms", |it| it.build),
    ("start-ms", |it| it.start),
    ("recovery-ms", |it| it.recovery),
    ("stop-ms", |it| it.stop),
    ("start-cpu-ms", |it| it.start_cpu),
    ("recovery-cpu-ms", |it| it.recovery_cpu),
    ("stop-cpu-ms", |it| it.stop_cpu),
    ("bytes", |it| it.bytes),
];

fn row(cell: &Cell, entry: &Entry) -> Value {
    let mut row = Map::new();
    let mut put = |name: &str, value: Value| row.insert(name.to_owned(), value);
    put("shape", json!(cell.shape));
    put("count", json!(cell.count));
    put("contender", json!(entry.name));
    put("keeps", json!(entry.keeps));
    match &entry.outcome {
        Outcome::Measured => put("outcome", json!("measured")),
        Outcome::Refused(reason) => put("outcome", json!(format!("refused: {reason}"))),
        Outcome::Over => put("outcome", json!("over")),
        Outcome::Failed(reason) => put("outcome", json!(format!("failed: {reason}"))),
    };
    let Some(medians) = entry.medians() else {
        return Value::Object(row);
    };
    for (name, figure) in NAMED {
        let (low, high) = range(&entry.runs, *figure);
        if high > 0.0 {
            let [median, low, high] = [figure(&medians), low, high].map(thousandths);
            put(
                name,
                json!({ "median": median, "least": low, "most": high }),
            );
        }
    }
    Value::Object(row)
}

fn thousandths(figure: f64) -> f64 {
    (figure * 1e3).round() / 1e3
}

/// With thin spaces between thousands, as the documents write numbers.
pub(super) fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_in_the_documents() {
        assert_eq!(grouped(100), "100");
        assert_eq!(grouped(100_000), "100 000");
    }
}
