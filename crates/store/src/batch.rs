//! What one caller wants written: all of it or nothing.

use crate::{
    call::{Answer, CallRow, PackedAnswer},
    error::WriteError,
    fact::{FactRow, MissionKey, MissionRow},
    reservation::{self, Reservation, ReservationKey},
};
use rusqlite::{Connection, ErrorCode, OptionalExtension, params};
use std::sync::Arc;

/// The most bytes (bodies as they are stored) that one batch may carry.
pub const BATCH_BYTES_MAX: usize = 64 << 20;

/// Writes that become durable together. Built in order, applied in order: a mission may be made and given facts in one.
#[derive(Default)]
pub struct Batch {
    items: Vec<Item>,
    bytes: usize,
}

enum Item {
    Mission(Box<MissionRow>),
    Facts { mission: MissionKey, first_seq: u64, at_ms: u64, facts: Vec<FactRow> },
    Status { mission: MissionKey, at_ms: u64, status: String },
    Call(Box<CallRow>, Option<PackedAnswer>),
    Reserve(Box<Reservation>),
    Release(ReservationKey),
}

impl Batch {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// And a new mission.
    #[must_use]
    pub fn mission(self, mission: MissionRow) -> Self {
        let bytes = mission.goal.len() + mission.repository.len() + mission.status.len() + mission.setup.len();
        self.with(Item::Mission(Box::new(mission)), bytes)
    }

    /// And facts, numbered from `first_seq` on without a hole; the first fact of a mission is 1.
    #[must_use]
    pub fn facts(self, mission: &MissionKey, first_seq: u64, at_ms: u64, facts: Vec<FactRow>) -> Self {
        let bytes = facts.iter().map(|fact| fact.kind.len() + fact.body.len()).sum();
        self.with(Item::Facts { mission: mission.clone(), first_seq, at_ms, facts }, bytes)
    }

    /// And the status of a mission, for lists.
    #[must_use]
    pub fn status(self, mission: &MissionKey, at_ms: u64, status: impl Into<String>) -> Self {
        let status = status.into();
        let bytes = status.len();
        self.with(Item::Status { mission: mission.clone(), at_ms, status }, bytes)
    }

    /// And a model call, with the answer when it was complete.
    #[must_use]
    pub fn call(self, call: CallRow, answer: Option<Answer>) -> Self {
        let answer = answer.map(Answer::pack);
        let bytes = answer.as_ref().map_or(0, |answer| answer.body.len());
        self.with(Item::Call(Box::new(call), answer), bytes)
    }

    /// And what a call that is about to go out can use at most.
    #[must_use]
    pub fn reserve(self, reservation: Reservation) -> Self {
        self.with(Item::Reserve(Box::new(reservation)), 0)
    }

    /// And the end of a reservation: its call is booked.
    #[must_use]
    pub fn release(self, key: ReservationKey) -> Self {
        self.with(Item::Release(key), 0)
    }

    /// Bytes of the bodies, as they will be stored.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The last fact of each run of facts, for those who wait for it.
    pub(crate) fn last_facts(&self) -> impl Iterator<Item = (&MissionKey, u64)> {
        self.items.iter().filter_map(|item| match item {
            Item::Facts { mission, first_seq, facts, .. } if !facts.is_empty() => {
                Some((mission, first_seq + facts.len() as u64 - 1))
            }
            _ => None,
        })
    }

    /// Writes everything into the transaction that is open.
    pub(crate) fn apply(&self, connection: &Connection, epoch: u64) -> Result<(), WriteError> {
        for item in &self.items {
            match item {
                Item::Mission(mission) => insert_mission(connection, mission)?,
                Item::Facts { mission, first_seq, at_ms, facts } => {
                    insert_facts(connection, mission, *first_seq, *at_ms, facts)?;
                }
                Item::Status { mission, at_ms, status } => update_status(connection, mission, *at_ms, status)?,
                Item::Call(call, answer) => insert_call(connection, epoch, call, answer.as_ref())?,
                Item::Reserve(reservation) => reservation::insert(connection, reservation)?,
                Item::Release(key) => reservation::delete(connection, *key)?,
            }
        }
        Ok(())
    }

    fn with(mut self, item: Item, bytes: usize) -> Self {
        self.items.push(item);
        self.bytes = self.bytes.saturating_add(bytes);
        self
    }
}

