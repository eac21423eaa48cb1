//! [`Layers`]: what each source says, laid over one another, with defaults below.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use toml::{Table, Value};

use crate::config::document::{self, Contents};
use crate::config::fault::{Fault, Place};
use crate::config::key::Key;
use crate::config::kind::{Flaw, inline};
use crate::config::schema::{DOCUMENT, Group, Initial, Node};
use crate::config::{PREFIX, Sources, WITHOUT_A_FILE};

/// One value and who has set it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    /// The value, of the kind that its key wants.
    pub(crate) value: Value,
    /// Who has set it.
    pub(crate) place: Place,
}

/// What was set, by key; the last source wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers {
    settings: BTreeMap<Key, Setting>,
    /// The tables with a name, and who has named each first.
    named: BTreeMap<Key, Place>,
    /// The sections of the file: one is there, with its defaults, although nothing is in it.
    sections: BTreeMap<Key, Place>,
    /// Where the document as a whole stands.
    whole: Option<Place>,
}

impl Layers {
    /// Reads every source, and puts defaults where nothing was said. What is wrong goes to `faults` and is left out.
    pub(crate) fn collect(sources: &Sources, faults: &mut Vec<Fault>) -> Self {
        let file = sources.file.clone();
        let mut layers = Self {
            whole: file.map(|path| Place::File { path, line: 1 }),
            ..Self::default()
        };
        let contents = match &sources.file {
            Some(path) => read_file(path, faults),
            None => embedded(),
        };
        layers.settings.extend(contents.settings);
        layers.named.extend(contents.named);
        layers.sections.extend(contents.sections);
        for (name, value) in &sources.environment {
            let name = name.to_string_lossy();
            if let Some(rest) = name.strip_prefix(PREFIX) {
                let place = Place::Environment(name.clone().into_owned());
                let raw = value.to_string_lossy();
                layers.put(layers.key_of_variable(rest), place, &raw, faults);
            }
        }
        for (flag, key, raw) in &sources.flags {
            layers.put(key.clone(), Place::Flag(flag.clone()), raw, faults);
        }
        layers.complete(&Key::default(), &DOCUMENT, faults);
        layers
    }

    /// Takes in a value that is given as text.
    fn put(&mut self, key: Key, place: Place, raw: &str, faults: &mut Vec<Fault>) {
        let read = key.kind().and_then(|kind| {
            let value = kind.read(raw);
            kind.check(&value).map(|()| value)
        });
        match read {
            Ok(value) => {
                if let Some(Node::Each(_)) = DOCUMENT.entry(&key.0[0]) {
                    let table = Key(key.0[..2].to_vec());
                    self.named.entry(table).or_insert_with(|| place.clone());
                }
                self.settings.insert(key, Setting { value, place });
            }
            Err(flaw) => faults.push(Fault::new(place, &key, flaw)),
        }
    }

    /// The key that a variable stands for. In the names of tables `_` stands for whatever a variable cannot hold.
    fn key_of_variable(&self, rest: &str) -> Key {
        let part = |it: &str| it.to_lowercase().replace('_', "-");
        let mut key = Key(rest.split("__").map(part).collect());
        if let [table, name, ..] = &mut key.0[..] {
            let folded = |it: &str| {
                let char = |c: char| match c.is_ascii_alphanumeric() {
                    true => c.to_ascii_lowercase(),
                    false => '-',
                };
                it.chars().map(char).collect::<String>()
            };
            let mut tables = self.named.keys();
            if let Some(it) = tables.find(|it| it.0[0] == *table && folded(&it.0[1]) == *name) {
                name.clone_from(&it.0[1]);
            }
        }
        key
    }

    /// Puts defaults where nothing was said, and blames what must be said.
    fn complete(&mut self, above: &Key, group: &'static Group, faults: &mut Vec<Fault>) {
        for entry in group.entries {
            let key = above.join(entry.name);
            match entry.node {
                Node::Leaf(_, Initial::Unset) => {}
                Node::Leaf(_, Initial::Is(text)) => self.suppose(key, written(text)),
                Node::Leaf(_, Initial::Required(stand_in)) => {
                    let is_blamed = faults.iter().any(|it| it.key == key.to_string());
                    if !self.settings.contains_key(&key) && !is_blamed {
                        let flaw = Flaw::new(
                            format!("{above} has no {}", entry.name),
                            format!("say {}: {}", entry.name, entry.text),
                        );
                        faults.push(Fault::new(self.place(above), &key, flaw));
                    }
                    self.suppose(key, written(stand_in));
                }
                Node::Table(inner) if inner.always || self.is_there(&key) => {
                    self.complete(&key, inner, faults);
                }
                Node::Table(_) => {}
                Node::Each(inner) => {
                    let tables: Vec<_> = self.named.keys().cloned().collect();
                    for table in tables.iter().filter(|it| it.is_in(&key)) {
                        self.complete(table, inner, faults);
                    }
                }
            }
        }
    }

