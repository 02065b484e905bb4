//! The thread that writes transcripts: many chunks in one transaction, the oldest of an agent removed at its cap.

use super::{Chunk, GapReason, GapRecord, Job, Missing, State, TranscriptOptions};
use crate::{fact::MissionKey, home::HomeLock};
use rusqlite::{Connection, params};
use std::{
    collections::BTreeMap,
    mem,
    sync::{Arc, atomic::Ordering::Relaxed},
};
use tokio::sync::{mpsc, oneshot};

/// The most chunks in one transaction.
const GROUP: usize = 1024;
/// At its cap an agent loses this part of its transcript at once, so that removing is rare.
const TRIM_PART: u64 = 8;
/// Chunks looked at in one step of trimming.
const TRIM_STEP: usize = 512;

type Agent = (MissionKey, String);

pub(super) struct TranscriptWriter {
    connection: Connection,
    options: TranscriptOptions,
    queue: mpsc::Receiver<Job>,
    state: Arc<State>,
    /// What the file says of agents seen in this process; forgotten when a transaction fails.
    streams: BTreeMap<Agent, Stream>,
    /// What transactions failed to write: its gaps come before anything else of their agents.
    owed: BTreeMap<Agent, Missing>,
    _lock: HomeLock,
}

#[derive(Clone, Copy)]
struct Stream {
    key: i64,
    next_seq: u64,
    bytes: u64,
    trimmed_chunks: u64,
    trimmed_bytes: u64,
}

impl TranscriptWriter {
    pub(super) fn new(
        connection: Connection,
        options: TranscriptOptions,
        queue: mpsc::Receiver<Job>,
        state: Arc<State>,
        lock: HomeLock,
    ) -> Self {
        Self { connection, options, queue, state, streams: BTreeMap::new(), owed: BTreeMap::new(), _lock: lock }
    }

    /// Serves the queue until every sender is gone.
    pub(super) fn run(mut self) {
        let mut jobs = Vec::new();
        while self.queue.blocking_recv_many(&mut jobs, GROUP) > 0 {
            let mut waiting = Vec::new();
            let mut chunks = Vec::new();
            for job in jobs.drain(..) {
                match job {
                    Job::Chunk(chunk, missing) => chunks.push((chunk, missing)),
                    Job::Flush(done) => waiting.push(done),
                }
            }
            self.write_all(chunks);
            if self.queue.is_empty() {
                self.write_missing();
            }
            waiting.into_iter().for_each(tell);
        }
        self.write_missing();
    }

    fn write_all(&mut self, chunks: Vec<(Chunk, Option<Missing>)>) {
        if chunks.is_empty() {
            return;
        }
        let bytes = chunks.iter().map(|(chunk, _)| chunk.bytes.len()).sum();
        self.state.queued_bytes.fetch_sub(bytes, Relaxed);
        let owed = mem::take(&mut self.owed);
        let written = self.transact(|writer| {
            owed.iter().try_for_each(|(agent, missing)| writer.insert_gap(agent, missing))?;
            for (chunk, missing) in &chunks {
                let agent = agent_of(chunk);
                if let Some(missing) = missing {
                    writer.insert_gap(&agent, missing)?;
                }
                writer.insert(&agent, chunk.at_ms, chunk.attempt, Some(&chunk.kind), &chunk.bytes)?;
            }
            Ok(())
        });
        match written {
            Ok(()) => _ = self.state.written.fetch_add(chunks.len() as u64, Relaxed),
            Err(_) => {
                self.state.dropped.fetch_add(chunks.len() as u64, Relaxed);
                self.owed = owed;
                for (chunk, missing) in &chunks {
                    let before = missing.unwrap_or_default();
                    let missing = before.and(1, chunk.bytes.len() as u64, chunk.at_ms);
                    self.owe(agent_of(chunk), missing);
                }
            }
        }
    }

    /// Gaps at the end of a transcript, which no chunk carries along.
    fn write_missing(&mut self) {
        let missing = mem::take(&mut *self.state.missing());
        missing.into_iter().for_each(|(agent, missing)| self.owe(agent, missing));
        if self.owed.is_empty() {
            return;
        }
        let owed = mem::take(&mut self.owed);
        let written = self.transact(|writer| owed.iter().try_for_each(|(agent, gap)| writer.insert_gap(agent, gap)));
        if written.is_err() {
            self.owed = owed;
        }
    }

