//! The tokens of the diagnostics, which are read before anything is started.

use std::error::Error as _;

use diagnostics::TokenFileError;

use super::Checker;
use crate::config::Key;
use crate::config::fault::{Fault, Place};
use crate::config::kind::Flaw;

impl Checker<'_> {
    /// What is wrong with a token is named where it is, and a file that cannot be used where it is named.
    pub(super) fn check_tokens(&mut self) {
        let key = Key::of(&["diagnostics", "tokens"]);
        match self.config.credentials() {
            Ok(_) => {}
            Err(TokenFileError::Faulty { path, faults }) => {
                let faults = faults.into_iter().map(|fault| {
                    let place = Place::File {
                        path: path.clone(),
                        line: fault.line,
                    };
                    Fault::new(place, &key, Flaw::new(fault.rule, ""))
                });
                self.faults.extend(faults);
            }
            Err(error) => {
                let cause = error.source().map(|it| format!(": {it}"));
                self.blame_split(&key, &format!("{error}{}", cause.unwrap_or_default()));
            }
        }
    }
}
