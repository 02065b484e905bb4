//! Sums over the calls of a mission.

use crate::error::ReadError;
use rusqlite::Connection;

/// What calls of one agent to one model, priced from one source, came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spend {
    /// Which agent.
    pub agent: String,
    /// Which model.
    pub model: String,
    /// Where the cost comes from.
    pub cost_source: String,
    /// Which prices it was computed with; empty when none were.
    pub prices_version: String,
    /// How many calls.
    pub calls: u64,
    /// How many of them have no known cost; `cost_micros` is without them.
    pub unpriced_calls: u64,
    /// Millionths of a US dollar.
    pub cost_micros: u64,
    /// Tokens read at full price, where known.
    pub input_tokens: u64,
    /// Which of the written ones were reasoning, where known.
    pub reasoning_tokens: u64,
    /// Tokens written, where known.
    pub output_tokens: u64,
    /// Tokens read from the provider's cache, where known.
    pub cache_read_tokens: u64,
    /// Tokens written to the provider's cache, where known.
    pub cache_write_tokens: u64,
}

pub(crate) fn of(connection: &Connection, mission: i64) -> Result<Vec<Spend>, ReadError> {
    let mut select = connection.prepare_cached(
        "SELECT agent, model, cost_source, count(*), count(*) - count(cost_micros), coalesce(sum(cost_micros), 0),
             coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),
             coalesce(sum(cache_read_tokens), 0), coalesce(sum(cache_write_tokens), 0), coalesce(sum(reasoning_tokens), 0),
             prices_version
         FROM calls WHERE mission = ?1 GROUP BY agent, model, cost_source, prices_version
         ORDER BY agent, model, cost_source, prices_version",
    )?;
    let sums = select.query_map([mission], |row| {
        Ok(Spend {
            agent: row.get(0)?,
            model: row.get(1)?,
            cost_source: row.get(2)?,
            calls: row.get(3)?,
            unpriced_calls: row.get(4)?,
            cost_micros: row.get(5)?,
            input_tokens: row.get(6)?,
            output_tokens: row.get(7)?,
            cache_read_tokens: row.get(8)?,
            cache_write_tokens: row.get(9)?,
            reasoning_tokens: row.get(10)?,
            prices_version: row.get(11)?,
        })
    })?;
    Ok(sums.collect::<Result<_, _>>()?)
}
