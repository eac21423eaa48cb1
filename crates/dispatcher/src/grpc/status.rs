//! Errors as gRPC's statuses, and back: by name, never by number.

use std::collections::BTreeMap;

use http::HeaderMap;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::{metadata, names};
use crate::code::Code;
use crate::error::RpcError;

/// How tonic says that a message is larger than its limit. It calls that out of range.
const TOO_LARGE: &str = "Error, decoded message length too large";

/// How much metadata travels, in bytes: there is a message beside it twice, once with up to three bytes for one.
const METADATA_BYTES: usize = 3 * 1024;

/// The status that tells `error`. A message that is too long for a client is cut short, and metadata beyond what it takes is left out.
pub(super) fn of(error: &RpcError) -> Status {
    let mut trailers = HeaderMap::new();
    let message = error.short_message();
    metadata::send(fitting(&error.metadata), &mut trailers);
    metadata::set(&mut trailers, names::STATUS, error.code.as_str());
    metadata::set(&mut trailers, names::ERROR_MESSAGE, &message);
    if let Some(reason) = error.short_reason() {
        metadata::set(&mut trailers, names::ERROR_CODE, &reason);
    }
    if let Some(details) = trailers.remove(names::KEPT_DETAILS) {
        trailers.insert(names::DETAILS, details);
    }
    let trailers = MetadataMap::from_headers(trailers);
    Status::with_metadata(grpc_code(error.code), message, trailers)
}

fn fitting(metadata: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    let mut left = METADATA_BYTES;
    let pairs = metadata.iter().map(|(key, value)| (&**key, &**value));
    pairs.filter(
        move |(key, value)| match left.checked_sub(key.len() + value.len()) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        },
    )
}

/// The error that `status` tells. The name of its code goes before the number, which has no name of ours for everything.
pub(super) fn error(status: &Status) -> RpcError {
    let trailers = status.metadata().clone().into_headers();
    let text = |name| trailers.get(name).and_then(|it| it.to_str().ok());
    let named = text(names::STATUS).and_then(|it| it.parse().ok());
    let mut error = RpcError::new(named.unwrap_or_else(|| own_code(status)), status.message());
    error.reason = text(names::ERROR_CODE).map(str::to_owned);
    let own = metadata::own(&trailers);
    error.metadata = own
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    error
}

/// What a stream ends with that its sender has broken off. Tonic takes one that was cancelled for one that is complete, so that
/// only the name says it.
pub(super) fn broken_off() -> Status {
    let error = RpcError::new(Code::Cancelled, "the messages did not come to their end");
    let metadata = of(&error).metadata().clone();
    Status::with_metadata(tonic::Code::Unknown, error.message, metadata)
}

fn own_code(status: &Status) -> Code {
    match status.code() {
        tonic::Code::OutOfRange if status.message().starts_with(TOO_LARGE) => {
            Code::ResourceExhausted
        }
        // Nothing but an error comes here.
        tonic::Code::Unknown | tonic::Code::Ok => Code::Unknown,
        tonic::Code::Cancelled => Code::Cancelled,
        tonic::Code::InvalidArgument => Code::InvalidArgument,
        tonic::Code::DeadlineExceeded => Code::DeadlineExceeded,
        tonic::Code::NotFound => Code::NotFound,
        tonic::Code::AlreadyExists => Code::AlreadyExists,
        tonic::Code::PermissionDenied | tonic::Code::Unauthenticated => Code::PermissionDenied,
        tonic::Code::ResourceExhausted => Code::ResourceExhausted,
        tonic::Code::FailedPrecondition => Code::FailedPrecondition,
        tonic::Code::Aborted => Code::Aborted,
        tonic::Code::OutOfRange => Code::OutOfRange,
        tonic::Code::Unimplemented => Code::Unimplemented,
        tonic::Code::Internal => Code::Internal,
        tonic::Code::Unavailable => Code::Unavailable,
        tonic::Code::DataLoss => Code::DataLoss,
    }
}

const fn grpc_code(code: Code) -> tonic::Code {
    match code {
        Code::Unknown => tonic::Code::Unknown,
        Code::Cancelled => tonic::Code::Cancelled,
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::DeadlineExceeded => tonic::Code::DeadlineExceeded,
        Code::NotFound => tonic::Code::NotFound,
        Code::AlreadyExists => tonic::Code::AlreadyExists,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::Aborted => tonic::Code::Aborted,
        Code::OutOfRange => tonic::Code::OutOfRange,
        Code::Unimplemented => tonic::Code::Unimplemented,
        Code::Internal => tonic::Code::Internal,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::DataLoss => tonic::Code::DataLoss,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_grpcs_number_of_the_same_name_and_comes_back() {
        for code in Code::ALL {
            let status = of(&RpcError::new(code, "why"));
            assert_eq!(format!("{:?}", status.code()), format!("{code:?}"));
            assert_eq!(error(&status).code, code);
            let nameless = Status::new(status.code(), "why");
            assert_eq!(error(&nameless), RpcError::new(code, "why"));
        }
        let unauthenticated = Status::unauthenticated("who are you");
        assert_eq!(error(&unauthenticated).code, Code::PermissionDenied);
    }

    #[test]
    fn what_is_too_much_for_a_client_is_left_out_and_the_status_stays() {
        let long = "ü".repeat(1_000);
        let told = RpcError::new(Code::Aborted, format!("a{long}"))
            .with_metadata("a", "x".repeat(2_000))
            .with_metadata("b", "x".repeat(2_000))
            .with_metadata("c", "short");
        let read = error(&of(&told));
        assert_eq!(read.code, Code::Aborted);
        assert_eq!(read.message, format!("a{}...", "ü".repeat(511)));
        assert_eq!(read.metadata.keys().collect::<Vec<_>>(), ["a", "c"]);
    }

    #[test]
    fn what_was_broken_off_is_cancelled_and_not_complete() {
        assert_eq!(error(&broken_off()).code, Code::Cancelled);
        assert_ne!(broken_off().code(), tonic::Code::Cancelled);
    }

    #[test]
    fn reason_and_metadata_travel_with_it_and_the_protocols_own_do_not() {
        let told = RpcError::new(Code::NotFound, "kein Tier: ü\n")
            .with_reason("pets.unknown")
            .with_metadata("omnirelay.retryable", "false")
            .with_metadata("grpc-status", "0")
            .with_metadata("not a key", "x");
        let read = error(&of(&told));
        let expected = RpcError::new(Code::NotFound, "kein Tier: ü\n")
            .with_reason("pets.unknown")
            .with_metadata("omnirelay.retryable", "false");
        assert_eq!(read, expected);
    }
}
