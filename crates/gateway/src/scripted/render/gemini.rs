//! Gemini's `generateContent`, as its API reference gives it and its clients read it.

use bytes::Bytes;
use serde_json::{Value, json};

use super::pieces;
use crate::scripted::answer::{Answer, Call, Finish};

pub(super) fn document(answer: &Answer) -> Value {
    let text = (!answer.text.is_empty()).then(|| json!({"text": answer.text}));
    let parts = text.into_iter().chain(answer.calls.iter().map(function_call)).collect();
    last(answer, parts)
}

/// One event for each chunk.
pub(super) fn stream(answer: &Answer) -> Vec<Bytes> {
    chunks(answer).iter().map(|chunk| Bytes::from(format!("data: {chunk}\r\n\r\n"))).collect()
}

/// One element of an array for each chunk.
pub(super) fn array(answer: &Answer) -> Vec<Bytes> {
    let chunks = chunks(answer);
    let last = chunks.len() - 1;
    let element = |(number, chunk): (usize, &Value)| {
        let (before, after) = (if number == 0 { "[" } else { ",\n" }, if number == last { "]\n" } else { "" });
        Bytes::from(format!("{before}{chunk}{after}"))
    };
    chunks.iter().enumerate().map(element).collect()
}

/// The texts in pieces, then all calls with the end of the answer.
fn chunks(answer: &Answer) -> Vec<Value> {
    let text = pieces(&answer.text)
        .map(|piece| envelope(answer, json!({"content": content(vec![json!({"text": piece})]), "index": 0})));
    let mut chunks: Vec<Value> = text.collect();
    chunks.push(last(answer, answer.calls.iter().map(function_call).collect()));
    chunks
}

fn last(answer: &Answer, parts: Vec<Value>) -> Value {
    let mut whole =
        envelope(answer, json!({"content": content(parts), "finishReason": finish(answer.finish), "index": 0}));
    let usage = answer.usage;
    whole["usageMetadata"] = json!({"promptTokenCount": usage.input, "cachedContentTokenCount": usage.cached,
        "candidatesTokenCount": usage.output, "totalTokenCount": usage.input + usage.output});
    whole
}

fn envelope(answer: &Answer, candidate: Value) -> Value {
    json!({"candidates": [candidate], "modelVersion": answer.model, "responseId": answer.id})
}

fn content(parts: Vec<Value>) -> Value {
    json!({"role": "model", "parts": parts})
}

fn function_call(call: &Call) -> Value {
    // A call's arguments are an object; what is not JSON can only be shown as a text.
    let args: Value = serde_json::from_str(&call.arguments).unwrap_or_else(|_| json!(call.arguments));
    json!({"functionCall": {"id": format!("call_{}", call.id), "name": call.tool, "args": args}})
}

fn finish(finish: Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::Calls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Refusal => "SAFETY",
    }
}
