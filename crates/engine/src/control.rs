//! How other processes speak to a mission that is being run: one JSON line in, one out, on a socket that only the home's owner can reach.
//!
//! The right to speak is the right to open the file: the home is its owner's alone (mode 0700), and so is the socket.

use crate::{driver::Handle, order::Order};
use serde::{Deserialize, Serialize};
use std::{
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
    task::{AbortHandle, JoinSet},
};

/// Longest request and answer, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// How long the engine may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// The pause after a connection that could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What is said.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    mission: String,
    order: Order,
}

/// What is answered.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Heard {
    /// The kinds of the facts that were decided.
    Facts(Vec<String>),
    /// Why nothing was.
    Refused(String),
    /// Another mission is being run.
    NotThisOne(String),
}

/// What came of speaking.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Nobody runs a mission in this home.
    #[error("no engine is running in this home")]
    Nobody,
    /// The engine runs another mission.
    #[error("the engine of this home runs mission {0}, not this one")]
    Another(String),
    /// The mission refused.
    #[error("{0}")]
    Refused(String),
    /// The socket failed.
    #[error("the engine could not be reached: {0}")]
    Io(#[from] io::Error),
}

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    task: AbortHandle,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.task.abort();
        // It is made anew by the next engine; a leftover only costs a refused connection.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn socket(home: &Path) -> PathBuf {
    home.join("engine.sock")
}

/// Lets other processes speak to this mission. The caller holds the home's lock.
///
/// # Errors
/// When the socket cannot be made, for example because the home's path is longer than a socket's may be (107 bytes).
pub fn listen(home: &Path, handle: Handle) -> io::Result<Control> {
    let path = socket(home);
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let task = tokio::spawn(accept(listener, handle)).abort_handle();
    Ok(Control { path, task })
}

async fn accept(listener: UnixListener, handle: Handle) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            // No free descriptor, for example: there may be one again.
            Err(error) => {
                tracing::warn!(%error, "a control connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let handle = handle.clone();
        connections.spawn(async move {
            if let Err(error) = answer(stream, &handle).await {
                tracing::debug!(%error, "a control connection ended early");
            }
        });
    }
}

async fn answer(stream: UnixStream, handle: &Handle) -> io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut line = String::new();
    BufReader::new(reader.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let heard = match serde_json::from_str::<Said>(&line) {
        Ok(said) if said.mission != handle.key().as_str() => Heard::NotThisOne(handle.key().to_string()),
        Ok(said) => match handle.order(said.order).await {
            Ok(facts) => Heard::Facts(facts.iter().map(|fact| fact.kind().to_owned()).collect()),
            Err(error) => Heard::Refused(error.to_string()),
        },
        Err(error) => Heard::Refused(format!("not a request: {error}")),
    };
    let mut text = serde_json::to_vec(&heard)?;
    text.push(b'\n');
    writer.write_all(&text).await
}

/// Speaks to the mission that is being run in this home; answers with the kinds of the facts decided.
///
/// # Errors
/// [`ControlError::Nobody`] when no engine runs there: the caller may then take the home itself. [`ControlError::Io`] when the one that runs
/// there does not answer within half a minute: it may be stopped.
pub async fn tell(home: &Path, mission: &str, order: Order) -> Result<Vec<String>, ControlError> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("it gave no answer within {ANSWER_LIMIT:?}"));
    tokio::time::timeout(ANSWER_LIMIT, ask(home, mission, order)).await.map_err(|_| late())?
}

async fn ask(home: &Path, mission: &str, order: Order) -> Result<Vec<String>, ControlError> {
    let stream = match UnixStream::connect(socket(home)).await {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Err(ControlError::Nobody);
        }
        Err(error) => return Err(error.into()),
    };
    let (reader, mut writer) = stream.into_split();
    let mut text = serde_json::to_vec(&Said { mission: mission.to_owned(), order }).map_err(io::Error::other)?;
    text.push(b'\n');
    writer.write_all(&text).await?;
    let mut line = String::new();
    BufReader::new(reader.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    match serde_json::from_str(&line).map_err(io::Error::other)? {
        Heard::Facts(kinds) => Ok(kinds),
        Heard::Refused(why) => Err(ControlError::Refused(why)),
        Heard::NotThisOne(other) => Err(ControlError::Another(other)),
    }
}
