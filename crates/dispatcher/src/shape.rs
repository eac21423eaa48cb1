//! [`Shape`]: how many messages go which way in a call.

use std::fmt;

/// How many messages go which way in a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Shape {
    /// One there, one back.
    Unary,
    /// One there, and the assurance that it has arrived.
    Oneway,
    /// One there, any number back.
    ServerStream,
    /// Any number there, one back.
    ClientStream,
    /// Any number there, any number back, at the same time.
    Duplex,
}

impl Shape {
    /// Every shape.
    pub const ALL: [Self; 5] = [
        Self::Unary,
        Self::Oneway,
        Self::ServerStream,
        Self::ClientStream,
        Self::Duplex,
    ];

    /// Every shape, each before those whose calls it could carry.
    pub(crate) const WIDEST_FIRST: [Self; 5] = [
        Self::Duplex,
        Self::ServerStream,
        Self::ClientStream,
        Self::Unary,
        Self::Oneway,
    ];

    /// The name in configurations and in the names of components.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Oneway => "oneway",
            Self::ServerStream => "stream",
            Self::ClientStream => "client-stream",
            Self::Duplex => "duplex",
        }
    }

    /// Whether any number of messages goes to the server; otherwise it is one.
    #[must_use]
    pub const fn streams_requests(self) -> bool {
        matches!(self, Self::ClientStream | Self::Duplex)
    }

    /// Whether any number of messages comes back; otherwise it is one, or none for one-way calls.
    #[must_use]
    pub const fn streams_responses(self) -> bool {
        matches!(self, Self::ServerStream | Self::Duplex)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
