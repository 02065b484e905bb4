//! Server-sent events found in bytes that pass by.
//!
//! The reader keeps no more than the event under way, and of that no more than [`EVENT_BYTES_MAX`]: a longer one
//! passes unread. Lines end in LF or CR LF (no provider uses a bare CR).

/// The longest event that is read. A Responses stream ends with one event that repeats the whole answer.
pub const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Finds the events of one stream.
#[derive(Debug, Default)]
pub struct Events {
    /// The bytes of the event under way that came with earlier chunks; emptied when it became too long.
    partial: Vec<u8>,
    too_long: bool,
    line: Line,
}

/// What the line under way holds so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Line {
    #[default]
    Nothing,
    CarriageReturn,
    Text,
}

impl Events {
    /// Feeds the next bytes. `each` gets the data of every event that they complete, and where in `chunk` the event
    /// ends; events without data (comments, keep-alives) are told as empty data.
    pub fn feed(&mut self, chunk: &[u8], mut each: impl FnMut(&[u8], usize)) {
        let mut event_start = 0;
        let mut line_start = 0;
        for newline in memchr::memchr_iter(b'\n', chunk) {
            let blank = matches!(
                (self.line, &chunk[line_start..newline]),
                (Line::Nothing, b"" | b"\r") | (Line::CarriageReturn, b"")
            );
            line_start = newline + 1;
            self.line = Line::Nothing;
            if blank {
                self.complete(&chunk[event_start..line_start], |data| each(data, line_start));
                event_start = line_start;
            }
        }
        self.line = match (self.line, &chunk[line_start..]) {
            (line, b"") => line,
            (Line::Nothing, b"\r") => Line::CarriageReturn,
            _ => Line::Text,
        };
        self.keep(&chunk[event_start..]);
    }

    fn complete(&mut self, rest: &[u8], each: impl FnOnce(&[u8])) {
        if std::mem::take(&mut self.too_long) {
            return each(b"");
        }
        if self.partial.is_empty() {
            return with_data(rest, each);
        }
        self.keep(rest);
        with_data(&std::mem::take(&mut self.partial), each);
        self.too_long = false;
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.too_long |= self.partial.len() + bytes.len() > EVENT_BYTES_MAX;
        if self.too_long {
            self.partial = Vec::new();
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }
}

/// The values of an event's `data` lines, joined by line feeds.
fn with_data(event: &[u8], each: impl FnOnce(&[u8])) {
    let mut values = event.split(|byte| *byte == b'\n').filter_map(|line| {
        let value = line.strip_suffix(b"\r").unwrap_or(line).strip_prefix(b"data:")?;
        Some(value.strip_prefix(b" ").unwrap_or(value))
    });
    let first = values.next().unwrap_or_default();
    match values.next() {
        None => each(first),
        Some(second) => {
            let rest: Vec<&[u8]> = [first, second].into_iter().chain(values).collect();
            each(&rest.join(&b'\n'));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(chunks: &[&[u8]]) -> Vec<String> {
        let mut events = Events::default();
        let mut found = Vec::new();
        for chunk in chunks {
            events.feed(chunk, |data, _| found.push(String::from_utf8_lossy(data).into_owned()));
        }
        found
    }

    #[test]
    fn events_are_the_same_wherever_the_chunks_are_cut() {
        let stream: &[u8] =
            b"data: one\n\nevent: x\r\ndata:two\r\n\r\n: hello\n\ndata: a\ndata:  b\nid: 7\n\ndata: cut";
        let whole = ["one", "two", "", "a\n b"];
        assert_eq!(events(&[stream]), whole);
        for first in 0..stream.len() {
            for second in first..stream.len() {
                assert_eq!(events(&[&stream[..first], &stream[first..second], &stream[second..]]), whole);
            }
        }
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        assert_eq!(events(&bytes), whole);
    }

    #[test]
    fn the_end_of_an_event_is_told_in_the_chunk_that_completes_it() {
        let mut events = Events::default();
        let mut ends = Vec::new();
        events.feed(b"data: one\n", |_, end| ends.push(end));
        events.feed(b"\ndata: two\n\nda", |_, end| ends.push(end));
        assert_eq!(ends, [1, 12]);
    }

    #[test]
    fn an_event_beyond_the_limit_passes_unread() {
        let mut events = Events::default();
        let mut found = Vec::new();
        let mut feed = |chunk: &[u8]| events.feed(chunk, |data, _| found.push(data.len()));
        feed(b"data: ");
        for _ in 0..17 {
            feed(&[b'x'; 1024 * 1024]);
        }
        feed(b"\n\ndata: next\n\n");
        assert_eq!(found, [0, 4]);
    }
}
