//! A TOML document as settings: every leaf with the line it stands on.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::fault::{Fault, Flaw, Place};
use crate::key::Key;
use crate::layers::Setting;
use crate::schema::{Group, Names, Node};

/// What a document of the keys of `known` says, and which named tables there are in it. What is wrong goes to `faults`; a document
/// that is no TOML says nothing.
pub(crate) fn read(
    known: &'static Group,
    path: &Path,
    text: &str,
    faults: &mut Vec<Fault>,
) -> Contents {
    let mut reader = Reader {
        path,
        text,
        faults,
        contents: Contents::default(),
    };
    let (spans, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.broken(error);
    }
    if !errors.is_empty() {
        return Contents::default();
    }
    match toml::from_str::<Table>(text) {
        Ok(values) => reader.walk(&Key::default(), known, spans.get_ref(), &values),
        Err(error) => reader.broken(&error),
    }
    reader.contents
}

/// What a document says.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub(crate) settings: Vec<(Key, Setting)>,
    /// The named tables, also those that are empty.
    pub(crate) named: Vec<(Key, Place)>,
    /// Every table, also those that are empty.
    pub(crate) sections: Vec<(Key, Place)>,
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    faults: &'a mut Vec<Fault>,
    contents: Contents,
}

impl Reader<'_> {
    /// Goes through `values` beside the same table with the places of its keys.
    fn walk(&mut self, above: &Key, known: &'static Group, spans: &DeTable<'_>, values: &Table) {
        for (name, spanned) in spans {
            let key = above.join(name.get_ref());
            let place = self.place(name.span());
            let Some(value) = values.get(&**name.get_ref()) else {
                continue;
            };
            match known.node(name.get_ref()) {
                Some(node) => self.take(key, place, node, spanned, value),
                None => self.blame(place, &key, known.unknown_key(name.get_ref())),
            }
        }
    }

    fn take(
        &mut self,
        key: Key,
        place: Place,
        node: Node,
        spanned: &Spanned<DeValue<'_>>,
        value: &Value,
    ) {
        match (node, spanned.get_ref(), value) {
            (Node::Leaf(kind, _), _, _) => match kind.check(value) {
                Ok(()) => {
                    let value = value.clone();
                    self.contents.settings.push((key, Setting { value, place }));
                }
                Err(flaw) => self.blame(place, &key, flaw),
            },
            // An empty section is one all the same, where it can be switched off.
            (Node::Table(known), DeValue::Table(_), Value::Table(values))
                if values.is_empty() && known.node("enabled").is_some() =>
            {
                let (key, value) = (key.join("enabled"), Value::Boolean(true));
                self.contents.settings.push((key, Setting { value, place }));
            }
            (Node::Table(known), DeValue::Table(spans), Value::Table(values)) => {
                self.contents.sections.push((key.clone(), place));
                self.walk(&key, known, spans, values);
            }
            (Node::Each(names, known), DeValue::Table(spans), Value::Table(values)) => {
                self.walk_named(&key, names, known, spans, values);
            }
            (Node::Each(..), _, _) => {
                let remedy = format!("write it as sections with a name each, [{key}.NAME]");
                self.blame(place, &key, Flaw::new("expected named tables", remedy));
            }
            (Node::Table(_), _, _) => {
                let remedy = format!("write it as a section, [{key}]");
                self.blame(place, &key, Flaw::new("expected a table", remedy));
            }
        }
    }

    fn walk_named(
        &mut self,
        above: &Key,
        names: Names,
        known: &'static Group,
        spans: &DeTable<'_>,
        values: &Table,
    ) {
        for (name, spanned) in spans {
            let key = above.join(name.get_ref());
            let place = self.place(name.span());
            if let Err(flaw) = names.check(name.get_ref()) {
                self.blame(place, &key, flaw);
            } else if let Some(value) = values.get(&**name.get_ref()) {
                if value.is_table() {
                    self.contents.named.push((key.clone(), place.clone()));
                }
                self.take(key, place, Node::Table(known), spanned, value);
            }
        }
    }

    fn broken(&mut self, error: &toml::de::Error) {
        let place = self.place(error.span().unwrap_or_default());
        let rule = format!("this is no TOML: {}", error.message());
        let remedy = "mend this line; what follows from it may be reported too";
        self.blame(place, &Key::default(), Flaw::new(rule, remedy));
    }

    fn blame(&mut self, place: Place, key: &Key, flaw: Flaw) {
        self.faults.push(Fault::new(place, key, flaw));
    }

    fn place(&self, span: Range<usize>) -> Place {
        let before = &self.text.as_bytes()[..span.start.min(self.text.len())];
        let line = 1 + before.iter().filter(|it| **it == b'\n').count();
        Place::File {
            path: self.path.to_owned(),
            line,
        }
    }
}
