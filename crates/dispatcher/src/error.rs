//! [`RpcError`]: why a call did not succeed.

use std::collections::BTreeMap;

use lifecycle_core::BoxError;

use crate::code::Code;

/// Why a call did not succeed, as the caller is told.
///
/// It holds what shall travel, and nothing else: no stack trace, and no source that a transport might show by mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct RpcError {
    /// What became of the call.
    pub code: Code,
    /// A sentence for people.
    pub message: String,
    /// A stable name of this very error, such as `dispatcher.procedure.unknown`, for programs that must tell it from others of its code.
    pub reason: Option<String>,
    /// What else travels with it.
    pub metadata: BTreeMap<String, String>,
}

impl RpcError {
    /// An error of `code` without reason and metadata.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            reason: None,
            metadata: BTreeMap::new(),
        }
    }

    /// A call that does not say which procedure it means.
    pub(crate) fn nameless() -> Self {
        Self::new(Code::InvalidArgument, "the call names no procedure")
            .with_reason("dispatcher.procedure.missing")
    }

    /// Names this very error.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Adds what else travels with it; a key that was there is replaced.
    #[must_use]
    pub fn with_metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// The error that middleware has passed on, if it is one of ours, or else one that says no more than that something is broken:
    /// what a stranger's error says is for logs, not for callers.
    #[must_use]
    pub fn from_box(error: BoxError) -> Self {
        match error.downcast::<Self>() {
            Ok(own) => *own,
            Err(_) => Self::new(Code::Internal, "the call failed inside the server"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_middleware_passes_on_stays_what_it_was_and_a_strangers_error_is_not_shown() {
        let own = RpcError::new(Code::NotFound, "no such pet").with_reason("pets.unknown");
        assert_eq!(RpcError::from_box(own.clone().into()), own);
        let stranger = RpcError::from_box("password is hunter2".into());
        assert_eq!(stranger.code, Code::Internal);
        assert!(!stranger.to_string().contains("hunter2"));
    }
}
