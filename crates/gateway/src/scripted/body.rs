//! The body of a scripted answer.

use bytes::Bytes;

/// Chunks that are ready, and how they end.
pub(crate) struct ScriptedBody {
    chunks: std::vec::IntoIter<Bytes>,
    breaks_off: bool,
}

impl ScriptedBody {
    /// All the chunks; `breaks_off`: and then the connection breaks.
    pub(crate) fn of(chunks: Vec<Bytes>, breaks_off: bool) -> Self {
        ScriptedBody { chunks: chunks.into_iter(), breaks_off }
    }

    /// `breaks_off`: only the first half of the bytes comes, and then the connection breaks.
    pub(super) fn new(mut chunks: Vec<Bytes>, breaks_off: bool) -> Self {
        if breaks_off {
            keep_half(&mut chunks);
        }
        ScriptedBody::of(chunks, breaks_off)
    }

    /// The next chunk; `Err` where the connection breaks.
    pub(crate) fn chunk(&mut self) -> Result<Option<Bytes>, ()> {
        match self.chunks.next() {
            None if self.breaks_off => Err(()),
            next => Ok(next),
        }
    }
}

fn keep_half(chunks: &mut Vec<Bytes>) {
    let mut left = chunks.iter().map(Bytes::len).sum::<usize>() / 2;
    chunks.retain_mut(|chunk| {
        chunk.truncate(left);
        left -= chunk.len();
        !chunk.is_empty()
    });
}
