//! The body of a scripted answer.

use bytes::Bytes;

/// Chunks that are ready, and how they end.
pub(crate) struct ScriptedBody {
    chunks: std::vec::IntoIter<Bytes>,
    ends: Ends,
}

/// How a body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    /// Well, with its last chunk.
    Well,
    /// The connection breaks after them.
    Broken,
    /// Nothing more comes after them, and the connection stays.
    Silent,
}

impl ScriptedBody {
    /// All the chunks, and then this.
    pub(crate) fn of(chunks: Vec<Bytes>, ends: Ends) -> Self {
        ScriptedBody { chunks: chunks.into_iter(), ends }
    }

    /// Of one that does not end well only the first half of the bytes comes.
    pub(super) fn new(mut chunks: Vec<Bytes>, ends: Ends) -> Self {
        if ends != Ends::Well {
            keep_half(&mut chunks);
        }
        ScriptedBody::of(chunks, ends)
    }

    /// The next chunk; `Err` where the connection breaks.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, ()> {
        match (self.chunks.next(), self.ends) {
            (None, Ends::Broken) => Err(()),
            (None, Ends::Silent) => std::future::pending().await,
            (next, _) => Ok(next),
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
