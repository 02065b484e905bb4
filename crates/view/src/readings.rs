//! The journal of a home, opened for reading: no lock, while an engine runs and when none does.

use super::{
    explain::Explanation,
    history::History,
    list::MissionLine,
    report::Report,
    standing::{InterruptView, MissionView},
    tail::Follow,
};
use mission::{AttemptId, Fact, Micros, Usage};
use std::path::{Path, PathBuf};
use store::{Home, MissionKey, MissionRow, OpenError, ReadError, Reader, Recorded, Reservation, Spend, StoredCall};

/// The name of the newest mission.
const LAST: &str = "last";

/// The journal of a home, opened for reading.
pub struct Readings {
    reader: Reader,
    home: PathBuf,
}

/// Why something cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// The journal cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The journal cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no mission at all.
    #[error("there is no mission yet; `muster demo` and `muster run` begin one")]
    NoMissions,
    /// No mission has this name.
    #[error("there is no mission '{0}'; `muster list` shows them")]
    UnknownMission(String),
    /// Several missions begin like this.
    #[error("'{given}' could be {}; say more of the name", .candidates.join(" or "))]
    Ambiguous {
        /// What was given.
        given: String,
        /// The missions that it could be, at most five.
        candidates: Vec<String>,
    },
    /// The mission has nothing of this name.
    #[error("the mission has no task, agent or interrupt '{0}'; `muster show` lists them")]
    UnknownSubject(String),
}

impl ViewError {
    /// Whether nothing has run with this home yet.
    pub fn is_fresh(&self) -> bool {
        matches!(self, Self::Open(OpenError::Missing { .. }))
    }

    /// Whether what was asked for makes no sense, rather than that something is broken.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Open(error) => matches!(error, OpenError::Missing { .. }),
            Self::Read(error) => matches!(error, ReadError::UnknownMission(_)),
            Self::NoMissions | Self::UnknownMission(_) | Self::Ambiguous { .. } | Self::UnknownSubject(_) => true,
        }
    }
}

impl Readings {
    /// Opens the journal of a home.
    ///
    /// # Errors
    /// [`ViewError::Open`], also when nothing was ever run there.
    pub fn open(home: &Path) -> Result<Self, ViewError> {
        Ok(Self { reader: Reader::open(home)?, home: home.to_owned() })
    }

    /// The full name of the mission of this name: `last` for the newest, a whole name, or the beginning of exactly one.
    ///
    /// # Errors
    /// [`ViewError::NoMissions`], [`ViewError::UnknownMission`], [`ViewError::Ambiguous`].
    pub fn find(&self, given: &str) -> Result<String, ViewError> {
        let names: Vec<String> = self.reader.missions()?.into_iter().map(|row| row.key.to_string()).collect();
        find(&names, given)
    }

    /// Every mission, the newest first.
    ///
    /// # Errors
    /// [`ViewError::Read`].
    pub fn missions(&self) -> Result<Vec<MissionLine>, ViewError> {
        let rows = self.reader.missions()?;
        rows.iter().rev().map(|row| Ok(MissionLine::of(row, &self.history(&row.key)?))).collect()
    }

    /// One mission as it stands.
    ///
    /// # Errors
    /// [`ViewError::Read`], also when there is no mission of exactly this name.
    pub fn mission(&self, name: &str) -> Result<MissionView, ViewError> {
        let row = self.row(name)?;
        let history = self.history(&row.key)?;
        Ok(MissionView::of(&row, &history, &self.spend(&row.key)?))
    }

    /// A mission's report.
    ///
    /// # Errors
    /// As [`Readings::mission`].
    pub fn report(&self, name: &str) -> Result<Report, ViewError> {
        let row = self.row(name)?;
        let history = self.history(&row.key)?;
        let view = MissionView::of(&row, &history, &self.spend(&row.key)?);
        Ok(Report::of(view, history))
    }

    /// Every choice of a mission with its reason, or those about one task, agent or interrupt.
    ///
    /// # Errors
    /// As [`Readings::mission`], and [`ViewError::UnknownSubject`].
    pub fn explain(&self, name: &str, about: Option<&str>) -> Result<Explanation, ViewError> {
        let row = self.row(name)?;
        let history = self.history(&row.key)?;
        Explanation::of(row.key.to_string(), history, about)
    }

    /// What waits for a person, over all missions that are not over; the newest mission first.
    ///
    /// # Errors
    /// [`ViewError::Read`].
    pub fn inbox(&self) -> Result<Vec<InterruptView>, ViewError> {
        let mut waiting = Vec::new();
        for line in self.missions()?.iter().filter(|line| !line.closed && line.waiting > 0) {
            waiting.extend(self.mission(&line.name)?.interrupts);
        }
        Ok(waiting)
    }

