//! How numbers, times and tables are written for people.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use crate::screen::{Screen, Style};

/// How many columns a page takes. Names are never cut, so that they can be copied.
pub(crate) const WIDTH: usize = 80;

/// What stands for nothing.
pub(crate) const NOTHING: &str = "–";

/// A length as two figures that matter: `0.7 ms`, `207 ms`, `1.2 s`, `2 min 5 s`, `3 h 12 min`, `4 d 3 h`.
pub(crate) fn length(ms: f64) -> String {
    let tenths = (ms * 10.0).round() / 10.0;
    let seconds = ms / 1e3;
    // The limits are those of what is printed: 999.6 ms is a second.
    if tenths < 10.0 {
        return format!("{tenths} ms");
    }
    if ms.round() < 1e3 {
        return format!("{} ms", ms.round());
    }
    if (seconds * 10.0).round() < 600.0 {
        return format!("{} s", (seconds * 10.0).round() / 10.0);
    }
    let seconds = seconds.round() as u64;
    let (minutes, hours) = (seconds / 60, seconds / 3600);
    match (hours, hours / 24) {
        (0, _) => pair(minutes, "min", seconds % 60, "s"),
        (_, 0) => pair(hours, "h", minutes % 60, "min"),
        (_, days) => pair(days, "d", hours % 24, "h"),
    }
}

fn pair(major: u64, unit: &str, minor: u64, small: &str) -> String {
    match minor {
        0 => format!("{major} {unit}"),
        _ => format!("{major} {unit} {minor} {small}"),
    }
}

/// As [`length`].
pub(crate) fn span(length_of: Duration) -> String {
    length(length_of.as_secs_f64() * 1e3)
}

/// From one time to another; none when the first is the later one.
pub(crate) fn between(from: Timestamp, to: Timestamp) -> String {
    let passed = to.duration_since(from).max(SignedDuration::ZERO);
    length(passed.as_secs_f64() * 1e3)
}

/// A point in time, and how far it is from now: `2026-11-28 06:50:02 UTC, 12 s ago`.
pub(crate) fn moment(at: Timestamp, now: Timestamp) -> String {
    let relative = match at > now {
        true => format!("in {}", between(now, at)),
        false => format!("{} ago", between(at, now)),
    };
    format!("{}, {relative}", at.strftime("%Y-%m-%d %H:%M:%S UTC"))
}

/// `1 component`, `2 components`.
pub(crate) fn counted(count: usize, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// Names in a row, at most `limit` of them.
pub(crate) fn listed<T: AsRef<str>>(names: &[T], limit: usize) -> String {
    let shown: Vec<_> = names.iter().take(limit).map(AsRef::as_ref).collect();
    let more = names.len() - shown.len();
    match more {
        0 => shown.join(", "),
        _ => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `text` broken at blanks, so that each line fits beside `indent` columns; the lines after the first are indented.
pub(crate) fn wrapped(text: &str, indent: usize) -> String {
    wrapped_from(text, indent, indent)
}

/// As [`wrapped`], where the first line begins at column `first`.
pub(crate) fn wrapped_from(text: &str, first: usize, indent: usize) -> String {
    let mut page = String::new();
    let mut column = first;
    for word in text.split_whitespace() {
        let begins = page.is_empty();
        if !begins && column + 1 + width(word) > WIDTH {
            page.push('\n');
            page.push_str(&" ".repeat(indent));
            column = indent;
        } else if !begins {
            page.push(' ');
            column += 1;
        }
        page.push_str(word);
        column += width(word);
    }
    page
}

pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// `text` without what could move the cursor or colour the terminal: it came from somewhere else.
pub(crate) fn plain(text: &str) -> String {
    let harmless = |it: char| match it.is_control() {
        true => ' ',
        false => it,
    };
    text.chars().map(harmless).collect()
}

/// One cell of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self::styled(text, Style::Plain)
    }

    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self {
            text: plain(text.as_ref()),
            style,
        }
    }

    /// A state, in the colour of how bad it is.
    pub(crate) fn state(state: &str) -> Self {
        Self::styled(state, Style::of_state(state))
    }
}

/// Rows of a table with columns of equal width, and remarks below some of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    rows: Vec<(Vec<Cell>, Option<String>)>,
}

impl Table {
    pub(crate) fn titled(titles: &[&str]) -> Self {
        let mut table = Self::default();
        table.row(titles.iter().map(|it| Cell::styled(it, Style::Faint)));
        table
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push((cells.into_iter().collect(), None));
    }

    /// Puts `remark` below the last row, wrapped and indented.
    pub(crate) fn remark(&mut self, remark: &str) {
        if let Some((_, slot)) = self.rows.last_mut() {
            *slot = Some(plain(remark));
        }
    }

