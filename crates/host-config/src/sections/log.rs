//! `[log]`: log lines, on standard error.

use lifecycle_runtime::{LogConfig, LogFormat};
use serde::Deserialize;

use crate::kind::Kind::{Filter, OneOf};
use crate::layers::Layers;
use crate::schema::Initial::Is;
use crate::schema::Node::{Leaf, Table};
use crate::schema::{Entry, Group, key};

/// The section.
pub const LOG: Entry = key("log", Table(&GROUP), "log lines");

const GROUP: Group = Group {
    title: "`[log]`",
    text: "Log lines, on standard error.",
    always: true,
    keys: &[&[
        key(
            "filter",
            Leaf(Filter, Is("\"info\"")),
            "which lines are written, as `level` or `target=level`, separated by commas; `RUST_LOG` overrides what the file says, not what a variable or flag says",
        ),
        key(
            "format",
            Leaf(OneOf(&["text", "json"]), Is("\"text\"")),
            "lines for people, or for programs",
        ),
    ]],
};

/// Log output.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Lines for people or for programs.
    pub format: Format,
    /// Which lines are written, as `level` or `target=level`, separated by commas.
    pub filter: String,
    /// Whether `RUST_LOG` overrides the filter: not when a flag or a variable of ours has set it.
    #[serde(skip)]
    pub filter_is_final: bool,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For people; in colours on a terminal.
    Text,
    /// One JSON object a line.
    Json,
}

impl Log {
    /// Takes in who has set the filter.
    pub fn settle(&mut self, layers: &Layers) {
        self.filter_is_final = layers.is_set_by_operator(&["log", "filter"]);
    }

    /// What the runtime's log set-up takes.
    #[must_use]
    pub fn settings(&self) -> LogConfig {
        let defaults = LogConfig::default();
        LogConfig {
            format: match self.format {
                Format::Text => LogFormat::Text,
                Format::Json => LogFormat::Json,
            },
            filter: self.filter.clone(),
            filter_variable: defaults.filter_variable.filter(|_| !self.filter_is_final),
        }
    }
}
