//! [`EventReader`]: messages out of server-sent events, as they come.

use std::collections::VecDeque;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::reply::{self, too_large};
use crate::code::Code;
use crate::error::RpcError;

/// How much of a line may be something else than data: names of fields, comments.
const BESIDE_DATA: usize = 256;

/// Reads a stream of events (WHATWG HTML, 9.2.6), and what this protocol adds to it: the field `encoding`, and the event `error`.
///
/// It holds one event at a time, of limited size, and what of the last bytes was not asked for yet.
pub(super) struct EventReader {
    /// How large a message may be.
    bytes: usize,
    /// The line that has not ended yet.
    line: Vec<u8>,
    /// The last line has ended with a carriage return, to which a line feed may belong.
    after_return: bool,
    is_first_line: bool,
    event: Event,
    ready: VecDeque<Result<Bytes, RpcError>>,
}

/// The event that has not ended yet.
#[derive(Default)]
struct Event {
    /// Each line of data with its end; `None` while there is none.
    data: Option<Vec<u8>>,
    is_error: bool,
    is_base64: bool,
}

impl EventReader {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            bytes,
            line: Vec::new(),
            after_return: false,
            is_first_line: true,
            event: Event::default(),
            ready: VecDeque::new(),
        }
    }

    /// The next message, or the error that ends them, of what was read so far.
    pub(super) fn next(&mut self) -> Option<Result<Bytes, RpcError>> {
        self.ready.pop_front()
    }

    /// Puts `error` behind what was read so far.
    pub(super) fn end_with(&mut self, error: RpcError) {
        self.ready.push_back(Err(error));
    }

    /// Whether the bytes so far end with an event, and not in the middle of one.
    pub(super) fn is_between_events(&self) -> bool {
        self.line.is_empty() && self.event.data.is_none()
    }

    /// Reads on.
    ///
    /// # Errors
    ///
    /// [`Code::ResourceExhausted`] when an event is too large. Messages before it can still be asked for.
    pub(super) fn read(&mut self, mut bytes: &[u8]) -> Result<(), RpcError> {
        while !bytes.is_empty() {
            if std::mem::take(&mut self.after_return) && bytes[0] == b'\n' {
                bytes = &bytes[1..];
                continue;
            }
            let Some(end) = bytes.iter().position(|it| matches!(it, b'\n' | b'\r')) else {
                return self.extend_line(bytes);
            };
            self.extend_line(&bytes[..end])?;
            self.after_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            let line = std::mem::take(&mut self.line);
            self.end_line(&line)?;
        }
        Ok(())
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), RpcError> {
        if self.line.len() + bytes.len() > self.most() + BESIDE_DATA {
            return Err(too_large(self.bytes));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    /// How much data an event may have: that of the largest message, as base64.
    fn most(&self) -> usize {
        (self.bytes / 3 + 1).saturating_mul(4)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<(), RpcError> {
        let is_first = std::mem::take(&mut self.is_first_line);
        let line = match line.strip_prefix(b"\xef\xbb\xbf") {
            Some(rest) if is_first => rest,
            _ => line,
        };
        if line.is_empty() {
            self.end_event();
            return Ok(());
        }
        let colon = line.iter().position(|it| *it == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match name {
            b"data" => return self.add_data(value),
            b"event" => self.event.is_error = value == b"error",
            b"encoding" => self.event.is_base64 = value == b"base64",
            // Comments have no name; what else there is has no meaning here.
            _ => {}
        }
        Ok(())
    }

    fn add_data(&mut self, value: &[u8]) -> Result<(), RpcError> {
        let most = self.most();
        let data = self.event.data.get_or_insert_default();
        if data.len() + value.len() > most {
            return Err(too_large(self.bytes));
        }
        data.extend_from_slice(value);
        data.push(b'\n');
        Ok(())
    }

    fn end_event(&mut self) {
        let event = std::mem::take(&mut self.event);
        let Some(mut data) = event.data else {
            return;
        };
        data.pop();
        self.ready.push_back(match event.is_error {
            true => Err(reply::told(&data)),
            false => self.message(data, event.is_base64),
        });
    }

    fn message(&self, data: Vec<u8>, is_base64: bool) -> Result<Bytes, RpcError> {
        let message = match is_base64 {
            true => STANDARD.decode(data).map_err(|_| unreadable())?,
            false => data,
        };
        match message.len() > self.bytes {
            true => Err(too_large(self.bytes)),
            false => Ok(message.into()),
        }
    }
}

fn unreadable() -> RpcError {
    let error = RpcError::new(Code::Internal, "an event of the upstream cannot be read");
    error.with_reason("dispatcher.http.event_unreadable")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read of `text` in pieces of `piece` bytes, as text.
    fn read(text: &[u8], piece: usize, bytes: usize) -> Vec<String> {
        let mut reader = EventReader::new(bytes);
        let mut found = Vec::new();
        for piece in text.chunks(piece) {
            let read = reader.read(piece);
            while let Some(next) = reader.next() {
                found.push(match next {
                    Ok(message) => String::from_utf8_lossy(&message).into_owned(),
                    Err(error) => error.to_string(),
                });
            }
            if let Err(error) = read {
                found.push(error.to_string());
                return found;
            }
        }
        if !reader.is_between_events() {
            found.push("…".to_owned());
        }
        found
    }

    #[track_caller]
    fn check(text: &str, expected: &[&str]) {
        for piece in [1, 2, 3, 7, text.len()] {
            assert_eq!(
                read(text.as_bytes(), piece, 64),
                expected,
                "{text:?} by {piece}"
            );
        }
    }

    #[test]
    fn events_are_read_however_their_lines_end_and_wherever_they_are_cut() {
        check("data: a\n\ndata:b\n\n", &["a", "b"]);
        check("data: a\r\ndata:  b\r\n\r\n", &["a\n b"]);
        check("data: a\r\rdata\r\r", &["a", ""]);
        check("\u{feff}data: ü\n\n", &["ü"]);
        check(
            ": comment\n\nid: 7\nretry: 9\n\nevent: note\ndata: a\n\n",
            &["a"],
        );
        check("data: YQ1i\nencoding: base64\n\n", &["a\rb"]);
        check(
            "encoding: base64\ndata: YQ1i\n\ndata: YQ1i\n\n",
            &["a\rb", "YQ1i"],
        );
        check("data: a\n\ndata: b\n", &["a", "…"]);
        check("data: a\n\nda", &["a", "…"]);
    }

    #[test]
    fn an_error_is_told_by_name_and_what_cannot_be_read_is_one() {
        check(
            "event: error\ndata: {\"message\":\"gone\",\"status\":\"NOT_FOUND\"}\n\n",
            &["NOT_FOUND: gone"],
        );
        check(
            "event: error\ndata: gone\n\n",
            &["UNKNOWN: the upstream has ended the stream"],
        );
        check(
            "data: %\nencoding: base64\n\n",
            &["INTERNAL: an event of the upstream cannot be read"],
        );
    }

    #[test]
    fn an_event_has_a_limit_whichever_way_it_grows() {
        const LARGE: &str = "RESOURCE_EXHAUSTED: a message of the upstream is larger than 6 bytes";
        for (text, expected) in [
            ("data: 123456\n\n".to_owned(), "123456"),
            ("data: 1234567\n\n".to_owned(), LARGE),
            ("data: 1\ndata: 2\ndata: 345\n\n".to_owned(), LARGE),
            ("data: MTIzNDU2\nencoding: base64\n\n".to_owned(), "123456"),
            ("data: MTIzNDU2Nw==\nencoding: base64\n\n".to_owned(), LARGE),
            ("x".repeat(1_000), LARGE),
            ("data: 1\n".repeat(1_000), LARGE),
        ] {
            for piece in [1, 5, text.len()] {
                let found = read(text.as_bytes(), piece, 6);
                assert_eq!(found, [expected], "{text} by {piece}");
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic_and_cuts_make_no_difference(
            text in proptest::collection::vec(
                proptest::sample::select(b"data: event\nerror:\r\n\n{}=\xff".to_vec()), 0..200),
            piece in 1_usize..20,
        ) {
            let whole = read(&text, text.len().max(1), 16);
            prop_assert_eq!(read(&text, piece, 16), whole);
        }
    }
}
