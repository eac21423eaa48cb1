//! Calls with values in place of bytes: [`TypedRequest`], [`TypedResponse`], and [`TypedMessages`] where there is any number.

mod messages;
mod procedure;

pub use self::messages::TypedMessages;
pub(crate) use self::messages::{decoded, encoded};
pub use self::procedure::TypedProcedure;
use crate::call::Meta;
use crate::headers::Headers;

/// A call with a value as its message, or with a stream of values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypedRequest<T> {
    /// What is known of it.
    pub meta: Meta,
    /// The message, or a stream of messages.
    pub body: T,
}

impl<T> TypedRequest<T> {
    /// A call of `procedure`, of which nothing else is known.
    #[must_use]
    pub fn new(procedure: impl Into<String>, body: T) -> Self {
        Self {
            meta: Meta::new(procedure),
            body,
        }
    }
}

/// A value that comes back, or a stream of values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypedResponse<T> {
    /// What travels beside it.
    pub headers: Headers,
    /// The message, or a stream of messages.
    pub body: T,
}

impl<T> TypedResponse<T> {
    /// An answer without headers.
    #[must_use]
    pub fn new(body: T) -> Self {
        Self {
            headers: Headers::new(),
            body,
        }
    }
}
