//! [`Kind`]: what may stand at a key, and what to say where something else does.

use std::net::SocketAddr;

use lifecycle_core::{Backoff, Nanos};
use serde::Deserialize as _;
use toml::Value;
use tracing_subscriber::EnvFilter;

use crate::fault::Flaw;

/// The kinds of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// An IP address with a port.
    Address,
    /// A duration, such as `1m30s`.
    Duration,
    /// A duration that is not 0, and no more than a year.
    Time,
    /// A duration, or `never`.
    Limit,
    /// A whole number from the first to the second.
    Number(i64, i64),
    /// A number from 0 to 1.
    Ratio,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A list of these, at least one, each once.
    SomeOf(&'static [&'static str]),
    /// How long to wait between attempts.
    Backoff,
    /// Which log lines are written.
    Filter,
    /// A list of texts.
    Texts,
    /// A table of texts by free names.
    Labels,
}

impl Kind {
    /// A number of things that may be none.
    pub const COUNT: Self = Self::Number(0, u32::MAX as i64);
    /// A number of things, at least one.
    pub const POSITIVE: Self = Self::Number(1, u32::MAX as i64);
}

impl Kind {
    /// Checks one value.
    pub(crate) fn check(self, value: &Value) -> Result<(), Flaw> {
        match self {
            Self::Text => text(value, "a text", "\"name\"").map(drop),
            Self::Flag => match value.as_bool() {
                Some(_) => Ok(()),
                None => Err(expected(value, "true or false", "true")),
            },
            Self::Address => check_address(text(value, "an address", "\"127.0.0.1:8080\"")?),
            Self::Duration => check_duration(text(value, "a duration", "\"10s\"")?),
            Self::Time => check_time(text(value, "a duration", "\"10s\"")?),
            Self::Limit => match text(value, "a duration or \"never\"", "\"10s\"")? {
                "never" => Ok(()),
                length => check_duration(length),
            },
            Self::Number(least, most) => check_number(value, least, most),
            Self::Ratio => check_ratio(value),
            Self::OneOf(choices) => check_choice(text(value, "a text", choices[0])?, choices),
            Self::SomeOf(choices) => check_choices(value, choices),
            Self::Backoff => check_backoff(value),
            Self::Filter => check_filter(text(value, "a text", "\"info\"")?),
            Self::Texts => texts(value).map(drop),
            Self::Labels => check_labels(value),
        }
    }

    /// The value that `raw` means in a variable or flag, where everything is text.
    pub(crate) fn read(self, raw: &str) -> Value {
        let plain = || Value::String(raw.to_owned());
        match self {
            Self::Text
            | Self::Address
            | Self::Duration
            | Self::Time
            | Self::Limit
            | Self::OneOf(_)
            | Self::Filter => plain(),
            Self::Flag | Self::Number(..) | Self::Ratio | Self::Backoff => {
                inline(raw).unwrap_or_else(plain)
            }
            Self::Texts | Self::SomeOf(_) => {
                Value::Array(parts(raw).map(|it| Value::String(it.to_owned())).collect())
            }
            Self::Labels => read_labels(raw).unwrap_or_else(plain),
        }
    }
}

/// Reads a TOML value.
pub(crate) fn inline(raw: &str) -> Option<Value> {
    let document: toml::Table = toml::from_str(&format!("value = {raw}")).ok()?;
    document.get("value").cloned()
}

fn parts(raw: &str) -> impl Iterator<Item = &str> {
    raw.split(',').map(str::trim).filter(|it| !it.is_empty())
}

/// Reads labels written as `a=b,c=d`.
fn read_labels(raw: &str) -> Option<Value> {
    let pair = |it: &str| {
        let (key, value) = it.split_once('=')?;
        let value = Value::String(value.trim().to_owned());
        Some((key.trim().to_owned(), value))
    };
    let labels: Option<toml::Table> = parts(raw).map(pair).collect();
    labels.map(Value::Table)
}

/// What to use instead of `wanted`: the nearest of `known`, or all.
pub(crate) fn suggestion<'a>(known: impl Iterator<Item = &'a str> + Clone, wanted: &str) -> String {
    match nearest(known.clone(), wanted) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!(
            "remove it, or use one of {}",
            known.collect::<Vec<_>>().join(", ")
        ),
    }
}

