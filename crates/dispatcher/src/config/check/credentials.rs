//! The credentials of the diagnostics, which are read before anything is started.

use diagnostics::{AccessError, TokenFileError};
use host_config::Key;

use super::Checker;

impl Checker<'_, '_> {
    /// What is wrong with a token is named where it is, and a file that cannot be used where it is named.
    pub(super) fn check_credentials(&mut self) {
        let key = |name| Key::of(&["diagnostics", name]);
        match self.config.credentials() {
            Ok(_) => {}
            Err(AccessError::File(TokenFileError::Faulty { path, faults })) => {
                let lines = faults.into_iter().map(|it| (it.line, it.rule));
                self.report.blame_lines(&key("tokens"), &path, lines);
            }
            Err(AccessError::File(error)) => self.report.blame_error(&key("tokens"), &error),
            Err(AccessError::Variable(error)) => {
                self.report.blame_error(&key("tokens-env"), &error);
            }
            Err(error) => self.report.blame_error(&key("client-scopes"), &error),
        }
    }
}
