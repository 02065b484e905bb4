//! OpenAI's chat format, as the many servers that imitate it speak it.
//!
//! `genai` 0.7.2 drops tool calls that come without an `index`, glues calls of one `index` together, takes arguments only as text, sends no reasoning back
//! but `reasoning_content` before calls, and reads a document in place of a stream as nothing (`docs/providers.md` has the list, to be reported there). So
//! requests and answers of this one format are written and read here; the other formats stay with `genai`.

use std::collections::VecDeque;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::{Map, Value, json};

use super::failure::{self, ModelFailure};
use super::{ANSWER_BYTES_MAX, HEADER_TIMEOUT, Piece, READ_TIMEOUT, Request, fault, messages};
use crate::conversation::Message;
use crate::record::{Answer, Fault};
use crate::settings::Settings;

mod calls;
mod decode;
mod frames;

use decode::Decoder;
use frames::Frames;

/// Largest body of an error that is read.
const ERROR_BYTES_MAX: usize = 64 * 1024;
/// Largest answer as it comes in, framing and all.
const WIRE_BYTES_MAX: usize = 16 * ANSWER_BYTES_MAX;

/// A model that is spoken to in this format.
pub struct Chat {
    http: reqwest::Client,
    url: String,
    key: String,
    model: String,
    output_tokens: u32,
}

impl Chat {
    pub fn new(settings: &Settings, http: reqwest::Client) -> Self {
        Self {
            http,
            url: format!("{}chat/completions", settings.endpoint),
            key: settings.key.clone(),
            model: settings.model.clone(),
            output_tokens: settings.output_tokens,
        }
    }

