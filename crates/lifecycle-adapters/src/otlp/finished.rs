//! [`Finished`]: a span that has ended, before it is sent.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use super::place::Place;

/// A span that has ended, as it is going to be sent.
#[derive(Clone, Debug)]
pub struct Finished {
    /// What it is called; that of the span unless it is described otherwise.
    pub name: Cow<'static, str>,
    /// The part of the program that it is from.
    pub target: &'static str,
    /// Its part in a call between two processes.
    pub kind: Kind,
    /// How it has ended.
    pub status: Status,
    /// What is known of it: its fields, unless they are described otherwise.
    pub attributes: Vec<(Cow<'static, str>, Value)>,
    /// How many fields there were beyond the limit.
    pub(super) dropped: u32,
    pub(super) place: Place,
    pub(super) began: SystemTime,
    pub(super) lasted: Duration,
}

/// The part of a span in a call between two processes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// It is no such call.
    #[default]
    Internal,
    /// It answers one.
    Server,
    /// It makes one.
    Client,
}

/// How a span has ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Status {
    /// As it should, as far as anybody knows.
    #[default]
    Unset,
    /// It failed, and how.
    Error(String),
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// Any other number.
    Real(f64),
    /// Yes or no.
    Flag(bool),
}

impl Value {
    /// The text, if it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Whole(_) | Self::Real(_) | Self::Flag(_) => None,
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Finished {
    /// The text of the attribute `key`, if it has one.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        let mut found = self.attributes.iter().filter(|(it, _)| it == key);
        found.next().and_then(|(_, value)| value.as_text())
    }

    /// Takes the attribute `key` out.
    pub fn take(&mut self, key: &str) -> Option<Value> {
        let place = self.attributes.iter().position(|(it, _)| it == key)?;
        Some(self.attributes.remove(place).1)
    }

    /// Adds an attribute.
    pub fn add(&mut self, key: &'static str, value: impl Into<Value>) {
        self.attributes.push((key.into(), value.into()));
    }

    /// Says that it has failed: by what, in a word, and how.
    pub fn fail(&mut self, kind: &str, text: impl Into<String>) {
        self.add("error.type", kind);
        self.status = Status::Error(text.into());
    }
}

/// Describes the spans of the orchestrator: operations, and attempts within them.
pub(super) fn describe_lifecycle(span: &mut Finished) {
    if span.target != "lifecycle" {
        return;
    }
    if let Some(component) = span.text("component") {
        let what = span.text("phase").unwrap_or(&span.name);
        span.name = format!("{what} {component}").into();
    }
    let outcome = span.take("outcome");
    let error = span.take("error");
    for (key, _) in &mut span.attributes {
        *key = format!("lifecycle.{key}").into();
    }
    let Some(outcome) = outcome else { return };
    let outcome = outcome.as_text().unwrap_or_default().to_owned();
    if outcome != "succeeded" {
        let error = error.as_ref().and_then(Value::as_text);
        span.fail(&outcome, error.unwrap_or(&outcome));
    }
    span.attributes
        .push(("lifecycle.outcome".into(), Value::Text(outcome)));
}
