//! The requests that we send and what their answers mean. Pure.

use super::SessionId;
use super::error::AgentError;
use super::tap::clip;
use api::acp_meta::{ProgramFailure, Stop, TOOLS, prompt_meta, why};
use api::rpc::ErrorObject;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(super) const INITIALIZE: &str = "initialize";
pub(super) const AUTHENTICATE: &str = "authenticate";
pub(super) const NEW_SESSION: &str = "session/new";
pub(super) const LOAD_SESSION: &str = "session/load";
pub(super) const PROMPT: &str = "session/prompt";
pub(super) const CANCEL: &str = "session/cancel";

/// The protocol version that we speak.
const PROTOCOL_VERSION: u64 = 1;
/// JSON-RPC's reserved error codes: a prompt that fails with one of these (but "internal error") was refused as a
/// call; it is not a turn that went wrong.
const RESERVED_CODES: std::ops::RangeInclusive<i64> = -32768..=-32000;

/// What an agent says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// Its name; empty if not said.
    pub name: String,
    /// Its version; empty if not said.
    pub version: String,
    /// It can take up an earlier session.
    pub load_session: bool,
    /// It can use MCP servers over HTTP.
    pub mcp_http: bool,
    /// Ids of the authentication methods that it offers.
    pub auth_methods: Vec<String>,
}

/// An MCP server over HTTP that an agent gets for a session.
#[derive(Clone, PartialEq, Eq)]
pub struct McpServer {
    /// Name under which the agent lists its tools.
    pub name: String,
    /// Where it answers, as seen from inside the sandbox.
    pub url: String,
    /// HTTP headers, name and value; values are secret.
    pub headers: Vec<(String, String)>,
    /// What it offers, for an agent that then need not ask: the `tools` of its `tools/list`. See [`api::acp_meta::TOOLS`].
    pub tools: Option<Arc<Value>>,
}

impl std::fmt::Debug for McpServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("McpServer").field("name", &self.name).field("url", &self.url).field("headers", &names).finish()
    }
}

/// How a turn ended. Everything in it is the agent's claim.
#[derive(Debug, Clone, PartialEq)]
pub struct TurnOutcome {
    /// Why: our agent's own word where it gave one, else the protocol's, translated.
    pub stop: Stop,
    /// Tokens, where the agent counts them. Agents differ in what they count (the last model call, or all of the
    /// turn); the gateway's account is the one that money follows.
    pub usage: Option<Usage>,
    /// The end of what the agent said in this turn, at most 32 KiB.
    pub said: String,
    /// What went wrong, at most 16 KiB: the error that the turn ended in, or our agent's sentence.
    pub problem: Option<String>,
    /// The program that could not be started, when that is what went wrong.
    pub program: Option<ProgramFailure>,
}

/// Tokens as an agent counts them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// Input tokens read from the provider's cache.
    pub cached_read_tokens: Option<u64>,
    /// Input tokens written to the provider's cache.
    pub cached_write_tokens: Option<u64>,
    /// Reasoning tokens.
    pub thought_tokens: Option<u64>,
}

pub(super) fn initialize_params() -> Value {
    json!({
        "protocolVersion": PROTOCOL_VERSION,
        "clientCapabilities": {"fs": {"readTextFile": false, "writeTextFile": false}, "terminal": false},
        "clientInfo": {"name": "muster", "version": env!("CARGO_PKG_VERSION")},
    })
}

pub(super) fn session_params(session: Option<&SessionId>, cwd: &str, servers: &[McpServer]) -> Value {
    let servers: Vec<Value> = servers.iter().map(mcp_server).collect();
    let mut params = json!({"cwd": cwd, "mcpServers": servers});
    if let Some(session) = session {
        params["sessionId"] = session.0.clone().into();
    }
    params
}

pub(super) fn prompt_params(session: &SessionId, text: &str, turn: u32, resumed: bool) -> Value {
    let meta = prompt_meta(turn, resumed);
    json!({"sessionId": session.0, "prompt": [{"type": "text", "text": text}], "_meta": meta})
}

pub(super) fn agent_facts(result: &Value) -> Result<AgentFacts, AgentError> {
    match result.get("protocolVersion") {
        Some(version) if version.as_u64() == Some(PROTOCOL_VERSION) => {}
        Some(version) => return Err(AgentError::Version { found: clip(&version.to_string()) }),
        None => return Err(bad(INITIALIZE, "there is no protocolVersion")),
    }
    let at = |pointer: &str| result.pointer(pointer).unwrap_or(&Value::Null);
    let methods = at("/authMethods").as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(AgentFacts {
        name: at("/agentInfo/name").as_str().map(clip).unwrap_or_default(),
        version: at("/agentInfo/version").as_str().map(clip).unwrap_or_default(),
        load_session: at("/agentCapabilities/loadSession") == &Value::Bool(true),
        mcp_http: at("/agentCapabilities/mcpCapabilities/http") == &Value::Bool(true),
        auth_methods: methods.iter().filter_map(|method| method.get("id")?.as_str().map(clip)).collect(),
    })
}

