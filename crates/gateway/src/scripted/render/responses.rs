//! OpenAI Responses, with the whole sequence of events that its API reference gives.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{named, openai_usage, pieces};
use crate::scripted::answer::{Answer, Call, Finish};

pub(super) fn document(answer: &Answer) -> Value {
    let status = if answer.finish == Finish::Length { "incomplete" } else { "completed" };
    let mut response = response(answer, status, items(answer));
    response["usage"] = openai_usage(answer, "input_tokens", "output_tokens");
    response
}

pub(super) fn stream(answer: &Answer) -> Vec<Bytes> {
    let started = response(answer, "in_progress", Vec::new());
    let mut events = vec![
        json!({"type": "response.created", "response": started}),
        json!({"type": "response.in_progress", "response": started}),
    ];
    for (index, item) in items(answer).into_iter().enumerate() {
        let id = item["id"].clone();
        let mut opening = item.clone();
        opening["status"] = "in_progress".into();
        let key = if item["type"] == "message" { "content" } else { "arguments" };
        opening[key] = if key == "content" { json!([]) } else { json!("") };
        events.push(json!({"type": "response.output_item.added", "output_index": index, "item": opening}));
        match item["content"].get(0) {
            Some(part) => text_events(&mut events, &id, index, part, &answer.text),
            None => argument_events(&mut events, &id, index, item["arguments"].as_str().unwrap_or_default()),
        }
        events.push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
    }
    let last = if answer.finish == Finish::Length { "response.incomplete" } else { "response.completed" };
    events.push(json!({"type": last, "response": document(answer)}));
    let numbered = events.into_iter().enumerate().map(|(number, mut event)| {
        event["sequence_number"] = number.into();
        named(&event)
    });
    numbered.collect()
}

fn text_events(events: &mut Vec<Value>, id: &Value, index: usize, part: &Value, text: &str) {
    let (kind, key) = if part["type"] == "refusal" { ("refusal", "refusal") } else { ("output_text", "text") };
    let at = |kind: &str, more: Value| {
        let mut event = json!({"type": format!("response.{kind}"), "item_id": id, "output_index": index,
            "content_index": 0});
        if let (Value::Object(event), Value::Object(more)) = (&mut event, more) {
            event.extend(more);
        }
        event
    };
    let mut opening = part.clone();
    opening[key] = "".into();
    events.push(at("content_part.added", json!({"part": opening})));
    events.extend(pieces(text).map(|piece| at(&format!("{kind}.delta"), json!({"delta": piece}))));
    events.push(at(&format!("{kind}.done"), json!({key: text})));
    events.push(at("content_part.done", json!({"part": part})));
}

fn argument_events(events: &mut Vec<Value>, id: &Value, index: usize, arguments: &str) {
    let kind = "response.function_call_arguments";
    events.extend(
        pieces(arguments).map(
            |piece| json!({"type": format!("{kind}.delta"), "item_id": id, "output_index": index, "delta": piece}),
        ),
    );
    events.push(json!({"type": format!("{kind}.done"), "item_id": id, "output_index": index, "arguments": arguments}));
}

fn response(answer: &Answer, status: &str, output: Vec<Value>) -> Value {
    let why = (status == "incomplete").then(|| json!({"reason": "max_output_tokens"}));
    json!({"id": format!("resp_{}", answer.id), "object": "response", "created_at": 0, "status": status,
        "error": null, "incomplete_details": why, "model": answer.model, "output": output,
        "parallel_tool_calls": true, "tool_choice": "auto", "tools": [], "usage": null})
}

fn items(answer: &Answer) -> Vec<Value> {
    let said = (!answer.text.is_empty()).then(|| message(answer));
    said.into_iter().chain(answer.calls.iter().map(function_call)).collect()
}

fn message(answer: &Answer) -> Value {
    let status = if answer.finish == Finish::Length { "incomplete" } else { "completed" };
    let part = match answer.finish {
        Finish::Refusal => json!({"type": "refusal", "refusal": answer.text}),
        _ => json!({"type": "output_text", "text": answer.text, "annotations": []}),
    };
    json!({"type": "message", "id": format!("msg_{}", answer.id), "role": "assistant", "status": status,
        "content": [part]})
}

fn function_call(call: &Call) -> Value {
    let mut item = json!({"type": "function_call", "id": format!("fc_{}", call.id), "call_id": format!("call_{}", call.id),
        "name": call.tool, "arguments": call.arguments, "status": "completed"});
    if let Some((namespace, name)) = namespaced(&call.tool) {
        item["name"] = json!(name);
        item["namespace"] = json!(namespace);
    }
    item
}

/// A tool of an MCP server, as Codex wants it called: `mcp__server` and the tool's own name.
fn namespaced(tool: &str) -> Option<(&str, &str)> {
    let (server, name) = tool.strip_prefix("mcp__")?.split_once("__")?;
    Some((tool.get(.."mcp__".len() + server.len())?, name))
}
