//! Documents that may be long, written piece by piece.
//!
//! One thread answers everybody. A document of ten thousand components takes many milliseconds to write, and a probe must not
//! wait for it. So a piece is written, the thread looks after all others, and only then comes the next one. A reader that is
//! slow holds one piece and the rows that are still to be written, never the whole text.

use std::collections::VecDeque;
use std::mem;

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::problem::Problem;

/// How long a piece is at least, in bytes, unless it is the last one: some 0.1 ms of work.
const PIECE: usize = 64 * 1024;

/// Room for the row that makes a piece long enough.
const ROOM: usize = PIECE + 4 * 1024;

/// Where the lists at the end of a document come from.
pub(crate) trait Rows: Send + 'static {
    /// Writes what stands at `place` of the list; `false` when that is beyond its end, or there is no such list.
    ///
    /// # Errors
    ///
    /// When a row cannot be written as JSON.
    fn write(&self, list: usize, place: usize, text: &mut List<'_>) -> serde_json::Result<bool>;
}

/// A list that is being written.
pub(crate) struct List<'a> {
    text: &'a mut Vec<u8>,
    empty: &'a mut bool,
}

impl List<'_> {
    /// Adds a member of a JSON array.
    pub(crate) fn push(&mut self, row: &impl Serialize) -> serde_json::Result<()> {
        if !mem::replace(self.empty, false) {
            self.text.push(b',');
        }
        serde_json::to_writer(&mut *self.text, row)
    }

    /// Adds text that is not JSON.
    pub(crate) fn push_str(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
    }
}

/// A document, and how much of it has been taken.
pub(crate) struct Pieces {
    rows: Box<dyn Rows>,
    /// What stands behind each list that is not written yet.
    seams: VecDeque<&'static str>,
    list: usize,
    place: usize,
    empty: bool,
    /// What is written and not taken.
    text: Vec<u8>,
}

