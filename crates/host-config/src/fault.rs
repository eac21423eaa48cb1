//! Faults of a configuration, and where they are.

use std::fmt;
use std::path::PathBuf;

use crate::key::Key;

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A line of a file, counted from 1.
    File {
        /// The file as it was given.
        path: PathBuf,
        /// The line.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// A flag of the command line.
    Flag(String),
    /// Nobody has set it.
    Default,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(flag) => write!(f, "flag {flag}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One fault: where it is, which rule is broken, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub place: Place,
    /// The key; empty when the fault is about the source as a whole.
    pub key: String,
    /// Which rule is broken, and how.
    pub rule: String,
    /// What to do about it.
    pub remedy: String,
}

/// What is wrong with a value, without its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// Which rule is broken, and how.
    pub rule: String,
    /// What to do about it; empty when the rule says so.
    pub remedy: String,
}

impl Flaw {
    /// A flaw of these words.
    #[must_use]
    pub fn new(rule: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            rule: rule.into(),
            remedy: remedy.into(),
        }
    }

    /// A flaw from a sentence that has its remedy behind a semicolon, if it has one.
    #[must_use]
    pub fn split(sentence: &str) -> Self {
        let (rule, remedy) = sentence.split_once("; ").unwrap_or((sentence, ""));
        Self::new(rule, remedy)
    }
}

impl Fault {
    pub(crate) fn new(place: Place, key: &Key, flaw: Flaw) -> Self {
        Self {
            place,
            key: key.to_string(),
            rule: flaw.rule,
            remedy: flaw.remedy,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.rule)?;
        if !self.remedy.is_empty() {
            write!(f, "; {}", self.remedy)?;
        }
        Ok(())
    }
}

/// A configuration that cannot be used. Nothing was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Every fault that can be found: the file's by line, then those of environment, flags and defaults. Never empty.
    pub faults: Vec<Fault>,
}

impl ConfigError {
    pub(crate) fn of(mut faults: Vec<Fault>) -> Option<Self> {
        if faults.is_empty() {
            return None;
        }
        faults.sort_by(|a, b| a.place.cmp(&b.place));
        Some(Self { faults })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.faults.len();
        let noun = if count == 1 { "fault" } else { "faults" };
        write!(
            f,
            "the configuration has {count} {noun}; nothing was started"
        )?;
        self.faults.iter().try_for_each(|it| write!(f, "\n  {it}"))
    }
}

impl std::error::Error for ConfigError {}
