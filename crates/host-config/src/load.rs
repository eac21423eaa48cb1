//! [`load`]: every source to one checked value.

use std::ffi::OsString;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use crate::fault::{ConfigError, Flaw};
use crate::key::Key;
use crate::layers::Layers;
use crate::report::Report;
use crate::schema::Schema;

/// The configuration of a program, as its own type.
///
/// The type is read from a whole document: what the table of keys has a default for is there, and what is not there is `None`.
pub trait Configuration: DeserializeOwned {
    /// Every key there is.
    const SCHEMA: &'static Schema;

    /// Puts defaults that depend on other values.
    fn complete(_layers: &mut Layers) {}

    /// Takes in what no key says: who has set a value, and the name of the machine.
    fn settle(&mut self, layers: &Layers, sources: &Sources);

    /// Adds every fault of the whole, which no single value shows. It may read files that the configuration names.
    fn check(&self, report: &mut Report<'_>);
}

/// Where a configuration comes from; later sources win over earlier ones.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Variables of the environment; those with the schema's prefix count.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags, as values of keys.
    pub flags: Vec<Flag>,
    /// The name of this machine, for names that are made from it.
    pub machine: Option<String>,
}

impl Sources {
    /// What is in the variable `name` of the environment, which a key has named. What is no Unicode in it is replaced, and will be refused
    /// by whoever reads it.
    #[must_use]
    pub fn variable(&self, name: &str) -> Option<String> {
        let found = self.environment.iter().find(|it| it.0 == *name);
        found.map(|it| it.1.to_string_lossy().into_owned())
    }
}

/// A flag of the command line that sets a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flag {
    /// How the flag is called, with its dashes.
    pub name: String,
    /// The key that it sets.
    pub key: Key,
    /// To what, as it was written.
    pub value: String,
}

impl Flag {
    /// The flag `name`, which sets the key of `parts`.
    #[must_use]
    pub fn new(name: &str, parts: &[&str], value: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            key: Key::of(parts),
            value: value.into(),
        }
    }
}

/// A checked configuration, and where each value comes from.
#[derive(Clone, Debug)]
pub struct Loaded<C> {
    /// The values.
    pub config: C,
    layers: Layers,
}

impl<C> Loaded<C> {
    /// Every value with its origin, one a line: TOML, with the origin as a comment.
    #[must_use]
    pub fn show(&self) -> String {
        self.layers.show()
    }
}

/// Reads and checks all sources: one file at most, and what [`Configuration::check`] reads. Opens nothing else.
///
/// What is wrong is left out of what follows, so that one fault hides no other, and causes none.
///
/// # Errors
///
/// [`ConfigError`] with every fault of every source.
pub fn load<C: Configuration>(sources: &Sources) -> Result<Loaded<C>, ConfigError> {
    let mut faults = Vec::new();
    let mut layers = Layers::collect(C::SCHEMA, sources, &mut faults);
    C::complete(&mut layers);
    let mut report = Report::new(&layers, faults);
    let config = match C::deserialize(layers.document()) {
        Ok(mut config) => {
            config.settle(&layers, sources);
            config.check(&mut report);
            Some(config)
        }
        Err(error) => {
            // Every leaf was checked, so this is for what they say together.
            let flaw = Flaw::new(error.message(), "compare it with `config schema`");
            report.blame(&Key::default(), flaw);
            None
        }
    };
    match (ConfigError::of(report.into_faults()), config) {
        (None, Some(config)) => Ok(Loaded { config, layers }),
        (Some(error), _) => Err(error),
        (None, None) => unreachable!("what could not be read is a fault"),
    }
}
