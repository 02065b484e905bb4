//! Opening a database file: it is checked before it is believed, and copied before it is changed.
//!
//! A writer's order is: SQLite version, integrity, whose file, which format, pragmas, backup, migration. Nothing is written
//! before the first four have passed. A reader does the same without the last three, and without the full integrity
//! check, which the writer did and which costs a pass over the file.

use crate::{
    error::OpenError,
    schema::{JOURNAL_ID, JOURNAL_STEPS, TRANSCRIPTS_ID, TRANSCRIPTS_STEPS},
};
use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags};
use rusqlite_migration::{M, Migrations};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

/// The oldest SQLite without the WAL-reset race between connections, <https://sqlite.org/wal.html#the_wal_reset_bug>.
const SQLITE_REQUIRED: (i32, &str) = (3_051_003, "3.51.3");
/// How long a connection waits for another program's lock, e.g. a person's `sqlite3`.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// SQLite's own checkpoints begin at this many WAL pages (16 MiB) when there is never an idle moment.
const CHECKPOINT_PAGES: u32 = 4096;

/// One kind of file in a home.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) application_id: i32,
    pub(crate) steps: &'static [M<'static>],
    /// `FULL`: a commit survives a power cut. `NORMAL`: it survives the death of the process.
    pub(crate) synchronous: &'static str,
}

pub(crate) const JOURNAL: Kind =
    Kind { name: "journal.db", application_id: JOURNAL_ID, steps: JOURNAL_STEPS, synchronous: "FULL" };
pub(crate) const TRANSCRIPTS: Kind =
    Kind { name: "transcripts.db", application_id: TRANSCRIPTS_ID, steps: TRANSCRIPTS_STEPS, synchronous: "NORMAL" };

impl Kind {
    /// The connection of the only writer, on a file that is sound and in the newest format.
    pub(crate) fn open_writer(&self, dir: &Path) -> Result<Connection, OpenError> {
        require_sqlite()?;
        let path = dir.join(self.name);
        let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        check_integrity(&connection, &path)?;
        let found = self.format(&connection, &path)?;
        self.set_pragmas(&connection).map_err(|source| sqlite(&path, source))?;
        if found != 0 && found < self.newest() {
            back_up(&connection, &path, found)?;
        }
        Migrations::from_slice(self.steps)
            .to_latest(&mut connection)
            .map_err(|source| OpenError::Migration { path: path.clone(), source })?;
        sync_dir(dir)?;
        Ok(connection)
    }

    /// A connection that cannot write.
    pub(crate) fn open_reader(&self, dir: &Path) -> Result<Connection, OpenError> {
        require_sqlite()?;
        let path = dir.join(self.name);
        if !path.try_exists().map_err(|source| OpenError::Io { path: path.clone(), source })? {
            return Err(OpenError::Missing { path });
        }
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        let found = self.format(&connection, &path)?;
        match found == self.newest() {
            true => Ok(connection),
            false => Err(OpenError::Older { path, found, known: self.newest() }),
        }
    }

    fn newest(&self) -> u32 {
        u32::try_from(self.steps.len()).unwrap_or(u32::MAX)
    }

    /// How many steps the file has seen; 0 for an empty one.
    fn format(&self, connection: &Connection, path: &Path) -> Result<u32, OpenError> {
        let number = |pragma: &str| {
            connection
                .pragma_query_value(None, pragma, |row| row.get::<_, i32>(0))
                .map_err(|source| sqlite(path, source))
        };
        let tables: i64 = connection
            .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
            .map_err(|source| sqlite(path, source))?;
        let (application_id, version) = (number("application_id")?, number("user_version")?);
        if application_id != self.application_id && (application_id != 0 || tables != 0) {
            return Err(OpenError::NotOurs { path: path.to_owned(), application_id });
        }
        let found = u32::try_from(version).unwrap_or(u32::MAX);
        match found > self.newest() {
            true => Err(OpenError::Newer { path: path.to_owned(), found, known: self.newest() }),
            false => Ok(found),
        }
    }

    fn set_pragmas(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        connection.pragma_update(None, "foreign_keys", "ON")?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
    }
}

/// Moves what the WAL holds into the file as far as readers allow, so that the WAL begins anew.
pub(crate) fn checkpoint(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|source| sqlite(path, source))?;
    connection.busy_timeout(BUSY_WAIT).map_err(|source| sqlite(path, source))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

fn require_sqlite() -> Result<(), OpenError> {
    match rusqlite::version_number() >= SQLITE_REQUIRED.0 {
        true => Ok(()),
        false => Err(OpenError::SqliteTooOld { found: rusqlite::version().to_owned(), required: SQLITE_REQUIRED.1 }),
    }
}

fn check_integrity(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    let found: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(|source| sqlite(path, source))?;
    match found == "ok" {
        true => Ok(()),
        false => Err(OpenError::Damaged { path: path.to_owned(), detail: found.replace('\n', " ") }),
    }
}

/// Copies the file to `NAME.format-N.backup`. The copy has its name only once it is complete and on the disk.
fn back_up(connection: &Connection, path: &Path, format: u32) -> Result<(), OpenError> {
    let target = beside(path, &format!(".format-{format}.backup"));
    let draft = beside(path, ".backup-draft");
    let io = |source| OpenError::Io { path: target.clone(), source };
    match fs::remove_file(&draft) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => return Err(io(source)),
        _ => {}
    }
    connection.backup(MAIN_DB, &draft, None).map_err(|source| sqlite(path, source))?;
    File::open(&draft).and_then(|file| file.sync_all()).map_err(io)?;
    fs::rename(&draft, &target).map_err(io)?;
    sync_dir(path.parent().unwrap_or(path))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes the names of new files in `dir` durable.
fn sync_dir(dir: &Path) -> Result<(), OpenError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(|source| OpenError::Io { path: dir.to_owned(), source })
}

/// What SQLite said, by what a person can do about it.
pub(crate) fn sqlite(path: &Path, source: rusqlite::Error) -> OpenError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenError::Damaged { path, detail: source.to_string() }
        }
        Some(ErrorCode::DiskFull) => OpenError::Full { path },
        _ => OpenError::Sqlite { path, source },
    }
}