impl Pieces {
    /// `head` is what stands before the first list, `seams` what stands behind each.
    pub(crate) fn new(head: Vec<u8>, seams: &[&'static str], rows: impl Rows) -> Self {
        Self {
            rows: Box::new(rows),
            seams: seams.iter().copied().collect(),
            list: 0,
            place: 0,
            empty: true,
            text: head,
        }
    }

    /// `document` is all of it, but that the lists at its end are empty; `seams` is what stands behind each of them.
    pub(crate) fn of_json(
        document: &impl Serialize,
        seams: &[&'static str],
        rows: impl Rows,
    ) -> serde_json::Result<Self> {
        let mut head = serde_json::to_vec(document)?;
        let end: usize = seams.iter().map(|it| it.len()).sum();
        debug_assert!(
            head.ends_with(seams.concat().as_bytes()),
            "the lists are not at the end, or not empty"
        );
        head.truncate(head.len() - end);
        Ok(Self::new(head, seams, rows))
    }

    /// As the data of a server-sent event, which begins with the lines of `frame`. JSON has no line breaks: it escapes them.
    pub(crate) fn framed(mut self, frame: &str) -> Self {
        self.text = [frame.as_bytes(), b"data: ", &self.text].concat();
        // As if behind one more list, which has no rows.
        self.seams.push_back("\n\n");
        self
    }

    /// The next piece; `None` at the end.
    pub(crate) fn next(&mut self) -> serde_json::Result<Option<Vec<u8>>> {
        while self.text.len() < PIECE
            && let Some(seam) = self.seams.front()
        {
            let mut list = List {
                text: &mut self.text,
                empty: &mut self.empty,
            };
            if self.rows.write(self.list, self.place, &mut list)? {
                self.place += 1;
                continue;
            }
            self.text.extend_from_slice(seam.as_bytes());
            self.seams.pop_front();
            (self.list, self.place, self.empty) = (self.list + 1, 0, true);
        }
        if self.text.is_empty() {
            return Ok(None);
        }
        let room = if self.is_over() { 0 } else { ROOM };
        Ok(Some(mem::replace(&mut self.text, Vec::with_capacity(room))))
    }

    /// Whether no list is left to be written.
    pub(crate) fn is_over(&self) -> bool {
        self.seams.is_empty()
    }

    /// As a whole when it is short.
    pub(crate) fn into_response(mut self, content_type: &'static str) -> Response {
        let first = match self.next() {
            Ok(first) => first.unwrap_or_default(),
            Err(error) => return unwritable(&error),
        };
        let body = if self.is_over() && self.text.is_empty() {
            Body::from(first)
        } else {
            Body::from_stream(self.stream(first))
        };
        ([(CONTENT_TYPE, content_type)], body).into_response()
    }

    fn stream(
        self,
        first: Vec<u8>,
    ) -> impl futures_util::Stream<Item = serde_json::Result<Vec<u8>>> + Send {
        let begin = (self, Some(first));
        futures_util::stream::try_unfold(begin, async |(mut pieces, first)| {
            if let Some(first) = first {
                return Ok(Some((first, (pieces, None))));
            }
            // Whoever else is waited for on this thread comes first.
            tokio::task::yield_now().await;
            let piece = pieces.next().inspect_err(complain)?;
            Ok(piece.map(|it| (it, (pieces, None))))
        })
    }
}

/// A document of JSON that may be long.
pub(crate) fn json(pieces: serde_json::Result<Pieces>) -> Response {
    match pieces {
        Ok(pieces) => pieces.into_response("application/json"),
        Err(error) => unwritable(&error),
    }
}

fn unwritable(error: &serde_json::Error) -> Response {
    complain(error);
    let detail = "the document cannot be written";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail).into_response()
}

fn complain(error: &serde_json::Error) {
    tracing::error!(%error, "a document cannot be written");
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::body::to_bytes;
    use serde_json::{Value, json as value};

    use super::*;

    /// Two lists of numbers, of the given lengths.
    struct Numbers(usize, usize);

    impl Rows for Numbers {
        fn write(
            &self,
            list: usize,
            place: usize,
            text: &mut List<'_>,
        ) -> serde_json::Result<bool> {
            let length = [self.0, self.1].get(list).copied().unwrap_or_default();
            if place < length {
                text.push(&place)?;
            }
            Ok(place < length)
        }
    }

    const SEAMS: [&str; 2] = ["],\"second\":[", "]}"];

    fn numbers(first: usize, second: usize) -> Pieces {
        let document = value!({"first": [], "second": []});
        Pieces::of_json(&document, &SEAMS, Numbers(first, second)).unwrap()
    }

    fn all(mut pieces: Pieces) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| pieces.next().unwrap()).collect()
    }

    #[test]
    fn the_pieces_are_together_the_document_however_long_its_lists_are() {
        for (first, second) in [(0, 0), (1, 0), (0, 1), (3, 2), (40_000, 1), (1, 40_000)] {
            let pieces = all(numbers(first, second));
            let text = pieces.concat();
            let read: Value = serde_json::from_slice(&text).unwrap();
            let list = |length| (0..length).collect::<Vec<_>>();
            let expected = value!({"first": list(first), "second": list(second)});
            assert_eq!(read, expected, "{first}, {second}");
            assert_eq!(pieces.len(), text.len().div_ceil(PIECE + 1).max(1));
        }
    }

    #[test]
    fn no_piece_is_much_longer_than_another() {
        let pieces = all(numbers(100_000, 0));
        assert!(pieces.len() > 5);
        let (last, before) = pieces.split_last().unwrap();
        assert!(before.iter().all(|it| (PIECE..ROOM).contains(&it.len())));
        assert!(last.len() < ROOM);
    }

    #[test]
    fn as_an_event_a_document_is_one_line_of_data_with_a_blank_line_behind() {
        let text = all(numbers(2, 1).framed("event: numbers\nid: 7\n")).concat();
        let expected = "event: numbers\nid: 7\ndata: {\"first\":[0,1],\"second\":[0]}\n\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[tokio::test]
    async fn whoever_shares_the_thread_has_a_turn_before_each_further_piece() {
        let turns = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&turns);
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
            }
        });
        let further = all(numbers(100_000, 0)).len() - 1;
        let body = numbers(100_000, 0).into_response("text/plain").into_body();
        let text = to_bytes(body, usize::MAX).await.unwrap();
        other.abort();
        assert_eq!(text, all(numbers(100_000, 0)).concat());
        assert!(further > 5);
        assert!(turns.load(Ordering::Relaxed) >= further);
    }
}
