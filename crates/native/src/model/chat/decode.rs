//! The events of an answer, put together.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::calls::Calls;
use crate::model::failure::{self, ModelFailure};
use crate::model::{Piece, Reply, ReplyEnd};
use crate::record::{Fault, Tokens};

/// The names under which servers tell of reasoning, and want it back.
pub const REASONING: [&str; 6] =
    ["reasoning_content", "reasoning", "reasoning_details", "thinking_blocks", "reasoning_text", "reasoning_opaque"];
/// Stands for reasoning that came as parts of the content.
pub const IN_CONTENT: &str = "content_parts";

/// An answer so far.
#[derive(Default)]
pub struct Decoder {
    text: String,
    refusal: String,
    /// Reasoning by the name under which it came.
    thoughts: Map<String, Value>,
    calls: Calls,
    finish: Option<String>,
    done: bool,
    tokens: Tokens,
    bytes: usize,
}

impl Decoder {
    /// Takes an event, or a whole answer.
    pub fn feed(&mut self, mut frame: Value, ready: &mut VecDeque<Piece>) -> Result<(), ModelFailure> {
        if let Some(error) = frame.get("error").filter(|error| !error.is_null()) {
            return Err(failure::of_error(error));
        }
        if frame.get("object").and_then(Value::as_str) == Some("error") {
            return Err(failure::of_error(&frame));
        }
        let used = [frame.get("usage"), frame.pointer("/x_groq/usage")];
        for used in used.into_iter().flatten().filter(|used| used.is_object()) {
            self.tokens = tokens(used);
        }
        let Some(choice) = frame.pointer_mut("/choices/0").map(Value::take) else { return Ok(()) };
        if let Some(why) = choice.get("finish_reason").or_else(|| choice.get("stop_reason")).and_then(Value::as_str) {
            self.finish = Some(why.to_owned());
        }
        let has = |name: &str| choice.get(name).filter(|value| value.is_object());
        // A whole message beside pieces says the same once more.
        let is_new = self.text.is_empty() && self.bytes == 0;
        match has("delta").or_else(|| has("message").filter(|_| is_new)) {
            Some(delta) => self.delta(delta, ready),
            None => self.legacy_text(&choice, ready),
        }
        Ok(())
    }

    fn delta(&mut self, delta: &Value, ready: &mut VecDeque<Piece>) {
        for name in REASONING {
            if let Some(value) = delta.get(name) {
                self.thought(name, value, ready);
            }
        }
        match delta.get("content") {
            Some(Value::String(text)) => self.say(text, ready),
            Some(Value::Array(parts)) => parts.iter().for_each(|part| self.part(part, ready)),
            _ => {}
        }
        if let Some(text) = delta.get("refusal").and_then(Value::as_str).filter(|_| self.refusal.len() < 4096) {
            self.refusal.push_str(text);
        }
        for piece in delta.get("tool_calls").and_then(Value::as_array).into_iter().flatten() {
            self.bytes += self.calls.feed(piece);
        }
        if let Some(call) = delta.get("function_call").filter(|call| call.is_object()) {
            self.bytes += self.calls.feed(call);
        }
    }

    fn legacy_text(&mut self, choice: &Value, ready: &mut VecDeque<Piece>) {
        if let Some(text) = choice.get("text").and_then(Value::as_str) {
            self.say(text, ready);
        }
    }

    fn say(&mut self, text: &str, ready: &mut VecDeque<Piece>) {
        if !text.is_empty() {
            self.bytes += text.len();
            self.text.push_str(text);
            ready.push_back(Piece::Text(text.to_owned()));
        }
    }

    /// A part of a content that is a list.
    fn part(&mut self, part: &Value, ready: &mut VecDeque<Piece>) {
        let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
        if kind.contains("text") {
            self.say(part.get("text").and_then(Value::as_str).unwrap_or_default(), ready);
        } else if kind == "thinking" || kind == "redacted_thinking" {
            self.thought(IN_CONTENT, &json!([part]), ready);
        }
    }

