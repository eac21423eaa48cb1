//! [`Layers`]: what each source says, laid over one another, with defaults below.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use toml::{Table, Value};

use crate::document::{self, Contents};
use crate::fault::{Fault, Flaw, Place};
use crate::key::Key;
use crate::kind::inline;
use crate::load::Sources;
use crate::schema::{Group, Initial, Names, Node, Schema};

/// One value and who has set it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Setting {
    /// The value, of the kind that its key wants.
    pub(crate) value: Value,
    /// Who has set it.
    pub(crate) place: Place,
}

/// What was set, by key; the last source wins.
#[derive(Clone, Debug)]
pub struct Layers {
    schema: &'static Schema,
    settings: BTreeMap<Key, Setting>,
    /// The tables with a name, and who has named each first.
    named: BTreeMap<Key, Place>,
    /// Every table that the file has, also those that are empty.
    sections: BTreeMap<Key, Place>,
    /// Where the document as a whole stands.
    whole: Option<Place>,
}

impl Layers {
    /// Reads every source, and puts defaults where nothing was said. What is wrong goes to `faults` and is left out.
    pub(crate) fn collect(
        schema: &'static Schema,
        sources: &Sources,
        faults: &mut Vec<Fault>,
    ) -> Self {
        let contents = match &sources.file {
            Some(path) => read_file(schema, path, faults),
            None => embedded(schema),
        };
        let file = sources.file.clone();
        let mut layers = Self {
            schema,
            settings: contents.settings.into_iter().collect(),
            named: contents.named.into_iter().collect(),
            sections: contents.sections.into_iter().collect(),
            whole: file.map(|path| Place::File { path, line: 1 }),
        };
        for (name, value) in &sources.environment {
            let name = name.to_string_lossy();
            if let Some(rest) = name.strip_prefix(schema.prefix) {
                let place = Place::Environment(name.clone().into_owned());
                let raw = value.to_string_lossy();
                layers.put(layers.key_of_variable(rest), place, &raw, faults);
            }
        }
        for flag in &sources.flags {
            let place = Place::Flag(flag.name.clone());
            layers.put(flag.key.clone(), place, &flag.value, faults);
        }
        layers.find_twins(faults);
        layers.complete(&Key::default(), &schema.document, faults);
        layers
    }

    /// Blames tables whose names are the same but for the case of letters and blanks around them: one of them would be silent.
    fn find_twins(&self, faults: &mut Vec<Fault>) {
        for entry in self.schema.document.entries() {
            let Node::Each(Names::Among { .. }, _) = entry.node else {
                continue;
            };
            let section = Key::of(&[entry.name]);
            let mut first: BTreeMap<String, (&Place, &str)> = BTreeMap::new();
            for (place, name) in self.in_order(&section) {
                let folded = name.trim().to_ascii_lowercase();
                let Some((told, as_what)) = first.get(&folded) else {
                    first.insert(folded, (place, name));
                    continue;
                };
                let rule = format!("the same name is written {as_what:?} at {told}");
                let flaw = Flaw::new(rule, "write it in one way, so that all of it counts");
                faults.push(Fault::new(place.clone(), &section.join(name), flaw));
            }
        }
    }

    /// The names of the tables in `section`, in the order in which they were said.
    fn in_order(&self, section: &Key) -> Vec<(&Place, &str)> {
        let places = self.named.iter().filter_map(|(key, place)| {
            let (last, above) = key.parts().split_last()?;
            (above == section.parts()).then_some((place, last.as_str()))
        });
        let mut places: Vec<_> = places.collect();
        places.sort();
        places
    }

    /// Takes in a value that is given as text.
    fn put(&mut self, key: Key, place: Place, raw: &str, faults: &mut Vec<Fault>) {
        let document = &self.schema.document;
        let read = key.kind(document).and_then(|kind| {
            let value = kind.read(raw);
            kind.check(&value).map(|()| value)
        });
        match read {
            Ok(value) => {
                for table in key.named_tables(document) {
                    self.named.entry(table).or_insert_with(|| place.clone());
                }
                self.settings.insert(key, Setting { value, place });
            }
            Err(flaw) => faults.push(Fault::new(place, &key, flaw)),
        }
    }

    /// The key that a variable stands for.
    fn key_of_variable(&self, rest: &str) -> Key {
        let mut key = Key::default();
        let mut group = Some(&self.schema.document);
        // Which names the next part may be one of, if it is a name.
        let mut names = None;
        for part in rest.split("__") {
            let part = part.to_lowercase().replace('_', "-");
            if let Some(names) = names.take() {
                key = key.join(&self.spelled(&key, names, &part));
                continue;
            }
            group = match group.and_then(|it| it.node(&part)) {
                Some(Node::Table(inner)) => Some(inner),
                Some(Node::Each(of, inner)) => {
                    names = Some(of);
                    Some(inner)
                }
                Some(Node::Leaf(..)) | None => None,
            };
            key = key.join(&part);
        }
        key
    }

