//! A chart of the results as SVG: panels of bars, each with its number beside it, so that nothing is told by colour alone.

use std::fmt::Write as _;

use super::cell::{Cell, Entry};
use super::figures::Figures;
use super::report::grouped;
use super::{OURS, RAW};

/// What a panel shows.
struct Panel {
    title: &'static str,
    shape: &'static str,
    count: usize,
    unit: Unit,
    figure: fn(&Figures) -> f64,
}

/// What a bar is a ratio to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Raw,
    CriticalPath,
    Bytes,
}

const PANELS: &[Panel] = &[
    Panel {
        title: "Start, no dependencies",
        shape: "flat",
        count: 10_000,
        unit: Unit::Raw,
        figure: |it| it.start,
    },
    Panel {
        title: "Stop, no dependencies",
        shape: "flat",
        count: 10_000,
        unit: Unit::Raw,
        figure: |it| it.stop,
    },
    Panel {
        title: "Start and stop, a chain",
        shape: "chain",
        count: 10_000,
        unit: Unit::Raw,
        figure: |it| it.start + it.stop,
    },
    Panel {
        title: "Start, one slow component a layer",
        shape: "skew",
        count: 10_000,
        unit: Unit::CriticalPath,
        figure: |it| it.start,
    },
    Panel {
        title: "All fail once, until all run again",
        shape: "crash-storm",
        count: 10_000,
        unit: Unit::Raw,
        figure: |it| it.recovery,
    },
    Panel {
        title: "Memory of a component, in bytes",
        shape: "flat",
        count: 10_000,
        unit: Unit::Bytes,
        figure: |it| it.bytes,
    },
];

const WIDTH: usize = 880;
const COLUMN: usize = 440;
/// Where the bars of a panel begin, and how long the longest is.
const BARS: usize = 190;
const LONGEST: f64 = 170.0;
const ROW: usize = 20;
const HEAD: usize = 44;

/// `None` when nothing that it shows was measured.
pub(super) fn drawn(cells: &[Cell]) -> Option<String> {
    let panels: Vec<_> = PANELS.iter().filter_map(|it| rows(it, cells)).collect();
    let most = panels.iter().map(|it| it.1.len()).max()?;
    let panel_height = HEAD + most * ROW + 16;
    let height = 60 + panels.len().div_ceil(2) * panel_height;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"title description\" font-family=\"system-ui, sans-serif\" font-size=\"13\">\n\
         <title id=\"title\">Orchestrators of {count} components beside bare tokio</title>\n\
         <desc id=\"description\">{description}</desc>\n\
         <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"12\" y=\"26\" font-size=\"16\" font-weight=\"bold\" fill=\"#1a1a1a\">{count} components; shorter is \
         better</text>\n\
         <text x=\"12\" y=\"46\" fill=\"#4a4a4a\">Ours in bold. † ordered by a barrier between layers that the benchmark \
         wrote.</text>\n",
        count = grouped(10_000),
        description = described(&panels),
    );
    for (at, (panel, rows)) in panels.iter().enumerate() {
        let (x, y) = (at % 2 * COLUMN, 60 + at / 2 * panel_height);
        draw(&mut svg, panel, rows, x, y);
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

/// A contender's name and figure.
struct Row {
    name: String,
    is_ours: bool,
    value: f64,
}

fn rows<'a>(panel: &'a Panel, cells: &[Cell]) -> Option<(&'a Panel, Vec<Row>)> {
    let is_it = |it: &&Cell| it.shape == panel.shape && it.count == panel.count;
    let cell = cells.iter().find(is_it)?;
    let rows = cell.entries.iter().filter_map(|it| row(panel, cell, it));
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by(|a, b| a.value.total_cmp(&b.value));
    (!rows.is_empty()).then_some((panel, rows))
}

fn row(panel: &Panel, cell: &Cell, entry: &Entry) -> Option<Row> {
    let figures = entry.medians()?;
    let value = match panel.unit {
        Unit::Raw => cell.ratio(entry, panel.figure)?,
        Unit::CriticalPath => (panel.figure)(&figures) / figures.critical_path,
        Unit::Bytes => (panel.figure)(&figures),
    };
    let is_ordered = !matches!(panel.shape, "flat" | "crash-storm");
    let mark = if is_ordered && entry.keeps == "barrier" {
        " †"
    } else {
        ""
    };
    let name = if entry.name == RAW {
        "bare tokio"
    } else {
        &entry.name
    };
    Some(Row {
        name: format!("{name}{mark}"),
        is_ours: OURS.contains(&entry.name.as_str()),
        value,
    })
}

fn draw(svg: &mut String, panel: &Panel, rows: &[Row], x: usize, y: usize) {
    let unit = match panel.unit {
        Unit::Raw => "times bare tokio",
        Unit::CriticalPath => "times the critical path",
        Unit::Bytes => "shape flat",
    };
    // Writing to a string cannot fail.
    let _ = writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" font-weight=\"bold\" fill=\"#1a1a1a\">{}<tspan font-weight=\"normal\" \
         fill=\"#4a4a4a\"> – {unit}</tspan></text>",
        x + 12,
        y + 28,
        panel.title,
    );
    let most = rows.iter().map(|it| it.value).fold(1.0, f64::max);
    for (at, row) in rows.iter().enumerate() {
        let top = y + HEAD + at * ROW;
        let (weight, colour) = if row.is_ours {
            ("bold", "#0b5cad")
        } else {
            ("normal", "#8a8f98")
        };
        let length = (row.value / most * LONGEST).max(1.0);
        #[expect(clippy::cast_precision_loss, reason = "a place on a page")]
        let end = (x + BARS) as f64 + length + 6.0;
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{}\" text-anchor=\"end\" font-weight=\"{weight}\" fill=\"#1a1a1a\">{}</text>\
             <rect x=\"{}\" y=\"{}\" width=\"{length:.1}\" height=\"12\" fill=\"{colour}\"/>\
             <text x=\"{end:.1}\" y=\"{}\" font-weight=\"{weight}\" fill=\"#1a1a1a\">{}</text>",
            x + BARS - 8,
            top + 12,
            row.name,
            x + BARS,
            top + 2,
            top + 12,
            number(panel.unit, row.value),
        );
    }
}

fn number(unit: Unit, value: f64) -> String {
    match unit {
        Unit::Bytes => format!("{value:.0}"),
        Unit::Raw | Unit::CriticalPath if value >= 100.0 => format!("{value:.0}"),
        Unit::Raw | Unit::CriticalPath => format!("{value:.2}"),
    }
}

/// The chart for who hears it.
fn described(panels: &[(&Panel, Vec<Row>)]) -> String {
    let panel = |(panel, rows): &(&Panel, Vec<Row>)| {
        let row = |it: &Row| format!("{} {}", it.name, number(panel.unit, it.value));
        let rows: Vec<_> = rows.iter().map(row).collect();
        format!("{}: {}.", panel.title, rows.join(", "))
    };
    let panels: Vec<_> = panels.iter().map(panel).collect();
    panels.join(" ")
}
