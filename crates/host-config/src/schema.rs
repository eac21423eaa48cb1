//! [`Schema`]: every key there is, what may stand there, what holds when nothing does, and what it is for.

use crate::fault::Flaw;
use crate::kind::{Kind, inline, suggestion};

/// The configuration of one program, as data.
///
/// The document is read by this table, and the reference page and the JSON schema are written from it.
#[derive(Debug)]
pub struct Schema {
    /// What the configuration is called, for the JSON schema.
    pub title: &'static str,
    /// What the reference page begins with: its heading, and what no table says.
    pub introduction: &'static str,
    /// What variables of the environment begin with. The rest is the key in upper case, with `_` for `-` and `__` between its
    /// parts.
    pub prefix: &'static str,
    /// What holds when no file is named.
    pub without_a_file: WithoutAFile,
    /// The whole document.
    pub document: Group,
}

/// What holds when no file is named.
#[derive(Clone, Copy, Debug)]
pub struct WithoutAFile {
    /// What that comes to, as in "leave the flag out for …".
    pub is: &'static str,
    /// A document, as TOML.
    pub document: &'static str,
}

/// The keys of a table.
#[derive(Debug)]
pub struct Group {
    /// Where it stands, for the reference. Groups of one title are one group.
    pub title: &'static str,
    /// What it is for, in sentences.
    pub text: &'static str,
    /// Whether it is there in any case; otherwise its defaults hold once the file has it, or something in it is set.
    pub always: bool,
    /// Its keys: those that other tables have too, and its own, in any order.
    pub keys: &'static [&'static [Entry]],
}

/// A key.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it is called in its table.
    pub name: &'static str,
    /// What may stand there.
    pub node: Node,
    /// What it says, without a capital and a period.
    pub text: &'static str,
}

/// What may stand at a key.
#[derive(Clone, Copy, Debug)]
pub enum Node {
    /// A value.
    Leaf(Kind, Initial),
    /// A table.
    Table(&'static Group),
    /// A table of tables by name, each as the given one.
    Each(Names, &'static Group),
}

/// Which names tables may have.
#[derive(Clone, Copy, Debug)]
pub enum Names {
    /// Any.
    Any,
    /// These, in any case of letters.
    Among {
        /// What is called so, in one word.
        what: &'static str,
        /// The names.
        known: &'static [&'static str],
    },
}

/// What holds when nobody has said anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initial {
    /// Nothing.
    Unset,
    /// This, as TOML writes it.
    Is(&'static str),
    /// It is a fault; further checks go on with this.
    Required(&'static str),
}

/// An entry of a group.
#[must_use]
pub const fn key(name: &'static str, node: Node, text: &'static str) -> Entry {
    Entry { name, node, text }
}

impl Schema {
    /// What is wrong with the table itself, one sentence each: defaults that are not of the kind of their key, and names that a table
    /// has twice. A test of every program asks for it, since nothing else would notice.
    #[must_use]
    pub fn mistakes(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (name, kind, initial) in self.document.leaves() {
            if let Initial::Is(text) | Initial::Required(text) = initial {
                match inline(text).map(|it| kind.check(&it)) {
                    Some(Ok(())) => {}
                    Some(Err(flaw)) => found.push(format!("{name} = {text}: {}", flaw.rule)),
                    None => found.push(format!("{name} = {text}: this is no TOML")),
                }
            }
        }
        self.document.find_twins("", &mut found);
        found
    }

    /// The keys of all values, in alphabetical order; `*` stands for the name of a table.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        let leaves = self.document.leaves().into_iter();
        leaves.map(|(name, _, _)| name).collect()
    }
}

impl Group {
    /// Its keys in alphabetical order.
    pub(crate) fn entries(&self) -> Vec<&'static Entry> {
        let mut entries: Vec<_> = self.keys.iter().copied().flatten().collect();
        entries.sort_by_key(|it| it.name);
        entries
    }

