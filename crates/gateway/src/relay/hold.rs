//! What of an answer may pass, and the copy that is kept.

use bytes::Bytes;

use crate::format::Format;
use crate::meter::Meter;
use crate::sse::Events;

/// Bytes of one event that are held before its beginning is let through.
const HELD_BYTES_MAX: usize = 256 * 1024;

/// The part of an answer that has come and not gone on.
pub(super) struct Hold {
    /// `None`: the answer is not a stream of events.
    events: Option<Events>,
    meter: Meter,
    held: Vec<Bytes>,
    held_bytes: usize,
    /// Everything so far; `None` when it outgrew `copy_bytes_max`.
    copy: Option<Vec<Bytes>>,
    /// All bytes so far.
    bytes: usize,
    copy_bytes_max: usize,
}

impl Hold {
    pub(super) fn new(format: Format, events: bool, copy_bytes_max: usize) -> Self {
        Hold {
            events: events.then(Events::default),
            meter: Meter::new(format),
            held: Vec::new(),
            held_bytes: 0,
            copy: Some(Vec::new()),
            bytes: 0,
            copy_bytes_max,
        }
    }

    /// Takes the next chunk; what may pass is put to the end of `ready`.
    pub(super) fn feed(&mut self, chunk: Bytes, ready: &mut Vec<Bytes>) {
        self.keep_copy(&chunk);
        let Some(events) = &mut self.events else {
            ready.append(&mut self.held);
            return self.hold(chunk);
        };
        let closing_before = self.meter.reading.is_closing();
        let mut passable = 0;
        let meter = &mut self.meter;
        events.feed(&chunk, |data, end| {
            if !data.is_empty() {
                meter.event(data);
            }
            if !meter.reading.is_closing() {
                passable = end;
            }
        });
        if closing_before {
            return self.hold(chunk);
        }
        if passable > 0 {
            ready.append(&mut self.held);
            self.held_bytes = 0;
            ready.push(chunk.slice(..passable));
        }
        self.hold(chunk.slice(passable..));
        if self.held_bytes > HELD_BYTES_MAX && !self.meter.reading.is_closing() {
            ready.append(&mut self.held);
            self.held_bytes = 0;
        }
    }

    /// The end of the answer: reads a body that is no stream if `read_document`, and gives the reading and the copy.
    pub(super) fn finish(&mut self, read_document: bool) -> (Meter, Option<Bytes>) {
        let copy = self.copy.take().map(|chunks| match <[Bytes; 1]>::try_from(chunks) {
            Ok([only]) => only,
            Err(chunks) => chunks.concat().into(),
        });
        let format = self.meter.format();
        let mut meter = std::mem::replace(&mut self.meter, Meter::new(format));
        if let Some(body) = copy.as_ref().filter(|_| read_document) {
            meter.document(body);
        }
        // Of an answer that could not be read, every byte may be output.
        if !meter.reading.is_closing() && meter.reading.text_bytes == 0 {
            meter.reading.text_bytes = self.bytes as u64;
        }
        (meter, copy)
    }

    /// What is still held.
    pub(super) fn into_held(self) -> Vec<Bytes> {
        self.held
    }

    fn hold(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.held_bytes += chunk.len();
            self.held.push(chunk);
        }
    }

    fn keep_copy(&mut self, chunk: &Bytes) {
        self.bytes += chunk.len();
        if self.bytes > self.copy_bytes_max {
            self.copy = None;
        } else if let Some(copy) = &mut self.copy {
            copy.push(chunk.clone());
        }
    }
}
