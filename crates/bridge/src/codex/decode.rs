//! From one line of `codex app-server` to what it means. Pure.
//!
//! JSON-RPC without its `jsonrpc` member, one message a line (Codex 0.169.0, `codex app-server generate-json-schema`).

use serde_json::{Map, Value};

/// What a line means.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// An answer to a request of ours.
    Reply {
        /// The request's id.
        id: u64,
        /// The result, or what went wrong.
        result: Result<Value, String>,
    },
    /// A request of its own.
    Ask {
        /// Id to answer under, as it stands.
        id: Value,
        /// The method.
        method: String,
        /// Its parameters.
        params: Value,
    },
    /// News.
    News(News),
    /// Something else that it tells, by its method.
    Other(String),
}

/// What is told of a thread.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// A turn is on.
    TurnStarted {
        /// Its id.
        turn: String,
    },
    /// A piece of the answer.
    Text(String),
    /// A piece of the reasoning.
    Thought(String),
    /// A tool is used.
    Tool {
        /// The item's id.
        id: String,
        /// What it does.
        title: String,
        /// ACP's word for its kind.
        kind: &'static str,
        /// Its arguments.
        input: Value,
    },
    /// A tool has ended.
    ToolDone {
        /// The item's id.
        id: String,
        /// What it put out.
        output: String,
        /// Whether it failed.
        failed: bool,
    },
    /// What one request to the model used.
    Tokens {
        /// Input, cached or not.
        input: u64,
        /// Of these, cached.
        cached: u64,
        /// Output.
        output: u64,
        /// Of these, reasoning.
        reasoning: u64,
        /// The model's window; 0 when it is not known.
        window: u64,
    },
    /// Something went wrong; whether it is tried again.
    Error {
        /// What.
        message: String,
        /// Whether Codex tries again.
        again: bool,
    },
    /// The turn is over.
    TurnOver {
        /// Its id.
        turn: String,
        /// `completed`, `failed` or `interrupted`.
        status: String,
        /// What went wrong, and the word for it.
        error: Option<(String, String)>,
    },
}

/// Reads a line; `None` when it is no message.
pub fn decode(line: &[u8]) -> Option<Message> {
    let Ok(Value::Object(mut message)) = serde_json::from_slice(line) else { return None };
    let method = message.remove("method").and_then(text_of);
    let id = message.remove("id");
    let params = message.remove("params").unwrap_or_default();
    match (method, id) {
        (Some(method), Some(id)) => Some(Message::Ask { id, method, params }),
        (Some(method), None) => Some(news(&method, &params).map_or(Message::Other(method), Message::News)),
        (None, Some(id)) => Some(Message::Reply { id: id.as_u64()?, result: result(message) }),
        (None, None) => None,
    }
}

fn text_of(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

fn result(mut message: Map<String, Value>) -> Result<Value, String> {
    match message.remove("error") {
        None | Some(Value::Null) => Ok(message.remove("result").unwrap_or_default()),
        Some(error) => {
            Err(error.get("message").and_then(Value::as_str).map_or_else(|| error.to_string(), str::to_owned))
        }
    }
}

fn news(method: &str, params: &Value) -> Option<News> {
    let delta = || Some(params.get("delta")?.as_str()?.to_owned());
    Some(match method {
        "turn/started" => News::TurnStarted { turn: text(params, "/turn/id") },
        "item/agentMessage/delta" => News::Text(delta()?),
        "item/reasoning/summaryTextDelta" | "item/reasoning/textDelta" => News::Thought(delta()?),
        "item/started" => tool(params.get("item")?)?,
        "item/completed" => tool_done(params.get("item")?)?,
        "thread/tokenUsage/updated" => tokens(params.get("tokenUsage")?)?,
        "error" => News::Error {
            message: plain(&text(params, "/error/message")),
            again: params.get("willRetry") == Some(&Value::Bool(true)),
        },
        "turn/completed" => turn_over(params.get("turn")?),
        _ => return None,
    })
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// An error as people read it: Codex passes on a provider's answer as it came.
fn plain(message: &str) -> String {
    let answer: Option<Value> = serde_json::from_str(message).ok();
    let told = answer.as_ref().and_then(|answer| answer.pointer("/error/message")).and_then(Value::as_str);
    told.unwrap_or(message).to_owned()
}

fn tool(item: &Value) -> Option<News> {
    let kind = item.get("type")?.as_str()?;
    let (title, acp, input) = match kind {
        "commandExecution" => (text(item, "/command"), "execute", serde_json::json!({"command": item.get("command")})),
        "fileChange" => (changed(item), "edit", Value::Null),
        "mcpToolCall" => {
            let title = format!("{} ({})", text(item, "/tool"), text(item, "/server"));
            (title, "other", item.get("arguments").cloned().unwrap_or_default())
        }
        "webSearch" => (format!("search: {}", text(item, "/query")), "search", Value::Null),
        "imageView" => (format!("look at {}", text(item, "/path")), "read", Value::Null),
        _ => return None,
    };
    Some(News::Tool { id: text(item, "/id"), title, kind: acp, input })
}

fn changed(item: &Value) -> String {
    let changes = item.get("changes").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let paths: Vec<String> = changes.iter().map(|change| text(change, "/path")).collect();
    format!("change {}", paths.join(", "))
}

fn tool_done(item: &Value) -> Option<News> {
    let status = text(item, "/status");
    let failed = matches!(status.as_str(), "failed" | "declined");
    let output = match item.get("type")?.as_str()? {
        "commandExecution" => {
            let code = item.get("exitCode").and_then(Value::as_i64).filter(|code| *code != 0);
            let code = code.map(|code| format!("(exit {code})")).unwrap_or_default();
            format!("{}{code}", text(item, "/aggregatedOutput"))
        }
        "fileChange" => status,
        "mcpToolCall" => match item.get("error").filter(|error| !error.is_null()) {
            Some(error) => text(error, "/message"),
            None => mcp_output(item.get("result")),
        },
        "webSearch" | "imageView" => String::new(),
        _ => return None,
    };
    Some(News::ToolDone { id: text(item, "/id"), output, failed })
}

fn mcp_output(result: Option<&Value>) -> String {
    let blocks = result.and_then(|result| result.get("content")).and_then(Value::as_array);
    let texts = blocks.into_iter().flatten().filter_map(|block| block.get("text")?.as_str());
    texts.collect::<Vec<_>>().join("\n")
}

/// The last request's numbers: those of the thread go on counting when it is resumed.
fn tokens(usage: &Value) -> Option<News> {
    let last = usage.get("last")?;
    let count = |name: &str| last.get(name).and_then(Value::as_u64).unwrap_or_default();
    Some(News::Tokens {
        input: count("inputTokens"),
        cached: count("cachedInputTokens"),
        output: count("outputTokens"),
        reasoning: count("reasoningOutputTokens"),
        window: usage.get("modelContextWindow").and_then(Value::as_u64).unwrap_or_default(),
    })
}

fn turn_over(turn: &Value) -> News {
    let error = turn.get("error").filter(|error| !error.is_null());
    let kind = |error: &Value| match error.get("codexErrorInfo") {
        Some(Value::String(word)) => word.clone(),
        Some(Value::Object(info)) => info.keys().next().cloned().unwrap_or_default(),
        _ => String::new(),
    };
    News::TurnOver {
        turn: text(turn, "/id"),
        status: text(turn, "/status"),
        error: error.map(|error| (plain(&text(error, "/message")), kind(error))),
    }
}
