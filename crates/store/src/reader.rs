//! The reading side: connections that cannot write, in any process, whether a writer is active or not.
//!
//! A read sees whole transactions only. A page of facts is one read, so a reader that stops between pages holds nothing
//! that would keep the writer's WAL from shrinking.

use crate::{
    call::{Answer, CallRow, StoredCall},
    error::{OpenError, ReadError},
    fact::{MissionKey, MissionRow, StoredFact},
    file::JOURNAL,
    reservation::{self, Reservation},
    spend::{self, Spend},
    tail::Tail,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::{path::Path, vec};

/// Facts in one read of [`Reader::facts`].
const PAGE: usize = 1024;

/// The worst bill of a model that passed what its request allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// Who billed it.
    pub upstream: String,
    /// For which model.
    pub model: String,
    /// Input tokens reported.
    pub reported: u64,
    /// Input tokens that the request could hold at most.
    pub bound: u64,
}

/// A connection to a journal that cannot write. `Send`, not `Sync`: one for each thread. Its calls block on the disk.
pub struct Reader {
    connection: Connection,
}

impl Reader {
    /// Opens the journal of a home for reading.
    ///
    /// # Errors
    /// [`OpenError::Missing`] when nothing was ever written there, `Newer`, `Older`, `NotOurs` or `Damaged` when it is not
    /// a journal that this version reads.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self, OpenError> {
        Ok(Self { connection: JOURNAL.open_reader(dir.as_ref())? })
    }

    /// All missions, the oldest first.
    ///
    /// # Errors
    /// [`ReadError::Sqlite`].
    pub fn missions(&self) -> Result<Vec<MissionRow>, ReadError> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, goal, repository, created_at_ms, updated_at_ms, status, setup FROM missions ORDER BY key",
        )?;
        Ok(select.query_map([], mission_row)?.collect::<Result<_, _>>()?)
    }

    /// One mission.
    ///
    /// # Errors
    /// [`ReadError::UnknownMission`], [`ReadError::Sqlite`].
    pub fn mission(&self, mission: &MissionKey) -> Result<MissionRow, ReadError> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, goal, repository, created_at_ms, updated_at_ms, status, setup FROM missions WHERE id = ?1",
        )?;
        let row = select.query_row([mission.as_str()], mission_row).optional()?;
        row.ok_or_else(|| ReadError::UnknownMission(mission.clone()))
    }

    /// The number of the last fact of a mission; 0 when it has none.
    ///
    /// # Errors
    /// [`ReadError::UnknownMission`], [`ReadError::Sqlite`].
    pub fn last_seq(&self, mission: &MissionKey) -> Result<u64, ReadError> {
        let key = self.key(mission)?;
        let mut select =
            self.connection.prepare_cached("SELECT coalesce(max(seq), 0) FROM facts WHERE mission = ?1")?;
        Ok(select.query_row([key], |row| row.get(0))?)
    }

    /// The facts after number `after` (0: from the first on), in order, read in pages. Ends at what is last when it gets
    /// there.
    ///
    /// # Errors
    /// [`ReadError::UnknownMission`], [`ReadError::Sqlite`]; the items have `Hole` too.
    pub fn facts(&self, mission: &MissionKey, after: u64) -> Result<Facts<'_>, ReadError> {
        let key = self.key(mission)?;
        Ok(Facts {
            reader: self,
            mission: mission.clone(),
            key,
            last: after,
            page: Vec::new().into_iter(),
            ended: false,
        })
    }

    /// At most `limit` facts after number `after`.
    ///
    /// # Errors
    /// As [`Reader::facts`].
    pub fn page(&self, mission: &MissionKey, after: u64, limit: usize) -> Result<Vec<StoredFact>, ReadError> {
        let key = self.key(mission)?;
        self.page_of(mission, key, after, limit)
    }

    /// Follows a mission's facts after number `after`, from this or another process.
    ///
    /// # Errors
    /// [`ReadError::UnknownMission`], [`ReadError::Sqlite`].
    pub fn tail(self, mission: &MissionKey, after: u64) -> Result<Tail, ReadError> {
        self.key(mission)?;
        Tail::new(self, mission.clone(), after)
    }

    /// Calls of a mission after the one with the key `after` (0: from the first on), at most `limit`, in order.
    ///
    /// # Errors
    /// [`ReadError::UnknownMission`], [`ReadError::Sqlite`].
    pub fn calls(&self, mission: &MissionKey, after: u64, limit: usize) -> Result<Vec<StoredCall>, ReadError> {
        let key = self.key(mission)?;
        let mut select = self.connection.prepare_cached(
            "SELECT key, epoch, EXISTS (SELECT 1 FROM answers WHERE call = key), agent, attempt, digest, model, format,
                 input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, cost_micros, cost_source,
                 prices_version, status, outcome, duration_ms, first_byte_ms, at_ms, reasoning_tokens, upstream, process,
                 bound_tokens
             FROM calls WHERE mission = ?1 AND key > ?2 ORDER BY key LIMIT ?3",
        )?;
        let calls = select.query_map(params![key, after, limit], |row| stored_call(row, mission))?;
        Ok(calls.collect::<Result<_, _>>()?)
    }

    /// What a mission's calls cost, by agent, model and source of the figure.
    ///
    /// # Errors
    /// [`ReadError::UnknownMission`], [`ReadError::Sqlite`].
    pub fn spend(&self, mission: &MissionKey) -> Result<Vec<Spend>, ReadError> {
        spend::of(&self.connection, self.key(mission)?)
    }

    /// What is set aside for a mission's calls that may be on, the oldest first. Those of an epoch that has ended are on no more: nobody has seen their
    /// bill, and whoever takes the mission up books them.
    ///
    /// # Errors
    /// [`ReadError::UnknownMission`], [`ReadError::Sqlite`].
    pub fn reservations(&self, mission: &MissionKey) -> Result<Vec<Reservation>, ReadError> {
        reservation::of(&self.connection, mission, self.key(mission)?)
    }

    /// The number of the newest epoch; the writer of every other one is gone.
    ///
    /// # Errors
    /// [`ReadError::Sqlite`].
    pub fn newest_epoch(&self) -> Result<u64, ReadError> {
        let mut select = self.connection.prepare_cached("SELECT coalesce(max(epoch), 0) FROM epochs")?;
        Ok(select.query_row([], |row| row.get(0))?)
    }

    /// The worst bill of each model, of any mission, that passed what its request could hold.
    ///
    /// # Errors
    /// [`ReadError::Sqlite`].
    pub fn beyond(&self) -> Result<Vec<Beyond>, ReadError> {
        let mut select = self.connection.prepare_cached(
            "SELECT upstream, model, reported, bound_tokens, max(reported * 1.0 / max(bound_tokens, 1)) FROM
                 (SELECT upstream, model, bound_tokens,
                      coalesce(input_tokens, 0) + coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0) AS reported
                  FROM calls WHERE bound_tokens IS NOT NULL)
             GROUP BY upstream, model",
        )?;
        let rows = select.query_map([], |row| {
            Ok(Beyond { upstream: row.get(0)?, model: row.get(1)?, reported: row.get(2)?, bound: row.get(3)? })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The newest stored answer to a request that another process of the agent was given, or nobody; see [`crate::Store::recall`].
    pub(crate) fn answer_to_others(
        &self,
        mission: &MissionKey,
        attempt: u32,
        digest: &str,
        (epoch, process): (u64, u64),
    ) -> Result<Option<Answer>, ReadError> {
        let mut select = self.connection.prepare_cached(
            "SELECT answers.status, content_type, coding, size, body
             FROM missions JOIN calls ON calls.mission = missions.key JOIN answers ON answers.call = calls.key
             WHERE missions.id = ?1 AND attempt = ?2 AND digest = ?3 AND (epoch < ?4 OR process <> ?5)
             ORDER BY calls.key DESC LIMIT 1",
        )?;
        let mut rows = select.query(params![mission.as_str(), attempt, digest, epoch, process])?;
        rows.next()?.map(Answer::unpack).transpose()
    }

    /// A number that changes when another connection, of any process, has committed.
    pub(crate) fn data_version(&self) -> Result<i64, ReadError> {
        Ok(self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?)
    }

    fn key(&self, mission: &MissionKey) -> Result<i64, ReadError> {
        let mut select = self.connection.prepare_cached("SELECT key FROM missions WHERE id = ?1")?;
        let key = select.query_row([mission.as_str()], |row| row.get(0)).optional()?;
        key.ok_or_else(|| ReadError::UnknownMission(mission.clone()))
    }

    fn page_of(&self, mission: &MissionKey, key: i64, after: u64, limit: usize) -> Result<Vec<StoredFact>, ReadError> {
        let mut select = self.connection.prepare_cached(
            "SELECT seq, at_ms, kind, body FROM facts WHERE mission = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
        )?;
        let rows = select.query_map(params![key, after, limit], |row| {
            Ok(StoredFact { seq: row.get(0)?, at_ms: row.get(1)?, kind: row.get(2)?, body: row.get(3)? })
        })?;
        let mut page: Vec<StoredFact> = Vec::new();
        for fact in rows {
            let (fact, expected) = (fact?, after + 1 + page.len() as u64);
            if fact.seq != expected {
                return Err(ReadError::Hole { mission: mission.clone(), missing: expected });
            }
            page.push(fact);
        }
        Ok(page)
    }
}

/// A mission's facts in order; see [`Reader::facts`].
pub struct Facts<'a> {
    reader: &'a Reader,
    mission: MissionKey,
    key: i64,
    last: u64,
    page: vec::IntoIter<StoredFact>,
    ended: bool,
}

