//! [`KeyFile`]: the keys that seal gossip, and how they are replaced while it runs.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use crate::hosts::rest;

/// The hosts look at the file once a second.
const NOTICED: Duration = Duration::from_millis(2_500);

/// A file with one key, or two while they are replaced.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    present: u8,
}

impl KeyFile {
    pub(super) fn new(path: PathBuf) -> Result<Self> {
        let file = Self { path, present: 1 };
        file.write(&[1])?;
        Ok(file)
    }

    /// Puts a new key behind the old one, then in front of it, then takes the old one out.
    pub(super) fn rotate(&mut self) -> Result<()> {
        let (old, new) = (self.present, self.present.wrapping_add(1));
        for keys in [&[old, new][..], &[new, old], &[new]] {
            self.write(keys)?;
            rest(NOTICED);
        }
        self.present = new;
        Ok(())
    }

    /// At once as a whole: nobody reads half of it.
    fn write(&self, keys: &[u8]) -> Result<()> {
        let next = self.path.with_extension("next");
        let mut file = fs::OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(true)
            .mode(0o600)
            .open(&next)?;
        for key in keys {
            // Nobody else ever speaks to these hosts.
            let bytes = (1..=32_u8).map(|it| format!("{:02x}", it.wrapping_mul(37) ^ key));
            writeln!(file, "{key}:{}", bytes.collect::<String>())?;
        }
        Ok(fs::rename(&next, &self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_of_64_digits_and_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let path = std::env::temp_dir().join(format!("soak-keys-{}", std::process::id()));
        let file = KeyFile::new(path.clone()).unwrap();
        file.write(&[2, 1]).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        fs::remove_file(&path).unwrap();
        assert_eq!(mode & 0o777, 0o600);
        let lines: Vec<_> = text.lines().map(|it| it.split_once(':').unwrap()).collect();
        assert_eq!(lines.iter().map(|it| it.0).collect::<Vec<_>>(), ["2", "1"]);
        assert!(lines.iter().all(|it| it.1.len() == 64));
        assert_ne!(lines[0].1, lines[1].1);
    }
}