    pub(crate) fn render(&self, screen: &Screen) -> String {
        let columns = self.rows.iter().map(|(cells, _)| cells.len()).max();
        let widths: Vec<_> = (0..columns.unwrap_or(0))
            .map(|column| self.width_of(column))
            .collect();
        let mut page = String::new();
        for (cells, remark) in &self.rows {
            page.push_str(&line(cells, &widths, screen));
            if let Some(remark) = remark {
                page.push_str("    ");
                page.push_str(&wrapped(remark, 4));
                page.push('\n');
            }
        }
        page
    }

    fn width_of(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|(cells, _)| cells.get(column));
        cells.map(|it| width(&it.text)).max().unwrap_or(0)
    }
}

/// Cells side by side; the last one is wrapped below itself.
fn line(cells: &[Cell], widths: &[usize], screen: &Screen) -> String {
    let mut line = String::new();
    let mut indent = 0;
    for (index, (cell, width_of)) in cells.iter().zip(widths).enumerate() {
        if index + 1 == cells.len() {
            line.push_str(&screen.paint(cell.style, &wrapped(&cell.text, indent)));
            break;
        }
        line.push_str(&screen.paint(cell.style, &cell.text));
        line.push_str(&" ".repeat(width_of - width(&cell.text) + 2));
        indent += width_of + 2;
    }
    format!("{}\n", line.trim_end())
}

/// Keys and values below each other, values in one column.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts(Vec<(&'static str, Vec<(String, Style)>)>);

impl Facts {
    pub(crate) fn add(&mut self, key: &'static str, value: impl AsRef<str>) {
        self.add_styled(key, value, Style::Plain);
    }

    /// Values of a key that was there already go below the first.
    pub(crate) fn add_styled(&mut self, key: &'static str, value: impl AsRef<str>, style: Style) {
        let value = (plain(value.as_ref()), style);
        match self.0.iter_mut().find(|(it, _)| *it == key) {
            Some((_, values)) => values.push(value),
            None => self.0.push((key, vec![value])),
        }
    }

    pub(crate) fn render(&self, screen: &Screen) -> String {
        let column = self.0.iter().map(|(key, _)| width(key)).max().unwrap_or(0) + 2;
        let mut page = String::new();
        for (key, values) in &self.0 {
            for (index, (value, style)) in values.iter().enumerate() {
                let shown = if index == 0 { key } else { "" };
                let value = screen.paint(*style, &wrapped(value, column));
                page.push_str(&format!("{shown:column$}{value}\n"));
            }
        }
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_two_figures_that_matter() {
        let written = [
            (0.0, "0 ms"),
            (0.675, "0.7 ms"),
            (9.96, "10 ms"),
            (207.4, "207 ms"),
            (999.6, "1 s"),
            (1_240.0, "1.2 s"),
            (59_960.0, "1 min"),
            (125_000.0, "2 min 5 s"),
            (11_520_000.0, "3 h 12 min"),
            (356_400_000.0, "4 d 3 h"),
        ];
        for (ms, text) in written {
            assert_eq!(length(ms), text, "{ms}");
        }
    }

    #[test]
    fn times_say_how_far_they_are_in_both_directions() {
        let now: Timestamp = "2026-11-28T06:50:12Z".parse().unwrap();
        let past = "2026-11-28T06:50:02Z".parse().unwrap();
        let coming = "2026-11-28T06:51:12Z".parse().unwrap();
        assert_eq!(moment(past, now), "2026-11-28 06:50:02 UTC, 10 s ago");
        assert_eq!(moment(coming, now), "2026-11-28 06:51:12 UTC, in 1 min");
        assert_eq!(between(coming, now), "0 ms");
    }

    #[test]
    fn text_is_broken_at_blanks_and_a_long_word_stays_whole() {
        let long = "x".repeat(90);
        let text = wrapped(&format!("{} {long} end", "word ".repeat(15)), 4);
        let lines: Vec<_> = text.lines().collect();
        assert!(width(lines[0]) <= WIDTH - 4);
        assert_eq!(lines[1], format!("    {long}"));
        assert_eq!(lines[2], "    end");
    }

    #[test]
    fn what_came_from_elsewhere_cannot_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[31mb\nc\u{9b}d"), "a [31mb c d");
    }

    #[test]
    fn a_table_leaves_no_blanks_at_the_ends_of_lines() {
        let mut table = Table::titled(&["NAME", "STATE"]);
        table.row([Cell::new("a"), Cell::new("")]);
        table.remark("because");
        let page = table.render(&Screen::plain());
        assert_eq!(page, "NAME  STATE\na\n    because\n");
    }
}
