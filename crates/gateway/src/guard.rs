//! Answers on their way to an agent, with known secrets covered.
//!
//! Why: an upstream that repeats the key it was called with (in an error, in a debugging field, as text of the model)
//! would hand it to the agent, whose log lies in our folder. A body that is no stream is covered by value. In a stream the
//! text comes in pieces, one event each; what is joined by the agent's client is joined here too, per block of the answer,
//! and events are held back while the text at their end may still become a secret. A secret is then covered in the event
//! where it begins, and its pieces are taken out of the others.
//!
//! Everything else passes as the bytes that it is. What an upstream encodes or spells out is not found.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use crate::mask::{MaskedStream, Masker, Place};
use crate::sse::{EVENT_BYTES_MAX, Events};

mod event;

use event::{Held, Leaf};

/// Events that a text at the end of a block may hold back when nothing more comes of its block and no end is told.
const IDLE_EVENTS_MAX: usize = 16;

/// One answer.
pub(crate) struct Guard {
    masker: Arc<Masker>,
    way: Way,
}

enum Way {
    /// There are no secrets.
    Open,
    Bytes(MaskedStream),
    Events(Box<EventGuard>),
}

impl Guard {
    /// `events`: the body is a stream of events.
    pub(crate) fn new(masker: &Arc<Masker>, events: bool) -> Self {
        let way = match (masker.is_empty(), events) {
            (true, _) => Way::Open,
            (false, false) => Way::Bytes(MaskedStream::default()),
            (false, true) => Way::Events(Box::default()),
        };
        Guard { masker: Arc::clone(masker), way }
    }

    /// Covers secrets in the head of the answer. The length of the body may change, so none is told.
    pub(crate) fn head(&self, headers: &mut HeaderMap) {
        if matches!(self.way, Way::Open) {
            return;
        }
        headers.remove(header::CONTENT_LENGTH);
        headers_covered(&self.masker, headers, |_| true);
    }

    /// Takes the next bytes; what may pass is put to the end of `out`.
    pub(crate) fn feed(&mut self, chunk: Bytes, out: &mut Vec<Bytes>) {
        match &mut self.way {
            Way::Open => out.push(chunk),
            Way::Events(events) => events.feed(&self.masker, chunk, out),
            Way::Bytes(stream) => {
                let clean = || self.masker.places(&chunk, false) == (Vec::new(), chunk.len());
                if !stream.holds() && clean() {
                    return out.push(chunk);
                }
                push(stream.push(&self.masker, &chunk), out);
            }
        }
    }

    /// The end of the body.
    pub(crate) fn finish(&mut self, out: &mut Vec<Bytes>) {
        match &mut self.way {
            Way::Open => {}
            Way::Bytes(stream) => push(stream.finish(&self.masker), out),
            Way::Events(events) => events.finish(&self.masker, out),
        }
    }
}

/// Covers secrets in the values of headers; the first one's cover, if there was any.
pub(crate) fn headers_covered<'a>(
    masker: &'a Masker,
    headers: &mut HeaderMap,
    which: impl Fn(&http::HeaderName) -> bool,
) -> Option<&'a str> {
    let mut found = None;
    for (name, value) in headers.iter_mut() {
        let Some(cover) = Some(name).filter(|name| which(name)).and_then(|_| masker.find(value.as_bytes())) else {
            continue;
        };
        found.get_or_insert(cover);
        let covered = masker.bytes(value.as_bytes());
        *value = HeaderValue::from_bytes(&covered).unwrap_or(HeaderValue::from_static(""));
    }
    found
}

fn push(bytes: Vec<u8>, out: &mut Vec<Bytes>) {
    if !bytes.is_empty() {
        out.push(bytes.into());
    }
}

/// A stream of events.
#[derive(Default)]
struct EventGuard {
    events: Events,
    /// The event under way, as far as it came with earlier chunks.
    partial: Vec<u8>,
    /// The event under way is too long to be held: it is covered by value only.
    long: Option<MaskedStream>,
    blocks: Blocks,
}

/// The texts of the answer's blocks, and the events that wait for them.
#[derive(Default)]
struct Blocks {
    /// What is undecided, by block.
    tails: BTreeMap<String, Tail>,
    queue: VecDeque<Held>,
    /// The number of the first event in the queue.
    first: usize,
}

/// The text at the end of a block that may still become a secret.
#[derive(Default)]
struct Tail {
    text: Vec<u8>,
    pieces: VecDeque<Piece>,
    /// The number of the last event that had some of it.
    last: usize,
}

/// Where a part of a tail came from.
struct Piece {
    event: usize,
    leaf: usize,
    /// Which bytes of that leaf's text.
    bytes: Range<usize>,
}

impl EventGuard {
    fn feed(&mut self, masker: &Masker, chunk: Bytes, out: &mut Vec<Bytes>) {
        let Self { events, partial, long, blocks } = self;
        // The run of events that pass as they are, so that they pass as one piece.
        let (mut run, mut start) = (0..0, 0);
        events.feed(&chunk, |data, end| {
            let bytes = start..end;
            start = end;
            if let Some(mut long) = long.take() {
                push(long.push(masker, &chunk[bytes]), out);
                push(long.finish(masker), out);
                run = end..end;
                return;
            }
            let whole = partial.is_empty();
            let raw = if whole { chunk.slice(bytes) } else { joined(partial, &chunk[bytes]) };
            if blocks.queue.is_empty() && !masker.may_touch(&raw) {
                if whole {
                    run.end = end;
                } else {
                    out.push(raw);
                    run = end..end;
                }
                return;
            }
            pass(&chunk, &run, out);
            run = end..end;
            blocks.take(masker, raw, data, out);
        });
        pass(&chunk, &run, out);
        self.keep(masker, &chunk[start..], out);
    }

