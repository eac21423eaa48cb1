//! Files of secrets: read only when nobody else can read them.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;

/// Secrets of Kubernetes are often readable by a group; nobody else may read, and nobody but the owner write.
const FORBIDDEN: u32 = 0o027;

/// Why a file of secrets gives none. Has nothing of what is in it.
#[derive(Debug)]
pub(crate) enum Unusable {
    /// It is not there, not for us, too large, or no text.
    Unreadable(io::Error),
    /// Others can read or write it; its permissions.
    Exposed(u32),
}

/// The text of the file at `path`, of `largest` bytes at most.
pub(crate) fn read(path: &Path, largest: u64) -> Result<String, Unusable> {
    let file = File::open(path).map_err(Unusable::Unreadable)?;
    // Of what was opened, not of what is there by now.
    let mode = mode(&file.metadata().map_err(Unusable::Unreadable)?);
    if mode & FORBIDDEN != 0 {
        return Err(Unusable::Exposed(mode));
    }
    let mut text = String::new();
    let length = file
        .take(largest + 1)
        .read_to_string(&mut text)
        .map_err(Unusable::Unreadable)?;
    if u64::try_from(length).is_ok_and(|it| it > largest) {
        let rule = format!("it has more than {largest} bytes");
        let error = io::Error::new(io::ErrorKind::FileTooLarge, rule);
        return Err(Unusable::Unreadable(error));
    }
    Ok(text)
}

#[cfg(unix)]
pub(crate) fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o777
}

#[cfg(not(unix))]
pub(crate) fn mode(_: &Metadata) -> u32 {
    0
}
