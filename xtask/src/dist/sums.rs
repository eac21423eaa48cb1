//! `SHA256SUMS`: of every other file in the folder, as `sha256sum --check` reads it.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result};
use sha2::{Digest as _, Sha256};

use crate::dist::folder::Folder;

const FILE: &str = "SHA256SUMS";

pub(crate) fn write(folder: &Folder) -> Result<()> {
    let mut lines = String::new();
    for file in folder.files()? {
        if file.path == FILE {
            continue;
        }
        let path = folder.root().join(&file.path);
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let _ = writeln!(lines, "{}  {}", sum(&content), file.path);
    }
    folder.write(FILE, lines.as_bytes())
}

fn sum(content: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(content) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Of the standard (FIPS 180), for the empty message and for `abc`.
    #[test]
    fn a_sum_is_that_of_the_standard() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(sum(b""), empty);
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sum(b"abc"), abc);
    }

    #[test]
    fn every_other_file_has_a_line_in_the_order_of_paths() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tests/sums");
        let folder = Folder::new(path).expect("a folder");
        folder.write("b/two", b"abc").expect("a file");
        folder.write("a", b"").expect("a file");
        write(&folder).expect("sums");
        // A second time, since the sums themselves are a file then.
        write(&folder).expect("sums");
        let lines = fs::read_to_string(folder.root().join(FILE)).expect("the sums");
        let paths: Vec<_> = lines
            .lines()
            .filter_map(|it| it.split("  ").nth(1))
            .collect();
        assert_eq!(paths, ["a", "b/two"]);
        assert!(lines.starts_with("e3b0c442"), "{lines}");
    }
}
