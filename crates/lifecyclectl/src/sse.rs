//! Server-sent events, read as the HTML standard has them.

use std::mem;

/// How long a line or the data of one event may be.
const LONGEST: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// `message` where the stream names none.
    pub(crate) name: String,
    pub(crate) data: String,
    /// The last id of the stream up to here.
    pub(crate) id: Option<String>,
}

/// Takes bytes in, and gives events out.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    /// The line that has not ended yet.
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    id: Option<String>,
}

impl Reader {
    /// The events that end within `bytes`.
    ///
    /// # Errors
    ///
    /// When one is too long to be held.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<Vec<Event>, String> {
        let mut events = Vec::new();
        for byte in bytes {
            if *byte != b'\n' {
                self.line.push(*byte);
                continue;
            }
            let line = mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            events.extend(self.end_line(line.trim_end_matches('\r')));
        }
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
        match held > LONGEST {
            true => Err("an event is too long".to_owned()),
            false => Ok(events),
        }
    }

    fn end_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            return self.end_event();
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.name),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            "id" => self.id = Some(value.to_owned()),
            // Comments, and fields that the standard does not know.
            _ => {}
        }
        None
    }

    fn end_event(&mut self) -> Option<Event> {
        let name = mem::take(&mut self.name);
        let data = self.data.take()?;
        Some(Event {
            name: match name.is_empty() {
                true => "message".to_owned(),
                false => name,
            },
            data,
            id: self.id.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_whatever_the_pieces_they_come_in() {
        let stream = b": hello\r\nid: 1-2\r\nevent: change\r\ndata: {\r\ndata: }\r\n\r\nevent: empty\n\ndata:x\n\n";
        let whole = Reader::default().take(stream).unwrap();
        let mut reader = Reader::default();
        let pieces: Vec<_> = stream
            .chunks(1)
            .flat_map(|it| reader.take(it).unwrap())
            .collect();
        assert_eq!(whole, pieces);
        let event = |name: &str, data: &str| Event {
            name: name.to_owned(),
            data: data.to_owned(),
            id: Some("1-2".to_owned()),
        };
        assert_eq!(whole, [event("change", "{\n}"), event("message", "x")]);
    }

    #[test]
    fn an_event_without_an_end_is_not_held_for_ever() {
        let mut reader = Reader::default();
        let piece = vec![b'x'; LONGEST / 2 + 1];
        reader.take(&piece).unwrap();
        assert!(reader.take(&piece).is_err());
    }
}
