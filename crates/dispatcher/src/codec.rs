//! [`Codec`]: how values become the bytes of messages, and bytes values again.

mod either;
mod json;
mod proto;
mod raw;

use std::borrow::Cow;

use bytes::Bytes;

pub use self::either::Either;
pub use self::json::Json;
pub use self::proto::Proto;
pub use self::raw::Raw;

/// A way to write values as bytes, and the name that calls know it by.
pub trait Encoding: Clone + Send + Sync + 'static {
    /// The name that travels with messages, such as `json`.
    fn name(&self) -> &'static str;

    /// What reads and writes messages of `encoding`, the name that came with them; `None` when this does not. Names are compared
    /// without regard to ASCII case.
    fn select(&self, encoding: &str) -> Option<Self>;

    /// This encoding, or `other` where a message says that it is in that one.
    ///
    /// What says nothing is in this one, and so is what a client writes.
    fn or<B: Encoding>(self, other: B) -> Either<Self, B> {
        Either::new(self, other)
    }
}

/// Writes values of type `T` as messages, and reads them.
///
/// What is written can be read by the same codec. Reading takes no more memory and no more of the stack than the size of the message
/// and a fixed depth allow, whatever the message says of itself. How large a message may be is for transports to limit.
///
/// ```
/// use bytes::Bytes;
/// use dispatcher::{Codec, CodecError, Encoding};
///
/// /// A temperature as a text.
/// #[derive(Clone)]
/// struct Celsius;
///
/// impl Encoding for Celsius {
///     fn name(&self) -> &'static str {
///         "celsius"
///     }
///
///     fn select(&self, encoding: &str) -> Option<Self> {
///         encoding.eq_ignore_ascii_case("celsius").then_some(Self)
///     }
/// }
///
/// impl Codec<f64> for Celsius {
///     fn encode(&self, value: &f64) -> Result<Bytes, CodecError> {
///         Ok(value.to_string().into())
///     }
///
///     fn decode(&self, message: Bytes) -> Result<f64, CodecError> {
///         let text = std::str::from_utf8(&message).ok();
///         let number = text.and_then(|it| it.parse().ok());
///         number.ok_or_else(|| CodecError::new("it is no number"))
///     }
/// }
///
/// assert_eq!(Celsius.decode(Celsius.encode(&36.6)?)?, 36.6);
/// # Ok::<(), CodecError>(())
/// ```
pub trait Codec<T>: Encoding {
    /// Writes `value` as a message.
    ///
    /// # Errors
    ///
    /// [`CodecError`] when it cannot be written so.
    fn encode(&self, value: &T) -> Result<Bytes, CodecError>;

    /// Reads a message.
    ///
    /// # Errors
    ///
    /// [`CodecError`] when it is something else.
    fn decode(&self, message: Bytes) -> Result<T, CodecError>;
}

/// Why a message could not be written or read.
///
/// It travels to whoever has called. Nothing of the message may be in it: that may be a secret, or a megabyte.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CodecError(Cow<'static, str>);

impl CodecError {
    /// An error that says `what` is wrong, without quoting the message.
    #[must_use]
    pub fn new(what: impl Into<Cow<'static, str>>) -> Self {
        Self(what.into())
    }
}

/// Whether `encoding` is one of `names`. What follows a semicolon, such as a character set, does not matter.
fn is_one_of(encoding: &str, names: &[&str]) -> bool {
    let name = encoding.split(';').next().unwrap_or(encoding).trim();
    names.iter().any(|it| it.eq_ignore_ascii_case(name))
}
