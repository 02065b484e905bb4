//! What can go wrong, told apart by what a caller can do about it.

use crate::fact::MissionKey;
use std::{io, path::PathBuf, sync::Arc};

/// A home could not be locked for writing.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process owns the home. It may still be read.
    #[error(
        "{dir} is in use by {}{}. Wait for it or stop it, or set MUSTER_HOME to another directory; reading commands work meanwhile",
        pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}")),
        command.as_ref().map_or_else(String::new, |command| format!(" (`{command}`)")),
        dir = dir.display()
    )]
    Busy {
        /// The home.
        dir: PathBuf,
        /// The owner, when it has written its number already.
        pid: Option<u32>,
        /// The owner's command line.
        command: Option<String>,
        /// When the owner took the lock, milliseconds since the Unix epoch (the lock file's time stamp).
        since_ms: Option<u64>,
    },
    /// Others own a part of it, or could exchange it.
    #[error("{0}")]
    NotPrivate(crate::privacy::NotPrivate),
    /// The directory or the lock file could not be made or read.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A file of the store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// There is nothing to read.
    #[error("there is no {} yet: nothing has run with this MUSTER_HOME", path.display())]
    Missing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// Others own a part of the home, or could exchange it.
    #[error("{0}")]
    NotPrivate(crate::privacy::NotPrivate),
    /// The file is a database of another program.
    #[error("{} belongs to another program (application id {application_id:#x}); set MUSTER_HOME to another directory", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// Whose it says it is.
        application_id: i32,
    },
    /// A newer version of this program wrote the file.
    #[error("{} was written by a newer muster (format {found}, this one knows up to {known}); use the newer muster or another MUSTER_HOME", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format known here.
        known: u32,
    },
    /// An older version wrote the file and no writer has brought it up to date yet (readers never do).
    #[error("{} has format {found}, this muster reads format {known}; it is brought up to date by the next `muster run`", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The format read here.
        known: u32,
    },
    /// The file's content is not what SQLite wrote.
    #[error(
        "{} is damaged: {detail}. Nothing was changed. Keep a copy of it with its -wal and -shm files, then put back a backup \
         or rescue what can be read with `sqlite3 FILE .recover`",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the check found first.
        detail: String,
    },
    /// The SQLite linked in has a known way to corrupt files in WAL mode.
    #[error(
        "SQLite {found} is linked in, but at least {required} is needed: older ones can damage a journal that several connections use"
    )]
    SqliteTooOld {
        /// The version linked in.
        found: String,
        /// The oldest one accepted.
        required: &'static str,
    },
    /// No space on the disk.
    #[error("no space left for {}: free some and start again", path.display())]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The system refused something else.
    #[error("cannot open {}: {source}", path.display())]
    Io {
        /// What was touched.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// SQLite refused something else.
    #[error("cannot open {}: {source}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A step from an older format failed; the file is as it was, and a backup lies beside it.
    #[error("cannot bring {} up to date: {source}", path.display())]
    Migration {
        /// The file.
        path: PathBuf,
        /// What the step said.
        source: rusqlite_migration::Error,
    },
}

/// Something was not written. Except after [`WriteError::Io`] and [`WriteError::Closed`], which leave it open, nothing of
/// the batch is in the file.
#[derive(Clone, Debug, thiserror::Error)]
pub enum WriteError {
    /// The number is taken: someone else appended first.
    #[error("fact {given} of mission {mission} exists already; the next one is {next}")]
    SequenceTaken {
        /// Whose journal.
        mission: MissionKey,
        /// The number asked for.
        given: u64,
        /// The number that is free.
        next: u64,
    },
    /// The number would leave a hole.
    #[error("fact {given} of mission {mission} would leave a hole; the next one is {next}")]
    SequenceGap {
        /// Whose journal.
        mission: MissionKey,
        /// The number asked for.
        given: u64,
        /// The number that is free.
        next: u64,
    },
    /// There is no such mission.
    #[error("there is no mission {0}")]
    UnknownMission(MissionKey),
    /// The mission exists already.
    #[error("mission {0} exists already")]
    MissionExists(MissionKey),
    /// The disk (or the cap of [`crate::Options`]) is full. Nothing was written, and the writer works on: the same batch
    /// succeeds once there is space.
    #[error("no space left for the journal: free some, nothing is lost")]
    Full,
    /// The batch is larger than [`crate::BATCH_BYTES_MAX`].
    #[error("a batch of {bytes} bytes is more than one transaction takes ({max} bytes)")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A fact could not be turned into JSON.
    #[error("a fact cannot be written as JSON: {0}")]
    Encode(Arc<serde_json::Error>),
    /// The disk or another program got in the way. Whether the batch survives a crash is unknown: read the journal before
    /// going on with this mission.
    #[error("the journal could not be written: {0}")]
    Io(Arc<rusqlite::Error>),
    /// The store was closed. Whether the batch was written before is unknown.
    #[error("the journal is closed")]
    Closed,
}

/// Something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// There is no such mission.
    #[error("there is no mission {0}")]
    UnknownMission(MissionKey),
    /// A fact is missing between others, which no writer of ours does.
    #[error("the journal of mission {mission} is damaged: fact {missing} is missing")]
    Hole {
        /// Whose journal.
        mission: MissionKey,
        /// The first number that is not there.
        missing: u64,
    },
    /// A stored fact or answer is not readable by this version.
    #[error("{what} cannot be read: {detail}")]
    Undecodable {
        /// Which record.
        what: String,
        /// What was wrong.
        detail: String,
    },
    /// SQLite could not read the file.
    #[error("the journal could not be read: {0}")]
    Sqlite(#[from] rusqlite::Error),
}
