//! What fuzzing reaches into this crate by; it is in no build but fuzzing's.

use crate::credentials::fuzz_tokens;
use crate::events::fuzz_id;

/// The header `Last-Event-ID` of a request for events.
///
/// # Panics
///
/// When an id is taken for another one than is written.
pub fn resume_id(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        fuzz_id(text);
    }
}

/// A file, or a variable, of tokens.
///
/// # Panics
///
/// When a fault is in no line of it.
pub fn tokens(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        fuzz_tokens(text);
    }
}
