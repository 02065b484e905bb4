//! What an agent does, as the `update` of an ACP `session/update`.

use serde_json::{Value, json};

/// Most bytes of a tool's input or output that are shown.
const SHOWN_BYTES_MAX: usize = 8 * 1024;

pub(crate) fn text(text: &str) -> Value {
    json!({"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}})
}

pub(crate) fn thought(text: &str) -> Value {
    json!({"sessionUpdate": "agent_thought_chunk", "content": {"type": "text", "text": text}})
}

pub(crate) fn tool(id: &str, title: &str, kind: &str, input: &Value) -> Value {
    let mut update = json!({
        "sessionUpdate": "tool_call", "toolCallId": id, "title": first_line(title), "kind": kind, "status": "in_progress",
    });
    if !input.is_null() && input.to_string().len() <= SHOWN_BYTES_MAX {
        update["rawInput"] = input.clone();
    }
    update
}

pub(crate) fn tool_done(id: &str, output: &str, failed: bool) -> Value {
    let status = if failed { "failed" } else { "completed" };
    let shown = shortened(output);
    json!({
        "sessionUpdate": "tool_call_update", "toolCallId": id, "status": status,
        "content": [{"type": "content", "content": {"type": "text", "text": shown}}],
    })
}

pub(crate) fn context(used: u64, size: u64) -> Value {
    json!({"sessionUpdate": "usage_update", "used": used, "size": size})
}

pub(crate) fn first_line(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}

pub(crate) fn shortened(text: &str) -> String {
    if text.len() <= SHOWN_BYTES_MAX {
        return text.to_owned();
    }
    let start = text.ceil_char_boundary(text.len() - SHOWN_BYTES_MAX);
    format!("({start} bytes left out)\n{}", &text[start..])
}
