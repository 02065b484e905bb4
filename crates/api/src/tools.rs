//! The agent tools: what an agent may ask of the mission, as it sees it.
//!
//! These are wire types. Whether an agent may speak to another, whether a name exists and what an answer costs is
//! decided by the mission; here is only what can be said at all, within which lengths. Every refusal is a sentence
//! that the model can act on. There is no tool with which an agent could speak for another: the caller's name is
//! not an argument.

mod catalogue;
mod recipient;

pub use catalogue::{AgentCall, BadCall, RUN_COMMAND, TOOL_NAMES, ToolSpec, catalogue};
pub use recipient::{Recipient, Topic};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest message body, in bytes.
pub const BODY_BYTES_MAX: usize = 16 * 1024;
/// Longest question to a person, in bytes.
pub const QUESTION_BYTES_MAX: usize = 4 * 1024;
/// Most options of one question.
pub const OPTIONS_MAX: usize = 10;
/// Longest option, and longest default answer, in bytes.
pub const OPTION_BYTES_MAX: usize = 500;
/// Longest label of a checkpoint, in bytes.
pub const LABEL_BYTES_MAX: usize = 200;
/// Longest summary of a result, in bytes.
pub const SUMMARY_BYTES_MAX: usize = 16 * 1024;
/// Longest evidence for a result, in bytes.
pub const EVIDENCE_BYTES_MAX: usize = 32 * 1024;
/// Most messages that one `read_messages` returns, and what it returns unless told otherwise.
pub const MESSAGES_MAX: u32 = 50;
/// Longest command line, in bytes.
pub const COMMAND_BYTES_MAX: usize = 32 * 1024;
/// Longest path of a command's folder, in bytes.
pub const CWD_BYTES_MAX: usize = 1024;
/// How long a command may take unless its caller says otherwise, in seconds.
pub const COMMAND_S: u32 = 120;
/// The longest that a command may take, in seconds.
pub const COMMAND_S_MAX: u32 = 600;
/// Longest name of a recipient and longest id of a message, in bytes.
pub const NAME_BYTES_MAX: usize = 100;

/// Arguments of `send_message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// An agent's name, a role's name (every agent of that role), or `topic:status`, `topic:alerts`, `topic:artifacts`.
    pub to: Recipient,
    /// The text.
    #[schemars(length(min = 1, max = BODY_BYTES_MAX))]
    pub body: String,
    /// Id of the message that this one answers, as `read_messages` gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = NAME_BYTES_MAX))]
    pub reply_to: Option<String>,
}

/// Result of `send_message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessageSent {
    /// Id of the message, for example `m12`.
    pub message: String,
}

/// Arguments of `read_messages`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadMessages {
    /// How many messages at most; the oldest unread come first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MESSAGES_MAX))]
    pub limit: Option<u32>,
}

/// Result of `read_messages`. What was returned counts as read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MessagesRead {
    /// The messages, oldest first.
    pub messages: Vec<Envelope>,
    /// How many are still unread.
    pub unread: u32,
}

/// One message as its receiver sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Id of the message, for `reply_to`.
    pub id: String,
    /// Name of the agent that sent it.
    pub from: String,
    /// The text.
    pub body: String,
    /// Id of the message that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
}

/// Arguments of `list_agents`: none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListAgents {}

/// Result of `list_agents`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentsListed {
    /// Your own name.
    pub you: String,
    /// Every agent of the mission, yourself included.
    pub agents: Vec<AgentEntry>,
}

/// One agent of the mission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AgentEntry {
    /// Its name, good for `send_message`.
    pub name: String,
    /// Its role.
    pub role: String,
    /// Idle, working, waiting, …
    pub state: String,
    /// Id of the task it works on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
}

/// Arguments of `raise_interrupt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RaiseInterrupt {
    /// What you need.
    pub kind: InterruptKind,
    /// What the person must decide, with what they need to know to decide it.
    #[schemars(length(min = 1, max = QUESTION_BYTES_MAX))]
    pub question: String,
    /// The possible answers; leave it out for a free answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = OPTIONS_MAX))]
    pub options: Vec<String>,
    /// The answer that is taken when nobody answers in time; one of the options, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = OPTION_BYTES_MAX))]
    pub default: Option<String>,
}

/// What an agent may ask a person for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InterruptKind {
    /// An answer in words.
    UserInput,
}

/// Result of `raise_interrupt`. The answer comes as the next prompt; the agent should end its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterruptRaised {
    /// Id of the interrupt, for example `i3`.
    pub interrupt: String,
    /// What the agent should do.
    pub note: String,
}

/// Arguments of `checkpoint`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// A few words on the state of the work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = LABEL_BYTES_MAX))]
    pub label: Option<String>,
}

/// Result of `checkpoint`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Checkpointed {
    /// The commit that holds the snapshot.
    pub commit: String,
    /// How many files differ from where the task began.
    pub files_changed: u32,
    /// What is in the workspace and not in the snapshot, and why, a line each; the first few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// Arguments of `submit_result`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmitResult {
    /// What was done and how, for the person who reads the report.
    #[schemars(length(min = 1, max = SUMMARY_BYTES_MAX))]
    pub summary: String,
    /// What shows it: commands that were run and what they printed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = EVIDENCE_BYTES_MAX))]
    pub evidence: Option<String>,
}

/// Result of `submit_result`. It is a claim: the change is checked after the turn has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ResultSubmitted {
    /// What happens next.
    pub note: String,
}

/// Arguments of `run_command`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunCommand {
    /// The command line, for `sh -c`.
    #[schemars(length(min = 1, max = COMMAND_BYTES_MAX))]
    pub command: String,
    /// Seconds until it is killed; 120 if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = COMMAND_S_MAX))]
    pub timeout_s: Option<u32>,
    /// Folder to run it in, relative to your work folder; the work folder itself if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = CWD_BYTES_MAX))]
    pub cwd: Option<String>,
}
