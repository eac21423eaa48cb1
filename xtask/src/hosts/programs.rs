//! [`Programs`]: the files that are started.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{root, succeeds};

/// The profile of what is shipped.
const PROFILE: &str = "shipped";

/// Programs, and where each of them is.
#[derive(Debug)]
pub(crate) struct Programs(BTreeMap<String, PathBuf>);

impl Programs {
    /// Takes each from the first of `folders` that has it, as it is; without any folder, builds them in the profile of what is
    /// shipped.
    ///
    /// # Errors
    ///
    /// When one is missing, or cargo has said why it cannot be built.
    pub(crate) fn of(folders: &[PathBuf], names: &[&str]) -> Result<Self> {
        if folders.is_empty() {
            return Self::build(names);
        }
        let mut found = BTreeMap::new();
        for name in names {
            let places = folders.iter().map(|it| root().join(it).join(name));
            let Some(path) = places.clone().find(|it| it.is_file()) else {
                let places: Vec<_> = places.map(|it| it.display().to_string()).collect();
                bail!("there is no {}", places.join(", nor "));
            };
            found.insert((*name).to_owned(), path);
        }
        Ok(Self(found))
    }

    /// One after the other: the test kit turns features of tokio on which nothing that is shipped may have.
    fn build(names: &[&str]) -> Result<Self> {
        let folder = root().join("target").join(PROFILE);
        let mut built = BTreeMap::new();
        for name in names {
            let mut line = vec!["cargo", "build", "--locked", "--profile", PROFILE];
            match *name {
                "torture-host" => line.extend(["--package", "feature-tests", "--bin", name]),
                // Else it could not have its leases in etcd.
                "control-plane-host" => line.extend(["--package", name, "--features", "etcd"]),
                name => line.extend(["--package", name]),
            }
            if !succeeds(&line)? {
                bail!("{name} cannot be built");
            }
            built.insert((*name).to_owned(), folder.join(name));
        }
        Ok(Self(built))
    }

    /// # Panics
    ///
    /// For a program that was not asked for.
    pub(crate) fn path(&self, name: &str) -> &Path {
        self.0.get(name).expect("it was asked for by name")
    }

    pub(crate) fn command(&self, name: &str) -> Command {
        Command::new(self.path(name))
    }
}
