//! Cutting a byte stream into lines without trusting the peer to ever end one.

/// Longest line accepted unless told otherwise: 8 MiB, room for a tool call that carries a large file or an image.
pub const LINE_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A buffer that grew beyond this is given back once its lines are taken: one long line must not cost memory for ever.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// A line outgrew the limit. It is reported once, as soon as it is known; its rest is skipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a line is longer than {bytes_max} bytes")]
pub struct LineTooLong {
    /// The limit that was passed.
    pub bytes_max: usize,
}

/// Cuts bytes into lines. Pure: [`push`](Self::push) what was read, then [`pop`](Self::pop) until it returns `None`.
///
/// Holds at most the limit plus what was pushed since the last `pop`. Blank lines are not reported.
#[derive(Debug)]
pub struct LineSplitter {
    buffer: Vec<u8>,
    /// Where the next line starts in `buffer`.
    start: usize,
    /// Up to where `buffer` is known to hold no line end.
    scanned: usize,
    /// The rest of an over-long line is being thrown away.
    skipping: bool,
    bytes_max: usize,
}

impl Default for LineSplitter {
    fn default() -> Self {
        Self::new(LINE_BYTES_MAX)
    }
}

impl LineSplitter {
    /// A splitter for lines of at most `bytes_max` bytes, line end not counted.
    pub fn new(bytes_max: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, scanned: 0, skipping: false, bytes_max }
    }

    /// Takes the bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        let bytes = if self.skipping { self.after_skipped(bytes) } else { bytes };
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next complete line without its line end, or the news that one was too long; `None`: more bytes are needed.
    pub fn pop(&mut self) -> Option<Result<Vec<u8>, LineTooLong>> {
        loop {
            let Some(length) = self.buffer[self.scanned..].iter().position(|byte| *byte == b'\n') else {
                return self.without_line_end();
            };
            let end = self.scanned + length;
            let line = &self.buffer[self.start..end];
            let found = if line.len() > self.bytes_max {
                Some(Err(LineTooLong { bytes_max: self.bytes_max }))
            } else if line.trim_ascii().is_empty() {
                None
            } else {
                Some(Ok(line.strip_suffix(b"\r").unwrap_or(line).to_vec()))
            };
            self.start = end + 1;
            self.scanned = self.start;
            if found.is_some() {
                return found;
            }
        }
    }

    /// At the end of the stream: the last line, if it came without a line end.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        let rest = self.buffer.split_off(self.start);
        self.clear();
        (!rest.trim_ascii().is_empty()).then_some(rest)
    }

    fn without_line_end(&mut self) -> Option<Result<Vec<u8>, LineTooLong>> {
        self.scanned = self.buffer.len();
        if self.buffer.len() - self.start <= self.bytes_max {
            if self.start == self.buffer.len() && self.buffer.capacity() > KEPT_BYTES_MAX {
                self.clear();
            }
            return None;
        }
        self.clear();
        self.skipping = true;
        Some(Err(LineTooLong { bytes_max: self.bytes_max }))
    }

    fn after_skipped<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                self.skipping = false;
                &bytes[end + 1..]
            }
            None => &[],
        }
    }

    fn clear(&mut self) {
        self.buffer = Vec::new();
        self.start = 0;
        self.scanned = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_come_whole_however_they_were_cut() {
        check(64, &["{\"a\"", ":1}\n\n \r\n{}\r", "\n[", "]\nend"], &["{\"a\":1}", "{}", "[]"], "end");
    }

    #[test]
    fn a_long_line_is_told_once_and_the_next_one_is_read() {
        check(4, &["123", "45", "6789", "0\nok\n"], &["TOO LONG", "ok"], "");
        check(4, &["12345\nok\n"], &["TOO LONG", "ok"], "");
        check(4, &["1234\n"], &["1234"], "");
    }

    #[test]
    fn an_endless_line_takes_no_memory() {
        let mut splitter = LineSplitter::new(1000);
        for _ in 0..10_000 {
            splitter.push(&[b'x'; 512]);
            while splitter.pop().is_some() {}
            assert!(splitter.buffer.capacity() <= 4096);
        }
    }

    #[test]
    fn a_long_line_costs_memory_only_while_it_lasts() {
        let mut splitter = LineSplitter::default();
        splitter.push(&[b'x'; 1_000_000]);
        assert!(splitter.pop().is_none());
        splitter.push(b"\n");
        assert!(splitter.pop().is_some() && splitter.pop().is_none());
        assert_eq!(splitter.buffer.capacity(), 0);
    }

    proptest! {
        #[test]
        fn cutting_points_do_not_matter(text in "[a\n\r ]{0,60}", cuts in prop::collection::vec(1usize..7, 0..30), max in 0usize..8) {
            let whole = lines(max, &[text.as_bytes()]);
            let mut rest = text.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            prop_assert_eq!(whole, lines(max, &pieces));
        }
    }

    fn check(max: usize, pieces: &[&str], expected: &[&str], rest: &str) {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| piece.as_bytes()).collect();
        let (found, left) = lines(max, &pieces);
        assert_eq!((found.iter().map(String::as_str).collect::<Vec<_>>().as_slice(), left.as_str()), (expected, rest));
    }

    fn lines(max: usize, pieces: &[&[u8]]) -> (Vec<String>, String) {
        let mut splitter = LineSplitter::new(max);
        let mut found = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            while let Some(line) = splitter.pop() {
                found.push(line.map_or("TOO LONG".into(), |line| String::from_utf8(line).unwrap()));
            }
        }
        let rest = splitter.finish().unwrap_or_default();
        (found, String::from_utf8(rest).unwrap())
    }
}
