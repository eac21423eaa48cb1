//! [`Failure`]: why a command gave up, and what to do about it.

use std::io;

use crate::exit::Exit;

/// Why a command gave up: one line what, one line remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// Empty when there is nobody left to tell.
    pub(crate) what: String,
    /// Empty when `what` says it already.
    pub(crate) remedy: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            remedy: remedy.into(),
        }
    }

    /// The command line makes no sense.
    pub(crate) fn usage(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what, remedy)
    }

    /// Standard output cannot be written. Whoever has closed the pipe does not want the rest, and that is no fault.
    pub(crate) fn of_output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, "", ""),
            _ => Self::new(Exit::Failed, format!("the output is lost: {error}"), ""),
        }
    }

    /// The same, with where it happened in front.
    pub(crate) fn at(self, place: &str) -> Self {
        Self {
            what: format!("{place}: {}", self.what),
            ..self
        }
    }

    /// As it is printed on standard error.
    pub(crate) fn lines(&self) -> String {
        match (self.what.as_str(), self.remedy.as_str()) {
            ("", _) => String::new(),
            (what, "") => format!("error: {what}\n"),
            (what, remedy) => format!("error: {what}\n  try: {remedy}\n"),
        }
    }
}
