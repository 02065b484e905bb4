//! Money that is set aside for model calls that are on.
//!
//! A call goes out only when its reservation is durable, and the reservation goes in the transaction that books the call. So whenever the engine ends,
//! what is left here are the calls whose bill nobody has seen; whoever takes the mission up books each at the most that it can have cost.

use crate::{
    call::CallRow,
    error::{ReadError, WriteError},
    fact::MissionKey,
};
use rusqlite::{Connection, Row, params};

/// One model call that may be on, and the most that it can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reservation {
    /// Whose call.
    pub mission: MissionKey,
    /// Which one: see [`crate::Store::reservation`].
    pub key: ReservationKey,
    /// Which agent.
    pub agent: String,
    /// The attempt it works on.
    pub attempt: u32,
    /// What the request is: as [`CallRow::digest`].
    pub digest: String,
    /// The model asked for.
    pub model: String,
    /// The upstream that is asked first.
    pub upstream: String,
    /// The wire format.
    pub format: String,
    /// The most input tokens; `None`: not known.
    pub input_tokens: Option<u64>,
    /// The most output tokens, to which the answer is bounded; `None`: not known.
    pub output_tokens: Option<u64>,
    /// The most that it can cost, in millionths of a US dollar; `None`: not known.
    pub cost_micros: Option<u64>,
    /// Which prices that was computed with.
    pub prices_version: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A reservation's name: unique in a home.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReservationKey {
    /// The incarnation of the writer that made it.
    pub epoch: u64,
    /// Which of its reservations.
    pub number: u64,
}

impl Reservation {
    /// The call as it is booked when its bill was never seen: at the most that it can have used. `at_ms`: when that is booked.
    pub fn at_worst(&self, at_ms: u64) -> CallRow {
        CallRow {
            mission: self.mission.clone(),
            agent: self.agent.clone(),
            attempt: Some(self.attempt),
            process: 0,
            digest: self.digest.clone(),
            model: self.model.clone(),
            upstream: self.upstream.clone(),
            format: self.format.clone(),
            input_tokens: self.input_tokens,
            output_tokens: self.output_tokens,
            reasoning_tokens: None,
            cache_read_tokens: None,
            cache_write_tokens: None,
            cost_micros: self.cost_micros,
            cost_source: if self.cost_micros.is_some() { "estimated" } else { "unknown" }.to_owned(),
            prices_version: self.prices_version.clone(),
            bound_tokens: None,
            status: 0,
            outcome: "unseen".to_owned(),
            duration_ms: at_ms.saturating_sub(self.at_ms),
            first_byte_ms: None,
            at_ms,
        }
    }
}

pub(crate) fn insert(connection: &Connection, reservation: &Reservation) -> Result<(), WriteError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO reservations (mission, epoch, number, agent, attempt, digest, model, upstream, format, input_tokens, output_tokens, cost_micros,
             prices_version, at_ms)
         SELECT key, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14 FROM missions WHERE id = ?1",
    )?;
    let inserted = insert.execute(params![
        reservation.mission.as_str(),
        reservation.key.epoch,
        reservation.key.number,
        reservation.agent,
        reservation.attempt,
        reservation.digest,
        reservation.model,
        reservation.upstream,
        reservation.format,
        reservation.input_tokens,
        reservation.output_tokens,
        reservation.cost_micros,
        reservation.prices_version,
        reservation.at_ms,
    ])?;
    if inserted == 0 { Err(WriteError::UnknownMission(reservation.mission.clone())) } else { Ok(()) }
}

/// One that is gone already is no error: it was booked.
pub(crate) fn delete(connection: &Connection, key: ReservationKey) -> Result<(), WriteError> {
    let mut delete = connection.prepare_cached("DELETE FROM reservations WHERE epoch = ?1 AND number = ?2")?;
    delete.execute(params![key.epoch, key.number])?;
    Ok(())
}

/// Those of a mission, the oldest first.
pub(crate) fn of(connection: &Connection, mission: &MissionKey, key: i64) -> Result<Vec<Reservation>, ReadError> {
    let mut select = connection.prepare_cached(
        "SELECT epoch, number, agent, attempt, digest, model, upstream, format, input_tokens, output_tokens, cost_micros, prices_version, at_ms
         FROM reservations WHERE mission = ?1 ORDER BY epoch, number",
    )?;
    let all = select.query_map([key], |row| read(row, mission))?;
    Ok(all.collect::<Result<_, _>>()?)
}

fn read(row: &Row<'_>, mission: &MissionKey) -> rusqlite::Result<Reservation> {
    Ok(Reservation {
        mission: mission.clone(),
        key: ReservationKey { epoch: row.get(0)?, number: row.get(1)? },
        agent: row.get(2)?,
        attempt: row.get(3)?,
        digest: row.get(4)?,
        model: row.get(5)?,
        upstream: row.get(6)?,
        format: row.get(7)?,
        input_tokens: row.get(8)?,
        output_tokens: row.get(9)?,
        cost_micros: row.get(10)?,
        prices_version: row.get(11)?,
        at_ms: row.get(12)?,
    })
}
