//! Why a call to an agent failed, and why a connection ended.

use api::rpc::ErrorObject;
use std::time::Duration;

/// Why nothing more will come from an agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// Its output ended: it exited, closed its output, or was stopped.
    #[error("the agent's output ended{}", said(stderr))]
    EndOfOutput {
        /// The end of what it wrote to standard error, at most 4 KiB.
        stderr: String,
    },
    /// Too many lines of one turn were not messages of the protocol.
    #[error("the agent wrote {count} lines that are not messages of the protocol")]
    TooManyBadLines {
        /// How many.
        count: u32,
    },
    /// A line did not end.
    #[error("the agent wrote a line of more than {bytes_max} bytes")]
    EndlessLine {
        /// The limit.
        bytes_max: usize,
    },
    /// It does not read: too much waits to be written to it.
    #[error("the agent does not read its input; {bytes} bytes wait for it")]
    InputIgnored {
        /// How much waits.
        bytes: usize,
    },
    /// A pipe failed.
    #[error("the pipe to the agent failed: {0}")]
    Pipe(String),
    /// We closed the connection.
    #[error("the connection was closed")]
    Closed,
}

/// Why a call to an agent has no result.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AgentError {
    /// The connection ended before the answer.
    #[error("{0}")]
    Ended(Ended),
    /// No answer in time.
    #[error("the agent did not answer {method} within {} ms", limit.as_millis())]
    Timeout {
        /// The method.
        method: &'static str,
        /// The time that it had.
        limit: Duration,
    },
    /// The agent answered with an error.
    #[error("the agent refused {method}: {error}")]
    Refused {
        /// The method.
        method: &'static str,
        /// Its error.
        error: ErrorObject,
    },
    /// The agent's answer cannot be used.
    #[error("the agent's answer to {method} cannot be used: {why}")]
    BadResult {
        /// The method.
        method: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The agent says that it cannot do this.
    #[error("the agent does not support {0}")]
    Unsupported(&'static str),
    /// The agent speaks another version of the protocol.
    #[error("the agent speaks version {found} of the protocol, not 1")]
    Version {
        /// Its version.
        found: String,
    },
    /// The session's turn still runs.
    #[error("a turn of this session still runs")]
    Busy,
}

impl From<Ended> for AgentError {
    fn from(ended: Ended) -> Self {
        Self::Ended(ended)
    }
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; its last words: {stderr}") }
}
