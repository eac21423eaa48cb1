//! [`Screen`]: where answers are written, and in which form.

use std::env;
use std::io::{self, IsTerminal as _, Write as _};

use crate::answer::Answer;
use crate::failure::Failure;

/// How bad something is, as a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Good,
    Busy,
    Bad,
    Faint,
}

impl Style {
    /// That of a state of a component, a node, an operation or a peer.
    pub(crate) fn of_state(state: &str) -> Self {
        match state {
            "running" | "active" | "succeeded" | "alive" | "drained" | "healthy" => Self::Good,
            "faulted" | "failed" | "backing-off" | "unhealthy" | "left" => Self::Bad,
            "created" | "stopped" => Self::Faint,
            _ => Self::Busy,
        }
    }

    fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\u{1b}[32m",
            Self::Busy => "\u{1b}[33m",
            Self::Bad => "\u{1b}[31m",
            Self::Faint => "\u{1b}[2m",
        }
    }
}

/// In which form answers are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people, at 80 columns.
    Table,
    /// The server's document, unchanged.
    Json,
}

/// Where answers are written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Screen {
    pub(crate) output: Output,
    colour: bool,
}

impl Screen {
    /// Standard output; colours only where a person looks, and does not object by `NO_COLOR`.
    pub(crate) fn new(output: Output) -> Self {
        let set = |name| env::var_os(name).filter(|it| !it.is_empty());
        let dumb = set("TERM").is_some_and(|it| it == "dumb");
        let wanted = set("NO_COLOR").is_none() && !dumb;
        Self {
            output,
            colour: wanted && io::stdout().is_terminal(),
        }
    }

    #[cfg(test)]
    pub(crate) fn plain() -> Self {
        Self {
            output: Output::Table,
            colour: false,
        }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    pub(crate) fn paint(&self, style: Style, text: &str) -> String {
        match self.colour && style != Style::Plain {
            true => format!("{}{text}\u{1b}[0m", style.code()),
            false => text.to_owned(),
        }
    }

    /// Prints `text` on standard output.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn print(&self, text: &str) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        written.map_err(|it| Failure::of_output(&it))
    }

    /// Prints the document as it came, or the page that is made of it.
    ///
    /// # Errors
    ///
    /// As [`print`](Self::print).
    pub(crate) fn show(
        &self,
        answer: &Answer,
        page: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.output {
            Output::Table => self.print(&page()),
            Output::Json => self.print(&format!("{}\n", answer.text().trim_end())),
        }
    }

    /// Says how far something is: beside the answer when that is a document.
    ///
    /// # Errors
    ///
    /// As [`print`](Self::print).
    pub(crate) fn progress(&self, text: &str) -> Result<(), Failure> {
        match self.output {
            Output::Table => self.print(&format!("{text}\n")),
            Output::Json => {
                warn(text);
                Ok(())
            }
        }
    }
}

/// Prints a line on standard error; nobody can be told when that fails.
pub(crate) fn warn(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::{Cell, Table};

    #[test]
    fn colours_take_no_columns_and_end_with_their_cell() {
        let screen = Screen {
            colour: true,
            ..Screen::plain()
        };
        let mut table = Table::default();
        table.row([Cell::state("faulted"), Cell::new("a")]);
        table.row([Cell::new("x"), Cell::new("b")]);
        let page = table.render(&screen);
        assert_eq!(page, "\u{1b}[31mfaulted\u{1b}[0m  a\nx        b\n");
    }
}