    /// The name of a table in `section` that is written `name` in a variable. There `_` stands for whatever a variable cannot hold:
    /// a table that is there is meant before one that may be.
    fn spelled(&self, section: &Key, names: Names, name: &str) -> String {
        let folded = |it: &str| {
            let char = |c: char| match c.is_ascii_alphanumeric() {
                true => c.to_ascii_lowercase(),
                false => '-',
            };
            it.chars().map(char).collect::<String>()
        };
        let known = names.known().iter().copied();
        let mut candidates = self.names(section).chain(known);
        let found = candidates.find(|it| folded(it) == name);
        found.unwrap_or(name).to_owned()
    }

    /// Puts defaults where nothing was said, and blames what must be said.
    fn complete(&mut self, above: &Key, group: &'static Group, faults: &mut Vec<Fault>) {
        for entry in group.entries() {
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
                Node::Each(_, inner) => {
                    let names: Vec<_> = self.names(&key).map(str::to_owned).collect();
                    for name in names {
                        self.complete(&key.join(&name), inner, faults);
                    }
                }
            }
        }
    }

    /// Sets what nobody has set.
    pub fn suppose(&mut self, key: Key, value: impl Into<Value>) {
        let (value, place) = (value.into(), Place::Default);
        self.settings.entry(key).or_insert(Setting { value, place });
    }

    /// Whether the file has this table, or something is set in it.
    fn is_there(&self, table: &Key) -> bool {
        self.sections.contains_key(table) || self.settings.keys().any(|it| it.is_in(table))
    }

    /// Whether a variable or a flag has set the key.
    #[must_use]
    pub fn is_set_by_operator(&self, parts: &[&str]) -> bool {
        let setting = self.settings.get(&Key::of(parts));
        setting.is_some_and(|it| matches!(it.place, Place::Environment(_) | Place::Flag(_)))
    }

    /// The names of the tables in `section`.
    pub fn names(&self, section: &Key) -> impl Iterator<Item = &str> {
        let depth = section.parts().len();
        let tables = self.named.keys();
        let tables = tables.filter(move |it| it.parts().len() == depth + 1 && it.is_in(section));
        tables.map(move |it| it.parts()[depth].as_str())
    }

    /// The text at `key`.
    #[must_use]
    pub fn text(&self, key: &Key) -> Option<&str> {
        self.settings.get(key)?.value.as_str()
    }

    /// Who has set `key`, or else the first thing below it, or else the table that it is. Of no key, it is the file.
    #[must_use]
    pub fn place(&self, key: &Key) -> Place {
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
        // Without a named table its section is there all the same, and a table that says nothing is one.
        for entry in self.schema.document.entries() {
            if let Node::Each(..) = entry.node {
                document.insert(entry.name.to_owned(), Value::Table(Table::new()));
            }
        }
        for key in self.named.keys() {
            insert(&mut document, key.parts(), None);
        }
        for (key, setting) in &self.settings {
            insert(&mut document, key.parts(), Some(&setting.value));
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

/// The most bytes of a file; more is something else, perhaps without an end.
const LARGEST: u64 = 1024 * 1024;

fn read_file(schema: &'static Schema, path: &Path, faults: &mut Vec<Fault>) -> Contents {
    let bytes = match read_bytes(path) {
        Ok(bytes) => bytes,
        Err(error) => {
            let rule = format!("cannot read {}: {error}", path.display());
            let otherwise = schema.without_a_file.is;
            let remedy = format!("name a file that exists, or leave the flag out for {otherwise}");
            let place = Place::Flag("--config".to_owned());
            faults.push(Fault::new(place, &Key::default(), Flaw::new(rule, remedy)));
            return Contents::default();
        }
    };
    match str::from_utf8(&bytes) {
        Ok(text) => document::read(&schema.document, path, text, faults),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|it| **it == b'\n').count();
            let path = path.to_owned();
            let flaw = Flaw::new("this line is no UTF-8", "save the file in that encoding");
            let place = Place::File { path, line };
            faults.push(Fault::new(place, &Key::default(), flaw));
            Contents::default()
        }
    }
}

fn read_bytes(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = File::open(path)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|it| it > LARGEST) {
        let error = "it has more than 1 MiB";
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, error));
    }
    Ok(bytes)
}

/// What holds when no file is named.
fn embedded(schema: &'static Schema) -> Contents {
    let text = schema.without_a_file.document;
    let mut contents = document::read(&schema.document, Path::new(""), text, &mut Vec::new());
    for (_, setting) in &mut contents.settings {
        setting.place = Place::Default;
    }
    for (_, place) in contents.named.iter_mut().chain(&mut contents.sections) {
        *place = Place::Default;
    }
    contents
}

/// Puts a value in its place; without one, a table that may be empty.
fn insert(table: &mut Table, parts: &[String], value: Option<&Value>) {
    match (parts, value) {
        ([], _) => {}
        ([last], Some(value)) => {
            table.insert(last.clone(), value.clone());
        }
        ([first, rest @ ..], value) => {
            let inner = table
                .entry(first.clone())
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}
