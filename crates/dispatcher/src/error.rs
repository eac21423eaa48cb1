//! [`RpcError`]: why a call did not succeed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use lifecycle_core::BoxError;

use crate::code::Code;

/// The key of [`RpcError::retry_after`] in the metadata, which is also the name of the header in HTTP.
pub(crate) const RETRY_AFTER: &str = "retry-after";

/// How much of a message and of a reason goes into a header or a trailer, in bytes. Clients of gRPC take 8 KiB of trailers and reset
/// a call with more, so that they would not even know its status; those of HTTP take little more of headers.
const MESSAGE_BYTES: usize = 1024;
const REASON_BYTES: usize = 256;

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

    /// Says when to try again, in the metadata `retry-after`: in whole seconds, rounded up, and at least 1.
    #[must_use]
    pub fn with_retry_after(self, wait: Duration) -> Self {
        let begun = u64::from(wait.subsec_nanos() > 0);
        let seconds = wait.as_secs().saturating_add(begun).max(1);
        self.with_metadata(RETRY_AFTER, seconds.to_string())
    }

    /// When to try again, if it says so: in the metadata `retry-after`, a number of seconds. HTTP carries it as the header of
    /// that name, too.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.metadata.get(RETRY_AFTER)?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }

    /// The message for a header or a trailer: one that is too long is cut short, and ends with dots.
    pub(crate) fn short_message(&self) -> Cow<'_, str> {
        shortened(&self.message, MESSAGE_BYTES)
    }

    /// As [`short_message`](Self::short_message), the reason.
    pub(crate) fn short_reason(&self) -> Option<Cow<'_, str>> {
        let reason = self.reason.as_deref()?;
        Some(shortened(reason, REASON_BYTES))
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

fn shortened(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return text.into();
    }
    let end = text.floor_char_boundary(bytes);
    format!("{}...", &text[..end]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_to_try_again_is_told_in_whole_seconds_and_what_is_no_number_says_nothing() {
        let busy = RpcError::new(Code::Unavailable, "");
        assert_eq!(busy.retry_after(), None);
        for (wait, seconds) in [(0, 1), (1, 1), (1_000, 1), (1_001, 2), (59_999, 60)] {
            let told = busy.clone().with_retry_after(Duration::from_millis(wait));
            assert_eq!(told.retry_after(), Some(Duration::from_secs(seconds)));
            assert_eq!(told.metadata[RETRY_AFTER], seconds.to_string());
        }
        for text in ["soon", "-1", "1.5", "Wed, 21 Oct 2026 07:28:00 GMT"] {
            let told = busy.clone().with_metadata(RETRY_AFTER, text);
            assert_eq!(told.retry_after(), None, "{text}");
        }
    }

    #[test]
    fn what_middleware_passes_on_stays_what_it_was_and_a_strangers_error_is_not_shown() {
        let own = RpcError::new(Code::NotFound, "no such pet").with_reason("pets.unknown");
        assert_eq!(RpcError::from_box(own.clone().into()), own);
        let stranger = RpcError::from_box("password is hunter2".into());
        assert_eq!(stranger.code, Code::Internal);
        assert!(!stranger.to_string().contains("hunter2"));
    }
}