pub(super) fn new_session(result: &Value) -> Result<SessionId, AgentError> {
    match result.get("sessionId").and_then(Value::as_str) {
        Some(id) if !id.is_empty() && id.len() <= super::SESSION_ID_BYTES_MAX => Ok(SessionId(id.to_owned())),
        Some(_) => Err(bad(NEW_SESSION, "the sessionId is empty or too long")),
        None => Err(bad(NEW_SESSION, "there is no sessionId")),
    }
}

/// The end of a turn from the prompt's answer. A refusal after `session/cancel` is a cancelled turn, whatever it says.
pub(super) fn turn_outcome(
    answer: Result<Value, AgentError>,
    cancelled: bool,
    said: String,
) -> Result<TurnOutcome, AgentError> {
    match answer {
        Ok(result) => {
            let problem = why(result.get("_meta")).map(clip);
            let program = ProgramFailure::read(result.get("_meta"));
            Ok(TurnOutcome { stop: stop(&result)?, usage: usage(&result), said, problem, program })
        }
        Err(AgentError::Refused { error, method }) => {
            let stop = match Stop::read(error.data.as_ref()) {
                Some(stop) => stop,
                None if cancelled => Stop::Cancelled,
                None if is_turn_error(&error) => Stop::ModelError,
                None => return Err(AgentError::Refused { error, method }),
            };
            let program = ProgramFailure::read(error.data.as_ref());
            Ok(TurnOutcome { stop, usage: None, said, problem: Some(problem(&error)), program })
        }
        Err(other) => Err(other),
    }
}

fn mcp_server(server: &McpServer) -> Value {
    let headers: Vec<Value> =
        server.headers.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
    let mut told = json!({"type": "http", "name": server.name, "url": server.url, "headers": headers});
    if let Some(tools) = &server.tools {
        told["_meta"] = json!({ TOOLS: **tools });
    }
    told
}

fn stop(result: &Value) -> Result<Stop, AgentError> {
    if let Some(stop) = Stop::read(result.get("_meta")) {
        return Ok(stop);
    }
    match result.get("stopReason").and_then(Value::as_str) {
        Some("end_turn") => Ok(Stop::Done),
        Some("max_tokens") => Ok(Stop::MaxTokens),
        Some("max_turn_requests") => Ok(Stop::MaxSteps),
        Some("refusal") => Ok(Stop::Refusal),
        Some("cancelled") => Ok(Stop::Cancelled),
        Some(other) => Err(bad(PROMPT, &format!("unknown stopReason {:?}", clip(other)))),
        None => Err(bad(PROMPT, "there is no stopReason")),
    }
}

/// An agent that could not reach its model says "internal error" or passes on the HTTP status.
fn is_turn_error(error: &ErrorObject) -> bool {
    error.code == api::rpc::code::INTERNAL_ERROR || !RESERVED_CODES.contains(&error.code)
}

fn problem(error: &ErrorObject) -> String {
    let details = error.data.as_ref().filter(|data| !data.is_null()).map(|data| format!(" {data}")).unwrap_or_default();
    clip(&format!("{error}{details}"))
}

/// `usage` as most agents give it, or Gemini's `_meta.quota.token_count`.
fn usage(result: &Value) -> Option<Usage> {
    if let Some(usage) = result.get("usage").and_then(Value::as_object) {
        return Some(Usage {
            input_tokens: count(usage, "inputTokens")?,
            output_tokens: count(usage, "outputTokens")?,
            cached_read_tokens: count(usage, "cachedReadTokens"),
            cached_write_tokens: count(usage, "cachedWriteTokens"),
            thought_tokens: count(usage, "thoughtTokens"),
        });
    }
    let usage = result.pointer("/_meta/quota/token_count")?.as_object()?;
    let (input_tokens, output_tokens) = (count(usage, "input_tokens")?, count(usage, "output_tokens")?);
    Some(Usage { input_tokens, output_tokens, ..Usage::default() })
}

fn count(members: &Map<String, Value>, name: &str) -> Option<u64> {
    members.get(name)?.as_u64()
}

fn bad(method: &'static str, why: &str) -> AgentError {
    AgentError::BadResult { method, why: why.to_owned() }
}
