//! What comes over gRPC, under whatever bytes.

use std::time::{Duration, Instant};

use http::Uri;
use http::uri::Scheme;
use jiff::Timestamp;
use tonic::body::Body;

use super::{incoming, outgoing, timeout};
use crate::code::Code;
use crate::fuzzing::{map, passed, told};
use crate::shape::Shape;

/// The path of a call, and its metadata, one a line.
///
/// # Panics
///
/// When a refusal is not the caller's, or when a call that is passed on says something else than the one that came.
pub fn metadata(bytes: &[u8]) {
    let end = bytes.iter().position(|it| *it == b'\n');
    let (path, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
    if let Ok(text) = std::str::from_utf8(path) {
        check_timeout(text);
    }
    let Ok(uri) = Uri::try_from(path) else {
        return;
    };
    let headers = map(rest);
    let _ = incoming::shape(&headers);
    let (now, clock) = (Instant::now(), Timestamp::UNIX_EPOCH);
    let mut meta = match incoming::meta(&uri, &headers, now, clock) {
        Ok(meta) => meta,
        Err(error) => {
            assert!(matches!(
                error.code,
                Code::Unimplemented | Code::InvalidArgument
            ));
            return;
        }
    };
    // It may be over by the time that it is written, which is no fault.
    meta.deadline = None;
    let service = meta.service.clone().expect("gRPC always says it");
    let authority = "127.0.0.1:1".parse().expect("it is an address");
    let request = outgoing::request(
        &Scheme::HTTP,
        &authority,
        &service,
        Shape::Unary,
        &meta,
        Body::empty(),
    );
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            assert_eq!(error.code, Code::InvalidArgument);
            return;
        }
    };
    let again = incoming::meta(request.uri(), request.headers(), now, clock);
    let again = again.expect("it was written to be read");
    assert_eq!(again.service, meta.service);
    assert_eq!(again.procedure.trim(), meta.procedure.trim());
    assert_eq!(told(&again), told(&meta));
    let printable =
        |(_, value): &(String, String)| value.bytes().all(|it| matches!(it, b' '..=b'~'));
    let mut sent = passed(&meta.headers, &[]);
    sent.retain(printable);
    assert_eq!(passed(&again.headers, &[]), sent);
}

fn check_timeout(text: &str) {
    if let Some(read) = timeout::parse(text) {
        let again = timeout::parse(&timeout::format(read)).expect("it was written to be read");
        assert!(again >= read && again <= read + read / 1_000 + Duration::from_nanos(1));
    }
}
