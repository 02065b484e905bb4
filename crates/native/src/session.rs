//! One session: its log, the conversation that the log tells, and the tools it may use.

use std::path::{Path, PathBuf};

use crate::conversation::Conversation;
use crate::log::{Log, LogError};
use crate::mcp;
use crate::record::{Record, VERSION};
use crate::tools::Root;

/// Where a session works and what it may call; given by the client with every start, never stored.
#[derive(Clone)]
pub struct Setting {
    /// Working directory, absolute.
    pub cwd: PathBuf,
    /// Tool servers.
    pub servers: Vec<mcp::Server>,
}

/// A session in memory.
pub struct Session {
    /// Its id.
    pub id: String,
    /// What was said.
    pub talk: Conversation,
    /// Where its tools work.
    pub root: Root,
    /// Its tool servers.
    pub clients: Vec<mcp::Client>,
    log: Log,
    /// Number of answers that were in the log when it was opened: calls of the last one may have run before.
    steps_reopened: Option<usize>,
}

/// Why a session cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The working directory.
    #[error("cwd: {0}")]
    Cwd(String),
}

impl Session {
    /// A new session with an empty log. Its id orders by time and never reaches a model.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn create(dir: &Path, setting: &Setting, http: &reqwest::Client) -> Result<Self, SessionError> {
        let root = Root::new(&setting.cwd).map_err(SessionError::Cwd)?;
        let id = uuid::Uuid::now_v7().to_string();
        let mut log = Log::create(dir, &id)?;
        let servers = setting.servers.iter().map(|server| server.name.clone()).collect();
        log.append(&Record::Opened { version: VERSION, cwd: setting.cwd.clone(), servers })?;
        let talk = Conversation::default();
        Ok(Self { id, talk, root, clients: clients(setting, http), log, steps_reopened: None })
    }

    /// A session from its log.
    ///
    /// # Errors
    /// [`SessionError`].
    pub fn open(dir: &Path, id: &str, setting: &Setting, http: &reqwest::Client) -> Result<Self, SessionError> {
        let root = Root::new(&setting.cwd).map_err(SessionError::Cwd)?;
        let mut talk = Conversation::default();
        let log = Log::open(dir, id, |record| talk.apply(record))?;
        let steps_reopened = Some(talk.steps());
        Ok(Self { id: id.to_owned(), talk, root, clients: clients(setting, http), log, steps_reopened })
    }

    /// Writes a record down, then applies it.
    ///
    /// # Errors
    /// The disk's, or that the record does not belong here; nothing was applied.
    pub fn record(&mut self, record: Record) -> Result<(), String> {
        self.log.append(&record).map_err(|error| error.to_string())?;
        self.talk.apply(record)
    }

    /// Waits until all records are on the disk.
    ///
    /// # Errors
    /// The disk's.
    pub fn flush(&self) -> Result<(), LogError> {
        self.log.flush()
    }

    /// Whether calls of the last answer may have been carried out by a process that was killed.
    pub fn is_rerun(&self) -> bool {
        self.steps_reopened == Some(self.talk.steps())
    }
}

fn clients(setting: &Setting, http: &reqwest::Client) -> Vec<mcp::Client> {
    setting.servers.iter().map(|server| mcp::Client::new(http.clone(), server.clone())).collect()
}
