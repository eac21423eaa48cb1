//! Every key there is, and what may stand there.

use std::net::SocketAddr;

use lifecycle_core::{Backoff, Nanos};
use serde::Deserialize as _;
use toml::Value;
use tracing_subscriber::EnvFilter;

use crate::host::COMPONENTS;

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Node {
    Leaf(Kind),
    Table(&'static [(&'static str, Self)]),
    /// A table by component, each as the given one.
    Components(&'static [(&'static str, Self)]),
}

/// The kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Flag,
    Address,
    Duration,
    /// A duration, or `never`.
    Limit,
    /// A whole number that fits in 32 bits.
    Count,
    /// A whole number from 0.
    Number,
    OneOf(&'static [&'static str]),
    Backoff,
    Filter,
    Texts,
    Labels,
}

use Kind::{
    Address, Backoff as BackoffKind, Count, Duration, Filter, Flag, Labels, Limit, Number, OneOf,
    Text, Texts,
};
use Node::{Components, Leaf, Table};

const JITTER: &[&str] = &["none", "full", "equal"];

const RETRY: Node = Table(&[
    ("attempt-timeout", Leaf(Limit)),
    ("backoff", Leaf(BackoffKind)),
    ("jitter", Leaf(OneOf(JITTER))),
    ("max-attempts", Leaf(Count)),
    ("retry-if", Leaf(OneOf(&["not-permanent", "transient"]))),
    ("total", Leaf(Limit)),
]);

const RESTART: Node = Table(&[
    ("backoff", Leaf(BackoffKind)),
    ("budget", Leaf(Count)),
    ("jitter", Leaf(OneOf(JITTER))),
    ("stable-period", Leaf(Duration)),
    ("when", Leaf(OneOf(&["never", "on-failure", "always"]))),
    ("window", Leaf(Duration)),
]);

const HEALTH_CHECK: Node = Table(&[
    ("every", Leaf(Duration)),
    ("misses", Leaf(Count)),
    ("restart-on-unhealthy", Leaf(Flag)),
    ("timeout", Leaf(Duration)),
]);

const POLICIES: &[(&str, Node)] = &[
    ("abort-grace", Leaf(Duration)),
    ("dispose-timeout", Leaf(Duration)),
    ("drain-timeout", Leaf(Duration)),
    ("health-check", HEALTH_CHECK),
    ("restart", RESTART),
    ("start", RETRY),
    ("stop", RETRY),
];

const LISTENER: Node = Table(&[("address", Leaf(Address)), ("hosts", Leaf(Texts))]);

/// The whole document; keys in alphabetical order.
pub(crate) const DOCUMENT: &[(&str, Node)] = &[
    ("components", Components(POLICIES)),
    (
        "defaults",
        Table(&[
            ("abort-grace", Leaf(Duration)),
            ("await-interval", Leaf(Duration)),
            ("dispose-timeout", Leaf(Duration)),
            ("drain-timeout", Leaf(Duration)),
            ("force-timeout", Leaf(Duration)),
            ("restart", RESTART),
            ("seed", Leaf(Number)),
            ("settle", Leaf(Duration)),
            ("shutdown-timeout", Leaf(Duration)),
            ("start", RETRY),
            ("stop", RETRY),
        ]),
    ),
    (
        "diagnostics",
        Table(&[
            ("address", Leaf(Address)),
            ("hosts", Leaf(Texts)),
            ("open-metrics", Leaf(Flag)),
            ("tokens", Leaf(Text)),
        ]),
    ),
    (
        "gossip",
        Table(&[
            ("advertise", Leaf(Address)),
            ("bind", Leaf(Address)),
            ("cluster-id", Leaf(Text)),
            ("dead-node-grace", Leaf(Duration)),
            ("enabled", Leaf(Flag)),
            ("endpoint", Leaf(Text)),
            ("gossip-interval", Leaf(Duration)),
            ("labels", Leaf(Labels)),
            ("leave-interval", Leaf(Duration)),
            ("mesh-version", Leaf(Text)),
            ("node-id", Leaf(Text)),
            ("region", Leaf(Text)),
            ("role", Leaf(Text)),
            ("seeds", Leaf(Texts)),
            ("suspicion-interval", Leaf(Duration)),
        ]),
    ),
    ("http", LISTENER),
    ("insecure", Leaf(Flag)),
    ("kill-timeout", Leaf(Duration)),
    (
        "log",
        Table(&[
            ("filter", Leaf(Filter)),
            ("format", Leaf(OneOf(&["text", "json"]))),
        ]),
    ),
    ("service-name", Leaf(Text)),
];

