//! From one line of `claude -p --output-format stream-json` to what it means. Pure.
//!
//! One JSON object a line, told apart by `type` (Claude Code 2.1.329). The order of keys varies.

use serde_json::Value;

/// What a line means.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// An answer to a control request of ours.
    ControlReply {
        /// Its id.
        id: String,
        /// What went wrong, if something did.
        error: Option<String>,
    },
    /// A control request of its own.
    Control {
        /// Id to answer under.
        id: String,
        /// Its subtype.
        subtype: String,
        /// The tool that it is about.
        tool: String,
        /// The tool's arguments.
        input: Value,
    },
    /// The model said or did something.
    Assistant(Vec<Block>),
    /// Tools have answered.
    Tools(Vec<ToolResult>),
    /// A call of the model failed and is made again.
    Retry {
        /// In words.
        problem: String,
    },
    /// The turn is over.
    Result(TurnResult),
    /// Anything else, by its type.
    Other(String),
}

/// A part of what the model said.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// Text.
    Text(String),
    /// Reasoning.
    Thought(String),
    /// A tool is called.
    Tool {
        /// The call's id.
        id: String,
        /// The tool.
        name: String,
        /// Its arguments.
        input: Value,
    },
}

/// What a tool answered.
#[derive(Clone, Debug, PartialEq)]
pub struct ToolResult {
    /// The call's id.
    pub id: String,
    /// The answer.
    pub output: String,
    /// Whether it is an error.
    pub failed: bool,
}

/// How a turn ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TurnResult {
    /// `success`, `error_during_execution`, `error_max_turns`, …
    pub subtype: String,
    /// Whether it went wrong: a `success` may say so as well.
    pub is_error: bool,
    /// The last words, or what went wrong.
    pub text: String,
    /// Why the model stopped.
    pub stop_reason: String,
    /// Why the turn ended: `completed`, `api_error`, …
    pub terminal_reason: String,
    /// Input tokens, cached or not.
    pub input_tokens: u64,
    /// Of these, read from the cache.
    pub cached_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
}

/// Reads a line; `None` when it is no message.
pub fn decode(line: &[u8]) -> Option<Message> {
    let message: Value = serde_json::from_slice(line).ok()?;
    let kind = message.get("type")?.as_str()?;
    Some(match kind {
        "control_response" => {
            let response = message.get("response")?;
            let error = (text(response, "/subtype") == "error").then(|| text(response, "/error"));
            Message::ControlReply { id: text(response, "/request_id"), error }
        }
        "control_request" => {
            let request = message.get("request")?;
            Message::Control {
                id: text(&message, "/request_id"),
                subtype: text(request, "/subtype"),
                tool: text(request, "/tool_name"),
                input: request.get("input").cloned().unwrap_or_default(),
            }
        }
        "assistant" => Message::Assistant(contents(&message).iter().filter_map(block).collect()),
        // What we said ourselves comes back as well; it has no results of tools.
        "user" => Message::Tools(contents(&message).iter().filter_map(tool_result).collect()),
        "system" if text(&message, "/subtype") == "api_retry" => {
            let status = message.get("error_status").and_then(Value::as_u64).unwrap_or_default();
            Message::Retry {
                problem: format!(
                    "the model's endpoint failed ({status} {}); Claude Code tries again",
                    text(&message, "/error")
                ),
            }
        }
        "result" => Message::Result(result(&message)),
        other => Message::Other(other.to_owned()),
    })
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn contents(message: &Value) -> &[Value] {
    message.pointer("/message/content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn block(block: &Value) -> Option<Block> {
    Some(match block.get("type")?.as_str()? {
        "text" => Block::Text(text(block, "/text")),
        "thinking" => Block::Thought(text(block, "/thinking")),
        "tool_use" => Block::Tool {
            id: text(block, "/id"),
            name: text(block, "/name"),
            input: block.get("input").cloned().unwrap_or_default(),
        },
        _ => return None,
    })
}

fn tool_result(block: &Value) -> Option<ToolResult> {
    if block.get("type")?.as_str()? != "tool_result" {
        return None;
    }
    let output = match block.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(blocks)) => {
            let texts = blocks.iter().filter_map(|block| block.get("text")?.as_str());
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    Some(ToolResult {
        id: text(block, "/tool_use_id"),
        output,
        failed: block.get("is_error") == Some(&Value::Bool(true)),
    })
}

fn result(message: &Value) -> TurnResult {
    let count = |pointer: &str| message.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    let cached = count("/usage/cache_read_input_tokens");
    let errors = message.get("errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let said = text(message, "/result");
    TurnResult {
        subtype: text(message, "/subtype"),
        is_error: message.get("is_error") == Some(&Value::Bool(true)),
        text: if said.is_empty() { errors.collect::<Vec<_>>().join("; ") } else { said },
        stop_reason: text(message, "/stop_reason"),
        terminal_reason: text(message, "/terminal_reason"),
        input_tokens: count("/usage/input_tokens") + cached + count("/usage/cache_creation_input_tokens"),
        cached_tokens: cached,
        output_tokens: count("/usage/output_tokens"),
    }
}
