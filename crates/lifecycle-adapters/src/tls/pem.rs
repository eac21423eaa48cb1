//! [`Pem`]: where certificates and keys are.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::PathBuf;
use std::sync::Arc;

/// How much of a file is read; a thousand certificates need less.
const MOST_BYTES: u64 = 4 << 20;

/// Certificates or a key in the form PEM: in a file, which is read again from time to time, or at hand.
///
/// `Debug` and `Display` show the path, and never what is in it.
#[derive(Clone)]
pub struct Pem(Source);

#[derive(Clone)]
enum Source {
    File(PathBuf),
    Text(Arc<[u8]>),
}

impl Pem {
    /// What is in the file at `path`. Nothing is opened yet.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self(Source::File(path.into()))
    }

    /// This text.
    pub fn text(text: impl Into<Vec<u8>>) -> Self {
        Self(Source::Text(Arc::from(text.into())))
    }

    pub(super) fn read(&self) -> io::Result<Vec<u8>> {
        let path = match &self.0 {
            Source::Text(text) => return Ok(text.to_vec()),
            Source::File(path) => path,
        };
        // To open what is none may wait for ever, for somebody who writes.
        if !fs::metadata(path)?.is_file() {
            let kind = io::ErrorKind::InvalidInput;
            return Err(io::Error::new(kind, "it is no file"));
        }
        let mut bytes = Vec::new();
        File::open(path)?.take(MOST_BYTES).read_to_end(&mut bytes)?;
        match bytes.len() as u64 == MOST_BYTES {
            true => Err(io::ErrorKind::FileTooLarge.into()),
            false => Ok(bytes),
        }
    }
}

impl fmt::Display for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(path) => write!(f, "{}", path.display()),
            Source::Text(_) => f.write_str("in memory"),
        }
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pem({self})")
    }
}
