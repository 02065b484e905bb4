//! A body in pieces as the texts of its events, or as one document where a server did not stream.

/// What came in and is no whole event yet.
#[derive(Default)]
pub struct Frames {
    buffer: Vec<u8>,
    data: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, Default, PartialEq)]
enum Kind {
    #[default]
    Unknown,
    Events,
    /// Not a stream: all of it is one text.
    Document,
}

const BOM: &[u8] = b"\xef\xbb\xbf";

impl Frames {
    /// The events that are whole with this piece.
    pub fn feed(&mut self, piece: &[u8]) -> Vec<String> {
        self.buffer.extend_from_slice(piece);
        self.look();
        let mut frames = Vec::new();
        if self.kind != Kind::Events {
            return frames;
        }
        while let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.buffer.drain(..=end).collect();
            self.line(&line, &mut frames);
        }
        frames
    }

    /// The events that were not closed, or the document.
    pub fn end(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        let rest = std::mem::take(&mut self.buffer);
        match self.kind {
            Kind::Document => frames.push(String::from_utf8_lossy(&rest).into_owned()),
            Kind::Unknown => {}
            Kind::Events => {
                self.line(&rest, &mut frames);
                self.close(&mut frames);
            }
        }
        frames
    }

    /// A stream begins with the name of a field or with a comment, a document with what no stream begins with.
    fn look(&mut self) {
        if self.kind != Kind::Unknown {
            return;
        }
        if self.buffer.starts_with(BOM) {
            self.buffer.drain(..BOM.len());
        } else if BOM.starts_with(&self.buffer) {
            return;
        }
        self.kind = match self.buffer.iter().find(|byte| !byte.is_ascii_whitespace()) {
            None => Kind::Unknown,
            Some(b'{' | b'[' | b'<') => Kind::Document,
            Some(_) => Kind::Events,
        };
    }

    fn line(&mut self, line: &[u8], frames: &mut Vec<String>) {
        let line = String::from_utf8_lossy(line);
        let line = line.trim_end_matches(['\n', '\r']);
        if line.is_empty() {
            self.close(frames);
        } else if let Some(data) = line.strip_prefix("data:") {
            self.data.push(data.strip_prefix(' ').unwrap_or(data).to_owned());
        }
    }

    fn close(&mut self, frames: &mut Vec<String>) {
        if !self.data.is_empty() {
            frames.push(std::mem::take(&mut self.data).join("\n"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &[u8]) -> Vec<String> {
        (1..=body.len())
            .map(|size| {
                let mut frames = Frames::default();
                let mut read: Vec<String> = body.chunks(size).flat_map(|piece| frames.feed(piece)).collect();
                read.extend(frames.end());
                read
            })
            .reduce(|one, other| {
                assert_eq!(one, other, "it matters where {body:?} is cut");
                one
            })
            .unwrap()
    }

    #[test]
    fn events_come_whole_however_they_are_written() {
        assert_eq!(read(b"data: {\"a\":1}\n\ndata: [DONE]\n\n"), ["{\"a\":1}", "[DONE]"]);
        assert_eq!(read(b"\xef\xbb\xbf: OPENROUTER PROCESSING\r\n\r\nevent: x\r\ndata:{}\r\n\r\n"), ["{}"]);
        assert_eq!(read("data: {\"a\":\ndata: \"é\"}\n\ndata: 2".as_bytes()), ["{\"a\":\n\"é\"}", "2"]);
        assert_eq!(read(b"\n\n"), [""; 0]);
    }

    #[test]
    fn a_document_is_one_text() {
        assert_eq!(read(b"\xef\xbb\xbf {\n\"a\": 1}\n"), [" {\n\"a\": 1}\n"]);
        assert_eq!(read(b"<html></html>"), ["<html></html>"]);
    }
}
