//! The model, behind our own small types: one request in, one answer out, piece by piece.
//!
//! OpenAI's chat format is read in [`chat`]; the crate `genai` knows the two others, and this module is the only one that knows `genai`. It makes one
//! attempt and says what kind of failure it met; patience is [`crate::retry`]'s, judgement [`crate::judge`]'s.
//!
//! It refuses to be clever about models' names: `genai` reads a reasoning effort and a namespace out of them, but
//! the name is the gateway's, so it goes out as it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use genai::adapter::AdapterKind;
use genai::chat::{
    ChatOptions, ChatRequest, ChatStream, ChatStreamEvent, ContentPart, ReasoningEffort, StreamEnd, Tool,
};
use genai::resolver::{AuthData, Endpoint};
use genai::{Client, ModelIden, ServiceTarget};
use serde_json::{Value, json};

use crate::conversation::Message;
use crate::record::{Definition, Fault, Tokens};
use crate::settings::{Format, Settings};

mod chat;
mod failure;
mod messages;
mod thinking;

pub use failure::ModelFailure;

/// Most bytes of text, or of one call's arguments, that an answer may have; a whole file fits, a runaway does not.
pub const ANSWER_BYTES_MAX: usize = 1024 * 1024;
/// Models may think long before the first byte.
const HEADER_TIMEOUT: Duration = Duration::from_secs(900);
/// But not fall silent in the middle.
const READ_TIMEOUT: Duration = Duration::from_secs(300);

/// A model to ask.
pub enum Model {
    /// By our own reading of the format.
    Chat(chat::Chat),
    /// By `genai`.
    Other(Box<Other>),
}

/// A model behind `genai`.
pub struct Other {
    client: Client,
    target: ServiceTarget,
    format: Format,
    options: ChatOptions,
}

/// One request. Its bytes on the wire are a function of these three and of the settings.
pub struct Request<'a> {
    /// Who the model is.
    pub system: &'a str,
    /// The conversation.
    pub messages: Vec<Message>,
    /// What it may call.
    pub tools: &'a [Definition],
}

/// An answer as it came, not yet judged.
#[derive(Debug, Default)]
pub struct Reply {
    /// All text.
    pub text: String,
    /// Reasoning that must be given back with the answer; opaque.
    pub thoughts: Vec<Value>,
    /// Tool calls; arguments that could not be read are a JSON string.
    pub calls: Vec<RawCall>,
    /// How it ended.
    pub end: ReplyEnd,
    /// What it cost, as far as the model said so.
    pub tokens: Tokens,
}

/// A tool call as the model wrote it.
#[derive(Debug)]
pub struct RawCall {
    /// May be empty.
    pub id: String,
    /// May be anything.
    pub name: String,
    /// May be anything.
    pub arguments: Value,
}

/// How an answer ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub enum ReplyEnd {
    /// The model was finished.
    #[default]
    Finished,
    /// It ran into the limit on output tokens.
    CutOff,
    /// It, or a filter before it, refused; with its words, if any.
    Refused(String),
    /// The answer as a whole cannot be used.
    Fault(Fault),
}

/// A piece of an answer that is coming in.
#[derive(Debug)]
pub enum Piece {
    /// Text for the user.
    Text(String),
    /// Reasoning for the user.
    Thought(String),
    /// The answer is complete.
    End(Reply),
}

impl Model {
    /// A model behind the endpoint of the settings, reached through `http`.
    ///
    /// # Errors
    /// A text; `genai` could not be set up.
    pub fn new(settings: &Settings, http: reqwest::Client) -> Result<Self, String> {
        let kind = match settings.format {
            Format::OpenAiChat => return Ok(Self::Chat(chat::Chat::new(settings, http))),
            Format::OpenAiResponses => AdapterKind::OpenAIResp,
            Format::Anthropic => AdapterKind::Anthropic,
        };
        let client = Client::builder().with_reqwest(http).build().map_err(|error| error.to_string())?;
        let target = ServiceTarget {
            endpoint: Endpoint::from_owned(settings.endpoint.as_str()),
            auth: AuthData::from_single(settings.key.as_str()),
            model: ModelIden::new(kind, settings.model.as_str()),
        };
        Ok(Self::Other(Box::new(Other { client, target, format: settings.format, options: options(settings) })))
    }

