//! What comes over HTTP, under whatever bytes.

use std::time::Instant;

use http::header::{ACCEPT, ACCEPT_ENCODING};
use jiff::Timestamp;

use super::event_reader::EventReader;
use super::{incoming, outgoing};
use crate::code::Code;
use crate::fuzzing::{map, passed, told};
use crate::shape::Shape;

/// The headers of a call, one a line.
///
/// # Panics
///
/// When a refusal is not the caller's, or when a call that is passed on says something else than the one that came.
pub fn headers(bytes: &[u8]) {
    let headers = map(bytes);
    let (now, clock) = (Instant::now(), Timestamp::UNIX_EPOCH);
    let _ = incoming::takes_events(&headers);
    let meta = match incoming::meta(&headers, now, clock) {
        Ok(meta) => meta,
        Err(error) => {
            assert_eq!(error.code, Code::InvalidArgument);
            return;
        }
    };
    let target = "http://127.0.0.1/".parse().expect("it is an address");
    let left = meta.time_left(now);
    let request = outgoing::request(Shape::Unary, &target, &meta, "message".into(), left);
    let request = match request {
        Ok(request) => request,
        Err(error) => {
            assert_eq!(error.code, Code::InvalidArgument);
            return;
        }
    };
    let again = incoming::meta(request.headers(), now, clock).expect("it was written to be read");
    assert_eq!(again.procedure, meta.procedure);
    assert_eq!(told(&again), told(&meta));
    let ours = [ACCEPT.as_str(), ACCEPT_ENCODING.as_str()];
    assert_eq!(passed(&again.headers, &ours), passed(&meta.headers, &ours));
}

/// A stream of events from an upstream.
///
/// # Panics
///
/// When it makes a difference in which pieces the bytes come, or when a message is larger than it may be.
pub fn events(bytes: &[u8]) {
    const MOST: usize = 64;
    let read = |piece: usize| {
        let (mut reader, mut found) = (EventReader::new(MOST), Vec::new());
        for bytes in bytes.chunks(piece) {
            let read = reader.read(bytes);
            while let Some(next) = reader.next() {
                found.push(next.map_err(|it| it.to_string()));
            }
            if let Err(error) = read {
                found.push(Err(error.to_string()));
                return found;
            }
        }
        found
    };
    let found = read(bytes.len().max(1));
    assert_eq!(read(1), found);
    assert!(found.iter().flatten().all(|it| it.len() <= MOST));
}
