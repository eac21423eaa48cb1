//! The little of Markdown that the rules need: lines outside fences, code spans, tables, headings.

/// The lines that are not in a fenced block, with their numbers.
pub(crate) fn lines(content: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    content.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// What stands between backticks.
pub(crate) fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A line without its code spans.
pub(crate) fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// One row of a table below its head.
#[derive(Debug)]
pub(crate) struct TableRow<'a> {
    pub(crate) line: usize,
    head: Vec<&'a str>,
    pub(crate) cells: Vec<&'a str>,
}

impl<'a> TableRow<'a> {
    pub(crate) fn column(&self, name: &str) -> Option<usize> {
        self.head.iter().position(|it| *it == name)
    }

    pub(crate) fn cell(&self, name: &str) -> Option<&'a str> {
        self.cells.get(self.column(name)?).copied()
    }
}

/// The rows of every table.
pub(crate) fn table_rows(content: &str) -> Vec<TableRow<'_>> {
    let mut rows = Vec::new();
    let mut head = Vec::new();
    for (line, text) in lines(content) {
        if !text.starts_with('|') {
            head.clear();
            continue;
        }
        let cells = cells_of(text);
        let is_rule = cells
            .iter()
            .all(|it| it.bytes().all(|it| matches!(it, b'-' | b':')));
        if head.is_empty() {
            head = cells;
        } else if !is_rule {
            rows.push(TableRow {
                line,
                head: head.clone(),
                cells,
            });
        }
    }
    rows
}

/// The cells of a line; `\|` divides nothing.
fn cells_of(line: &str) -> Vec<&str> {
    let line = line.trim().trim_matches('|');
    let mut cells = Vec::new();
    let mut begin = 0;
    for (at, _) in line.match_indices('|') {
        if !line[..at].ends_with('\\') {
            cells.push(line[begin..at].trim());
            begin = at + 1;
        }
    }
    cells.push(line[begin..].trim());
    cells
}

/// The fragments by which the headings of a page can be linked.
pub(crate) fn fragments(content: &str) -> impl Iterator<Item = String> {
    lines(content).filter_map(|(_, line)| {
        let heading = line.strip_prefix('#')?.trim_start_matches('#');
        Some(fragment(heading.trim()))
    })
}

fn fragment(heading: &str) -> String {
    let kept = heading.chars().filter_map(|it| match it {
        ' ' => Some('-'),
        '-' | '_' => Some(it),
        _ if it.is_alphanumeric() => Some(it),
        _ => None,
    });
    kept.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fenced_lines_are_left_out_and_numbers_stay() {
        let found: Vec<_> = lines("a\n```rust\nb\n```\nc").collect();
        assert_eq!(found, [(1, "a"), (5, "c")]);
    }

    #[test]
    fn a_row_knows_its_cells_by_the_head_of_its_table() {
        let rows = table_rows("| # | Tests |\n|---|---|\n| 1 | `a\\|b` |\n\n| # |\n|---|\n| 2 |\n");
        let found: Vec<_> = rows.iter().map(|it| (it.line, it.cell("Tests"))).collect();
        assert_eq!(found, [(3, Some("`a\\|b`")), (7, None)]);
    }

    #[test]
    fn code_is_told_from_text() {
        let line = "see `a/b` and [x](y), `c`";
        assert_eq!(code_spans(line).collect::<Vec<_>>(), ["a/b", "c"]);
        assert_eq!(without_code(line), "see ` and [x](y), `");
    }

    #[test]
    fn a_heading_is_linked_as_renderers_do() {
        assert_eq!(
            fragments("## 1.2 Start, `stop`\n").collect::<Vec<_>>(),
            ["12-start-stop"]
        );
    }
}