    /// The facts of a mission after number `seq`.
    ///
    /// # Errors
    /// As [`Readings::mission`].
    pub fn facts_after(&self, name: &str, seq: u64) -> Result<Vec<Recorded>, ViewError> {
        Ok(self.reader.facts(&name.into(), seq)?.decoded().collect::<Result<_, _>>()?)
    }

    /// Every model call of a mission, in the order of their bills.
    ///
    /// # Errors
    /// As [`Readings::mission`].
    pub fn calls(&self, name: &str) -> Result<Vec<StoredCall>, ViewError> {
        Ok(self.reader.calls(&name.into(), 0, usize::MAX >> 1)?)
    }

    /// Follows a mission from its first fact on.
    ///
    /// # Errors
    /// As [`Readings::mission`].
    pub fn follow(self, name: &str) -> Result<Follow, ViewError> {
        let key: MissionKey = name.into();
        let last = self.reader.last_seq(&key)?;
        Ok(Follow::new(self.reader.tail(&key, 0)?, last))
    }

    fn row(&self, name: &str) -> Result<MissionRow, ViewError> {
        Ok(self.reader.mission(&name.into())?)
    }

    fn history(&self, key: &MissionKey) -> Result<History, ViewError> {
        let mut history = History::default();
        for recorded in self.reader.facts(key, 0)?.decoded() {
            history.follow(&recorded?);
        }
        let (seq, at_ms) = history.last;
        for unseen in self.unseen(key)? {
            let usage = Usage {
                input_tokens: unseen.input_tokens.unwrap_or_default(),
                output_tokens: unseen.output_tokens.unwrap_or_default(),
                cost: unseen.cost_micros.map(Micros),
                estimated: true,
                ..Usage::default()
            };
            let fact = Fact::UsageSettled { attempt: AttemptId(unseen.attempt), usage };
            history.follow(&Recorded { seq, at_ms, fact });
        }
        Ok(history)
    }

    /// Calls that were on when their engine ended. They are booked when the mission is taken up, and read as if they were.
    fn unseen(&self, key: &MissionKey) -> Result<Vec<Reservation>, ViewError> {
        let mut open = self.reader.reservations(key)?;
        if !open.is_empty() {
            // An engine that is there sees the bills of its own calls.
            let seen = Home::writer(&self.home).map(|_| self.reader.newest_epoch()).transpose()?;
            open.retain(|reservation| Some(reservation.key.epoch) != seen);
        }
        Ok(open)
    }

    fn spend(&self, key: &MissionKey) -> Result<Vec<Spend>, ViewError> {
        let mut spends = self.reader.spend(key)?;
        for unseen in self.unseen(key)? {
            let row = unseen.at_worst(unseen.at_ms);
            spends.push(Spend {
                agent: row.agent,
                model: row.model,
                cost_source: row.cost_source,
                prices_version: row.prices_version,
                calls: 1,
                unpriced_calls: u64::from(row.cost_micros.is_none()),
                cost_micros: row.cost_micros.unwrap_or_default(),
                input_tokens: row.input_tokens.unwrap_or_default(),
                output_tokens: row.output_tokens.unwrap_or_default(),
                reasoning_tokens: 0,
                cache_read_tokens: 0,
                cache_write_tokens: 0,
            });
        }
        Ok(spends)
    }
}

fn find(names: &[String], given: &str) -> Result<String, ViewError> {
    if given == LAST {
        return names.last().cloned().ok_or(ViewError::NoMissions);
    }
    if names.iter().any(|name| name == given) {
        return Ok(given.to_owned());
    }
    let mut candidates: Vec<String> = names.iter().filter(|name| name.starts_with(given)).take(5).cloned().collect();
    match (candidates.pop(), candidates.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            candidates.push(last);
            Err(ViewError::Ambiguous { given: given.to_owned(), candidates })
        }
        (None, _) => Err(ViewError::UnknownMission(given.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_be_whole_or_begun_or_last() {
        let names = ["fix-a1", "fix-a", "mend-b"].map(str::to_owned);
        let found = |given| find(&names, given).map_err(|error| error.to_string());
        assert_eq!(found("last"), Ok("mend-b".to_owned()));
        assert_eq!(found("fix-a"), Ok("fix-a".to_owned()));
        assert_eq!(found("m"), Ok("mend-b".to_owned()));
        assert_eq!(found("fix"), Err("'fix' could be fix-a1 or fix-a; say more of the name".to_owned()));
        assert_eq!(found("x"), Err("there is no mission 'x'; `muster list` shows them".to_owned()));
        assert!(matches!(find(&[], "last"), Err(ViewError::NoMissions)));
    }
}