impl Facts<'_> {
    fn turn_page(&mut self) -> Result<(), ReadError> {
        self.page = self.reader.page_of(&self.mission, self.key, self.last, PAGE)?.into_iter();
        self.last += self.page.len() as u64;
        self.ended = self.page.len() < PAGE;
        Ok(())
    }
}

impl Iterator for Facts<'_> {
    type Item = Result<StoredFact, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.page.len() == 0
            && !self.ended
            && let Err(error) = self.turn_page()
        {
            self.ended = true;
            return Some(Err(error));
        }
        self.page.next().map(Ok)
    }
}

fn mission_row(row: &Row<'_>) -> rusqlite::Result<MissionRow> {
    Ok(MissionRow {
        key: row.get::<_, String>(0)?.into(),
        goal: row.get(1)?,
        repository: row.get(2)?,
        created_at_ms: row.get(3)?,
        updated_at_ms: row.get(4)?,
        status: row.get(5)?,
        setup: row.get(6)?,
    })
}

fn stored_call(row: &Row<'_>, mission: &MissionKey) -> rusqlite::Result<StoredCall> {
    let call = CallRow {
        mission: mission.clone(),
        agent: row.get(3)?,
        attempt: row.get(4)?,
        digest: row.get(5)?,
        model: row.get(6)?,
        format: row.get(7)?,
        input_tokens: row.get(8)?,
        output_tokens: row.get(9)?,
        cache_read_tokens: row.get(10)?,
        cache_write_tokens: row.get(11)?,
        cost_micros: row.get(12)?,
        cost_source: row.get(13)?,
        prices_version: row.get(14)?,
        status: row.get(15)?,
        outcome: row.get(16)?,
        duration_ms: row.get(17)?,
        first_byte_ms: row.get(18)?,
        at_ms: row.get(19)?,
        reasoning_tokens: row.get(20)?,
        upstream: row.get(21)?,
        process: row.get(22)?,
        bound_tokens: row.get(23)?,
    };
    Ok(StoredCall { key: row.get(0)?, epoch: row.get(1)?, answered: row.get(2)?, call })
}