    /// Sends one request.
    pub async fn ask(&self, request: Request<'_>) -> Result<Asked, ModelFailure> {
        let sending = self
            .http
            .post(&self.url)
            .bearer_auth(&self.key)
            .header(ACCEPT, "text/event-stream")
            .header(CONTENT_TYPE, "application/json")
            .body(self.body(request).to_string())
            .send();
        let response = tokio::time::timeout(HEADER_TIMEOUT, sending)
            .await
            .map_err(|_| failure::passing("the model did not begin to answer".into()))?
            .map_err(|error| failure::passing(failure::with_causes(&error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(Asked {
                response,
                frames: Frames::default(),
                decoder: Decoder::default(),
                ready: VecDeque::new(),
                bytes: 0,
                over: false,
            });
        }
        let headers = response.headers().clone();
        let body = error_body(response).await;
        Err(failure::of_status(status, &String::from_utf8_lossy(&body), &headers))
    }

    fn body(&self, request: Request<'_>) -> Value {
        let cache_key = messages::cache_key(&request.messages);
        let mut body = json!({ "model": self.model, "stream": true });
        let tools: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| {
                let function =
                    json!({ "name": tool.name, "description": tool.description, "parameters": tool.parameters });
                json!({ "type": "function", "function": function })
            })
            .collect();
        if !tools.is_empty() {
            body["tools"] = tools.into();
        }
        let system = json!({ "role": "system", "content": request.system });
        let said = request.messages.into_iter().flat_map(message);
        body["messages"] = [system].into_iter().chain(said).collect();
        body["stream_options"] = json!({ "include_usage": true });
        // OpenAI's own reasoning models know only the new name, most other servers only the old one.
        let new = ["gpt-5", "gpt-6", "o1", "o3", "o4"].iter().any(|start| self.model.starts_with(start));
        body[if new { "max_completion_tokens" } else { "max_tokens" }] = self.output_tokens.into();
        if self.model.starts_with("gpt-") {
            body["prompt_cache_key"] = cache_key.into();
        }
        body
    }
}

async fn error_body(mut response: reqwest::Response) -> Vec<u8> {
    let mut body = Vec::new();
    while let Ok(Ok(Some(chunk))) = tokio::time::timeout(Duration::from_secs(30), response.chunk()).await {
        body.extend_from_slice(&chunk);
        if body.len() > ERROR_BYTES_MAX {
            body.truncate(ERROR_BYTES_MAX);
            break;
        }
    }
    body
}

/// A message of ours, as one or more of the format's.
fn message(message: Message) -> Vec<Value> {
    match message {
        Message::User(text) => vec![json!({ "role": "user", "content": text })],
        Message::Assistant(answer) => vec![assistant(answer)],
        Message::Results(results) => results
            .into_iter()
            .map(|result| json!({ "role": "tool", "tool_call_id": result.id, "content": result.text }))
            .collect(),
    }
}

/// An answer, with its reasoning in the shape in which it came.
fn assistant(answer: Answer) -> Value {
    let mut fields = Map::new();
    fields.insert("role".into(), "assistant".into());
    let text = answer.text.trim_end();
    let content = if text.is_empty() && !answer.calls.is_empty() { Value::Null } else { text.into() };
    fields.insert("content".into(), content);
    for thought in answer.thoughts {
        let Value::Object(thought) = thought else { continue };
        for (name, value) in thought {
            match name.as_str() {
                // As earlier versions kept it.
                "ReasoningContent" => drop(fields.insert("reasoning_content".into(), value)),
                decode::IN_CONTENT => {
                    let text = json!({ "type": "text", "text": text });
                    let parts = value.as_array().cloned().unwrap_or_default().into_iter();
                    fields.insert("content".into(), parts.chain([text]).collect());
                }
                name if decode::REASONING.contains(&name) => drop(fields.insert(name.into(), value)),
                _ => {}
            }
        }
    }
    let calls: Vec<Value> = answer
        .calls
        .into_iter()
        .map(|call| {
            let function = json!({ "name": call.name, "arguments": call.arguments.to_string() });
            json!({ "id": call.id, "type": "function", "function": function })
        })
        .collect();
    if !calls.is_empty() {
        fields.insert("tool_calls".into(), calls.into());
    }
    Value::Object(fields)
}

/// An answer that is coming in.
pub struct Asked {
    response: reqwest::Response,
    frames: Frames,
    decoder: Decoder,
    ready: VecDeque<Piece>,
    bytes: usize,
    over: bool,
}

impl Asked {
    /// The next piece; the last one is [`Piece::End`].
    pub async fn next(&mut self) -> Result<Piece, ModelFailure> {
        loop {
            if let Some(piece) = self.ready.pop_front() {
                return Ok(piece);
            }
            if self.over {
                let decoder = std::mem::take(&mut self.decoder);
                return decoder.reply().map(Piece::End);
            }
            let next = tokio::time::timeout(READ_TIMEOUT, self.response.chunk()).await;
            let chunk = match next {
                Ok(Ok(chunk)) => chunk,
                // What has come to its own end is whole, however the connection ends.
                Ok(Err(_)) | Err(_) if self.decoder.is_finished() => None,
                Ok(Err(error)) => return Err(failure::passing(failure::with_causes(&error))),
                Err(_) => return Err(failure::passing("the model fell silent in the middle of its answer".into())),
            };
            let read = match &chunk {
                Some(chunk) => {
                    self.bytes += chunk.len();
                    self.frames.feed(chunk)
                }
                None => self.frames.end(),
            };
            if self.bytes > WIRE_BYTES_MAX {
                return Ok(fault(Fault::Huge));
            }
            for frame in read {
                if frame.trim() == "[DONE]" {
                    self.decoder.done();
                    self.over = true;
                    break;
                }
                let Ok(frame) = serde_json::from_str::<Value>(&frame) else { return Ok(fault(Fault::Malformed)) };
                self.decoder.feed(frame, &mut self.ready)?;
                if self.decoder.bytes() > ANSWER_BYTES_MAX {
                    return Ok(fault(Fault::Huge));
                }
            }
            self.over |= chunk.is_none();
        }
    }
}
