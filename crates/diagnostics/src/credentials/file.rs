//! [`TokenFile`]: tokens in a file, which is read again when it changes.

use std::fmt;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use crate::credentials::{Scope, Token};

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

/// What is wrong with one line of a file of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFault {
    /// Which line, counted from 1.
    pub line: usize,
    /// What is wrong with it, and what to do about it. Quotes nothing of the line.
    pub rule: String,
}

/// Faults as a part of one sentence.
struct Listed<'a>(&'a [TokenFault]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, fault) in self.0.iter().enumerate() {
            let joint = if position > 0 { ";" } else { "" };
            write!(f, "{joint} line {}: {}", fault.line, fault.rule)?;
        }
        Ok(())
    }
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
    parse(&text).map_err(|faults| TokenFileError::Faulty {
        path: path.to_owned(),
        faults,
    })
}

fn parse(text: &str) -> Result<Arc<[Token]>, Vec<TokenFault>> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut faults = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match parse_line(line) {
            Ok(token) if tokens.iter().any(|it| it.secret == token.secret) => {
                let rule = "this token is there already; make another".to_owned();
                faults.push(TokenFault {
                    line: index + 1,
                    rule,
                });
            }
            Ok(token) => tokens.push(token),
            Err(rule) => faults.push(TokenFault {
                line: index + 1,
                rule,
            }),
        }
    }
    if tokens.is_empty() && faults.is_empty() {
        let rule =
            "there is no token, so nobody could come in; write `name scope token`".to_owned();
        faults.push(TokenFault { line: 1, rule });
    }
    match faults.is_empty() {
        true => Ok(tokens.into()),
        false => Err(faults),
    }
}

/// Quotes nothing: whatever stands in a line may be a token in the wrong place.
fn parse_line(line: &str) -> Result<Token, String> {
    let parts: Vec<&str> = line.split_whitespace().collect();
    let &[name, scopes, secret] = &*parts else {
        let count = parts.len();
        return Err(format!(
            "a line has three words, not {count}; write `name scope[,scope] token`"
        ));
    };
    let scopes: Option<Vec<Scope>> = scopes.split(',').map(Scope::named).collect();
    let scope = scopes.and_then(|it| it.into_iter().max());
    let scope =
        scope.ok_or("the second word is mesh.read or mesh.operate, or both with a comma")?;
    Token::new(name, scope, secret).map_err(|it| it.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

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

    #[test]
    fn all_that_is_wrong_with_a_file_is_said_at_once_and_nothing_of_it_is_quoted() {
        let secret = "s3cr3ts3cr3ts3cr3t";
        let text = format!(
            "a mesh.read {secret}\nb mesh.write {secret}x\n{secret}\nc mesh.read short\nd mesh.read {secret}\n"
        );
        let faults = parse(&text).unwrap_err();
        let lines: Vec<usize> = faults.iter().map(|it| it.line).collect();
        assert_eq!(lines, [2, 3, 4, 5]);
        let error = TokenFileError::Faulty {
            path: "tokens".into(),
            faults,
        };
        let said = format!("{error} {error:?}");
        assert!(
            said.contains("line 4: a token has 16 to 512 bytes"),
            "{said}"
        );
        assert!(
            !said.contains(secret) && !said.contains("mesh.write"),
            "{said}"
        );
        assert_eq!(parse("# nobody\n").unwrap_err().len(), 1);
    }
}
