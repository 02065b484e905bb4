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

#[cfg(test)]
mod tests {
    use crate::{Batch, FactRow, Home, MissionKey, MissionRow, ReadError, Store, wait};
    use mission::{AgentId, At, AttemptId, EffectId, Fact};

    #[test]
    fn facts_of_the_core_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Home::lock(dir.path()).unwrap()).unwrap();
        let m: MissionKey = "m".into();
        let mission = MissionRow {
            key: m.clone(),
            goal: String::new(),
            repository: String::new(),
            created_at_ms: 0,
            updated_at_ms: 0,
            status: String::new(),
            setup: "{}".to_owned(),
        };
        wait(store.create_mission(mission)).unwrap();
        let (effect, attempt) = (EffectId(u64::MAX), AttemptId(3));
        let facts = [
            Fact::RepositoryReady { head: "0123".to_owned(), tried: Vec::new() },
            Fact::EngineRestarted,
            Fact::AgentLost { agent: AgentId(2), reason: "\"signal 9\"\n".to_owned(), blame: false },
            Fact::TurnStarted { attempt, turn: 1, resumed: true, effect, deadline: At(9) },
        ];
        assert_eq!(wait(store.append(&m, 1, 7, &facts[..1])).unwrap(), 1);
        assert_eq!(wait(store.append(&m, 2, 8, &facts[1..])).unwrap(), 4);
        let reader = store.reader().unwrap();
        let read: Vec<_> = reader.facts(&m, 0).unwrap().decoded().map(Result::unwrap).collect();
        assert_eq!(read.iter().map(|recorded| &recorded.fact).collect::<Vec<_>>(), facts.iter().collect::<Vec<_>>());
        assert_eq!(read.iter().map(|recorded| (recorded.seq, recorded.at_ms)).next_back(), Some((4, 8)));
        assert_eq!(reader.page(&m, 1, 1).unwrap()[0].kind, "engine_restarted");

        let strange = FactRow { kind: "from_the_future".into(), body: r#"{"from_the_future":{}}"#.to_owned() };
        wait(store.commit(Batch::new().facts(&m, 5, 9, vec![strange]))).unwrap();
        let error = reader.facts(&m, 4).unwrap().decoded().next().unwrap().unwrap_err();
        assert!(matches!(error, ReadError::Undecodable { .. }), "{error}");
        assert!(error.to_string().starts_with("fact 5 (from_the_future) cannot be read: unknown variant"), "{error}");
    }
}
