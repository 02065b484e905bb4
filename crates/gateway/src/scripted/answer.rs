//! From a step of the script to an answer on the wire.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use super::body::{Ends, ScriptedBody};
use super::conversation::Conversation;
use super::render;
use super::script::{Found, Raw, RawKind, Says, Script, ScriptedCall, ScriptedError, Step, StepUsage};
use crate::format::Format;
use crate::trouble::Unreached;
use crate::upstream::{Incoming, IncomingBody, Outgoing, Unanswered};

const BEYOND_THE_LAST_STEP: &str = "Nothing further to do.";

/// What the model says, before it takes a format's shape.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// Numbers of reply and step, e.g. `r0s1`: what ids are made of.
    pub(super) id: String,
    pub(super) model: String,
    pub(super) text: String,
    pub(super) calls: Vec<Call>,
    pub(super) finish: Finish,
    pub(super) usage: AnswerUsage,
    /// Whether a chat stream is asked to report usage.
    pub(super) include_usage: bool,
}

#[derive(Debug)]
pub(super) struct Call {
    /// `r0s1c0`, to be put after the format's prefix.
    pub(super) id: String,
    pub(super) tool: String,
    /// JSON text; not JSON in a `malformed` answer.
    pub(super) arguments: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Finish {
    #[default]
    Stop,
    Calls,
    Length,
    Refusal,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct AnswerUsage {
    /// All input, cached included.
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) output: u64,
}

impl Script {
    /// Answers a request.
    ///
    /// # Errors
    /// When the script plays an upstream that is not there.
    pub(crate) async fn answer(&self, asked: &Outgoing) -> Result<Incoming, Unanswered> {
        let (format, stream) = (asked.format, asked.stream);
        let request: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
        let conversation = Conversation::read(format, &asked.model, &request);
        let Some(found) = self.find(&conversation) else {
            let message = format!(
                "No reply of the script fits this request: none of its {} has a \"when\" that holds.",
                self.replies()
            );
            return Ok(error(format, &ScriptedError { status: 400, message, retry_after_s: None }));
        };
        let latency_ms = found.of.map_or(0, |step| step.latency_ms);
        if latency_ms > 0 {
            tokio::time::sleep(Duration::from_millis(latency_ms)).await;
        }
        if let Some(Step { says: Says::Error(scripted), .. }) = found.of {
            return Ok(error(format, scripted));
        }
        let raw = found.of.and_then(|step| match &step.says {
            Says::Raw(raw) => Some(raw.kind),
            _ => None,
        });
        let ends = match raw {
            Some(RawKind::Unreachable) => {
                let words = "the script says that it cannot be reached";
                return Err(Unanswered::Unreachable(Unreached::passing(words)));
            }
            Some(RawKind::Truncated) => Ends::Broken,
            Some(RawKind::Stalled) => Ends::Silent,
            _ => Ends::Well,
        };
        let mut answer = answer_of(&found, &conversation);
        answer.include_usage = request["stream_options"]["include_usage"] == true;
        answer.usage = usage(found.of.map(|step| step.usage).unwrap_or_default(), asked.body.len(), &answer);
        // Gemini streams an array of JSON, unless it is asked for events.
        let events = stream && (format != Format::Gemini || asked.path_and_query.contains("alt=sse"));
        let chunks = match (raw, stream) {
            (Some(RawKind::Garbage), _) => vec![Bytes::from_static(b"<html>This is not the API.</html>\n")],
            (_, true) if events => render::stream(format, &answer),
            (_, true) => render::array(&answer),
            (_, false) => vec![render::document(format, &answer)],
        };
        let content_type = if events { "text/event-stream; charset=utf-8" } else { "application/json" };
        Ok(incoming(StatusCode::OK, content_type, ScriptedBody::new(chunks, ends)))
    }
}

/// How many tokens a request has, as far as a script can say: its bytes divided by four, rounded up.
pub(crate) fn count(format: Format, body: &[u8]) -> Bytes {
    let tokens = (body.len() as u64).div_ceil(4);
    let answer =
        if format == Format::Gemini { json!({"totalTokens": tokens}) } else { json!({"input_tokens": tokens}) };
    Bytes::from(answer.to_string())
}

fn answer_of(found: &Found<'_>, conversation: &Conversation<'_>) -> Answer {
    let id = format!("r{}s{}", found.reply, found.step);
    let answer = Answer { model: conversation.model.to_owned(), id: id.clone(), ..Answer::default() };
    match found.of.map(|step| &step.says) {
        Some(Says::Text(text)) => Answer { text: text.clone(), ..answer },
        Some(Says::Calls { say, calls }) => {
            let call = |(number, call): (usize, &ScriptedCall)| Call {
                id: format!("{id}c{number}"),
                tool: conversation.called(&call.tool),
                arguments: Value::Object(call.args.clone()).to_string(),
            };
            let text = say.clone().unwrap_or_default();
            let calls = calls.iter().enumerate().map(call).collect();
            Answer { text, calls, finish: Finish::Calls, ..answer }
        }
        Some(Says::Raw(raw)) => raw_answer(*raw, answer, conversation.first_tool),
        // An error is answered before it comes to this.
        Some(Says::Error(_)) | None => Answer { text: BEYOND_THE_LAST_STEP.to_owned(), ..answer },
    }
}

fn raw_answer(raw: Raw, answer: Answer, first_tool: Option<&str>) -> Answer {
    let call = |tool: &str, arguments: &str| {
        vec![Call { id: format!("{}c0", answer.id), tool: tool.to_owned(), arguments: arguments.to_owned() }]
    };
    match raw.kind {
        RawKind::Empty | RawKind::Garbage | RawKind::Unreachable => answer,
        RawKind::Refusal => Answer { text: "I cannot help with that.".to_owned(), finish: Finish::Refusal, ..answer },
        RawKind::Length => {
            Answer { text: "First I will look at the file and then I".to_owned(), finish: Finish::Length, ..answer }
        }
        RawKind::UnknownTool => Answer { calls: call("no_such_tool", "{}"), finish: Finish::Calls, ..answer },
        RawKind::Malformed => {
            let calls = call(first_tool.unwrap_or("read_file"), r#"{"path": "a.py", "#);
            Answer { calls, finish: Finish::Calls, ..answer }
        }
        RawKind::Truncated | RawKind::Stalled => {
            Answer { text: "This answer breaks off before its end, and nobody will read this.".to_owned(), ..answer }
        }
        RawKind::Huge => Answer { text: "All work and no play. ".chars().cycle().take(raw.bytes).collect(), ..answer },
    }
}

fn usage(fixed: StepUsage, request_bytes: usize, answer: &Answer) -> AnswerUsage {
    let arguments: usize = answer.calls.iter().map(|call| call.arguments.len()).sum();
    let output_bytes = answer.text.len() + arguments;
    let input = fixed.input_tokens.unwrap_or((request_bytes as u64).div_ceil(4));
    let output = fixed.output_tokens.unwrap_or((output_bytes as u64).div_ceil(4));
    AnswerUsage { input, cached: fixed.cached_tokens.min(input), output }
}

fn error(format: Format, error: &ScriptedError) -> Incoming {
    let body = format.error_body(error.status, "scripted_error", &error.message);
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::BAD_REQUEST);
    let mut incoming = incoming(status, "application/json", ScriptedBody::new(vec![body], Ends::Well));
    if let Some(seconds) = error.retry_after_s {
        incoming.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    incoming
}

fn incoming(status: StatusCode, content_type: &'static str, body: ScriptedBody) -> Incoming {
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(content_type))]);
    Incoming { status, headers, ahead: None, body: IncomingBody::Script(body) }
}
