//! Anthropic Messages, as its API reference gives them and its clients read them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{named, pieces};
use crate::scripted::answer::{Answer, Call, Finish};

pub(super) fn document(answer: &Answer) -> Value {
    let text = (!answer.text.is_empty()).then(|| json!({"type": "text", "text": answer.text}));
    let calls = answer.calls.iter().map(|call| {
        // A call's input is an object; what is not JSON can only be shown as a text.
        let input = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!(call.arguments));
        tool_use(call, input)
    });
    let content = text.into_iter().chain(calls).collect();
    let mut message = message(answer, content, json!(stop_reason(answer.finish)));
    message["usage"]["output_tokens"] = answer.usage.output.into();
    message
}

pub(super) fn stream(answer: &Answer) -> Vec<Bytes> {
    let mut events = vec![json!({"type": "message_start", "message": message(answer, Vec::new(), Value::Null)})];
    let mut block = |index: usize, opening: Value, deltas: Vec<Value>| {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": opening}));
        let deltas = deltas.into_iter();
        events.extend(deltas.map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})));
        events.push(json!({"type": "content_block_stop", "index": index}));
    };
    let said = usize::from(!answer.text.is_empty());
    if said == 1 {
        let deltas = pieces(&answer.text).map(|piece| json!({"type": "text_delta", "text": piece}));
        block(0, json!({"type": "text", "text": ""}), deltas.collect());
    }
    for (number, call) in answer.calls.iter().enumerate() {
        let deltas = pieces(&call.arguments).map(|piece| json!({"type": "input_json_delta", "partial_json": piece}));
        block(said + number, tool_use(call, json!({})), deltas.collect());
    }
    let delta = json!({"stop_reason": stop_reason(answer.finish), "stop_sequence": null});
    events.push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": answer.usage.output}}));
    events.push(json!({"type": "message_stop"}));
    events.iter().map(named).collect()
}

fn message(answer: &Answer, content: Vec<Value>, stop_reason: Value) -> Value {
    let usage = answer.usage;
    json!({"id": format!("msg_{}", answer.id), "type": "message", "role": "assistant", "model": answer.model,
        "content": content, "stop_reason": stop_reason, "stop_sequence": null,
        "usage": {"input_tokens": usage.input - usage.cached, "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": usage.cached, "output_tokens": 1}})
}

fn tool_use(call: &Call, input: Value) -> Value {
    json!({"type": "tool_use", "id": format!("toolu_{}", call.id), "name": call.tool, "input": input})
}

fn stop_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Calls => "tool_use",
        Finish::Length => "max_tokens",
        Finish::Refusal => "refusal",
    }
}
