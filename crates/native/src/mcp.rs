//! Tool servers: the little of the Model Context Protocol that calling tools over HTTP takes.
//!
//! Why not the protocol's own crate (rmcp 3.9, measured on a debug build with `initialize`, one list of six tools
//! and three calls): it took 1.35 MiB of private memory where this took 0.88, touched 5 MiB of code where this
//! touched 1.3, and 8 ms where this took 4.5. The agent as a whole has 1.6 MiB, and every agent of a fleet pays.
//! The servers here are ours, on loopback, stateless, and answer with one JSON document (or one event stream that
//! holds it); nothing of the protocol beyond `initialize`, `tools/list` and `tools/call` is used or accepted.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use api::acp_meta::CALL_ID;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};

use crate::bounds::prefix;
use crate::record::Definition;

/// Newest version of the protocol that we speak.
const VERSION: &str = "2025-06-18";
/// Longest answer of a server.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// A tool may wait for a person or another agent.
const CALL_TIMEOUT: Duration = Duration::from_secs(1800);
/// Pages of a tool list.
const PAGES_MAX: usize = 16;
/// Attempts to reach a server.
const ATTEMPTS: u32 = 3;
/// Pause before the second attempt; it grows by itself.
const PAUSE: Duration = Duration::from_millis(200);

/// A server as the client names it.
#[derive(Clone)]
pub struct Server {
    /// Its name in the session.
    pub name: String,
    url: String,
    headers: HeaderMap,
    /// Whether this process has shaken hands with it, in whatever session, or need not.
    is_ready: Rc<Cell<bool>>,
    /// What it offers, where the client has told.
    told: Option<Vec<Definition>>,
}

impl Server {
    /// A server at `url` that wants these headers.
    ///
    /// # Errors
    /// A header that cannot be sent.
    pub fn new(name: String, url: String, headers: &[(String, String)]) -> Result<Self, String> {
        let mut map = HeaderMap::new();
        for (key, value) in headers {
            let key =
                HeaderName::try_from(key).map_err(|_| format!("server {name}: {key:?} is not a header's name"))?;
            let value =
                HeaderValue::try_from(value).map_err(|_| format!("server {name}: header {key} has a bad value"))?;
            map.insert(key, value);
        }
        Ok(Self { name, url, headers: map, is_ready: Rc::default(), told: None })
    }

    /// The same server, of which the client tells what it offers: it is neither asked nor greeted.
    pub fn offering(self, tools: &[Value]) -> Self {
        self.is_ready.set(true);
        Self { told: Some(tools.iter().filter_map(definition).collect()), ..self }
    }

    /// Whether both are the same server, reached in the same way.
    pub fn is(&self, other: &Self) -> bool {
        (&self.name, &self.url, &self.headers, &self.told) == (&other.name, &other.url, &other.headers, &other.told)
    }
}

/// What a call came to: what the model is shown, or what went wrong.
pub type Called = Result<String, String>;

/// Conversation with one server.
pub struct Client {
    http: reqwest::Client,
    server: Server,
    requests: u64,
}

impl Client {
    /// A client; nothing is sent yet.
    pub fn new(http: reqwest::Client, server: Server) -> Self {
        Self { http, server, requests: 0 }
    }

    /// Name of the server.
    pub fn name(&self) -> &str {
        &self.server.name
    }