fn insert_mission(connection: &Connection, mission: &MissionRow) -> Result<(), WriteError> {
    let MissionRow { key, goal, repository, created_at_ms, updated_at_ms, status, setup } = mission;
    let mut insert = connection.prepare_cached(
        "INSERT INTO missions (id, goal, repository, created_at_ms, updated_at_ms, status, setup)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (id) DO NOTHING",
    )?;
    match insert.execute(params![key.as_str(), goal, repository, created_at_ms, updated_at_ms, status, setup])? {
        0 => Err(WriteError::MissionExists(key.clone())),
        _ => Ok(()),
    }
}

fn insert_facts(
    connection: &Connection,
    mission: &MissionKey,
    first_seq: u64,
    at_ms: u64,
    facts: &[FactRow],
) -> Result<(), WriteError> {
    let (key, last): (i64, u64) = connection
        .prepare_cached(
            "SELECT key, coalesce((SELECT max(seq) FROM facts WHERE mission = key), 0) FROM missions WHERE id = ?1",
        )?
        .query_row([mission.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?
        .ok_or_else(|| WriteError::UnknownMission(mission.clone()))?;
    let (mission, next) = (mission.clone(), last + 1);
    if first_seq < next {
        return Err(WriteError::SequenceTaken { mission, given: first_seq, next });
    }
    if first_seq > next {
        return Err(WriteError::SequenceGap { mission, given: first_seq, next });
    }
    let mut insert =
        connection.prepare_cached("INSERT INTO facts (mission, seq, at_ms, kind, body) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (seq, fact) in (first_seq..).zip(facts) {
        insert.execute(params![key, seq, at_ms, fact.kind, fact.body])?;
    }
    Ok(())
}

fn update_status(connection: &Connection, mission: &MissionKey, at_ms: u64, status: &str) -> Result<(), WriteError> {
    let mut update = connection.prepare_cached("UPDATE missions SET status = ?2, updated_at_ms = ?3 WHERE id = ?1")?;
    match update.execute(params![mission.as_str(), status, at_ms])? {
        0 => Err(WriteError::UnknownMission(mission.clone())),
        _ => Ok(()),
    }
}

fn insert_call(
    connection: &Connection,
    epoch: u64,
    call: &CallRow,
    answer: Option<&PackedAnswer>,
) -> Result<(), WriteError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO calls (mission, epoch, agent, attempt, digest, model, format, input_tokens, output_tokens,
             cache_read_tokens, cache_write_tokens, cost_micros, cost_source, prices_version, status, outcome,
             duration_ms, first_byte_ms, at_ms, reasoning_tokens, upstream, process, bound_tokens)
         SELECT key, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23
         FROM missions WHERE id = ?1",
    )?;
    let inserted = insert.execute(params![
        call.mission.as_str(),
        epoch,
        call.agent,
        call.attempt,
        call.digest,
        call.model,
        call.format,
        call.input_tokens,
        call.output_tokens,
        call.cache_read_tokens,
        call.cache_write_tokens,
        call.cost_micros,
        call.cost_source,
        call.prices_version,
        call.status,
        call.outcome,
        call.duration_ms,
        call.first_byte_ms,
        call.at_ms,
        call.reasoning_tokens,
        call.upstream,
        call.process,
        call.bound_tokens,
    ])?;
    if inserted == 0 {
        return Err(WriteError::UnknownMission(call.mission.clone()));
    }
    let Some(answer) = answer else { return Ok(()) };
    let mut insert = connection.prepare_cached(
        "INSERT INTO answers (call, status, content_type, coding, size, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let PackedAnswer { status, content_type, coding, size, body } = answer;
    insert.execute(params![connection.last_insert_rowid(), status, content_type, coding, size, body])?;
    Ok(())
}

impl From<rusqlite::Error> for WriteError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => WriteError::Full,
            _ => WriteError::Io(Arc::new(error)),
        }
    }
}

impl WriteError {
    /// Whether only the batch was at fault: the transaction around it can go on without it.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            WriteError::SequenceTaken { .. }
            | WriteError::SequenceGap { .. }
            | WriteError::UnknownMission(_)
            | WriteError::MissionExists(_)
            | WriteError::TooLarge { .. }
            | WriteError::Encode(_) => true,
            WriteError::Full | WriteError::Io(_) | WriteError::Closed => false,
        }
    }
}
