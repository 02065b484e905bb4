//! Following a journal from outside of the writing process.
//!
//! SQLite has no notification across processes. `PRAGMA data_version` is the next best: it reads one number of shared
//! memory, so asking often costs next to nothing, and the pause grows while nothing happens.

use crate::{
    error::ReadError,
    fact::{MissionKey, StoredFact},
    reader::Reader,
};
use std::time::Duration;
use tokio::time::sleep;

/// Facts in one step.
const PAGE: usize = 256;
/// The first pause when there is nothing new.
const PAUSE_MIN: Duration = Duration::from_millis(5);
/// Pauses double up to this: the longest that a fact stays unseen.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// A mission's facts as they become durable. Inside the writing process, [`crate::Store::subscribe`] is told at once.
pub struct Tail {
    reader: Reader,
    mission: MissionKey,
    last: u64,
    version: i64,
}

impl Tail {
    pub(crate) fn new(reader: Reader, mission: MissionKey, last: u64) -> Result<Self, ReadError> {
        let version = reader.data_version()?;
        Ok(Self { reader, mission, last, version })
    }

    /// Waits for the next facts: at least one, in order, none left out. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ReadError`] when the journal cannot be read.
    pub async fn next(&mut self) -> Result<Vec<StoredFact>, ReadError> {
        loop {
            let page = self.reader.page(&self.mission, self.last, PAGE)?;
            if !page.is_empty() {
                self.last += page.len() as u64;
                return Ok(page);
            }
            self.changed().await?;
        }
    }

    /// Waits until someone has committed since the version seen last, which is older than the page read last.
    async fn changed(&mut self) -> Result<(), ReadError> {
        let mut pause = PAUSE_MIN;
        loop {
            let version = self.reader.data_version()?;
            if version != self.version {
                self.version = version;
                return Ok(());
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
