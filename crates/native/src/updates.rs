//! What the client is told while a turn runs (`session/update`).
//!
//! It is for eyes and transcripts: bounded, and nothing depends on it.

use agent_client_protocol_schema::v1::{
    ContentBlock, ContentChunk, SessionId, SessionNotification, SessionUpdate, TextContent, ToolCall, ToolCallContent,
    ToolCallStatus, ToolCallUpdate, ToolCallUpdateFields, ToolKind, UsageUpdate,
};
use api::rpc::Notification;

use crate::bounds::{middle_out, prefix};
use crate::context::json_bytes;
use crate::record::{Call, Tokens};
use crate::stdio::{Closed, Output};

/// Most bytes of a tool's result that are shown.
const RESULT_BYTES_MAX: usize = 8 * 1024;
/// Largest arguments that are shown as they are.
const INPUT_BYTES_MAX: usize = 8 * 1024;
/// Text is collected to pieces of about this size; models send it by the word.
const TEXT_BYTES: usize = 160;

/// Tells one session's client.
pub struct Updates {
    output: Output,
    session: SessionId,
    size: u64,
    text: String,
    thought: String,
}

impl Updates {
    /// Updates of session `session`, whose model has a window of `context_tokens`.
    pub fn new(output: Output, session: &str, context_tokens: u64) -> Self {
        let session = SessionId::new(session);
        Self { output, session, size: context_tokens, text: String::new(), thought: String::new() }
    }

    /// The model said something.
    ///
    /// # Errors
    /// [`Closed`], like all of these.
    pub async fn text(&mut self, piece: &str) -> Result<(), Closed> {
        self.text.push_str(piece);
        if is_enough(&self.text) { self.flush().await } else { Ok(()) }
    }

    /// The model thought something.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn thought(&mut self, piece: &str) -> Result<(), Closed> {
        self.thought.push_str(piece);
        if is_enough(&self.thought) { self.flush().await } else { Ok(()) }
    }

    /// Sends what was collected.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn flush(&mut self) -> Result<(), Closed> {
        let chunk = |text: String| ContentChunk::new(ContentBlock::Text(TextContent::new(text)));
        if !self.thought.is_empty() {
            let thought = std::mem::take(&mut self.thought);
            self.send(SessionUpdate::AgentThoughtChunk(chunk(thought))).await?;
        }
        if !self.text.is_empty() {
            let text = std::mem::take(&mut self.text);
            self.send(SessionUpdate::AgentMessageChunk(chunk(text))).await?;
        }
        Ok(())
    }

    /// A tool call starts.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn call(&self, id: &str, call: &Call) -> Result<(), Closed> {
        let mut told = ToolCall::new(id.to_owned(), title(call))
            .name(call.name.clone())
            .kind(kind(&call.name))
            .status(ToolCallStatus::InProgress);
        if json_bytes(&call.arguments) <= INPUT_BYTES_MAX {
            told = told.raw_input(call.arguments.clone());
        }
        self.send(SessionUpdate::ToolCall(told)).await
    }

    /// A tool call ended.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn result(&self, id: &str, text: &str, failed: bool) -> Result<(), Closed> {
        let status = if failed { ToolCallStatus::Failed } else { ToolCallStatus::Completed };
        let text = ContentBlock::Text(TextContent::new(middle_out(text, RESULT_BYTES_MAX)));
        let fields = ToolCallUpdateFields::new().status(status).content(vec![ToolCallContent::from(text)]);
        self.send(SessionUpdate::ToolCallUpdate(ToolCallUpdate::new(id.to_owned(), fields))).await
    }

    /// What the last model call used.
    ///
    /// # Errors
    /// [`Closed`].
    pub async fn usage(&self, tokens: Tokens) -> Result<(), Closed> {
        if tokens == Tokens::default() {
            return Ok(());
        }
        self.send(SessionUpdate::UsageUpdate(UsageUpdate::new(tokens.input + tokens.output, self.size))).await
    }

    async fn send(&self, update: SessionUpdate) -> Result<(), Closed> {
        let told = SessionNotification::new(self.session.clone(), update);
        match serde_json::to_value(told) {
            Ok(params) => self.output.send(Notification::new("session/update", params).to_line()).await,
            Err(error) => unreachable!("protocol types always serialise: {error}"),
        }
    }
}

fn is_enough(text: &str) -> bool {
    text.len() >= TEXT_BYTES || text.ends_with('\n')
}

fn title(call: &Call) -> String {
    let argument = ["command", "path", "pattern"].iter().find_map(|key| call.arguments.get(key)?.as_str());
    match argument {
        Some(argument) => {
            let line = argument.lines().next().unwrap_or_default();
            format!("{}: {}", call.name, prefix(line, 120))
        }
        None => call.name.clone(),
    }
}

fn kind(tool: &str) -> ToolKind {
    match tool {
        "read_file" => ToolKind::Read,
        "list_files" | "search" => ToolKind::Search,
        "write_file" | "apply_patch" => ToolKind::Edit,
        "run_command" => ToolKind::Execute,
        _ => ToolKind::Other,
    }
}
