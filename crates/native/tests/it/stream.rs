//! Answers of a model, in the three formats, as their servers stream them.

use serde_json::{Value, json};

use crate::server::Reply;

/// The wire formats, as the agent's environment names them.
pub const FORMATS: [&str; 3] = ["openai-chat", "openai-responses", "anthropic"];

/// A call: name of the tool and arguments.
pub type Call<'a> = (&'a str, Value);

/// Text.
pub fn say(text: &str) -> Reply {
    answer("openai-chat", text, &[])
}

/// Tool calls.
pub fn calls(calls: &[Call]) -> Reply {
    answer("openai-chat", "", calls)
}

/// An answer in one of the formats.
pub fn answer(format: &str, text: &str, calls: &[Call]) -> Reply {
    let written: Vec<_> = calls.iter().map(|(name, arguments)| (*name, arguments.to_string())).collect();
    let events = match format {
        "openai-chat" => chat(text, &written, if calls.is_empty() { "stop" } else { "tool_calls" }),
        "openai-responses" => responses(text, &written),
        _ => anthropic(text, &written, if calls.is_empty() { "end_turn" } else { "tool_use" }),
    };
    stream(events)
}

/// A stream of events that is complete as far as HTTP goes.
pub fn stream(body: String) -> Reply {
    Reply::Send { status: 200, headers: "content-type: text/event-stream\r\n", body }
}

/// An error.
pub fn error(status: u16, headers: &'static str, body: Value) -> Reply {
    Reply::Send { status, headers, body: body.to_string() }
}

/// Chat Completions; the arguments of calls are as the model wrote them.
pub fn chat(text: &str, calls: &[(&str, String)], finish: &str) -> String {
    let mut deltas = Vec::new();
    if !text.is_empty() {
        deltas.push(json!({ "role": "assistant", "content": text }));
    }
    for (index, (name, arguments)) in calls.iter().enumerate() {
        let id = format!("call_{index}");
        deltas.push(
            json!({ "tool_calls": [{ "index": index, "id": id, "function": { "name": name, "arguments": "" } }] }),
        );
        deltas.push(json!({ "tool_calls": [{ "index": index, "function": { "arguments": arguments } }] }));
    }
    let mut events: Vec<Value> = deltas
        .into_iter()
        .map(|delta| json!({ "choices": [{ "index": 0, "delta": delta, "finish_reason": null }] }))
        .collect();
    events.push(json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": finish }] }));
    events
        .push(json!({ "choices": [], "usage": { "prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107 } }));
    let written: String = events.iter().map(|event| format!("data: {event}\n\n")).collect();
    format!("{written}data: [DONE]\n\n")
}

fn responses(text: &str, calls: &[(&str, String)]) -> String {
    let mut events = vec![json!({ "type": "response.created", "response": {} })];
    if !text.is_empty() {
        events.push(
            json!({ "type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text }),
        );
    }
    for (index, (name, arguments)) in calls.iter().enumerate() {
        let item = |arguments: &str| {
            let id = format!("call_{index}");
            json!({ "type": "function_call", "call_id": id, "name": name, "arguments": arguments })
        };
        events.push(json!({ "type": "response.output_item.added", "output_index": index, "item": item("") }));
        let delta =
            json!({ "type": "response.function_call_arguments.delta", "output_index": index, "delta": arguments });
        events.push(delta);
        events.push(json!({ "type": "response.output_item.done", "output_index": index, "item": item(arguments) }));
    }
    let usage = json!({ "input_tokens": 100, "output_tokens": 7, "total_tokens": 107 });
    let response = json!({ "id": "r", "object": "response", "created_at": 0, "status": "completed", "model": "m", "output": [], "usage": usage });
    events.push(json!({ "type": "response.completed", "response": response }));
    typed(&events)
}

fn anthropic(text: &str, calls: &[(&str, String)], stop: &str) -> String {
    let usage = json!({ "input_tokens": 100, "output_tokens": 1 });
    let mut events = vec![
        json!({ "type": "message_start", "message": { "id": "m", "role": "assistant", "content": [], "usage": usage } }),
    ];
    let mut block = |start: Value, delta: Value| {
        let index = events.len();
        events.push(json!({ "type": "content_block_start", "index": index, "content_block": start }));
        events.push(json!({ "type": "content_block_delta", "index": index, "delta": delta }));
        events.push(json!({ "type": "content_block_stop", "index": index }));
    };
    if !text.is_empty() {
        block(json!({ "type": "text", "text": "" }), json!({ "type": "text_delta", "text": text }));
    }
    for (index, (name, arguments)) in calls.iter().enumerate() {
        let start = json!({ "type": "tool_use", "id": format!("call_{index}"), "name": name, "input": {} });
        block(start, json!({ "type": "input_json_delta", "partial_json": arguments }));
    }
    events.push(json!({ "type": "message_delta", "delta": { "stop_reason": stop }, "usage": { "output_tokens": 7 } }));
    events.push(json!({ "type": "message_stop" }));
    typed(&events)
}

fn typed(events: &[Value]) -> String {
    events.iter().map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap())).collect()
}
