//! Transcripts read back by range.

use super::{Content, Entry, GapReason, GapRecord};
use crate::{
    error::{OpenError, ReadError},
    fact::MissionKey,
    file::TRANSCRIPTS,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::path::Path;

/// A connection to the transcripts that cannot write. `Send`, not `Sync`.
pub struct TranscriptReader {
    connection: Connection,
}

impl TranscriptReader {
    /// Opens the transcripts of a home for reading.
    ///
    /// # Errors
    /// As [`crate::Reader::open`].
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Ok(Self { connection: TRANSCRIPTS.open_reader(dir.as_ref())? })
    }

    /// The agents of a mission that have said something, by name.
    ///
    /// # Errors
    /// [`ReadError::Sqlite`].
    pub fn agents(&self, mission: &MissionKey) -> Result<Vec<String>, ReadError> {
        let mut select =
            self.connection.prepare_cached("SELECT agent FROM streams WHERE mission = ?1 ORDER BY agent")?;
        Ok(select.query_map([mission.as_str()], |row| row.get(0))?.collect::<Result<_, _>>()?)
    }

    /// At most `limit` entries of an agent after number `after` (0: from the beginning), in order. When chunks
    /// between `after` and the first one kept were removed to stay under the cap, the first entry is a gap that counts
    /// all that were removed. Empty for an agent that never spoke.
    ///
    /// # Errors
    /// [`ReadError::Sqlite`], [`ReadError::Undecodable`].
    pub fn entries(
        &self,
        mission: &MissionKey,
        agent: &str,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Entry>, ReadError> {
        // One read transaction: the trimmed counts and the chunks belong together.
        let _read = self.connection.unchecked_transaction()?;
        let Some(stream) = self.stream(mission, agent)? else { return Ok(Vec::new()) };
        let mut entries: Vec<Entry> = Vec::new();
        let mut select = self.connection.prepare_cached(
            "SELECT seq, at_ms, attempt, kind, bytes FROM chunks WHERE stream = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?;
        let mut rows = select.query(params![stream.key, after, limit])?;
        while let Some(row) = rows.next()? {
            let entry = entry(row)?;
            if entries.is_empty() && entry.seq > after + 1 {
                entries.push(stream.trimmed_before(&entry));
            }
            entries.push(entry);
        }
        entries.truncate(limit);
        Ok(entries)
    }

    /// The number of the last entry of an agent; 0 when it never spoke.
    ///
    /// # Errors
    /// [`ReadError::Sqlite`].
    pub fn last_seq(&self, mission: &MissionKey, agent: &str) -> Result<u64, ReadError> {
        Ok(self.stream(mission, agent)?.map_or(0, |stream| stream.next_seq - 1))
    }

    fn stream(&self, mission: &MissionKey, agent: &str) -> Result<Option<Stream>, ReadError> {
        let mut select = self.connection.prepare_cached(
            "SELECT key, next_seq, trimmed_chunks, trimmed_bytes FROM streams WHERE mission = ?1 AND agent = ?2",
        )?;
        let stream = select.query_row(params![mission.as_str(), agent], |row| {
            Ok(Stream { key: row.get(0)?, next_seq: row.get(1)?, chunks: row.get(2)?, bytes: row.get(3)? })
        });
        Ok(stream.optional()?)
    }
}

struct Stream {
    key: i64,
    next_seq: u64,
    chunks: u64,
    bytes: u64,
}

impl Stream {
    fn trimmed_before(&self, first: &Entry) -> Entry {
        let content = Content::Gap { reason: GapReason::Size, chunks: self.chunks, bytes: self.bytes };
        Entry { seq: first.seq - 1, at_ms: first.at_ms, attempt: None, content }
    }
}

fn entry(row: &Row<'_>) -> Result<Entry, ReadError> {
    let (seq, kind, bytes): (u64, Option<String>, Vec<u8>) = (row.get(0)?, row.get(3)?, row.get(4)?);
    let content = match kind {
        Some(kind) => Content::Bytes { kind, bytes },
        None => gap(seq, &bytes)?,
    };
    Ok(Entry { seq, at_ms: row.get(1)?, attempt: row.get(2)?, content })
}

fn gap(seq: u64, bytes: &[u8]) -> Result<Content, ReadError> {
    let gap: GapRecord = serde_json::from_slice(bytes).map_err(|error| ReadError::Undecodable {
        what: format!("the gap at {seq} of a transcript"),
        detail: error.to_string(),
    })?;
    Ok(Content::Gap { reason: gap.reason, chunks: gap.chunks, bytes: gap.bytes })
}
