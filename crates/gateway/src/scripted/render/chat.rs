//! OpenAI Chat Completions, as its API reference gives them and its clients read them.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{data, openai_usage, pieces};
use crate::scripted::answer::{Answer, Call, Finish};

pub(super) fn document(answer: &Answer) -> Value {
    let refused = answer.finish == Finish::Refusal;
    let text = |there: bool| if there && !answer.text.is_empty() { json!(answer.text) } else { Value::Null };
    let mut message = json!({"role": "assistant", "content": text(!refused), "refusal": text(refused)});
    if !answer.calls.is_empty() {
        message["tool_calls"] = answer.calls.iter().map(|call| tool_call(call, &call.arguments)).collect();
    }
    json!({
        "id": format!("chatcmpl-{}", answer.id), "object": "chat.completion", "created": 0, "model": answer.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish(answer.finish)}],
        "usage": openai_usage(answer, "prompt_tokens", "completion_tokens"),
    })
}

pub(super) fn stream(answer: &Answer) -> Vec<Bytes> {
    let said = if answer.finish == Finish::Refusal { "refusal" } else { "content" };
    let mut events = vec![chunk(answer, json!({"role": "assistant", "content": ""}), None)];
    events.extend(pieces(&answer.text).map(|piece| chunk(answer, json!({said: piece}), None)));
    for (index, call) in answer.calls.iter().enumerate() {
        let mut opening = tool_call(call, "");
        opening["index"] = index.into();
        events.push(chunk(answer, json!({"tool_calls": [opening]}), None));
        events.extend(pieces(&call.arguments).map(|piece| {
            let more = json!({"tool_calls": [{"index": index, "function": {"arguments": piece}}]});
            chunk(answer, more, None)
        }));
    }
    events.push(chunk(answer, json!({}), Some(finish(answer.finish))));
    if answer.include_usage {
        let mut usage = envelope(answer, json!([]));
        usage["usage"] = openai_usage(answer, "prompt_tokens", "completion_tokens");
        events.push(data(&usage));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn chunk(answer: &Answer, delta: Value, finish: Option<&str>) -> Bytes {
    data(&envelope(answer, json!([{"index": 0, "delta": delta, "finish_reason": finish}])))
}

fn envelope(answer: &Answer, choices: Value) -> Value {
    json!({"id": format!("chatcmpl-{}", answer.id), "object": "chat.completion.chunk", "created": 0,
        "model": answer.model, "choices": choices})
}

fn tool_call(call: &Call, arguments: &str) -> Value {
    json!({"id": format!("call_{}", call.id), "type": "function",
        "function": {"name": call.tool, "arguments": arguments}})
}

fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Refusal => "stop",
        Finish::Calls => "tool_calls",
        Finish::Length => "length",
    }
}
