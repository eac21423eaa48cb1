//! The tokens of the diagnostics, which are read before anything is started.

use diagnostics::TokenFileError;
use host_config::Key;

use super::Checker;

impl Checker<'_, '_> {
    /// What is wrong with a token is named where it is, and a file that cannot be used where it is named.
    pub(super) fn check_tokens(&mut self) {
        let key = Key::of(&["diagnostics", "tokens"]);
        match self.config.credentials() {
            Ok(_) => {}
            Err(TokenFileError::Faulty { path, faults }) => {
                let lines = faults.into_iter().map(|it| (it.line, it.rule));
                self.report.blame_lines(&key, &path, lines);
            }
            Err(error) => self.report.blame_error(&key, &error),
        }
    }
}
