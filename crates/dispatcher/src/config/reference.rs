//! What the table of keys looks like for people and for editors.

use std::collections::VecDeque;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::config::kind::{Kind, inline};
use crate::config::schema::{DOCUMENT, Entry, Group, Initial, Node};

/// The reference page.
pub(crate) fn page() -> String {
    let mut text = INTRODUCTION.to_owned();
    for group in groups() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "\n## {}\n", group.title);
        if !group.text.is_empty() {
            let _ = writeln!(text, "{}\n", group.text);
        }
        text.push_str("| key | value | default | what it says |\n|---|---|---|---|\n");
        for entry in group.entries {
            text.push_str(&row(entry));
        }
    }
    text
}

const INTRODUCTION: &str = "\
# Configuration of the dispatcher

Every key of the file that `dispatcher --config FILE` reads, in TOML. This page is the output of
`dispatcher config schema --markdown`, and a test compares the two; `dispatcher config schema` prints the same as a JSON schema for
editors. How the sources go together is told in [dispatcher.md](dispatcher.md#configuration).

Durations are written `250ms`, `10s`, `1m30s`; where *never* is allowed, that is `\"never\"`. Without a file the service is `echo`, with
`echo = true`, the HTTP inbound `0` on 127.0.0.1:8080 and the gRPC inbound `0` on 127.0.0.1:9090.
";

fn row(entry: &Entry) -> String {
    let (value, default) = match entry.node {
        Node::Leaf(kind, Initial::Is(text)) => (kind.words(), format!("`{text}`")),
        Node::Leaf(kind, Initial::Required(_)) => (kind.words(), "must be set".to_owned()),
        Node::Leaf(kind, Initial::Unset) => (kind.words(), String::new()),
        Node::Table(group) => (format!("a table: {}", link(group)), String::new()),
        Node::Each(group) => (format!("tables by name: {}", link(group)), String::new()),
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
fn groups() -> Vec<&'static Group> {
    let mut found: Vec<&Group> = Vec::new();
    let mut open = VecDeque::from([&DOCUMENT]);
    while let Some(group) = open.pop_front() {
        if found.iter().any(|it| it.title == group.title) {
            continue;
        }
        found.push(group);
        open.extend(group.entries.iter().filter_map(|it| match it.node {
            Node::Table(inner) | Node::Each(inner) => Some(inner),
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
            Self::OneOf(choices) => list(choices),
            Self::SomeOf(choices) => format!("a list of {}", list(choices)),
            Self::Backoff => "`\"none\"`, `{ fixed = \"1s\" }`, or `{ exponential = { initial = \"100ms\", factor = 2.0, cap = \"30s\" } }`".to_owned(),
            Self::Filter => "a filter".to_owned(),
            Self::Texts => "a list of texts".to_owned(),
        }
    }

    /// What may stand there, as a JSON schema.
    fn schema(self) -> Value {
        match self {
            Self::Text | Self::Address | Self::Filter => json!({ "type": "string" }),
            Self::Flag => json!({ "type": "boolean" }),
            Self::Duration | Self::Time => json!({ "type": "string", "pattern": LENGTH }),
            Self::Limit => json!({ "anyOf": [{ "const": "never" }, Self::Duration.schema()] }),
            Self::Number(least, most) => {
                json!({ "type": "integer", "minimum": least, "maximum": most })
            }
            Self::OneOf(choices) => json!({ "enum": choices }),
            Self::SomeOf(choices) => {
                json!({ "type": "array", "items": { "enum": choices }, "minItems": 1, "uniqueItems": true })
            }
            Self::Backoff => backoff(),
            Self::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        }
    }
}

/// A duration, such as `1m30s`: that it has digits and units. More is checked when it is read.
const LENGTH: &str = "^[ ]*[0-9]";

fn backoff() -> Value {
    let length = Kind::Duration.schema();
    let closed = |properties: Value, required: &[&str]| {
        json!({
            "type": "object", "additionalProperties": false,
            "properties": properties, "required": required,
        })
    };
    let curve = json!({ "initial": length, "factor": { "type": "number" }, "cap": length });
    let curve = closed(curve, &["initial", "factor", "cap"]);
    json!({ "anyOf": [
        { "const": "none" },
        closed(json!({ "fixed": length }), &["fixed"]),
        closed(json!({ "exponential": curve }), &["exponential"]),
    ] })
}

/// The JSON schema (2020-12) of the file.
pub(crate) fn json_schema() -> String {
    let mut schema = object(&DOCUMENT);
    if let Value::Object(members) = &mut schema {
        let dialect = "https://json-schema.org/draft/2020-12/schema";
        members.insert("$schema".to_owned(), dialect.into());
        members.insert("title".to_owned(), "Configuration of the dispatcher".into());
    }
    format!("{schema:#}\n")
}

fn object(group: &Group) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for entry in group.entries {
        let mut property = match entry.node {
            Node::Leaf(kind, _) => kind.schema(),
            Node::Table(inner) => object(inner),
            Node::Each(inner) => json!({ "type": "object", "additionalProperties": object(inner) }),
        };
        property["description"] = entry.text.into();
        match entry.node {
            Node::Leaf(_, Initial::Is(text)) => {
                let default = inline(text).and_then(|it| serde_json::to_value(it).ok());
                property["default"] = default.unwrap_or_default();
            }
            Node::Leaf(_, Initial::Required(_)) => required.push(entry.name),
            Node::Leaf(_, Initial::Unset) | Node::Table(_) | Node::Each(_) => {}
        }
        properties.insert(entry.name.to_owned(), property);
    }
    json!({
        "type": "object", "additionalProperties": false,
        "properties": properties, "required": required,
    })
}