    /// Sets what nobody has set.
    pub(crate) fn suppose(&mut self, key: Key, value: Value) {
        let place = Place::Default;
        self.settings.entry(key).or_insert(Setting { value, place });
    }

    fn is_there(&self, table: &Key) -> bool {
        self.sections.contains_key(table) || self.settings.keys().any(|it| it.is_in(table))
    }

    /// Whether a variable or a flag has set the key.
    pub(crate) fn is_set_by_operator(&self, parts: &[&str]) -> bool {
        let setting = self.settings.get(&Key::of(parts));
        setting.is_some_and(|it| matches!(it.place, Place::Environment(_) | Place::Flag(_)))
    }

    /// The names of the tables in `section`.
    pub(crate) fn names<'a>(&'a self, section: &'a str) -> impl Iterator<Item = &'a str> {
        let tables = self.named.keys().filter(move |it| it.0[0] == section);
        tables.map(|it| it.0[1].as_str())
    }

    /// The text at `key`.
    pub(crate) fn text(&self, key: &Key) -> Option<&str> {
        self.settings.get(key)?.value.as_str()
    }

    /// Who has set `key`, or else the first thing below it, or else the table that it is. Of no key, it is the file.
    pub(crate) fn place(&self, key: &Key) -> Place {
        if *key == Key::default() {
            return self.whole.clone().unwrap_or(Place::Default);
        }
        let below = || {
            let mut inside = self.settings.iter().filter(|(it, _)| it.is_in(key));
            let set = inside.find(|(_, it)| it.place != Place::Default);
            set.map(|(_, it)| &it.place)
        };
        let exact = self.settings.get(key).map(|it| &it.place);
        let place = exact.or_else(|| self.named.get(key)).or_else(below);
        let place = place.or_else(|| self.sections.get(key));
        place.cloned().unwrap_or(Place::Default)
    }

    /// The whole document.
    pub(crate) fn document(&self) -> Table {
        let mut document = Table::new();
        for section in ["http-inbounds", "grpc-inbounds", "outbounds", "relays"] {
            document.insert(section.to_owned(), Value::Table(Table::new()));
        }
        for (key, setting) in &self.settings {
            insert(&mut document, &key.0, setting.value.clone());
        }
        document
    }

    /// One line a value, with its origin as a comment.
    pub(crate) fn show(&self) -> String {
        let line = |key, setting: &Setting| format!("{key} = {}", setting.value);
        let rows = self
            .settings
            .iter()
            .map(|(key, it)| (line(key, it), &it.place));
        let rows: Vec<_> = rows.collect();
        let width = rows.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (line, origin) in rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line:width$}  # {origin}");
        }
        text
    }
}

/// A value of the schema.
fn written(text: &str) -> Value {
    inline(text).expect("the schema writes values as TOML does")
}

fn read_file(path: &Path, faults: &mut Vec<Fault>) -> Contents {
    match fs::read_to_string(path) {
        Ok(text) => document::read(path, &text, faults),
        Err(error) => {
            let rule = format!("cannot read {}: {error}", path.display());
            let remedy = "name a file that exists, or leave the flag out for an echo service";
            let place = Place::Flag("--config".to_owned());
            faults.push(Fault::new(place, &Key::default(), Flaw::new(rule, remedy)));
            Contents::default()
        }
    }
}

/// What holds when no file is named.
fn embedded() -> Contents {
    let mut contents = document::read(Path::new(""), WITHOUT_A_FILE, &mut Vec::new());
    for (_, setting) in &mut contents.settings {
        setting.place = Place::Default;
    }
    for (_, place) in &mut contents.named {
        *place = Place::Default;
    }
    contents
}

fn insert(table: &mut Table, parts: &[String], value: Value) {
    match parts {
        [] => {}
        [last] => {
            table.insert(last.clone(), value);
        }
        [first, rest @ ..] => {
            let inner = table
                .entry(first.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
