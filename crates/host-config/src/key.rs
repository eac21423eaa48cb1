//! [`Key`]: where a value stands in the document.

use std::fmt;

use toml::{Table, Value};

use crate::fault::Flaw;
use crate::kind::Kind;
use crate::schema::{Group, Node};

/// A key of the document, part by part from the outermost table.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Vec<String>);

impl Key {
    /// The key made of `parts`.
    #[must_use]
    pub fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|it| (*it).to_owned()).collect())
    }

    /// Reads a key as TOML writes it: parts between dots, quoted where they hold anything but letters, digits, `-`, `_`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
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

    /// Its parts, from the outermost table.
    #[must_use]
    pub fn parts(&self) -> &[String] {
        &self.0
    }

    /// The table that it stands in.
    #[must_use]
    pub fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    /// The key `part` in the table that it is.
    #[must_use]
    pub fn join(&self, part: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.to_owned());
        Self(parts)
    }

    /// Whether it is `table`, or stands anywhere in it.
    #[must_use]
    pub fn is_in(&self, table: &Self) -> bool {
        self.0.starts_with(&table.0)
    }

    /// What may stand there, in a document of these keys.
    pub(crate) fn kind(&self, document: &'static Group) -> Result<Kind, Flaw> {
        let mut group = document;
        let mut parts = self.0.iter();
        while let Some(part) = parts.next() {
            match group.node(part) {
                None => return Err(group.unknown_key(part)),
                Some(Node::Leaf(kind, _)) if parts.len() == 0 => return Ok(kind),
                Some(Node::Leaf(..)) => {
                    return Err(Flaw::new("the key goes on behind a value", "shorten it"));
                }
                Some(Node::Table(inner)) => group = inner,
                Some(Node::Each(names, inner)) => {
                    if let Some(name) = parts.next() {
                        names.check(name)?;
                    }
                    group = inner;
                }
            }
        }
        Err(Flaw::new(
            "this is a section, not a value",
            "name a key inside of it",
        ))
    }

    /// The tables with names of their own that it stands in, from the outermost.
    pub(crate) fn named_tables(&self, document: &'static Group) -> Vec<Self> {
        let mut found = Vec::new();
        let mut group = document;
        let mut depth = 0;
        while let Some(node) = self.0.get(depth).and_then(|it| group.node(it)) {
            group = match node {
                Node::Leaf(..) => break,
                Node::Table(inner) => inner,
                Node::Each(_, inner) => {
                    depth += 1;
                    found.extend(self.0.get(..=depth).map(|it| Self(it.to_vec())));
                    inner
                }
            };
            depth += 1;
        }
        found
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
        for text in ["ways.\"a:b\".start.total", "ways.0.address", "insecure"] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Key::parse("a b"), None);
    }
}
