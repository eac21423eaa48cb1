//! [`Layers`]: what each source says, laid over one another.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde::Deserialize as _;
use toml::{Table, Value};

use crate::config::document;
use crate::config::fault::{Fault, Place};
use crate::config::schema::{DOCUMENT, Flaw, Kind, Node, entry, unknown_component, unknown_key};
use crate::config::{Config, PREFIX, Sources};
use crate::host::COMPONENTS;

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

    /// The table that it stands in.
    pub(crate) fn parent(&self) -> Self {
        Self(self.0[..self.0.len().saturating_sub(1)].to_vec())
    }

    pub(crate) fn join(&self, part: &str) -> Self {
        let mut parts = self.0.clone();
        parts.push(part.to_owned());
        Self(parts)
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

/// One value and who has set it.
#[derive(Clone, Debug, PartialEq)]
pub struct Setting {
    /// The value, of the kind that its key wants.
    pub value: Value,
    /// Who has set it.
    pub place: Place,
}

/// What was set, by key; the last source wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layers(BTreeMap<Key, Setting>);

impl Layers {
    /// Reads every source; what is wrong goes to `faults` and is left out.
    pub(crate) fn collect(sources: &Sources, faults: &mut Vec<Fault>) -> Self {
        let mut layers = Self::default();
        if let Some(path) = &sources.file {
            layers.0.extend(read_file(path, faults));
        }
        for (name, value) in &sources.environment {
            let name = name.to_string_lossy();
            if let Some(key) = name.strip_prefix(PREFIX) {
                let place = Place::Environment(name.clone().into_owned());
                let raw = value.to_string_lossy();
                layers.put(key_of_variable(key), place, &raw, faults);
            }
        }
        for (flag, key, raw) in &sources.flags {
            layers.put(key.clone(), Place::Flag(flag.clone()), raw, faults);
        }
        layers
    }

    /// Takes in a value that is given as text.
    fn put(&mut self, key: Key, place: Place, raw: &str, faults: &mut Vec<Fault>) {
        let read = kind_at(&key).and_then(|kind| {
            let value = kind.read(raw);
            kind.check(&value).map(|()| value)
        });
        match read {
            Ok(value) => {
                self.0.insert(key, Setting { value, place });
            }
            Err(flaw) => faults.push(Fault {
                place,
                key: key.to_string(),
                rule: flaw.rule,
                remedy: flaw.remedy,
            }),
        }
    }

    /// Whether a variable or a flag has set the key.
    pub(crate) fn is_set_by_operator(&self, parts: &[&str]) -> bool {
        let setting = self.0.get(&Key::of(parts));
        setting.is_some_and(|it| matches!(it.place, Place::Environment(_) | Place::Flag(_)))
    }

    /// Who has set `key`, or else the first thing below it.
    pub(crate) fn place(&self, key: &Key) -> Place {
        let exact = self.0.get(key);
        let below = || {
            let mut inside = self.0.iter().filter(|(it, _)| it.0.starts_with(&key.0));
            inside.next().map(|(_, setting)| setting)
        };
        exact
            .or_else(below)
            .map_or(Place::Default, |it| it.place.clone())
    }

    /// The values; defaults where nothing is set.
    pub(crate) fn assemble(&self, faults: &mut Vec<Fault>) -> Config {
        let mut document = Table::new();
        for (key, setting) in &self.0 {
            insert(&mut document, &key.0, setting.value.clone());
        }
        complete_listeners(&mut document);
        Config::deserialize(document).unwrap_or_else(|error| {
            // Every leaf was checked, so this is for what they say together.
            faults.push(Fault {
                place: self.place(&Key::default()),
                key: String::new(),
                rule: error.message().to_owned(),
                remedy: "compare it with `config show`".to_owned(),
            });
            Config::default()
        })
    }

    /// One line a value, with its origin as a comment.
    pub(crate) fn show(&self, config: &Config) -> String {
        let document = written(config);
        let mut rows = Vec::new();
        self.rows(&Key::default(), DOCUMENT, &document, &mut rows);
        let width = rows.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
        let mut text = String::new();
        for (line, origin) in rows {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{line:width$}  # {origin}");
        }
        text
    }

    fn rows(
        &self,
        above: &Key,
        known: &[(&str, Node)],
        values: &Table,
        rows: &mut Vec<(String, Place)>,
    ) {
        for (name, node) in known {
            let key = above.join(name);
            match (node, values.get(*name)) {
                (Node::Leaf(_), Some(value)) => {
                    rows.push((format!("{key} = {value}"), self.place(&key)));
                }
                (Node::Table(known), Some(Value::Table(inner))) => {
                    self.rows(&key, known, inner, rows);
                }
                (Node::Components(known), Some(Value::Table(inner))) => {
                    for (name, policies) in inner {
                        if let Value::Table(policies) = policies {
                            self.rows(&key.join(name), known, policies, rows);
                        }
                    }
                }
                (Node::Leaf(_) | Node::Table(_) | Node::Components(_), _) => {}
            }
        }
    }
}

fn read_file(path: &Path, faults: &mut Vec<Fault>) -> Vec<(Key, Setting)> {
    match fs::read_to_string(path) {
        Ok(text) => document::read(path, &text, faults),
        Err(error) => {
            faults.push(Fault {
                place: Place::Flag("--config".to_owned()),
                key: String::new(),
                rule: format!("cannot read {}: {error}", path.display()),
                remedy: "name a file that exists, or leave the flag out for the defaults"
                    .to_owned(),
            });
            Vec::new()
        }
    }
}

/// The key that a variable stands for. A component's `:` cannot be written in a variable: `_` stands for it too.
fn key_of_variable(rest: &str) -> Key {
    let part = |it: &str| it.to_lowercase().replace('_', "-");
    let mut parts: Vec<String> = rest.split("__").map(part).collect();
    if let [table, name, ..] = &mut parts[..]
        && table == "components"
    {
        let same = |it: &&&str| it.replace(':', "-") == *name;
        if let Some(component) = COMPONENTS.iter().find(same) {
            *name = (*component).to_owned();
        }
    }
    Key(parts)
}

/// What may stand at `key`.
fn kind_at(key: &Key) -> Result<Kind, Flaw> {
    let mut known = DOCUMENT;
    let mut parts = key.0.iter();
    while let Some(part) = parts.next() {
        match entry(known, part) {
            None => return Err(unknown_key(known, part)),
            Some(Node::Leaf(kind)) if parts.len() == 0 => return Ok(kind),
            Some(Node::Leaf(_)) => {
                return Err(Flaw::new("the key goes on behind a value", "shorten it"));
            }
            Some(Node::Table(inner)) => known = inner,
            Some(Node::Components(inner)) => {
                if let Some(flaw) = parts.next().and_then(|it| unknown_component(it)) {
                    return Err(flaw);
                }
                known = inner;
            }
        }
    }
    Err(Flaw::new(
        "this is a section, not a value",
        "name a key inside of it",
    ))
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

/// A listener without an address keeps its own default, which its type does not know.
fn complete_listeners(document: &mut Table) {
    let defaults = Config::default();
    for (name, address) in [
        ("diagnostics", defaults.diagnostics.address),
        ("http", defaults.http.address),
    ] {
        if let Some(Value::Table(listener)) = document.get_mut(name) {
            listener
                .entry("address")
                .or_insert_with(|| Value::String(address.to_string()));
        }
    }
}

/// The configuration as a document again.
fn written(config: &Config) -> Table {
    Table::try_from(config).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Policies;
    use lifecycle_core::{
        Backoff, HealthCheck, Jitter, Nanos, Restart, RestartWhen, Retry, RetryIf, Timeout,
    };

    /// Every leaf of `table`, as far as the schema knows tables.
    fn leaves(above: &Key, table: &Table, found: &mut Vec<(Key, Value)>) {
        for (name, value) in table {
            let key = above.join(name);
            match value {
                Value::Table(inner) if kind_at(&key).is_err() => leaves(&key, inner, found),
                leaf => found.push((key, leaf.clone())),
            }
        }
    }

    /// A configuration in which nothing is unset.
    fn full() -> Config {
        let retry = Retry {
            max_attempts: Some(2),
            backoff: Some(Backoff::Fixed(Nanos::from_secs(1))),
            jitter: Some(Jitter::Full),
            attempt_timeout: Some(Timeout::Never),
            total: Some(Timeout::After(Nanos::from_secs(1))),
            retry_if: Some(RetryIf::Transient),
        };
        let restart = Restart {
            when: Some(RestartWhen::Always),
            backoff: Some(Backoff::Fixed(Nanos::from_secs(1))),
            jitter: Some(Jitter::Full),
            budget: Some(3),
            window: Some(Nanos::from_secs(60)),
            stable_period: Some(Nanos::from_secs(60)),
        };
        let policies = Policies {
            start: retry.clone(),
            stop: retry.clone(),
            restart: restart.clone(),
            health_check: Some(HealthCheck::default()),
            drain_timeout: Some(Nanos::from_secs(1)),
            dispose_timeout: Some(Nanos::from_secs(1)),
            abort_grace: Some(Nanos::from_secs(1)),
        };
        let mut config = Config::default();
        config.defaults.start = retry.clone();
        config.defaults.stop = retry;
        config.defaults.restart = restart;
        config.kill_timeout = Some(Nanos::from_secs(60));
        config.diagnostics.tokens = Some("tokens".into());
        config.components.insert("diagnostics".into(), policies);
        let options = &mut config.gossip.options;
        options.node_id = Some("a".into());
        options.advertise = Some(options.bind);
        options.endpoint = Some("http://a".into());
        options.labels.insert("zone".into(), "z1".into());
        config
    }

    #[test]
    fn the_table_of_keys_knows_all_that_the_types_know_and_no_more() {
        let mut found = Vec::new();
        leaves(&Key::default(), &written(&full()), &mut found);
        for (key, value) in &found {
            let kind = kind_at(key).unwrap_or_else(|flaw| panic!("{key}: {}", flaw.rule));
            if let Err(flaw) = kind.check(value) {
                panic!("{key} = {value}: {}", flaw.rule);
            }
        }
        let (retry, restart, check) = (6, 6, 4);
        let of_component = 3 + 2 * retry + restart + check;
        let of_defaults = 8 + 2 * retry + restart;
        let listeners = 2 * 2 + 2;
        let (gossip, log, top) = (15, 2, 3);
        assert_eq!(
            found.len(),
            of_component + of_defaults + listeners + gossip + log + top
        );
    }

    #[test]
    fn a_key_is_written_as_it_is_read() {
        for text in [
            "gossip.node-id",
            "components.\"control-plane:http\".start.total",
            "insecure",
        ] {
            assert_eq!(Key::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Key::parse("a b"), None);
    }
}
