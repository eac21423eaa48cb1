//! [`Programs`]: the files that are started.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail, ensure};

use crate::process::{root, succeeds};

/// The profile of what is shipped.
const PROFILE: &str = "shipped";

/// A folder with programs.
#[derive(Debug)]
pub(crate) struct Programs(PathBuf);

impl Programs {
    /// Takes them from `folder`, as they are; without one, builds them in the profile of what is shipped.
    ///
    /// # Errors
    ///
    /// When one is missing, or cargo has said why it cannot be built.
    pub(crate) fn of(folder: Option<&Path>, names: &[&str]) -> Result<Self> {
        let programs = match folder {
            Some(folder) => Self(root().join(folder)),
            None => Self::build(names)?,
        };
        for name in names {
            let path = programs.path(name);
            ensure!(path.is_file(), "there is no {}", path.display());
        }
        Ok(programs)
    }

    /// One after the other: the test kit turns features of tokio on which nothing that is shipped may have.
    fn build(names: &[&str]) -> Result<Self> {
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
        }
        Ok(Self(root().join("target").join(PROFILE)))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub(crate) fn command(&self, name: &str) -> Command {
        Command::new(self.path(name))
    }
}