    /// Everything the server offers, in its order.
    ///
    /// # Errors
    /// The server cannot be reached or does not answer as it should.
    pub async fn tools(&mut self) -> Result<Vec<Definition>, String> {
        if let Some(told) = &self.server.told {
            return Ok(told.clone());
        }
        let mut tools = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let params = cursor.map_or_else(|| json!({}), |cursor| json!({ "cursor": cursor }));
            let page = self.request("tools/list", params).await?;
            let listed =
                page.get("tools").and_then(Value::as_array).ok_or_else(|| self.says("its tool list has no tools"))?;
            tools.extend(listed.iter().filter_map(definition));
            cursor = page.get("nextCursor").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                break;
            }
        }
        Ok(tools)
    }

    /// Calls a tool. `call_id` is the same for every attempt of the same call, so that the server can tell.
    ///
    /// # Errors
    /// For the model: the tool's own error, or that the server cannot be reached.
    pub async fn call(&mut self, tool: &str, arguments: &Value, call_id: &str) -> Called {
        let params = json!({ "name": tool, "arguments": arguments, "_meta": { CALL_ID: call_id } });
        let result = self.request("tools/call", params).await?;
        let text = text(&result);
        if result.get("isError") == Some(&Value::Bool(true)) { Err(text) } else { Ok(text) }
    }

    async fn request(&mut self, method: &str, params: Value) -> Result<Value, String> {
        if !self.server.is_ready.get() {
            let hello = json!({
                "protocolVersion": VERSION,
                "capabilities": {},
                "clientInfo": { "name": "muster-native", "version": env!("CARGO_PKG_VERSION") },
            });
            self.exchange("initialize", hello).await?;
            let ready = json!({ "jsonrpc": "2.0", "method": "notifications/initialized" });
            self.post(&ready).await?;
            self.server.is_ready.set(true);
        }
        self.exchange(method, params).await
    }

    async fn exchange(&mut self, method: &str, params: Value) -> Result<Value, String> {
        self.requests += 1;
        let request = json!({ "jsonrpc": "2.0", "id": self.requests, "method": method, "params": params });
        let body = self.post(&request).await?;
        let mut answer = answer_in(&body, self.requests).ok_or_else(|| self.says("it did not answer the request"))?;
        if let Some(error) = answer.get("error") {
            let message = error.get("message").and_then(Value::as_str).unwrap_or("unknown error");
            return Err(prefix(message, 2000).to_owned());
        }
        answer.get_mut("result").map(Value::take).ok_or_else(|| self.says("its answer has no result"))
    }

    /// Sends one message and returns the body of the answer. Tries again when the server could not be reached; the
    /// server knows a repeated call by its id.
    async fn post(&self, message: &Value) -> Result<String, String> {
        let mut attempt = 1;
        loop {
            match self.post_once(message).await {
                Err(Unreached::Connection(error)) if attempt < ATTEMPTS && !error.is_timeout() => {
                    tokio::time::sleep(PAUSE * attempt).await;
                    attempt += 1;
                }
                Err(Unreached::Connection(error)) => return Err(self.says(&error.without_url().to_string())),
                Err(Unreached::Answer(problem)) => return Err(self.says(&problem)),
                Ok(body) => return Ok(body),
            }
        }
    }

    async fn post_once(&self, message: &Value) -> Result<String, Unreached> {
        let request = self
            .http
            .post(&self.server.url)
            .headers(self.server.headers.clone())
            .header(ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", VERSION)
            .header(CONTENT_TYPE, "application/json")
            .timeout(CALL_TIMEOUT)
            .body(message.to_string());
        let mut response = request.send().await.map_err(Unreached::Connection)?;
        let status = response.status();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(Unreached::Connection)? {
            if body.len() + chunk.len() > BODY_BYTES_MAX {
                return Err(Unreached::Answer("its answer is too long".into()));
            }
            body.extend_from_slice(&chunk);
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        if status.is_success() {
            return Ok(body);
        }
        Err(Unreached::Answer(format!("{status} {}", prefix(body.trim(), 500))))
    }

    fn says(&self, problem: &str) -> String {
        format!("tool server {}: {problem}", self.server.name)
    }
}

enum Unreached {
    Connection(reqwest::Error),
    Answer(String),
}

fn definition(tool: &Value) -> Option<Definition> {
    let text = |key: &str| tool.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let schema = tool.get("inputSchema").filter(|schema| schema.is_object()).cloned();
    let name = text("name");
    (!name.is_empty()).then(|| Definition {
        name,
        description: text("description"),
        parameters: schema.unwrap_or_else(|| json!({ "type": "object", "properties": {} })),
    })
}

/// The answer to request `id` in a body that is one JSON document or an event stream.
fn answer_in(body: &str, id: u64) -> Option<Value> {
    let read = |text: &str| {
        let value: Value = serde_json::from_str(text).ok()?;
        (value.get("id") == Some(&json!(id))).then_some(value)
    };
    read(body).or_else(|| {
        let events = body.split("\n\n");
        let mut data = events.map(|event| {
            event.lines().filter_map(|line| line.strip_prefix("data:")).map(str::trim).collect::<Vec<_>>().join("\n")
        });
        data.find_map(|data| read(&data))
    })
}

/// What the model is shown of a tool result: its texts, and the names of what is no text.
fn text(result: &Value) -> String {
    let blocks = result.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<String> = blocks
        .iter()
        .map(|block| match (block.get("text").and_then(Value::as_str), block.get("type").and_then(Value::as_str)) {
            (Some(text), _) => text.to_owned(),
            (None, kind) => format!("[{}]", kind.unwrap_or("unknown content")),
        })
        .collect();
    match (texts.is_empty(), result.get("structuredContent")) {
        (false, _) => texts.join("\n"),
        (true, Some(value)) => value.to_string(),
        (true, None) => "[No output.]".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_in_documents_and_streams() {
        let answer = json!({"jsonrpc": "2.0", "id": 2, "result": {}});
        assert_eq!(answer_in(&answer.to_string(), 2), Some(answer.clone()));
        assert_eq!(answer_in(&answer.to_string(), 3), None);
        let stream = format!("event: message\ndata: {{\"method\":\"ping\"}}\n\ndata: {answer}\n\n");
        assert_eq!(answer_in(&stream, 2), Some(answer));
        assert_eq!(answer_in("", 1), None);
    }

    #[test]
    fn results_become_text() {
        let result = json!({"content": [{"type": "text", "text": "a"}, {"type": "image", "data": "…"}]});
        assert_eq!(text(&result), "a\n[image]");
        assert_eq!(text(&json!({"structuredContent": {"n": 1}})), "{\"n\":1}");
        assert_eq!(text(&json!({})), "[No output.]");
    }

    #[test]
    fn tools_without_a_name_are_left_out() {
        assert_eq!(definition(&json!({"description": "?"})), None);
        assert_eq!(definition(&json!({"name": "a", "inputSchema": 3})).unwrap().parameters["type"], "object");
    }

    #[test]
    fn a_bad_header_is_named() {
        let bad = Server::new("muster".into(), "http://x/".into(), &[("a b".into(), "c".into())]);
        assert_eq!(bad.err().unwrap(), "server muster: \"a b\" is not a header's name");
    }
}
