//! Rows as facts of the core. Nothing else in this crate knows what a fact is.

use crate::{
    error::{ReadError, WriteError},
    fact::{FactRow, MissionKey, StoredFact},
    reader::Facts,
    store::Store,
};
use mission::Fact;

/// A fact of the core with its place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Its number in its mission, from 1.
    pub seq: u64,
    /// When it was decided, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The fact.
    pub fact: Fact,
}

impl FactRow {
    /// The row of a fact of the core.
    ///
    /// # Errors
    /// [`WriteError::Encode`] when it cannot be written as JSON.
    pub fn of(fact: &Fact) -> Result<Self, WriteError> {
        Self::new(fact.kind(), fact)
    }
}

impl StoredFact {
    /// The fact of the core.
    ///
    /// # Errors
    /// [`ReadError::Undecodable`] when this version does not know it.
    pub fn decode(&self) -> Result<Recorded, ReadError> {
        let fact = serde_json::from_str(&self.body).map_err(|error| ReadError::Undecodable {
            what: format!("fact {} ({})", self.seq, self.kind),
            detail: error.to_string(),
        })?;
        Ok(Recorded { seq: self.seq, at_ms: self.at_ms, fact })
    }
}

impl Store {
    /// [`Store::append_rows`] for facts of the core.
    ///
    /// # Errors
    /// As [`Store::append_rows`], and [`WriteError::Encode`].
    pub async fn append(
        &self,
        mission: &MissionKey,
        first_seq: u64,
        at_ms: u64,
        facts: &[Fact],
    ) -> Result<u64, WriteError> {
        let rows = facts.iter().map(FactRow::of).collect::<Result<_, _>>()?;
        self.append_rows(mission, first_seq, at_ms, rows).await
    }
}

impl<'a> Facts<'a> {
    /// The same as facts of the core.
    pub fn decoded(self) -> impl Iterator<Item = Result<Recorded, ReadError>> + 'a {
        self.map(|fact| fact?.decode())
    }
}