    /// Sends one request.
    ///
    /// # Errors
    /// [`ModelFailure`] before the first byte of an answer.
    pub async fn ask(&self, request: Request<'_>) -> Result<Asked, ModelFailure> {
        match self {
            Self::Chat(chat) => chat.ask(request).await.map(|asked| Asked::Chat(Box::new(asked))),
            Self::Other(other) => other.ask(request).await.map(|asked| Asked::Other(Box::new(asked))),
        }
    }
}

impl Other {
    async fn ask(&self, request: Request<'_>) -> Result<Coming, ModelFailure> {
        let mut options = self.options.clone();
        if self.format != Format::Anthropic && self.target.model.model_name.starts_with("gpt-") {
            // Without it `genai` turns OpenAI's automatic prompt cache off for the newest models.
            options = options.with_prompt_cache_key(messages::cache_key(&request.messages));
        }
        let refusal = Arc::new(Mutex::new(String::new()));
        let told = Arc::clone(&refusal);
        let thoughts = Arc::new(Mutex::new(thinking::Blocks::default()));
        let thought = Arc::clone(&thoughts);
        options = options.with_raw_frame_fn(move |_, frame| {
            note_refusal(frame.data, &told);
            thought.lock().unwrap_or_else(PoisonError::into_inner).feed(frame.data);
        });
        let tools = request.tools.iter().map(tool);
        let chat = ChatRequest::new(messages::to_genai(request.messages, self.format))
            .with_system(request.system)
            .with_tools(tools);
        let stream = self.client.exec_chat_stream(self.target.clone(), chat, Some(&options)).await?.stream;
        Ok(Coming { stream, refusal, thoughts, format: self.format, bytes: 0 })
    }
}

fn options(settings: &Settings) -> ChatOptions {
    let mut body = json!({ "model": settings.model });
    let mut thoughts = true;
    if settings.format == Format::OpenAiResponses {
        // Models without reasoning refuse the parameters that ask to see it.
        thoughts = ["gpt-5", "gpt-6", "o1", "o3", "o4", "codex"].iter().any(|name| settings.model.starts_with(name));
        if thoughts {
            body["reasoning"] = json!({ "summary": "auto" });
        }
    }
    let options = ChatOptions::default()
        .with_max_tokens(settings.output_tokens)
        .with_capture_content(true)
        .with_capture_usage(true)
        .with_capture_tool_calls(true)
        .with_capture_reasoning_content(thoughts)
        .with_stream_header_timeout(HEADER_TIMEOUT)
        .with_stream_read_timeout(READ_TIMEOUT)
        .with_extra_body(body);
    match settings.format {
        Format::Anthropic => options,
        // Stands for "no effort given"; otherwise one is read out of names such as `qwen-max`.
        Format::OpenAiChat | Format::OpenAiResponses => options.with_reasoning_effort(ReasoningEffort::Budget(0)),
    }
}

fn tool(definition: &Definition) -> Tool {
    Tool::new(definition.name.as_str())
        .with_description(definition.description.as_str())
        .with_schema(definition.parameters.clone())
}

/// `genai` drops the refusal texts of both OpenAI formats.
fn note_refusal(frame: &str, told: &Mutex<String>) {
    if !frame.contains("refusal") {
        return;
    }
    let Ok(frame) = serde_json::from_str::<Value>(frame) else { return };
    let delta = match frame.get("type").and_then(Value::as_str) {
        Some("response.refusal.delta") => frame.get("delta"),
        Some(_) => None,
        None => frame.pointer("/choices/0/delta/refusal"),
    };
    if let Some(delta) = delta.and_then(Value::as_str) {
        let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < 4096 {
            told.push_str(delta);
        }
    }
}

/// An answer that is coming in.
pub enum Asked {
    /// By our own reading of the format.
    Chat(Box<chat::Asked>),
    /// By `genai`.
    Other(Box<Coming>),
}