    /// Reasoning under one of its names: texts are joined, lists get longer.
    fn thought(&mut self, name: &str, value: &Value, ready: &mut VecDeque<Piece>) {
        let bytes = match value {
            Value::Null => return,
            Value::String(text) => text.len(),
            other => other.to_string().len(),
        };
        self.bytes += bytes;
        let shown = self.thoughts.keys().all(|known| known == name) || self.thoughts.is_empty();
        match (self.thoughts.get_mut(name), value) {
            (Some(Value::String(known)), Value::String(more)) => known.push_str(more),
            (Some(Value::Array(known)), Value::Array(more)) => more.iter().for_each(|part| joined(known, part)),
            (_, Value::String(text)) if text.is_empty() => {}
            (_, Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                let made = match value {
                    Value::Array(parts) => {
                        let mut made = Vec::new();
                        parts.iter().for_each(|part| joined(&mut made, part));
                        Value::Array(made)
                    }
                    other => other.clone(),
                };
                self.thoughts.insert(name.to_owned(), made);
            }
            _ => {}
        }
        let text = text_of(value);
        if shown && !text.is_empty() {
            ready.push_back(Piece::Thought(text));
        }
    }

    pub fn done(&mut self) {
        self.done = true;
    }

    /// Whether nothing is missing, though the server may have more to say.
    pub fn is_finished(&self) -> bool {
        self.done || self.finish.is_some()
    }

    /// Bytes of text, reasoning and arguments so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The answer.
    pub fn reply(self) -> Result<Reply, ModelFailure> {
        let end = match self.finish.as_deref() {
            Some("error") => return Err(failure::passing("the provider broke its answer off with an error".into())),
            _ if !self.refusal.is_empty() => ReplyEnd::Refused(self.refusal),
            Some("content_filter" | "refusal" | "safety" | "SAFETY") => ReplyEnd::Refused(String::new()),
            Some("length" | "max_tokens" | "model_length" | "MAX_TOKENS") => ReplyEnd::CutOff,
            None if !self.done => ReplyEnd::Fault(Fault::Truncated),
            _ => ReplyEnd::Finished,
        };
        let thoughts = self.thoughts.into_iter().map(|(name, value)| json!({ name: value })).collect();
        Ok(Reply { text: self.text, thoughts, calls: self.calls.finish(), end, tokens: self.tokens })
    }
}

/// A part of a list that comes in pieces: one that goes on with the last (same `type` and `index`) is joined to it.
fn joined(known: &mut Vec<Value>, part: &Value) {
    let same = |last: &Value| {
        let both = |name: &str| last.get(name) == part.get(name);
        part.get("index").is_some() && both("index") && both("type")
    };
    let Some(Value::Object(last)) = known.last_mut().filter(|last| same(last)) else {
        known.push(part.clone());
        return;
    };
    for (name, more) in part.as_object().into_iter().flatten() {
        match (last.get_mut(name), more) {
            (Some(Value::String(text)), Value::String(more))
                if ["text", "summary", "data", "thinking"].contains(&name.as_str()) =>
            {
                text.push_str(more);
            }
            (Some(_), Value::Null) => {}
            (_, more) => drop(last.insert(name.clone(), more.clone())),
        }
    }
}

/// The text that a person can read in a piece of reasoning.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(text_of).collect(),
        Value::Object(fields) => {
            ["text", "thinking", "summary"].iter().find_map(|name| fields.get(*name)).map(text_of).unwrap_or_default()
        }
        _ => String::new(),
    }
}

/// Counts as servers write them: some as fractions, some not at all.
fn tokens(usage: &Value) -> Tokens {
    let count = |path: &str| {
        let number = usage.pointer(path);
        number.and_then(|number| number.as_u64().or_else(|| number.as_f64().filter(|n| *n >= 0.0).map(|n| n as u64)))
    };
    let cached = count("/prompt_tokens_details/cached_tokens").or_else(|| count("/prompt_cache_hit_tokens"));
    Tokens {
        input: count("/prompt_tokens").or_else(|| count("/input_tokens")).unwrap_or(0),
        cached: cached.unwrap_or(0),
        output: count("/completion_tokens").or_else(|| count("/output_tokens")).unwrap_or(0),
        thought: count("/completion_tokens_details/reasoning_tokens").unwrap_or(0),
    }
}