    fn owe(&mut self, agent: Agent, missing: Missing) {
        let owed = self.owed.entry(agent).or_default();
        *owed = owed.and(missing.chunks, missing.bytes, missing.at_ms);
    }

    fn transact(&mut self, write: impl FnOnce(&mut Self) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
        let written = self.run_sql("BEGIN IMMEDIATE").and_then(|()| write(self)).and_then(|()| self.run_sql("COMMIT"));
        if written.is_err() {
            self.state.failed.fetch_add(1, Relaxed);
            self.streams.clear();
            if !self.connection.is_autocommit() {
                // If this fails too, the next BEGIN does, and its chunks are counted as missing.
                let _ = self.run_sql("ROLLBACK");
            }
        }
        written
    }

    fn insert_gap(&mut self, agent: &Agent, missing: &Missing) -> rusqlite::Result<()> {
        let gap = GapRecord { reason: GapReason::Overrun, chunks: missing.chunks, bytes: missing.bytes };
        let body = serde_json::to_vec(&gap).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        self.insert(agent, missing.at_ms, None, None, &body)
    }

    fn insert(
        &mut self,
        agent: &Agent,
        at_ms: u64,
        attempt: Option<u32>,
        kind: Option<&str>,
        bytes: &[u8],
    ) -> rusqlite::Result<()> {
        let mut stream = self.stream(agent)?;
        self.connection
            .prepare_cached(
                "INSERT INTO chunks (stream, seq, at_ms, attempt, kind, bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![stream.key, stream.next_seq, at_ms, attempt, kind, bytes])?;
        stream.next_seq += 1;
        stream.bytes += bytes.len() as u64;
        if stream.bytes > self.options.agent_bytes_max {
            self.trim(&mut stream)?;
        }
        self.connection
            .prepare_cached(
                "UPDATE streams SET next_seq = ?2, bytes = ?3, trimmed_chunks = ?4, trimmed_bytes = ?5 WHERE key = ?1",
            )?
            .execute(params![stream.key, stream.next_seq, stream.bytes, stream.trimmed_chunks, stream.trimmed_bytes])?;
        self.streams.insert(agent.clone(), stream);
        Ok(())
    }

    fn stream(&self, agent: &Agent) -> rusqlite::Result<Stream> {
        if let Some(stream) = self.streams.get(agent) {
            return Ok(*stream);
        }
        let (mission, name) = (agent.0.as_str(), &agent.1);
        self.connection
            .prepare_cached("INSERT INTO streams (mission, agent) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
            .execute(params![mission, name])?;
        self.connection
            .prepare_cached(
                "SELECT key, next_seq, bytes, trimmed_chunks, trimmed_bytes FROM streams
                 WHERE mission = ?1 AND agent = ?2",
            )?
            .query_row(params![mission, name], |row| {
                Ok(Stream {
                    key: row.get(0)?,
                    next_seq: row.get(1)?,
                    bytes: row.get(2)?,
                    trimmed_chunks: row.get(3)?,
                    trimmed_bytes: row.get(4)?,
                })
            })
    }

    /// Removes the oldest chunks until an eighth of the cap is free; the newest chunk always stays.
    fn trim(&self, stream: &mut Stream) -> rusqlite::Result<()> {
        let target = self.options.agent_bytes_max - self.options.agent_bytes_max / TRIM_PART;
        while stream.bytes > target {
            let oldest: Vec<(u64, u64)> = self
                .connection
                .prepare_cached(
                    "SELECT seq, length(bytes) FROM chunks WHERE stream = ?1 AND seq < ?2 ORDER BY seq LIMIT ?3",
                )?
                .query_map(params![stream.key, stream.next_seq - 1, TRIM_STEP], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let mut last = 0;
            for (seq, size) in oldest {
                if stream.bytes <= target {
                    break;
                }
                last = seq;
                stream.bytes -= size;
                stream.trimmed_chunks += 1;
                stream.trimmed_bytes += size;
            }
            let removed = self
                .connection
                .prepare_cached("DELETE FROM chunks WHERE stream = ?1 AND seq <= ?2")?
                .execute(params![stream.key, last])?;
            if removed == 0 {
                break;
            }
        }
        Ok(())
    }

    fn run_sql(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}

fn agent_of(chunk: &Chunk) -> Agent {
    (chunk.mission.clone(), chunk.agent.clone())
}

fn tell(done: oneshot::Sender<()>) {
    // Nobody listens when the caller gave up waiting.
    let _ = done.send(());
}
