//! [`Code`]: what became of a call, by the name that all protocols share.

use std::fmt;
use std::str::FromStr;

/// What became of a call that did not succeed.
///
/// Codes travel by name, never by number: numbers differ between protocols, and between this dispatcher's relatives. Whoever is
/// told `UNAUTHENTICATED` by a server takes it for [`PermissionDenied`](Self::PermissionDenied).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// Nobody knows what it was.
    #[default]
    Unknown,
    /// The caller has given it up.
    Cancelled,
    /// What was asked makes no sense, in whatever state the server is.
    InvalidArgument,
    /// Its deadline has passed.
    DeadlineExceeded,
    /// What was asked for does not exist.
    NotFound,
    /// What was to be made exists already.
    AlreadyExists,
    /// The caller may not do that, or nobody knows who it is.
    PermissionDenied,
    /// There is no room for it: a quota, a rate, a size.
    ResourceExhausted,
    /// The server is in no state for it; to try again helps only when that has changed.
    FailedPrecondition,
    /// It was overtaken by another call.
    Aborted,
    /// It went beyond the end of something.
    OutOfRange,
    /// Nobody has registered that procedure.
    Unimplemented,
    /// Something is broken.
    Internal,
    /// It cannot be served at the moment; to try again later may help.
    Unavailable,
    /// Data is lost for good.
    DataLoss,
}

impl Code {
    /// Every code.
    pub const ALL: [Self; 15] = [
        Self::Unknown,
        Self::Cancelled,
        Self::InvalidArgument,
        Self::DeadlineExceeded,
        Self::NotFound,
        Self::AlreadyExists,
        Self::PermissionDenied,
        Self::ResourceExhausted,
        Self::FailedPrecondition,
        Self::Aborted,
        Self::OutOfRange,
        Self::Unimplemented,
        Self::Internal,
        Self::Unavailable,
        Self::DataLoss,
    ];

    /// The name on the wire, that of gRPC.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Cancelled => "CANCELLED",
            Self::InvalidArgument => "INVALID_ARGUMENT",
            Self::DeadlineExceeded => "DEADLINE_EXCEEDED",
            Self::NotFound => "NOT_FOUND",
            Self::AlreadyExists => "ALREADY_EXISTS",
            Self::PermissionDenied => "PERMISSION_DENIED",
            Self::ResourceExhausted => "RESOURCE_EXHAUSTED",
            Self::FailedPrecondition => "FAILED_PRECONDITION",
            Self::Aborted => "ABORTED",
            Self::OutOfRange => "OUT_OF_RANGE",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Internal => "INTERNAL",
            Self::Unavailable => "UNAVAILABLE",
            Self::DataLoss => "DATA_LOSS",
        }
    }

    /// The status of an HTTP answer that carries it.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::InvalidArgument | Self::OutOfRange => 400,
            Self::PermissionDenied => 403,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::Aborted => 409,
            Self::FailedPrecondition => 412,
            Self::ResourceExhausted => 429,
            Self::Cancelled => 499,
            Self::Unknown | Self::Internal | Self::DataLoss => 500,
            Self::Unimplemented => 501,
            Self::Unavailable => 503,
            Self::DeadlineExceeded => 504,
        }
    }

    /// What an HTTP answer with `status` means when it does not say more. It is a guess: several codes share a status, so
    /// that who has a name goes by that.
    #[must_use]
    pub const fn from_http_status(status: u16) -> Self {
        match status {
            400 | 415 => Self::InvalidArgument,
            401 | 403 => Self::PermissionDenied,
            404 => Self::NotFound,
            408 | 504 => Self::DeadlineExceeded,
            409 => Self::Aborted,
            412 => Self::FailedPrecondition,
            429 => Self::ResourceExhausted,
            500 => Self::Internal,
            501 => Self::Unimplemented,
            503 => Self::Unavailable,
            _ => Self::Unknown,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that is the name of no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is the name of no code")]
pub struct UnknownCode(pub String);

/// Reads a name as [`as_str`](Code::as_str) writes it, and as relatives do: `InvalidArgument`, `invalid_argument`.
impl FromStr for Code {
    type Err = UnknownCode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters = |it: &str| {
            let kept = it.trim().chars().filter(|it| *it != '_');
            kept.map(|it| it.to_ascii_lowercase()).collect::<String>()
        };
        let wanted = letters(text);
        if wanted == "unauthenticated" {
            return Ok(Self::PermissionDenied);
        }
        let found = Self::ALL
            .into_iter()
            .find(|it| letters(it.as_str()) == wanted);
        found.ok_or_else(|| UnknownCode(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contract_65_codes_become_http_statuses_by_the_original_map() {
        let statuses = Code::ALL.map(Code::http_status);
        assert_eq!(
            statuses,
            [
                500, 499, 400, 504, 404, 409, 403, 429, 412, 409, 400, 501, 500, 503, 500
            ]
        );
    }

    #[test]
    fn contract_65_http_statuses_become_codes_by_the_original_map() {
        let pairs = [
            (400, Code::InvalidArgument),
            (401, Code::PermissionDenied),
            (403, Code::PermissionDenied),
            (404, Code::NotFound),
            (408, Code::DeadlineExceeded),
            (409, Code::Aborted),
            (412, Code::FailedPrecondition),
            (415, Code::InvalidArgument),
            (429, Code::ResourceExhausted),
            (500, Code::Internal),
            (501, Code::Unimplemented),
            (503, Code::Unavailable),
            (504, Code::DeadlineExceeded),
        ];
        for status in 0..=999 {
            let listed = pairs.iter().find(|(it, _)| *it == status);
            let expected = listed.map_or(Code::Unknown, |(_, code)| *code);
            assert_eq!(Code::from_http_status(status), expected, "{status}");
        }
    }

    #[test]
    fn every_name_is_read_as_it_is_written_and_as_relatives_write_it() {
        for code in Code::ALL {
            assert_eq!(code.as_str().parse(), Ok(code));
            assert_eq!(format!("{code:?}").parse(), Ok(code));
            assert_eq!(code.as_str().to_lowercase().parse(), Ok(code));
        }
        assert_eq!("UNAUTHENTICATED".parse(), Ok(Code::PermissionDenied));
        assert_eq!("OK".parse::<Code>(), Err(UnknownCode("OK".to_owned())));
        assert_eq!("3".parse::<Code>(), Err(UnknownCode("3".to_owned())));
    }
}
