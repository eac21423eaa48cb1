//! [`Lock`]: the checksums of packages, from `Cargo.lock`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

/// The SHA-256 of each package's archive, as the registry has it.
#[derive(Debug, Default)]
pub(crate) struct Lock(BTreeMap<(String, String), String>);

impl Lock {
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("Cargo.lock");
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    fn parse(text: &str) -> Result<Self> {
        let table: Table = text.parse()?;
        let packages = table.get("package").and_then(Value::as_array);
        let packages = packages.context("it lists no package")?;
        Ok(Self(packages.iter().filter_map(entry).collect()))
    }

    pub(crate) fn checksum(&self, name: &str, version: &str) -> Option<&str> {
        let key = (name.to_owned(), version.to_owned());
        self.0.get(&key).map(String::as_str)
    }
}

/// Nothing for packages that are not of a registry: they have no archive.
fn entry(package: &Value) -> Option<((String, String), String)> {
    let text = |key| package.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(((text("name")?, text("version")?), text("checksum")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_that_of_this_very_version() {
        let lock = Lock::parse(
            r#"
            [[package]]
            name = "ours"
            version = "0.1.0"

            [[package]]
            name = "http"
            version = "0.2.0"
            checksum = "old"

            [[package]]
            name = "http"
            version = "1.0.0"
            checksum = "new"
            "#,
        )
        .expect("a lock");
        assert_eq!(lock.checksum("http", "1.0.0"), Some("new"));
        assert_eq!(lock.checksum("http", "0.2.0"), Some("old"));
        assert_eq!(lock.checksum("ours", "0.1.0"), None);
    }
}
