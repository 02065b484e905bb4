//! Transcripts: what agents said and did, in bulk, apart from the facts.
//!
//! Nothing is decided from a transcript, so an agent never waits for its own log. [`Transcripts::push`] queues and returns;
//! a second writer thread with its own file commits (safe against the death of the process, not against a power cut).
//! When the disk is too slow or full the queue overflows, and when an agent has said more than its share its oldest
//! chunks go. Neither happens in silence: what is missing is counted and read back as a gap in its place.

mod reader;
mod writer;

pub use reader::TranscriptReader;

use crate::{
    error::{OpenError, WriteError},
    fact::MissionKey,
    file::TRANSCRIPTS,
    home::HomeLock,
    worker::Worker,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};
use tokio::sync::{mpsc, oneshot};
use writer::TranscriptWriter;

/// Chunks that may wait for the disk.
const QUEUE: usize = 4096;
/// Bytes that may wait for the disk.
const QUEUE_BYTES: usize = 32 << 20;
/// Longer chunks are cut.
const CHUNK_BYTES: usize = 1 << 20;

/// A piece of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Whose mission.
    pub mission: MissionKey,
    /// Which agent.
    pub agent: String,
    /// The attempt it worked on, if any.
    pub attempt: Option<u32>,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Which stream: a short word of the caller's (`text`, `tool`, `stderr`, …).
    pub kind: String,
    /// What was said. More than 1 MiB is stored as several chunks.
    pub bytes: Vec<u8>,
}

/// A piece of a transcript as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number in its agent's transcript; increases.
    pub seq: u64,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The attempt, if any.
    pub attempt: Option<u32>,
    /// What was said, or that something is missing.
    pub content: Content,
}

/// What is at a place of a transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// What was said.
    Bytes {
        /// Which stream.
        kind: String,
        /// What was said.
        bytes: Vec<u8>,
    },
    /// Something was said here that is not kept.
    Gap {
        /// Why.
        reason: GapReason,
        /// How many chunks.
        chunks: u64,
        /// How many bytes.
        bytes: u64,
    },
}

/// Why a part of a transcript is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GapReason {
    /// The disk did not keep up, or refused.
    Overrun,
    /// The agent said more than it may; its oldest chunks went.
    Size,
}

/// How transcripts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TranscriptOptions {
    /// The most bytes kept of one agent in one mission.
    pub agent_bytes_max: u64,
}

impl Default for TranscriptOptions {
    /// 256 MiB: some days of one agent's work.
    fn default() -> Self {
        Self { agent_bytes_max: 256 << 20 }
    }
}

/// What the transcript writer has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TranscriptStats {
    /// Chunks written.
    pub written: u64,
    /// Chunks dropped because the disk did not keep up or refused.
    pub dropped: u64,
    /// Transactions that failed; their chunks are among the dropped.
    pub failed: u64,
}

/// Transcripts of a home, for its one writing process. Clones share it; the last one to go waits until the queue is on
/// disk.
#[derive(Clone)]
pub struct Transcripts {
    shared: Arc<Handle>,
}

struct Handle {
    writer: Worker<Job>,
    state: Arc<State>,
}

/// What callers and the writer share.
#[derive(Default)]
struct State {
    queued_bytes: AtomicUsize,
    written: AtomicU64,
    dropped: AtomicU64,
    failed: AtomicU64,
    /// What was dropped of each agent and is not in the file yet.
    missing: Mutex<BTreeMap<(MissionKey, String), Missing>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Missing {
    chunks: u64,
    bytes: u64,
    at_ms: u64,
}

enum Job {
    /// A chunk, and what was dropped of its agent just before it.
    Chunk(Chunk, Option<Missing>),
    Flush(oneshot::Sender<()>),
}

/// How a gap is stored.
#[derive(Serialize, Deserialize)]
struct GapRecord {
    reason: GapReason,
    chunks: u64,
    bytes: u64,
}

impl Transcripts {
    /// Opens (or makes) the transcripts of a locked home.
    ///
    /// # Errors
    /// [`OpenError`] says what is wrong with the file. It can be moved away without any loss to missions.
    pub fn open(lock: &HomeLock, options: TranscriptOptions) -> Result<Self, OpenError> {
        let path = lock.dir().join(TRANSCRIPTS.name);
        let connection = TRANSCRIPTS.open_writer(lock.dir())?;
        let (sender, queue) = mpsc::channel(QUEUE);
        let state = Arc::new(State::default());
        let writer = TranscriptWriter::new(connection, options, queue, Arc::clone(&state), lock.clone());
        let writer =
            Worker::start("transcripts", sender, || writer.run()).map_err(|source| OpenError::Io { path, source })?;
        Ok(Self { shared: Arc::new(Handle { writer, state }) })
    }

    /// Queues a chunk without waiting. When 4096 chunks or 32 MiB wait already it is dropped, and a gap with the count
    /// takes its place.
    pub fn push(&self, chunk: Chunk) {
        if chunk.bytes.len() <= CHUNK_BYTES {
            return self.push_piece(chunk);
        }
        for piece in chunk.bytes.chunks(CHUNK_BYTES) {
            let (mission, agent, kind) = (chunk.mission.clone(), chunk.agent.clone(), chunk.kind.clone());
            self.push_piece(Chunk { mission, agent, kind, bytes: piece.to_vec(), ..chunk });
        }
    }

    /// Waits until everything pushed before is written and visible to readers.
    ///
    /// # Errors
    /// [`WriteError::Closed`] when the writer is gone.
    pub async fn flush(&self) -> Result<(), WriteError> {
        let (done, outcome) = oneshot::channel();
        let queue = self.shared.writer.queue().ok_or(WriteError::Closed)?;
        queue.send(Job::Flush(done)).await.map_err(|_| WriteError::Closed)?;
        outcome.await.map_err(|_| WriteError::Closed)
    }

    /// What the writer has done so far.
    pub fn stats(&self) -> TranscriptStats {
        let State { written, dropped, failed, .. } = &*self.shared.state;
        TranscriptStats { written: written.load(Relaxed), dropped: dropped.load(Relaxed), failed: failed.load(Relaxed) }
    }

    fn push_piece(&self, chunk: Chunk) {
        let state = &self.shared.state;
        // Held over the attempt, so that a gap cannot be overtaken by a later chunk of the same agent.
        let mut missing = state.missing();
        let agent = (chunk.mission.clone(), chunk.agent.clone());
        let (size, at_ms, gap) = (chunk.bytes.len(), chunk.at_ms, missing.remove(&agent));
        let has_room = state.queued_bytes.load(Relaxed) + size <= QUEUE_BYTES;
        let taken = match self.shared.writer.queue() {
            Some(queue) if has_room => queue.try_reserve().map(|place| {
                state.queued_bytes.fetch_add(size, Relaxed);
                place.send(Job::Chunk(chunk, gap));
            }),
            _ => Err(mpsc::error::TrySendError::Full(())),
        };
        if taken.is_err() {
            state.dropped.fetch_add(1, Relaxed);
            missing.insert(agent, gap.unwrap_or_default().and(1, size as u64, at_ms));
        }
    }
}

impl State {
    fn missing(&self) -> MutexGuard<'_, BTreeMap<(MissionKey, String), Missing>> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Missing {
    fn and(self, chunks: u64, bytes: u64, at_ms: u64) -> Self {
        Self { chunks: self.chunks + chunks, bytes: self.bytes + bytes, at_ms: self.at_ms.max(at_ms) }
    }
}
