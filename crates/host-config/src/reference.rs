//! The reference page of a schema, for people.

use std::collections::VecDeque;
use std::fmt::Write as _;

use crate::kind::Kind;
use crate::schema::{Entry, Group, Initial, Node, Schema};

impl Schema {
    /// The reference page: every key with its default, in Markdown.
    #[must_use]
    pub fn page(&self) -> String {
        page(self)
    }
}

fn page(schema: &Schema) -> String {
    let mut text = schema.introduction.to_owned();
    for group in groups(&schema.document) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n## {}\n", group.title);
        if !group.text.is_empty() {
            let _ = writeln!(text, "{}\n", group.text);
        }
        text.push_str("| key | value | default | what it says |\n|---|---|---|---|\n");
        for entry in group.entries() {
            text.push_str(&row(entry));
        }
    }
    text
}

fn row(entry: &Entry) -> String {
    let (value, default) = match entry.node {
        Node::Leaf(kind, Initial::Is(text)) => (kind.words(), format!("`{text}`")),
        Node::Leaf(kind, Initial::Required(_)) => (kind.words(), "must be set".to_owned()),
        Node::Leaf(kind, Initial::Unset) => (kind.words(), String::new()),
        Node::Table(group) => (format!("a table: {}", link(group)), String::new()),
        Node::Each(_, group) => (format!("tables by name: {}", link(group)), String::new()),
    };
    format!(
        "| `{}` | {value} | {default} | {} |\n",
        entry.name, entry.text
    )
}

/// A link to the section, by the anchor that its heading gets.
fn link(group: &Group) -> String {
    let anchor: String = group
        .title
        .to_lowercase()
        .chars()
        .filter(|it| it.is_alphanumeric() || matches!(it, ' ' | '-' | '_'))
        .map(|it| if it == ' ' { '-' } else { it })
        .collect();
    let name = group.title.replace('`', "");
    let name = name.replace('[', "\\[").replace(']', "\\]");
    format!("[{name}](#{anchor})")
}

/// Every table, each once, those that others are in first.
fn groups(document: &Group) -> Vec<&Group> {
    let mut found: Vec<&Group> = Vec::new();
    let mut open = VecDeque::from([document]);
    while let Some(group) = open.pop_front() {
        if found.iter().any(|it| it.title == group.title) {
            continue;
        }
        found.push(group);
        let entries = group.entries().into_iter();
        open.extend(entries.filter_map(|it| match it.node {
            Node::Table(inner) | Node::Each(_, inner) => Some(inner),
            Node::Leaf(..) => None,
        }));
    }
    found
}

impl Kind {
    /// What may stand there, for people.
    fn words(self) -> String {
        let list = |choices: &[&str]| {
            let choices = choices.iter().map(|it| format!("`\"{it}\"`"));
            choices.collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::Text => "text".to_owned(),
            Self::Flag => "`true` or `false`".to_owned(),
            Self::Address => "an IP address with a port".to_owned(),
            Self::Duration => "a duration".to_owned(),
            Self::Time => "a duration that is not 0".to_owned(),
            Self::Limit => "a duration, or *never*".to_owned(),
            Self::Number(least, _) => format!("a whole number from {least}"),
            Self::Ratio => "a number from 0 to 1".to_owned(),
            Self::OneOf(choices) => list(choices),
            Self::SomeOf(choices) => format!("a list of {}", list(choices)),
            Self::Backoff => "`\"none\"`, `{ fixed = \"1s\" }`, or `{ exponential = { initial = \"100ms\", factor = 2.0, cap = \"30s\" } }`".to_owned(),
            Self::Filter => "a filter".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
            Self::Labels => "a table of texts, such as `{ zone = \"z1\" }`".to_owned(),
        }
    }
}