    /// What may stand at `name`.
    pub(crate) fn node(&self, name: &str) -> Option<Node> {
        let mut entries = self.keys.iter().copied().flatten();
        let found = entries.find(|it| it.name == name);
        found.map(|it| it.node)
    }

    /// What to say about a key that is not there.
    pub(crate) fn unknown_key(&self, name: &str) -> Flaw {
        let known: Vec<_> = self.entries().into_iter().map(|it| it.name).collect();
        Flaw::new(
            "there is no such key",
            suggestion(known.iter().copied(), name),
        )
    }

    fn leaves(&self) -> Vec<(String, Kind, Initial)> {
        let mut found = Vec::new();
        self.find_leaves("", &mut found);
        found
    }

    fn find_leaves(&self, above: &str, found: &mut Vec<(String, Kind, Initial)>) {
        for entry in self.entries() {
            let key = format!("{above}{}", entry.name);
            match entry.node {
                Node::Leaf(kind, initial) => found.push((key, kind, initial)),
                Node::Table(inner) => inner.find_leaves(&format!("{key}."), found),
                Node::Each(_, inner) => inner.find_leaves(&format!("{key}.*."), found),
            }
        }
    }

    fn find_twins(&self, above: &str, found: &mut Vec<String>) {
        let entries = self.entries();
        let twins = entries.windows(2).filter(|it| it[0].name == it[1].name);
        found.extend(twins.map(|it| format!("{above}{} is there twice", it[0].name)));
        for entry in entries {
            if let Node::Table(inner) | Node::Each(_, inner) = entry.node {
                inner.find_twins(&format!("{above}{}.", entry.name), found);
            }
        }
    }
}

impl Names {
    /// What is wrong with a table called `name`.
    pub(crate) fn check(self, name: &str) -> Result<(), Flaw> {
        let Self::Among { what, known } = self else {
            return Ok(());
        };
        if known.iter().any(|it| it.eq_ignore_ascii_case(name.trim())) {
            return Ok(());
        }
        Err(Flaw::new(
            format!("this host has no such {what}"),
            suggestion(known.iter().copied(), name),
        ))
    }

    /// The names that are known before any source is read.
    pub(crate) const fn known(self) -> &'static [&'static str] {
        match self {
            Self::Any => &[],
            Self::Among { known, .. } => known,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Initial::{Is, Required, Unset};
    use super::Node::{Each, Leaf, Table};
    use super::*;

    const INNER: Group = Group {
        title: "`[inner]`",
        text: "",
        always: true,
        keys: &[
            &[key("b", Leaf(Kind::Flag, Required("1")), "")],
            &[key("a", Leaf(Kind::Text, Unset), "")],
        ],
    };

    const BAD: Schema = Schema {
        title: "",
        introduction: "",
        prefix: "",
        without_a_file: WithoutAFile {
            is: "",
            document: "",
        },
        document: Group {
            title: "",
            text: "",
            always: true,
            keys: &[
                &[
                    key("c", Leaf(Kind::Duration, Is("\"soon\"")), ""),
                    key("c", Leaf(Kind::Text, Is("no TOML")), ""),
                ],
                &[
                    key("t", Table(&INNER), ""),
                    key("n", Each(Names::Any, &INNER), ""),
                ],
            ],
        },
    };

    #[test]
    fn mistakes_of_the_table_are_told_with_their_keys() {
        assert_eq!(
            BAD.mistakes(),
            [
                "c = \"soon\": \"soon\" is not a duration",
                "c = no TOML: this is no TOML",
                "n.*.b = 1: expected true or false, found 1",
                "t.b = 1: expected true or false, found 1",
                "c is there twice",
            ]
        );
    }

    #[test]
    fn keys_are_in_alphabetical_order_whoever_else_has_them() {
        assert_eq!(BAD.keys(), ["c", "c", "n.*.a", "n.*.b", "t.a", "t.b"]);
    }
}