/// What is wrong with a value, without its place.
#[derive(Debug)]
pub(crate) struct Flaw {
    pub(crate) rule: String,
    pub(crate) remedy: String,
}

impl Flaw {
    pub(crate) fn new(rule: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            remedy: remedy.into(),
        }
    }
}

/// The entry of `table` called `key`.
pub(crate) fn entry(table: &[(&str, Node)], key: &str) -> Option<Node> {
    let found = table.iter().find(|(name, _)| *name == key);
    found.map(|(_, node)| *node)
}

/// What to say about a key that `table` does not have.
pub(crate) fn unknown_key(table: &[(&str, Node)], key: &str) -> Flaw {
    let known = table.iter().map(|(name, _)| *name);
    Flaw::new("there is no such key", suggestion(known, key))
}

/// What to say about a component that this host does not have.
pub(crate) fn unknown_component(name: &str) -> Option<Flaw> {
    let known = COMPONENTS
        .iter()
        .any(|it| it.eq_ignore_ascii_case(name.trim()));
    (!known).then(|| {
        Flaw::new(
            "this host has no such component",
            suggestion(COMPONENTS.into_iter(), name),
        )
    })
}

fn suggestion<'a>(known: impl Iterator<Item = &'a str> + Clone, wanted: &str) -> String {
    match nearest(known.clone(), wanted) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!(
            "remove it, or use one of {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    }
}

/// The name that needs the fewest changes, if that is less than half of it.
fn nearest<'a>(known: impl Iterator<Item = &'a str>, wanted: &str) -> Option<&'a str> {
    let wanted = wanted.to_lowercase().replace('_', "-");
    let rated = known.map(|it| (distance(it, &wanted), it));
    let (changes, near) = rated.min_by_key(|(changes, _)| *changes)?;
    (changes * 2 <= near.chars().count()).then_some(near)
}

/// How many characters must be added, removed or replaced to make `a` from `b` (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

impl Kind {
    /// Checks one value.
    pub(crate) fn check(self, value: &Value) -> Result<(), Flaw> {
        match self {
            Text => text(value, "a text", "\"name\"").map(drop),
            Flag => value
                .as_bool()
                .map(drop)
                .ok_or_else(|| expected(value, "true or false", "true")),
            Address => check_address(text(value, "an address", "\"127.0.0.1:9181\"")?),
            Duration => check_duration(text(value, "a duration", "\"10s\"")?),
            Limit => match text(value, "a duration or \"never\"", "\"10s\"")? {
                "never" => Ok(()),
                length => check_duration(length),
            },
            Count => check_number(value, u32::MAX.into()),
            Number => check_number(value, i64::MAX),
            OneOf(choices) => check_choice(text(value, "a text", choices[0])?, choices),
            BackoffKind => check_backoff(value),
            Filter => check_filter(text(value, "a text", "\"info\"")?),
            Texts => check_texts(value),
            Labels => check_labels(value),
        }
    }

    /// The value that `raw` means in a variable or flag, where everything is text.
    pub(crate) fn read(self, raw: &str) -> Value {
        let plain = || Value::String(raw.to_owned());
        match self {
            Text | Address | Duration | Limit | OneOf(_) | Filter => plain(),
            Flag | Count | Number | BackoffKind => inline(raw).unwrap_or_else(plain),
            Texts => Value::Array(parts(raw).map(|it| Value::String(it.to_owned())).collect()),
            Labels => read_labels(raw).unwrap_or_else(plain),
        }
    }
}

/// Reads a TOML value.
fn inline(raw: &str) -> Option<Value> {
    let document: toml::Table = toml::from_str(&format!("value = {raw}")).ok()?;
    document.get("value").cloned()
}

fn parts(raw: &str) -> impl Iterator<Item = &str> {
    raw.split(',').map(str::trim).filter(|it| !it.is_empty())
}

fn read_labels(raw: &str) -> Option<Value> {
    let pair = |it: &str| {
        let (key, value) = it.split_once('=')?;
        Some((
            key.trim().to_owned(),
            Value::String(value.trim().to_owned()),
        ))
    };
    let table: Option<toml::Table> = parts(raw).map(pair).collect();
    table.map(Value::Table)
}

