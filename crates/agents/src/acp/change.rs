//! What `session/update` says, reduced to what a transcript shows.
//!
//! Agents differ and the protocol grows, so this reads what is there and forgives what is not: an unknown kind of
//! update is named and passed on, a missing member is empty. Texts are cut to [`TEXT_BYTES_MAX`](super::TEXT_BYTES_MAX).

use super::tap::clip;
use serde::Serialize;
use serde_json::Value;

/// Most entries of a plan that are kept.
const PLAN_ENTRIES_MAX: usize = 100;

/// One `session/update`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// A piece of the user's message, as the agent shows it.
    UserText {
        /// The piece.
        text: String,
    },
    /// A piece of the agent's answer.
    Text {
        /// The piece.
        text: String,
    },
    /// A piece of the agent's reasoning.
    Thought {
        /// The piece.
        text: String,
    },
    /// A tool call came up.
    ToolCall {
        /// Its id in the session.
        call: String,
        /// What it does, in the agent's words.
        title: String,
        /// `read`, `edit`, `execute`, …; empty if not said.
        kind: String,
        /// `pending`, `in_progress`, `completed`, `failed`; empty if not said.
        status: String,
        /// Its arguments as JSON; empty if not said.
        input: String,
        /// What it has put out so far.
        output: String,
    },
    /// News of a tool call.
    ToolProgress {
        /// Its id in the session.
        call: String,
        /// New title; empty if unchanged.
        title: String,
        /// New status; empty if unchanged.
        status: String,
        /// Its arguments, for agents that send them late; empty if not said.
        input: String,
        /// What it has put out so far; empty if not said.
        output: String,
    },
    /// The agent's plan, whole.
    Plan {
        /// Its steps.
        entries: Vec<PlanEntry>,
    },
    /// How full the agent's context is.
    Context {
        /// Tokens in use.
        used: u64,
        /// Tokens that fit.
        size: u64,
        /// What the session has cost so far, as the agent claims; the gateway's account is the one that counts.
        cost: Option<Cost>,
    },
    /// Anything else: modes, commands, titles, and what the protocol may bring.
    Other {
        /// The kind of update, in the protocol's word.
        what: String,
    },
}

/// One step of an agent's own plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanEntry {
    /// What is to be done.
    pub content: String,
    /// `pending`, `in_progress`, `completed`; empty if not said.
    pub status: String,
}

/// An amount of money as an agent states it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cost {
    /// How much.
    pub amount: f64,
    /// ISO 4217 code.
    pub currency: String,
}

impl Change {
    /// Reads the `update` member; `None` if it does not even say what it is.
    pub(crate) fn read(update: &Value) -> Option<Self> {
        let what = update.get("sessionUpdate")?.as_str()?;
        let content = || block(update.get("content"));
        Some(match what {
            "user_message_chunk" => Self::UserText { text: content() },
            "agent_message_chunk" => Self::Text { text: content() },
            "agent_thought_chunk" => Self::Thought { text: content() },
            "tool_call" => Self::ToolCall {
                call: text(update, "toolCallId"),
                title: text(update, "title"),
                kind: text(update, "kind"),
                status: text(update, "status"),
                input: json(update.get("rawInput")),
                output: output(update),
            },
            "tool_call_update" => Self::ToolProgress {
                call: text(update, "toolCallId"),
                title: text(update, "title"),
                status: text(update, "status"),
                input: json(update.get("rawInput")),
                output: output(update),
            },
            "plan" => Self::Plan { entries: plan(update) },
            "usage_update" => Self::Context {
                used: number(update, "used"),
                size: number(update, "size"),
                cost: update.get("cost").and_then(cost),
            },
            other => Self::Other { what: clip(other) },
        })
    }
}

fn text(value: &Value, member: &str) -> String {
    value.get(member).and_then(Value::as_str).map(clip).unwrap_or_default()
}

fn number(value: &Value, member: &str) -> u64 {
    value.get(member).and_then(Value::as_u64).unwrap_or_default()
}

fn json(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(value) => clip(&value.to_string()),
    }
}

fn cost(value: &Value) -> Option<Cost> {
    Some(Cost { amount: value.get("amount")?.as_f64()?, currency: text(value, "currency") })
}

fn plan(update: &Value) -> Vec<PlanEntry> {
    let entries = update.get("entries").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let entry = |entry: &Value| PlanEntry { content: text(entry, "content"), status: text(entry, "status") };
    entries.iter().take(PLAN_ENTRIES_MAX).map(entry).collect()
}

/// What a tool call has put out: its contents, or else its raw output.
fn output(update: &Value) -> String {
    let contents = update.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut whole = String::new();
    for content in contents {
        if whole.len() > super::TEXT_BYTES_MAX {
            break;
        }
        if !whole.is_empty() {
            whole.push('\n');
        }
        whole.push_str(&tool_content(content));
    }
    if whole.is_empty() {
        return match update.get("rawOutput") {
            Some(Value::String(text)) => clip(text),
            other => json(other),
        };
    }
    clip(&whole)
}

fn tool_content(content: &Value) -> String {
    match content.get("type").and_then(Value::as_str) {
        Some("content") => block(content.get("content")),
        Some("diff") => format!("[diff of {}]", text(content, "path")),
        Some(other) => format!("[{}]", clip(other)),
        None => String::new(),
    }
}

/// The text of a content block; other kinds are named.
fn block(content: Option<&Value>) -> String {
    let Some(content) = content else { return String::new() };
    match content.get("type").and_then(Value::as_str) {
        Some("text") => text(content, "text"),
        Some(other) => format!("[{}]", clip(other)),
        None => String::new(),
    }
}
