//! [`Key`]: where a value stands in the document.

use std::fmt;

use toml::{Table, Value};

use crate::config::kind::{Flaw, Kind};
use crate::config::schema::{DOCUMENT, Node};

/// A key of the document, part by part from the outermost table.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key(pub(crate) Vec<String>);

impl Key {
    /// The key made of `parts`.
    pub(crate) fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|it| (*it).to_owned()).collect())
    }

    /// Reads a key as TOML writes it: parts between dots, quoted where they hold anything but letters, digits, `-`, `_`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let document: Table = toml::from_str(&format!("{text} = 0")).ok()?;
        let mut parts = Vec::new();
        let mut table = &document;
        while let Some((name, value)) = table.iter().next() {
            parts.push(name.clone());
            match value {
                Value::Table(inner) => table = inner,
                _ => break,
            }
        }
        Some(Self(parts))
    }

    /// The table that it stands in.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    pub(crate) fn join(&self, part: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.to_owned());
        Self(parts)
    }

    /// Whether it is `table`, or stands anywhere in it.
    pub(crate) fn is_in(&self, table: &Self) -> bool {
        self.0.starts_with(&table.0)
    }

    /// What may stand there.
    pub(crate) fn kind(&self) -> Result<Kind, Flaw> {
        let mut group = &DOCUMENT;
        let mut parts = self.0.iter();
        while let Some(part) = parts.next() {
            match group.entry(part) {
                None => return Err(group.unknown_key(part)),
                Some(Node::Leaf(kind, _)) if parts.len() == 0 => return Ok(kind),
                Some(Node::Leaf(..)) => {
                    return Err(Flaw::new("the key goes on behind a value", "shorten it"));
                }
                Some(Node::Table(inner)) => group = inner,
                Some(Node::Each(inner)) => {
                    parts.next();
                    group = inner;
                }
            }
        }
        Err(Flaw::new(
            "this is a section, not a value",
            "name a key inside of it",
        ))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bare = |it: &str| {
            !it.is_empty()
                && it
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        };
        for (position, part) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str(".")?;
            }
            if bare(part) {
                f.write_str(part)?;
            } else {
                write!(f, "{part:?}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_as_it_is_read() {
        for text in [
            "outbounds.\"a b\".start.total",
            "http-inbounds.0.address",
            "echo",
        ] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Key::parse("a b"), None);
    }
}