fn text<'a>(value: &'a Value, what: &str, example: &str) -> Result<&'a str, Flaw> {
    value.as_str().ok_or_else(|| expected(value, what, example))
}

fn expected(value: &Value, what: &str, example: &str) -> Flaw {
    Flaw::new(
        format!("expected {what}, found {}", described(value)),
        format!("write it like {example}"),
    )
}

fn described(value: &Value) -> String {
    match value {
        Value::Table(_) => "a table".to_owned(),
        Value::Array(_) => "a list".to_owned(),
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_) => value.to_string(),
    }
}

fn check_address(text: &str) -> Result<(), Flaw> {
    match text.parse::<SocketAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Flaw::new(
            format!("{text:?} is not an IP address with a port"),
            "write it like \"127.0.0.1:9181\" or \"[::1]:9181\"; port 0 takes any free one",
        )),
    }
}

fn check_duration(text: &str) -> Result<(), Flaw> {
    match text.parse::<Nanos>() {
        Ok(_) => Ok(()),
        Err(_) => Err(Flaw::new(
            format!("{text:?} is not a duration"),
            "write a number with a unit, such as \"250ms\", \"10s\" or \"1m30s\"",
        )),
    }
}

fn check_number(value: &Value, most: i64) -> Result<(), Flaw> {
    match value.as_integer() {
        Some(number) if (0..=most).contains(&number) => Ok(()),
        Some(number) => Err(Flaw::new(
            format!("{number} is out of range"),
            format!("use a whole number from 0 to {most}"),
        )),
        None => Err(expected(value, "a whole number", "3")),
    }
}

fn check_choice(text: &str, choices: &[&str]) -> Result<(), Flaw> {
    if choices.contains(&text) {
        return Ok(());
    }
    Err(Flaw::new(
        format!("{text:?} is not a choice"),
        format!("use one of {}", choices.join(", ")),
    ))
}

fn check_backoff(value: &Value) -> Result<(), Flaw> {
    match Backoff::deserialize(value.clone()) {
        Ok(_) => Ok(()),
        Err(error) => Err(Flaw::new(
            format!("this is no back-off: {}", error.message()),
            "use \"none\", { fixed = \"1s\" } or { exponential = { initial = \"100ms\", factor = 2.0, cap = \"30s\" } }",
        )),
    }
}

fn check_filter(text: &str) -> Result<(), Flaw> {
    match EnvFilter::builder().parse(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(Flaw::new(
            format!("{text:?} is not a filter: {error}"),
            "write it like \"info\" or \"info,lifecycle=debug\"",
        )),
    }
}

fn check_texts(value: &Value) -> Result<(), Flaw> {
    let all_texts = |it: &Vec<Value>| it.iter().all(Value::is_str);
    if value.as_array().is_some_and(all_texts) {
        return Ok(());
    }
    Err(expected(value, "a list of texts", "[\"a\", \"b\"]"))
}

fn check_labels(value: &Value) -> Result<(), Flaw> {
    let all_texts = |it: &toml::Table| it.values().all(Value::is_str);
    if value.as_table().is_some_and(all_texts) {
        return Ok(());
    }
    Err(expected(value, "a table of texts", "{ zone = \"z1\" }"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_the_one_that_was_probably_meant() {
        let near = |wanted| nearest(["gossip-interval", "seeds", "node-id"].into_iter(), wanted);
        assert_eq!(near("gosip-interval"), Some("gossip-interval"));
        assert_eq!(near("node_id"), Some("node-id"));
        assert_eq!(near("seed"), Some("seeds"));
        assert_eq!(near("completely-different"), None);
    }

    #[test]
    fn text_of_a_variable_becomes_what_the_key_wants() {
        assert_eq!(Count.read("3"), Value::Integer(3));
        assert_eq!(Flag.read("true"), Value::Boolean(true));
        assert_eq!(Text.read("3"), Value::String("3".into()));
        assert!(Texts.check(&Texts.read("a:1, b:2")).is_ok());
        assert!(Labels.check(&Labels.read("zone=z1,rack=r2")).is_ok());
        assert!(Labels.check(&Labels.read("zone")).is_err());
        assert!(
            BackoffKind
                .check(&BackoffKind.read("{ fixed = \"1s\" }"))
                .is_ok()
        );
        assert!(BackoffKind.check(&BackoffKind.read("none")).is_ok());
    }
}