    /// Keeps the beginning of an event.
    fn keep(&mut self, masker: &Masker, bytes: &[u8], out: &mut Vec<Bytes>) {
        if let Some(long) = &mut self.long {
            return push(long.push(masker, bytes), out);
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() > EVENT_BYTES_MAX {
            self.blocks.finish(masker, out);
            let mut long = MaskedStream::default();
            push(long.push(masker, &std::mem::take(&mut self.partial)), out);
            self.long = Some(long);
        }
    }

    fn finish(&mut self, masker: &Masker, out: &mut Vec<Bytes>) {
        self.blocks.finish(masker, out);
        if let Some(mut long) = self.long.take() {
            push(long.finish(masker), out);
        }
        push(masker.bytes(&std::mem::take(&mut self.partial)).into_owned(), out);
    }
}

fn joined(partial: &mut Vec<u8>, rest: &[u8]) -> Bytes {
    let mut raw = std::mem::take(partial);
    raw.extend_from_slice(rest);
    raw.into()
}

fn pass(chunk: &Bytes, run: &Range<usize>, out: &mut Vec<Bytes>) {
    if !run.is_empty() {
        out.push(chunk.slice(run.clone()));
    }
}

impl Blocks {
    /// Takes an event, and lets go of those that nothing is undecided of any more.
    fn take(&mut self, masker: &Masker, raw: Bytes, data: &[u8], out: &mut Vec<Bytes>) {
        let number = self.first + self.queue.len();
        let (leaves, ends) = event::leaves(data);
        let named: Vec<(String, usize)> = leaves
            .iter()
            .zip(0..)
            .filter(|(leaf, _)| !leaf.text.is_empty())
            .map(|(leaf, at)| (leaf.block.clone(), at))
            .collect();
        self.queue.push_back(Held::new(raw, data, leaves));
        for (block, leaf) in named {
            self.add(masker, block, number, leaf);
        }
        let idle = |tail: &Tail| ends || number - tail.last > IDLE_EVENTS_MAX;
        let over: Vec<String> =
            self.tails.iter().filter(|(_, tail)| idle(tail)).map(|(block, _)| block.clone()).collect();
        over.iter().for_each(|block| self.settle(masker, block, true));
        self.release(masker, out);
    }

    /// The end of everything.
    fn finish(&mut self, masker: &Masker, out: &mut Vec<Bytes>) {
        let all: Vec<String> = self.tails.keys().cloned().collect();
        all.iter().for_each(|block| self.settle(masker, block, true));
        self.release(masker, out);
    }

    fn add(&mut self, masker: &Masker, block: String, event: usize, leaf: usize) {
        let Some(held) = self.queue.get_mut(event - self.first) else { return };
        let Some(Leaf { text, .. }) = held.leaves.get(leaf) else { return };
        held.waiting += 1;
        let tail = self.tails.entry(block.clone()).or_default();
        tail.text.extend_from_slice(text.as_bytes());
        tail.pieces.push_back(Piece { event, leaf, bytes: 0..text.len() });
        tail.last = event;
        self.settle(masker, &block, false);
    }

    /// Decides what can be decided of a block's tail.
    fn settle(&mut self, masker: &Masker, block: &str, end: bool) {
        let Some(tail) = self.tails.get_mut(block) else { return };
        let (places, done) = masker.places(&tail.text, end);
        for place in &places {
            tail.cover(place, self.first, &mut self.queue);
        }
        tail.forget(done, self.first, &mut self.queue);
        if tail.text.is_empty() {
            self.tails.remove(block);
        }
    }

    fn release(&mut self, masker: &Masker, out: &mut Vec<Bytes>) {
        while let Some(held) = self.queue.pop_front_if(|held| held.waiting == 0) {
            self.first += 1;
            out.push(held.written(masker));
        }
    }
}

impl Tail {
    /// Covers a secret: all of its cover stands where it begins.
    fn cover(&self, place: &Place<'_>, first: usize, queue: &mut VecDeque<Held>) {
        let (mut at, mut cover) = (0, place.cover);
        for piece in &self.pieces {
            let len = piece.bytes.len();
            let (from, to) = (place.bytes.start.max(at), place.bytes.end.min(at + len));
            if from < to
                && let Some(held) = queue.get_mut(piece.event - first)
            {
                let bytes = piece.bytes.start + from - at..piece.bytes.start + to - at;
                held.edit(piece.leaf, bytes, std::mem::take(&mut cover));
            }
            at += len;
        }
    }

    /// Forgets the first `done` bytes: nothing is undecided of them.
    fn forget(&mut self, done: usize, first: usize, queue: &mut VecDeque<Held>) {
        self.text.drain(..done);
        let mut left = done;
        while let Some(piece) = self.pieces.front_mut() {
            if piece.bytes.len() > left {
                piece.bytes.start += left;
                return;
            }
            left -= piece.bytes.len();
            if let Some(held) = queue.get_mut(piece.event - first) {
                held.waiting -= 1;
            }
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
