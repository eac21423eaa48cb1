//! Component names: the naming rule, checked once.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// A component's name: trimmed, non-empty, printable, at most 128 bytes; compared without regard to ASCII case.
///
/// Cloning is cheap. The spelling is kept for display; `Eq`, `Ord` and `Hash` ignore its ASCII case.
///
/// ```
/// use lifecycle_core::ComponentName;
///
/// let name = ComponentName::new("  Db:primary ")?;
/// assert_eq!(name.as_str(), "Db:primary");
/// assert_eq!(name, ComponentName::new("DB:PRIMARY")?);
/// # Ok::<(), lifecycle_core::NameError>(())
/// ```
#[derive(Clone)]
pub struct ComponentName(Arc<str>);

impl ComponentName {
    /// The most bytes that a name may have.
    pub const MAX_BYTES: usize = 128;

    /// Checks `name` against the naming rule.
    ///
    /// # Errors
    ///
    /// [`NameError`] with the rejected text.
    pub fn new(name: impl AsRef<str>) -> Result<Self, NameError> {
        let name = name.as_ref();
        let trimmed = name.trim();
        if trimmed.is_empty() {
            return Err(NameError::Blank);
        }
        if trimmed.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong {
                name: trimmed.chars().take(32).collect(),
                bytes: trimmed.len(),
            });
        }
        if let Some(character) = trimmed.chars().find(|it| it.is_control()) {
            return Err(NameError::NotPrintable {
                name: trimmed.escape_debug().to_string(),
                character,
            });
        }
        Ok(Self(trimmed.into()))
    }

    /// The name as it was spelled, trimmed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Compares two names as [`ComponentName`] does: byte by byte, without regard to ASCII case.
pub(crate) fn compare(left: &str, right: &str) -> Ordering {
    left.bytes()
        .map(|it| it.to_ascii_lowercase())
        .cmp(right.bytes().map(|it| it.to_ascii_lowercase()))
}

/// How many bytes both begin with, without regard to ASCII case.
pub(crate) fn shared(left: &[u8], right: &[u8]) -> usize {
    let pairs = left.iter().zip(right);
    pairs
        .take_while(|(left, right)| left.eq_ignore_ascii_case(right))
        .count()
}

/// The first eight bytes as a number, which is ordered as [`compare`] orders them.
pub(crate) fn leading(bytes: &[u8]) -> u64 {
    let mut leading = [0; 8];
    let length = bytes.len().min(leading.len());
    leading[..length].copy_from_slice(&bytes[..length]);
    leading.make_ascii_lowercase();
    u64::from_be_bytes(leading)
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl AsRef<str> for ComponentName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl PartialEq for ComponentName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ComponentName {}

impl PartialOrd for ComponentName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ComponentName {
    fn cmp(&self, other: &Self) -> Ordering {
        compare(&self.0, &other.0)
    }
}

impl Hash for ComponentName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.0.bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        state.write_u8(0xff);
    }
}

/// A text is not a component's name; nothing was registered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing is left after trimming; give the component a name.
    #[error("a component's name is blank; give it at least one printable character")]
    Blank,
    /// The name has more than [`ComponentName::MAX_BYTES`] bytes; shorten it.
    #[error(
        "the name starting {name:?} has {bytes} bytes; shorten it to {max} or fewer",
        max = ComponentName::MAX_BYTES
    )]
    TooLong {
        /// The first 32 characters.
        name: String,
        /// How many bytes the whole name has.
        bytes: usize,
    },
    /// The name holds a control character; remove it.
    #[error("the name \"{name}\" holds the control character {character:?}; remove it")]
    NotPrintable {
        /// The name, escaped.
        name: String,
        /// The first character that is not printable.
        character: char,
    },
}

#[cfg(feature = "serde")]
mod serde_impl {
    use super::ComponentName;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    impl Serialize for ComponentName {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str(self.as_str())
        }
    }

    impl<'de> Deserialize<'de> for ComponentName {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            Self::new(String::deserialize(deserializer)?).map_err(D::Error::custom)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contract_01_a_blank_name_is_rejected_with_a_typed_error() {
        for blank in ["", "   ", "\t\n"] {
            assert_eq!(ComponentName::new(blank), Err(NameError::Blank));
        }
    }

    #[test]
    fn contract_02_names_are_compared_without_regard_to_ascii_case() {
        let lower = ComponentName::new("db").expect("valid");
        let upper = ComponentName::new(" DB ").expect("valid");
        assert_eq!(lower, upper);
        assert_eq!(lower.cmp(&upper), Ordering::Equal);
        assert_eq!(upper.as_str(), "DB");
    }

    #[test]
    fn an_overlong_name_is_rejected_with_its_beginning_and_its_length() {
        assert!(ComponentName::new("n".repeat(128)).is_ok());
        let error = ComponentName::new("n".repeat(129)).expect_err("too long");
        assert!(matches!(error, NameError::TooLong { bytes: 129, .. }));
    }

    #[test]
    fn a_name_with_a_control_character_is_rejected_and_shown_escaped() {
        let error = ComponentName::new("a\u{7}b").expect_err("not printable");
        assert!(error.to_string().contains("a\\u{7}b"), "{error}");
    }
}
