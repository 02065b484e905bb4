//! What the session log holds: everything that the next request to the model depends on, and nothing else.
//!
//! No times, no random ids, no numbers of processes: a request is a function of these records, so that a restarted
//! agent asks exactly what the killed one asked and the gateway can recall the answer that was already paid for.

use std::path::PathBuf;

use api::acp_meta::Stop;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Version of this format, in [`Record::Opened`].
pub const VERSION: u32 = 1;

/// One line of the log. Records are forever: add variants and optional fields only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "snake_case")]
pub enum Record {
    /// First line of every log.
    Opened {
        /// [`VERSION`].
        version: u32,
        /// The session's working directory.
        cwd: PathBuf,
        /// Names of its tool servers. Their addresses and keys are given anew with every start.
        servers: Vec<String>,
    },
    /// What the tool servers offer, asked once per session.
    Tools {
        /// In the order in which the model is shown them.
        tools: Vec<Offered>,
    },
    /// A turn starts.
    Prompt {
        /// The user's text.
        text: String,
        /// Its number, where the client gave one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        turn: Option<u32>,
    },
    /// The model answered with text, tool calls or both.
    Answer(Answer),
    /// The model answered with something that cannot be used; it is told so.
    BadAnswer {
        /// What is wrong with it.
        fault: Fault,
        /// As much of its text as is worth keeping.
        text: String,
        /// What it cost.
        #[serde(default)]
        tokens: Tokens,
    },
    /// A tool call ended.
    Result {
        /// Number of the call within the last answer, from 0.
        index: usize,
        /// What the model is shown.
        text: String,
        /// It did not do what was asked.
        #[serde(default)]
        failed: bool,
    },
    /// From here on, older parts of the conversation are shown shortened or not at all.
    Compaction(Cut),
    /// The turn ended.
    Ended {
        /// Why.
        stop: Stop,
        /// What to tell the user about it; empty if the stop says it all.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        why: String,
    },
}

/// A tool of a server: where it is and how the model sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offered {
    /// Name of the server, as in [`Record::Opened`].
    pub server: String,
    /// Its name there.
    pub name: String,
    /// What the model is shown; its name differs from the server's if it was taken.
    pub tool: Definition,
}

/// A tool as the model sees it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Definition {
    /// Unique among the tools of the session.
    pub name: String,
    /// When and how to use it.
    pub description: String,
    /// JSON Schema of the arguments, an object.
    pub parameters: Value,
}

/// A usable answer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// What the model said; may be empty beside calls.
    pub text: String,
    /// Reasoning that the model wants back, opaque to all but `model`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub thoughts: Vec<Value>,
    /// What it asks for, in order. Empty: it has finished.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<Call>,
    /// What it cost.
    #[serde(default)]
    pub tokens: Tokens,
}

/// One tool call of an answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The model's id for it, never empty.
    pub id: String,
    /// Name of the tool, made of letters that every model API accepts.
    pub name: String,
    /// Always an object; arguments that were none are kept as text under `unreadable`.
    pub arguments: Value,
    /// Why it cannot be run: unknown tool, unreadable arguments. It is answered with this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// Token counts of one or several model calls, as the model reported them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tokens {
    /// Prompt, cached parts included.
    pub input: u64,
    /// Part of `input` read from the model's cache.
    pub cached: u64,
    /// Answer, reasoning included.
    pub output: u64,
    /// Part of `output` spent on reasoning.
    pub thought: u64,
}

impl std::ops::AddAssign for Tokens {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.cached += other.cached;
        self.output += other.output;
        self.thought += other.thought;
    }
}

/// What can be wrong with an answer as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Neither text nor calls.
    Empty,
    /// The stream broke off.
    Truncated,
    /// The stream was not what the format promises.
    Malformed,
    /// It ran into the limit on output tokens.
    CutOff,
    /// It outgrew what is kept.
    Huge,
}

/// How much of the conversation's past is still shown. Both numbers count answers from the start and only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Serialize, Deserialize)]
pub struct Cut {
    /// Steps before this one are left out.
    pub drop_before: usize,
    /// Steps before this one have their results and long arguments shortened.
    pub shorten_before: usize,
}
