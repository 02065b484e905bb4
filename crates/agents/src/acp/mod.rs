//! Runtime `acp`: an agent that speaks the Agent Client Protocol, version 1 (JSON-RPC 2.0, one message per line, on
//! stdio; <https://agentclientprotocol.com>).
//!
//! ```text
//! Connection::start(io, tap, settings)       initialize, authenticate where asked for
//!   .new_session / .load_session             one session per attempt
//!   .prompt(session, text, turn, resumed)    one turn; its end is the only thing that decides anything
//!   .cancel(session)                         the turn then ends with `cancelled`
//!   .closed()                                why nothing more will come
//! Updates::next                              what happens meanwhile, for the transcript
//! ```
//!
//! Two planes, kept apart. The *control plane* is the answers to our requests. The *data plane* is everything for the
//! transcript: it goes through a bounded [`Tap`] that **drops and counts** when its reader is slow, because a turn
//! must never wait for a disk, and a gap in a transcript that says so is better than a stalled agent.
//!
//! What a peer may do to us is bounded: a line in bytes, bad lines per turn, bytes waiting to be written to it, text
//! per update, stderr per turn. Past a bound the connection ends with an [`Ended`] that says which.
//!
//! It refuses to read or write files or run terminals for the agent (it lives in a sandbox and does that itself), to
//! limit the length of a turn (the mission does), and to kill the process (its owner does, once [`Connection::closed`]
//! resolves or when it wants to).

mod calls;
mod change;
mod connection;
pub mod decode;
mod error;
mod link;
mod permission;
mod tap;

pub use calls::{AgentFacts, McpServer, TurnOutcome, Usage};
pub use change::{Change, Cost, PlanEntry};
pub use connection::{Connection, Io, Settings};
pub use error::{AgentError, Ended};
pub use permission::{Approve, Choice, OptionKind, PermissionOption, PermissionPolicy};
pub use tap::{TEXT_BYTES_MAX, Tap, Update, Updates};

/// Longest session id that is taken, in bytes.
const SESSION_ID_BYTES_MAX: usize = 500;

/// A session's name, chosen by the agent.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub String);

impl std::fmt::Display for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
