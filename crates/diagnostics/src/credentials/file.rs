//! [`TokenFile`]: tokens in a file, which is read again when it changes.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::credentials::Token;
use crate::credentials::lines::{self, Listed, TokenFault};

/// How often the file is looked at, at most.
const LOOK: Duration = Duration::from_secs(1);

/// The most bytes of a file.
const LARGEST: u64 = 1024 * 1024;

/// A file of tokens that cannot be used. Nothing of a token is in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenFileError {
    /// It is not there, or not for us, or no text.
    #[error("cannot read the tokens in {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Other users of this machine can read it, or others than its owner write it.
    #[error("the tokens in {} are open to others (mode {mode:03o}); chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It can be read, and is wrong.
    #[error("the tokens in {} are wrong:{}", path.display(), Listed(faults))]
    Faulty {
        /// The file.
        path: PathBuf,
        /// All that is wrong; never empty.
        faults: Vec<TokenFault>,
    },
}

/// The tokens of a file as it was last in order.
#[derive(Debug)]
pub(super) struct TokenFile {
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    tokens: Arc<[Token]>,
    /// Of the file that was read last, in order or not; `None` when it was not there.
    stamp: Option<Stamp>,
    looked: Instant,
}

/// What changes with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Who may read it can be mended without touching what is in it.
    mode: u32,
}

impl TokenFile {
    pub(super) fn open(path: PathBuf, now: Instant) -> Result<Self, TokenFileError> {
        let stamp = look(&path);
        let held = Held {
            tokens: read(&path)?,
            stamp,
            looked: now,
        };
        Ok(Self {
            path,
            held: Mutex::new(held),
        })
    }

    /// The tokens that hold at `now`. At most once a second it looks at the file, which blocks for as long as that takes.
    pub(super) fn tokens(&self, now: Instant) -> Arc<[Token]> {
        let mut held = self.held();
        if now.saturating_duration_since(held.looked) < LOOK {
            return Arc::clone(&held.tokens);
        }
        held.looked = now;
        let stamp = look(&self.path);
        if stamp != held.stamp {
            held.stamp = stamp;
            // Said once: the next line comes when the file has changed again.
            match read(&self.path) {
                Ok(tokens) => {
                    tracing::info!(path = %self.path.display(), tokens = tokens.len(), "the tokens were read again");
                    held.tokens = tokens;
                }
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(error, "the tokens from before go on to hold");
                }
            }
        }
        Arc::clone(&held.tokens)
    }

    pub(super) fn reload(&self) -> Result<(), TokenFileError> {
        let mut held = self.held();
        let stamp = look(&self.path);
        held.tokens = read(&self.path)?;
        held.stamp = stamp;
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn look(path: &Path) -> Option<Stamp> {
    let metadata = path.metadata().ok()?;
    Some(Stamp {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        mode: mode(&metadata),
    })
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> u32 {
    std::os::unix::fs::MetadataExt::mode(metadata) & 0o777
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> u32 {
    0
}

/// Keys of Kubernetes are often readable by a group; nobody else may read, and nobody but the owner write.
const FORBIDDEN: u32 = 0o027;

fn read(path: &Path) -> Result<Arc<[Token]>, TokenFileError> {
    let unreadable = |source| TokenFileError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    // Of what was opened, not of what is there by now.
    let mode = mode(&file.metadata().map_err(unreadable)?);
    if mode & FORBIDDEN != 0 {
        let path = path.to_owned();
        return Err(TokenFileError::Exposed { path, mode });
    }
    let mut text = String::new();
    let read = file.take(LARGEST + 1).read_to_string(&mut text);
    let read = read.map_err(unreadable)?;
    if read as u64 > LARGEST {
        let error = io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB");
        return Err(unreadable(error));
    }
    lines::parse(text.lines()).map_err(|faults| TokenFileError::Faulty {
        path: path.to_owned(),
        faults,
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::credentials::Scope;

    const ONE: &str = "alice mesh.operate aaaaaaaaaaaaaaaaaaaaaaaa\n";
    const TWO: &str = "# the second\n\nbob mesh.read,mesh.operate bbbbbbbbbbbbbbbbbbbbbbbb\nalice mesh.read aaaaaaaaaaaaaaaaaaaaaaaa\n";

    fn write(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs::set_permissions(path, permissions).unwrap();
    }

    fn place() -> (TempDir, PathBuf) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("tokens");
        (folder, path)
    }

    fn names(tokens: &[Token]) -> Vec<(&str, Scope)> {
        tokens.iter().map(|it| (it.name(), it.scope())).collect()
    }

    #[test]
    fn a_file_is_read_again_when_it_has_changed_and_a_second_has_passed() {
        let (_folder, path) = place();
        write(&path, ONE, 0o600);
        let begin = Instant::now();
        let file = TokenFile::open(path.clone(), begin).unwrap();
        assert_eq!(names(&file.tokens(begin)), [("alice", Scope::Operate)]);

        write(&path, TWO, 0o640);
        let too_soon = begin + Duration::from_millis(999);
        assert_eq!(file.tokens(too_soon).len(), 1);
        let later = file.tokens(begin + LOOK);
        let both = [("bob", Scope::Operate), ("alice", Scope::Read)];
        assert_eq!(names(&later), both);
    }

    #[test]
    fn a_file_that_breaks_leaves_the_tokens_from_before_and_mends_itself() {
        let (_folder, path) = place();
        write(&path, ONE, 0o600);
        let begin = Instant::now();
        let file = TokenFile::open(path.clone(), begin).unwrap();
        let at = |seconds| begin + Duration::from_secs(seconds);

        write(&path, "nonsense", 0o600);
        assert_eq!(names(&file.tokens(at(1))), [("alice", Scope::Operate)]);
        assert!(matches!(file.reload(), Err(TokenFileError::Faulty { .. })));
        fs::remove_file(&path).unwrap();
        assert_eq!(file.tokens(at(2)).len(), 1);
        assert!(matches!(
            file.reload(),
            Err(TokenFileError::Unreadable { .. })
        ));
        write(&path, TWO, 0o604);
        assert_eq!(file.tokens(at(3)).len(), 1);
        write(&path, TWO, 0o600);
        assert_eq!(file.tokens(at(4)).len(), 2);
        write(&path, ONE, 0o600);
        file.reload().unwrap();
        assert_eq!(file.tokens(at(4)).len(), 1);
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let (_folder, path) = place();
        for mode in [0o604, 0o620, 0o666] {
            write(&path, ONE, mode);
            let refused = TokenFile::open(path.clone(), Instant::now()).unwrap_err();
            let text = refused.to_string();
            assert!(
                text.contains(&format!("mode {mode:o}")) && text.contains("chmod 600"),
                "{text}"
            );
        }
    }
}
