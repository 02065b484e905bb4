//! Opening a database file: it is checked before it is believed, and copied before it is changed.
//!
//! A writer's order is: SQLite version, integrity, whose file, which format, pragmas, backup, migration. Nothing is written
//! before the first four have passed. A reader does the same without the last three, and without the full integrity
//! check, which the writer did and which costs a pass over the file.

use crate::{
    error::OpenError,
    privacy::{self, private_file},
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
/// How long a reader waits for another program's lock, e.g. a person's `sqlite3`.
const READER_BUSY_WAIT: Duration = Duration::from_secs(5);
/// SQLite's own checkpoints begin at this many WAL pages (16 MiB) when there is never an idle moment.
const CHECKPOINT_PAGES: u32 = 4096;

/// One kind of file in a home.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) application_id: i32,
    pub(crate) steps: &'static [M<'static>],
    /// `FULL`: a commit survives a power cut. `NORMAL`: it survives the death of the process.
    pub(crate) synchronous: &'static str,
    /// How long the writer waits for another program's lock.
    pub(crate) busy_wait: Duration,
}

pub(crate) const JOURNAL: Kind = Kind {
    name: "journal.db",
    application_id: JOURNAL_ID,
    steps: JOURNAL_STEPS,
    synchronous: "FULL",
    busy_wait: Duration::from_secs(5),
};
pub(crate) const TRANSCRIPTS: Kind = Kind {
    name: "transcripts.db",
    application_id: TRANSCRIPTS_ID,
    steps: TRANSCRIPTS_STEPS,
    synchronous: "NORMAL",
    busy_wait: Duration::from_secs(1),
};

impl Kind {
    /// The connection of the only writer, on a file that is sound and in the newest format.
    pub(crate) fn open_writer(&self, dir: &Path) -> Result<Connection, OpenError> {
        require_sqlite()?;
        let path = dir.join(self.name);
        // What SQLite puts beside it (`-wal`, `-shm`) gets its mode.
        private_file(&path)?;
        let mut connection =
            connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE, self.busy_wait)?;
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
        privacy::secure(dir)?;
        let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY, READER_BUSY_WAIT)?;
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

fn connect(path: &Path, flags: OpenFlags, busy_wait: Duration) -> Result<Connection, OpenError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|source| sqlite(path, source))?;
    connection.busy_timeout(busy_wait).map_err(|source| sqlite(path, source))?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

impl From<privacy::Problem> for OpenError {
    fn from(problem: privacy::Problem) -> Self {
        match problem {
            privacy::Problem::NotPrivate(why) => Self::NotPrivate(why),
            privacy::Problem::Io(path, source) => Self::Io { path, source },
        }
    }
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
    private_file(&draft)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::JOURNAL_1;

    const FIXTURE: &str = include_str!("../tests/fixtures/journal-1.sql");

    const FIRST: Kind = Kind { steps: &[M::up(JOURNAL_1)], ..JOURNAL };

    const LATER: Kind = Kind {
        steps: &[M::up(JOURNAL_1), M::up("ALTER TABLE missions ADD COLUMN owner TEXT NOT NULL DEFAULT 'nobody'")],
        ..JOURNAL
    };

    const BROKEN: Kind = Kind {
        steps: &[M::up(JOURNAL_1), M::up("ALTER TABLE missions ADD COLUMN owner TEXT; DROP TABLE no_such_table")],
        ..JOURNAL
    };

    fn old_home() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        Connection::open(dir.path().join(JOURNAL.name)).unwrap().execute_batch(FIXTURE).unwrap();
        dir
    }

    fn count(connection: &Connection, table: &str) -> u64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.filter(|name| !name.ends_with("-shm") && !name.ends_with("-wal")).collect();
        names.sort();
        names
    }

    #[test]
    fn an_older_file_is_copied_and_then_brought_up_to_date() {
        let dir = old_home();
        assert!(matches!(LATER.open_reader(dir.path()), Err(OpenError::Older { found: 1, known: 2, .. })));

        let connection = LATER.open_writer(dir.path()).unwrap();
        let owner: String = connection.query_row("SELECT min(owner) FROM missions", [], |row| row.get(0)).unwrap();
        assert_eq!((owner.as_str(), count(&connection, "facts")), ("nobody", 3));
        drop(connection);
        LATER.open_reader(dir.path()).unwrap();
        assert!(matches!(FIRST.open_writer(dir.path()), Err(OpenError::Newer { found: 2, known: 1, .. })));

        assert_eq!(names(dir.path()), ["journal.db", "journal.db.format-1.backup"]);
        let backup = Connection::open(dir.path().join("journal.db.format-1.backup")).unwrap();
        check_integrity(&backup, dir.path()).unwrap();
        let version: u32 = backup.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap();
        assert_eq!((version, count(&backup, "facts"), count(&backup, "answers")), (1, 3, 1));
    }

    #[test]
    fn a_step_that_fails_leaves_the_file_as_it_was() {
        let dir = old_home();
        fs::write(dir.path().join("journal.db.backup-draft"), "left by a crash").unwrap();
        for _ in 0..2 {
            let error = BROKEN.open_writer(dir.path()).unwrap_err();
            assert!(matches!(error, OpenError::Migration { .. }), "{error}");
            assert_eq!(names(dir.path()), ["journal.db", "journal.db.format-1.backup"]);
        }
        let connection = FIRST.open_writer(dir.path()).unwrap();
        assert_eq!((count(&connection, "facts"), count(&connection, "missions")), (3, 2));
    }

    #[test]
    fn a_new_or_current_file_is_not_copied() {
        let dir = tempfile::tempdir().unwrap();
        drop(JOURNAL.open_writer(dir.path()).unwrap());
        drop(JOURNAL.open_writer(dir.path()).unwrap());
        assert_eq!(names(dir.path()), ["journal.db"]);
    }

    #[test]
    fn writers_flush_every_commit_and_readers_cannot_write() {
        let dir = tempfile::tempdir().unwrap();
        let writer = JOURNAL.open_writer(dir.path()).unwrap();
        let pragma = |name: &str| -> String {
            writer.pragma_query_value(None, name, |row| row.get_ref(0).map(|v| format!("{v:?}"))).unwrap()
        };
        assert_eq!(pragma("journal_mode"), format!("{:?}", rusqlite::types::ValueRef::Text(b"wal")));
        assert_eq!(pragma("synchronous"), "Integer(2)");
        assert_eq!(pragma("foreign_keys"), "Integer(1)");
        let reader = JOURNAL.open_reader(dir.path()).unwrap();
        let error = reader.execute("INSERT INTO epochs (epoch) VALUES (1)", []).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ReadOnly));
    }

    #[test]
    fn the_sqlite_linked_in_is_new_enough() {
        require_sqlite().unwrap();
        let text = OpenError::SqliteTooOld { found: "3.40.1".to_owned(), required: SQLITE_REQUIRED.1 }.to_string();
        assert!(text.starts_with("SQLite 3.40.1 is linked in, but at least 3.51.3 is needed"), "{text}");
    }
}
