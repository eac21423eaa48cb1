//! A password in a file.

use std::fmt;
use std::path::Path;

use super::Password;
use crate::secret_file::{self, Unusable};

/// The most bytes of a file with a password.
const LARGEST: u64 = 1024;

impl Password {
    /// The password in a file; else what is wrong with that.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let told = |what: &dyn fmt::Display| format!("{}: {what}", path.display());
        let text = secret_file::read(path, LARGEST).map_err(|it| match it {
            Unusable::Unreadable(error) => told(&error),
            Unusable::Exposed(mode) => told(&format_args!(
                "it is open to others (mode {mode:03o}), and has a password"
            )),
        })?;
        Self::new(&text).ok_or_else(|| told(&"it is blank"))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_password_is_read_from_a_file_for_our_eyes_alone_and_shown_to_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let write = |text: &str, mode| {
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        assert!(Password::read(&path).unwrap_err().contains("No such file"));
        write("correct horse\n", 0o644);
        let exposed = Password::read(&path).unwrap_err();
        assert!(exposed.contains("mode 644") && !exposed.contains("horse"));
        write(" \n", 0o600);
        assert!(Password::read(&path).unwrap_err().ends_with("it is blank"));
        write(&"x".repeat(2_000), 0o600);
        assert!(Password::read(&path).unwrap_err().contains("more than"));
        write("correct horse\n", 0o640);
        let password = Password::read(&path).unwrap();
        assert_eq!(Password::new("correct horse"), Some(password.clone()));
        assert_eq!(format!("{password:?}"), "Password(…)");
    }
}
