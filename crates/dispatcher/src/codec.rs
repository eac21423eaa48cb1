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
use crate::code::Code;
use crate::error::RpcError;

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

/// What reads messages of `encoding`; without a name, `codec` as it is. `blame` is what became of the call when nothing does.
pub(crate) fn selected<C: Encoding>(
    codec: &C,
    encoding: Option<&str>,
    blame: Code,
) -> Result<C, RpcError> {
    let Some(encoding) = encoding else {
        return Ok(codec.clone());
    };
    codec.select(encoding.trim()).ok_or_else(|| {
        let message = format!(
            "the message is said to be in another encoding than {}",
            codec.name()
        );
        error(blame, message, "dispatcher.codec.mismatch", codec.name())
    })
}

/// The value that `message` is. `blame` is what became of the call when it is none.
pub(crate) fn read<T>(codec: &impl Codec<T>, message: Bytes, blame: Code) -> Result<T, RpcError> {
    let name = codec.name();
    codec.decode(message).map_err(|it| {
        let message = format!("a message in {name} cannot be read: {it}");
        error(blame, message, "dispatcher.codec.decode_failed", name)
    })
}

/// `value` as a message. What cannot be written is the fault of whoever has made it, which is always on this side.
pub(crate) fn write<T>(codec: &impl Codec<T>, value: &T) -> Result<Bytes, RpcError> {
    let name = codec.name();
    codec.encode(value).map_err(|it| {
        let message = format!("a message cannot be written in {name}: {it}");
        let reason = "dispatcher.codec.encode_failed";
        error(Code::Internal, message, reason, name)
    })
}

fn error(code: Code, message: String, reason: &str, encoding: &str) -> RpcError {
    RpcError::new(code, message)
        .with_reason(reason)
        .with_metadata("encoding", encoding)
}

/// Whether `encoding` is one of `names`. What follows a semicolon, such as a character set, does not matter.
fn is_one_of(encoding: &str, names: &[&str]) -> bool {
    let name = encoding.split(';').next().unwrap_or(encoding).trim();
    names.iter().any(|it| it.eq_ignore_ascii_case(name))
}
