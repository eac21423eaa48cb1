//! What fuzzing reaches into gossip by; it is in no build but fuzzing's.

use crate::gossip::keys::KeyRing;
use crate::gossip::metadata::Metadata;
use crate::gossip::transport::fuzzing::admit;

/// A datagram from anybody, as a plain node takes it, as a sealed one does, and as a sealed one does whose key it was sealed with.
///
/// # Panics
///
/// When it is not counted exactly once, when it passes a seal without a key, or when a seal changes what passes.
pub fn datagram(bytes: &[u8]) {
    admit(bytes);
}

/// What a node says of itself, as another one reads it.
///
/// # Panics
///
/// When what was read reads differently once it is written.
pub fn metadata(bytes: &[u8]) {
    let Ok(document) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(metadata) = Metadata::decode(document, "a", 1) {
        let again = Metadata::decode(&metadata.encode(), "a", 1);
        assert_eq!(again.expect("it was within its bounds"), metadata);
    }
}

/// A file, or a variable, of keys.
///
/// # Panics
///
/// When a fault is in no line of it.
pub fn keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Err(error) = text.parse::<KeyRing>() {
        let lines = text.lines().count().max(1);
        assert!(!error.faults.is_empty());
        assert!(error.faults.iter().all(|it| (1..=lines).contains(&it.line)));
    }
}