impl Asked {
    /// The next piece; the last one is [`Piece::End`].
    ///
    /// # Errors
    /// [`ModelFailure`]; the answer is lost.
    pub async fn next(&mut self) -> Result<Piece, ModelFailure> {
        match self {
            Self::Chat(asked) => asked.next().await,
            Self::Other(asked) => asked.next().await,
        }
    }
}

/// An answer that comes in by `genai`.
pub struct Coming {
    stream: ChatStream,
    refusal: Arc<Mutex<String>>,
    thoughts: Arc<Mutex<thinking::Blocks>>,
    format: Format,
    bytes: usize,
}

impl Coming {
    async fn next(&mut self) -> Result<Piece, ModelFailure> {
        loop {
            let Some(event) = self.stream.next().await else { return Ok(fault(Fault::Truncated)) };
            match event {
                Ok(ChatStreamEvent::Chunk(chunk)) => {
                    self.bytes += chunk.content.len();
                    if self.bytes > ANSWER_BYTES_MAX {
                        return Ok(fault(Fault::Huge));
                    }
                    return Ok(Piece::Text(chunk.content));
                }
                Ok(ChatStreamEvent::ReasoningChunk(chunk)) => return Ok(Piece::Thought(chunk.content)),
                Ok(ChatStreamEvent::ToolCallChunk(chunk)) => {
                    let arguments = &chunk.tool_call.fn_arguments;
                    if arguments.as_str().is_some_and(|text| text.len() > ANSWER_BYTES_MAX) {
                        return Ok(fault(Fault::Huge));
                    }
                }
                Ok(ChatStreamEvent::End(end)) => return Ok(Piece::End(self.reply(end))),
                Ok(_) => {}
                Err(error) if failure::is_malformed(&error) => return Ok(fault(Fault::Malformed)),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn reply(&self, end: StreamEnd) -> Reply {
        let refused = std::mem::take(&mut *self.refusal.lock().unwrap_or_else(PoisonError::into_inner));
        let mut reply = Reply { tokens: tokens(&end), end: reply_end(&end, refused, self.format), ..Reply::default() };
        for part in end.captured_content.into_iter().flat_map(|content| content.into_parts()) {
            match part {
                ContentPart::Text(text) => reply.text.push_str(&text),
                ContentPart::ToolCall(call) => {
                    reply.calls.push(RawCall { id: call.call_id, name: call.fn_name, arguments: call.fn_arguments });
                }
                thought => reply.thoughts.extend(serde_json::to_value(thought)),
            }
        }
        // As they came and in their order, with those that `genai` leaves out.
        let blocks = std::mem::take(&mut *self.thoughts.lock().unwrap_or_else(PoisonError::into_inner)).finish();
        if self.format == Format::Anthropic && !blocks.is_empty() {
            reply.thoughts = blocks;
        }
        reply
    }
}

fn fault(fault: Fault) -> Piece {
    Piece::End(Reply { end: ReplyEnd::Fault(fault), ..Reply::default() })
}

fn reply_end(end: &StreamEnd, refused: String, format: Format) -> ReplyEnd {
    use genai::chat::StopReason;
    match &end.captured_stop_reason {
        _ if !refused.is_empty() => ReplyEnd::Refused(refused),
        Some(StopReason::ContentFilter(_)) => ReplyEnd::Refused(String::new()),
        Some(StopReason::MaxTokens(_)) => ReplyEnd::CutOff,
        // For a stream of this format that breaks off, `genai` makes up an end.
        None if format == Format::OpenAiResponses => ReplyEnd::Fault(Fault::Truncated),
        _ => ReplyEnd::Finished,
    }
}

fn tokens(end: &StreamEnd) -> Tokens {
    let count = |number: Option<i32>| u64::try_from(number.unwrap_or(0)).unwrap_or(0);
    let Some(usage) = &end.captured_usage else { return Tokens::default() };
    Tokens {
        input: count(usage.prompt_tokens),
        cached: count(usage.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens)),
        output: count(usage.completion_tokens),
        thought: count(usage.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens)),
    }
}