/// The name that needs the fewest changes, if that is less than half of it.
#[must_use]
pub fn nearest<'a>(known: impl Iterator<Item = &'a str>, wanted: &str) -> Option<&'a str> {
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

fn text<'a>(value: &'a Value, what: &str, example: &str) -> Result<&'a str, Flaw> {
    value.as_str().ok_or_else(|| expected(value, what, example))
}

fn texts(value: &Value) -> Result<Vec<&str>, Flaw> {
    let list = value.as_array();
    let list = list.and_then(|it| it.iter().map(Value::as_str).collect());
    list.ok_or_else(|| expected(value, "a list of texts", "[\"a\", \"b\"]"))
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
            "write it like \"127.0.0.1:8080\" or \"[::1]:8080\"; port 0 takes any free one",
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

/// The longest that a limit may be: beyond it arithmetic with instants ends sooner or later.
const LONGEST: Nanos = Nanos::from_secs(365 * 24 * 60 * 60);

fn check_time(text: &str) -> Result<(), Flaw> {
    check_duration(text)?;
    match text.parse::<Nanos>() {
        Ok(time) if time > Nanos::ZERO && time <= LONGEST => Ok(()),
        _ => Err(Flaw::new(
            format!("{text:?} is out of range"),
            "use a positive duration of at most 365 days",
        )),
    }
}

fn check_number(value: &Value, least: i64, most: i64) -> Result<(), Flaw> {
    match value.as_integer() {
        Some(number) if (least..=most).contains(&number) => Ok(()),
        Some(number) => Err(Flaw::new(
            format!("{number} is out of range"),
            format!("use a whole number from {least} to {most}"),
        )),
        None => Err(expected(value, "a whole number", "3")),
    }
}

fn check_ratio(value: &Value) -> Result<(), Flaw> {
    let number = match value {
        Value::Float(number) => Some(*number),
        Value::Integer(0) => Some(0.0),
        Value::Integer(1) => Some(1.0),
        _ => None,
    };
    match number {
        Some(number) if (0.0..=1.0).contains(&number) => Ok(()),
        Some(_) | None => Err(expected(value, "a number from 0 to 1", "0.1")),
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

fn check_choices(value: &Value, choices: &[&str]) -> Result<(), Flaw> {
    let chosen = texts(value)?;
    for (place, text) in chosen.iter().enumerate() {
        check_choice(text, choices)?;
        if chosen[..place].contains(text) {
            return Err(Flaw::new(
                format!("{text:?} is there twice"),
                "name it once",
            ));
        }
    }
    match chosen.is_empty() {
        false => Ok(()),
        true => Err(Flaw::new(
            "the list is empty",
            format!("leave it out, or use some of {}", choices.join(", ")),
        )),
    }
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

fn check_labels(value: &Value) -> Result<(), Flaw> {
    let labels = value.as_table();
    match labels.is_some_and(|it| it.values().all(Value::is_str)) {
        true => Ok(()),
        false => Err(expected(value, "a table of texts", "{ zone = \"z1\" }")),
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
        const SIZES: Kind = Kind::SomeOf(&["small", "large"]);
        assert_eq!(Kind::Number(0, 9).read("3"), Value::Integer(3));
        assert_eq!(Kind::Flag.read("true"), Value::Boolean(true));
        assert_eq!(Kind::Text.read("3"), Value::String("3".into()));
        assert!(Kind::Texts.check(&Kind::Texts.read("a:1, b:2")).is_ok());
        assert!(SIZES.check(&SIZES.read("small,large")).is_ok());
        assert!(SIZES.check(&SIZES.read("small,small")).is_err());
        assert!(SIZES.check(&SIZES.read("")).is_err());
        for ratio in ["0", "0.001", "1", "1.0"] {
            assert!(
                Kind::Ratio.check(&Kind::Ratio.read(ratio)).is_ok(),
                "{ratio}"
            );
        }
        for ratio in ["-0.1", "1.1", "2", "nan", "half"] {
            assert!(
                Kind::Ratio.check(&Kind::Ratio.read(ratio)).is_err(),
                "{ratio}"
            );
        }
        let labels = Kind::Labels.read("zone=z1,rack=r2");
        assert!(Kind::Labels.check(&labels).is_ok());
        assert!(Kind::Labels.check(&Kind::Labels.read("zone")).is_err());
        assert!(Kind::Backoff.check(&Kind::Backoff.read("none")).is_ok());
    }
}
