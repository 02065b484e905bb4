//! The session log: one JSON record per line, written before anything follows from it, and flushed to the disk after every turn.
//!
//! Why not flushed with every record: what is written survives the death of this process, however it dies. A machine that loses its power
//! takes the last records along; the turn is then asked for again, its requests come out as the same bytes, the gateway knows their answers,
//! and tool servers know their calls. Flushes for every record took a third of the processor time of a hundred agents with short turns, and
//! every agent on the same disk waited for them, the journal that holds those answers first of all.
//!
//! A kill may tear the last line; a torn line was never acted upon, so it is cut off. Any other unreadable line
//! means that the file is not ours, and the session is refused.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use crate::record::Record;

/// An open log, written at its end only.
pub struct Log {
    file: File,
    path: PathBuf,
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No session with this id, or an id that we never give.
    #[error("there is no session \"{0}\" in this agent's home")]
    Missing(String),
    /// The disk said no.
    #[error("session log {}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's word.
        source: io::Error,
    },
    /// A line that we did not write.
    #[error("session log {}, line {line}: {problem}", .path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
}

impl Log {
    /// Starts the log of a new session.
    ///
    /// # Errors
    /// [`LogError::Io`] if the file exists or cannot be written.
    pub fn create(dir: &Path, id: &str) -> Result<Self, LogError> {
        let path = file(dir, id);
        let create = || {
            std::fs::create_dir_all(dir)?;
            OpenOptions::new().append(true).create_new(true).open(&path)
        };
        match create() {
            Ok(file) => Ok(Self { file, path }),
            Err(source) => Err(LogError::Io { path, source }),
        }
    }

    /// Opens the log of an existing session, hands every record to `each`, and cuts off a torn last line.
    ///
    /// # Errors
    /// See [`LogError`]; `each` may refuse a record with the reason.
    pub fn open(dir: &Path, id: &str, mut each: impl FnMut(Record) -> Result<(), String>) -> Result<Self, LogError> {
        let missing = || LogError::Missing(id.to_owned());
        if !is_session_id(id) {
            return Err(missing());
        }
        let path = file(dir, id);
        let io = |source| LogError::Io { path: path.clone(), source };
        let log = OpenOptions::new().read(true).append(true).open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => io(error),
        })?;
        let mut lines = BufReader::new(&log);
        let (mut whole, mut line) = (0, Vec::new());
        for number in 1.. {
            line.clear();
            let bytes = lines.read_until(b'\n', &mut line).map_err(io)?;
            if line.last() != Some(&b'\n') {
                break;
            }
            let read = serde_json::from_slice(&line).map_err(|error| error.to_string());
            read.and_then(&mut each).map_err(|problem| LogError::Broken {
                path: path.clone(),
                line: number,
                problem,
            })?;
            whole += bytes as u64;
        }
        log.set_len(whole).and_then(|()| log.sync_data()).map_err(io)?;
        Ok(Self { file: log, path })
    }

    /// Writes one record. It outlives this process when this returns, and a loss of power after [`Log::flush`].
    ///
    /// # Errors
    /// [`LogError::Io`]; the caller must not act on the record then.
    pub fn append(&mut self, record: &Record) -> Result<(), LogError> {
        let write = |file: &mut File| {
            let mut line = serde_json::to_vec(record)?;
            line.push(b'\n');
            file.write_all(&line)
        };
        write(&mut self.file).map_err(|source| LogError::Io { path: self.path.clone(), source })
    }

    /// Waits until all that was written is on the disk.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn flush(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(|source| LogError::Io { path: self.path.clone(), source })
    }
}

fn file(dir: &Path, id: &str) -> PathBuf {
    dir.join(format!("{id}.jsonl"))
}

/// Ids come back from the client and become file names.
fn is_session_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_torn_line_is_cut_off_and_the_next_record_follows_the_last_whole_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = Log::create(dir.path(), "a").unwrap();
        log.append(&prompt("one")).unwrap();
        let path = dir.path().join("a.jsonl");
        fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{\"record\":\"pro").unwrap();

        let (mut log, records) = open(dir.path(), "a").unwrap();
        assert_eq!(records, [prompt("one")]);
        log.append(&prompt("two")).unwrap();
        assert_eq!(open(dir.path(), "a").unwrap().1, [prompt("one"), prompt("two")]);
    }

    #[test]
    fn a_broken_line_in_the_middle_is_refused_with_its_number() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.jsonl"), "{\"record\":\"prompt\",\"text\":\"x\"}\n{}\n").unwrap();
        let error = open(dir.path(), "a").err().unwrap().to_string();
        assert!(error.contains("line 2: missing field `record`"), "{error}");
    }

    #[test]
    fn an_id_is_not_a_path() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.jsonl"), "").unwrap();
        fs::create_dir(dir.path().join("logs")).unwrap();
        for id in ["../a", "", "a/b", ".", "nobody"] {
            assert!(matches!(open(&dir.path().join("logs"), id), Err(LogError::Missing(_))), "{id}");
        }
    }

    #[test]
    fn a_session_is_created_once() {
        let dir = tempfile::tempdir().unwrap();
        Log::create(dir.path(), "a").unwrap();
        assert!(matches!(Log::create(dir.path(), "a"), Err(LogError::Io { .. })));
    }

    fn open(dir: &Path, id: &str) -> Result<(Log, Vec<Record>), LogError> {
        let mut records = Vec::new();
        let log = Log::open(dir, id, |record| {
            records.push(record);
            Ok(())
        })?;
        Ok((log, records))
    }

    fn prompt(text: &str) -> Record {
        Record::Prompt { text: text.into(), turn: None }
    }
}
