//! Keys in a file, which is read again when it changes.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use crate::gossip::error::KeyFileError;
use crate::gossip::keys::KeyRing;
use crate::secret_file::{self, Unusable, mode};

/// The most bytes of a file: more than every id with its key and a comment.
const LARGEST: u64 = 64 * 1024;

#[derive(Debug)]
pub(crate) struct KeyFile {
    path: PathBuf,
    /// Of what was read last, in order or not; `None` when it was not there.
    stamp: Mutex<Option<Stamp>>,
}

/// What changes with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    /// Who may read it can be mended without touching what is in it.
    mode: u32,
}

impl KeyFile {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self {
            path,
            stamp: Mutex::new(None),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the ring in it.
    pub(crate) fn read(&self) -> Result<KeyRing, KeyFileError> {
        // Before the reading: what is written meanwhile is found at the next look.
        self.take(self.look());
        read(&self.path)
    }

    /// Whether it is another than at the last reading.
    pub(crate) fn has_changed(&self) -> bool {
        let stamp = self.look();
        stamp != *self.stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, stamp: Option<Stamp>) {
        *self.stamp.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
    }

    fn look(&self) -> Option<Stamp> {
        let metadata = self.path.metadata().ok()?;
        Some(Stamp {
            modified: metadata.modified().ok(),
            length: metadata.len(),
            mode: mode(&metadata),
        })
    }
}

fn read(path: &Path) -> Result<KeyRing, KeyFileError> {
    let path = || path.to_owned();
    let text = secret_file::read(&path(), LARGEST).map_err(|unusable| match unusable {
        Unusable::Unreadable(source) => KeyFileError::Unreadable {
            path: path(),
            source,
        },
        Unusable::Exposed(mode) => KeyFileError::Exposed { path: path(), mode },
    })?;
    text.parse().map_err(|source| KeyFileError::Faulty {
        path: path(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::gossip::Keys;

    const A: &str = "1:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    const B: &str = "2:ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100";

    fn write(path: &Path, text: &str, mode: u32) {
        std::fs::write(path, text).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_others_can_read_is_not_there_or_is_wrong_gives_no_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        let fault = || Keys::from_file(&path).unwrap_err();
        assert!(matches!(fault(), KeyFileError::Unreadable { .. }));
        write(&path, A, 0o644);
        assert!(matches!(fault(), KeyFileError::Exposed { mode: 0o644, .. }));
        write(&path, "1:xy", 0o600);
        let wrong = fault();
        assert!(matches!(wrong, KeyFileError::Faulty { .. }));
        assert!(!wrong.to_string().contains("xy"), "{wrong}");
        write(&path, &"#".repeat(70_000), 0o600);
        assert!(matches!(fault(), KeyFileError::Unreadable { .. }));
        write(&path, A, 0o640);
        assert_eq!(
            Keys::from_file(&path)
                .unwrap()
                .ring()
                .ids()
                .collect::<Vec<_>>(),
            [1]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_changes_is_read_again_and_a_wrong_one_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        write(&path, A, 0o600);
        let keys = Keys::from_file(&path).unwrap();
        let ids = || keys.ring().ids().collect::<Vec<_>>();
        let followed = tokio::spawn(keys.clone().follow());
        let pass = async || tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        pass().await;
        assert_eq!(ids(), [1]);
        write(&path, &format!("{B}\n{A}"), 0o600);
        pass().await;
        assert_eq!(ids(), [2, 1]);
        write(&path, "", 0o600);
        pass().await;
        std::fs::remove_file(&path).unwrap();
        pass().await;
        assert_eq!(ids(), [2, 1]);
        write(&path, B, 0o600);
        pass().await;
        assert_eq!(ids(), [2]);
        followed.abort();
    }
}
