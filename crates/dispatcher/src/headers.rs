//! [`Headers`]: small texts that travel beside the messages.

use std::fmt;

/// Names and values that travel beside the messages of a call, in their order; a name may occur more than once.
///
/// Names are compared without regard to ASCII case. What is in here can be written into any protocol: nobody can smuggle in a
/// line of its own.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<(String, String)>);

/// A header that no protocol could carry as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// A name is empty, or has something else than letters, digits and `!#$%&'*+-.^_|~` or a backtick.
    #[error("{0:?} is no name of a header")]
    Name(String),
    /// A value has control characters, such as line ends.
    #[error("the value of header \"{0}\" has control characters")]
    Value(String),
}

impl Headers {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The first value of `name`.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every value of `name`, in their order.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        let matching = self
            .0
            .iter()
            .filter(move |(it, _)| it.eq_ignore_ascii_case(name));
        matching.map(|(_, value)| value.as_str())
    }

    /// Adds a value; those that `name` has already stay.
    ///
    /// # Errors
    ///
    /// [`HeaderError`], and nothing is added.
    pub fn append(
        &mut self,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Result<(), HeaderError> {
        let (name, value) = (name.into(), value.into());
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(HeaderError::Name(name));
        }
        if value.chars().any(|it| it.is_control() && it != '\t') {
            return Err(HeaderError::Value(name));
        }
        self.0.push((name, value));
        Ok(())
    }

    /// Removes every value of `name`.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(it, _)| !it.eq_ignore_ascii_case(name));
    }

    /// Adds those of `others` whose names are not here yet.
    pub(crate) fn complete(&mut self, others: &Self) {
        let missing = others
            .0
            .iter()
            .filter(|(name, _)| self.first(name).is_none());
        let missing: Vec<_> = missing.cloned().collect();
        self.0.extend(missing);
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }
}

/// A character of a token (RFC 9110, 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Names alone: values may be secrets.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|(name, _)| name))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_compared_without_case_and_values_keep_their_order() {
        let mut headers = Headers::new();
        headers.append("X-Tag", "a").unwrap();
        headers.append("x-tag", "b").unwrap();
        headers.append("other", "c").unwrap();
        assert_eq!(headers.first("X-TAG"), Some("a"));
        assert_eq!(headers.all("x-tag").collect::<Vec<_>>(), ["a", "b"]);
        headers.remove("X-tag");
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("other", "c")]);
    }

    #[test]
    fn what_is_there_already_is_not_completed() {
        let (mut headers, mut others) = (Headers::new(), Headers::new());
        headers.append("x-tag", "a").unwrap();
        for (name, value) in [("X-Tag", "b"), ("other", "c"), ("other", "d")] {
            others.append(name, value).unwrap();
        }
        headers.complete(&others);
        let all: Vec<_> = headers.iter().collect();
        assert_eq!(all, [("x-tag", "a"), ("other", "c"), ("other", "d")]);
    }

    #[test]
    fn a_line_of_its_own_cannot_be_smuggled_in() {
        let mut headers = Headers::new();
        for name in ["", "a b", "a:", "a\r\nb", "ä"] {
            let refused = headers.append(name, "x");
            assert_eq!(refused, Err(HeaderError::Name(name.to_owned())));
        }
        for value in ["a\r\nSet-Cookie: b", "a\nb", "a\0", "\u{7f}"] {
            let refused = headers.append("tag", value);
            assert_eq!(refused, Err(HeaderError::Value("tag".to_owned())));
        }
        assert_eq!(headers, Headers::new());
        headers.append("tag", "ümlaut\tand tab").unwrap();
    }

    #[test]
    fn values_are_not_shown_by_chance() {
        let mut headers = Headers::new();
        headers.append("authorization", "secret").unwrap();
        assert_eq!(format!("{headers:?}"), r#"["authorization"]"#);
    }
}
