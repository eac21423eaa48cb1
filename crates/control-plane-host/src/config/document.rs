//! A TOML document as settings: every leaf with the line it stands on.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use crate::config::fault::{Fault, Place};
use crate::config::layers::{Key, Setting};
use crate::config::schema::{DOCUMENT, Flaw, Node, entry, unknown_component, unknown_key};

/// What a document says, and what is wrong with it. A document that is no TOML says nothing.
pub(crate) fn read(path: &Path, text: &str, faults: &mut Vec<Fault>) -> Vec<(Key, Setting)> {
    let mut reader = Reader {
        path,
        text,
        faults,
        settings: Vec::new(),
    };
    let (spans, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        reader.broken(error);
    }
    if !errors.is_empty() {
        return Vec::new();
    }
    match toml::from_str::<Table>(text) {
        Ok(values) => reader.walk(&Key::default(), DOCUMENT, spans.get_ref(), &values),
        Err(error) => reader.broken(&error),
    }
    reader.settings
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    faults: &'a mut Vec<Fault>,
    settings: Vec<(Key, Setting)>,
}

impl Reader<'_> {
    /// Goes through `values` beside the same table with the places of its keys.
    fn walk(
        &mut self,
        above: &Key,
        known: &'static [(&'static str, Node)],
        spans: &DeTable<'_>,
        values: &Table,
    ) {
        for (name, spanned) in spans {
            let key = above.join(name.get_ref());
            let place = self.place(name.span());
            let Some(value) = values.get(&**name.get_ref()) else {
                continue;
            };
            match entry(known, name.get_ref()) {
                Some(node) => self.take(key, place, node, spanned, value),
                None => self.blame(place, &key, unknown_key(known, name.get_ref())),
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
            (Node::Leaf(kind), _, _) => match kind.check(value) {
                Ok(()) => {
                    let value = value.clone();
                    self.settings.push((key, Setting { value, place }));
                }
                Err(flaw) => self.blame(place, &key, flaw),
            },
            (Node::Table(known), DeValue::Table(spans), Value::Table(values)) => {
                self.walk(&key, known, spans, values);
            }
            (Node::Components(known), DeValue::Table(spans), Value::Table(values)) => {
                self.walk_components(&key, known, spans, values);
            }
            (Node::Table(_) | Node::Components(_), _, _) => {
                let flaw = Flaw::new(
                    "expected a table",
                    format!("write it as a section, [{key}]"),
                );
                self.blame(place, &key, flaw);
            }
        }
    }

    fn walk_components(
        &mut self,
        above: &Key,
        known: &'static [(&'static str, Node)],
        spans: &DeTable<'_>,
        values: &Table,
    ) {
        for (name, spanned) in spans {
            let key = above.join(name.get_ref());
            let place = self.place(name.span());
            if let Some(flaw) = unknown_component(name.get_ref()) {
                self.blame(place, &key, flaw);
            } else if let Some(value) = values.get(&**name.get_ref()) {
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
        self.faults.push(Fault {
            place,
            key: key.to_string(),
            rule: flaw.rule,
            remedy: flaw.remedy,
        });
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
