//! Missions and facts as rows. The store knows a fact's number, time and kind; its body is JSON that only the core reads.

use crate::error::WriteError;
use serde::Serialize;
use std::{borrow::Cow, fmt, sync::Arc};

/// The name of a mission, unique in a home.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MissionKey(Arc<str>);

impl MissionKey {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: Into<Arc<str>>> From<T> for MissionKey {
    fn from(name: T) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for MissionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A mission in the list of missions. The journal of facts is the truth; `status` is a summary for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissionRow {
    /// Its name.
    pub key: MissionKey,
    /// What it is for, in the user's words.
    pub goal: String,
    /// The user's repository, as a path.
    pub repository: String,
    /// When it was made, milliseconds since the Unix epoch.
    pub created_at_ms: u64,
    /// When `status` was written last, milliseconds since the Unix epoch.
    pub updated_at_ms: u64,
    /// One short text for lists.
    pub status: String,
    /// What its owner needs to take it up again after a restart (JSON; the store does not look inside).
    pub setup: String,
}

/// A fact to be appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactRow {
    /// Which kind, for queries by people.
    pub kind: Cow<'static, str>,
    /// The fact as JSON.
    pub body: String,
}

impl FactRow {
    /// The row of any value that serialises.
    ///
    /// # Errors
    /// [`WriteError::Encode`] when it cannot be written as JSON.
    pub fn new(kind: impl Into<Cow<'static, str>>, value: &impl Serialize) -> Result<Self, WriteError> {
        let body = serde_json::to_string(value).map_err(|error| WriteError::Encode(Arc::new(error)))?;
        Ok(Self { kind: kind.into(), body })
    }
}

/// A fact as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFact {
    /// Its number in its mission; the first is 1 and none is left out.
    pub seq: u64,
    /// When it was decided, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Which kind.
    pub kind: String,
    /// The fact as JSON.
    pub body: String,
}
