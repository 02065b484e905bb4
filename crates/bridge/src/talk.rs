//! A conversation with a vendor's program, as a state machine: lines and wishes in, lines and news out. No process, no clock.

use api::acp_meta::Stop;
use serde_json::Value;

/// What a session begins with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// The session: one to take up, or a name for a new one where the vendor lets us choose.
    pub session: String,
    /// Whether it is taken up.
    pub resumed: bool,
    /// The folder that is worked in.
    pub cwd: String,
    /// The tools that it is offered.
    pub servers: Vec<Server>,
}

/// A server of tools over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// What every request to it carries.
    pub headers: Vec<(String, String)>,
}

/// What a conversation wants done.
#[derive(Clone, Debug, PartialEq)]
pub enum Out {
    /// A line goes to the program, its end included.
    Write(String),
    /// The session stands, under this name.
    Opened(String),
    /// There is no session, and why.
    Refused(String),
    /// Something for the transcript: the `update` of an ACP `session/update`.
    Update(Value),
    /// The program wants to know whether it may do something.
    Ask {
        /// Names the question.
        key: String,
        /// What it wants to do, in one line.
        title: String,
    },
    /// The task is done, and this is the account of it: for programs that cannot say so themselves.
    Claim(String),
    /// The turn is over.
    Over(End),
    /// Something odd that did no harm.
    Note(String),
}

/// How a turn ended.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// Why.
    pub stop: Stop,
    /// What it used, as the program says.
    pub usage: Option<Usage>,
    /// What went wrong, for people.
    pub problem: Option<String>,
}

/// Tokens of a turn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input, cached or not.
    pub input: u64,
    /// Of these, read from the provider's cache.
    pub cached: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// Of these, reasoning.
    pub reasoning: u64,
}

/// A conversation with one program.
pub trait Talk {
    /// The program is there.
    fn open(&mut self) -> Vec<Out>;
    /// It wrote a line.
    fn line(&mut self, line: &[u8]) -> Vec<Out>;
    /// A turn begins.
    fn prompt(&mut self, text: &str) -> Vec<Out>;
    /// The turn is to end.
    fn cancel(&mut self) -> Vec<Out>;
    /// A question is answered.
    fn permit(&mut self, key: &str, allow: bool) -> Vec<Out>;
    /// The program has ended; `ended` says how. Without an [`Out::Over`] or an [`Out::Refused`] from this the end was a loss.
    fn ended(&mut self, success: bool, ended: &str) -> Vec<Out>;
}

/// A line of JSON.
pub(crate) fn line(value: &Value) -> String {
    format!("{value}\n")
}
