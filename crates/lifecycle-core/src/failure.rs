//! Failures: what went wrong in a component, as data.

use std::error::Error;
use std::fmt::{self, Write as _};

use crate::time::Nanos;

/// The error type at the seam where strangers' errors come in.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// What an error says about trying again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// It says nothing.
    #[default]
    Unclassified,
    /// Trying again cannot help.
    Permanent,
    /// Trying again may help.
    Transient,
}

/// How a call or a task failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize),
    serde(rename_all = "kebab-case")
)]
pub enum FailureKind {
    /// It returned an error.
    Error,
    /// It panicked.
    Panic,
    /// It was still at work at a limit, which the message names.
    Timeout,
    /// Its task vanished without an answer, or was aborted.
    Lost,
    /// It was cancelled on request.
    Cancelled,
    /// It holds a thread and could not be ended; its component is never called again in this process.
    Abandoned,
    /// It was never called, because a dependency failed for good.
    Dependency,
}

impl FailureKind {
    /// The name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Panic => "panic",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
            Self::Abandoned => "abandoned",
            Self::Dependency => "dependency",
        }
    }
}

/// One failure of one component: its kind, its message chain and what it says about trying again.
///
/// It never holds a stack trace. Cheap to clone as `Arc<Failure>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// How it failed.
    pub kind: FailureKind,
    /// The error and its sources, outermost first, joined by `: `.
    pub message: String,
    /// What the error says about trying again.
    pub class: Class,
    /// How long the error asks to wait before the next attempt.
    pub retry_after: Option<Nanos>,
}

impl Failure {
    /// A failure of `kind` that says nothing about trying again.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            class: Class::Unclassified,
            retry_after: None,
        }
    }

    /// An error with `message`.
    #[must_use]
    pub fn error(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Error, message)
    }

    /// A panic with `message`.
    #[must_use]
    pub fn panic(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Panic, message)
    }

    /// A task that vanished without an answer.
    #[must_use]
    pub fn lost() -> Self {
        Self::new(FailureKind::Lost, "its task vanished without an answer")
    }

    /// Reads an error and its sources, and what a [`ComponentError`] among them says about trying again.
    #[must_use]
    pub fn from_error(error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::error(error.to_string());
        let chain = std::iter::successors(Some(error), |&it| it.source());
        for (depth, link) in chain.enumerate() {
            if depth > 0 {
                // Writing to a string cannot fail.
                let _ = write!(failure.message, ": {link}");
            }
            if let Some(said) = link.downcast_ref::<ComponentError>() {
                failure.class = said.class;
                failure.retry_after = said.retry_after;
            }
        }
        failure
    }

    /// Sets what the failure says about trying again.
    #[must_use]
    pub fn with_class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    /// Sets how long the failure asks to wait before the next attempt.
    #[must_use]
    pub fn with_retry_after(mut self, delay: impl Into<Nanos>) -> Self {
        self.retry_after = Some(delay.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == FailureKind::Panic {
            f.write_str("panicked: ")?;
        }
        f.write_str(&self.message)
    }
}

impl Error for Failure {}

/// An error that says whether trying again can help.
///
/// Wrap any error in it, anywhere in a chain of sources; the innermost one that is found decides.
///
/// ```
/// use std::time::Duration;
/// use lifecycle_core::{Class, ComponentError, Failure};
///
/// let refused = ComponentError::transient("connection refused").with_retry_after(Duration::from_secs(2));
/// let failure = Failure::from_error(&refused);
/// assert_eq!(failure.class, Class::Transient);
/// assert_eq!(failure.message, "connection refused");
/// ```
#[derive(Debug)]
pub struct ComponentError {
    error: BoxError,
    class: Class,
    retry_after: Option<Nanos>,
}

impl ComponentError {
    /// An error that trying again cannot mend.
    #[must_use]
    pub fn permanent(error: impl Into<BoxError>) -> Self {
        Self {
            error: error.into(),
            class: Class::Permanent,
            retry_after: None,
        }
    }

    /// An error that may be gone at the next attempt.
    #[must_use]
    pub fn transient(error: impl Into<BoxError>) -> Self {
        Self {
            class: Class::Transient,
            ..Self::permanent(error)
        }
    }

    /// Asks for `delay` before the next attempt, in place of the policy's; the policy's cap still holds.
    #[must_use]
    pub fn with_retry_after(mut self, delay: impl Into<Nanos>) -> Self {
        self.retry_after = Some(delay.into());
        self
    }
}

impl fmt::Display for ComponentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for ComponentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot open the pool")]
    struct Outer(#[source] ComponentError);

    #[test]
    fn a_failure_holds_the_whole_message_chain_and_what_a_source_says() {
        let source = std::io::Error::other("disk on fire");
        let outer = Outer(ComponentError::permanent(source).with_retry_after(Nanos::from_secs(3)));
        let failure = Failure::from_error(&outer);
        assert_eq!(failure.message, "cannot open the pool: disk on fire");
        assert_eq!(failure.class, Class::Permanent);
        assert_eq!(failure.retry_after, Some(Nanos::from_secs(3)));
    }

    #[test]
    fn a_plain_error_says_nothing_about_trying_again() {
        let failure = Failure::from_error(&fmt::Error);
        assert_eq!(failure.class, Class::Unclassified);
        assert_eq!(failure.kind, FailureKind::Error);
    }
}
